//! The commit thread: takes what waits, stores it, then gives the receipts.
//!
//! Owns the queue's only [`Appender`]. Promises that a receipt is raised only after the sync of the commit that holds its
//! readings, and that an error of the store ends the thread: no more receipts, never pretending. Must not know sources.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::inbox::{Inbox, NodePosition, Waiting, Wake, reading_bytes};
use crate::clock::{Clock, Mono};
use crate::event::Event;
use crate::planted::{self, Bug};
use crate::queue::appender::{Appender, Commit, Committed};
use crate::queue::store::StoreError;
use crate::reading::{SensorDef, SensorNo, Stamp};

/// What the intake did since the start; for status.
#[derive(Debug, Default)]
pub struct Tally {
    /// Commits made.
    pub commits: AtomicU64,
    /// Rows written.
    pub rows: AtomicU64,
    /// Why nothing can be stored now.
    trouble: Mutex<Option<String>>,
}

impl Tally {
    /// Says why nothing can be stored now, or that it can.
    pub fn trouble(&self, why: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why nothing can be stored now; nothing when it can.
    pub fn troubles(&self) -> impl Iterator<Item = String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .into_iter()
    }

    fn add(&self, done: Committed) {
        if done.rows > 0 {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        self.rows.fetch_add(done.rows, Ordering::Relaxed);
    }
}

/// When a committer that is not on a thread of its own wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Now.
    AtOnce,
    /// At that moment, or when something comes in.
    At(Mono),
    /// When something comes in.
    WhenNudged,
}

/// Commits what the sources hand in.
#[derive(Debug)]
pub struct Committer {
    inbox: Arc<Inbox>,
    appender: Appender,
    clock: Arc<Clock>,
    interval: Duration,
    tally: Arc<Tally>,
    /// When the outputs' progress is committed even if no reading comes.
    progress_due: Option<Mono>,
    /// When the appender wants to look after what is stored.
    tend_due: Option<Mono>,
    /// Definitions of commits that the queue had no room for.
    kept: Vec<(SensorNo, Arc<SensorDef>)>,
    /// Since when the queue has no room.
    full: Option<Mono>,
}

/// How soon a queue that has no room is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// About what a position takes in a row.
const POSITION: usize = 64;

impl Committer {
    /// For an inbox and the queue it leads to; `interval` is `commit-interval`.
    #[must_use]
    pub fn new(
        inbox: Arc<Inbox>,
        appender: Appender,
        clock: Arc<Clock>,
        interval: Duration,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            inbox,
            appender,
            clock,
            interval,
            tally,
            progress_due: None,
            tend_due: None,
            kept: Vec::new(),
            full: None,
        }
    }

    /// When to look though nothing comes in.
    fn due(&self) -> Option<Mono> {
        let event = self.progress_due.or_else(|| self.inbox.events().next());
        event.into_iter().chain(self.tend_due).min()
    }

    /// Commits until the inbox is closed; then gives back the appender, for the last of the outputs' progress.
    ///
    /// # Errors
    /// When the store fails. What was handed in has no receipt then, and its senders keep it.
    pub fn run(mut self) -> Result<Appender, StoreError> {
        loop {
            let wake = self.inbox.wait(self.due());
            if self.take(wake)? {
                return Ok(self.appender);
            }
        }
    }

    /// One step of [`Committer::run`] that waits for nothing; `None` when the inbox was closed and all is done, else when
    /// to call again at the latest, should nothing come in before.
    ///
    /// # Errors
    /// As there.
    pub fn poll(&mut self) -> Result<Option<Next>, StoreError> {
        match self.inbox.poll(self.due()) {
            Ok(wake) => Ok((!self.take(wake)?).then_some(Next::AtOnce)),
            Err(next) => Ok(Some(next.map_or(Next::WhenNudged, Next::At))),
        }
    }

    /// True when it was the last.
    fn take(&mut self, wake: Wake) -> Result<bool, StoreError> {
        match wake {
            Wake::Commit(waiting) => self.commit(waiting)?,
            Wake::Idle => self.idle()?,
            Wake::Closed(waiting) => {
                self.commit(waiting)?;
                return Ok(true);
            }
        }
        self.tend()?;
        Ok(false)
    }

    /// Removes what is not needed any more, and tells what had to be given up.
    fn tend(&mut self) -> Result<(), StoreError> {
        let now = self.clock.stamp();
        if self.tend_due.is_none_or(|due| due <= Mono(now.mono)) {
            let next = self.appender.tend(now)?;
            self.tend_due = next.map(|after| Mono(now.mono).after(after));
        }
        for dropped in self.appender.take_dropped() {
            let (reason, readings, sensors) = (dropped.reason.limit(), dropped.readings, dropped.sensors);
            tracing::warn!(
                reason,
                readings,
                sensors,
                "the oldest readings were given up to make room"
            );
        }
        Ok(())
    }

    /// Progress, and events, wait at most one interval for a reading that takes it along.
    fn idle(&mut self) -> Result<(), StoreError> {
        self.ask_again()?;
        let now = self.clock.mono();
        match self.progress_due {
            _ if !self.appender.has_progress() && !self.inbox.events().is_due(now) => {
                self.progress_due = None;
            }
            Some(due) if due <= now && self.inbox.events().is_due(now) => {
                self.commit(self.inbox.without_readings())?;
            }
            Some(due) if due <= now => self.progress()?,
            Some(_) => {}
            None => self.progress_due = Some(now.after(self.interval)),
        }
        Ok(())
    }

    /// Stores what outputs have delivered, alone. Where even for that there is no room, it waits.
    fn progress(&mut self) -> Result<(), StoreError> {
        self.progress_due = None;
        match self.appender.commit(Commit::default(), self.clock.stamp()) {
            Ok(done) => self.tally.add(done),
            Err(StoreError::Full { .. }) => self.progress_due = Some(self.clock.mono().after(AGAIN)),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Asks for room. Without it, what waits goes back to the inbox: no receipt is given, and its senders keep it.
    fn admit(&mut self, waiting: Waiting) -> Result<Option<Waiting>, StoreError> {
        let mut waiting = waiting;
        self.kept.append(&mut waiting.definitions);
        // A batch may hold nothing but the position of a node.
        let bytes = waiting.batches.iter().map(|batch| batch.bytes() + POSITION).sum();
        if self.has_room(bytes)? {
            waiting.definitions = std::mem::take(&mut self.kept);
            return Ok(Some(waiting));
        }
        self.inbox
            .put_back(waiting.batches, self.clock.mono().after(AGAIN));
        Ok(None)
    }

    /// A queue that had no room is asked again. Until it has some, all stays in the inbox, which is bounded.
    fn ask_again(&mut self) -> Result<(), StoreError> {
        if self.full.is_some() && !self.has_room(self.inbox.bytes())? {
            self.inbox.block(self.clock.mono().after(AGAIN));
        }
        Ok(())
    }

    /// Whether there is room for so many bytes of readings; says so when that changes.
    fn has_room(&mut self, bytes: usize) -> Result<bool, StoreError> {
        let now = self.clock.stamp();
        match self.appender.admit(self.kept.len(), bytes, now) {
            Ok(()) => {
                if let Some(since) = self.full.take() {
                    let seconds = self.clock.mono().since(since).as_secs();
                    tracing::info!(seconds, "the queue has room again");
                    self.tally.trouble(None);
                    self.inbox.unblock();
                }
                Ok(true)
            }
            Err(StoreError::Full { place }) => {
                if self.full.is_none() {
                    self.full = Some(Mono(now.mono));
                    self.tally
                        .trouble(Some(format!("the queue has no room: {place}")));
                    tracing::error!(
                        place,
                        "the queue has no room; readings wait in memory, and what finds no space there is refused"
                    );
                }
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }

    fn commit(&mut self, waiting: Waiting) -> Result<(), StoreError> {
        let Some(waiting) = self.admit(waiting)? else {
            // What wants to be stored beside readings is looked at again soon.
            self.progress_due = Some(self.clock.mono().after(AGAIN));
            return if self.appender.has_progress() {
                self.progress()
            } else {
                Ok(())
            };
        };
        self.progress_due = None;
        let (mut commit, mut receipts) = (Commit::default(), Vec::new());
        // Of each node the last one, with all that it lost: it says the same in one entry.
        let mut positions = BTreeMap::new();
        commit.definitions = waiting.definitions;
        for mut batch in waiting.batches {
            commit.readings.append(&mut batch.readings);
            if let Some(mut position) = batch.position {
                let before = positions.remove(&position.node);
                let lost = before.map_or(0, |before: NodePosition| before.lost);
                position.lost = position.lost.saturating_add(lost);
                positions.insert(position.node.clone(), position);
            }
            let event = batch
                .event
                .map(|event| self.inbox.events().note(self.clock.stamp(), *event));
            commit.events.extend(event.flatten());
            receipts.extend(batch.receipt);
        }
        commit.positions = positions.into_values().collect();
        if planted::has(Bug::ReceiptBeforeSync) {
            receipts
                .iter()
                .for_each(|(receipt, through)| receipt.raise(*through));
        }
        if planted::has(Bug::PositionEarly) {
            let positions = std::mem::take(&mut commit.positions);
            let early = Commit {
                positions,
                ..Commit::default()
            };
            self.appender.commit(early, self.clock.stamp())?;
        }
        let now = self.clock.stamp();
        self.inbox.look_at_the_clock(now);
        commit.events.append(&mut self.inbox.events().take(now));
        // An event holds up nothing: where there is no room for it, it waits, and all else goes its way.
        if !commit.events.is_empty() {
            let all = commit.readings.iter().chain(&commit.events);
            let bytes = all.map(reading_bytes).sum();
            match self.appender.admit(commit.definitions.len(), bytes, now) {
                Ok(()) => {}
                Err(StoreError::Full { .. }) => {
                    self.inbox.events().put_back(std::mem::take(&mut commit.events));
                }
                Err(other) => return Err(other),
            }
        }
        let done = self.appender.commit(commit, now)?;
        self.tally.add(done);
        self.say_gaps(now);
        let invalid = self.appender.take_invalid();
        self.inbox.offers().committed(done.accepted, &invalid);
        for (receipt, through) in receipts {
            receipt.raise(through);
        }
        Ok(())
    }
}

impl Committer {
    /// What the queue has given up: one line in the log for a commit, the events are stored.
    fn say_gaps(&mut self, now: Stamp) {
        let gaps = self.appender.take_gaps();
        let size = |gap: &Event| {
            gap.through
                .zip(gap.from)
                .map_or(0, |(through, from)| through - from + 1)
        };
        let readings: u64 = gaps.iter().map(size).sum();
        if let Some(gap) = gaps.first() {
            let sensor = gap.sensor.as_ref().map_or("", |sensor| sensor.as_str());
            let reason = gap.reason.as_deref().unwrap_or_default();
            let sensors = gaps.len();
            tracing::warn!(readings, sensors, sensor, reason, "the queue gave up readings");
        }
        for gap in gaps {
            // It is stored already, with what it tells of.
            drop(self.inbox.events().note(now, gap));
        }
    }
}

#[cfg(test)]
#[path = "committer/tests.rs"]
mod tests;
