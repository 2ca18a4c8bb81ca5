//! The writing handle: group commits, checkpoints, new generations, removal of old ones.
//!
//! Owns the newest generation and the order of sequence numbers. Promises that what `commit` returned is on the medium, in
//! rows that are all there or all missing; cannot read readings back. Must not know receipts, sources or outputs' brokers.

use std::sync::Arc;

pub use self::room::Dropped;
pub(super) use self::room::Room;
use super::fold::State;
use super::gaps::Gaps;
use super::log::{Log, lock};
use super::row::{Header, MAX_ITEM, Packer};
use super::runs::Runs;
use super::store::{Generation, StoreError, Tail};
use super::types::{Entry, RowNo, Session};
use crate::event::Event;
use crate::intake::inbox::NodePosition;
use crate::planted::{self, Bug};
use crate::reading::{Reading, SensorDef, SensorNo, Stamp, TimeQuality, Value};

mod room;

/// What one commit stores.
#[derive(Debug, Default)]
pub struct Commit {
    /// Definitions that are new or changed; stored before the readings.
    pub definitions: Vec<(SensorNo, Arc<SensorDef>)>,
    /// The readings, in the order of their arrival.
    pub readings: Vec<Reading>,
    /// How far nodes' readings are stored with this commit.
    pub positions: Vec<NodePosition>,
    /// The agent's own events, as readings of `$events`; they are not counted with the readings.
    pub events: Vec<Reading>,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Readings that are durable now.
    pub accepted: u64,
    /// Readings that were refused: unknown sensor, a wrong number of values, or larger than a row.
    pub invalid: u64,
    /// Rows written.
    pub rows: u64,
}

/// Writes to the queue. There is one.
#[derive(Debug)]
pub struct Appender {
    log: Arc<Log>,
    newest: Arc<dyn Generation>,
    newest_first: RowNo,
    room: Room,
    /// Entries that recovery wants written with the next row: a new boot, a new epoch.
    pending: Vec<Entry>,
    session: Session,
    widths: Vec<usize>,
    runs: Runs,
    /// The sensors of the readings that the commits since the last question refused.
    invalid: Vec<SensorNo>,
    gaps: Gaps,
}

impl Appender {
    pub(super) fn new(
        log: Arc<Log>,
        newest: (RowNo, Arc<dyn Generation>),
        room: Room,
        pending: Vec<Entry>,
        session: Session,
    ) -> Self {
        let width = |def: Option<Arc<SensorDef>>| def.map_or(0, |def| def.measurements.len());
        let widths = lock(&log.state)
            .sensors
            .iter()
            .map(|sensor| width(sensor.def.clone()))
            .collect();
        let (newest_first, newest) = newest;
        Self {
            log,
            newest,
            newest_first,
            room,
            pending,
            session,
            widths,
            runs: Runs::default(),
            invalid: Vec::new(),
            gaps: Gaps::default(),
        }
    }

    /// True when an output's progress waits to be stored.
    #[must_use]
    pub fn has_progress(&self) -> bool {
        !lock(&self.log.mailbox).is_empty()
    }

    /// Stores readings, and the outputs' progress that waits, with one sync. Writes nothing when there is nothing.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room: nothing was stored, and the handle is as it was; see [`Appender::admit`].
    /// Else nothing is known of what was handed in: no receipt, and this handle is of no more use.
    pub fn commit(&mut self, commit: Commit, now: Stamp) -> Result<Committed, StoreError> {
        let mut done = Committed::default();
        let nothing = commit.definitions.is_empty()
            && commit.readings.is_empty()
            && commit.positions.is_empty()
            && commit.events.is_empty();
        if nothing && self.pending.is_empty() && !self.has_progress() {
            return Ok(done);
        }
        let (bytes, need) = self.needed(&commit);
        let roll = self.make_room(bytes, need, now)?;
        self.define(&commit.definitions);
        for reading in commit.readings {
            if self.fits(&reading) {
                self.runs.push(reading);
                done.accepted += 1;
            } else {
                self.invalid.push(reading.sensor);
                done.invalid += 1;
            }
        }
        for event in commit.events {
            self.event(event);
        }
        let mut entries = std::mem::take(&mut self.pending);
        let definitions = commit.definitions.into_iter();
        entries.extend(definitions.map(|(sensor, def)| Entry::Define { sensor, def }));
        entries.extend(commit.positions.into_iter().map(Entry::Node));
        entries.append(&mut lock(&self.log.mailbox).take());
        if entries.is_empty() && self.runs.is_empty() {
            return Ok(done);
        }
        done.rows = self.write(&entries, roll, now)?;
        // What is stored is stored; what went wrong afterwards shows again at the next commit.
        drop(self.look_ahead(now));
        Ok(done)
    }

    /// Whose readings were refused by the commits since this was last asked, one entry for each reading.
    pub fn take_invalid(&mut self) -> Vec<SensorNo> {
        std::mem::take(&mut self.invalid)
    }

    /// From here on, what the queue gives up is told as events of that sensor, in the same commit.
    pub fn tell_gaps(&mut self, events: SensorNo) {
        self.gaps.sensor = Some(events);
    }

    /// What was given up by the commits since this was last asked.
    pub fn take_gaps(&mut self) -> Vec<Event> {
        self.gaps.take_told()
    }

    /// An event that does not fit is none: it was made here, after a definition of our own.
    fn event(&mut self, event: Reading) {
        if self.fits(&event) {
            self.runs.push(event);
        }
    }

    fn define(&mut self, definitions: &[(SensorNo, Arc<SensorDef>)]) {
        for (sensor, def) in definitions {
            if self.widths.len() <= sensor.index() {
                self.widths.resize(sensor.index() + 1, 0);
            }
            if let Some(width) = self.widths.get_mut(sensor.index()) {
                *width = def.measurements.len();
            }
            self.runs.forget(*sensor);
        }
    }

    fn fits(&self, reading: &Reading) -> bool {
        let values = reading.values.as_slice();
        let known = self
            .widths
            .get(reading.sensor.index())
            .is_some_and(|width| *width > 0 && *width == values.len());
        let size = |value: &Value| match value {
            Value::Absent | Value::Boolean(_) => 2,
            Value::Number(_) => 10,
            Value::Text(text) => text.len() + 4,
            Value::Bytes(bytes) => bytes.len() + 4,
        };
        known && values.iter().map(size).sum::<usize>() + 64 <= MAX_ITEM
    }

    /// The state's lock is held over the sync: nobody sees readings counted that are not durable.
    fn write(&mut self, entries: &[Entry], roll: bool, now: Stamp) -> Result<u64, StoreError> {
        let log = self.log.clone();
        let mut state = lock(&log.state);
        let mut packer = Packer::new(header(&state, self.session, now), state.next_row);
        if roll {
            checkpoint(&mut packer, &state);
        }
        for entry in entries {
            self.gaps.look(&state, entry);
            state.entry(entry);
            if matches!(entry, Entry::Epoch(_) | Entry::Boot { .. }) {
                packer.restart(header(&state, self.session, now));
            }
            packer.entry(entry);
        }
        let is_defined = |sensor: SensorNo| self.widths.get(sensor.index()).is_some_and(|width| *width > 0);
        for gap in self.gaps.readings(is_defined, now) {
            self.event(gap);
        }
        let mut accepted = Vec::new();
        let first = |sensor: SensorNo| state.sensors.get(sensor.index()).map_or(1, |sensor| sensor.next);
        self.runs.drain(first, |run| {
            packer.run(run);
            accepted.push((run.sensor, run.first, run.len() as u64));
        });
        let rows = packer.finish();
        if planted::has(Bug::BeyondTail) {
            log.advance(rows.last().map_or(state.next_row, |(row, _)| row + 1));
        }
        self.store(&rows, roll)?;
        accepted
            .into_iter()
            .for_each(|(sensor, first, count)| state.accept(sensor, first, count));
        state.next_row = rows.last().map_or(state.next_row, |(row, _)| row + 1);
        let (floor, next_row) = (state.floor(), state.next_row);
        drop(state);
        log.store.note_tail(Tail {
            generation: self.newest_first,
            next_row,
        });
        log.advance(next_row);
        log.remove_before(floor)?;
        Ok(rows.len() as u64)
    }

    fn store(&mut self, rows: &[(RowNo, Vec<u8>)], roll: bool) -> Result<(), StoreError> {
        if !roll {
            return self.newest.append(rows);
        }
        let older = std::mem::replace(&mut self.newest, self.log.store.create(rows)?);
        older.give_back()?;
        self.newest_first = rows.first().map_or(self.newest_first, |(row, _)| *row);
        self.log.adopt(self.newest_first, &self.newest);
        Ok(())
    }
}

fn header(state: &State, session: Session, now: Stamp) -> Header {
    Header {
        session,
        epoch: state.epoch(),
        boot: state.boot.map_or(0, |(number, _)| number),
        committed: now.wall,
        synchronized: now.quality == TimeQuality::Synchronized,
        offset: now.wall.wrapping_sub(now.mono.cast_signed()),
    }
}

/// Begins a generation: the whole fold, in rows of its own.
pub(super) fn checkpoint(packer: &mut Packer, state: &State) {
    state.checkpoint().iter().for_each(|entry| packer.entry(entry));
    packer.entry(&Entry::CheckpointEnd);
    packer.close();
}

/// Entries in rows, and in the state: what is of another epoch or boot stands in another row.
fn put_entries(packer: &mut Packer, state: &mut State, entries: &[Entry], session: Session, now: Stamp) {
    for entry in entries {
        state.entry(entry);
        if matches!(entry, Entry::Epoch(_) | Entry::Boot { .. }) {
            packer.restart(header(state, session, now));
        }
        packer.entry(entry);
    }
}

/// The rows of a generation that begins with what is known and goes on with these entries; the state takes them up.
pub(super) fn renewed_rows(
    state: &mut State,
    entries: &[Entry],
    session: Session,
    now: Stamp,
) -> Vec<(RowNo, Vec<u8>)> {
    let mut packer = Packer::new(header(state, session, now), state.next_row);
    checkpoint(&mut packer, state);
    put_entries(&mut packer, state, entries, session, now);
    packer.finish()
}

/// The rows of a new queue.
pub(super) fn first_rows(state: &State, session: Session, now: Stamp) -> Vec<(RowNo, Vec<u8>)> {
    let mut packer = Packer::new(header(state, session, now), state.next_row);
    checkpoint(&mut packer, state);
    packer.finish()
}
