//! A reading position: rows in order, over all generations, up to the durable tail.
//!
//! Owns where the next row is read and which definitions hold there. Promises to read nothing that is not durable (I2),
//! each row once, one generation open at a time; what cannot be read is named, not skipped in silence. Must not know lanes.

use std::sync::{Arc, TryLockError};

use super::log::{Log, Opened, Place};
use super::row::{Depth, decode};
use super::types::{Entry, Row, RowNo};
use crate::reading::{Epoch, SensorDef, SensorNo};

/// What stands next in the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A row. The definitions in it hold already.
    Row(Row),
    /// Rows that the queue gave up: its limits were reached, and that is written down.
    GivenUp {
        /// The first of them.
        from: RowNo,
        /// The last of them.
        through: RowNo,
    },
    /// Rows that cannot be read back.
    Damaged {
        /// The first of them.
        from: RowNo,
        /// The last of them.
        through: RowNo,
        /// Why.
        why: String,
    },
    /// Rows could not be read, and the durable tail is reached: up to these numbers readings had been accepted.
    Standing {
        /// The epoch.
        epoch: Epoch,
        /// For each sensor the sequence number that its next reading gets.
        next: Vec<(SensorNo, u64)>,
    },
}

/// Reads rows.
#[derive(Debug)]
pub struct Cursor {
    log: Arc<Log>,
    next: RowNo,
    current: Option<Opened>,
    definitions: Vec<Option<Arc<SensorDef>>>,
    /// The row up to which the definitions are known; `None` before the first generation was entered.
    known: Option<RowNo>,
    /// Rows could not be read since the last checkpoint.
    lossy: bool,
}

impl Cursor {
    pub(super) fn new(log: Arc<Log>, from: RowNo) -> Self {
        Self {
            log,
            next: from.max(1),
            current: None,
            definitions: Vec::new(),
            known: None,
            lossy: false,
        }
    }

    /// The row that is read next.
    #[must_use]
    pub fn position(&self) -> RowNo {
        self.next
    }

    /// What a sensor is at this place of the log.
    #[must_use]
    pub fn def(&self, sensor: SensorNo) -> Option<&Arc<SensorDef>> {
        self.definitions.get(sensor.index())?.as_ref()
    }

    /// The next row; `None` at the durable tail, where it lets go of nothing but an older generation.
    pub fn step(&mut self) -> Option<Step> {
        if self.next >= self.log.durable() {
            return self.standing();
        }
        if let Err(damaged) = self.enter() {
            self.lossy = true;
            return Some(damaged);
        }
        let row = self.next;
        let step = match self.read_or_mend(row) {
            Ok(found) => {
                self.learn(&found);
                self.lossy &= !found.entries.contains(&Entry::CheckpointEnd);
                Step::Row(found)
            }
            Err(why) => {
                self.lossy = true;
                Step::Damaged {
                    from: row,
                    through: self.missing_from(row),
                    why,
                }
            }
        };
        let last = if let Step::Damaged { through, .. } = step {
            through
        } else {
            row
        };
        self.move_to(last + 1);
        Some(step)
    }

    /// Lets go of a generation that the queue gave up: its space is free only then.
    pub fn let_go(&mut self) {
        let begins = self.log.begins();
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.first < begins)
        {
            self.current = None;
        }
    }

    /// What was accepted, once after rows were missing: who read the rest learns what was in them.
    fn standing(&mut self) -> Option<Step> {
        if !self.lossy {
            return None;
        }
        // A commit that is on its way has the state, or there will be more to read: its end brings us here again.
        let state = match self.log.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if state.next_row != self.next {
            return None;
        }
        self.lossy = false;
        let next = (0..)
            .map(SensorNo)
            .zip(state.sensors.iter().map(|sensor| sensor.next));
        Some(Step::Standing {
            epoch: state.epoch(),
            next: next.collect(),
        })
    }

    fn read_or_mend(&mut self, row: RowNo) -> Result<Row, String> {
        let first = self.read(row, Depth::All);
        let (Err(why), Some(current)) = (&first, &mut self.current) else {
            return first;
        };
        let Some(handle) = self.log.mend(current, why) else {
            return first;
        };
        current.handle = handle;
        self.read(row, Depth::All)
    }

    /// The last of the rows that are missing from this one on.
    fn missing_from(&self, row: RowNo) -> RowNo {
        let end = self.current.as_ref().and_then(|current| current.end);
        let end = end.unwrap_or(RowNo::MAX).min(self.log.durable());
        let current = self.current.as_ref();
        let next = current.and_then(|current| current.handle.at_or_after(row + 1).ok().flatten());
        next.unwrap_or(end).min(end).saturating_sub(1).max(row)
    }

    fn move_to(&mut self, next: RowNo) {
        self.next = next;
        self.known = self.known.map(|known| known.max(next));
        if self
            .current
            .as_ref()
            .and_then(|current| current.end)
            .is_some_and(|end| next >= end)
        {
            self.current = None;
        }
    }

    /// Opens the generation of the next row, and learns the definitions that hold there.
    fn enter(&mut self) -> Result<(), Step> {
        if let Some(current) = &mut self.current
            && current.end.is_none()
        {
            // The newest generation may have been followed by another since.
            let held = self.log.holding(current.first);
            current.end = held.ok().and_then(|held| held.end);
            if current.end.is_some_and(|end| self.next >= end) {
                self.current = None;
            }
        }
        if self.current.is_some() {
            return Ok(());
        }
        match self.log.holding(self.next) {
            Ok(opened) => {
                let first = opened.first;
                self.current = Some(opened);
                self.catch_up(first);
                Ok(())
            }
            Err(Place::Gone { next }) => {
                let (from, through) = (self.next, next.saturating_sub(1).max(self.next));
                self.move_to(through + 1);
                Err(Step::GivenUp { from, through })
            }
            Err(Place::Closed { end, error }) => {
                let (from, through) = (
                    self.next,
                    end.unwrap_or_else(|| self.log.durable()).saturating_sub(1),
                );
                self.move_to(through.max(from) + 1);
                Err(Step::Damaged {
                    from,
                    through,
                    why: error.to_string(),
                })
            }
        }
    }

    /// A cursor that enters a generation in its middle reads the definitions from its checkpoint on.
    fn catch_up(&mut self, first: RowNo) {
        let from = self.known.unwrap_or(first).max(first);
        for row in from..self.next {
            if let Ok(found) = self.read(row, Depth::Entries) {
                self.learn(&found);
            }
        }
        self.known = Some(self.next);
    }

    fn read(&self, row: RowNo, depth: Depth) -> Result<Row, String> {
        let current = self.current.as_ref().ok_or("no generation")?;
        let bytes = current.handle.read(row).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or("the row is missing")?;
        decode(&bytes, row, depth).map_err(|error| error.to_string())
    }

    fn learn(&mut self, row: &Row) {
        for entry in &row.entries {
            if let Entry::Define { sensor, def } = entry {
                let index = sensor.index();
                if self.definitions.len() <= index {
                    self.definitions.resize(index + 1, None);
                }
                if let Some(slot) = self.definitions.get_mut(index) {
                    *slot = Some(def.clone());
                }
            }
        }
    }
}
