//! Hours of running in minutes: small generations that come and go by the hundred, a writer that commits, a reader that
//! releases and falls behind now and then.
//!
//! Owns the question whether anything grows: resident memory, open files, threads, files on disk. `just prove-soak` runs
//! it; `--for 10m` for another length, `--commits N` for another number a second. Prints a line every few seconds, ends
//! with a line of JSON, and with an error when the last third of the run took more than the middle third; the first third
//! is for warming up. Shorter than a few minutes, it says little.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use edgespool::clock::{self, Mono};
use edgespool::queue::appender::Appender;
use edgespool::queue::open::Queue;
use edgespool::queue::spool::{Observer, Spool};
use edgespool::sys;

use support::queue::Reader;
use support::readings::Field;
use support::watched::{Watched, summaries};
use support::{Failure, Outcome, SMALL, argument, machine, median, place, queue, real};

/// The smallest that the agent uses: so they come and go as fast as can be.
const GENERATION: u64 = 2 * 1024 * 1024;
const COMMIT: usize = 2_000;
/// Half of the time the reader is up with the writer, half of the time it stands still and then catches up.
const CYCLE: Duration = Duration::from_secs(20);
const SAMPLE: Duration = Duration::from_secs(if SMALL { 1 } else { 5 });
/// What the last third may have more than the middle third, by their medians: the heap's holes come and go.
const SLACK: f64 = 1.15;
/// The same for what is counted in single pieces.
const TWICE: f64 = 2.0;

/// One look at the process and its directory.
#[derive(Debug, Clone, Copy)]
struct Look {
    seconds: f64,
    rss: u64,
    heap: u64,
    descriptors: u64,
    threads: u64,
    files: u64,
    bytes: u64,
    generations: u64,
    /// Generations removed so far.
    removed: u64,
}

fn main() -> Outcome {
    sys::limit_arenas();
    let length = argument("--for").unwrap_or_else(|| if SMALL { "3s" } else { "10m" }.into());
    let length = humantime::parse_duration(&length)?;
    let rate = argument("--commits").map_or(Ok(100), |rate| rate.parse())?;
    let directory = place::directory("soak")?;
    println!("soak: {}, {}", machine::description(), place::kind()?);
    println!(
        "       s   RSS MiB   heap   open files   threads   files   MiB on disk   generations   removed   readings"
    );
    let store = Watched::open(&directory)?;
    let mut queue = queue::sized(store.clone(), GENERATION)?;
    queue::define(&mut queue)?;
    let (cpu, looks) = (machine::cpu(), soak(queue, &store, &directory, length, rate)?);
    let cpu = machine::cpu() - cpu;
    place::empty(&directory)?;
    let verdict = judge(&looks);
    println!(
        "{}",
        serde_json::json!({
            "bench": "soak", "debug": SMALL, "seconds": length.as_secs_f64(), "commits_per_s": rate, "cpu_s": cpu.as_secs_f64(),
            "generations": summaries(store.times()), "growth": growth(&verdict),
        })
    );
    // Files follow the reader's cycle up and down, the open ones too (two for a generation): only many more are growth.
    let most = |what: &str| {
        if matches!(what, "rss" | "heap") {
            SLACK
        } else {
            TWICE
        }
    };
    let grew = verdict
        .iter()
        .take(4)
        .find(|(what, ratio)| !SMALL && *ratio > most(what));
    grew.map_or(Ok(()), |(what, ratio)| {
        Err(format!("{what} grew to {ratio:.2} times").into())
    })
}

/// What every part of the soak sees.
struct Shared {
    until: Mono,
    stop: AtomicBool,
    read: AtomicU64,
}

fn soak(
    queue: Queue,
    store: &Watched,
    directory: &Path,
    length: Duration,
    rate: u32,
) -> Result<Vec<Look>, Failure> {
    let Queue {
        mut appender,
        spools,
        observer,
        ..
    } = queue;
    let spool = spools.first().ok_or("no output")?;
    let shared = Shared {
        until: clock::mono().after(length),
        stop: AtomicBool::new(false),
        read: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&mut appender, &shared, rate));
        let reader = scope.spawn(|| read(spool, &shared));
        let looks = watch(&observer, store, directory, &shared);
        let ended = |result: std::thread::Result<Outcome>| result.unwrap_or_else(|_| Err("panicked".into()));
        ended(reader.join())?;
        ended(writer.join())?;
        Ok(looks)
    })
}

fn over(shared: &Shared) -> bool {
    shared.stop.load(Ordering::Relaxed) || clock::mono() >= shared.until
}

fn write(appender: &mut Appender, shared: &Shared, rate: u32) -> Outcome {
    let (mut field, mut due) = (Field::new(), clock::mono());
    while !over(shared) {
        let commit = field.commit(COMMIT);
        let result = appender.commit(commit, field.now());
        if result.is_err() {
            shared.stop.store(true, Ordering::Relaxed);
        }
        result?;
        due = due.after(Duration::from_secs(1) / rate);
        std::thread::sleep(due.since(clock::mono()));
    }
    Ok(())
}

/// Reads and releases; every other half cycle it stands still.
fn read(spool: &Spool, shared: &Shared) -> Outcome {
    let (mut reader, start) = (Reader::new(spool, 1), clock::mono());
    while !over(shared) {
        let cycle = clock::mono().since(start).as_millis() / (CYCLE.as_millis() / 2);
        let standing = !cycle.is_multiple_of(2);
        let caught_up = !standing && (0..100).any(|_| !reader.step());
        spool.post(reader.progress());
        shared.read.store(reader.readings, Ordering::Relaxed);
        if caught_up || standing {
            std::thread::sleep(Duration::from_millis(5));
        }
        if reader.damaged > 0 {
            shared.stop.store(true, Ordering::Relaxed);
            return Err("a row could not be read".into());
        }
    }
    Ok(())
}

fn watch(observer: &Observer, store: &Watched, directory: &Path, shared: &Shared) -> Vec<Look> {
    let (start, mut looks) = (clock::mono(), Vec::new());
    while !over(shared) {
        std::thread::sleep(SAMPLE.min(shared.until.since(clock::mono())));
        let (memory, extent, figures) = (machine::memory(), place::extent(directory), observer.figures());
        let look = Look {
            seconds: clock::mono().since(start).as_secs_f64(),
            rss: memory.rss,
            heap: memory.anonymous,
            descriptors: machine::descriptors() as u64,
            threads: machine::threads(),
            files: extent.files,
            bytes: extent.allocated,
            generations: figures.generations as u64,
            removed: store.times().remove.len() as u64,
        };
        print(look, shared.read.load(Ordering::Relaxed));
        looks.push(look);
    }
    looks
}

fn print(look: Look, readings: u64) {
    let Look {
        seconds,
        descriptors,
        threads,
        files,
        generations,
        removed,
        ..
    } = look;
    println!(
        "  {seconds:>6.0} {:>9.1} {:>6.1} {descriptors:>12} {threads:>9} {files:>7} {:>13.1} {generations:>13} {removed:>9} {readings:>10}",
        real(look.rss) / 1024.0,
        real(look.heap) / 1024.0,
        real(look.bytes) / 1024.0 / 1024.0,
    );
}

/// A name, and where to find it.
type Figure = (&'static str, fn(&Look) -> u64);

/// Each figure's median in the last third of the run over its median in the middle third.
fn judge(looks: &[Look]) -> Vec<(&'static str, f64)> {
    let figures: [Figure; 6] = [
        ("rss", |look| look.rss),
        ("heap", |look| look.heap),
        ("open_files", |look| look.descriptors),
        ("threads", |look| look.threads),
        ("files", |look| look.files),
        ("bytes_on_disk", |look| look.bytes),
    ];
    let third = looks.len().div_ceil(3);
    let middle_of = |part: usize, pick: fn(&Look) -> u64| {
        let looks = looks.iter().skip(part * third).take(third);
        median(looks.map(|look| real(pick(look))).collect())
    };
    let ratio =
        |(name, pick): (&'static str, fn(&Look) -> u64)| (name, middle_of(2, pick) / middle_of(1, pick));
    figures.map(ratio).to_vec()
}

fn growth(verdict: &[(&'static str, f64)]) -> serde_json::Value {
    verdict
        .iter()
        .map(|(name, ratio)| ((*name).to_owned(), serde_json::json!(ratio)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
