//! When something is due for a sensor: one moment each, the earliest first.
//!
//! Pure. Must not know what is due.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Mono;
use crate::reading::SensorNo;

/// Moments by sensor, and sensors by moment.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    order: BTreeSet<(Mono, SensorNo)>,
    of: HashMap<SensorNo, Mono>,
}

impl Schedule {
    /// Sets or removes a sensor's moment.
    pub(super) fn set(&mut self, sensor: SensorNo, at: Option<Mono>) {
        if self.at(sensor) == at {
            return;
        }
        if let Some(old) = self.of.remove(&sensor) {
            self.order.remove(&(old, sensor));
        }
        if let Some(at) = at {
            self.order.insert((at, sensor));
            self.of.insert(sensor, at);
        }
    }

    /// A sensor's moment.
    pub(super) fn at(&self, sensor: SensorNo) -> Option<Mono> {
        self.of.get(&sensor).copied()
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(Mono, SensorNo)> {
        self.order.first().copied()
    }

    /// Takes out the earliest, if it is not after `now`.
    pub(super) fn pop_due(&mut self, now: Mono) -> Option<SensorNo> {
        let (_, sensor) = self.first().filter(|(due, _)| *due <= now)?;
        self.set(sensor, None);
        Some(sensor)
    }

    /// All up to that moment, in order.
    pub(super) fn until(&self, moment: Mono) -> impl Iterator<Item = SensorNo> {
        let due = self.order.iter().take_while(move |(due, _)| *due <= moment);
        due.map(|(_, sensor)| *sensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_has_one_moment_and_the_earliest_comes_first() {
        let mut schedule = Schedule::default();
        for (sensor, at) in [
            (1, Some(30)),
            (2, Some(20)),
            (3, Some(20)),
            (1, Some(10)),
            (3, None),
            (4, Some(40)),
        ] {
            schedule.set(SensorNo(sensor), at.map(Mono));
        }
        let until: Vec<_> = schedule.until(Mono(20)).collect();
        assert_eq!(until, [SensorNo(1), SensorNo(2)]);
        assert_eq!(schedule.pop_due(Mono(9)), None);
        assert_eq!(schedule.pop_due(Mono(10)), Some(SensorNo(1)));
        assert_eq!(
            (schedule.at(SensorNo(1)), schedule.first()),
            (None, Some((Mono(20), SensorNo(2))))
        );
    }
}
