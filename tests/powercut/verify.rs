//! The child's work: opens a queue, compares all that it gives with what has to stand there, writes on, opens it again.
//!
//! Owns the comparison. It knows nothing of the queue's inside: what a reading has to be comes from [`Plan`] and
//! [`crate::readings`]. A fault is anything that breaks a promise.

use std::path::Path;

use edgespool::queue::appender::Commit;
use edgespool::queue::cursor::Step;
use edgespool::queue::mailbox::Progress;
use edgespool::queue::open::{Finding, Queue};
use edgespool::queue::types::{Entry, OutputNo, Release, Run};
use edgespool::reading::{Epoch, SensorNo};

use crate::Failure;
use crate::book::{Book, Life, Seen};
use crate::plan::{Plan, Report};
use crate::queue::{open_queue, told};
use crate::readings::{self, SENSORS};

/// Faults that are told one by one; the rest are counted.
const TOLD: usize = 12;
/// The boot of whoever looks at what is left.
pub const BOOT: u64 = 1_000_000;
/// Commits that are written on, and the readings of each.
pub const ON: u64 = 6;
pub const ON_READINGS: u64 = 120;

/// Verifies a queue's directory.
pub fn verify(directory: &Path, plan: &Plan) -> Report {
    let mut check = Check {
        plan,
        report: Report::default(),
        book: Book::default(),
        more: 0,
    };
    if let Err(error) = check.all(directory) {
        check.report.faults.insert(0, error.to_string());
    }
    if check.more > 0 {
        check.report.faults.push(format!("and {} more", check.more));
    }
    check.report
}

struct Check<'a> {
    plan: &'a Plan,
    report: Report,
    book: Book,
    more: usize,
}

impl Check<'_> {
    fn fault(&mut self, words: String) {
        if self.report.faults.len() < TOLD {
            self.report.faults.push(words);
        } else {
            self.more += 1;
        }
    }

    fn all(&mut self, directory: &Path) -> Result<(), Failure> {
        let open = |boot| open_queue(directory, self.plan.size, boot, self.plan.epoch + 1);
        let mut queue = open(BOOT).map_err(|error| format!("it does not open: {error}"))?;
        self.findings(&queue);
        self.kept(&queue);
        let (seen, end) = self.read(&queue, "after the cut")?;
        self.receipted(&queue, &seen);
        let release = self.plan.release;
        if release {
            Self::release(&queue, &seen, end)?;
        }
        write_on(&mut queue, self.plan, &mut self.book)?;
        drop(queue);
        let queue = open(BOOT).map_err(|error| format!("it does not open again: {error}"))?;
        let quiet = queue.findings.iter().all(ordinary);
        if !quiet {
            self.fault(format!("opened again, it says {:?}", queue.findings));
        }
        let (again, _) = self.read(&queue, "after writing on")?;
        self.written_on(&again);
        if !release && self.plan.size.most.is_none() {
            self.same(&seen, &again);
        }
        Ok(())
    }

    fn findings(&mut self, queue: &Queue) {
        let made = |finding: &Finding| matches!(finding, Finding::Created { .. });
        if queue.findings.iter().any(made) && self.plan.receipted > 0 {
            self.fault("a new queue was made in the place of the old one".into());
        }
        let worth: Vec<String> = queue
            .findings
            .iter()
            .filter(|finding| !ordinary(finding))
            .map(|finding| format!("{finding:?}"))
            .collect();
        if !worth.is_empty() {
            self.fault(format!("nothing is damaged, but it says {}", worth.join(", ")));
        }
        self.report.findings = worth;
    }

    /// How many commits are there: whole ones, at least those with a receipt.
    fn kept(&mut self, queue: &Queue) {
        let sensors = queue.observer.sensors();
        let count = |sensor: usize| sensors.get(sensor).map_or(0, |sensor| sensor.next - 1);
        let kept: Vec<u64> = (0..SENSORS as usize).map(count).collect();
        self.book.add(Life::first(self.plan.epoch, kept.clone()));
        let possible = self.plan.receipted..=self.plan.handed;
        let commits = possible
            .clone()
            .find(|commits| self.plan.after.get(*commits) == Some(&kept));
        let Some(commits) = commits else {
            let least = self.plan.after.get(self.plan.receipted);
            return self.fault(format!(
                "it holds {kept:?}, no whole number of commits in {possible:?} ({least:?})"
            ));
        };
        self.report.beyond = (commits - self.plan.receipted) as u64;
        let position = queue.nodes.first().map_or(0, |node| node.sequence);
        if position != commits as u64 {
            self.fault(format!(
                "it holds {commits} commits, but the node's position is {position}"
            ));
        }
        for (sensor, (read, kept)) in self.plan.read.clone().iter().zip(&kept).enumerate() {
            if read > kept {
                self.fault(format!(
                    "sensor {sensor}: {read} was read, {kept} are there: not durable when it was read"
                ));
            }
        }
    }

    /// Everything that an output would get, compared.
    fn read(&mut self, queue: &Queue, when: &str) -> Result<(Seen, u64), Failure> {
        let spool = queue.spools.first().ok_or("no output")?;
        let mut cursor = spool.cursor(spool.start().head);
        let mut seen = Seen::default();
        while let Some(step) = cursor.step() {
            match step {
                Step::Row(row) => {
                    for run in &row.runs {
                        self.run(row.epoch, run, &mut seen, when);
                    }
                }
                Step::GivenUp { .. } if self.plan.size.most.is_some() => {}
                Step::GivenUp { from, through } => {
                    self.fault(format!(
                        "{when}, rows {from} to {through} are said to be given up"
                    ));
                }
                Step::Standing { .. } => {}
                Step::Damaged { from, through, why } => {
                    self.fault(format!("{when}, rows {from} to {through} cannot be read: {why}"));
                }
            }
        }
        Ok((seen, cursor.position()))
    }

    fn run(&mut self, epoch: Epoch, run: &Run, seen: &mut Seen, when: &str) {
        for index in 0..run.len() {
            let sequence = run.first + index as u64;
            let place = || {
                format!(
                    "{when}, epoch {epoch} sensor {} sequence {sequence}",
                    run.sensor.0
                )
            };
            let Some(stored) = self.book.reading(self.plan.seed, epoch.0, run.sensor.0, sequence) else {
                self.fault(format!("{}: never stored", place()));
                continue;
            };
            match readings::difference(run, index, &stored) {
                Some(difference) => self.fault(format!("{}: {difference}", place())),
                None => self.report.right += 1,
            }
        }
        if !seen.add(epoch.0, run.sensor.0, run.first, run.last()) {
            let range = format!("{} to {}", run.first, run.last());
            self.fault(format!(
                "{when}, epoch {epoch} sensor {}: {range} came twice or late",
                run.sensor.0
            ));
        }
    }

    /// Everything with a receipt is there, unless it was released.
    fn receipted(&mut self, queue: &Queue, seen: &Seen) {
        let after = self
            .plan
            .after
            .get(self.plan.receipted)
            .cloned()
            .unwrap_or_default();
        let released = queue
            .spools
            .first()
            .map(|spool| spool.start().released)
            .unwrap_or_default();
        let (mut dropped, sensors) = (0, queue.observer.sensors());
        for (number, stored) in (0..).zip(after) {
            let mark = released
                .iter()
                .find(|(sensor, epoch, _)| sensor.0 == number && epoch.0 == self.plan.epoch);
            let mark = mark.map_or(0, |(_, _, through)| *through);
            let allowed = self.plan.released.get(number as usize).copied().unwrap_or(0);
            let ledger = sensors
                .get(number as usize)
                .map(|sensor| sensor.ledger(OutputNo(0)));
            let ledger = ledger.unwrap_or_default();
            // What was given up because the queue is full is over, too, and counted.
            let full = self.plan.size.most.is_some() && ledger.dropped > 0;
            let over = if full { mark } else { mark.min(allowed) };
            let lost = seen.missing(self.plan.epoch, number, over + 1, stored);
            if mark > over || ledger.delivered > allowed {
                self.fault(format!(
                    "sensor {number}: released through {mark}, but only {allowed} was"
                ));
            }
            self.report.lost += lost;
            if lost > 0 {
                self.fault(format!(
                    "sensor {number}: {lost} of {stored} readings with a receipt are lost"
                ));
            }
        }
        for sensor in &sensors {
            let ledger = sensor.ledger(OutputNo(0));
            if ledger.accepted != ledger.delivered + ledger.queued + ledger.dead + ledger.dropped {
                self.fault(format!("the ledger does not add up: {ledger:?}"));
            }
            dropped += ledger.dropped;
        }
        self.report.counted = dropped;
    }

    /// Releases all that was read, so that the next commit makes room.
    fn release(queue: &Queue, seen: &Seen, end: u64) -> Result<(), Failure> {
        let release = |(epoch, sensor, through)| {
            Entry::Release(Release {
                output: OutputNo(0),
                sensor: SensorNo(sensor),
                epoch: Epoch(epoch),
                through,
            })
        };
        let spool = queue.spools.first().ok_or("no output")?;
        spool.post(Progress {
            entries: seen.ends().map(release).collect(),
            head: Some(end),
            ..Progress::default()
        });
        Ok(())
    }

    fn written_on(&mut self, seen: &Seen) {
        let Some(life) = self.book.last().cloned() else {
            return;
        };
        for (sensor, (first, count)) in (0..).zip(life.first.iter().zip(&life.count)) {
            let lost = seen.missing(life.epoch, sensor, *first, first + count - 1);
            if lost > 0 {
                self.fault(format!(
                    "sensor {sensor}: {lost} of {count} readings that were written on are lost"
                ));
            }
        }
    }

    /// What could be read once can be read again.
    fn same(&mut self, seen: &Seen, again: &Seen) {
        for (epoch, sensor, from, through) in seen.ranges() {
            let lost = again.missing(epoch, sensor, from, through);
            if lost > 0 {
                self.fault(format!(
                    "sensor {sensor}: {lost} of {from} to {through} were there once and are not any more"
                ));
            }
        }
    }
}

/// Commits as a restarted agent would: the same sensors, other readings.
pub fn write_on(queue: &mut Queue, plan: &Plan, book: &mut Book) -> Result<(), Failure> {
    let definitions = readings::definitions()?;
    let known = queue.sensors.len();
    for commit in 0..ON {
        let per_sensor = ON_READINGS / u64::from(SENSORS);
        let from = commit * per_sensor + 1;
        let readings = (0..per_sensor)
            .flat_map(|n| (0..SENSORS).map(move |sensor| (sensor, from + n)))
            .map(|(sensor, n)| readings::reading(plan.seed, 1, sensor, n))
            .collect();
        let definitions = if commit == 0 {
            definitions.get(known..).unwrap_or_default().to_vec()
        } else {
            vec![]
        };
        let commit = Commit {
            definitions,
            readings,
            ..Commit::default()
        };
        let done = queue
            .appender
            .commit(commit, readings::moment(1_000_000 + from))
            .map_err(told)?;
        if done.accepted != ON_READINGS {
            return Err(format!("writing on, {} of {ON_READINGS} were accepted", done.accepted).into());
        }
    }
    let count = ON * ON_READINGS / u64::from(SENSORS);
    let epoch = queue.observer.figures().epoch.ok_or("no epoch")?;
    let sensors = queue.observer.sensors();
    let first = |sensor: usize| {
        sensors
            .get(sensor)
            .map_or(0, |sensor| sensor.next.saturating_sub(count))
    };
    book.add(Life {
        epoch: epoch.0,
        life: 1,
        first: (0..SENSORS as usize).map(first).collect(),
        count: vec![count; SENSORS as usize],
    });
    Ok(())
}

/// Not worth a word.
pub fn ordinary(finding: &Finding) -> bool {
    matches!(finding, Finding::Created { .. } | Finding::Opened { .. })
}
