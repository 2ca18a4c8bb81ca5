//! The bytes of version 1, frozen: what an old node says must be understood for ever.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use edgespool_wire::{
    Ack, Data, Decoder, Hello, Lost, MAX_FRAME, MAX_SEQUENCE, Measurement, Measurements, Message,
};
use edgespool_wire::{NodeId, Value, Versions};
use support::{AIR, ack, batch, data, hello, line, lost, numbers, shown};

const GOLDEN: &str = include_str!("data/golden-v1.txt");

#[test]
fn the_bytes_of_version_1_never_change() {
    let mixed = batch(&[
        (
            1,
            &[
                Value::Number(21.5),
                Value::Number(0.1),
                Value::Bool(true),
                Value::Text("offen·"),
                Value::Absent,
            ],
        ),
        (
            70_000,
            &[
                Value::Number(f64::NEG_INFINITY),
                1e300.into(),
                false.into(),
                "".into(),
                [0, 255][..].into(),
            ],
        ),
    ]);
    let kinds = ["t", "p", "door", "state", "raw"].map(|name| Measurement {
        name,
        unit: (name == "t").then_some("°C"),
    });
    let air = batch(&[(12_345, &[Value::Number(18.25), Value::Number(61.5)])]);
    let (one, many) = (numbers(1), numbers(30));
    let temperature = &AIR[..1];
    let mut checked = 0;
    let mut check = |name: &str, message: Message<'_>| {
        golden(name, &message);
        checked += 1;
    };

    check("hello", hello(0xdead_beef, 1));
    check("hello-long", Message::Hello(long_hello()));
    check("data-one", data(7, 1, temperature, &one));
    check("data-many", data(0, 1000, temperature, &many));
    check("data-two-measurements", data(7, 2, &AIR, &air));
    check("data-all-types", data(7, 300, &kinds, &mixed));
    check("data-long-names", long_data(&one));
    check("lost", lost(7, 31, 40));
    check(
        "lost-to-the-end",
        Message::Lost(Lost {
            through: MAX_SEQUENCE,
            ..the_lost()
        }),
    );
    check("ack-nothing", ack(7, 0));
    check("ack", ack(7, 40));
    check(
        "ack-high",
        Message::Ack(Ack {
            node: long_id(),
            boot: u32::MAX,
            through: MAX_SEQUENCE,
            version: 255,
        }),
    );
    assert_eq!(checked, lines().count(), "every line of the file has its message");
}

fn golden(name: &str, message: &Message<'_>) {
    let bytes = line(message);
    let written = hex(&bytes);
    let Some((_, frozen)) = lines().find(|(frozen, _)| *frozen == name) else {
        panic!("not in the file:\n{name} {written}");
    };
    assert_eq!(written, frozen, "{name}");
    let mut decoder = Decoder::<MAX_FRAME>::new();
    let mut input = &bytes[..];
    assert_eq!(
        shown(&decoder.next(&mut input).unwrap().unwrap()),
        shown(message),
        "{name}"
    );
}

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = GOLDEN
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once(' ').unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn long_id() -> NodeId {
    NodeId::new(&[
        0xe6, 0x60, 0x58, 0x38, 0x83, 0x88, 0x34, 0x2f, 0, 1, 2, 3, 4, 5, 6, 7,
    ])
    .unwrap()
}

fn long_hello() -> Hello {
    Hello {
        node: long_id(),
        boot: 0,
        versions: Versions { min: 0, max: 255 },
        window: u16::MAX,
        first: MAX_SEQUENCE,
        uptime_ms: u64::MAX,
    }
}

fn the_lost() -> Lost {
    Lost {
        node: long_id(),
        boot: 1,
        from: 1,
        through: 1,
        uptime_ms: 0,
    }
}

fn long_data(batch: &edgespool_wire::Batch) -> Message<'_> {
    const SENSOR: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
                          0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let name = Measurement {
        name: "0123456789abcdef0123456789abcdef",
        unit: Some("0123456789abcdef"),
    };
    Message::Data(Data {
        node: long_id(),
        boot: 7,
        first: 1,
        sensor: SENSOR,
        measurements: Measurements::from_slice(&[name]).unwrap(),
        readings: batch.readings(),
    })
}
