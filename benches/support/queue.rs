//! A queue as the agent opens it, and a reader that behaves as the forwarder does.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use edgespool::clock::BootId;
use edgespool::queue::cursor::{Cursor, Step};
use edgespool::queue::mailbox::Progress;
use edgespool::queue::open::{GENERATION_BYTES, Queue, Settings, open};
use edgespool::queue::retention::Limits;
use edgespool::queue::sled_store::SledStore;
use edgespool::queue::spool::Spool;
use edgespool::queue::store::{Store, StoreError};
use edgespool::queue::types::{Entry, OutputNo, Release, RowNo, Run};
use edgespool::reading::{Epoch, SensorNo};

use super::Failure;
use super::readings::{Field, definitions};

/// The epoch of every bench's queue.
pub const EPOCH: Epoch = Epoch(7);
/// What an output may have read and not released, in bytes of memory.
pub const BUDGET: usize = 2 * 1024 * 1024;

/// Opens the queue in a directory, with generations of the size that the agent uses.
///
/// # Errors
/// As [`open`].
pub fn on_disk(directory: &Path) -> Result<Queue, StoreError> {
    sized(Arc::new(SledStore::open(directory)?), GENERATION_BYTES)
}

/// Opens the queue that a store holds.
///
/// # Errors
/// As [`open`].
pub fn sized(store: Arc<dyn Store>, generation_bytes: u64) -> Result<Queue, StoreError> {
    let settings = Settings {
        generation_bytes,
        limits: Limits::default(),
        outputs: 1,
        boot: BootId([1; 16]),
        fresh_epoch: EPOCH,
    };
    open(store, &settings, Field::new().now())
}

/// Makes the sensors known.
///
/// # Errors
/// As the appender's.
pub fn define(queue: &mut Queue) -> Result<(), Failure> {
    queue.appender.commit(definitions()?, Field::new().now())?;
    Ok(())
}

/// Reads rows in order, holds at most [`BUDGET`] of runs, and lets the oldest go for each new one: what a forwarder does
/// whose broker acknowledges in order.
#[derive(Debug)]
pub struct Reader {
    cursor: Cursor,
    held: VecDeque<(RowNo, Arc<Run>)>,
    bytes: usize,
    done: Progress,
    released: BTreeMap<SensorNo, u64>,
    /// Readings read.
    pub readings: u64,
    /// Rows that could not be read.
    pub damaged: u64,
}

impl Reader {
    /// From a row on.
    #[must_use]
    pub fn new(spool: &Spool, from: RowNo) -> Self {
        Self {
            cursor: spool.cursor(from),
            held: VecDeque::new(),
            bytes: 0,
            done: Progress::default(),
            released: BTreeMap::new(),
            readings: 0,
            damaged: 0,
        }
    }

    /// The row that is read next.
    #[must_use]
    pub fn position(&self) -> RowNo {
        self.cursor.position()
    }

    /// Reads one row; false at the durable tail.
    pub fn step(&mut self) -> bool {
        match self.cursor.step() {
            None => return false,
            Some(Step::Standing { .. }) => {}
            Some(Step::Damaged { .. } | Step::GivenUp { .. }) => self.damaged += 1,
            Some(Step::Row(row)) => {
                for run in row.runs {
                    self.readings += run.len() as u64;
                    self.bytes += run.memory();
                    self.held.push_back((row.number, Arc::new(run)));
                }
            }
        }
        while self.bytes > BUDGET {
            self.let_go();
        }
        true
    }

    /// The oldest run was acknowledged.
    fn let_go(&mut self) {
        let Some((row, run)) = self.held.pop_front() else {
            return;
        };
        self.bytes -= run.memory();
        self.released.insert(run.sensor, run.last());
        self.done.head = Some(self.held.front().map_or(row + 1, |(next, _)| *next));
    }

    /// Everything that is held was acknowledged.
    pub fn finish(&mut self) {
        while !self.held.is_empty() {
            self.let_go();
        }
        if let Some(head) = &mut self.done.head {
            *head = self.cursor.position();
        }
    }

    /// What was acknowledged since the last call, for the mailbox.
    pub fn progress(&mut self) -> Progress {
        let release = |(sensor, through)| {
            Entry::Release(Release {
                output: OutputNo(0),
                sensor,
                epoch: EPOCH,
                through,
            })
        };
        let mut done = std::mem::take(&mut self.done);
        done.entries = std::mem::take(&mut self.released)
            .into_iter()
            .map(release)
            .collect();
        done
    }
}
