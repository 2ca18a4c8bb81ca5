//! What comes with the package, and how the agent talks to systemd.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::agent::{Agent, Gateway};

const SIMULATED: &str = "[[source]]\nkind = \"simulated\"\nsensors = 1\nevery = \"100ms\"\n";

/// The service manager's end of the notification socket.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(socket)
    }

    /// Reads what is told until `wanted` says that it was that.
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let read = self.0.recv(&mut buffer).expect("nothing is told any more");
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            told.extend(text.lines().map(str::to_owned));
            if told.last().is_some_and(|line| wanted(line)) {
                return told;
            }
        }
    }
}

#[test]
fn systemd_hears_that_it_is_ready_that_it_lives_how_it_is_and_that_it_stops() {
    let gateway = Gateway::new("127.0.0.1:9", SIMULATED);
    let path = gateway.path().join("notify");
    let manager = Manager::at(&path);
    let mut command = gateway.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "800000");
    let agent = Agent::launch(&gateway, command);
    manager.wait_for(|line| line == "READY=1");
    for _ in 0..3 {
        manager.wait_for(|line| line == "WATCHDOG=1");
    }
    let told = manager.wait_for(|line| line.starts_with("STATUS=") && line.contains("accepted"));
    assert!(
        told.last()
            .unwrap()
            .starts_with("STATUS=Kafka cannot be reached; "),
        "{told:?}"
    );
    agent.signal(Signal::TERM);
    manager.wait_for(|line| line == "STOPPING=1");
}

#[test]
fn the_units_do_not_loop_on_a_bad_device_file_and_start_for_ever_otherwise() {
    for unit in ["edgespool.service", "edgespool@.service"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("deploy/systemd")
            .join(unit);
        let text = std::fs::read_to_string(path).unwrap();
        for line in [
            "Type=notify",
            "Restart=on-failure",
            "RestartPreventExitStatus=77 78",
            "StartLimitIntervalSec=0",
            "WatchdogSec=3min",
            "DevicePolicy=closed",
            "ProtectSystem=strict",
        ] {
            assert!(text.lines().any(|found| found == line), "{unit}: {line}");
        }
        assert!(
            !text.contains("\nExecStartPre"),
            "{unit}: run makes the check itself"
        );
    }
}
