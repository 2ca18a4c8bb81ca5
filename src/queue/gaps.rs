//! Gaps: the events of readings that the queue gives up.
//!
//! Owns the way from a `Drop` entry to an event, in the same commit: neither is there without the other, and none comes
//! twice, whatever is cut off. Promises exactly the range by which the ledger's `dropped` rises. Pure.

use super::fold::State;
use super::types::{Entry, OutputNo};
use crate::event::{self, Event, Kind};
use crate::reading::{Reading, SensorNo, Stamp};

/// The most that a gap takes in a row: a sensor's name and four numbers, with what an encoding of its own adds.
const GAP: usize = 256;

/// Collects the gaps of one commit.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// The number of `$events`; `None` when nobody wants them: then they are only told to the commit thread.
    pub(super) sensor: Option<SensorNo>,
    fresh: Vec<Event>,
    told: Vec<Event>,
}

impl Gaps {
    /// Looks at an entry before it is folded in.
    pub(super) fn look(&mut self, state: &State, entry: &Entry) {
        let Entry::Drop {
            sensor,
            epoch,
            through,
            reason,
            ..
        } = entry
        else {
            return;
        };
        let gained = state.gain(OutputNo(0), *sensor, *epoch, *through);
        let def = state
            .sensors
            .get(sensor.index())
            .and_then(|known| known.def.as_deref());
        if gained == 0 || def.is_some_and(event::is_events) {
            return;
        }
        self.fresh.push(Event {
            sensor: def.map(|def| def.id.clone()),
            epoch: Some(epoch.0),
            from: Some(through - gained + 1),
            through: Some(*through),
            ..Event::new(Kind::Gap, reason.name())
        });
    }

    /// What the events of so many entries take in rows at most.
    pub(super) fn bytes(&self, entries: usize) -> usize {
        self.sensor.map_or(0, |_| GAP * entries)
    }

    /// The readings of the gaps that were seen since the last call; not before the log defines what they are readings of.
    pub(super) fn readings(&mut self, is_defined: impl Fn(SensorNo) -> bool, now: Stamp) -> Vec<Reading> {
        if self.sensor.is_some_and(|sensor| !is_defined(sensor)) {
            return Vec::new();
        }
        let fresh = std::mem::take(&mut self.fresh);
        let readings = self
            .sensor
            .map(|sensor| fresh.iter().map(|gap| gap.reading(sensor, now)).collect());
        self.told.extend(fresh);
        readings.unwrap_or_default()
    }

    /// The gaps themselves, for whoever counts and logs them.
    pub(super) fn take_told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }
}

#[cfg(test)]
mod tests;
