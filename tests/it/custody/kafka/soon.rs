//! How soon the first record is in Kafka after its port accepts again: within a second, however long that took.
//!
//! The moment is what the broker says itself (LogAppendTime). That the second is kept is measured and printed; what is
//! asserted leaves room for a machine that is busy.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use edgespool::clock::wall;

use super::{say, size};
use crate::support::agent::{Agent, Gateway};
use crate::support::gate::Gate;
use crate::support::kafka::{Kafka, Options};

const MOST_MS: i64 = 5000;

const SOURCES: &str = "commit-interval = \"250ms\"\n[span]\ntime-span = \"1s\"\nidle-timeout = \"1s\"\n\
    [[source]]\nkind = \"simulated\"\nsensors = 8\nevery = \"100ms\"\n";

fn create_topic(kafka: &Kafka) {
    kafka.create_topic_with("readings", 3, &["message.timestamp.type=LogAppendTime"]);
}

fn now_ms() -> i64 {
    wall().div_euclid(1_000_000)
}

/// Waits until all that was delivered by then is followed by more, and the queue is nearly empty again.
fn wait_for_recovery(agent: &mut Agent, delivered: u64) {
    let patience = Duration::from_secs(90);
    agent.wait_long("deliveries after the outage", patience, |status| {
        status.ledger.delivered > delivered && status.ledger.queued < 300
    });
}

/// How long after each of these moments the first record was appended, in milliseconds.
fn first_after(kafka: &Kafka, moments: &[i64]) -> Vec<i64> {
    let records = kafka.console_consume("readings");
    assert!(
        records
            .iter()
            .all(|record| record.timestamp_kind == "LogAppendTime")
    );
    let after = |moment: &i64| {
        let later = records
            .iter()
            .map(|record| record.timestamp - moment)
            .filter(|ms| *ms >= 0);
        later.min().expect("a record after the outage")
    };
    moments.iter().map(after).collect()
}

/// A block of ports as `kafka-up` needs them for one broker; the first.
fn free_block() -> u16 {
    let mut all = (20_000 + (std::process::id() % 1000) as u16 * 10..).step_by(10);
    let is_free = |port: &u16| (*port..*port + 10).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    all.find(is_free).unwrap()
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn when_a_gate_before_the_broker_opens_again() {
    let port = free_block();
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    let mut gate = Gate::new(server);
    let kafka = Kafka::start(&Options {
        properties: vec![format!("advertised.listeners=PLAINTEXT://{}", gate.port())],
        arguments: vec!["--port".into(), port.to_string()],
        ..Options::default()
    });
    create_topic(&kafka);
    let gateway = Gateway::new(&gate.port().to_string(), SOURCES);
    let mut agent = gateway.start();
    agent.wait_until("deliveries", |status| status.ledger.delivered > 0);
    let long = size("SOON_OUTAGE_SECONDS", 35);
    let outages = [2, 5, 3, 4, long].map(Duration::from_secs);
    let mut opened = Vec::new();
    for outage in outages {
        gate.shut();
        let delivered = agent
            .wait_until("it is noticed", |status| status.kafka.reachable == Some(false))
            .ledger
            .delivered;
        sleep(outage);
        opened.push(now_ms());
        gate.open();
        wait_for_recovery(&mut agent, delivered);
    }
    for (outage, took) in outages.into_iter().zip(first_after(&kafka, &opened)) {
        say(&format!(
            "gate shut for {outage:?}: first record {took} ms after it was opened"
        ));
        assert!(took <= MOST_MS, "{took} ms\n{}", gateway.log());
    }
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn when_a_broker_that_was_killed_comes_back() {
    let kafka = Kafka::start(&Options::default());
    create_topic(&kafka);
    let gateway = Gateway::new(kafka.bootstrap(), SOURCES);
    let mut agent = gateway.start();
    agent.wait_until("deliveries", |status| status.ledger.delivered > 0);
    kafka.kill(1);
    sleep(Duration::from_secs(size("SOON_OUTAGE_SECONDS", 35)));
    let delivered = agent.ledger().delivered;
    let address = kafka.bootstrap().to_owned();
    let accepts = std::thread::scope(|scope| {
        let port = scope.spawn(move || {
            while TcpStream::connect(&address).is_err() {
                sleep(Duration::from_millis(5));
            }
            now_ms()
        });
        kafka.restart(1);
        port.join().unwrap()
    });
    wait_for_recovery(&mut agent, delivered);
    let took = first_after(&kafka, &[accepts])[0];
    say(&format!(
        "broker restarted: first record {took} ms after its port accepted"
    ));
    assert!(took <= MOST_MS, "{took} ms\n{}", gateway.log());
}
