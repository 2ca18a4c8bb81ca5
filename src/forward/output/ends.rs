//! What is known of readings whose rows are lost: see [`crate::forward::lane`].
//!
//! Owns who is told: a lane by the cursor that feeds it, and the queue itself where there is no lane, since nothing of that
//! sensor was read. Promises that what was accepted and cannot be read is dropped in the ledger, once.

use super::{Output, Side};
use crate::forward::lane::expected;
use crate::queue::types::{DropReason, Entry};
use crate::reading::{Epoch, SensorNo};

impl Output {
    /// A row's entries: in a checkpoint they say how far each sensor had come.
    pub(super) fn checkpoint(&mut self, side: Side, epoch: Epoch, entries: &[Entry]) {
        for entry in entries {
            if let Entry::Sensor(standing) = entry {
                self.ends(side, SensorNo(standing.sensor), epoch, standing.next);
            }
        }
    }

    /// The cursor is at the durable tail, and rows before it could not be read.
    pub fn standing(&mut self, side: Side, epoch: Epoch, next: &[(SensorNo, u64)]) {
        for (sensor, next) in next {
            self.ends(side, *sensor, epoch, *next);
        }
        self.dispatch();
    }

    fn ends(&mut self, side: Side, sensor: SensorNo, epoch: Epoch, next: u64) {
        if self.parking.follows(sensor) != (side == Side::CatchUp) || self.parking.is_parked(sensor) {
            return;
        }
        if !self.epochs.contains(&epoch) {
            self.epochs.push(epoch);
        }
        if let Some(lane) = self.lanes.get_mut(&sensor) {
            lane.ends(epoch, next, &self.epochs);
            return self.settle(sensor);
        }
        let released = self.released.get(&sensor);
        let at = released.map(|(epoch, through)| (*epoch, through + 1));
        if let Some(from) = expected(at, epoch, &self.epochs).filter(|from| *from < next) {
            let (through, reason) = (next - 1, DropReason::Damaged);
            self.entries.push(Entry::Drop {
                sensor,
                epoch,
                from,
                through,
                reason,
            });
            self.released.insert(sensor, (epoch, through));
        }
    }
}
