//! What the encoder refuses, and how a message fits a frame.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use edgespool_wire::{
    Batch, Data, EncodeError, MAX_ENCODED, MAX_FRAME, MAX_PAYLOAD, MAX_SEQUENCE, Measurement, Measurements,
    Message, Value, encode, encode_reading,
};
use support::{AIR, ack, batch, data, heard, hello, line, lost, numbers};

#[test]
fn the_encoder_refuses_what_a_decoder_would() {
    let one = numbers(1);
    let check = |message: Message<'_>, expect: EncodeError| {
        assert_eq!(
            encode(&message, &mut [0; MAX_ENCODED]),
            Err(expect),
            "{message:?}"
        );
    };
    let Message::Data(good) = data(1, 1, &AIR[..1], &one) else {
        panic!("it is data")
    };
    let named = |name, unit| Measurements::from_slice(&[Measurement { name, unit }]).unwrap();
    let long = "x".repeat(129);
    check(
        Message::Data(Data { sensor: "", ..good }),
        EncodeError::Invalid("sensor ID"),
    );
    check(
        Message::Data(Data {
            sensor: &long,
            ..good
        }),
        EncodeError::Invalid("sensor ID"),
    );
    check(
        Message::Data(Data {
            sensor: "a\nb",
            ..good
        }),
        EncodeError::Invalid("sensor ID"),
    );
    check(
        Message::Data(Data { first: 0, ..good }),
        EncodeError::Invalid("sequence numbers"),
    );
    check(
        Message::Data(Data {
            first: u64::MAX,
            ..good
        }),
        EncodeError::Invalid("sequence numbers"),
    );
    check(
        Message::Data(Data {
            measurements: named(&long[..33], None),
            ..good
        }),
        EncodeError::Invalid("measurement name"),
    );
    check(
        Message::Data(Data {
            measurements: named("t", Some(&long[..17])),
            ..good
        }),
        EncodeError::Invalid("unit"),
    );
    check(
        data(1, 1, &AIR, &one),
        EncodeError::Invalid("value for each measurement"),
    );
    check(data(1, 1, &[], &one), EncodeError::Invalid("measurements"));
    check(data(1, 1, &AIR, &Batch::new()), EncodeError::Invalid("readings"));
    check(hello(1, 0), EncodeError::Invalid("first sequence number"));
    check(lost(1, 3, 2), EncodeError::Invalid("range that is lost"));
    check(ack(1, u64::MAX), EncodeError::Invalid("sequence number"));
    let text = "x".repeat(256);
    assert!(matches!(
        encode_reading(1, &[Value::Text(&text)], &mut [0; 512]),
        Err(EncodeError::Invalid(_))
    ));
    assert!(matches!(
        encode_reading(1, &[], &mut [0; 512]),
        Err(EncodeError::Invalid(_))
    ));
    assert!(matches!(
        encode_reading(1, &[Value::Absent; 9], &mut [0; 512]),
        Err(EncodeError::Invalid(_))
    ));
}

#[test]
fn a_message_fits_a_frame_to_the_byte_or_not_at_all() {
    let mut full = Batch::new();
    while full.push(u64::MAX, &[Value::Bytes(&[0; 13])]).is_ok() {}
    assert!(full.readings().len() > 15);
    assert_eq!(
        encode(&data(1, 1, &AIR[..1], &full), &mut [0; MAX_ENCODED]),
        Err(EncodeError::TooLong)
    );

    let text = [b'x'; 255];
    let longest = (0..=220).rfind(|&len| {
        let batch = batch(&[(1, &[Value::Bytes(&text), Value::Bytes(&text[..len])])]);
        encode(&data(1, 1, &AIR, &batch), &mut [0; MAX_ENCODED]).is_ok()
    });
    let batch = batch(&[(1, &[Value::Bytes(&text), Value::Bytes(&text[..longest.unwrap()])])]);
    let bytes = line(&data(1, 1, &AIR, &batch));
    assert!(
        bytes.len() > MAX_FRAME && bytes.len() <= MAX_ENCODED,
        "{}",
        bytes.len()
    );
    assert_eq!(heard(&bytes).len(), 1);
    assert_eq!(MAX_PAYLOAD + 6, MAX_FRAME);
}

#[test]
fn encoding_into_any_room_either_fits_or_is_refused() {
    let readings = numbers(20);
    for message in [
        hello(1, MAX_SEQUENCE),
        data(3, 4, &AIR[..1], &readings),
        ack(1, 2),
    ] {
        let expect = line(&message);
        for room in 0..MAX_ENCODED {
            let mut out = vec![0xee; room];
            match encode(&message, &mut out) {
                Ok(len) => assert_eq!(out[..len], expect),
                Err(error) => assert!(error == EncodeError::TooLong && room < expect.len() + 4, "{room}"),
            }
        }
    }
}
