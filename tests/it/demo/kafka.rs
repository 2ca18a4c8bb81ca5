//! The demo on a real Kafka, which it has to share with what is there already.

use edgespool::audit::Verdict;

use super::gateway::Bug;
use super::{demo_on, number};
use crate::support::kafka::{Kafka, Options};

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn a_demo_makes_its_topic_and_tells_its_own_records_from_those_of_another() {
    let kafka = Kafka::start(&Options {
        arguments: vec!["--no-auto-create".into()],
        ..Options::default()
    });
    let first = demo_on(Some(kafka.bootstrap()), Some(Bug::ForgetsBeforeNumbering));
    assert_eq!(
        (first.verdict(), number(&first, "missing")),
        (Verdict::Faulty, 1),
        "{first}"
    );
    let second = demo_on(Some(kafka.bootstrap()), None);
    assert_eq!(second.verdict(), Verdict::Well, "{second}");
    assert!(number(&second, "accepted") > 0, "{second}");
    let both = number(&first, "accepted") + number(&second, "accepted");
    assert_eq!(kafka.count(edgespool::demo::TOPIC), both);
}
