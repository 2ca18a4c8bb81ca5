//! Append and commit: the queue's real Appender on sled, beside a plain file that gets the same bytes and syncs.
//!
//! Owns three measurements of one stream of readings, at several sizes of commits, medians of five: the queue on disk;
//! the same rows appended to a plain file with one `fdatasync` a commit; and the packing alone. CPU time and bytes are the
//! figures; the rates depend on what else the machine does.
//!
//! `cargo bench --bench queue` prints a table and ends with a line of JSON. `--commit N` measures that size alone,
//! `--only sled|raw|pack` that part alone, `--runs N` so many times.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use edgespool::clock;
use edgespool::queue::appender::{Appender, Commit};
use edgespool::reading::Stamp;
use edgespool::sys;

use support::readings::Field;
use support::recorder::Recorder;
use support::{Failure, Outcome, SMALL, argument, machine, median, place, queue, real};

/// Readings in a commit.
const SIZES: [usize; 3] = [100, 1_000, 2_000];
const RUNS: usize = 5;

/// One measurement of one run.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    /// CPU seconds for a million readings.
    cpu: f64,
    /// Readings a second.
    rate: f64,
    /// Bytes of dirtied pages a reading.
    device: f64,
    /// Bytes on disk a reading.
    disk: f64,
    /// Bytes of rows a reading.
    payload: f64,
}

fn main() -> Outcome {
    sys::limit_arenas();
    if let Some(commits) = argument("--count-syncs") {
        return sync_only(commits.parse()?);
    }
    let sizes = match argument("--commit") {
        Some(size) => vec![size.parse()?],
        None => SIZES.to_vec(),
    };
    let runs = match argument("--runs") {
        Some(runs) => runs.parse()?,
        None if SMALL => 1,
        None => RUNS,
    };
    println!("queue: {}, {}", machine::description(), place::kind()?);
    println!("  readings    part   CPU s   readings   dirtied   on disk     rows");
    println!("  a commit           /1M     /s         B/read.   B/read.   B/read.");
    let mut lines = Vec::new();
    for size in sizes {
        let [sled, raw, pack] = measure(size, runs)?;
        for (part, figures) in [("sled", sled), ("raw", raw), ("pack", pack)] {
            print(size, part, figures);
        }
        let syncs = syncs_per_commit(size)?;
        match &syncs {
            Ok(syncs) => println!("  {size:>8}   syncs a commit: {syncs:.2}"),
            Err(why) => println!("  {size:>8}   syncs a commit: not counted, {why}"),
        }
        lines.push(serde_json::json!({
            "commit": size, "sled": json(sled), "raw": json(raw), "pack": json(pack), "syncs_per_commit": syncs.ok(),
        }));
    }
    println!(
        "{}",
        serde_json::json!({ "bench": "queue", "debug": SMALL, "runs": runs, "sizes": lines })
    );
    Ok(())
}

fn print(size: usize, part: &str, figures: Figures) {
    let Figures {
        cpu,
        rate,
        device,
        disk,
        payload,
    } = figures;
    println!("  {size:>8}    {part:<5} {cpu:>6.3} {rate:>10.0} {device:>9.1} {disk:>9.2} {payload:>8.2}");
}

fn json(figures: Figures) -> serde_json::Value {
    serde_json::json!({
        "cpu_s_per_1m": figures.cpu, "readings_per_s": figures.rate, "dirtied_bytes_per_reading": figures.device,
        "disk_bytes_per_reading": figures.disk, "row_bytes_per_reading": figures.payload,
    })
}

/// Few small commits, for every one is a sync; enough large ones that a generation or two come and go.
fn commits_for(size: usize) -> usize {
    match size {
        _ if SMALL => 20,
        0..=199 => 1_500,
        _ => 600_000 / size,
    }
}

/// Medians, for the three parts in turn: what disturbs one run disturbs them all.
fn measure(size: usize, runs: usize) -> Result<[Figures; 3], Failure> {
    let only = argument("--only");
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut all: [Vec<Figures>; 3] = Default::default();
    for _ in 0..runs {
        let (pack, bytes) = packed(size)?;
        all[2].push(pack);
        if wanted("raw") {
            all[1].push(raw(size, &bytes)?);
        }
        drop(bytes);
        if wanted("sled") {
            all[0].push(on_sled(size)?);
        }
    }
    let mut middles = all.map(|figures| middle(&figures));
    let payload = middles[2].payload;
    middles.iter_mut().for_each(|figures| figures.payload = payload);
    Ok(middles)
}

fn middle(all: &[Figures]) -> Figures {
    let of = |pick: fn(&Figures) -> f64| median(all.iter().map(pick).collect());
    Figures {
        cpu: of(|figures| figures.cpu),
        rate: of(|figures| figures.rate),
        device: of(|figures| figures.device),
        disk: of(|figures| figures.disk),
        payload: of(|figures| figures.payload),
    }
}

/// What is committed, made beforehand.
fn commits(size: usize, count: usize) -> Vec<(Commit, Stamp)> {
    let mut field = Field::new();
    (0..count).map(|_| (field.commit(size), field.now())).collect()
}

/// Takes the time and the CPU of `work`, which stores `readings` readings.
fn timed(readings: u64, work: impl FnOnce() -> Outcome) -> Result<Figures, Failure> {
    let (cpu, written, start) = (machine::cpu(), machine::written(), clock::mono());
    work()?;
    let (elapsed, cpu) = (clock::mono().since(start), machine::cpu() - cpu);
    Ok(Figures {
        cpu: cpu.as_secs_f64() * 1e6 / real(readings),
        rate: real(readings) / elapsed.as_secs_f64(),
        device: real(machine::written() - written) / real(readings),
        ..Figures::default()
    })
}

fn append(appender: &mut Appender, commits: Vec<(Commit, Stamp)>) -> Outcome {
    for (commit, now) in commits {
        let size = commit.readings.len() as u64;
        let done = appender.commit(commit, now)?;
        if done.accepted != size {
            return Err(format!("{} of {size} readings accepted", done.accepted).into());
        }
    }
    Ok(())
}

fn on_sled(size: usize) -> Result<Figures, Failure> {
    let directory = place::directory("queue")?;
    let mut queue = queue::on_disk(&directory)?;
    queue::define(&mut queue)?;
    let before = place::extent(&directory).allocated;
    let (commits, readings) = made(size);
    let mut figures = timed(readings, || append(&mut queue.appender, commits))?;
    let grown = place::extent(&directory).allocated.saturating_sub(before);
    figures.disk = real(grown) / real(readings);
    drop(queue);
    place::empty(&directory)?;
    Ok(figures)
}

fn made(size: usize) -> (Vec<(Commit, Stamp)>, u64) {
    let count = commits_for(size);
    (commits(size, count), (count * size) as u64)
}

/// The queue's own work, without a store; and what it would have stored.
fn packed(size: usize) -> Result<(Figures, Vec<Vec<u8>>), Failure> {
    let recorder = Recorder::default();
    let mut queue = queue::sized(Arc::new(recorder.clone()), u64::MAX)?;
    queue::define(&mut queue)?;
    drop(recorder.take());
    let (commits, readings) = made(size);
    let mut figures = timed(readings, || append(&mut queue.appender, commits))?;
    let bytes = recorder.take();
    let sum: usize = bytes.iter().map(Vec::len).sum();
    figures.payload = real(sum as u64) / real(readings);
    Ok((figures, bytes))
}

/// The same bytes, appended to a plain file and synced for each commit.
fn raw(size: usize, bytes: &[Vec<u8>]) -> Result<Figures, Failure> {
    let directory = place::directory("raw")?;
    std::fs::create_dir_all(&directory)?;
    let mut file = File::create(directory.join("log"))?;
    file.sync_all()?;
    let readings = (bytes.len() * size) as u64;
    let mut figures = timed(readings, || {
        for commit in bytes {
            file.write_all(commit)?;
            file.sync_data()?;
        }
        Ok(())
    })?;
    figures.disk = real(place::extent(&directory).allocated) / real(readings);
    place::empty(&directory)?;
    Ok(figures)
}

/// Runs this bench under strace for some commits and for none, and takes the difference. The inner error says why not.
fn syncs_per_commit(size: usize) -> Result<Result<f64, String>, Failure> {
    let commits = if SMALL { 10 } else { 200 };
    let count = |commits: usize| -> Result<u64, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = Command::new("strace")
            .args(["-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range"])
            .arg(program)
            .args(["--count-syncs", &commits.to_string(), "--size", &size.to_string()])
            .stdout(Stdio::null())
            .output()
            .map_err(|error| format!("strace cannot be run: {error}"))?;
        if !output.status.success() {
            return Err("strace cannot trace here".into());
        }
        Ok(total_of(&String::from_utf8_lossy(&output.stderr)))
    };
    Ok(count(commits).and_then(|some| {
        let none = count(0)?;
        Ok(real(some.saturating_sub(none)) / real(commits as u64))
    }))
}

/// The calls in a summary of strace, those aside that give the device nothing to flush.
fn total_of(summary: &str) -> u64 {
    summary
        .lines()
        .filter(|line| line.ends_with(" fsync") || line.ends_with(" fdatasync"))
        .filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok())
        .sum()
}

fn sync_only(count: usize) -> Outcome {
    let size = argument("--size").map_or(Ok(SIZES[0]), |size| size.parse())?;
    let directory = place::directory("syncs")?;
    let mut queue = queue::on_disk(&directory)?;
    queue::define(&mut queue)?;
    append(&mut queue.appender, commits(size, count))?;
    drop(queue);
    place::empty(&directory)
}
