//! When to commit: pure, in monotonic time.
//!
//! A commit costs a device flush and wears the card, so readings wait for company; a sender whose window is full waits
//! for the commit, so it must not wait long. Must not know batches, threads or the queue.

use std::time::Duration;

use crate::clock::Mono;

/// Readings that are worth a commit of their own.
pub const FULL_READINGS: usize = 2_000;
/// Bytes that are worth a commit of their own.
pub const FULL_BYTES: usize = 64 * 1024;
/// The least time between two commits that only a full window asked for: 20 a second, so that a sender with a small
/// window cannot wear out the card.
pub const WINDOW_PACE: Duration = Duration::from_millis(50);

/// Decides when the waiting readings are committed.
#[derive(Debug)]
pub struct Pacer {
    interval: Duration,
    readings: usize,
    bytes: usize,
    first: Option<Mono>,
    window_full: bool,
    last_commit: Option<Mono>,
}

impl Pacer {
    /// With `commit-interval`: the longest that a reading waits.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            readings: 0,
            bytes: 0,
            first: None,
            window_full: false,
            last_commit: None,
        }
    }

    /// Something arrived and waits now: so many readings and bytes; `window_full` when its sender can send no more
    /// before it has a receipt. Anything that wants to be durable counts, a batch of no readings too.
    pub fn arrived(&mut self, readings: usize, bytes: usize, window_full: bool, now: Mono) {
        self.readings += readings;
        self.bytes += bytes;
        self.window_full |= window_full;
        self.first.get_or_insert(now);
    }

    /// All that waited was taken for a commit.
    pub fn taken(&mut self, now: Mono) {
        *self = Self {
            last_commit: Some(now),
            ..Self::new(self.interval)
        };
    }

    /// When the next commit is due; `None` while nothing waits. A moment in the past means now.
    #[must_use]
    pub fn due(&self) -> Option<Mono> {
        let first = self.first?;
        if self.readings >= FULL_READINGS || self.bytes >= FULL_BYTES {
            return Some(first);
        }
        let regular = first.after(self.interval);
        if !self.window_full {
            return Some(regular);
        }
        let paced = self.last_commit.map_or(first, |last| last.after(WINDOW_PACE));
        Some(regular.min(paced))
    }

    /// How many readings wait.
    #[must_use]
    pub fn readings(&self) -> usize {
        self.readings
    }

    /// How many bytes wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    #[test]
    fn commits_are_due_by_interval_size_or_window() {
        // (readings, bytes, window full, arrival ms, last commit ms) -> due ms
        for (readings, bytes, full, arrival, last, expect) in [
            (1, 30, false, 500, None, 1500),
            (1, 30, false, 500, Some(490), 1500),
            (2_000, 30, false, 500, Some(490), 500),
            (1_999, 30, false, 500, Some(490), 1500),
            (1, 65_536, false, 500, Some(490), 500),
            (1, 30, true, 500, None, 500),
            (1, 30, true, 500, Some(490), 540),
            (1, 30, true, 500, Some(100), 150),
        ] {
            let mut pacer = Pacer::new(SECOND);
            if let Some(last) = last {
                pacer.taken(at(last));
            }
            pacer.arrived(readings, bytes, full, at(arrival));
            assert_eq!(
                pacer.due(),
                Some(at(expect)),
                "{readings} {bytes} {full} {arrival} {last:?}"
            );
        }
    }

    #[test]
    fn silence_commits_nothing() {
        let mut pacer = Pacer::new(SECOND);
        assert_eq!(pacer.due(), None);
        pacer.arrived(1, 30, false, at(0));
        pacer.taken(at(1000));
        assert_eq!(pacer.due(), None);
    }

    #[test]
    fn sixteen_sensors_at_one_hertz_commit_once_a_second() {
        let (mut pacer, mut commits) = (Pacer::new(SECOND), 0);
        for ms in 0..60_000 {
            if pacer.due().is_some_and(|due| due <= at(ms)) {
                pacer.taken(at(ms));
                commits += 1;
            }
            if ms % 1000 < 800 && ms % 50 == 0 {
                pacer.arrived(1, 30, false, at(ms));
            }
        }
        assert!((55..=60).contains(&commits), "{commits}");
    }
}
