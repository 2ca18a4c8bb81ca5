//! When which sensor is due: pure, without drift.
//!
//! Promises that each beat is a multiple of the period after the first, however late beats are taken; those that a whole
//! period went by are left out and told.

use std::time::Duration;

use crate::clock::Mono;

/// The shortest period: a bus at 100 kHz takes half a millisecond for one read.
const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beat {
    every: Duration,
    due: Mono,
}

/// The beats of several sensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Beat>);

impl Schedule {
    /// All due at once, each then with its own period.
    #[must_use]
    pub fn new(periods: impl Iterator<Item = Duration>, now: Mono) -> Self {
        Self(
            periods
                .map(|every| Beat {
                    every: every.max(SHORTEST),
                    due: now,
                })
                .collect(),
        )
    }

    /// Which one is due next, and when; `None` if there are none at all.
    #[must_use]
    pub fn next(&self) -> Option<(usize, Mono)> {
        let next = self.0.iter().enumerate().min_by_key(|(_, beat)| beat.due)?;
        Some((next.0, next.1.due))
    }

    /// One is taken now: its next beat is set. Says how many were left out.
    #[must_use]
    pub fn beat(&mut self, index: usize, now: Mono) -> u64 {
        let Some(beat) = self.0.get_mut(index) else {
            return 0;
        };
        let late = now.since(beat.due).as_nanos() / beat.every.as_nanos();
        let missed = u64::try_from(late).unwrap_or(u64::MAX);
        let steps = u32::try_from(late + 1).unwrap_or(u32::MAX);
        beat.due = beat.due.after(beat.every.saturating_mul(steps));
        missed
    }

    /// The next beat of one comes then instead, and the others after that one.
    pub fn put_off(&mut self, index: usize, until: Mono) {
        if let Some(beat) = self.0.get_mut(index) {
            beat.due = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn beats_keep_their_place_however_late_they_are_taken() {
        // taken at (ms) -> left out, next due
        let mut schedule = Schedule::new([ms(100)].into_iter(), at(1000));
        for (taken, missed, next) in [
            (1000, 0, 1100),
            (1130, 0, 1200),
            (1299, 0, 1300),
            (1300, 0, 1400),
            (1655, 2, 1700),
            (1900, 2, 2000),
        ] {
            assert_eq!(
                (schedule.beat(0, at(taken)), schedule.next()),
                (missed, Some((0, at(next)))),
                "{taken}"
            );
        }
    }

    #[test]
    fn the_earliest_is_next_and_none_starves() {
        let mut schedule = Schedule::new([ms(10), ms(25), ms(1000)].into_iter(), at(0));
        let mut taken = [0; 3];
        while let Some((index, due)) = schedule.next().filter(|(_, due)| *due < at(1000)) {
            assert_eq!(schedule.beat(index, due), 0);
            taken[index] += 1;
        }
        assert_eq!(taken, [100, 40, 1]);
        assert_eq!(Schedule::new([].into_iter(), at(0)).next(), None);
        schedule.put_off(1, at(500));
        assert_eq!(schedule.next(), Some((1, at(500))));
    }

    #[test]
    fn a_bus_that_is_too_slow_serves_all_in_turn() {
        let mut schedule = Schedule::new([ms(10), ms(10), ms(10)].into_iter(), at(0));
        let (mut taken, mut missed) = ([0; 3], 0);
        for read in 0..300 {
            let (index, _) = schedule.next().unwrap();
            missed += schedule.beat(index, at(read * 10));
            taken[index] += 1;
        }
        assert!(taken.iter().all(|n| (90..=110).contains(n)), "{taken:?}");
        assert!((550..=610).contains(&missed), "{missed}");
    }
}
