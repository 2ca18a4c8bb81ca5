//! `audit` against a real Kafka: transactions, removed records, and a topic that is not there.

use std::time::Duration;

use edgespool::audit::{AuditError, Verdict};
use edgespool::forward::kafka::consumer::ConsumerError;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::{audit, options, producer, send};
use crate::support::kafka::{self, Kafka};

const WAIT: Duration = Duration::from_secs(30);

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn only_what_is_committed_counts_and_what_was_removed_is_not_missing() {
    let kafka = Kafka::start(&kafka::Options {
        arguments: vec!["--no-auto-create".into()],
        ..kafka::Options::default()
    });
    kafka.create_topic("t", 3);
    let brokers = kafka.bootstrap();
    let producer = producer(brokers, &[("transactional.id", "audit-test")]);
    producer.init_transactions(WAIT).unwrap();
    for (sequences, commits) in [(1..=5, true), (6..=9, false), (6..=10, true), (11..=12, false)] {
        producer.begin_transaction().unwrap();
        send(&producer, "t", "a", sequences);
        if commits {
            producer.commit_transaction(WAIT).unwrap();
        } else {
            producer.abort_transaction(WAIT).unwrap();
        }
    }
    // The log ends with an aborted transaction: its end is no record.
    let answer = audit(&options(brokers, &["t"])).unwrap();
    assert_eq!(answer.exit_code(), 0, "{}", answer.output(false));
    assert_eq!((answer.report.readings(), answer.report.duplicates()), (10, 0));

    // One that is open hides what follows, and is not waited for.
    producer.begin_transaction().unwrap();
    send(&producer, "t", "a", 11..=11);
    let open = audit(&options(brokers, &["t"])).unwrap();
    assert_eq!(
        (open.exit_code(), open.report.readings()),
        (0, 10),
        "{}",
        open.output(false)
    );
    producer.commit_transaction(WAIT).unwrap();

    remove_before(brokers, "t", 3);
    let trimmed = audit(&options(brokers, &["t"])).unwrap();
    assert_eq!(
        trimmed.verdict(),
        Verdict::Inconclusive,
        "{}",
        trimmed.output(false)
    );
    let row = &trimmed.report.rows[0];
    assert_eq!(
        (row.first, row.last, row.inconclusive.len(), row.missing.len()),
        (4, 11, 3, 0)
    );

    let error = audit(&options(brokers, &["nowhere"])).unwrap_err();
    assert!(
        matches!(error, AuditError::Consumer(ConsumerError::UnknownTopic(_))),
        "{error:?}"
    );
    assert_eq!(error.exit_code(), 69);
    assert!(
        !kafka.tool("topics", &["--list"]).contains("nowhere"),
        "asking makes no topic"
    );
}

/// Removes the records before an offset, in the partitions that have as many.
fn remove_before(brokers: &str, topic: &str, offset: i64) {
    let client: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for partition in 0..3 {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        // Partitions with fewer records refuse.
        drop(runtime.block_on(client.delete_records(&list, &AdminOptions::new())));
    }
}
