//! Any bytes at all: nothing panics, everything is read, and what comes out keeps the rules.

mod support;

use edgespool_wire::{Decoder, MAX_FRAME, MAX_SEQUENCE, Message, Receiver, Value, decode, encode};
use support::{AIR, Dice, ack, batch, data, hello, line, lost, numbers};

const RANDOM: usize = 500_000;
const MUTATED: usize = 1_000_000;
const FORGED: usize = 500_000;

/// Uses all of a message, so that anything that is wrong in it shows; encodes it again.
fn consume(message: &Message<'_>, receiver: &mut Receiver) {
    if let Message::Data(data) = message {
        let mut seen = 0;
        for reading in &data.readings {
            assert_eq!(reading.values.len(), data.measurements.len());
            seen += 1;
        }
        assert_eq!(
            seen,
            data.readings.len(),
            "all readings were checked when they were decoded"
        );
        assert!(data.first > 0 && data.through() <= MAX_SEQUENCE);
    }
    let judged = receiver.judge(message);
    assert_eq!(receiver.offer(message), judged);
    let mut out = [0; edgespool_wire::MAX_ENCODED];
    assert!(
        encode(message, &mut out).is_ok(),
        "what was decoded can be encoded: {message:?}"
    );
}

fn feed(mut bytes: &[u8], decoder: &mut Decoder, receiver: &mut Receiver) -> usize {
    let mut messages = 0;
    while let Some(result) = decoder.next(&mut bytes) {
        if let Ok(message) = result {
            consume(&message, receiver);
            messages += 1;
        }
    }
    assert!(bytes.is_empty());
    messages
}

fn seeds() -> Vec<Vec<u8>> {
    let text = Value::Text("a text that is somewhat longer than the others");
    let mixed = batch(&[
        (1, &[Value::Number(0.1), text]),
        (u64::MAX, &[Value::Absent, Value::Bytes(&[0; 9])]),
    ]);
    let many = numbers(30);
    [
        hello(1, 1),
        lost(1, 1, 2),
        ack(1, 9),
        data(1, 1, &AIR, &mixed),
        data(1, 5, &AIR[..1], &many),
    ]
    .iter()
    .map(line)
    .collect()
}

#[test]
fn random_bytes() {
    let (mut dice, mut decoder, mut receiver) = (Dice(1), Decoder::new(), Receiver::new());
    let mut bytes = [0; 64];
    for _ in 0..RANDOM {
        let len = dice.below(bytes.len());
        // Many zeros in some, so that there are many frames, and none in others, so that they are long.
        let mask = [0xff, 0x03, 0x0f][dice.below(3)];
        bytes[..len]
            .iter_mut()
            .for_each(|byte| *byte = dice.byte() & mask);
        feed(&bytes[..len], &mut decoder, &mut receiver);
    }
}

#[test]
fn frames_with_bytes_changed_left_out_and_doubled() {
    let (mut dice, mut decoder, mut receiver) = (Dice(2), Decoder::new(), Receiver::new());
    let (seeds, mut messages) = (seeds(), 0);
    let mut bytes = Vec::new();
    for _ in 0..MUTATED {
        bytes.clear();
        bytes.extend_from_slice(&seeds[dice.below(seeds.len())]);
        for _ in 0..dice.below(4) {
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes[at] ^= 1 << dice.below(8),
                1 => bytes[at] = dice.byte(),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, dice.byte()),
            }
        }
        messages += feed(&bytes, &mut decoder, &mut receiver);
    }
    assert!(messages > MUTATED / 8, "{messages} came through");
}

/// With the right CRC, so that the payload is reached every time.
#[test]
fn payloads_that_are_changed_before_their_crc_is_made() {
    let (mut dice, mut receiver) = (Dice(3), Receiver::new());
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let (mut sound, mut broken) = (0, 0);
    let payloads: Vec<Vec<u8>> = seeds().iter().map(|line| unstuffed(line)).collect();
    for _ in 0..FORGED {
        let mut frame = payloads[dice.below(payloads.len())].clone();
        for _ in 0..1 + dice.below(3) {
            // The version is left alone; it would only hide the payload.
            let at = 1 + dice.below(frame.len() - 1);
            match dice.below(4) {
                0 => frame[at] ^= 1 << dice.below(8),
                1 => frame[at] = dice.byte(),
                2 if frame.len() > 3 => drop(frame.remove(at)),
                _ => frame.insert(
                    at,
                    [0x1b, 0x5f, 0x82, 0x99, 0xc1, 0xf6, 0xfb, 0xff][dice.below(8)],
                ),
            }
        }
        let sum = crc.checksum(&frame).to_le_bytes();
        frame.extend_from_slice(&sum);
        match decode(&frame) {
            Ok(message) => {
                consume_if_it_fits(&message, &mut receiver, frame.len());
                sound += 1;
            }
            Err(_) => broken += 1,
        }
    }
    assert!(
        sound > FORGED / 20 && broken > FORGED / 20,
        "{sound} sound, {broken} broken"
    );
}

fn consume_if_it_fits(message: &Message<'_>, receiver: &mut Receiver, len: usize) {
    if len <= MAX_FRAME {
        consume(message, receiver);
    }
}

/// Version, kind and payload of a line, without the CRC.
fn unstuffed(line: &[u8]) -> Vec<u8> {
    let (mut frame, mut rest) = (Vec::new(), &line[..line.len() - 1]);
    while let Some((&code, after)) = rest.split_first() {
        let (run, next) = after.split_at(usize::from(code) - 1);
        frame.extend_from_slice(run);
        if code != 255 && !next.is_empty() {
            frame.push(0);
        }
        rest = next;
    }
    frame.truncate(frame.len() - 4);
    frame
}
