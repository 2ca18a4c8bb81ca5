//! Room for what is stored: the reserve, the limits, the next generation.
//!
//! Owns the appender's dealings with the disk before and after a commit. Promises that nothing is handed to the store that
//! the reserve of the present generation, or the one made ahead, cannot hold; that what retention gives up is written down
//! before it is removed; and that what outputs have delivered can be stored when readings no longer can.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Appender, Commit, checkpoint, header};
use crate::intake::inbox::reading_bytes;
use crate::queue::fold::State;
use crate::queue::given_up::given_up;
use crate::queue::log::lock;
use crate::queue::retention::{Extent, Limits, Mark, Retention, Verdict, age};
use crate::queue::row::{Depth, Packer, decode};
use crate::queue::store::{Generation, Need, StoreError};
use crate::queue::types::{DropReason, Entry, RowNo};
use crate::reading::{Stamp, TimeQuality};

/// What an entry takes in a row at most, definitions aside.
const ENTRY: usize = 64;
/// What a definition takes at most.
const DEFINITION: usize = 1536;
/// So many positions of nodes are expected in a commit.
const POSITIONS: usize = 64;
/// How much larger than its rows a reserve has to be.
const SPREAD: u64 = 4;
/// What a store that needs no reserve says of the next generation.
const ANY: u64 = u64::MAX;
/// The reserve with which a generation begins, beside its checkpoint.
const FIRST_RESERVE: u64 = 3 * 512 * 1024;
/// How often age is looked at.
const AGE_PACE: Duration = Duration::from_secs(10);
/// How soon a generation is removed that a reader still has open.
const IN_USE_PACE: Duration = Duration::from_secs(1);
/// How many generations are given up for their age at once: each costs the opening of another one.
const AT_ONCE: usize = 4;

/// What retention gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// How many readings.
    pub readings: u64,
    /// Of how many sensors.
    pub sensors: u64,
}

/// What the appender knows of its room.
#[derive(Debug)]
pub(in crate::queue) struct Room {
    retention: Retention,
    generation_bytes: u64,
    /// When generations began; `None` for those of which that cannot be read.
    marks: BTreeMap<RowNo, Option<Mark>>,
    looked: Option<u64>,
    dropped: Vec<Dropped>,
    /// The next commit was found to fit, if what outputs post meanwhile does not make it much larger.
    admitted: bool,
}

impl Room {
    pub(in crate::queue) fn new(generation_bytes: u64, limits: Limits) -> Self {
        Self {
            retention: Retention::new(limits),
            generation_bytes,
            marks: BTreeMap::new(),
            looked: None,
            dropped: Vec::new(),
            admitted: false,
        }
    }
}

impl Appender {
    /// Asks whether a commit of so many definitions and bytes of readings ([`reading_bytes`]) can be stored, and makes room
    /// for it as the limits allow. For nothing, and for progress alone, it says yes.
    ///
    /// # Errors
    /// [`StoreError::Full`] when it cannot: nothing was taken, and the same may be tried again later.
    pub fn admit(&mut self, definitions: usize, readings: usize, now: Stamp) -> Result<(), StoreError> {
        if definitions == 0 && readings == 0 {
            return Ok(());
        }
        let waiting = self.pending.len() + lock(&self.log.mailbox).len() + POSITIONS;
        let bytes = readings + ENTRY * waiting + DEFINITION * definitions;
        self.make_room(bytes as u64, Need::Readings, now)?;
        self.room.admitted = true;
        Ok(())
    }

    /// What retention gave up since the last call.
    pub fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.room.dropped)
    }

    /// Removes what is no longer needed, and what is too old. Says when it should be called again; `None` when there is but
    /// one generation.
    ///
    /// # Errors
    /// When the medium refuses.
    pub fn tend(&mut self, now: Stamp) -> Result<Option<Duration>, StoreError> {
        let floor = lock(&self.log.state).floor();
        self.log.remove_before(floor)?;
        let since = |looked: u64| Duration::from_nanos(now.mono.saturating_sub(looked));
        if self.room.looked.is_none_or(|looked| since(looked) >= AGE_PACE) {
            self.room.looked = Some(now.mono);
            self.expire(now)?;
        }
        Ok(match self.log.firsts()[..] {
            [_, second, ..] if second <= floor => Some(IN_USE_PACE),
            [_, _, ..] => Some(AGE_PACE),
            _ => None,
        })
    }

    /// About how many bytes of rows a commit needs, and of which reserve.
    pub(super) fn needed(&mut self, commit: &Commit) -> (u64, Need) {
        let readings: usize = commit.readings.iter().map(reading_bytes).sum();
        let waiting = self.pending.len() + lock(&self.log.mailbox).len() + commit.positions.len() + 1;
        let events: usize = commit.events.iter().map(reading_bytes).sum();
        let gaps = self.gaps.bytes(lock(&self.log.mailbox).drops());
        let bytes = readings + events + gaps + ENTRY * waiting + DEFINITION * commit.definitions.len();
        let only_progress =
            commit.readings.is_empty() && commit.definitions.is_empty() && commit.events.is_empty();
        (
            bytes as u64,
            if std::mem::take(&mut self.room.admitted) || only_progress {
                Need::Progress
            } else {
                Need::Readings
            },
        )
    }

    /// Makes room; true when a new generation is to begin.
    pub(super) fn make_room(&mut self, bytes: u64, need: Need, now: Stamp) -> Result<bool, StoreError> {
        if self.is_time_to_roll(now)? && self.can_roll(bytes, now) {
            return Ok(true);
        }
        let lacks = self.newest.lacks(bytes, need)?;
        if lacks == 0 {
            return Ok(false);
        }
        match self.grow(lacks, now) {
            Ok(()) => Ok(false),
            // The generation that was made ahead has a reserve of its own.
            Err(StoreError::Full { .. }) if self.has_reserve() && self.can_roll(bytes, now) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Makes the reserve larger, as the limits allow.
    fn grow(&mut self, bytes: u64, now: Stamp) -> Result<(), StoreError> {
        self.allow(bytes, now)?;
        self.newest.extend(bytes)
    }

    /// Makes room for so many bytes more, as the limits allow.
    fn allow(&mut self, growth: u64, now: Stamp) -> Result<(), StoreError> {
        loop {
            match self.decide(growth) {
                Verdict::Go => return Ok(()),
                Verdict::Drop(reason) => self.give_up_oldest(reason, now)?,
                Verdict::Refuse(reason) => {
                    let place = format!("the queue, by its {}", reason.limit());
                    return Err(StoreError::Full { place });
                }
            }
        }
    }

    fn has_reserve(&self) -> bool {
        self.log.store.prepared().is_some_and(|reserve| reserve != ANY)
    }

    /// After a commit, what the next ones will need. What fails here fails again where it matters.
    pub(super) fn look_ahead(&mut self, now: Stamp) -> Result<(), StoreError> {
        if self.newest.lacks(0, Need::Soon)? > 0 {
            let growth = self.newest.lacks(0, Need::Ahead)?;
            if self.decide(growth) == Verdict::Go {
                self.newest.extend(growth)?;
            }
        }
        let half = self.newest.size()? >= self.room.generation_bytes / 2;
        if half && self.log.store.prepared().is_none() && !self.log.store.is_preparing() {
            let reserve = FIRST_RESERVE + SPREAD * self.checkpoint_bytes(now);
            self.allow(reserve, now)?;
            self.log.store.prepare(reserve);
        }
        Ok(())
    }

    fn decide(&mut self, growth: u64) -> Verdict {
        let space = self.log.store.space();
        self.room.retention.decide(Extent {
            used: space.used,
            free: space.free,
            growth,
            has_older: self.log.firsts().len() > 1,
        })
    }

    fn is_time_to_roll(&mut self, now: Stamp) -> Result<bool, StoreError> {
        if self.newest.size()? >= self.room.generation_bytes {
            return Ok(true);
        }
        let limit = self.room.retention.limits().generation_age();
        let began = self.began(self.newest_first);
        Ok(began
            .and_then(|began| age(began, self.mark(now)))
            .is_some_and(|age| age >= limit))
    }

    fn can_roll(&self, bytes: u64, now: Stamp) -> bool {
        let needs = || SPREAD * (self.checkpoint_bytes(now) + bytes);
        self.log
            .store
            .prepared()
            .is_some_and(|reserve| reserve == ANY || reserve >= needs())
    }

    fn checkpoint_bytes(&self, now: Stamp) -> u64 {
        let state = lock(&self.log.state);
        let mut packer = Packer::new(header(&state, self.session, now), state.next_row);
        checkpoint(&mut packer, &state);
        packer.finish().iter().map(|(_, row)| row.len() as u64).sum()
    }

    fn mark(&self, now: Stamp) -> Mark {
        let fresh = self.pending.iter().find_map(|entry| match entry {
            Entry::Boot { number, .. } => Some(*number),
            _ => None,
        });
        let known = || lock(&self.log.state).boot.map_or(0, |(number, _)| number);
        Mark {
            boot: fresh.unwrap_or_else(known),
            time: now,
        }
    }

    /// When a generation began.
    fn began(&mut self, first: RowNo) -> Option<Mark> {
        if let Some(known) = self.room.marks.get(&first) {
            return *known;
        }
        let read = || {
            let opened = self.log.holding(first).ok()?;
            let row = decode(&opened.handle.read(first).ok()??, first, Depth::Entries).ok()?;
            let quality = if row.synchronized {
                TimeQuality::Synchronized
            } else {
                TimeQuality::Unsynced
            };
            let time = Stamp {
                wall: row.committed,
                mono: row.mono,
                quality,
            };
            Some(Mark { boot: row.boot, time })
        };
        let found = read();
        let oldest = self.log.begins();
        self.room.marks = self.room.marks.split_off(&oldest);
        self.room.marks.insert(first, found);
        found
    }

    /// Gives up generations of which the youngest reading is older than `max-age`.
    fn expire(&mut self, now: Stamp) -> Result<(), StoreError> {
        let limit = self.room.retention.limits().max_age;
        for _ in 0..AT_ONCE {
            let [_, second, ..] = self.log.firsts()[..] else {
                break;
            };
            let ended = self.began(second).and_then(|began| age(began, self.mark(now)));
            if ended.is_none_or(|age| age <= limit) {
                break;
            }
            match self.give_up_oldest(DropReason::Age, now) {
                Err(error) if error.may_pass() => break,
                other => other?,
            }
        }
        Ok(())
    }

    /// Writes down what is lost with the oldest generation, then removes it.
    fn give_up_oldest(&mut self, reason: DropReason, now: Stamp) -> Result<(), StoreError> {
        let firsts = self.log.firsts();
        let Some((boundary, before)) = self.standing_behind(&firsts)? else {
            let place = "the queue, of which nothing can be given up".to_owned();
            return Err(StoreError::Full { place });
        };
        let mut entries = std::mem::take(&mut self.pending);
        let lost = given_up(&lock(&self.log.state), &before, boundary, reason);
        let bytes = (ENTRY * (entries.len() + lost.len()) + self.gaps.bytes(lost.len())) as u64;
        if self.newest.lacks(bytes, Need::Progress)? > 0 {
            self.pending = entries;
            let place = "the reserve".to_owned();
            return Err(StoreError::Full { place });
        }
        self.note(reason, &lost);
        entries.extend(lost);
        self.write(&entries, false, now)?;
        firsts
            .into_iter()
            .take_while(|first| *first < boundary)
            .try_for_each(|first| self.log.give_up(first))
    }

    fn note(&mut self, reason: DropReason, lost: &[Entry]) {
        let mut dropped = Dropped {
            reason,
            readings: 0,
            sensors: 0,
        };
        for entry in lost {
            if let Entry::Drop { from, through, .. } = entry {
                dropped.readings += through + 1 - from;
                dropped.sensors += 1;
            }
        }
        self.room.dropped.push(dropped);
    }

    /// The first row of the second generation and the state there; of a later one where that is damaged.
    fn standing_behind(&self, firsts: &[RowNo]) -> Result<Option<(RowNo, State)>, StoreError> {
        for boundary in firsts.iter().skip(1) {
            let opened = match self.log.holding(*boundary) {
                Ok(opened) => opened,
                Err(crate::queue::log::Place::Closed { error, .. }) if error.may_pass() => return Err(error),
                Err(_) => continue,
            };
            if let Some(state) = standing(&*opened.handle, *boundary)? {
                return Ok(Some((*boundary, state)));
            }
        }
        Ok(None)
    }
}

/// The checkpoint at the start of a generation; `None` when it cannot be read.
fn standing(generation: &dyn Generation, first: RowNo) -> Result<Option<State>, StoreError> {
    let mut state = State {
        next_row: first,
        ..State::default()
    };
    while !state.complete {
        let row = state.next_row;
        let found = generation.read(row)?;
        match found.and_then(|bytes| decode(&bytes, row, Depth::Entries).ok()) {
            Some(row) => state.apply(&row),
            None => return Ok(None),
        }
    }
    Ok(Some(state))
}

#[cfg(test)]
#[path = "room/tests.rs"]
mod tests;
