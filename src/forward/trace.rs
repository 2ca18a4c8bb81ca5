//! The trace ID of a reading: 32 hex digits, the same on every resend.
//!
//! Owns the reckoning, which never changes: FNV-1a over 128 bits of device, 0xff, sensor, 0xff, and the epoch in eight
//! bytes big-endian; its halves, mixed with the sequence number by the finalizer of splitmix64, the lower one after
//! adding 0x9e3779b97f4a7c15 to it. In one epoch, two readings of a sensor never share one. Pure.

use crate::reading::Epoch;

/// The hash of everything but the sequence number: the same for a whole ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64, u64);

/// A trace ID in hex digits.
pub type TraceId = [u8; 32];

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Seed {
    /// The seed of a sensor's readings in an epoch.
    #[must_use]
    pub fn new(device: &str, sensor: &str, epoch: Epoch) -> Self {
        let bytes = device
            .bytes()
            .chain([0xff])
            .chain(sensor.bytes())
            .chain([0xff])
            .chain(epoch.0.to_be_bytes());
        let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
        let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
        Self(half(hash >> 64), half(hash))
    }

    /// The trace ID of the reading with that sequence number.
    #[must_use]
    pub fn id(self, sequence: u64) -> TraceId {
        let mut text = [b'0'; 32];
        let high = mix(self.0 ^ sequence);
        let low = mix((self.1 ^ sequence).wrapping_add(GOLDEN));
        for (place, byte) in text
            .chunks_exact_mut(2)
            .zip(high.to_be_bytes().into_iter().chain(low.to_be_bytes()))
        {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            place[0] = HEX[usize::from(byte >> 4)];
            place[1] = HEX[usize::from(byte & 15)];
        }
        text
    }
}

/// The finalizer of splitmix64: a bijection.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn id(device: &str, sensor: &str, epoch: u64, sequence: u64) -> String {
        String::from_utf8(Seed::new(device, sensor, Epoch(epoch)).id(sequence).to_vec()).unwrap()
    }

    /// The other side may have kept these: never change them.
    #[test]
    fn trace_ids_never_change() {
        for (device, sensor, epoch, sequence, expect) in [
            (
                "greenhouse-7",
                "shed-air",
                1234,
                1,
                "332d1d52e2ddf003db17546df930be5a",
            ),
            (
                "greenhouse-7",
                "shed-air",
                1234,
                2,
                "65d5d5ddc037ea5ed2bcf7685f3b9a8f",
            ),
            ("", "", 0, 0, "34ce7a5c02a93d8ea2708904f3494224"),
        ] {
            assert_eq!(id(device, sensor, epoch, sequence), expect);
        }
    }

    #[test]
    fn everything_counts() {
        let mut seen = HashSet::new();
        for (device, sensor) in [("a", "b"), ("ab", ""), ("", "ab"), ("b", "a")] {
            for epoch in [0, 1, 1 << 52] {
                for sequence in (0..200).chain([1 << 40, u64::MAX]) {
                    assert!(seen.insert(id(device, sensor, epoch, sequence)));
                }
            }
        }
    }
}
