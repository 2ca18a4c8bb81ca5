//! The harness against a real cluster, and its reading of what the console consumer prints.

use super::record::record;
use super::*;

#[test]
fn a_printed_record_is_taken_apart() {
    let check = |line: &str, expect: &Record| assert_eq!(record(line.as_bytes()), *expect, "{line:?}");
    let plain = Record {
        partition: 5,
        offset: 7,
        timestamp_kind: "CreateTime".to_owned(),
        timestamp: 1_782_482_400_123,
        headers: Vec::new(),
        key: Some("attic".to_owned()),
        value: Some(b"{\"a\":1}".to_vec()),
    };
    check(
        "CreateTime:1782482400123\u{1f}Partition:5\u{1f}Offset:7\u{1f}NO_HEADERS\u{1f}attic\u{1f}{\"a\":1}",
        &plain,
    );
    let headers = vec![
        ("seq".to_owned(), "1".to_owned()),
        ("origin".to_owned(), "a:b".to_owned()),
    ];
    let full = Record {
        headers,
        key: None,
        value: None,
        ..plain
    };
    check(
        "CreateTime:1782482400123\u{1f}Partition:5\u{1f}Offset:7\u{1f}seq:1\u{1d}origin:a:b\u{1f}\u{1a}\u{1f}\u{1a}",
        &full,
    );
    assert_eq!(full.header("origin"), Some("a:b"));
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn records_of_the_java_producer_are_read_back_whole_also_after_the_broker_was_killed() {
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", 3);
    let keys = ["attic", "kjøkken", "tank", "door", "shed-air", "room"];
    kafka.java_produce("readings", keys.map(|key| (key, "{\"temperature\":21.5}")));
    kafka.create_topic("headers", 1);
    let properties = ["parse.headers=true", "parse.key=true"];
    let mut arguments = vec!["--topic", "headers"];
    arguments.extend(
        properties
            .iter()
            .flat_map(|property| ["--reader-property", property]),
    );
    kafka.run_tool(
        "console-producer",
        &arguments,
        Some(b"seq:1,origin:a:b\tattic\t{\"a\": 1}\n"),
    );
    kafka.kill(1);
    kafka.restart(1);
    let with_headers = kafka.console_consume("headers");
    assert_eq!(
        (with_headers[0].header("seq"), with_headers[0].header("origin")),
        (Some("1"), Some("a:b"))
    );
    assert_eq!(with_headers[0].text(), "{\"a\": 1}");
    let records = kafka.console_consume("readings");
    let partitions = kafka.java_partitions(3, &keys);

    assert_eq!(kafka.count("readings"), 6);
    let read: BTreeMap<String, u32> = records
        .iter()
        .map(|record| (record.key.clone().unwrap(), record.partition))
        .collect();
    assert_eq!(read, partitions);
    assert!(
        records
            .iter()
            .all(|record| record.text() == "{\"temperature\":21.5}" && record.timestamp > 0)
    );
    assert!(
        partitions
            .values()
            .any(|partition| *partition != partitions["attic"]),
        "{partitions:?}"
    );
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn three_brokers_serve_while_one_is_gone_and_nothing_is_left_when_they_are_dropped() {
    let options = Options {
        brokers: 3,
        properties: vec!["auto.create.topics.enable=false".to_owned()],
        arguments: vec!["--secure".to_owned()],
    };
    let kafka = Kafka::start(&options);
    kafka.create_topic_with("readings", 3, &["retention.ms=60000"]);
    assert!(
        kafka
            .tool("topics", &["--describe", "--topic", "readings"])
            .contains("retention.ms=60000")
    );
    assert_eq!(kafka.variable("KAFKA_BOOTSTRAP_TLS").split(',').count(), 3);
    kafka.kill(2);
    kafka.java_produce("readings", [("attic", "1")]);
    kafka.pause(1);
    kafka.resume(1);
    kafka.restart(2);
    assert_eq!(kafka.console_consume("readings").len(), 1);

    let dir = kafka.dir.path().to_owned();
    let pids = [1, 2, 3].map(|n| std::fs::read_to_string(dir.join(format!("node-{n}/pid"))).unwrap());
    drop(kafka);
    assert!(!dir.try_exists().unwrap());
    for pid in pids {
        assert!(
            !Path::new("/proc")
                .join(pid.trim())
                .join("exe")
                .try_exists()
                .unwrap_or(false),
            "{pid} runs on"
        );
    }
}
