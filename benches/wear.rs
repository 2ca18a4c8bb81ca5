//! What commits write to the device that the queue is on: bytes and flushes, as the kernel counts them for the whole device.
//!
//! Owns three measurements: commits of 100 readings in steady state, with what rolling and reserving write; commits of 16
//! readings, which is what 16 sensors at 1 Hz are with the default interval, for a day; and silence, which must write
//! nothing. Commits come one after the other with a pause, so that each is a sync of its own; seconds count for nothing.
//!
//! Everybody's writes to that device count, so it should hold nothing else: `just prove-wear` makes one (root, loop devices).
//! `--commits N` for another length, `--pause MS` for another pause. Ends with an error where a bar is not met.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgespool::queue::mailbox::Progress;
use edgespool::queue::open::Queue;
use edgespool::queue::types::{Entry, OutputNo, Release};
use edgespool::reading::SensorNo;
use support::readings::Field;
use support::{Failure, Outcome, SMALL, argument, place, queue, real};

/// Device bytes for a commit of 100 readings.
const BAR: f64 = 12.0 * 1024.0;
/// Device bytes for a day of 16 sensors at 1 Hz.
const DAY: f64 = 1e9;
const COMMITS_A_DAY: f64 = 86_400.0;
/// How long nothing may be written when nothing is stored.
const SILENCE: Duration = Duration::from_secs(if SMALL { 1 } else { 20 });

/// What a device has done so far.
#[derive(Debug, Clone, Copy)]
struct Counts {
    bytes: u64,
    flushes: u64,
}

fn main() -> Outcome {
    let directory = place::directory("wear")?;
    fs::create_dir_all(&directory)?;
    let Some(device) = device_of(&directory)? else {
        println!(
            "wear: not measured, {} is on no block device",
            directory.display()
        );
        return Ok(());
    };
    let commits = number("--commits", if SMALL { 20 } else { 6_000 })?;
    let pause = Duration::from_millis(number("--pause", 5)?);
    println!(
        "wear: {} on {}, {}",
        directory.display(),
        device.display(),
        place::kind()?
    );
    let mut queue = queue::on_disk(&directory)?;
    queue::define(&mut queue)?;
    let mut field = Field::new();
    // The first generation's start is no steady state.
    run(&mut queue, &mut field, 100, commits / 10, pause)?;
    let hundred = measured(&device, &directory, || {
        run(&mut queue, &mut field, 100, commits, pause)
    })?;
    let sixteen = measured(&device, &directory, || {
        run(&mut queue, &mut field, 16, commits, pause)
    })?;
    let silence = measured(&device, &directory, || {
        std::thread::sleep(SILENCE);
        Ok(())
    })?;
    let generations = queue.observer.figures().generations;
    let each = |counts: Counts| {
        (
            real(counts.bytes) / real(commits),
            real(counts.flushes) / real(commits),
        )
    };
    let ((bytes, flushes), (small, small_flushes)) = (each(hundred), each(sixteen));
    let day = small * COMMITS_A_DAY;
    println!(
        "  {commits} commits of 100 readings: {bytes:.0} bytes and {flushes:.2} flushes a commit, {generations} generations"
    );
    println!(
        "  {commits} commits of 16 readings: {small:.0} bytes and {small_flushes:.2} flushes a commit, {:.2} GB a day",
        day / 1e9
    );
    println!("  silence: {} bytes in {} s", silence.bytes, SILENCE.as_secs());
    println!(
        "{}",
        serde_json::json!({
            "bench": "wear", "debug": SMALL, "commits": commits, "bytes_per_commit_of_100": bytes, "flushes_per_commit_of_100": flushes,
            "bytes_per_commit_of_16": small, "bytes_per_day_of_16_at_1_hz": day, "bytes_in_silence": silence.bytes,
        })
    );
    drop(queue);
    place::empty(&directory)?;
    if SMALL {
        return Ok(());
    }
    let met = bytes <= BAR && day <= DAY && silence.bytes == 0 && flushes <= 1.1;
    met.then_some(()).ok_or_else(|| "a bar is not met".into())
}

fn number(name: &str, default: u64) -> Result<u64, Failure> {
    Ok(argument(name).map_or(Ok(default), |text| text.parse())?)
}

/// Commits that also carry what an output has delivered, all of what came before, as a broker that is up makes them.
fn run(queue: &mut Queue, field: &mut Field, size: usize, commits: u64, pause: Duration) -> Outcome {
    for _ in 0..commits {
        let (commit, now) = (field.commit(size), field.now());
        let release = |(number, sensor): (u32, &edgespool::queue::fold::SensorState)| {
            Entry::Release(Release {
                output: OutputNo(0),
                sensor: SensorNo(number),
                epoch: queue::EPOCH,
                through: sensor.next.saturating_sub(1),
            })
        };
        let sensors = queue.observer.sensors();
        let spool = queue.spools.first().ok_or("a queue without an output")?;
        spool.post(Progress {
            entries: (0..)
                .zip(&sensors)
                .filter(|(_, s)| s.next > 1)
                .map(release)
                .collect(),
            head: Some(spool.tail()),
            parks: Vec::new(),
        });
        queue.appender.commit(commit, now)?;
        std::thread::sleep(pause);
    }
    Ok(())
}

/// What the device does meanwhile, the file system's own afterthoughts included.
fn measured(device: &Path, directory: &Path, work: impl FnOnce() -> Outcome) -> Result<Counts, Failure> {
    let settle = || -> Result<Counts, Failure> {
        rustix::fs::syncfs(fs::File::open(directory)?)?;
        counts(device)
    };
    settle()?;
    // A file system may have something to write once more after it was told to write all.
    std::thread::sleep(Duration::from_millis(200));
    let before = settle()?;
    work()?;
    let after = settle()?;
    Ok(Counts {
        bytes: after.bytes - before.bytes,
        flushes: after.flushes - before.flushes,
    })
}

/// The counters of the block device that a directory is on.
fn device_of(directory: &Path) -> Result<Option<PathBuf>, Failure> {
    let device = fs::metadata(directory)?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let stat = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    Ok(stat.exists().then_some(stat))
}

/// Sectors written and flushes, by Documentation/block/stat.rst of the kernel.
fn counts(stat: &Path) -> Result<Counts, Failure> {
    let text = fs::read_to_string(stat)?;
    let fields: Vec<u64> = text
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    let field = |index: usize| fields.get(index).copied().ok_or("a counter is missing");
    Ok(Counts {
        bytes: field(6)? * 512,
        flushes: field(15)?,
    })
}
