//! The program as its users have it: a process with a device file, a queue and a socket of its own.
//!
//! Owns a gateway's directory and what runs in it; whatever still runs is killed with the handle. Knows the product by its
//! command line and its status socket only.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use edgespool::clock::mono;
use edgespool::status::{Ledger, Snapshot, socket};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, with nothing from the environment that it would listen to.
pub(crate) fn edgespool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgespool"));
    for variable in ["KAFKA_BROKER_ADDRESS", "EDGESPOOL_LOG", "JOURNAL_STREAM"] {
        command.env_remove(variable);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a command has printed on stdout.
pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// What a command has printed on stderr.
pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A directory with a device file; the queue and the socket that it names lie there, too.
pub(crate) struct Gateway {
    directory: TempDir,
}

impl Gateway {
    /// For brokers as in `bootstrap.servers`; `rest` goes on in the section `[queue]`.
    pub(crate) fn new(brokers: &str, rest: &str) -> Self {
        let gateway = Self {
            directory: tempfile::Builder::new().prefix("edgespool-").tempdir().unwrap(),
        };
        gateway.write(&gateway.device_file(brokers, rest));
        gateway
    }

    /// The text of a device file for this directory.
    pub(crate) fn device_file(&self, brokers: &str, rest: &str) -> String {
        let mut text = "[device]\nid = \"greenhouse-7\"\n".to_owned();
        let brokers: Vec<String> = brokers.split(',').map(|broker| format!("{broker:?}")).collect();
        writeln!(
            text,
            "[kafka]\nbrokers = [{}]\ntopic = \"readings\"",
            brokers.join(", ")
        )
        .unwrap();
        writeln!(text, "[clock]\nhold-until-synced = \"0s\"").unwrap();
        writeln!(text, "[status]\nsocket = {:?}", self.socket()).unwrap();
        writeln!(
            text,
            "[queue]\ndirectory = {:?}\nallow-volatile = true",
            self.queue()
        )
        .unwrap();
        text + rest
    }

    /// Puts another device file in place.
    pub(crate) fn write(&self, device_file: &str) {
        fs::write(self.config(), device_file).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("device.toml")
    }

    pub(crate) fn queue(&self) -> PathBuf {
        self.path().join("queue")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("status.sock")
    }

    /// `edgespool run` with this device file, its words going to a file.
    pub(crate) fn command(&self) -> Command {
        let mut command = edgespool(&["run", "--config", self.config().to_str().unwrap()]);
        let log = File::options().create(true).append(true).open(self.log_file());
        command.stderr(log.unwrap());
        command
    }

    /// Everything that the agents of this gateway have said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Starts the agent and waits until it answers.
    pub(crate) fn start(&self) -> Agent {
        let mut agent = self.launch();
        agent.wait_until("it answers", |_| true);
        agent
    }

    /// Starts the agent.
    pub(crate) fn launch(&self) -> Agent {
        Agent::launch(self, self.command())
    }

    /// What `edgespool status --json` says, with all sensors.
    pub(crate) fn status_command(&self) -> serde_json::Value {
        let socket = self.socket();
        let output = edgespool(&["status", "--json", "--all", "--socket", socket.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap()
    }
}

/// A running agent.
pub(crate) struct Agent {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Agent {
    /// Starts what [`Gateway::command`] gave, perhaps changed.
    pub(crate) fn launch(gateway: &Gateway, mut command: Command) -> Self {
        Self {
            child: command.spawn().unwrap(),
            socket: gateway.socket(),
            log: gateway.log_file(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the agent says of itself.
    pub(crate) fn status(&self) -> Snapshot {
        socket::ask(&self.socket).unwrap_or_else(|error| panic!("no status: {error}\n{}", self.words()))
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.status().ledger
    }

    /// Waits until its status is so, generously.
    pub(crate) fn wait_until(&mut self, what: &str, is_so: impl Fn(&Snapshot) -> bool) -> Snapshot {
        self.wait_long(what, PATIENCE, is_so)
    }

    /// As [`Agent::wait_until`], with a patience of its own.
    pub(crate) fn wait_long(
        &mut self,
        what: &str,
        patience: Duration,
        is_so: impl Fn(&Snapshot) -> bool,
    ) -> Snapshot {
        let until = mono().after(patience);
        loop {
            let last = socket::ask(&self.socket);
            match last {
                Ok(status) if is_so(&status) => return status,
                last => assert!(
                    mono() < until,
                    "this did not come: {what}\n{last:?}\n{}",
                    self.words()
                ),
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "the agent has ended: {status}, instead of this: {what}\n{}",
                    self.words()
                );
            }
            sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = mono().after(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(mono() < until, "the agent does not end\n{}", self.words());
            sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal that ends it; how it ended, and how long that took.
    pub(crate) fn end_by(mut self, signal: Signal) -> (ExitStatus, Duration) {
        let told = mono();
        self.signal(signal);
        let status = self.ended();
        (status, mono().since(told))
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "it had ended before\n{}",
            self.words()
        );
    }

    fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended long ago.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let words = self.words();
            let from = words.len().saturating_sub(8000);
            let shown = String::from_utf8_lossy(&words.as_bytes()[from..]).into_owned();
            eprintln!("the agent's log ends so:\n{shown}");
        }
    }
}
