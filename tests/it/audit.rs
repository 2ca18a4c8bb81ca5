//! `audit` against brokers: librdkafka's mock cluster, and (with `just test-kafka`) a real Kafka.

mod kafka;

use std::time::Duration;

use edgespool::audit::{Answer, AuditError, Heard, Options, Strictness, Tally, Verdict, run};
use edgespool::forward::kafka::consumer::{Consumer, ConsumerError, Event, Settings, Start};
use edgespool::forward::kafka::mock::MockKafka;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

type Producer = ThreadedProducer<rdkafka::producer::DefaultProducerContext>;

fn options(brokers: &str, topics: &[&str]) -> Options {
    Options {
        brokers: vec![brokers.to_owned()],
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        device: None,
        strictness: Strictness::DuplicatesAllowed,
        librdkafka: Vec::new(),
        patience: Duration::from_secs(10),
    }
}

fn audit(options: &Options) -> Result<Answer, AuditError> {
    run(options, &mut |_, _| {})
}

fn producer(brokers: &str, settings: &[(&str, &str)]) -> Producer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2_random");
    settings.iter().for_each(|(name, value)| {
        config.set(*name, *value);
    });
    config.create().unwrap()
}

/// Sends readings with these sequence numbers, and waits for the acknowledgements.
fn send(producer: &Producer, topic: &str, sensor: &str, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        let seq = sequence.to_string();
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new()
            .insert(header("device", "gw"))
            .insert(header("epoch", "7"))
            .insert(header("seq", &seq));
        let value = format!(r#"{{"sensorId":"{sensor}","temperature":21.5,"unit":"C"}}"#);
        let mut record = BaseRecord::to(topic).key(sensor).payload(&value).headers(headers);
        while let Err((_, again)) = producer.send(record) {
            std::thread::sleep(Duration::from_millis(5));
            record = again;
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

#[test]
fn topics_are_read_as_one_feed_and_strangers_passed_over() {
    let mock = MockKafka::start("oslo.one", 3).unwrap();
    let producer = producer(&mock.brokers(), &[]);
    for sensor in ["a", "b", "c", "d"] {
        send(&producer, "oslo.one", sensor, 1..=5);
    }
    send(&producer, "oslo.two", "a", 6..=9);
    producer
        .send(BaseRecord::to("oslo.one").key("a").payload("{}"))
        .unwrap();
    producer.flush(Duration::from_secs(60)).unwrap();

    let answer = audit(&options(&mock.brokers(), &["oslo.*"])).unwrap();
    assert_eq!(answer.exit_code(), 0, "{}", answer.output(false));
    assert_eq!((answer.report.readings(), answer.report.records.foreign), (24, 1));
    // By itself, the second half of a sensor is only half of it.
    let half = audit(&options(&mock.brokers(), &["oslo.two"])).unwrap();
    assert_eq!(
        (half.exit_code(), half.report.missing()),
        (65, 5),
        "{}",
        half.output(false)
    );
    let nobody = Options {
        device: Some("somebody-else".into()),
        ..options(&mock.brokers(), &["oslo.one"])
    };
    assert_eq!(audit(&nobody).unwrap().exit_code(), 69);
}

#[test]
fn what_the_cluster_has_forgotten_is_inconclusive() {
    let mock = MockKafka::start("t", 1).unwrap();
    send(&producer(&mock.brokers(), &[]), "t", "a", 1..=120_000);
    let answer = audit(&options(&mock.brokers(), &["t"])).unwrap();
    assert_eq!(
        answer.verdict(),
        Verdict::Inconclusive,
        "{}",
        answer.output(false)
    );
    let report = &answer.report;
    assert_eq!(
        (report.missing(), report.readings() + report.inconclusive()),
        (0, 120_000)
    );
    assert!(report.inconclusive() > 0);
}

#[test]
fn a_reader_that_retention_overtakes_says_what_it_did_not_see() {
    let mock = MockKafka::start("t", 1).unwrap();
    let producer = producer(&mock.brokers(), &[]);
    send(&producer, "t", "a", 1..=10);
    let mut consumer = Consumer::new(&Settings {
        brokers: vec![mock.brokers()],
        client_id: "test".into(),
        librdkafka: Vec::new(),
        patience: Duration::from_secs(10),
    })
    .unwrap();
    let (mut tally, mut removals) = (Tally::new(None), 0);
    let mut hear = |event: Event<'_>| match event {
        Event::Removed {
            topic,
            partition,
            earliest,
        } => {
            removals += 1;
            let part = tally.part(topic, partition);
            tally.removed(part, earliest);
        }
        Event::Record(record) => {
            let part = tally.part(record.topic(), record.partition());
            let heard = Heard {
                offset: record.offset(),
                key: record.key(),
                value: record.value(),
                device: record.header("device"),
                epoch: record.header("epoch"),
                seq: record.header("seq"),
            };
            tally.record(part, &heard).expect("all are ours");
        }
    };
    consumer.begin("t", Start::Earliest, &mut hear).unwrap();
    while consumer.left() > 0 {
        consumer.poll(Duration::from_millis(100), &mut hear).unwrap();
    }
    // More than is read ahead and more than the cluster keeps.
    send(&producer, "t", "a", 11..=220_000);
    consumer.extend().unwrap();
    while !consumer.is_at_end() {
        consumer.poll(Duration::from_millis(100), &mut hear).unwrap();
    }
    let report = edgespool::audit::Report::of(&tally, true, Strictness::DuplicatesAllowed);
    assert!(removals > 0, "{report}");
    assert_eq!(report.verdict, Verdict::Inconclusive, "{report}");
    assert_eq!(
        (report.missing(), report.duplicates(), report.disorder()),
        (0, 0, 0),
        "{report}"
    );
    assert_eq!(report.readings() + report.inconclusive(), 220_000, "{report}");
    assert_eq!(report.rows[0].first, 1, "what was there at first was read");
}

#[test]
fn a_broker_that_is_not_there_is_named_with_the_reason() {
    let nowhere = Options {
        patience: Duration::from_secs(2),
        ..options("127.0.0.1:1", &["t"])
    };
    let error = audit(&nowhere).unwrap_err();
    assert_eq!(error.exit_code(), 69);
    let AuditError::Consumer(source @ ConsumerError::Unreachable { .. }) = &error else {
        panic!("{error:?}")
    };
    let text = source.to_string();
    assert!(text.starts_with("no broker answers at 127.0.0.1:1: "), "{text}");
    assert!(text.contains("refused"), "{text}");
    assert!(error.hint().is_some());
}

#[test]
fn settings_that_librdkafka_does_not_know_are_an_error() {
    let strange = Options {
        librdkafka: vec![("no.such.setting".into(), "1".into())],
        ..options("127.0.0.1:1", &["t"])
    };
    assert_eq!(audit(&strange).unwrap_err().exit_code(), 78);
}
