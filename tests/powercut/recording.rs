//! A recording: a writer that commits and a reader that releases at the same time, on the block file that remembers.
//!
//! Owns the workload. Generations are small, so that they come and go often; the queue is closed and opened again now and
//! then; the reader stands still for a while and then catches up. Everything that the outside comes to know (handed in,
//! receipt, read, released) is put into the device's log at its moment. Must not know how cuts are made.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use edgespool::queue::appender::Commit;
use edgespool::queue::cursor::{Cursor, Step};
use edgespool::queue::mailbox::Progress;
use edgespool::queue::open::Queue;
use edgespool::queue::spool::Spool;
use edgespool::queue::types::{Entry, OutputNo, Release, RowNo, Run};
use edgespool::reading::Epoch;

use crate::device::Device;
use crate::disk::{Mounted, fresh};
use crate::log::{Event, Log, Phase};
use crate::plan::Plan;
use crate::queue::{Look, open_queue};
use crate::random::Random;
use crate::readings::{self, SENSORS};
use crate::{Failure, Outcome};

/// Commits for which the reader reads, and then as many for which it stands still.
const TURN: usize = 25;
/// Runs that the reader has read and not released, at most.
const HELD: usize = 40;

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Of all that is random in it.
    pub seed: u64,
    /// How many commits.
    pub commits: usize,
    /// The queue is opened again after about so many.
    pub life: u64,
    /// The size at which a generation is followed by the next one.
    pub generation_bytes: u64,
    /// The most readings of a commit.
    pub most: u64,
}

impl Workload {
    /// One of many kinds, by its seed.
    pub fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x776f_726b);
        let kib = [48, 96, 192, 512, 1024, 2048][random.index(6)];
        Self {
            seed,
            commits: 160,
            life: 20 + random.below(60),
            generation_bytes: kib * 1024,
            most: [40, 200, 1000, 3000][random.index(4)],
        }
    }
}

impl Workload {
    /// One life and one generation, as the queue runs for most of its time.
    pub fn steady(seed: u64) -> Self {
        Self {
            life: 10_000,
            generation_bytes: 16 * 1024 * 1024,
            most: 400,
            ..Self::drawn(seed)
        }
    }

    /// Commits that are long enough for long rows.
    pub fn long(seed: u64) -> Self {
        Self {
            commits: 60,
            generation_bytes: 2 * 1024 * 1024,
            most: 20_000,
            ..Self::drawn(seed)
        }
    }
}

/// What was recorded.
#[derive(Debug)]
pub struct Recording {
    /// The file system before the first event.
    pub base: Vec<u8>,
    /// What happened.
    pub events: Vec<Event>,
    /// What is known of the queue without a cut.
    pub plan: Plan,
}

/// Records a workload. `place` is a directory for the image and the mounts.
pub fn record(workload: Workload, place: &Path) -> Result<Recording, Failure> {
    let (served, mounted) = (place.join("served"), place.join("recorded"));
    fs::create_dir_all(&served)?;
    fs::create_dir_all(&mounted)?;
    let (base, log) = (fresh(place)?, Log::default());
    let device = Device::serve(base.clone(), &served, log.clone())?;
    let mount = Mounted::new(&device.path, &mounted)?;
    let plan = write_all(workload, &mounted.join("queue"), &log);
    mount.end()?;
    device.end()?;
    Ok(Recording {
        base,
        events: log.take(),
        plan: plan?,
    })
}

/// All lives of the writer.
fn write_all(workload: Workload, directory: &Path, log: &Log) -> Result<Plan, Failure> {
    let epoch = workload.seed << 8 | 1;
    let mut writer = Writer {
        workload,
        random: Random::new(workload.seed),
        log,
        after: vec![vec![0; SENSORS as usize]],
    };
    let mut life = 1;
    while writer.done() < workload.commits {
        let (before, mark) = (Look::at(directory), log.add(Event::Phase(Phase::Opening)));
        let queue = open_queue(directory, workload.generation_bytes, life, epoch)?;
        if Look::at(directory).snapshots != before.snapshots {
            log.name(mark, Phase::Snapshot);
        }
        log.add(Event::Phase(Phase::Steady));
        writer.live(queue, directory, epoch)?;
        life += 1;
    }
    Ok(Plan {
        seed: workload.seed,
        epoch,
        after: writer.after,
        generation_bytes: workload.generation_bytes,
        ..Plan::default()
    })
}

struct Writer<'a> {
    workload: Workload,
    random: Random,
    log: &'a Log,
    /// Each sensor's number of readings after each commit.
    after: Vec<Vec<u64>>,
}

impl Writer<'_> {
    fn done(&self) -> usize {
        self.after.len() - 1
    }

    /// One life: from an open queue to a closed one.
    fn live(&mut self, queue: Queue, directory: &Path, epoch: u64) -> Outcome {
        let Queue {
            mut appender, spools, ..
        } = queue;
        let spool = spools.first().ok_or("no output")?;
        let commits = usize::try_from(self.workload.life / 2 + self.random.below(self.workload.life))?;
        let until = (self.done() + commits).min(self.workload.commits);
        let (turn, stop) = (AtomicUsize::new(self.done()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let log = self.log;
            let reader = scope.spawn(|| read(spool, log, epoch, &turn, &stop));
            let written = (|| {
                while self.done() < until && !reader.is_finished() {
                    self.commit(&mut appender, directory)?;
                    turn.store(self.done(), Ordering::Relaxed);
                }
                Ok(())
            })();
            stop.store(true, Ordering::Relaxed);
            let read = reader
                .join()
                .unwrap_or_else(|_| Err("the reader panicked".into()));
            written.and(read)
        })?;
        self.log.add(Event::Phase(Phase::Closing));
        Ok(())
    }

    fn commit(&mut self, appender: &mut edgespool::queue::appender::Appender, directory: &Path) -> Outcome {
        let number = self.done() as u64;
        let commit = self.next_commit()?;
        let before = Look::at(directory);
        let mark = self.log.add(Event::Phase(Phase::Steady));
        self.log.add(Event::Handed(self.done()));
        let offered = commit.readings.len() as u64;
        let committed = appender
            .commit(commit, readings::moment(number))
            .map_err(crate::queue::told)?;
        if committed.accepted != offered {
            return Err(format!("{} of {offered} readings were accepted", committed.accepted).into());
        }
        self.log.add(Event::Receipt(self.done()));
        let after = Look::at(directory);
        self.log.name(mark, phase(&before, &after));
        self.log.add(Event::Phase(Phase::Steady));
        Ok(())
    }

    /// What is handed in next; counted as handed in.
    fn next_commit(&mut self) -> Result<Commit, Failure> {
        let mut counts = self.after.last().cloned().unwrap_or_default();
        let number = self.done() as u64;
        let most = if self.random.once_in(4) {
            self.workload.most
        } else {
            self.workload.most / 8
        };
        let (mut commit, wanted) = (Commit::default(), 1 + self.random.below(most));
        if number == 0 {
            commit.definitions = readings::definitions()?;
        }
        for _ in 0..wanted {
            let sensor = self.random.index(SENSORS as usize);
            counts[sensor] += 1;
            commit.readings.push(readings::reading(
                self.workload.seed,
                0,
                u32::try_from(sensor)?,
                counts[sensor],
            ));
        }
        commit.positions = vec![readings::position(number + 1)];
        self.after.push(counts);
        Ok(commit)
    }
}

/// What a commit did to the directory.
fn phase(before: &Look, after: &Look) -> Phase {
    let removed = before
        .generations
        .keys()
        .any(|first| !after.generations.contains_key(first));
    let made = after
        .generations
        .keys()
        .any(|first| !before.generations.contains_key(first));
    let longer = after.generations.iter().any(|(first, length)| {
        before
            .generations
            .get(first)
            .is_some_and(|before| before < length)
    });
    match (removed, made, longer) {
        (true, ..) => Phase::Removing,
        (_, true, _) => Phase::Rolling,
        (_, _, true) => Phase::Extending,
        _ => Phase::Steady,
    }
}

/// The reader: reads in turns, holds what it has read for a while, releases it in its order.
fn read(spool: &Spool, log: &Log, epoch: u64, turn: &AtomicUsize, stop: &AtomicBool) -> Outcome {
    let start = spool.start();
    let mut reader = Reader {
        spool,
        log,
        epoch: Epoch(epoch),
        cursor: spool.cursor(start.head),
        held: VecDeque::new(),
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
    log: &'a Log,
    epoch: Epoch,
    cursor: Cursor,
    held: VecDeque<(RowNo, Run)>,
}

impl Reader<'_> {
    /// Reads a row and releases what was held for long; false at the durable tail.
    fn step(&mut self) -> Result<bool, Failure> {
        let row = match self.cursor.step() {
            None => return Ok(false),
            Some(Step::Damaged { from, through, why }) => {
                return Err(format!("while it was recorded, rows {from} to {through}: {why}").into());
            }
            Some(Step::GivenUp { from, through }) => {
                return Err(format!("while it was recorded, rows {from} to {through} were given up").into());
            }
            Some(Step::Row(row)) => row,
        };
        for run in row.runs {
            self.log.add(Event::Read(run.sensor.0, run.last()));
            self.held.push_back((row.number, run));
        }
        let mut progress = Progress::default();
        while self.held.len() > HELD {
            let Some((row, run)) = self.held.pop_front() else {
                break;
            };
            self.log.add(Event::Released(run.sensor.0, run.last()));
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
