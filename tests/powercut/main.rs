//! Power cuts, kills and flipped bits against the real queue on a real file system.
//!
//! A program with commands of its own, because what it verifies may end the process that opens it:
//!
//! ```text
//! cuts [--count N] [--seed N]     power cuts; a fault is told with the seed that shows it
//! ci                              a hundred cuts, and the controls
//! flips [--count N] [--seed N]    flipped bits, spread over the kinds of bytes; needs no root
//! controls [--count N]            the same with bugs planted: ends with an error when they are not found
//! ```
//!
//! The device is a block file that a FUSE daemon in this process serves ([`device`]), under a loop device with ext4. The
//! daemon puts every write and flush into a log, the writer every receipt ([`recording`]); the log is replayed up to a cut
//! ([`cuts`]), mounted, and opened by the real queue in a child ([`verify`]). Needs root, /dev/fuse, loop devices and
//! mkfs.ext4; says so where they are missing, and fails for it where CI=true and it is root.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program that prints its figures; its tables are its own"
)]

mod book;
mod child;
mod classes;
mod controls;
mod cuts;
mod cutting;
mod device;
mod disk;
mod drain;
mod flips;
mod log;
mod means;
mod plan;
mod planting;
mod queue;
mod random;
mod readings;
mod recording;
mod salvage;
mod verify;
mod writer;

use std::path::Path;
use std::process::ExitCode;

use cutting::Series;
use writer::Workload;

/// What the rig ends with when it cannot go on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What a step returns.
pub type Outcome = Result<(), Failure>;

/// Cuts of one recording.
const EACH: usize = 25;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["child-verify", directory, plan, report] => {
            child::run(Path::new(directory), Path::new(plan), Path::new(report))
        }
        ["child-write", directory, workload, life, commits] => {
            child_write(directory, workload, life, commits)
        }
        ["ci"] => with_means(|| {
            controls_command()?;
            cuts_command()
        }),
        ["truncations", ..] => number("--count", 20).and_then(controls::truncations),
        ["flips", ..] => flips_command(),
        ["cuts", ..] => with_means(cuts_command),
        ["controls", ..] => with_means(controls_command),
        _ => {
            say("powercut: a command is missing: see `just --list`, prove-cuts; nothing was proven here");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("powercut: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn child_write(directory: &str, workload: &str, life: &str, commits: &str) -> Outcome {
    let workload: Workload = serde_json::from_slice(&std::fs::read(workload)?)?;
    writer::live(Path::new(directory), &workload, life.parse()?, commits.parse()?)
}

/// Prints a line.
pub fn say(line: &str) {
    println!("{line}");
}

fn with_means(command: fn() -> Outcome) -> Outcome {
    let missing = means::missing();
    if missing.is_empty() {
        return command();
    }
    let words = format!("not run, since this is missing: {}", missing.join(", "));
    if means::required() {
        return Err(words.into());
    }
    say(&format!("powercut: {words}"));
    Ok(())
}

/// The number after `--name` on the command line.
fn number(name: &str, default: u64) -> Result<u64, Failure> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    match (arguments.next(), arguments.next()) {
        (None, _) => Ok(default),
        (_, Some(text)) => Ok(text.parse().map_err(|error| format!("{name} {text}: {error}"))?),
        _ => Err(format!("{name} needs a number").into()),
    }
}

fn flips_command() -> Outcome {
    let (count, seed) = (usize::try_from(number("--count", 100)?)?, number("--seed", 1)?);
    let figures = flips::flips(count, seed)?;
    figures.print();
    let (faulty, miscounted) = figures.bad();
    say(&format!(
        "powercut: {count} flipped bits, {faulty} faulty, {miscounted} miscounted"
    ));
    if faulty + miscounted > 0 {
        return Err(format!(
            "{faulty} of {count} flipped bits broke a promise, {miscounted} were miscounted"
        )
        .into());
    }
    Ok(())
}

fn controls_command() -> Outcome {
    let count = number("--count", 20)?;
    controls::cuts(usize::try_from(count)?)?;
    controls::truncations(count)
}

fn cuts_command() -> Outcome {
    let (count, seed) = (usize::try_from(number("--count", 100)?)?, number("--seed", 1)?);
    let series = Series {
        cuts: count,
        each: EACH,
        seed,
        aim: true,
        bug: None,
    };
    let tally = cutting::cut(series, Workload::drawn)?;
    let (all, bad) = tally.cuts();
    say(&cutting::table(&tally));
    for words in &tally.words {
        say(&format!("  {words}"));
    }
    say(&format!(
        "powercut: {all} cuts, {bad} with a fault; of {} receipted readings {} lost; {} queues did not open; {} writes, {} flushes; {} writers killed, {} of them while opening",
        tally.receipted,
        tally.lost,
        tally.unopened,
        tally.writes,
        tally.flushes,
        tally.kills,
        tally.kills_opening
    ));
    if bad > 0 {
        Err(format!("{bad} of {all} cuts broke a promise").into())
    } else {
        Ok(())
    }
}
