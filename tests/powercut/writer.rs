//! The writer: a process that opens the queue, commits and releases, until it has done its part or is killed.
//!
//! Owns the workload as a function of the seed, and the protocol with the rig: before and after everything that the
//! outside comes to know it says a word and waits until the rig has put it into the log. Must not know devices or cuts.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use edgespool::queue::appender::{Appender, Commit};
use edgespool::queue::cursor::{Cursor, Step};
use edgespool::queue::mailbox::Progress;
use edgespool::queue::open::Queue;
use edgespool::queue::spool::{Observer, Spool};
use edgespool::queue::types::{Entry, OutputNo, Release, RowNo, Run};
use edgespool::reading::Epoch;
use serde::{Deserialize, Serialize};

use crate::log::Phase;
use crate::queue::{Look, Size, open_queue, told};
use crate::random::{Random, mix};
use crate::readings::{self, SENSORS};
use crate::{Failure, Outcome, planting};

/// A queue that gives up its oldest generation has so many bytes: a few generations.
const FULL: u64 = 8 * 1024 * 1024;
/// Commits for which the reader reads, and then as many for which it stands still.
const TURN: usize = 25;
/// Runs that the reader has read and not released, at most.
const HELD: usize = 40;

/// What is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workload {
    /// Of all that is random in it.
    pub seed: u64,
    /// How many commits.
    pub commits: usize,
    /// The queue is opened again after about so many.
    pub life: u64,
    /// How large the queue may become.
    pub size: Size,
    /// The most readings of a commit.
    pub most: u64,
    /// Whether writers are killed now and then.
    pub kills: bool,
    /// A bug to plant.
    pub bug: Option<String>,
}

impl Workload {
    /// One of many kinds, by its seed.
    pub fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x776f_726b);
        let full = random.once_in(3);
        // Of the smallest, there is a new one with each commit.
        let kib = if full {
            256
        } else {
            [256, 640, 640, 1024, 1024, 2048][random.index(6)]
        };
        Self {
            seed,
            commits: 160,
            life: 20 + random.below(60),
            size: Size {
                generation: kib * 1024,
                most: full.then_some(FULL),
            },
            most: [200, 1000, 4000, 8000][random.index(if full { 2 } else { 4 })],
            kills: true,
            bug: None,
        }
    }

    /// One life and one generation, as the queue runs for most of its time.
    pub fn steady(seed: u64) -> Self {
        Self {
            life: 10_000,
            size: Size {
                generation: 16 * 1024 * 1024,
                most: None,
            },
            most: 400,
            kills: false,
            ..Self::drawn(seed)
        }
    }

    /// Commits that are long enough for long rows.
    pub fn long(seed: u64) -> Self {
        Self {
            commits: 60,
            size: Size {
                generation: 2 * 1024 * 1024,
                most: None,
            },
            most: 20_000,
            kills: false,
            ..Self::drawn(seed)
        }
    }

    /// The queue's first epoch.
    pub fn epoch(&self) -> u64 {
        self.seed << 8 | 1
    }

    /// Whose readings a commit has, in their order: the same whenever it is handed in.
    fn sensors(&self, number: usize) -> impl Iterator<Item = usize> {
        let mut random = Random::new(self.seed ^ mix(number as u64));
        let most = if random.once_in(4) {
            self.most
        } else {
            self.most / 8
        };
        let count = 1 + random.below(most);
        (0..count).map(move |_| random.index(SENSORS as usize))
    }

    /// Each sensor's number of readings after each commit; the first entry is before all commits.
    pub fn after(&self) -> Vec<Vec<u64>> {
        let mut counts = vec![0; SENSORS as usize];
        let mut after = vec![counts.clone()];
        for number in 0..self.commits {
            self.sensors(number).for_each(|sensor| counts[sensor] += 1);
            after.push(counts.clone());
        }
        after
    }
}

/// A word of the writer's. Each is answered with one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// It begins to open the queue.
    Opening,
    /// It is open and holds so many commits, all of them durable; true when a snapshot was written.
    Open(usize, bool),
    /// Commits before this number are handed in.
    Handed(usize),
    /// They have their receipt; that was what happened.
    Receipt(usize, Phase),
    /// A sensor's readings were read through this number.
    Read(u32, u64),
    /// They are about to be released through this number.
    Released(u32, u64),
    /// It closes the queue.
    Closing,
}

/// The line to the rig.
struct Line(Mutex<()>);

impl Line {
    fn say(&self, word: Word) -> Outcome {
        let _turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = serde_json::to_vec(&word)?;
        bytes.push(b'\n');
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes)?;
        out.flush()?;
        let mut answer = [0];
        Ok(std::io::stdin().lock().read_exact(&mut answer)?)
    }
}

/// One life: opens, commits `commits` times, closes.
pub fn live(directory: &Path, workload: &Workload, life: u64, commits: usize) -> Outcome {
    let bug = workload.bug.as_deref().and_then(planting::named);
    if !planting::plant(bug) {
        return Err("built without planted bugs".into());
    }
    let line = Line(Mutex::new(()));
    let before = Look::at(directory);
    line.say(Word::Opening)?;
    let queue = open_queue(directory, workload.size, life, workload.epoch())?;
    let snapshot = Look::at(directory).snapshots != before.snapshots;
    let done = queue.nodes.first().map_or(0, |node| node.sequence);
    let done = usize::try_from(done)?;
    line.say(Word::Open(done, snapshot))?;
    let writer = Writer {
        workload,
        after: workload.after(),
        line: &line,
        done,
        dropped: queue.observer.figures().ledger.dropped,
    };
    writer.live(queue, directory, (done + commits).min(workload.commits))
}

struct Writer<'a> {
    workload: &'a Workload,
    after: Vec<Vec<u64>>,
    line: &'a Line,
    done: usize,
    /// Readings that were given up.
    dropped: u64,
}

impl Writer<'_> {
    fn live(mut self, queue: Queue, directory: &Path, until: usize) -> Outcome {
        let Queue {
            mut appender,
            spools,
            observer,
            ..
        } = queue;
        let spool = spools.first().ok_or("no output")?;
        let (turn, stop) = (AtomicUsize::new(self.done), AtomicBool::new(false));
        let (line, workload) = (self.line, self.workload);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(spool, line, workload, &turn, &stop));
            let written = (|| {
                while self.done < until && !reader.is_finished() {
                    self.commit(&mut appender, &observer, directory)?;
                    turn.store(self.done, Ordering::Relaxed);
                }
                Ok(())
            })();
            stop.store(true, Ordering::Relaxed);
            let read = reader
                .join()
                .unwrap_or_else(|_| Err("the reader panicked".into()));
            written.and(read)
        })?;
        line.say(Word::Closing)
    }

    fn commit(&mut self, appender: &mut Appender, observer: &Observer, directory: &Path) -> Outcome {
        let commit = self.commit_of(self.done)?;
        let offered = commit.readings.len() as u64;
        let before = Look::at(directory);
        let moment = readings::moment(self.done as u64);
        self.done += 1;
        self.line.say(Word::Handed(self.done))?;
        let committed = appender.commit(commit, moment).map_err(told)?;
        if committed.accepted != offered {
            return Err(format!("{} of {offered} readings were accepted", committed.accepted).into());
        }
        let dropped = observer.figures().ledger.dropped;
        let full = dropped > self.dropped;
        self.dropped = dropped;
        let phase = if full {
            Phase::Retention
        } else {
            phase(&before, &Look::at(directory))
        };
        self.line.say(Word::Receipt(self.done, phase))
    }

    fn commit_of(&self, number: usize) -> Result<Commit, Failure> {
        let mut counts = self.after.get(number).cloned().unwrap_or_default();
        let mut commit = Commit::default();
        if number == 0 {
            commit.definitions = readings::definitions()?;
        }
        for sensor in self.workload.sensors(number) {
            counts[sensor] += 1;
            let reading = readings::reading(self.workload.seed, 0, u32::try_from(sensor)?, counts[sensor]);
            commit.readings.push(reading);
        }
        commit.positions = vec![readings::position(number as u64 + 1)];
        Ok(commit)
    }
}

/// What a commit did to the directory.
fn phase(before: &Look, after: &Look) -> Phase {
    let gone = |first: &u64| !after.generations.contains_key(first);
    let made = |first: &u64| !before.generations.contains_key(first);
    let longer =
        |(first, length): (&u64, &u64)| before.generations.get(first).is_some_and(|old| old < length);
    if before.generations.keys().any(gone) {
        Phase::Removing
    } else if after.generations.keys().any(made) {
        Phase::Rolling
    } else if after.generations.iter().any(longer) {
        Phase::Extending
    } else {
        Phase::Steady
    }
}

/// The reader: reads in turns, holds what it has read for a while, releases it in its order.
fn read(spool: &Spool, line: &Line, workload: &Workload, turn: &AtomicUsize, stop: &AtomicBool) -> Outcome {
    let start = spool.start();
    let mut reader = Reader {
        spool,
        line,
        epoch: Epoch(workload.epoch()),
        cursor: spool.cursor(start.head),
        held: VecDeque::new(),
        may_drop: workload.size.most.is_some(),
    };
    while !stop.load(Ordering::Relaxed) {
        let standing = turn.load(Ordering::Relaxed) / TURN % 2 == 1;
        if standing || !reader.step()? {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

struct Reader<'a> {
    spool: &'a Spool,
    line: &'a Line,
    epoch: Epoch,
    cursor: Cursor,
    held: VecDeque<(RowNo, Run)>,
    may_drop: bool,
}

impl Reader<'_> {
    /// Reads a row and releases what was held for long; false at the durable tail.
    fn step(&mut self) -> Result<bool, Failure> {
        let row = match self.cursor.step() {
            None => return Ok(false),
            Some(Step::Standing { .. }) => return Ok(true),
            Some(Step::Damaged { from, through, why }) => {
                return Err(format!("while it was recorded, rows {from} to {through}: {why}").into());
            }
            Some(Step::GivenUp { .. }) if self.may_drop => return Ok(true),
            Some(Step::GivenUp { from, through }) => {
                return Err(format!("while it was recorded, rows {from} to {through} were given up").into());
            }
            Some(Step::Row(row)) => row,
        };
        for run in row.runs {
            self.line.say(Word::Read(run.sensor.0, run.last()))?;
            self.held.push_back((row.number, run));
        }
        let mut progress = Progress::default();
        while self.held.len() > HELD {
            let Some((row, run)) = self.held.pop_front() else {
                break;
            };
            self.line.say(Word::Released(run.sensor.0, run.last()))?;
            progress.entries.push(Entry::Release(Release {
                output: OutputNo(0),
                sensor: run.sensor,
                epoch: self.epoch,
                through: run.last(),
            }));
            progress.head = Some(self.held.front().map_or(row + 1, |(next, _)| *next));
        }
        self.spool.post(progress);
        Ok(true)
    }
}
