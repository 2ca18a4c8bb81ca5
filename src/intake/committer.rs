//! The commit thread: takes what waits, stores it, then gives the receipts.
//!
//! Owns the queue's only [`Appender`]. Promises that a receipt is raised only after the sync of the commit that holds its
//! readings, and that an error of the store ends the thread: no more receipts, never pretending. Must not know sources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::inbox::{Inbox, NodePosition, Waiting, Wake};
use crate::clock::{Clock, Mono};
use crate::planted::{self, Bug};
use crate::queue::appender::{Appender, Commit, Committed};
use crate::queue::store::StoreError;

/// What the intake did since the start; for status.
#[derive(Debug, Default)]
pub struct Tally {
    /// Commits made.
    pub commits: AtomicU64,
    /// Rows written.
    pub rows: AtomicU64,
}

impl Tally {
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
}

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
        }
    }

    /// Commits until the inbox is closed; then gives back the appender, for the last of the outputs' progress.
    ///
    /// # Errors
    /// When the store fails. What was handed in has no receipt then, and its senders keep it.
    pub fn run(mut self) -> Result<Appender, StoreError> {
        loop {
            let wake = self.inbox.wait(self.progress_due);
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
        match self.inbox.poll(self.progress_due) {
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
        Ok(false)
    }

    /// Progress waits at most one interval for a reading that takes it along.
    fn idle(&mut self) -> Result<(), StoreError> {
        let now = self.clock.mono();
        match self.progress_due {
            _ if !self.appender.has_progress() => self.progress_due = None,
            Some(due) if due <= now => self.commit(Waiting::default())?,
            Some(_) => {}
            None => self.progress_due = Some(now.after(self.interval)),
        }
        Ok(())
    }

    fn commit(&mut self, waiting: Waiting) -> Result<(), StoreError> {
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
        let done = self.appender.commit(commit, self.clock.stamp())?;
        self.tally.add(done);
        let invalid = self.appender.take_invalid();
        self.inbox.offers().committed(done.accepted, &invalid);
        for (receipt, through) in receipts {
            receipt.raise(through);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::BootId;
    use crate::intake::catalog::Catalog;
    use crate::intake::inbox::{Batch, NodeKey};
    use crate::intake::receipt::Receipts;
    use crate::queue::mailbox::Progress;
    use crate::queue::memory_store::MemoryStore;
    use crate::queue::open::{Queue, Settings, open};
    use crate::queue::retention::Limits;
    use crate::queue::row::{Depth, decode};
    use crate::queue::types::Entry;
    use crate::reading::{
        Epoch, Measurement, Quality, Reading, SensorDef, SensorId, Value, ValueKind, Values,
    };

    fn queue(store: &MemoryStore) -> Queue {
        let settings = Settings {
            generation_bytes: 1 << 20,
            limits: Limits::default(),
            outputs: 1,
            boot: BootId::default(),
            fresh_epoch: Epoch(7),
        };
        open(Arc::new(store.clone()), &settings, Clock::new().stamp()).unwrap()
    }

    fn submit(inbox: &Inbox, receipts: &Arc<Receipts>, through: u64) {
        let measurement = Measurement {
            name: "t".into(),
            kind: ValueKind::Number,
            unit: None,
        };
        let def = SensorDef {
            id: SensorId::new("s").unwrap(),
            measurements: vec![measurement],
            tags: vec![],
        };
        let sensor = inbox.register(&Arc::from("test"), def).unwrap();
        let values = Values::One(Value::Number(1.0));
        let reading = Reading {
            sensor,
            time: Clock::new().stamp(),
            quality: Quality::Good,
            values,
        };
        let receipt = Some((receipts.clone(), through));
        inbox
            .try_submit(Batch {
                readings: vec![reading],
                receipt,
                ..Batch::default()
            })
            .unwrap();
    }

    fn start(store: &MemoryStore) -> (Arc<Inbox>, Queue, impl FnOnce(Appender) -> Committer + use<>) {
        let interval = Duration::from_millis(5);
        let inbox = Arc::new(Inbox::new(interval, Catalog::new(vec![], 10)));
        let other = inbox.clone();
        let make = move |appender| {
            Committer::new(
                other,
                appender,
                Arc::new(Clock::new()),
                interval,
                Arc::new(Tally::default()),
            )
        };
        (inbox, queue(store), make)
    }

    #[test]
    fn a_receipt_is_given_after_the_sync_and_never_without_it() {
        let store = MemoryStore::new();
        let (inbox, queue, make) = start(&store);
        let receipts = Arc::new(Receipts::new(1, 0));
        submit(&inbox, &receipts, 1);
        let thread = std::thread::spawn(move || make(queue.appender).run());
        while receipts.through() < 1 {
            std::thread::yield_now();
        }
        store.fail_at_sync(store.syncs() + 1);
        submit(&inbox, &receipts, 2);
        assert!(
            thread.join().unwrap().is_err(),
            "the store's failure ends the thread"
        );
        assert_eq!(receipts.through(), 1, "no receipt for what was not synced");
    }

    #[test]
    fn progress_is_committed_without_readings_and_then_there_is_silence() {
        let store = MemoryStore::new();
        let (inbox, queue, make) = start(&store);
        let before = store.syncs();
        let observer = queue.observer.clone();
        let thread = std::thread::spawn(move || make(queue.appender).run());
        queue.spools[0].post(Progress {
            head: Some(2),
            ..Progress::default()
        });
        inbox.nudge();
        while store.syncs() == before {
            std::thread::yield_now();
        }
        inbox.close();
        thread.join().unwrap().unwrap();
        assert_eq!(store.syncs(), before + 1);
        assert_eq!(observer.figures().rows, 1);
    }

    #[test]
    fn a_commit_has_one_position_of_a_node_with_all_that_it_lost() {
        let store = MemoryStore::new();
        let (inbox, queue, make) = start(&store);
        let observer = queue.observer.clone();
        for (sequence, lost) in [(5, 3), (9, 4), (12, 0)] {
            let node = NodeKey(b"n"[..].into());
            let position = Some(NodePosition {
                node,
                boot: 1,
                sequence,
                lost,
            });
            let batch = Batch {
                position,
                ..Batch::default()
            };
            inbox.try_submit(batch).unwrap();
        }
        inbox.close();
        make(queue.appender).run().unwrap();
        assert_eq!(observer.figures().lost_upstream, 7);
        let rows = store.durable_rows(2);
        let entries = rows
            .iter()
            .flat_map(|(row, bytes)| decode(bytes, *row, Depth::All).unwrap().entries);
        let nodes: Vec<_> = entries.filter(|entry| matches!(entry, Entry::Node(_))).collect();
        assert!(
            matches!(&nodes[..], [Entry::Node(position)] if (position.sequence, position.lost) == (12, 7)),
            "{nodes:?}"
        );
    }
}
