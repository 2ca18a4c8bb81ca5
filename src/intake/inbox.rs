//! The bounded inbox between the sources and the commit thread.
//!
//! Owns what waits to be committed, the bounds on it, and the wake-ups on both sides. Promises: what was accepted here
//! is committed or the process ends; nothing here is durable. Wakes the commit thread only when a timer must be set or a
//! commit is due. Must not know the queue or what a source is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::catalog::{Catalog, RegisterError};
use super::events::Events;
use super::offers::Offers;
use super::pacer::Pacer;
use super::receipt::Receipts;
use crate::clock::{Clock, Mono};
use crate::event::{Event, Kind};
use crate::reading::{Reading, SensorDef, SensorId, SensorIdError, SensorNo, Stamp, Value};

/// Readings that may wait: 160 ms at 100,000/s, ten times what one commit takes; about 1 MiB.
pub const MAX_READINGS: usize = 16_384;
/// Bytes of values that may wait: texts and bytes are bounded by this rather than by their count.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Identifies a node over restarts of anything: its own ID, 1 to 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey(pub Box<[u8]>);

/// How far one node's readings are stored, committed together with the readings themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePosition {
    /// Which node.
    pub node: NodeKey,
    /// Which of its boots.
    pub boot: u32,
    /// Everything up to this sequence number of that boot is in this commit or an earlier one.
    pub sequence: u64,
    /// Readings that the node declared lost with this; folded, all since the queue was made.
    pub lost: u64,
}

/// What a source hands in at once: it becomes durable at once, and then the receipt is given.
#[derive(Debug, Default)]
pub struct Batch {
    /// The readings, in the order of their sequence.
    pub readings: Vec<Reading>,
    /// The node's new position, if the readings come from a node.
    pub position: Option<NodePosition>,
    /// An event that becomes durable with it: what the sender itself declared lost.
    pub event: Option<Box<Event>>,
    /// Whose receipts to raise, and to which number, once this is durable.
    pub receipt: Option<(Arc<Receipts>, u64)>,
}

impl Batch {
    /// The bytes that count against the inbox's bound.
    pub(super) fn bytes(&self) -> usize {
        self.readings.iter().map(reading_bytes).sum()
    }
}

/// About what a reading takes in memory and in a row.
#[must_use]
pub fn reading_bytes(reading: &Reading) -> usize {
    reading.values.as_slice().iter().fold(16, |sum, value| {
        sum + match value {
            Value::Absent | Value::Boolean(_) => 1,
            Value::Number(_) => 8,
            Value::Text(text) => text.len() + 3,
            Value::Bytes(bytes) => bytes.len() + 3,
        }
    })
}

/// All that one commit takes: what waited.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Definitions that are new or changed; they come before the readings.
    pub definitions: Vec<(SensorNo, Arc<SensorDef>)>,
    /// The batches, in the order of arrival.
    pub batches: Vec<Batch>,
}

/// What the commit thread is woken for.
#[derive(Debug)]
pub enum Wake {
    /// A commit is due: this waits.
    Commit(Waiting),
    /// The time is over that the caller gave, and nothing is due.
    Idle,
    /// The inbox was closed: the last that waits.
    Closed(Waiting),
}

/// A [`Wake`] before the definitions are fetched.
enum Due {
    Commit(Vec<Batch>),
    Idle,
    Closed(Vec<Batch>),
}

#[derive(Debug)]
struct State {
    batches: Vec<Batch>,
    pacer: Pacer,
    closed: bool,
    woken: bool,
    /// How often the commit thread came back for more.
    turns: u64,
    /// The queue takes nothing before that moment.
    blocked: Option<Mono>,
}

/// The inbox. Shared by all sources and the commit thread.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    catalog: Mutex<Catalog>,
    clock: Arc<Clock>,
    due: Condvar,
    space: Notify,
    space_sync: Condvar,
    offers: Offers,
    events: Events,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It is full; the batch comes back.
    #[error("the inbox is full")]
    Full(Batch),
    /// The agent stops.
    #[error("the agent is stopping")]
    Closed,
}

impl Inbox {
    /// An empty inbox with the commit interval and the sensors that the queue knows.
    #[must_use]
    pub fn new(interval: Duration, catalog: Catalog) -> Self {
        Self::with_clock(interval, catalog, Arc::new(Clock::new()))
    }

    /// As [`Inbox::new`], told the time by that clock.
    #[must_use]
    pub fn with_clock(interval: Duration, catalog: Catalog, clock: Arc<Clock>) -> Self {
        let state = State {
            batches: Vec::new(),
            pacer: Pacer::new(interval),
            closed: false,
            woken: false,
            turns: 0,
            blocked: None,
        };
        Self {
            state: Mutex::new(state),
            catalog: Mutex::new(catalog),
            clock,
            due: Condvar::new(),
            space: Notify::new(),
            space_sync: Condvar::new(),
            offers: Offers::default(),
            events: Events::default(),
        }
    }

    /// Gives the number of a sensor (see [`Catalog::register`]).
    ///
    /// # Errors
    /// As the catalog's.
    pub fn register(&self, owner: &Arc<str>, def: SensorDef) -> Result<SensorNo, RegisterError> {
        self.catalog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .register(owner, def)
    }

    /// Gives up an owner's sensors (see [`Catalog::disown`]).
    pub fn disown(&self, owner: &str) {
        self.catalog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .disown(owner);
    }

    /// Hands in a batch, without waiting.
    ///
    /// # Errors
    /// When it is full (the batch comes back) or closed.
    pub fn try_submit(&self, batch: Batch) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if state.closed {
            return Err(SubmitError::Closed);
        }
        if state.pacer.readings() >= MAX_READINGS || state.pacer.bytes() >= MAX_BYTES {
            return Err(SubmitError::Full(batch));
        }
        self.offers.taken(batch.readings.len() as u64);
        if state.add(batch, self.clock.mono()) {
            self.due.notify_one();
        }
        Ok(())
    }

    /// Hands in a batch, waiting for space: what a source does whose upstream can be slowed down.
    ///
    /// # Errors
    /// When the inbox is closed.
    pub async fn submit(&self, batch: Batch) -> Result<(), SubmitError> {
        let mut batch = batch;
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            match self.try_submit(batch) {
                Err(SubmitError::Full(back)) => batch = back,
                other => return other,
            }
            space.await;
        }
    }

    /// As [`Inbox::submit`], for a source with a thread of its own; gives up after `patience`.
    ///
    /// # Errors
    /// When it was full for all that time (the batch comes back), or is closed.
    pub fn submit_blocking(&self, batch: Batch, patience: Duration) -> Result<(), SubmitError> {
        let until = self.clock.mono().after(patience);
        let mut batch = batch;
        loop {
            match self.try_submit(batch) {
                Err(SubmitError::Full(back)) => batch = back,
                other => return other,
            }
            let left = until.since(self.clock.mono());
            if left.is_zero() {
                return Err(SubmitError::Full(batch));
            }
            let guard = self.lock();
            drop(
                self.space_sync
                    .wait_timeout(guard, left.min(Duration::from_millis(100))),
            );
        }
    }

    /// The number of a sensor that was registered.
    #[must_use]
    pub fn number(&self, sensor: &SensorId) -> Option<SensorNo> {
        self.catalog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .number(sensor)
    }

    /// From here on events are stored; gives the number of the sensor that they are readings of.
    ///
    /// # Errors
    /// As [`Catalog::register_events`].
    pub fn store_events(&self) -> Result<SensorNo, SensorIdError> {
        let sensor = self
            .catalog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .register_events()?;
        self.events.store_as(sensor);
        Ok(sensor)
    }

    /// The events that wait.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Tells of it when somebody has set the clock. True when somebody has.
    pub fn look_at_the_clock(&self, now: Stamp) -> bool {
        let step = self.clock.take_step();
        if let Some(step) = step {
            tracing::warn!(%step, "somebody set the clock");
            self.events
                .change("clock", now, Event::new(Kind::ClockStep, step.to_string()));
        }
        step.is_some()
    }

    /// What was offered, and what became of it.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Gives back what the queue had no room for: it waits here again, before everything else, and it is blocked until then
    /// ([`Inbox::block`]). What came in meanwhile may take it over the bound, to twice that: nothing more comes in then.
    pub fn put_back(&self, batches: Vec<Batch>, until: Mono) {
        let mut state = self.lock();
        let (now, newer) = (self.clock.mono(), std::mem::take(&mut state.batches));
        for batch in &batches {
            state
                .pacer
                .arrived(batch.readings.len(), batch.bytes(), false, now);
        }
        state.batches = batches;
        state.batches.extend(newer);
        state.blocked = Some(until);
    }

    /// No commit is due before `until`, and none comes then by itself: the commit thread is woken to ask for room.
    pub fn block(&self, until: Mono) {
        self.lock().blocked = Some(until);
    }

    /// The queue takes commits again.
    pub fn unblock(&self) {
        self.lock().blocked = None;
    }

    /// The bytes that wait, as its bound counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().pacer.bytes()
    }

    /// Whether the queue takes nothing now: what finds no space here is refused for that.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.lock().blocked.is_some()
    }

    /// Nothing more is taken; the commit thread gets what waits and ends.
    pub fn close(&self) {
        self.lock().closed = true;
        self.due.notify_one();
        self.space.notify_waiters();
        self.space_sync.notify_all();
    }

    /// Makes [`Inbox::wait`] return at once, commit or not: something else wants the commit thread.
    pub fn nudge(&self) {
        self.lock().woken = true;
        self.due.notify_one();
    }

    /// How often the commit thread came back for more: after [`Inbox::nudge`] it does soon, unless it hangs.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.lock().turns
    }

    /// Waits until a commit is due, at most until `until`. Only the commit thread calls this.
    pub fn wait(&self, until: Option<Mono>) -> Wake {
        let mut state = self.lock();
        state.turns += 1;
        loop {
            let now = self.clock.mono();
            state = match state.look(until, now) {
                Ok(due) => {
                    drop(state);
                    return self.wake(due);
                }
                Err(Some(next)) => {
                    let (guard, _) = self
                        .due
                        .wait_timeout(state, next.since(now))
                        .unwrap_or_else(PoisonError::into_inner);
                    guard
                }
                Err(None) => self.due.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// As [`Inbox::wait`], without waiting.
    ///
    /// # Errors
    /// When it would wait: until when at most, if nothing else happens.
    pub fn poll(&self, until: Option<Mono>) -> Result<Wake, Option<Mono>> {
        let due = self.lock().look(until, self.clock.mono())?;
        Ok(self.wake(due))
    }

    fn wake(&self, due: Due) -> Wake {
        match due {
            Due::Commit(batches) => Wake::Commit(self.waiting(batches)),
            Due::Idle => Wake::Idle,
            Due::Closed(batches) => Wake::Closed(self.waiting(batches)),
        }
    }

    /// What a commit takes that is made for something else than readings: definitions.
    #[must_use]
    pub fn without_readings(&self) -> Waiting {
        self.waiting(Vec::new())
    }

    fn waiting(&self, batches: Vec<Batch>) -> Waiting {
        self.space.notify_waiters();
        self.space_sync.notify_all();
        let definitions = self
            .catalog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_fresh();
        Waiting { definitions, batches }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the commit thread is to be woken for; if for nothing, when to look again.
    fn look(&mut self, until: Option<Mono>, now: Mono) -> Result<Due, Option<Mono>> {
        if self.closed {
            return Ok(Due::Closed(self.take(now)));
        }
        let due = self.due();
        if due.is_some_and(|due| due <= now) {
            return Ok(if self.blocked.is_some() {
                Due::Idle
            } else {
                Due::Commit(self.take(now))
            });
        }
        if std::mem::take(&mut self.woken) || until.is_some_and(|until| until <= now) {
            return Ok(Due::Idle);
        }
        Err(due.into_iter().chain(until).min())
    }

    fn due(&self) -> Option<Mono> {
        let due = self.pacer.due()?;
        Some(self.blocked.unwrap_or(due))
    }

    /// Adds a batch; true when the commit thread must look: its timer changed.
    fn add(&mut self, batch: Batch, now: Mono) -> bool {
        let before = self.due();
        // Counted in the sender's numbers: some of them may have given no reading.
        let full = batch
            .receipt
            .as_ref()
            .is_some_and(|(receipts, number)| receipts.is_awaited(*number));
        self.pacer.arrived(batch.readings.len(), batch.bytes(), full, now);
        self.batches.push(batch);
        self.due() != before
    }

    fn take(&mut self, now: Mono) -> Vec<Batch> {
        self.pacer.taken(now);
        std::mem::take(&mut self.batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Quality, Stamp, TimeQuality, Values};

    fn batch(readings: usize) -> Batch {
        let time = Stamp {
            wall: 0,
            mono: 0,
            quality: TimeQuality::Synchronized,
        };
        let values = Values::One(Value::Number(1.0));
        let reading = Reading {
            sensor: SensorNo(0),
            time,
            quality: Quality::Good,
            values,
        };
        Batch {
            readings: vec![reading; readings],
            ..Batch::default()
        }
    }

    fn inbox() -> Inbox {
        Inbox::new(Duration::from_secs(3600), Catalog::new(vec![], 10))
    }

    #[test]
    fn a_full_inbox_gives_the_batch_back_and_takes_it_after_a_commit() {
        let inbox = inbox();
        inbox.try_submit(batch(MAX_READINGS)).unwrap();
        let back = inbox.try_submit(batch(3)).unwrap_err();
        assert!(matches!(&back, SubmitError::Full(batch) if batch.readings.len() == 3));
        assert!(matches!(inbox.wait(None), Wake::Commit(waiting) if waiting.batches.len() == 1));
        inbox.try_submit(batch(3)).unwrap();
    }

    #[test]
    fn a_full_window_is_committed_at_once() {
        let (inbox, receipts) = (inbox(), Arc::new(Receipts::new(3, 0)));
        for n in 1..=3 {
            inbox
                .try_submit(Batch {
                    receipt: Some((receipts.clone(), n)),
                    ..batch(1)
                })
                .unwrap();
        }
        assert!(matches!(inbox.wait(None), Wake::Commit(waiting) if waiting.batches.len() == 3));
    }

    #[test]
    fn closing_hands_over_the_rest_and_refuses_more() {
        let inbox = inbox();
        inbox.try_submit(batch(1)).unwrap();
        inbox.close();
        assert!(matches!(inbox.wait(None), Wake::Closed(waiting) if waiting.batches.len() == 1));
        assert!(matches!(inbox.try_submit(batch(1)), Err(SubmitError::Closed)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_async_source_waits_for_space() {
        let inbox = Arc::new(inbox());
        inbox.try_submit(batch(MAX_READINGS)).unwrap();
        let other = inbox.clone();
        let thread = std::thread::spawn(move || other.wait(None));
        inbox.submit(batch(1)).await.unwrap();
        assert!(matches!(thread.join().unwrap(), Wake::Commit(_)));
    }
}
