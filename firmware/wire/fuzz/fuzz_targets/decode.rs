//! Any bytes, as a line and as a frame: no panic, everything is read, and what is decoded encodes again.

#![no_main]

use edgespool_wire::{Decoder, MAX_ENCODED, Message, Receiver, decode, encode};
use libfuzzer_sys::fuzz_target;

fn consume(message: &Message<'_>, receiver: &mut Receiver) {
    if let Message::Data(data) = message {
        assert_eq!(data.readings.iter().count(), data.readings.len());
    }
    let judged = receiver.judge(message);
    assert_eq!(receiver.offer(message), judged);
    let mut out = [0; MAX_ENCODED];
    assert!(encode(message, &mut out).is_ok());
}

/// The CRC would stop nearly every input, so it is put right here.
fn with_crc(bytes: &[u8]) -> Vec<u8> {
    let mut crc = !0u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    [bytes, &(!crc).to_le_bytes()].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let (mut decoder, mut receiver): (Decoder, _) = (Decoder::new(), Receiver::new());
    let mut input = bytes;
    while let Some(result) = decoder.next(&mut input) {
        if let Ok(message) = result {
            consume(&message, &mut receiver);
        }
    }
    assert!(input.is_empty());
    if bytes.len() <= 508 {
        if let Ok(message) = decode(&with_crc(bytes)) {
            consume(&message, &mut receiver);
        }
    }
});
