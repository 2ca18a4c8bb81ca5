//! The reading handles: a spool for each output, an observer for status.
//!
//! Owns nothing but access. Promises that a spool cannot append and an observer cannot change anything.

use std::sync::Arc;

use super::cursor::{Cursor, Step};
use super::fold::{Ledger, SensorState};
use super::log::{Log, Waker, lock};
use super::mailbox::Progress;
use super::open::Finding;
use super::types::{OutputNo, RowNo};
use crate::reading::{Epoch, SensorNo};

/// Where an output goes on after a restart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutputStart {
    /// The row at which the main cursor begins.
    pub head: RowNo,
    /// Lanes that were parked, and where they resume.
    pub parked: Vec<(SensorNo, RowNo)>,
    /// Each sensor's watermark.
    pub released: Vec<(SensorNo, Epoch, u64)>,
    /// The queue's epochs, in the order of the rows that began them.
    pub epochs: Vec<Epoch>,
}

/// One output's way to read the queue and to say what it has delivered.
#[derive(Debug)]
pub struct Spool {
    log: Arc<Log>,
    output: OutputNo,
}

impl Spool {
    pub(super) fn new(log: Arc<Log>, output: OutputNo) -> Self {
        Self { log, output }
    }

    /// Which output.
    #[must_use]
    pub fn output(&self) -> OutputNo {
        self.output
    }

    /// The number after the last durable row.
    #[must_use]
    pub fn tail(&self) -> RowNo {
        self.log.durable()
    }

    /// Where to go on.
    #[must_use]
    pub fn start(&self) -> OutputStart {
        let state = lock(&self.log.state);
        let Some(output) = state.outputs.get(usize::from(self.output.0)) else {
            return OutputStart::default();
        };
        let released = (0..)
            .map(SensorNo)
            .zip(&state.sensors)
            .filter_map(|(number, sensor)| {
                let (epoch, through) = sensor.outputs.get(usize::from(self.output.0))?.released?;
                Some((number, epoch, through))
            });
        OutputStart {
            head: output.head.max(1),
            parked: output
                .parked
                .iter()
                .map(|(sensor, row)| (*sensor, *row))
                .collect(),
            released: released.collect(),
            epochs: state.epochs.clone(),
        }
    }

    /// A cursor from a row on. Each holds at most one generation open.
    #[must_use]
    pub fn cursor(&self, from: RowNo) -> Cursor {
        Cursor::new(self.log.clone(), from)
    }

    /// Hands over progress; it rides in the next commit. True when nothing waited before: then the commit thread must be
    /// told, for there may be no reading that brings it to a commit.
    pub fn post(&self, progress: Progress) -> bool {
        lock(&self.log.mailbox).post(self.output, progress)
    }

    /// Calls `waker` after each commit, on the commit thread: it must return at once.
    pub fn on_commit(&self, waker: Waker) {
        self.log.on_commit(waker);
    }
}

/// A queue's figures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueueFigures {
    /// The current epoch.
    pub epoch: Option<Epoch>,
    /// Durable rows that an output may still need.
    pub rows: u64,
    /// Bytes of all files of the queue.
    pub bytes: u64,
    /// How many generations there are.
    pub generations: usize,
    /// The ledger of all sensors, at output 0.
    pub ledger: Ledger,
    /// The same of the agent's own events.
    pub events: Ledger,
    /// Readings that nodes declared lost.
    pub lost_upstream: u64,
}

/// Looks at the queue.
#[derive(Debug, Clone)]
pub struct Observer {
    log: Arc<Log>,
}

impl Observer {
    pub(super) fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// The queue's figures as of the last commit.
    #[must_use]
    pub fn figures(&self) -> QueueFigures {
        let (firsts, bytes) = (self.log.firsts(), self.log.store.space().used);
        let state = lock(&self.log.state);
        let oldest = firsts
            .first()
            .copied()
            .unwrap_or(state.next_row)
            .max(state.floor());
        QueueFigures {
            epoch: Some(state.epoch()),
            rows: state.next_row.saturating_sub(oldest),
            bytes,
            generations: firsts.len(),
            ledger: state.ledger(OutputNo(0)),
            events: state.events(OutputNo(0)),
            lost_upstream: state.lost_upstream(),
        }
    }

    /// When the oldest row that an output still needs was committed, nanoseconds since 1970; `None` when all is released,
    /// or that row cannot be read.
    #[must_use]
    pub fn oldest(&self) -> Option<i64> {
        let floor = lock(&self.log.state).floor().max(1);
        match Cursor::new(self.log.clone(), floor).step()? {
            Step::Row(row) => Some(row.committed),
            Step::Damaged { .. } | Step::GivenUp { .. } | Step::Standing { .. } => None,
        }
    }

    /// What was found while reading the queue, since the last call.
    #[must_use]
    pub fn take_findings(&self) -> Vec<Finding> {
        self.log.take_findings()
    }

    /// Every sensor's state, as of the last commit.
    #[must_use]
    pub fn sensors(&self) -> Vec<SensorState> {
        lock(&self.log.state).sensors.clone()
    }
}
