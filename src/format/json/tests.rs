//! The contract of the format, byte by byte.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::queue::types::{Marks, MonoColumn, OutputNo};
use crate::reading::{Epoch, Measurement, SensorId, SensorNo, ValueKind};
use crate::template::Template;
use crate::ticket::{Piece, Span, TicketId};

fn def(id: &str, measurements: &[(&str, Option<&str>)], tags: &[(&str, &str)]) -> Arc<SensorDef> {
    Arc::new(SensorDef {
        id: SensorId::new(id).unwrap(),
        measurements: measurements
            .iter()
            .map(|(name, unit)| Measurement {
                name: (*name).into(),
                kind: ValueKind::Number,
                unit: unit.map(Into::into),
            })
            .collect(),
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    })
}

fn run(first: u64, wall: Vec<i64>, marks: Marks, columns: Vec<Column>) -> Arc<Run> {
    Arc::new(Run {
        sensor: SensorNo(0),
        first,
        wall,
        mono: MonoColumn::Offset(0),
        marks,
        columns,
        encoded: 0,
    })
}

fn ticket(def: Arc<SensorDef>, spans: Vec<Vec<(Arc<Run>, usize, usize)>>) -> Ticket {
    let piece = |(run, from, to)| Piece {
        row: 1,
        run,
        from,
        to,
    };
    Ticket {
        id: TicketId(1),
        output: OutputNo(0),
        sensor: SensorNo(0),
        def,
        epoch: Epoch(7),
        spans: spans
            .into_iter()
            .map(|pieces| Span {
                pieces: pieces.into_iter().map(piece).collect(),
            })
            .collect(),
    }
}

fn json() -> Json {
    Json::new(Routing {
        device: "greenhouse-7".to_owned(),
        topic: Template::new("t-{sensor}").unwrap(),
        key: Template::new("{device}_{sensor}").unwrap(),
    })
}

/// Every record as (topic, key, time, first, last, value).
fn records(ticket: &Ticket, from: usize) -> Vec<(String, String, i64, u64, u64, String)> {
    let mut all = Vec::new();
    let done = json().write(ticket, from, &mut |record| {
        all.push((
            record.topic.to_owned(),
            String::from_utf8(record.key.to_vec()).unwrap(),
            record.timestamp_ms,
            record.first,
            record.last,
            String::from_utf8(record.value.to_vec()).unwrap(),
        ));
        ControlFlow::Continue(())
    });
    assert_eq!(done, ticket.len());
    all
}

/// The value of one reading.
fn one(def: Arc<SensorDef>, wall: i64, marks: (Quality, TimeQuality), values: Vec<Value>) -> String {
    let columns = values
        .into_iter()
        .map(|value| match value {
            Value::Number(number) => Column::Numbers(vec![number]),
            other => Column::Mixed(vec![other]),
        })
        .collect();
    let run = run(1, vec![wall], Marks::All(marks.0, marks.1), columns);
    records(&ticket(def, vec![vec![(run, 0, 1)]]), 0).remove(0).5
}

const GOOD: (Quality, TimeQuality) = (Quality::Good, TimeQuality::Synchronized);
const AT: i64 = 1_782_482_400_123_000_000;

#[test]
fn the_five_golden_lines() {
    let number = Value::Number;
    for (def, wall, marks, values, expect) in [
        (
            def("shed-air", &[("temperature", Some("C"))], &[]),
            AT,
            GOOD,
            vec![number(21.5)],
            r#"{"sensorId":"shed-air","temperature":21.5,"unit":"C","recordedAt":"2026-06-26T14:00:00.123Z"}"#,
        ),
        (
            def("room", &[("temperature", Some("C"))], &[]),
            1_750_946_400_000_000_000,
            GOOD,
            vec![number(32.0)],
            r#"{"sensorId":"room","temperature":32,"unit":"C","recordedAt":"2025-06-26T14:00:00.000Z"}"#,
        ),
        (
            def(
                "attic",
                &[("temperature", Some("C")), ("humidity", Some("%"))],
                &[("site", "oslo")],
            ),
            AT,
            GOOD,
            vec![number(18.25), number(61.5)],
            r#"{"sensorId":"attic","temperature":18.25,"humidity":61.5,"unit":"C","units":{"humidity":"%"},"recordedAt":"2026-06-26T14:00:00.123Z","tags":{"site":"oslo"}}"#,
        ),
        (
            def("tank", &[("temperature", Some("C"))], &[]),
            1_782_482_401_000_000_000,
            (Quality::PowerOnValue, TimeQuality::Synchronized),
            vec![number(85.0)],
            r#"{"sensorId":"tank","temperature":85,"unit":"C","recordedAt":"2026-06-26T14:00:01.000Z","quality":"power-on-value"}"#,
        ),
        (
            def("door", &[("state", None)], &[]),
            1_782_482_402_500_000_000,
            (Quality::Good, TimeQuality::Estimated),
            vec![Value::Text("open".into())],
            r#"{"sensorId":"door","state":"open","recordedAt":"2026-06-26T14:00:02.500Z","timeQuality":"estimated"}"#,
        ),
    ] {
        assert_eq!(one(def, wall, marks, values), expect);
    }
}

#[test]
fn values_of_every_kind() {
    let three = def(
        "s",
        &[("a", Some("m")), ("b", None), ("c", Some("s"))],
        &[("k", "v"), ("l", "w\"")],
    );
    let tail = r#""recordedAt":"1970-01-01T00:00:00.000Z","tags":{"k":"v","l":"w\""}"#;
    for (values, expect) in [
        (
            [Value::Boolean(true), Value::Boolean(false), Value::Number(-0.0)],
            r#""a":true,"b":false,"c":-0,"unit":"m","units":{"c":"s"},"#,
        ),
        (
            [Value::Absent, Value::Number(1e21), Value::Number(1e-7)],
            r#""b":1e21,"c":1e-7,"units":{"c":"s"},"#,
        ),
        (
            [Value::Number(1.0), Value::Absent, Value::Absent],
            r#""a":1,"unit":"m","#,
        ),
        ([Value::Absent, Value::Absent, Value::Absent], ""),
        (
            [
                Value::Bytes(Box::new([1, 2, 3, 255])),
                Value::Bytes(Box::new([])),
                Value::Text("ø\u{1F600}\u{7f}\u{2028}".into()),
            ],
            "\"a\":\"AQID/w==\",\"b\":\"\",\"c\":\"ø\u{1F600}\u{7f}\u{2028}\",\"unit\":\"m\",\"units\":{\"c\":\"s\"},",
        ),
        (
            [
                Value::Text("\"\\/\u{8}\t\n\u{c}\r\u{0}\u{1f}".into()),
                Value::Text("".into()),
                Value::Absent,
            ],
            r#""a":"\"\\/\b\t\n\f\r\u0000\u001f","b":"","unit":"m","#,
        ),
    ] {
        assert_eq!(
            one(three.clone(), 0, GOOD, values.to_vec()),
            format!(r#"{{"sensorId":"s",{expect}{tail}}}"#)
        );
    }
}

#[test]
fn what_is_no_number_is_null_and_invalid() {
    let two = def("s", &[("a", Some("m")), ("b", None)], &[]);
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let marks = (Quality::OutOfRange, TimeQuality::Unsynced);
        assert_eq!(
            one(
                two.clone(),
                -1,
                marks,
                vec![Value::Number(2.5), Value::Number(number)]
            ),
            r#"{"sensorId":"s","a":2.5,"b":null,"unit":"m","recordedAt":"1969-12-31T23:59:59.999Z","quality":"invalid","timeQuality":"unsynced"}"#
        );
    }
}

#[test]
fn every_quality_has_its_name() {
    let plain = def("s", &[("a", None)], &[]);
    for quality in Quality::ALL {
        for time in TimeQuality::ALL {
            let value = one(plain.clone(), 0, (quality, time), vec![Value::Number(1.0)]);
            let parsed: serde_json::Value = serde_json::from_str(&value).unwrap();
            let expect = |field: &str| parsed.get(field).map(|text| text.as_str().unwrap().to_owned());
            let shown = |name: &str, left_out: bool| (!left_out).then(|| name.to_owned());
            assert_eq!(expect("quality"), shown(quality.name(), quality == Quality::Good));
            assert_eq!(
                expect("timeQuality"),
                shown(time.name(), time == TimeQuality::Synchronized)
            );
        }
    }
}

fn three_pieces() -> Ticket {
    let column = |values: &[f64]| vec![Column::Numbers(values.to_vec())];
    let all = Marks::All(Quality::Good, TimeQuality::Synchronized);
    let early = run(
        5,
        vec![1_000_000, 2_999_999, 3_000_000],
        all.clone(),
        column(&[1.0, 2.0, 3.0]),
    );
    let late = run(8, vec![4_000_000, -5_000_001], all, column(&[4.0, 5.0]));
    ticket(
        def("a/b", &[("t", None)], &[]),
        vec![vec![(early.clone(), 1, 2)], vec![(early, 2, 3), (late, 0, 2)]],
    )
}

#[test]
fn records_carry_topic_key_time_and_sequence() {
    let all = records(&three_pieces(), 0);
    let brief: Vec<(i64, u64, u64)> = all.iter().map(|r| (r.2, r.3, r.4)).collect();
    assert_eq!(brief, [(2, 6, 6), (3, 7, 7), (4, 8, 8), (-6, 9, 9)]);
    assert!(all.iter().all(|r| r.0 == "t-a_b" && r.1 == "greenhouse-7_a/b"));
}

#[test]
fn writing_goes_on_where_the_sink_broke() {
    let ticket = three_pieces();
    let whole = records(&ticket, 0);
    for from in 0..=whole.len() {
        assert_eq!(records(&ticket, from), whole[from..]);
        let mut taken = 0;
        let done = json().write(&ticket, 0, &mut |_| {
            if taken == from {
                return ControlFlow::Break(());
            }
            taken += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(done, from.min(whole.len()));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Absent),
        any::<u64>().prop_map(|bits| Value::Number(f64::from_bits(bits))),
        (-1000..1000_i32).prop_map(|n| Value::Number(f64::from(n) / 8.0)),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(|text| Value::Text(text.into())),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

fn expected(value: &Value) -> Option<serde_json::Value> {
    match value {
        Value::Absent => None,
        Value::Number(number) => Some(serde_json::Value::from(*number)),
        Value::Boolean(state) => Some((*state).into()),
        Value::Text(text) => Some((&**text).into()),
        Value::Bytes(bytes) => Some(STANDARD.encode(bytes).into()),
    }
}

/// The same, but for the last bit of numbers: serde_json reads them a little inexactly. The tests of `number` are exact.
fn same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.to_bits().abs_diff(right.to_bits()) <= 1,
        _ => left == right,
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        values in proptest::collection::vec(any_value(), 1..5),
        wall: i64,
        unit: Option<String>,
        tag in any::<String>(),
    ) {
        let names = ["a", "b \"c\"", "d", "e"];
        let measurements: Vec<_> = names[..values.len()].iter().map(|name| (*name, unit.as_deref())).collect();
        let def = def("sensor \"1\"", &measurements, &[("tag", &tag)]);
        let text = one(def, wall, GOOD, values.clone());
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&parsed["sensorId"], "sensor \"1\"");
        prop_assert_eq!(&parsed["tags"]["tag"], &tag);
        for (name, value) in names.iter().zip(&values) {
            match (parsed.get(name), expected(value)) {
                (Some(got), Some(expect)) => prop_assert!(same(got, &expect), "{} is not {}", got, expect),
                (None, None) => {}
                (got, expect) => prop_assert!(false, "{:?} is not {:?}", got, expect),
            }
        }
        let broken = values.iter().any(|value| matches!(value, Value::Number(n) if !n.is_finite()));
        prop_assert_eq!(parsed.get("quality").is_some(), broken);
        let has_unit = values[0] != Value::Absent && unit.is_some();
        prop_assert_eq!(parsed.get("unit").is_some(), has_unit);
        let others = values[1..].iter().filter(|value| **value != Value::Absent).count();
        let others = if unit.is_some() { others } else { 0 };
        prop_assert_eq!(parsed.get("units").map_or(0, |units| units.as_object().unwrap().len()), others);
    }
}
