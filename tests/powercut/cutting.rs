//! Power cuts by the hundred: records, cuts, mounts, verifies, counts.
//!
//! Owns the loop and its figures. Must not know what a queue has to hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use edgespool::planted::Bug;

use crate::child::verified;
use crate::cuts::{Cut, Mode, Replay, draw};
use crate::disk::{Mounted, workshop};
use crate::log::{Event, Phase};
use crate::plan::{Plan, Report};
use crate::random::Random;
use crate::recording::{Recording, record};
use crate::writer::Workload;
use crate::{Failure, planting, say};

/// Faults that are told in words.
const TOLD: usize = 10;

/// What came of many cuts.
#[derive(Debug, Default)]
pub struct Tally {
    /// By what was happening and by mode: cuts, and those with a fault.
    pub cells: BTreeMap<(Phase, Mode), (u64, u64)>,
    /// Readings with a receipt that were looked for, over all cuts.
    pub receipted: u64,
    /// Those that were not there.
    pub lost: u64,
    /// Queues that did not open.
    pub unopened: u64,
    /// Writes and flushes that were recorded.
    pub writes: u64,
    /// Flushes that were recorded.
    pub flushes: u64,
    /// Writers that were killed.
    pub kills: u64,
    /// Of those, the ones that were opening the queue.
    pub kills_opening: u64,
    /// The first faults, in words.
    pub words: Vec<String>,
}

impl Tally {
    /// All cuts, and those with a fault.
    pub fn cuts(&self) -> (u64, u64) {
        self.cells
            .values()
            .fold((0, 0), |(all, bad), (here, faulty)| (all + here, bad + faulty))
    }

    /// All of `cuts` failed before they could be made.
    pub fn hopeless(cuts: u64) -> Self {
        Self {
            cells: BTreeMap::from([((Phase::Steady, Mode::All), (cuts, cuts))]),
            ..Self::default()
        }
    }

    fn add(&mut self, seed: u64, cut: Cut, plan: &Plan, report: &Report) {
        let cell = self.cells.entry((cut.phase, cut.mode)).or_default();
        cell.0 += 1;
        self.receipted += plan
            .after
            .get(plan.receipted)
            .map_or(0, |counts| counts.iter().sum());
        self.lost += report.lost;
        if report.faults.is_empty() {
            return;
        }
        cell.1 += 1;
        self.unopened += u64::from(
            report
                .faults
                .iter()
                .any(|fault| fault.contains("it does not open")),
        );
        if self.words.len() < TOLD {
            let place = format!(
                "seed {seed}, cut at {}, {}, {}",
                cut.at,
                cut.phase.name(),
                cut.mode.name()
            );
            self.words.push(format!("{place}: {}", report.faults.join("; ")));
        }
    }
}

/// What is cut.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// How many cuts.
    pub cuts: usize,
    /// How many of them in one recording.
    pub each: usize,
    /// The seed of the first recording; each has the next one.
    pub seed: u64,
    /// Whether half of the cuts are aimed at what happens seldom.
    pub aim: bool,
    /// A bug to plant.
    pub bug: Option<Bug>,
}

/// Makes a series of cuts.
pub fn cut(series: Series, workload: fn(u64) -> Workload) -> Result<Tally, Failure> {
    let place = workshop()?;
    let mut tally = Tally::default();
    let (mut left, mut seed) = (series.cuts, series.seed);
    while left > 0 {
        let workload = Workload {
            bug: series.bug.map(planting::name),
            ..workload(seed)
        };
        let recording = record(&workload, place.path()).map_err(|error| format!("seed {seed}: {error}"))?;
        tally.kills += recording.kills.0;
        tally.kills_opening += recording.kills.1;
        let here = left.min(series.each);
        let series = Series {
            cuts: here,
            seed,
            ..series
        };
        cut_one(&recording, series, place.path(), &mut tally)?;
        left -= here;
        seed += 1;
        let (all, bad) = tally.cuts();
        say(&format!("  {all:>5} cuts, {bad} with a fault"));
    }
    Ok(tally)
}

fn cut_one(recording: &Recording, series: Series, place: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let mut random = Random::new(series.seed ^ 0x6375_7473);
    let count =
        |wanted: fn(&Event) -> bool| recording.events.iter().filter(|event| wanted(event)).count() as u64;
    tally.writes += count(|event| matches!(event, Event::Write { .. }));
    tally.flushes += count(|event| matches!(event, Event::Flush));
    let (image, mounted) = (place.join("image"), place.join("cut"));
    fs::create_dir_all(&mounted)?;
    let mut replay = Replay::new(recording);
    for cut in draw(&recording.events, series.cuts, series.aim, &mut random) {
        let (bytes, mut plan) = replay.cut(cut, &mut random);
        // Whether all is released before writing on changes from cut to cut.
        plan.release = cut.at.is_multiple_of(2);
        fs::write(&image, bytes)?;
        let mount = Mounted::new(&image, &mounted)?;
        let report = verified(&mounted.join("queue"), &plan, place)?;
        mount.end()?;
        tally.add(series.seed, cut, &plan, &report);
    }
    Ok(())
}

/// The figures as a table.
pub fn table(tally: &Tally) -> String {
    let mut phases: Vec<Phase> = tally.cells.keys().map(|(phase, _)| *phase).collect();
    phases.dedup();
    let mut text = format!("  {:<10}", "");
    for mode in Mode::ALL {
        text += &format!("{:>12}", mode.name());
    }
    for phase in phases {
        text += &format!("\n  {:<10}", phase.name());
        for mode in Mode::ALL {
            let (all, bad) = tally.cells.get(&(phase, mode)).copied().unwrap_or_default();
            text += &format!("{:>12}", format!("{}/{all}", all - bad));
        }
    }
    text
}
