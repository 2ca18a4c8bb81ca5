//! What time it is at a node: its milliseconds since boot, as moments of ours.
//!
//! Pure. A message can only arrive late, so the smallest difference of arrival and uptime that was seen is nearest to the
//! truth. Promises that no reading lies in the future. Must not know messages. (Crystals drift; following that is to
//! come.)

use crate::clock::Mono;
use crate::reading::{Stamp, TimeQuality};

/// Maps the uptime of one boot of one node to our clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct NodeClock {
    /// Our monotonic time when the node booted, in nanoseconds, at the latest; before our own boot it is negative.
    booted: Option<i128>,
    sure: bool,
}

impl NodeClock {
    /// A message with this uptime arrived; `fresh` says that the node wrote it just then (a Hello), not that it had kept
    /// it for a while.
    pub(super) fn observe(&mut self, arrival: Mono, uptime_ms: u64, fresh: bool) {
        let booted = i128::from(arrival.0) - nanos(uptime_ms);
        self.booted = Some(self.booted.map_or(booted, |known| known.min(booted)));
        self.sure |= fresh;
    }

    /// Whether a fresh message was seen. Without one, readings may look newer than they are.
    #[must_use]
    pub(super) fn is_sure(&self) -> bool {
        self.sure
    }

    /// When a reading was taken that has just arrived.
    #[must_use]
    pub(super) fn moment(&self, uptime_ms: u64, arrival: Stamp) -> Stamp {
        let arrived = i128::from(arrival.mono);
        let taken = self
            .booted
            .map_or(arrived, |booted| (booted + nanos(uptime_ms)).min(arrived));
        let wall = i128::from(arrival.wall) - (arrived - taken);
        let quality = match arrival.quality {
            TimeQuality::Synchronized if !self.sure => TimeQuality::Estimated,
            quality => quality,
        };
        Stamp {
            wall: i64::try_from(wall).unwrap_or(i64::MIN),
            mono: u64::try_from(taken).unwrap_or(0),
            quality,
        }
    }
}

fn nanos(ms: u64) -> i128 {
    i128::from(ms) * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Our wall clock shows a million seconds when our monotonic clock shows zero.
    fn at(ms: u64, quality: TimeQuality) -> Stamp {
        Stamp {
            wall: 1_000_000_000_000_000 + i64::try_from(ms * MS).unwrap(),
            mono: ms * MS,
            quality,
        }
    }

    fn clock(seen: &[(u64, u64)]) -> NodeClock {
        let mut clock = NodeClock::default();
        seen.iter()
            .for_each(|&(arrival, uptime)| clock.observe(Mono(arrival * MS), uptime, true));
        clock
    }

    #[test]
    fn the_smallest_delay_decides() {
        // (arrival, uptime) seen; uptime of the reading, arrival -> when it was taken, all in ms
        for (seen, uptime, arrival, expect) in [
            (&[(1000, 10)][..], 10, 1000, 1000),
            (&[(1000, 10)], 5, 1000, 995),
            (&[(1000, 10), (1100, 140)], 140, 1100, 1100),
            (&[(1000, 10), (1100, 140)], 10, 1100, 970),
            (&[(1000, 10), (1300, 140)], 140, 1300, 1130),
            (&[(1000, 10)], 500, 1200, 1200),
            (&[], 500, 1200, 1200),
        ] {
            let taken = clock(seen).moment(uptime, at(arrival, TimeQuality::Synchronized));
            assert_eq!(
                (taken.mono / MS, taken.wall),
                (expect, at(expect, TimeQuality::Synchronized).wall),
                "{seen:?} {uptime}"
            );
        }
    }

    #[test]
    fn a_reading_from_before_our_boot_has_its_wall_time() {
        let taken = clock(&[(1000, 60_000)]).moment(1, at(1000, TimeQuality::Unsynced));
        assert_eq!(taken.mono, 0);
        assert_eq!(taken.wall, 1_000_000_000_000_000 + (1000 - 59_999) * 1_000_000);
    }

    #[test]
    fn nonsense_does_not_panic() {
        for (arrival, uptime) in [
            (0, u64::MAX),
            (u64::MAX / MS, 0),
            (u64::MAX / MS, u64::MAX),
            (0, 0),
        ] {
            let taken =
                clock(&[(arrival, uptime)]).moment(u64::MAX - uptime, at(5, TimeQuality::Synchronized));
            assert!(taken.mono <= 5 * MS);
        }
    }

    #[test]
    fn without_a_fresh_message_times_are_estimated() {
        let mut clock = NodeClock::default();
        clock.observe(Mono(5), 0, false);
        let quality = |clock: &NodeClock, quality| clock.moment(0, at(5, quality)).quality;
        assert_eq!(quality(&clock, TimeQuality::Synchronized), TimeQuality::Estimated);
        assert_eq!(quality(&clock, TimeQuality::Unsynced), TimeQuality::Unsynced);
        clock.observe(Mono(9), 0, true);
        assert_eq!(
            quality(&clock, TimeQuality::Synchronized),
            TimeQuality::Synchronized
        );
    }
}
