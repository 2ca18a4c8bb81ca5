//! One direction of a serial line, with faults.

use std::collections::VecDeque;

use super::chance::Chance;
use super::{MS, Time};

/// How often things go wrong, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noise {
    /// Bytes changed.
    pub(super) flip: u64,
    /// Frames that vanish.
    pub(super) drop: u64,
    /// Frames that come a second time, soon after.
    pub(super) double: u64,
    /// Frames with noise before them.
    pub(super) noise: u64,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    under_way: VecDeque<(Time, Vec<u8>)>,
    pub(super) noise: Noise,
}

impl Line {
    pub(super) fn write(&mut self, bytes: &[u8], now: Time, chance: &mut Chance) {
        let mut bytes = bytes.to_vec();
        let Noise {
            flip,
            drop,
            double,
            noise,
        } = self.noise;
        if drop > 0 && chance.permille(drop) {
            return;
        }
        if noise > 0 && chance.permille(noise) {
            let length = chance.below(20);
            let junk: Vec<u8> = (0..length).map(|_| chance.below(256) as u8).collect();
            bytes.splice(0..0, junk);
        }
        if flip > 0 {
            for byte in &mut bytes {
                if chance.permille(flip) {
                    *byte ^= 1 << chance.below(8);
                }
            }
        }
        if double > 0 && chance.permille(double) {
            self.put(now + 60 * MS, bytes.clone());
        }
        self.put(now + 3 * MS, bytes);
    }

    fn put(&mut self, at: Time, bytes: Vec<u8>) {
        let place = self.under_way.partition_point(|(other, _)| *other <= at);
        self.under_way.insert(place, (at, bytes));
    }

    /// When the next bytes arrive.
    pub(super) fn next(&self) -> Option<Time> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// The next bytes that have arrived.
    pub(super) fn read(&mut self, now: Time) -> Option<Vec<u8>> {
        self.next().filter(|at| *at <= now)?;
        self.under_way.pop_front().map(|(_, bytes)| bytes)
    }

    pub(super) fn clear(&mut self) {
        self.under_way.clear();
    }
}
