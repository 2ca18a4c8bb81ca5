//! Messages of many kinds, and what becomes of them.

use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::intake::catalog::Catalog;
use crate::intake::inbox::Inbox;
use crate::mqtt::{Filter, Path, SensorName};
use crate::reading::{SensorId, Values};
use crate::source::{Knowledge, Overrides, Snapshot};

const ARRIVAL: Stamp = Stamp {
    wall: 1_750_946_400_000_000_000,
    mono: 5,
    quality: TimeQuality::Synchronized,
};

fn topic(filter: &str, sensor: &str, fields: &[(&str, &str)], time: Option<&str>) -> Topic {
    let filter = Filter::new(filter).unwrap();
    Topic {
        sensor: SensorName::new(sensor, &filter).unwrap(),
        filter,
        fields: fields
            .iter()
            .map(|(name, path)| ((*name).into(), Path::new(path).unwrap()))
            .collect(),
        time: time.map(|path| Path::new(path).unwrap()),
    }
}

struct Desk {
    context: Context,
    translator: Translator,
    kept: bool,
}

impl Desk {
    fn new(topics: Vec<Topic>) -> Self {
        Self::with(topics, 10, Knowledge::default())
    }

    fn with(topics: Vec<Topic>, max_sensors: usize, knowledge: Knowledge) -> Self {
        let inbox = Inbox::new(Duration::from_secs(1), Catalog::new(vec![], max_sensors));
        Self {
            context: Context::new(
                "mqtt",
                Arc::new(inbox),
                Arc::new(Clock::new()),
                Arc::new(knowledge),
            ),
            translator: Translator::new(topics),
            kept: true,
        }
    }

    fn hear(&mut self, topic: &str, payload: &str, retained: bool) -> Option<Reading> {
        let publish = Publish {
            topic,
            payload: payload.as_bytes(),
            packet: Some(1),
            retained,
            again: false,
        };
        self.translator
            .message(&self.context, &publish, ARRIVAL, self.kept)
    }

    fn live(&mut self, topic: &str, payload: &str) -> Option<Reading> {
        self.hear(topic, payload, false)
    }

    fn shown(&self) -> Snapshot {
        self.context.health().snapshot()
    }
}

fn temperature() -> Topic {
    topic("z/+", "{topic.1}", &[("temperature", "t")], None)
}

#[test]
fn a_message_is_a_reading_of_the_sensor_that_its_topic_names() {
    let fields = [
        ("temperature", "t"),
        ("humidity", "h"),
        ("door", "d"),
        ("state", "s"),
    ];
    let mut desk = Desk::new(vec![topic("z/+", "{topic.1}", &fields, None)]);
    let reading = desk
        .live("z/attic", r#"{"h":40,"t":21.5,"s":"idle","d":true}"#)
        .unwrap();
    let expect = vec![
        Value::Number(21.5),
        Value::Number(40.0),
        Value::Boolean(true),
        Value::Text("idle".into()),
    ];
    assert_eq!(reading.values.as_slice(), expect);
    assert_eq!((reading.time, reading.quality), (ARRIVAL, Quality::Good));
    let other = desk.live("z/shed", r#"{"t":1}"#).unwrap();
    assert_ne!(other.sensor, reading.sensor);
    assert_eq!(
        other.values.as_slice()[1..],
        [Value::Absent, Value::Absent, Value::Absent]
    );
    assert_eq!(desk.live("z/attic", r#"{"t":2}"#).unwrap().sensor, reading.sensor);
}

#[test]
fn what_gives_no_reading_is_counted_and_shown() {
    let mut desk = Desk::new(vec![temperature()]);
    for (topic, payload) in [
        ("y/attic", r#"{"t":1}"#),
        ("z/attic", "offline"),
        ("z/attic", r#"{"x":1}"#),
        ("z/attic", r#"{"t":null}"#),
    ] {
        assert_eq!(desk.live(topic, payload), None, "{payload}");
    }
    assert_eq!(desk.shown().counters.bad_lines, 4);
    let shown = desk.shown().last_bad_line;
    assert_eq!(shown.as_deref(), Some(r#"z/attic {"t":null}"#));
}

#[test]
fn a_measurement_keeps_the_type_of_its_first_value() {
    let mut desk = Desk::new(vec![temperature()]);
    let mut values = |payload: &str| {
        let reading = desk.live("z/a", payload).unwrap();
        (reading.values, reading.quality)
    };
    let number = |n| (Values::One(Value::Number(n)), Quality::Good);
    assert_eq!(values(r#"{"t":1}"#), number(1.0));
    assert_eq!(
        values(r#"{"t":"2.5"}"#),
        number(2.5),
        "a text that reads as a number is one here"
    );
    for payload in [r#"{"t":"warm"}"#, r#"{"t":true}"#] {
        let (value, quality) = values(payload);
        assert!(
            matches!(value, Values::One(Value::Number(n)) if n.is_nan()),
            "{payload}"
        );
        assert_eq!(quality, Quality::Invalid);
    }
    assert_eq!(desk.shown().counters.bad_values, 2);
}

#[test]
fn truth_values_and_texts_keep_their_type_too() {
    let mut desk = Desk::new(vec![temperature()]);
    desk.live("z/door", r#"{"t":false}"#).unwrap();
    let odd = desk.live("z/door", r#"{"t":1}"#).unwrap();
    assert_eq!(
        (odd.values, odd.quality),
        (Values::One(Value::Absent), Quality::Invalid)
    );
    desk.live("z/mode", r#"{"t":"heat"}"#).unwrap();
    for (payload, expect) in [(r#"{"t":1.5}"#, "1.5"), (r#"{"t":true}"#, "true")] {
        let reading = desk.live("z/mode", payload).unwrap();
        assert_eq!(reading.values, Values::One(Value::Text(expect.into())));
    }
}

#[test]
fn a_unit_makes_a_number_of_what_devices_send_as_text() {
    let units = [("temperature".into(), "C".into())].into();
    let overrides = Overrides {
        units,
        ..Overrides::default()
    };
    let knowledge = Knowledge {
        sensors: [(SensorId::new("a").unwrap(), overrides)].into(),
        ..Knowledge::default()
    };
    let mut desk = Desk::with(vec![temperature()], 10, knowledge);
    let reading = desk.live("z/a", r#"{"t":"21.5"}"#).unwrap();
    assert_eq!(reading.values, Values::One(Value::Number(21.5)));
}

#[test]
fn the_payload_says_when_and_else_the_time_is_estimated() {
    let mut desk = Desk::new(vec![topic(
        "z/+",
        "{topic.1}",
        &[("temperature", "t")],
        Some("at"),
    )]);
    for at in [
        "\"2025-06-26T14:00:01.5Z\"",
        "1750946401.5",
        "1750946401500",
        "\"1750946401500\"",
    ] {
        let reading = desk.live("z/a", &format!("{{\"t\":1,\"at\":{at}}}")).unwrap();
        assert_eq!(reading.time.wall, 1_750_946_401_500_000_000, "{at}");
        assert_eq!(
            (reading.time.mono, reading.time.quality),
            (5, TimeQuality::Synchronized)
        );
    }
    for payload in [
        r#"{"t":1}"#,
        r#"{"t":1,"at":"2025-06-26T14:00:01"}"#,
        r#"{"t":1,"at":true}"#,
    ] {
        let reading = desk.live("z/a", payload).unwrap();
        assert_eq!(reading.time.wall, ARRIVAL.wall, "{payload}");
        assert_eq!(reading.time.quality, TimeQuality::Estimated, "{payload}");
    }
    assert_eq!(desk.shown().counters.bad_values, 3);
}

#[test]
fn a_retained_message_is_no_fresh_reading() {
    let mut desk = Desk::new(vec![temperature()]);
    for kept in [true, false] {
        desk.kept = kept;
        assert_eq!(
            desk.hear("z/a", r#"{"t":1}"#, true),
            None,
            "nobody knows how old it is"
        );
    }
    assert_eq!(desk.shown().counters.retained, 2);
}

#[test]
fn a_retained_message_with_a_time_counts_in_a_new_session_if_it_is_new() {
    let mut desk = Desk::new(vec![topic(
        "z/+",
        "{topic.1}",
        &[("temperature", "t")],
        Some("at"),
    )]);
    let at = |second: u32| format!("{{\"t\":1,\"at\":{}}}", 1_750_946_400 + second);
    assert_eq!(desk.hear("z/a", &at(1), true), None, "the session has it");
    desk.kept = false;
    assert!(desk.hear("z/a", &at(1), true).is_some());
    assert_eq!(desk.hear("z/a", &at(1), true), None, "taken already");
    assert!(desk.live("z/a", &at(3)).is_some());
    assert_eq!(desk.hear("z/a", &at(2), true), None, "older than what is known");
    assert!(desk.hear("z/b", &at(2), true).is_some(), "another sensor");
    assert_eq!(desk.hear("z/a", r#"{"t":1}"#, true), None, "without its time");
}

#[test]
fn sensors_are_bounded_and_one_comes_from_one_filter() {
    let plain = topic("p/+", "{topic.1}", &[("temperature", "$")], None);
    let mut desk = Desk::with(vec![temperature(), plain], 2, Knowledge::default());
    assert!(desk.live("z/a", r#"{"t":1}"#).is_some());
    assert_eq!(desk.live("p/a", "1"), None, "the same sensor by another filter");
    assert!(desk.live("p/b", "1").is_some());
    assert_eq!(desk.live("p/c", "1"), None, "more sensors than are allowed");
    assert_eq!(desk.live("p/\u{7}", "1"), None, "no name");
    let refused = desk.context.offers().all().refused;
    assert_eq!(refused, [0, 0, 2, 1]);
}
