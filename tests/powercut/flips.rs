//! Flipped bits, and files that are cut short or zeroed in parts.
//!
//! Owns the template queues (closed generations and a newest one, a part of it released), the damage, and its figures by
//! kind of byte. Each damaged copy is opened in a child. Must not know what may be lost: the child does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use edgespool::planted::Bug;
use edgespool::queue::appender::Commit;
use edgespool::queue::cursor::Step;
use edgespool::queue::mailbox::Progress;
use edgespool::queue::open::Queue;
use edgespool::queue::types::{Entry, OutputNo, Release};
use edgespool::reading::{Epoch, SensorNo};

use crate::child::verified;
use crate::classes::{Atlas, Class, Stretch, atlas};
use crate::disk::workshop;
use crate::plan::{Plan, Report};
use crate::queue::{Look, Size, list, open_queue, told};
use crate::random::Random;
use crate::readings::{self, SENSORS};
use crate::{Failure, Outcome, planting, say};

/// Faults that are told in words.
const TOLD: usize = 12;
/// Starts that may end in the process's death before one has to succeed: the marker sets aside what two opens in a row
/// did not finish.
const STARTS: u64 = 3;
/// Commits of a template.
const COMMITS: u64 = 480;
/// A little more than a segment of sled's: so that a queue that was closed in between goes on in its generation.
const GENERATION: u64 = 640 * 1024;
/// Damaged copies of one template.
const EACH: usize = 100;

/// What came of the damage of one kind.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    all: u64,
    /// A wrong reading, a number used twice, a start that failed, a loss that was not said.
    faulty: u64,
    /// Copies that lost readings.
    lossy: u64,
    lost: u64,
    /// Copies whose ledger does not say what was lost.
    miscounted: u64,
    /// Copies for which the queue said something.
    told: u64,
    /// Starts that ended in the process's death.
    deaths: u64,
}

/// What came of all of it.
#[derive(Debug, Default)]
pub struct Figures {
    cells: BTreeMap<&'static str, Cell>,
    words: Vec<String>,
}

impl Figures {
    /// Copies with a fault, and those whose ledger is wrong.
    pub fn bad(&self) -> (u64, u64) {
        let sum = |pick: fn(&Cell) -> u64| self.cells.values().map(pick).sum();
        (sum(|cell| cell.faulty), sum(|cell| cell.miscounted))
    }

    fn add(&mut self, kind: &'static str, place: &str, report: &Report, deaths: u64) {
        let cell = self.cells.entry(kind).or_default();
        cell.all += 1;
        cell.deaths += deaths;
        cell.faulty += u64::from(!report.faults.is_empty());
        cell.lossy += u64::from(report.lost > 0);
        cell.lost += report.lost;
        cell.miscounted += u64::from(!report.miscounted.is_empty());
        cell.told += u64::from(!report.findings.is_empty());
        let words = report.faults.iter().chain(&report.miscounted).next();
        if let Some(words) = words.filter(|_| self.words.len() < TOLD) {
            self.words
                .push(format!("{kind}, {place}: {words}; it said {:?}", report.findings));
        }
    }

    /// As a table, and the first faults.
    pub fn print(&self) {
        say(&format!(
            "  {:<28}{:>8}{:>8}{:>10}{:>10}{:>12}{:>8}{:>8}",
            "", "copies", "faulty", "with loss", "readings", "miscounted", "told", "deaths"
        ));
        for (kind, cell) in &self.cells {
            say(&format!(
                "  {kind:<28}{:>8}{:>8}{:>10}{:>10}{:>12}{:>8}{:>8}",
                cell.all, cell.faulty, cell.lossy, cell.lost, cell.miscounted, cell.told, cell.deaths
            ));
        }
        for words in &self.words {
            say(&format!("  {}", words.chars().take(900).collect::<String>()));
        }
    }
}

/// Flips `count` bits, each in a fresh copy, spread over the kinds of bytes.
pub fn flips(count: usize, seed: u64) -> Result<Figures, Failure> {
    let place = workshop()?;
    let mut figures = Figures::default();
    let (mut done, mut seed) = (0, seed);
    while done < count {
        let template = place.path().join("template");
        let plan = make(seed, &template)?;
        let atlas = atlas(&template)?;
        let mut random = Random::new(seed ^ 0x666c_6970);
        let newest = generation(&template)?;
        for number in 0..EACH.min(count - done) {
            let (class, file, at) = draw(&atlas, &newest, number, &mut random).ok_or("no bytes")?;
            let bit = random.below(8);
            let victim = place.path().join("victim");
            copy(&template, &victim)?;
            let mut bytes = fs::read(victim.join(&file))?;
            bytes[at] ^= 1 << bit;
            fs::write(victim.join(&file), bytes)?;
            let (report, deaths) = started(&victim, &plan, place.path())?;
            let words = format!("seed {seed}, {} byte {at} bit {bit}", file.display());
            figures.add(class.name(), &words, &report, deaths);
        }
        done += EACH;
        seed += 1;
        say(&format!(
            "  {:>5} flipped bits, {:?} faulty and miscounted",
            done.min(count),
            figures.bad()
        ));
    }
    Ok(figures)
}

/// Starts the queue until a start ends by itself, but not for ever; how many did not.
fn started(victim: &Path, plan: &Plan, place: &Path) -> Result<(Report, u64), Failure> {
    let mut deaths = 0;
    loop {
        let report = verified(victim, plan, place)?;
        deaths += u64::from(report.died);
        if !report.died || deaths >= STARTS {
            return Ok((report, deaths));
        }
    }
}

/// One byte, of the kind whose turn it is; half of the time in the newest generation, which is the one that is opened.
fn draw(atlas: &Atlas, newest: &Path, turn: usize, random: &mut Random) -> Option<(Class, PathBuf, usize)> {
    let (class, stretches) = atlas.iter().nth(turn % atlas.len().max(1))?;
    let there = |stretch: &&Stretch| stretch.file.starts_with(newest);
    let aimed: Vec<&Stretch> = stretches.iter().filter(there).collect();
    let stretches = if aimed.is_empty() || random.once_in(2) {
        stretches.iter().collect()
    } else {
        aimed
    };
    let all: usize = stretches.iter().map(|stretch| stretch.to - stretch.from).sum();
    let mut place = random.index(all);
    for stretch in stretches {
        let length = stretch.to - stretch.from;
        if place < length {
            return Some((*class, stretch.file.clone(), stretch.from + place));
        }
        place -= length;
    }
    None
}

/// A template: several generations, the first third of it released. Every other one was not closed: what a power cut
/// leaves behind.
fn make(seed: u64, template: &Path) -> Result<Plan, Failure> {
    let live = template.with_extension("live");
    let (plan, queue) = write(seed, &live)?;
    if seed.is_multiple_of(2) {
        copy(&live, template)?;
        drop(queue);
    } else {
        drop(queue);
        copy(&live, template)?;
    }
    Ok(plan)
}

fn write(seed: u64, directory: &Path) -> Result<(Plan, Queue), Failure> {
    drop(fs::remove_dir_all(directory));
    let mut random = Random::new(seed ^ 0x7465_6d70);
    let mut plan = Plan {
        seed,
        epoch: seed << 8 | 1,
        after: vec![vec![0; SENSORS as usize]],
        released: vec![0; SENSORS as usize],
        size: Size {
            generation: GENERATION,
            most: None,
        },
        damaged: true,
        ..Plan::default()
    };
    let mut queue = open_queue(directory, plan.size, 1, plan.epoch)?;
    for number in 0..COMMITS {
        if number == COMMITS / 2 {
            drop(queue);
            queue = open_queue(directory, plan.size, 2, plan.epoch)?;
        }
        if number == COMMITS * 2 / 3 {
            release(&queue, &mut plan)?;
        }
        let mut commit = Commit::default();
        if number == 0 {
            commit.definitions = readings::definitions()?;
        }
        let mut counts = plan.after.last().cloned().unwrap_or_default();
        for _ in 0..10 + random.below(50) {
            let sensor = random.index(SENSORS as usize);
            counts[sensor] += 1;
            let reading = readings::reading(seed, 0, u32::try_from(sensor)?, counts[sensor]);
            commit.readings.push(reading);
        }
        plan.after.push(counts);
        queue
            .appender
            .commit(commit, readings::moment(number))
            .map_err(told)?;
    }
    plan.receipted = plan.after.len() - 1;
    plan.handed = plan.receipted;
    Ok((plan, queue))
}

/// Releases the first third of the rows.
fn release(queue: &Queue, plan: &mut Plan) -> Outcome {
    let spool = queue.spools.first().ok_or("no output")?;
    let mut cursor = spool.cursor(1);
    while cursor.position() < spool.tail() / 3 {
        let Some(Step::Row(row)) = cursor.step() else {
            return Err("a row of the template cannot be read".into());
        };
        for run in &row.runs {
            plan.released[run.sensor.index()] = run.last();
        }
    }
    let entries = (0..).zip(&plan.released).map(|(sensor, through)| {
        Entry::Release(Release {
            output: OutputNo(0),
            sensor: SensorNo(sensor),
            epoch: Epoch(plan.epoch),
            through: *through,
        })
    });
    spool.post(Progress {
        entries: entries.collect(),
        head: Some(cursor.position()),
        ..Progress::default()
    });
    Ok(())
}

/// The newest generation's directory, below the queue's.
fn generation(queue: &Path) -> Result<PathBuf, Failure> {
    let newest = Look::at(queue).generations.into_keys().next_back();
    Ok(format!("g-{:020}", newest.ok_or("no generation")?).into())
}

/// A copy of a directory, in the place of whatever was there.
fn copy(from: &Path, to: &Path) -> Outcome {
    drop(fs::remove_dir_all(to));
    fs::create_dir_all(to)?;
    for (name, path) in list(from) {
        if fs::metadata(&path)?.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Cuts the newest generation's file short, with the outside count looked at or not: how many of `count` copies said
/// something, and how many have lost readings or given numbers twice and said nothing.
pub fn truncations(count: u64, bug: Option<Bug>) -> Result<(u64, u64), Failure> {
    let place = workshop()?;
    let (template, victim) = (place.path().join("template"), place.path().join("victim"));
    let mut plan = make(1, &template)?;
    plan.bug = bug.map(planting::name);
    let mut random = Random::new(0x7472_756e);
    let (mut noticed, mut silent) = (0, 0);
    for _ in 0..count {
        copy(&template, &victim)?;
        let newest = Look::at(&victim)
            .generations
            .into_keys()
            .next_back()
            .ok_or("no generation")?;
        let path = victim.join(format!("g-{newest:020}/db"));
        let file = fs::File::options().write(true).open(&path)?;
        let content = content(&fs::read(&path)?);
        file.set_len(content / 2 + random.below(content / 2))?;
        let (report, _) = started(&victim, &plan, place.path())?;
        noticed += u64::from(!report.findings.is_empty());
        let broken = report.lost > 0 || !report.faults.is_empty();
        silent += u64::from(report.findings.is_empty() && broken);
    }
    Ok((noticed, silent))
}

/// The length of a file without the zeroes at its end.
fn content(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last as u64 + 1)
}
