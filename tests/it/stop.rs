//! Stopping, and what an agent meets at its start: the process as systemd sees it.
//!
//! A stop takes two seconds at most, whatever hangs; what was accepted before it is in the queue behind it. The two seconds
//! are a promise of the product, so here is the one place where a test asserts a time.

mod hangs;
mod signals;
mod start;

use std::time::Duration;

use edgespool::status::Snapshot;
use rustix::process::Signal;

use crate::support::agent::{Agent, Gateway};
use crate::support::nodes::{Fleet, Plan, sensor_id};
use crate::support::pty::Socket;

/// What is promised, and a second for a machine that is busy with other tests.
const STOP: Duration = Duration::from_secs(3);

/// One node that gives 200 readings a second, until the test is over.
const ENDLESS: Plan = Plan {
    nodes: 1,
    readings: 1_000_000,
    rate: 100.0,
};

/// A gateway with a node on a line and a few simulated sensors.
struct Scene {
    gateway: Gateway,
    device_file: String,
    socket: Socket,
}

impl Scene {
    /// `rest` is added to the device file: further sources.
    fn new(brokers: &str, rest: &str) -> Self {
        let socket = Socket::new();
        let sources = format!(
            "[[source]]\nkind = \"serial-frames\"\nport = {:?}\n\
            [[source]]\nkind = \"simulated\"\nsensors = 4\nevery = \"50ms\"\n{rest}",
            socket.path()
        );
        let gateway = Gateway::new(brokers, &sources);
        let device_file = gateway.device_file(brokers, &sources);
        Self {
            gateway,
            device_file,
            socket,
        }
    }

    fn fleet(&self, plan: Plan) -> Fleet {
        Fleet::start(plan, std::slice::from_ref(&self.socket))
    }

    /// What is in the queue, as an agent tells that has no sensor and no broker.
    fn stored(&self) -> Snapshot {
        let nothing = "[[source]]\nkind = \"serial-text\"\nport = \"/dev/no-such-port\"\npattern = '^(?P<sensor>a)(?P<t>1)$'\n";
        self.gateway
            .write(&self.gateway.device_file("127.0.0.1:9", nothing));
        let agent = self.gateway.start();
        let status = agent.status();
        agent.kill();
        self.gateway.write(&self.device_file);
        status
    }
}

/// How many readings of the fleet an agent has accepted.
fn of_fleet(status: &Snapshot, plan: &Plan) -> u64 {
    let names: Vec<_> = (0..plan.sensors()).map(sensor_id).collect();
    let sensors = status.sensors.iter().filter(|sensor| names.contains(&sensor.id));
    sensors.map(|sensor| sensor.ledger.accepted).sum()
}

/// Ends an agent that is to end in order, in time.
fn stop(agent: Agent, signal: Signal, what: &str, gateway: &Gateway) {
    let (status, took) = agent.end_by(signal);
    eprintln!("{what}: ended after {took:.0?}");
    assert_eq!(status.code(), Some(0), "{what}: {status}\n{}", gateway.log());
    assert!(
        took <= STOP,
        "{what}: ended only after {took:?}\n{}",
        gateway.log()
    );
}

/// Stops an agent in the middle of its work, and looks whether all is there that was accepted.
fn stop_and_look(scene: &Scene, fleet: &Fleet, agent: Agent, what: &str) {
    let before = agent.ledger();
    stop(agent, Signal::TERM, what, &scene.gateway);
    // All acknowledgements are on the line by now.
    std::thread::sleep(Duration::from_millis(100));
    let (receipted, made) = (fleet.receipted(), fleet.made().iter().sum());
    let stored = scene.stored();
    let accepted = of_fleet(&stored, &ENDLESS);
    eprintln!("{what}: {receipted} receipts, {accepted} stored of {made}");
    assert!(
        stored.ledger.accepted >= before.accepted,
        "{before:?} {:?}",
        stored.ledger
    );
    assert!(
        (receipted..=made).contains(&accepted),
        "{receipted} receipts, {accepted} stored of {made}"
    );
}
