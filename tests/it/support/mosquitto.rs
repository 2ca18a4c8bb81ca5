//! A real mosquitto for the tests that need one, and clients that publish.
//!
//! Owns a broker in a directory of its own on a free port and takes it down when dropped. A test that uses it is
//! `#[ignore = "needs mosquitto: just test-mqtt"]` and lives below `mqtt`: that is the filter of `just test-mqtt`.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a broker may take to come up, in steps of 10 ms.
const STEPS: u32 = 3000;

/// A broker.
pub(crate) struct Mosquitto {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// A broker that keeps what it has on disk, without a limit to its queues; `more` goes into its configuration.
    pub(crate) fn start(inflight: u32, more: &str) -> Self {
        Self::start_at(free_port(), inflight, more)
    }

    /// As [`Mosquitto::start`], on this port.
    pub(crate) fn start_at(port: u16, inflight: u32, more: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("edgespool-mosquitto-")
            .tempdir()
            .unwrap();
        let mut broker = Self {
            directory,
            port,
            child: None,
        };
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous {}\nuser root\npersistence true\npersistence_location {}/\n\
             max_inflight_messages {inflight}\nmax_queued_messages 0\nmax_queued_bytes 0\nset_tcp_nodelay true\n\
             log_dest file {}\nlog_type notice\nlog_type subscribe\n{more}\n",
            broker.port,
            !more.contains("password_file"),
            broker.path().display(),
            broker.path().join("log").display(),
        );
        fs::write(broker.file(), text).unwrap();
        broker.up();
        broker
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its plain listener.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its plain listener, as device files have it.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    fn file(&self) -> PathBuf {
        self.path().join("mosquitto.conf")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    /// Whether a client of this name has subscribed to something.
    pub(crate) fn is_subscribed(&self, client: &str) -> bool {
        self.log().contains(&format!(": {client} 1 "))
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn up(&mut self) {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(self.file())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is not on PATH (Debian: apt-get install mosquitto mosquitto-clients)");
        self.child = Some(child);
        for _ in 0..STEPS {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("mosquitto does not listen:\n{}", self.log());
    }

    /// Stops it in order: it saves its sessions.
    pub(crate) fn down(&mut self) {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        child.wait().unwrap();
    }

    /// Publishes with mosquitto's own client, QoS 1.
    pub(crate) fn publish(&self, topic: &str, payload: &str, more: &[&str]) {
        let status = Command::new("mosquitto_pub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-q",
                "1",
                "-t",
                topic,
                "-m",
                payload,
            ])
            .args(more)
            .status()
            .expect("mosquitto_pub is not on PATH (Debian: apt-get install mosquitto-clients)");
        assert!(status.success());
    }

    /// The first message of a topic, read with mosquitto's own client within ten seconds.
    pub(crate) fn first_message(&self, topic: &str) -> String {
        let output = Command::new("mosquitto_sub")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-C",
                "1",
                "-W",
                "10",
                "-t",
                topic,
            ])
            .output()
            .expect("mosquitto_sub is not on PATH (Debian: apt-get install mosquitto-clients)");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(3000);
            eprintln!(
                "mosquitto's log ends so:\n{}",
                String::from_utf8_lossy(&log.as_bytes()[from..])
            );
        }
    }
}

/// A port that nobody has just now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
