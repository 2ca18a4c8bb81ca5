//! Memory with a long backlog: ten million readings pending, and what the process takes while they are opened, read by
//! one cursor, read by two and by three while a writer commits, and released.
//!
//! Each phase is a process of its own, as the agent is after a restart, so that none inherits the heap of another. The
//! peak is the kernel's (`VmHWM`), so nothing between two looks is missed; the whole of the resident memory counts, the
//! program's own pages included. `just prove-memory` runs it; `--readings N` for another backlog, `--generation BYTES`
//! for another size of generations. Ends with a line of JSON, and with an error when the bound is passed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use edgespool::clock;
use edgespool::queue::appender::Appender;
use edgespool::queue::open::{GENERATION_BYTES, Queue};
use edgespool::sys;

use support::machine::Memory;
use support::queue::Reader;
use support::readings::Field;
use support::watched::{Watched, summaries, summary};
use support::{Failure, Outcome, SMALL, argument, machine, place, queue, real};

const READINGS: u64 = if SMALL { 20_000 } else { 10_000_000 };
/// Readings in a commit.
const COMMIT: usize = 100;
/// The writer's pause between two commits, while others read.
const PACE: Duration = Duration::from_millis(10);
/// Resident memory at any time, in KiB.
const BOUND: u64 = 40 * 1024;
const PHASES: [&str; 6] = [
    "fill",
    "open",
    "one-cursor",
    "two-cursors",
    "three-threads",
    "release",
];

/// What a phase found.
#[derive(Debug, Default)]
struct Found {
    readings: u64,
    seconds: f64,
    cpu: f64,
    /// Further figures by name.
    more: serde_json::Map<String, serde_json::Value>,
}

fn main() -> Outcome {
    sys::limit_arenas();
    let readings = argument("--readings").map_or(Ok(READINGS), |count| count.parse())?;
    match (argument("--phase"), argument("--in")) {
        (Some(phase), Some(directory)) => child(&phase, readings, &PathBuf::from(directory)),
        _ => parent(readings),
    }
}

/// Runs the phases one after the other and judges their peaks.
fn parent(readings: u64) -> Outcome {
    println!("memory: {}, {}", machine::description(), place::kind()?);
    println!("  phase         readings    s      CPU s   RSS MiB   peak   heap peak   more");
    let directory = place::directory("memory")?;
    let (mut lines, mut over) = (Vec::new(), false);
    for phase in PHASES {
        let output = Command::new(std::env::current_exe()?)
            .args(["--phase", phase, "--readings", &readings.to_string(), "--in"])
            .arg(&directory)
            .args(["--generation", &generation()?.to_string()])
            .stderr(std::process::Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("phase {phase} ended with {}", output.status).into());
        }
        let line: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        print(&line);
        over |= line["peak_kib"].as_u64().is_none_or(|peak| peak > BOUND);
        lines.push(line);
    }
    place::empty(&directory)?;
    println!(
        "{}",
        serde_json::json!({ "bench": "memory", "debug": SMALL, "readings": readings, "bound_kib": BOUND, "phases": lines })
    );
    if over {
        return Err(format!("more than {} MiB were resident", BOUND / 1024).into());
    }
    Ok(())
}

fn print(line: &serde_json::Value) {
    let number = |name: &str| line[name].as_f64().unwrap_or(f64::NAN);
    println!(
        "  {:<12} {:>10.0} {:>6.1} {:>8.2} {:>8.1} {:>8.1} {:>8.1}     {}",
        line["phase"].as_str().unwrap_or("?"),
        number("readings"),
        number("seconds"),
        number("cpu_s"),
        number("rss_kib") / 1024.0,
        number("peak_kib") / 1024.0,
        number("heap_peak_kib") / 1024.0,
        line["more"]
    );
}

fn child(phase: &str, readings: u64, directory: &Path) -> Outcome {
    let stop = AtomicBool::new(false);
    let (found, heap_peak) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&stop));
        let (start, cpu) = (clock::mono(), machine::cpu());
        let found = run(phase, readings, directory).map(|found| Found {
            seconds: clock::mono().since(start).as_secs_f64(),
            cpu: (machine::cpu() - cpu).as_secs_f64(),
            ..found
        });
        stop.store(true, Ordering::Relaxed);
        (found, sampler.join().unwrap_or_default())
    });
    let found = found?;
    let Memory { rss, peak, .. } = machine::memory();
    println!(
        "{}",
        serde_json::json!({
            "phase": phase, "readings": found.readings, "seconds": found.seconds, "cpu_s": found.cpu,
            "rss_kib": rss, "peak_kib": peak, "heap_peak_kib": heap_peak.max(machine::memory().anonymous),
            "more": found.more,
        })
    );
    Ok(())
}

/// The highest heap, as far as looking every few milliseconds shows it.
fn sample(stop: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !stop.load(Ordering::Relaxed) {
        peak = machine::memory().anonymous.max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    peak
}

fn run(phase: &str, readings: u64, directory: &Path) -> Result<Found, Failure> {
    if phase == "fill" {
        return fill(readings, directory);
    }
    let start = clock::mono();
    let store = Watched::open(directory)?;
    let mut queue = queue::sized(store.clone(), generation()?)?;
    let opened = clock::mono().since(start).as_secs_f64();
    queue::define(&mut queue)?;
    let mut found = match phase {
        "open" => idle(&queue),
        "one-cursor" => one_cursor(&queue)?,
        "two-cursors" => two_cursors(queue, readings)?,
        "three-threads" => three_threads(queue, readings)?,
        "release" => release(queue, readings, directory)?,
        _ => return Err(format!("no phase {phase}").into()),
    };
    found.more.insert("opened_s".into(), opened.into());
    found.more.insert("generations".into(), summaries(store.times()));
    Ok(found)
}

/// The size of a generation: the agent's, or what the command line says.
fn generation() -> Result<u64, Failure> {
    Ok(argument("--generation").map_or(Ok(GENERATION_BYTES), |bytes| bytes.parse())?)
}

/// Writes the backlog.
fn fill(readings: u64, directory: &Path) -> Result<Found, Failure> {
    let mut queue = queue::sized(Watched::open(directory)?, generation()?)?;
    queue::define(&mut queue)?;
    let (mut field, mut made) = (Field::new(), 0);
    while made < readings {
        let commit = field.commit(COMMIT);
        made += queue.appender.commit(commit, field.now())?.accepted;
    }
    let figures = queue.observer.figures();
    let mut found = Found {
        readings: made,
        ..Found::default()
    };
    found.more.insert("rows".into(), figures.rows.into());
    found
        .more
        .insert("generations".into(), figures.generations.into());
    let disk = real(place::extent(directory).allocated) / real(made);
    found.more.insert("disk_bytes_per_reading".into(), disk.into());
    Ok(found)
}

/// Pending, with nobody reading.
fn idle(queue: &Queue) -> Found {
    std::thread::sleep(Duration::from_secs(1));
    let figures = queue.observer.figures();
    let mut found = Found::default();
    found.more.insert("queued".into(), figures.ledger.queued.into());
    found
}

fn one_cursor(queue: &Queue) -> Result<Found, Failure> {
    let mut reader = Reader::new(queue.spools.first().ok_or("no output")?, 1);
    while reader.step() {}
    whole(&reader)?;
    Ok(Found {
        readings: reader.readings,
        ..Found::default()
    })
}

fn whole(reader: &Reader) -> Outcome {
    if reader.damaged > 0 {
        return Err(format!("{} rows could not be read", reader.damaged).into());
    }
    Ok(())
}

/// The main cursor in the last half, a catch-up cursor from the very first row, in turn as the forwarder has them; and a
/// writer that commits all the time.
fn two_cursors(queue: Queue, before: u64) -> Result<Found, Failure> {
    let Queue {
        mut appender, spools, ..
    } = queue;
    let spool = spools.first().ok_or("no output")?;
    let (mut main, mut parked) = (Reader::new(spool, spool.tail() / 2), Reader::new(spool, 1));
    let stop = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&mut appender, before, &stop));
        while main.step() | parked.step() {}
        stop.store(true, Ordering::Relaxed);
        writer
            .join()
            .unwrap_or_else(|_| Err("the writer panicked".into()))
    })?;
    whole(&main)?;
    whole(&parked)?;
    let mut found = Found {
        readings: main.readings + parked.readings,
        ..Found::default()
    };
    found.more.insert("commits".into(), summary(times));
    Ok(found)
}

/// Three cursors on threads of their own, as several outputs would have them; and the writer.
fn three_threads(queue: Queue, before: u64) -> Result<Found, Failure> {
    let Queue {
        mut appender, spools, ..
    } = queue;
    let spool = spools.first().ok_or("no output")?;
    let (tail, stop) = (spool.tail(), AtomicBool::new(false));
    let read = &|from| {
        let mut reader = Reader::new(spool, from);
        while reader.position() < tail && reader.step() {}
        whole(&reader).map(|()| reader.readings)
    };
    let (readings, times) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&mut appender, before, &stop));
        let readers = [1, tail / 3, tail / 3 * 2].map(|from| scope.spawn(move || read(from)));
        let readings = readers.into_iter().try_fold(0, |sum, reader| {
            let readings = reader
                .join()
                .unwrap_or_else(|_| Err("a reader panicked".into()))?;
            Ok::<_, Failure>(sum + readings)
        });
        stop.store(true, Ordering::Relaxed);
        let times = writer
            .join()
            .unwrap_or_else(|_| Err("the writer panicked".into()))?;
        Ok::<_, Failure>((readings?, times))
    })?;
    let mut found = Found {
        readings,
        ..Found::default()
    };
    found.more.insert("commits".into(), summary(times));
    Ok(found)
}

/// The reader releases what it reads; at the end, all: the space must come back.
fn release(queue: Queue, before: u64, directory: &Path) -> Result<Found, Failure> {
    let Queue {
        mut appender,
        spools,
        observer,
        ..
    } = queue;
    let spool = spools.first().ok_or("no output")?;
    let (full, mut reader) = (place::extent(directory).allocated, Reader::new(spool, 1));
    let stop = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&mut appender, before, &stop));
        while reader.step() {
            spool.post(reader.progress());
        }
        stop.store(true, Ordering::Relaxed);
        writer
            .join()
            .unwrap_or_else(|_| Err("the writer panicked".into()))
    })?;
    while reader.step() {}
    whole(&reader)?;
    reader.finish();
    let left = place::extent(directory);
    let start = clock::mono();
    spool.post(reader.progress());
    appender.commit(Field::new().commit(COMMIT), Field::after(before).now())?;
    let given_back = clock::mono().since(start).as_secs_f64();
    let (figures, now) = (observer.figures(), place::extent(directory));
    let mut found = Found {
        readings: reader.readings,
        ..Found::default()
    };
    found.more.insert("commits".into(), summary(times));
    for (name, value) in [
        ("bytes_full", full),
        ("bytes_before_last_release", left.allocated),
        ("bytes_after", now.allocated),
        ("files_after", now.files),
        ("generations_after", figures.generations as u64),
        ("queued_after", figures.ledger.queued),
    ] {
        found.more.insert(name.into(), value.into());
    }
    found.more.insert("given_back_s".into(), given_back.into());
    Ok(found)
}

/// Commits until told to stop; how long each commit took, in milliseconds.
fn write(appender: &mut Appender, before: u64, stop: &AtomicBool) -> Result<Vec<f64>, Failure> {
    let (mut field, mut times) = (Field::after(before), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let commit = field.commit(COMMIT);
        let start = clock::mono();
        appender.commit(commit, field.now())?;
        times.push(clock::mono().since(start).as_secs_f64() * 1e3);
        std::thread::sleep(PACE);
    }
    Ok(times)
}
