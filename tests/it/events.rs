//! Events, from what happens to the records of them: the agent as a process, an embedded Kafka.

use std::time::Duration;

use edgespool::forward::kafka::consumer::{Consumer, Event, Settings, Start};
use edgespool::forward::kafka::mock::MockKafka;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::agent::Gateway;
use crate::support::pty::Socket;

fn gateway(kafka: &MockKafka, socket: &Socket, kafka_keys: &str) -> Gateway {
    let rest = format!(
        "commit-interval = \"50ms\"\n[[source]]\nkind = \"serial-text\"\nport = {:?}\n\
         pattern = '^(?P<sensor>[$\\w-]+):(?P<temperature>\\S+)C$'\n",
        socket.path()
    );
    let gateway = Gateway::new(&kafka.brokers(), &rest);
    let text = gateway.device_file(&kafka.brokers(), &rest);
    gateway.write(&text.replace(
        "topic = \"readings\"",
        &format!("topic = \"readings\"\n{kafka_keys}"),
    ));
    gateway
}

/// The records of a topic: key, seq, value.
fn records(kafka: &MockKafka, topic: &str) -> Vec<(String, String, Value)> {
    let mut consumer = Consumer::new(&Settings {
        brokers: vec![kafka.brokers()],
        client_id: "test".into(),
        librdkafka: vec![],
        patience: Duration::from_secs(20),
    })
    .unwrap();
    let mut found = Vec::new();
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let mut hear = |event: Event<'_>| {
        if let Event::Record(record) = event {
            let value = serde_json::from_slice(record.value().unwrap()).unwrap();
            found.push((text(record.key()), text(record.header("seq")), value));
        }
    };
    consumer.begin(topic, Start::Earliest, &mut hear).unwrap();
    while !consumer.is_at_end() {
        consumer.poll(Duration::from_millis(100), &mut hear).unwrap();
    }
    found
}

#[test]
fn what_happens_to_the_agent_is_in_the_events_topic_and_in_no_ledger_of_readings() {
    let kafka = MockKafka::start("readings", 1).unwrap();
    kafka.add_topic("edge-events", 1).unwrap();
    let socket = Socket::new();
    let gateway = gateway(&kafka, &socket, "events-topic = \"edge-events\"\n");
    let mut agent = gateway.start();
    agent.wait_until("a fault of the port", |status| {
        status.events.counts.get("source-fault") == Some(&1)
    });
    let adapter = socket.plug();
    agent.wait_until("its recovery", |status| {
        status.events.counts.get("source-recovered") == Some(&1)
    });
    adapter.write_now(b"shed:21.5C\n$events:1C\n");
    let status = agent.wait_until("a reading, and three events", |status| {
        (
            status.ledger.delivered,
            status.events.ledger.delivered,
            status.intake.refused.invalid,
        ) == (1, 4, 1)
    });
    // The sensor that called itself as the agent's own is a mishap: that is the fourth.
    assert_eq!(
        (status.ledger.accepted, status.sensors.len()),
        (1, 1),
        "{status:?}"
    );
    assert_eq!(status.events.topic.as_deref(), Some("edge-events"));
    assert!(agent.end_by(Signal::TERM).0.success());
    let mut agent = gateway.start();
    agent.wait_until("the end of one run and the start of another", |status| {
        status.events.ledger.delivered >= 6 && status.events.ledger.queued == 0
    });

    let records = records(&kafka, "edge-events");
    let kinds: Vec<_> = records.iter().map(|(.., value)| value["event"].clone()).collect();
    assert_eq!(
        kinds[..6],
        [
            "started",
            "source-fault",
            "source-fault",
            "source-recovered",
            "stopped",
            "started"
        ]
        .map(|kind| json!(kind))
    );
    for (index, (key, seq, value)) in records.iter().enumerate() {
        assert_eq!(
            (key.as_str(), seq.as_str()),
            ("greenhouse-7", &*(index + 1).to_string())
        );
        assert!(value["recordedAt"].as_str().unwrap().ends_with('Z'), "{value}");
        assert!(value.get("sensorId").is_none(), "{value}");
    }
    let epoch = gateway.status_command()["queue"]["epoch"].clone();
    assert_eq!(records[0].2["epoch"], epoch);
    let label = format!("source[1] serial-text {}: port: ", socket.path().display());
    let reason = records[1].2["reason"].as_str().unwrap();
    assert!(reason.starts_with(&label), "{reason}");
    assert!(
        records[2].2["reason"]
            .as_str()
            .unwrap()
            .contains("cannot be called $events")
    );
}

#[test]
fn without_a_topic_events_are_counted_and_nothing_is_sent() {
    let kafka = MockKafka::start("readings", 1).unwrap();
    let socket = Socket::new();
    let gateway = gateway(&kafka, &socket, "");
    let adapter = socket.plug();
    let mut agent = gateway.start();
    adapter.write_now(b"shed:21.5C\n");
    let status = agent.wait_until("a reading", |status| status.ledger.delivered == 1);
    assert_eq!(status.events.counts.get("started"), Some(&1));
    assert_eq!((status.events.topic, status.events.ledger.accepted), (None, 0));
    assert_eq!(records(&kafka, "readings").len(), 1);
}
