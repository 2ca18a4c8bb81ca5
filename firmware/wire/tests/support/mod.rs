//! Messages to test with.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]
#![allow(dead_code, reason = "every test file uses its part")]

mod dice;

#[allow(unused_imports, reason = "every test file uses its part")]
pub(crate) use dice::Dice;
use edgespool_wire::{
    Ack, Batch, Data, DecodeError, Decoder, Hello, Lost, MAX_ENCODED, MAX_FRAME, Measurement, Measurements,
    Message, NodeId, Reading, Value, Versions, encode,
};

pub(crate) fn node(id: &str) -> NodeId {
    NodeId::new(id.as_bytes()).unwrap()
}

pub(crate) fn hello(boot: u32, first: u64) -> Message<'static> {
    Message::Hello(Hello {
        node: node("shed-1"),
        boot,
        versions: Versions::OURS,
        window: 64,
        first,
        uptime_ms: 12_345,
    })
}

pub(crate) fn lost(boot: u32, from: u64, through: u64) -> Message<'static> {
    Message::Lost(Lost {
        node: node("shed-1"),
        boot,
        from,
        through,
        uptime_ms: 70_000,
    })
}

pub(crate) fn ack(boot: u32, through: u64) -> Message<'static> {
    Message::Ack(Ack {
        node: node("shed-1"),
        boot,
        through,
        version: 1,
    })
}

pub(crate) const AIR: [Measurement<'static>; 2] = [
    Measurement {
        name: "temperature",
        unit: Some("C"),
    },
    Measurement {
        name: "humidity",
        unit: None,
    },
];

pub(crate) fn batch(readings: &[(u64, &[Value<'_>])]) -> Batch {
    let mut batch = Batch::new();
    for (uptime_ms, values) in readings {
        batch.push(*uptime_ms, values).unwrap();
    }
    batch
}

pub(crate) fn data<'a>(
    boot: u32,
    first: u64,
    measurements: &[Measurement<'a>],
    batch: &'a Batch,
) -> Message<'a> {
    Message::Data(Data {
        node: node("shed-1"),
        boot,
        first,
        sensor: "shed-air",
        measurements: Measurements::from_slice(measurements).unwrap(),
        readings: batch.readings(),
    })
}

/// `count` readings of one number each.
pub(crate) fn numbers(count: usize) -> Batch {
    let mut batch = Batch::new();
    for at in 0..count {
        batch.push(1000 * at as u64, &[Value::Number(at as f64)]).unwrap();
    }
    batch
}

pub(crate) fn line(message: &Message<'_>) -> Vec<u8> {
    let mut out = [0xee; MAX_ENCODED];
    let len = encode(message, &mut out).unwrap();
    out[..len].to_vec()
}

/// What a decoder makes of these bytes, readings spelled out.
pub(crate) fn heard(mut bytes: &[u8]) -> Vec<Result<String, DecodeError>> {
    let mut decoder = Decoder::<MAX_FRAME>::new();
    let mut heard = Vec::new();
    while let Some(result) = decoder.next(&mut bytes) {
        heard.push(result.map(|message| shown(&message)));
    }
    heard
}

pub(crate) fn shown(message: &Message<'_>) -> String {
    match message {
        Message::Data(data) => {
            let readings: Vec<Reading<'_>> = data.readings.iter().collect();
            let Data {
                node,
                boot,
                first,
                sensor,
                measurements,
                ..
            } = data;
            format!(
                "{node} {boot} {first} {sensor} {:?} {readings:?}",
                &measurements[..]
            )
        }
        other => format!("{other:?}"),
    }
}
