//! Whatever is encoded comes back the same.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use edgespool_wire::{
    Ack, Batch, Data, Decoder, EncodeError, Hello, Lost, MAX_ENCODED, MAX_SEQUENCE, Measurement,
    Measurements, Message, NodeId, Reading, Value, Values, Versions, encode, encode_reading,
};
use proptest::collection::vec;
use proptest::prelude::*;
use support::line;

#[derive(Clone, Debug)]
enum Owned {
    Absent,
    Number(f64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Absent => Value::Absent,
            Self::Number(number) => Value::Number(*number),
            Self::Bool(value) => Value::Bool(*value),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

fn values() -> impl Strategy<Value = Owned> {
    prop_oneof![
        Just(Owned::Absent),
        any::<f64>().prop_map(Owned::Number),
        any::<f32>().prop_map(|number| Owned::Number(f64::from(number))),
        (-2000i32..2000).prop_map(|number| Owned::Number(f64::from(number) / 16.0)),
        any::<bool>().prop_map(Owned::Bool),
        "\\PC{0,20}".prop_map(Owned::Text),
        vec(any::<u8>(), 0..20).prop_map(Owned::Bytes),
    ]
}

fn node_ids() -> impl Strategy<Value = NodeId> {
    vec(any::<u8>(), 1..=16).prop_map(|id| NodeId::new(&id).unwrap())
}

fn there_and_back(message: Message<'_>) {
    let bytes = line(&message);
    let mut decoder: Decoder = Decoder::new();
    let mut input = &bytes[..];
    let back = decoder.next(&mut input).unwrap().unwrap();
    assert_eq!(back, message);
    assert_eq!(line(&back), bytes);
}

/// Bit for bit, which `==` is not for NaN and the zeros.
fn same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan())
        }
        _ => left == right,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hello(node in node_ids(), boot: u32, min: u8, more: u8, window: u16, first in 1..=MAX_SEQUENCE, uptime_ms: u64) {
        let versions = Versions { min, max: min.saturating_add(more) };
        there_and_back(Message::Hello(Hello { node, boot, versions, window, first, uptime_ms }));
    }

    #[test]
    fn lost(node in node_ids(), boot: u32, a in 1..=MAX_SEQUENCE, b in 1..=MAX_SEQUENCE, uptime_ms: u64) {
        there_and_back(Message::Lost(Lost { node, boot, from: a.min(b), through: a.max(b), uptime_ms }));
    }

    #[test]
    fn ack(node in node_ids(), boot: u32, through in 0..=MAX_SEQUENCE, version: u8) {
        there_and_back(Message::Ack(Ack { node, boot, through, version }));
    }

    #[test]
    fn data(
        node in node_ids(),
        boot: u32,
        first in 1..=MAX_SEQUENCE - 40,
        sensor in "[^\\p{Cc}]{1,32}",
        names in vec(("[^\\p{Cc}]{1,8}", proptest::option::of("[^\\p{Cc}]{1,4}")), 1..=8),
        rows in vec((any::<u64>(), vec(values(), 8)), 1..40),
    ) {
        let described: Vec<Measurement<'_>> =
            names.iter().map(|(name, unit)| Measurement { name, unit: unit.as_deref() }).collect();
        let measurements = Measurements::from_slice(&described).unwrap();
        let mut batch = Batch::new();
        let mut kept = Vec::new();
        let mut out = [0; MAX_ENCODED];
        // As many as fit, as a node does it.
        for (uptime_ms, row) in &rows {
            let values: Vec<Value<'_>> = row.iter().take(names.len()).map(Owned::value).collect();
            let before = batch.clone();
            let message = |batch| Message::Data(Data { node, boot, first, sensor: &sensor, measurements, readings: batch });
            let fits = batch.push(*uptime_ms, &values).is_ok() && encode(&message(batch.readings()), &mut out).is_ok();
            if !fits {
                batch = before;
                break;
            }
            kept.push((*uptime_ms, values));
        }
        if kept.is_empty() {
            return Ok(());
        }
        let message = Message::Data(Data { node, boot, first, sensor: &sensor, measurements, readings: batch.readings() });
        let bytes = line(&message);
        let mut decoder: Decoder = Decoder::new();
        let mut input = &bytes[..];
        let Some(Ok(Message::Data(back))) = decoder.next(&mut input) else { panic!("it is data") };
        prop_assert_eq!((back.node, back.boot, back.first, back.sensor), (node, boot, first, &sensor[..]));
        prop_assert_eq!(&back.measurements[..], &described[..]);
        prop_assert_eq!(back.readings.len(), kept.len());
        prop_assert_eq!(back.through(), first + kept.len() as u64 - 1);
        for (reading, (uptime_ms, values)) in back.readings.iter().zip(&kept) {
            prop_assert_eq!(reading.uptime_ms, *uptime_ms);
            prop_assert_eq!(reading.values.len(), values.len());
            prop_assert!(reading.values.iter().zip(values).all(|(left, right)| same(left, right)));
        }
    }

    #[test]
    fn readings_that_were_encoded_earlier_are_the_same(
        uptime_ms: u64, row in vec(values(), 1..=8), cut: prop::sample::Index,
    ) {
        let values: Vec<Value<'_>> = row.iter().map(Owned::value).collect();
        let mut bytes = [0; 512];
        let len = encode_reading(uptime_ms, &values, &mut bytes).unwrap();
        let (left, right) = bytes[..len].split_at(cut.index(len + 1));
        let (mut direct, mut pieces) = (Batch::new(), Batch::new());
        direct.push(uptime_ms, &values).unwrap();
        pieces.push_encoded([left, right]).unwrap();
        prop_assert_eq!(direct.readings(), pieces.readings());
    }
}

#[test]
fn numbers_take_the_fewest_bytes_that_are_lossless() {
    let cases = [
        (0.0, 3),
        (-0.0, 3),
        (21.5, 3),
        (65504.0, 3),
        (0.1f32.into(), 5),
        (1e9, 5),
        (0.1, 9),
        (1e300, 9),
    ];
    for (number, size) in cases {
        let mut bytes = [0; 32];
        // The head of the array and an uptime of one byte stand before it.
        assert_eq!(
            encode_reading(0, &[Value::Number(number)], &mut bytes).unwrap(),
            2 + size,
            "{number}"
        );
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(encode_reading(0, &[Value::Number(number)], &mut [0; 32]), Ok(5));
    }
}

#[test]
fn a_batch_that_is_full_stays_as_it_was() {
    let mut batch = Batch::new();
    while batch.push(0, &[Value::Bytes(&[7; 200])]).is_ok() {}
    assert_eq!(batch.readings().len(), 2);
    assert_eq!(
        batch.push_encoded([&[0; 100], &[0; 100]]),
        Err(EncodeError::TooLong)
    );
    assert!(batch.push(0, &[Value::Absent]).is_ok());
    let readings: Vec<Reading<'_>> = batch.readings().iter().collect();
    let values = |value| Values::from_slice(&[value]).unwrap();
    assert_eq!(
        readings[1],
        Reading {
            uptime_ms: 0,
            values: values(Value::Bytes(&[7; 200]))
        }
    );
    assert_eq!(
        readings[2],
        Reading {
            uptime_ms: 0,
            values: values(Value::Absent)
        }
    );
}
