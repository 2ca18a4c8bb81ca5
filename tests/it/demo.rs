//! The demo against a small gateway of its own: nodes, lines, embedded Kafka, audit and verdict, without the agent.
//!
//! The gateway can be told to fail in ways that an agent must not: each must show in the verdict.

mod gateway;
mod kafka;

use std::time::Duration;

use edgespool::audit::Verdict;
use edgespool::demo::{Options, Outcome, run};

use gateway::{Bug, Small};

fn demo(bug: Option<Bug>) -> Outcome {
    demo_on(None, bug)
}

fn demo_on(kafka: Option<&str>, bug: Option<Bug>) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        duration: Duration::from_secs(3),
        nodes: 3,
        kafka: kafka.map(str::to_owned),
        directory: Some(directory.path().to_owned()),
    };
    run(&options, |device_file| Ok(Small::start(device_file, bug))).unwrap()
}

fn number(outcome: &Outcome, name: &str) -> u64 {
    let object: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
    object[name].as_u64().unwrap()
}

#[test]
fn a_gateway_that_keeps_its_word_passes_over_an_outage() {
    let outcome = demo(None);
    assert_eq!(outcome.verdict(), Verdict::Well, "{outcome}");
    assert!(number(&outcome, "accepted") > 0, "{outcome}");
    for (name, expect) in [
        ("queued", 0),
        ("dead", 0),
        ("dropped", 0),
        ("missing", 0),
        ("duplicated", 0),
    ] {
        assert_eq!(number(&outcome, name), expect, "{name}: {outcome}");
    }
    assert_eq!(number(&outcome, "accepted"), number(&outcome, "delivered"));
}

#[test]
fn what_was_promised_and_lost_before_it_got_a_number_is_missing() {
    let outcome = demo(Some(Bug::ForgetsBeforeNumbering));
    assert_eq!(
        (outcome.verdict(), number(&outcome, "missing")),
        (Verdict::Faulty, 1),
        "{outcome}"
    );
}

#[test]
fn what_was_numbered_and_not_sent_is_missing() {
    let outcome = demo(Some(Bug::CallsDeliveredWhatItNeverSent));
    assert_eq!(
        (outcome.verdict(), number(&outcome, "missing")),
        (Verdict::Faulty, 1),
        "{outcome}"
    );
}

#[test]
fn what_was_sent_twice_is_shown_and_no_fault() {
    let outcome = demo(Some(Bug::SendsTwice));
    assert_eq!(
        (outcome.verdict(), number(&outcome, "duplicated")),
        (Verdict::Well, 1),
        "{outcome}"
    );
}

#[test]
fn a_value_that_no_node_measured_is_a_fault() {
    let outcome = demo(Some(Bug::ChangesAValue));
    assert_eq!(outcome.verdict(), Verdict::Faulty, "{outcome}");
    assert!(
        outcome.to_string().contains("records that no node wrote: 1"),
        "{outcome}"
    );
}
