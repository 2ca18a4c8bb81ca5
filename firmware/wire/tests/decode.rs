//! What a decoder accepts and refuses, beyond what our own encoder writes.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use crc::{CRC_32_ISO_HDLC, Crc};
use edgespool_wire::{DecodeError, Decoder, MAX_FRAME, Message, Value, decode};
use support::{AIR, Dice, ack, batch, data, heard, hello, line, lost, node, numbers, shown};

/// A frame before stuffing, with the right CRC.
fn frame(version: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![version, kind];
    frame.extend_from_slice(payload);
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&frame);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame
}

fn check(version: u8, kind: u8, payload: &[u8], expect: Result<&str, DecodeError>) {
    let frame = frame(version, kind, payload);
    let result = decode(&frame).map(|message| shown(&message));
    assert_eq!(
        result.as_deref().map_err(|error| *error),
        expect,
        "{payload:02x?}"
    );
}

const READS_ALIKE: &str =
    "n 1 5 s [Measurement { name: \"t\", unit: None }] [Reading { uptime_ms: 9, values: Few { items: ";

/// The one value of a Data message whose value is these bytes.
fn value(item: &[u8]) -> Result<String, DecodeError> {
    let head = [
        0x86, 0x41, b'n', 1, 5, 0x61, b's', 0x82, 0x61, b't', 0xf6, 0x81, 0x82, 9,
    ];
    let frame = frame(1, 2, &[&head, item].concat());
    match decode(&frame)? {
        Message::Data(data) => {
            assert!(shown(&Message::Data(data)).starts_with(READS_ALIKE));
            Ok(format!("{:?}", data.readings.iter().next().unwrap().values[0]))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_may_be_written_in_every_width() {
    let accepted: [(&[u8], &str); 19] = [
        (&[0x00], "Number(0.0)"),
        (&[0x17], "Number(23.0)"),
        (&[0x18, 0xff], "Number(255.0)"),
        (&[0x19, 1, 0], "Number(256.0)"),
        (&[0x1a, 0, 1, 0, 0], "Number(65536.0)"),
        (&[0x1b, 0, 0, 0, 0, 0, 0, 0, 7], "Number(7.0)"),
        (&[0x20], "Number(-1.0)"),
        (&[0x38, 0xff], "Number(-256.0)"),
        (
            &[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "Number(-1.8446744073709552e19)",
        ),
        (&[0xf9, 0x3c, 0x00], "Number(1.0)"),
        (&[0xfa, 0x3f, 0x80, 0, 0], "Number(1.0)"),
        (&[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], "Number(1.0)"),
        (&[0xf9, 0x7e, 0x00], "Number(NaN)"),
        (&[0xf4], "Bool(false)"),
        (&[0xf6], "Absent"),
        (&[0xf7], "Absent"),
        (&[0x60], "Text(\"\")"),
        (&[0x78, 1, b'x'], "Text(\"x\")"),
        (&[0x41, 0], "Bytes([0])"),
    ];
    for (item, expect) in accepted {
        assert_eq!(value(item).as_deref(), Ok(expect), "{item:02x?}");
    }
}

#[test]
fn what_is_no_value_is_malformed() {
    let long = [&[0x79, 1, 0][..], &[b'x'; 256]].concat();
    let refused: [&[u8]; 14] = [
        &[],
        &[0x1c],
        &[0xf8, 0xff],
        &[0x62, b'x'],
        &[0x61, 0xff],
        &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0x5f, 0x41, 1, 0xff],
        &[0x7f, 0x61, b'x', 0xff],
        &[0x80],
        &[0x9f, 0xff],
        &[0xa0],
        &[0xc1, 0x01],
        &[0xff],
        &long,
    ];
    for item in refused {
        assert!(
            matches!(value(item), Err(DecodeError::Malformed(_))),
            "{item:02x?}"
        );
    }
    let tags = [0xc0; 400];
    assert_eq!(
        value(&tags),
        Err(DecodeError::Malformed("value")),
        "tags in tags do not recurse"
    );
}

#[test]
fn fields_that_a_later_writer_appends_are_not_looked_at() {
    let expect = Ok("Ack(Ack { node: NodeId(n), boot: 1, through: 2, version: 1 })");
    check(1, 4, &[0x84, 0x41, b'n', 1, 2, 1], expect);
    check(1, 4, &[0x85, 0x41, b'n', 1, 2, 1, 0x9f, 0x00, 0xff], expect);
    check(1, 4, &[0x98, 4, 0x41, b'n', 1, 2, 1], expect);
    check(
        1,
        4,
        &[0x99, 0, 4, 0x41, b'n', 0x18, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0, 2, 1],
        expect,
    );
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    let bad = |what| Err(DecodeError::Malformed(what));
    check(1, 4, &[], bad("array of its fields"));
    check(1, 4, &[0x83, 0x41, b'n', 1, 2], bad("array of its fields"));
    check(1, 4, &[0x84, 0x40, 1, 2, 1], bad("node ID"));
    check(
        1,
        4,
        &[&[0x84, 0x51][..], &[b'n'; 17], &[1, 2, 1]].concat(),
        bad("node ID"),
    );
    check(
        1,
        4,
        &[0x84, 0x41, b'n', 0x1b, 0, 0, 0, 1, 0, 0, 0, 0, 2, 1],
        bad("boot ID"),
    );
    check(1, 4, &[0x84, 0x41, b'n', 1, 0x20, 1], bad("sequence number"));
    check(
        1,
        4,
        &[0x84, 0x41, b'n', 1, 0xf9, 0x3c, 0, 1],
        bad("sequence number"),
    );
    check(1, 4, &[0x84, 0x41, b'n', 1, 2, 0x19, 1, 0], bad("version"));
    check(1, 3, &[0x85, 0x41, b'n', 1, 0, 2, 0], bad("range that is lost"));
    check(1, 3, &[0x85, 0x41, b'n', 1, 3, 2, 0], bad("range that is lost"));
    let max = u64::MAX.to_be_bytes();
    check(
        1,
        3,
        &[&[0x85, 0x41, b'n', 1, 3, 0x1b][..], &max, &[0]].concat(),
        bad("range that is lost"),
    );
    check(
        1,
        1,
        &[0x87, 0x41, b'n', 1, 1, 1, 8, 0, 0],
        bad("first sequence number"),
    );
    check(1, 1, &[0x87, 0x41, b'n', 1, 2, 1, 8, 1, 0], bad("version range"));

    let body = |first: u8, sensor: &[u8], names: &[u8], readings: &[u8]| {
        [&[0x86, 0x41, b'n', 1, first][..], sensor, names, readings].concat()
    };
    let (s, t, r) = (
        &[0x61, b's'][..],
        &[0x82, 0x61, b't', 0xf6][..],
        &[0x81, 0x82, 9, 1][..],
    );
    check(1, 2, &body(0, s, t, r), bad("sequence numbers"));
    check(1, 2, &body(1, &[0x60], t, r), bad("sensor ID"));
    check(1, 2, &body(1, &[0x61, 7], t, r), bad("sensor ID"));
    check(1, 2, &body(1, &[0x41, 0xff], t, r), bad("sensor ID"));
    check(
        1,
        2,
        &body(1, &[&[0x78, 129][..], &[b's'; 129]].concat(), t, r),
        bad("sensor ID"),
    );
    check(1, 2, &body(1, s, &[0x80], r), bad("measurements"));
    check(1, 2, &body(1, s, &[0x81, 0x61, b't'], r), bad("measurements"));
    check(
        1,
        2,
        &body(1, s, &[&[0x92][..], &[0x61, b't', 0xf6].repeat(9)].concat(), r),
        bad("measurements"),
    );
    check(1, 2, &body(1, s, &[0x82, 0x60, 0xf6], r), bad("measurement name"));
    check(1, 2, &body(1, s, &[0x82, 0x61, b't', 0x60], r), bad("unit"));
    check(1, 2, &body(1, s, t, &[0x80]), bad("readings"));
    check(
        1,
        2,
        &body(1, s, t, &[0x99, 0xff, 0xff, 0x82, 9, 1]),
        bad("readings"),
    );
    check(1, 2, &body(1, s, t, &[0x81, 0x81, 9]), bad("reading"));
    check(
        1,
        2,
        &body(1, s, t, &[0x81, 0x83, 9, 1, 1]),
        bad("value for each measurement"),
    );
    check(1, 2, &body(1, s, t, &[0x82, 0x82, 9, 1]), bad("reading"));
    let last = [
        &[0x86, 0x41, b'n', 1, 0x1b][..],
        &(u64::MAX - 1).to_be_bytes(),
        s,
        t,
        &[0x82, 0x82, 9, 1, 0x82, 9, 1],
    ];
    check(1, 2, &last.concat(), bad("sequence numbers"));
}

#[test]
fn versions_and_kinds_that_are_not_ours_say_what_was_seen() {
    check(2, 1, b"whatever", Err(DecodeError::NewerVersion { seen: 2 }));
    check(255, 200, &[], Err(DecodeError::NewerVersion { seen: 255 }));
    check(0, 1, &[], Err(DecodeError::UnknownVersion { seen: 0 }));
    for kind in [0, 5, 255] {
        check(1, kind, &[0x80], Err(DecodeError::UnknownKind { seen: kind }));
    }
}

#[test]
fn errors_on_the_line_have_their_kinds() {
    let good = line(&lost(1, 2, 3));
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        bytes
    };
    let expect = shown(&lost(1, 2, 3));
    let check = |bad: &[u8], error: DecodeError| {
        let all = [&good[..], bad, &good].concat();
        assert_eq!(
            heard(&all),
            [Ok(expect.clone()), Err(error), Ok(expect.clone())],
            "{bad:02x?}"
        );
    };
    check(&flipped(5), DecodeError::Crc);
    check(&flipped(good.len() - 2), DecodeError::Crc);
    check(&flipped(0), DecodeError::Cobs);
    check(&[1, 0], DecodeError::TooShort);
    check(&[6, 1, 4, 1, 2, 3, 0], DecodeError::TooShort);
    check(&[7, 1, 4, 1, 2, 3, 4, 0], DecodeError::Crc);
    check(&[[0xff; 1024].as_slice(), &[0]].concat(), DecodeError::TooLong);
    check(&[[0x01; 514].as_slice(), &[0]].concat(), DecodeError::TooLong);
    check(&[[0x01; 513].as_slice(), &[0]].concat(), DecodeError::Crc);
    assert_eq!(heard(&[0, 0, 0]), []);
    assert_eq!(heard(&good[..good.len() - 1]), []);
}

#[test]
fn names_of_errors_are_theirs() {
    let all = [
        DecodeError::Cobs,
        DecodeError::TooLong,
        DecodeError::TooShort,
        DecodeError::Crc,
        DecodeError::NewerVersion { seen: 2 },
        DecodeError::UnknownVersion { seen: 0 },
        DecodeError::UnknownKind { seen: 9 },
        DecodeError::Malformed("x"),
    ];
    assert_eq!(all.map(|error| error.name()), DecodeError::NAMES);
}

#[test]
fn a_small_decoder_skips_what_is_for_others() {
    let (readings, answer) = (numbers(30), line(&ack(1, 2)));
    let bytes = [line(&data(1, 1, &AIR[..1], &readings)), answer].concat();
    let mut decoder = Decoder::<40>::new();
    let mut input = &bytes[..];
    assert_eq!(decoder.next(&mut input), Some(Err(DecodeError::TooLong)));
    assert_eq!(decoder.next(&mut input), Some(Ok(ack(1, 2))));
    assert_eq!(decoder.next(&mut input), None);
}

#[test]
fn reset_forgets_the_frame_that_has_begun() {
    let good = line(&ack(1, 2));
    let mut decoder = Decoder::<MAX_FRAME>::new();
    assert_eq!(decoder.next(&mut &good[..5]), None);
    decoder.reset();
    assert_eq!(decoder.next(&mut &good[..]), Some(Ok(ack(1, 2))));
}

#[test]
fn any_frame_after_any_garbage_and_a_zero_is_found() {
    let mut dice = Dice(11);
    let mixed = batch(&[(1, &[Value::Number(0.1), Value::Text("x")])]);
    let many = numbers(30);
    let messages = [
        hello(1, 1),
        lost(1, 1, 2),
        ack(1, 9),
        data(1, 1, &AIR, &mixed),
        data(1, 5, &AIR[..1], &many),
    ];
    for round in 0..20_000 {
        let mut bytes: Vec<u8> = (0..dice.below(1200)).map(|_| dice.byte()).collect();
        if round % 3 == 0 {
            // Long runs without a zero, so that over-long frames occur.
            bytes.iter_mut().for_each(|byte| *byte |= 1);
        }
        bytes.push(0);
        let message = &messages[dice.below(messages.len())];
        bytes.extend(line(message));
        // Fed in pieces of any size.
        let mut decoder = Decoder::<MAX_FRAME>::new();
        let (mut rest, mut last) = (&bytes[..], None);
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(1 + dice.below(rest.len()));
            rest = after;
            while let Some(result) = decoder.next(&mut piece) {
                last = Some(result.map(|message| shown(&message)));
            }
            assert!(piece.is_empty(), "all of the input is read");
        }
        assert_eq!(last, Some(Ok(shown(message))), "round {round}");
    }
}

#[test]
fn node_and_boot_are_those_of_the_message() {
    let one = numbers(1);
    for message in [hello(5, 1), data(5, 1, &AIR[..1], &one), lost(5, 1, 1), ack(5, 1)] {
        assert_eq!((message.node(), message.boot()), (node("shed-1"), 5));
    }
}
