//! Figures and damage of a whole directory: `queue stat` and `queue verify`.
//!
//! Owns what is counted while all rows go by, in memory that grows with sensors and epochs, not with readings; and the
//! verdict. Promises that a queue is called whole only if every row, the chain of generations, every checkpoint and every
//! sensor's sequence is. Pure but for the walk.

mod text;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Serialize;

use super::sensors::OUTPUT;
use super::{Directory, Seen, Sensors, when};
use crate::queue::fold::State;
use crate::queue::store::StoreError;
use crate::queue::types::{Entry, Row, RowNo, Run};
use crate::reading::{Epoch, SensorNo};
use crate::status::Ledger;

/// The most places of damage that are listed; the counts beside them are complete.
const MAX_LISTED: usize = 1000;

/// A generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Its directory.
    pub name: String,
    /// Rows that are whole.
    pub rows: u64,
    /// Bytes of its log.
    pub bytes: u64,
    /// Rows that cannot be read.
    pub damaged_rows: u64,
    /// Whether the state at its beginning can be read.
    pub checkpoint: bool,
    /// When its last row was committed.
    pub committed: Option<String>,
}

/// What is there of a sensor in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Range {
    /// The epoch.
    pub epoch: u64,
    /// The first sequence number.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sensor {
    /// Its name.
    pub id: String,
    /// Readings in this directory.
    pub readings: u64,
    /// Which ones.
    pub ranges: Vec<Range>,
    /// The earliest recorded time.
    pub from: String,
    /// The latest one.
    pub to: String,
    /// Up to which reading Kafka has them: epoch and sequence number.
    pub released: Option<(u64, u64)>,
    /// Since the queue was made; `null` when the newest state cannot be read.
    pub ledger: Option<Ledger>,
}

/// Rows that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// In which generation.
    pub generation: String,
    /// The first row.
    pub from: RowNo,
    /// The last one.
    pub through: RowNo,
    /// Why.
    pub why: String,
}

/// Readings that are not there though later ones are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Whose.
    pub sensor: String,
    /// In which epoch.
    pub epoch: u64,
    /// The first.
    pub from: u64,
    /// The last.
    pub through: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where.
    pub directory: String,
    /// Whether nothing is damaged.
    pub whole: bool,
    /// Rows that are whole.
    pub rows: u64,
    /// Rows that cannot be read.
    pub damaged_rows: u64,
    /// Rows of a commit that was cut off; no damage.
    pub torn_rows: u64,
    /// Bytes of the generations' logs.
    pub bytes: u64,
    /// Readings that are there.
    pub readings: u64,
    /// Readings that are not, though later ones are.
    pub lost_readings: u64,
    /// The epochs, oldest first.
    pub epochs: Vec<u64>,
    /// All sensors; `null` when the newest state cannot be read.
    pub ledger: Option<Ledger>,
    /// The agent's own events, the same.
    pub events: Option<Ledger>,
    /// The generations.
    pub generations: Vec<Generation>,
    /// Generations that were set aside, by their directories.
    pub set_aside: Vec<String>,
    /// The sensors, by name.
    pub sensors: Vec<Sensor>,
    /// Rows that cannot be read.
    pub damage: Vec<Damage>,
    /// Readings that are lost.
    pub lost: Vec<Lost>,
}

/// Walks a directory.
///
/// # Errors
/// When it cannot be read. Damage is no error.
pub fn survey(directory: &Directory, progress: &mut dyn FnMut(RowNo)) -> Result<Report, StoreError> {
    let state = directory.state()?;
    let mut survey = Survey::default();
    directory.walk(&mut |seen| {
        if let Seen::Row(row) = &seen {
            progress(row.number);
        }
        survey.see(&seen);
        ControlFlow::Continue(())
    })?;
    let aside = directory.set_aside()?;
    let mut report = survey.report(state.as_ref());
    report.directory = directory.path().display().to_string();
    report.set_aside = aside
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    Ok(report)
}

/// What is known of a sensor so far.
#[derive(Debug)]
struct Known {
    name: String,
    readings: u64,
    ranges: Vec<Range>,
    from: i64,
    to: i64,
}

#[derive(Debug, Default)]
struct Survey {
    names: Sensors,
    sensors: BTreeMap<SensorNo, Known>,
    epochs: Vec<u64>,
    generations: Vec<Generation>,
    damage: Vec<Damage>,
    lost: Vec<Lost>,
    lost_readings: u64,
    torn: u64,
}

impl Survey {
    fn see(&mut self, seen: &Seen) {
        match seen {
            Seen::Begin { name, bytes } => self.generations.push(Generation {
                name: name.to_string(),
                rows: 0,
                bytes: *bytes,
                damaged_rows: 0,
                checkpoint: false,
                committed: None,
            }),
            Seen::Row(row) => self.row(row),
            Seen::Damaged { from, through, why } => {
                let Some(generation) = self.generations.last_mut() else {
                    return;
                };
                generation.damaged_rows += through - from + 1;
                if self.damage.len() < MAX_LISTED {
                    self.damage.push(Damage {
                        generation: generation.name.clone(),
                        from: *from,
                        through: *through,
                        why: why.clone(),
                    });
                }
            }
            Seen::Torn { rows } => self.torn += rows,
        }
    }

    fn row(&mut self, row: &Row) {
        self.names.learn(row);
        if let Some(generation) = self.generations.last_mut() {
            generation.rows += 1;
            generation.checkpoint |= row.entries.contains(&Entry::CheckpointEnd);
            generation.committed = Some(when::text(row.committed));
        }
        if !self.epochs.contains(&row.epoch.0) {
            self.epochs.push(row.epoch.0);
        }
        for run in &row.runs {
            self.run(row.epoch, run);
        }
    }

    fn run(&mut self, epoch: Epoch, run: &Run) {
        let (first, last) = (run.first, run.last());
        let name = self.names.name(run.sensor);
        let known = self.sensors.entry(run.sensor).or_insert_with(|| Known {
            name,
            readings: 0,
            ranges: Vec::new(),
            from: i64::MAX,
            to: i64::MIN,
        });
        known.readings += run.len() as u64;
        for wall in &run.wall {
            (known.from, known.to) = (known.from.min(*wall), known.to.max(*wall));
        }
        let lost = match known.ranges.last_mut().filter(|range| range.epoch == epoch.0) {
            Some(range) => {
                let expected = range.last + 1;
                range.last = last.max(range.last);
                (first > expected).then_some((expected, first - 1))
            }
            None => {
                let range = Range {
                    epoch: epoch.0,
                    first,
                    last,
                };
                // Only the oldest epoch that is there may have lost its beginning to removal.
                let lost = (!known.ranges.is_empty() && first > 1).then_some((1, first - 1));
                known.ranges.push(range);
                lost
            }
        };
        let name = known.name.clone();
        self.lose(name, epoch.0, lost);
    }

    fn lose(&mut self, sensor: String, epoch: u64, range: Option<(u64, u64)>) {
        let Some((from, through)) = range else { return };
        self.lost_readings += through - from + 1;
        if self.lost.len() < MAX_LISTED {
            self.lost.push(Lost {
                sensor,
                epoch,
                from,
                through,
            });
        }
    }

    /// What the newest state knows and no row has: the end of a sensor's sequence.
    fn compare(&mut self, state: &State) {
        let current = state.epoch().0;
        let ends: Vec<_> = self
            .sensors
            .iter()
            .filter_map(|(number, known)| {
                let next = state.sensors.get(number.index())?.next;
                let range = known.ranges.last().filter(|range| range.epoch == current)?;
                (range.last + 1 < next).then(|| (known.name.clone(), (range.last + 1, next - 1)))
            })
            .collect();
        for (name, range) in ends {
            self.lose(name, current, Some(range));
        }
    }

    fn report(mut self, state: Option<&State>) -> Report {
        if let Some(state) = state {
            self.compare(state);
        }
        let sensors: Vec<Sensor> = self
            .sensors
            .iter()
            .map(|(number, known)| sensor(*number, known, state))
            .collect();
        let sum = |of: fn(&Generation) -> u64| self.generations.iter().map(of).sum::<u64>();
        let damaged_rows = sum(|generation| generation.damaged_rows);
        let checkpoints = self.generations.iter().all(|generation| generation.checkpoint);
        let mut report = Report {
            directory: String::new(),
            whole: damaged_rows == 0 && self.lost_readings == 0 && checkpoints && state.is_some(),
            rows: sum(|generation| generation.rows),
            damaged_rows,
            torn_rows: self.torn,
            bytes: sum(|generation| generation.bytes),
            readings: sensors.iter().map(|sensor| sensor.readings).sum(),
            lost_readings: self.lost_readings,
            epochs: self.epochs,
            ledger: state.map(|state| state.ledger(OUTPUT).into()),
            events: state.map(|state| state.events(OUTPUT).into()),
            generations: self.generations,
            set_aside: Vec::new(),
            sensors,
            damage: self.damage,
            lost: self.lost,
        };
        report.sensors.sort_by(|a, b| a.id.cmp(&b.id));
        report
    }
}

fn sensor(number: SensorNo, known: &Known, state: Option<&State>) -> Sensor {
    let standing = state.and_then(|state| state.sensors.get(number.index()));
    let at = standing.and_then(|standing| standing.outputs.first());
    Sensor {
        id: known.name.clone(),
        readings: known.readings,
        ranges: known.ranges.clone(),
        from: when::text(known.from),
        to: when::text(known.to),
        released: at
            .and_then(|at| at.released)
            .map(|(epoch, through)| (epoch.0, through)),
        ledger: standing.map(|standing| standing.ledger(OUTPUT).into()),
    }
}
