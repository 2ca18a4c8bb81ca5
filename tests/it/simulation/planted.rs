//! The simulation finds bugs: each that can be planted where it looks, within so many seeds.

use edgespool::planted::{Bug, plant};

use super::{hush, number, run, tell};

/// The bugs that are here to be found; the others are in the store on the disk, which the rig cuts the power of.
const BUGS: [Bug; 12] = [
    Bug::ReceiptBeforeSync,
    Bug::ReleaseBeforeReport,
    Bug::SequenceReused,
    Bug::LostDrop,
    Bug::EpochKept,
    Bug::WrongTicket,
    Bug::LateResume,
    Bug::WatermarkBack,
    Bug::PositionEarly,
    Bug::BeyondTail,
    Bug::HeadTooFar,
    Bug::SpanByRow,
];

/// `EDGESPOOL_SIM_SEEDS` says within how many seeds each must be found.
#[test]
fn every_planted_bug_is_found() {
    hush();
    let seeds = number("EDGESPOOL_SIM_SEEDS").unwrap_or(2_000);
    let mut missed = Vec::new();
    for bug in BUGS {
        let (_, failed) = run(0, seeds, 1, || plant(Some(bug)));
        let Some(seed) = failed.first() else {
            missed.push(bug);
            continue;
        };
        plant(Some(bug));
        let told = tell(*seed, 0);
        plant(None);
        eprintln!("{bug:?}: {}", told.trim());
    }
    assert!(missed.is_empty(), "not found within {seeds} seeds: {missed:?}");
}
