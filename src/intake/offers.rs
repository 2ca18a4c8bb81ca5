//! What sources offered and what became of it: the first line of invariant I6, counted since the start.
//!
//! offered = accepted + suppressed + refused, and what still waits in the inbox. Owns these counters, in total and for each
//! sensor that is known by its number; there is no second place. What was offered is counted where it is handed in or
//! refused, the rest where it is decided, so that the sum shows a reading that was lost in between. Must not know sources.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::reading::SensorNo;

/// Why readings were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The queue takes nothing: its bound is reached, or the disk is full or read-only.
    Full = 0,
    /// The inbox had no space, and the sensor cannot wait.
    Inbox = 1,
    /// It breaks a rule: a name, a definition, somebody else's sensor, larger than a row.
    Invalid = 2,
    /// There are `max-sensors` already.
    MaxSensors = 3,
}

/// Why readings were left out though nothing is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppression {
    /// They hardly differ from the one before.
    Deadband = 0,
    /// They came again, and were stored already.
    Duplicate = 1,
}

/// The counters of one sensor, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// Handed in, refused or suppressed.
    pub offered: u64,
    /// Committed.
    pub accepted: u64,
    /// Left out, by [`Suppression`].
    pub suppressed: [u64; 2],
    /// Not taken, by [`Reason`].
    pub refused: [u64; 4],
}

impl Line {
    /// What is neither accepted nor suppressed nor refused yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let decided = self.suppressed.iter().chain(&self.refused).sum::<u64>() + self.accepted;
        self.offered.saturating_sub(decided)
    }

    fn refuse(&mut self, reason: Reason, readings: u64) {
        if let Some(count) = self.refused.get_mut(reason as usize) {
            *count += readings;
        }
    }

    fn suppress(&mut self, why: Suppression, readings: u64) {
        if let Some(count) = self.suppressed.get_mut(why as usize) {
            *count += readings;
        }
    }
}

/// Counts what sources offer. Shared by all of them and the commit thread.
#[derive(Debug, Default)]
pub struct Offers {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    all: Line,
    /// By number; bounded by `max-sensors`. `offered` and `accepted` stay 0 here: the queue knows what it has of whom.
    sensors: Vec<Line>,
}

impl Lines {
    fn of(&mut self, sensor: Option<SensorNo>) -> Option<&mut Line> {
        let index = sensor?.index();
        if self.sensors.len() <= index {
            self.sensors.resize(index + 1, Line::default());
        }
        self.sensors.get_mut(index)
    }
}

impl Offers {
    /// The inbox has taken readings.
    pub fn taken(&self, readings: u64) {
        self.lock().all.offered += readings;
    }

    /// Readings of the inbox are durable; `invalid` are the sensors of those that no row can hold.
    pub fn committed(&self, accepted: u64, invalid: &[SensorNo]) {
        let mut lines = self.lock();
        lines.all.accepted += accepted;
        for sensor in invalid {
            lines.all.refuse(Reason::Invalid, 1);
            if let Some(line) = lines.of(Some(*sensor)) {
                line.refuse(Reason::Invalid, 1);
            }
        }
    }

    /// Readings were offered and not taken.
    pub fn refuse(&self, sensor: Option<SensorNo>, reason: Reason, readings: u64) {
        let mut lines = self.lock();
        lines.all.offered += readings;
        lines.all.refuse(reason, readings);
        if let Some(line) = lines.of(sensor) {
            line.refuse(reason, readings);
        }
    }

    /// Readings were offered and left out.
    pub fn suppress(&self, sensor: Option<SensorNo>, why: Suppression, readings: u64) {
        let mut lines = self.lock();
        lines.all.offered += readings;
        lines.all.suppress(why, readings);
        if let Some(line) = lines.of(sensor) {
            line.suppress(why, readings);
        }
    }

    /// All sensors together.
    #[must_use]
    pub fn all(&self) -> Line {
        self.lock().all
    }

    /// What was refused and suppressed of one sensor.
    #[must_use]
    pub fn of(&self, sensor: SensorNo) -> Line {
        let lines = self.lock();
        lines.sensors.get(sensor.index()).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_offered_is_accepted_suppressed_refused_or_waits() {
        let offers = Offers::default();
        offers.taken(10);
        assert_eq!(offers.all().waiting(), 10);
        offers.committed(8, &[SensorNo(2), SensorNo(0)]);
        offers.refuse(Some(SensorNo(2)), Reason::Inbox, 3);
        offers.refuse(None, Reason::MaxSensors, 1);
        offers.suppress(Some(SensorNo(1)), Suppression::Duplicate, 5);
        let expect = Line {
            offered: 19,
            accepted: 8,
            suppressed: [0, 5],
            refused: [0, 3, 2, 1],
        };
        assert_eq!((offers.all(), offers.all().waiting()), (expect, 0));
        assert_eq!(offers.of(SensorNo(2)).refused, [0, 3, 1, 0]);
        assert_eq!(offers.of(SensorNo(1)).suppressed, [0, 5]);
        assert_eq!(offers.of(SensorNo(9)), Line::default());
    }
}
