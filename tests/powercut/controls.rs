//! Controls: the same attack on a queue with a bug planted. A rig that does not find it proves nothing.
//!
//! Owns what has to be found, and how often. Needs the feature `planted-bugs`.

use edgespool::planted::Bug;

use crate::cutting::{Series, Tally, cut};
use crate::flips::truncations as truncations_of;
use crate::writer::Workload;
use crate::{Failure, Outcome, planting, say};

/// Cuts of one recording.
const EACH: usize = 10;

/// Without its sync, the queue has to fail in at least half of the cuts; with rows of 28 KiB, at all.
pub fn cuts(count: usize) -> Outcome {
    let run = |bug, workload: fn(u64) -> Workload| {
        let series = Series {
            cuts: count,
            each: EACH,
            seed: 1,
            aim: false,
            bug: Some(bug),
        };
        say(&format!("planted: {}", planting::name(bug)));
        cut(series, workload).or_else(|error| {
            say(&format!("  {error}"));
            // A queue that hangs while it is written fails in all cuts.
            let hung = error.to_string().contains("the writer hung");
            if hung {
                Ok(Tally::hopeless(count as u64))
            } else {
                Err::<_, Failure>(error)
            }
        })
    };
    let long = run(Bug::LongRows, Workload::long)?;
    let unsynced = run(Bug::NoSync, Workload::steady)?;
    found(&unsynced, count.div_ceil(2) as u64)?;
    found(&long, 1)
}

/// A file that is cut short is noticed, and with the outside count switched off it is not.
pub fn truncations(count: u64) -> Outcome {
    let (noticed, silent) = truncations_of(count, None)?;
    say(&format!(
        "powercut: {noticed} of {count} shortened files were noticed, {silent} went on in silence"
    ));
    if noticed < count || silent > 0 {
        return Err("a file that is cut short was not noticed".into());
    }
    let (noticed, silent) = truncations_of(count, Some(Bug::NoOutsideCount))?;
    say(&format!(
        "powercut: without the outside count, {silent} of {count} went on in silence ({noticed} were noticed)"
    ));
    if silent == 0 {
        return Err(
            "without the outside count, shortened files are noticed all the same: the control shows nothing"
                .into(),
        );
    }
    Ok(())
}

fn found(tally: &Tally, least: u64) -> Outcome {
    let (all, bad) = tally.cuts();
    if let Some(words) = tally.words.first() {
        say(&format!("  for example: {words}"));
    }
    say(&format!(
        "powercut: {bad} of {all} cuts failed, as they must (at least {least})"
    ));
    if bad < least {
        return Err(format!("only {bad} of {all} cuts found the planted bug, not {least}").into());
    }
    Ok(())
}
