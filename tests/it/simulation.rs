//! The whole agent on virtual time, by seed: nodes, sources, intake, queue, lanes and a broker, and faults of every kind.
//!
//! One thread, no sleep, no clock: a seed is always the same life. After each step an oracle that goes by values alone
//! holds the agent to the invariants I1 to I8. `just sim 42` tells one seed's life.

mod chance;
mod kafka;
mod life;
mod line;
mod node;
mod oracle;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod process;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Nanoseconds since the world began.
type Time = u64;
const MS: Time = 1_000_000;
const SECOND: Time = 1000 * MS;

/// What so many seeds came to together.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    lives: u64,
    seconds: u64,
    counts: oracle::Counts,
}

impl Sum {
    fn add(&mut self, done: life::Done) {
        self.seeds += 1;
        self.lives += done.lives;
        self.seconds += done.time / SECOND;
        let (sum, more) = (&mut self.counts, done.counts);
        sum.made += more.made;
        sum.receipted += more.receipted;
        sum.stored += more.stored;
        sum.arrived += more.arrived;
        sum.again += more.again;
        sum.released += more.released;
        sum.dropped += more.dropped;
        sum.dead += more.dead;
        sum.parked += more.parked;
        sum.checkpoints += more.checkpoints;
        sum.epochs += more.epochs;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Tells a failed seed from its beginning, as far as it is worth reading.
fn tell(seed: u64, last: usize) -> String {
    let Err(failure) = life::run(seed, true) else {
        return format!("seed {seed} failed once and not again: it depends on something else");
    };
    let from = failure.words.len().saturating_sub(last);
    let words = failure.words[from..].join("\n");
    format!(
        "{words}\nseed {seed}: {}\n(just sim {seed} tells all of it)",
        failure.why
    )
}

/// Runs seeds on all cores, each thread prepared first; ends early when so many have failed. The failed ones in order.
fn run(first: u64, count: u64, most: usize, prepare: impl Fn() + Sync) -> (Sum, Vec<u64>) {
    let (next, total) = (AtomicU64::new(first), Mutex::new((Sum::default(), Vec::new())));
    let locked = || total.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        prepare();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || locked().1.len() >= most {
                return;
            }
            let done = life::run(seed, false);
            match done {
                Ok(done) => locked().0.add(done),
                Err(_) => locked().1.push(seed),
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let (sum, mut failed) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    (sum, failed)
}

/// Panics of the oracle are caught and told later, once.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::env::var_os("EDGESPOOL_SIM_LOUD").is_some() || !life::is_living() {
                report(info);
            }
        }));
    });
}

/// `EDGESPOOL_SIM_SEEDS` says how many, `EDGESPOOL_SIM_SEED` names one that is told in full.
#[test]
fn nothing_is_lost_twice_named_or_out_of_order_whatever_happens() {
    hush();
    if let Some(seed) = number("EDGESPOOL_SIM_SEED") {
        match life::run(seed, true) {
            Ok(done) => eprintln!("seed {seed}: {done:#?}"),
            Err(_) => panic!("{}", tell(seed, usize::MAX)),
        }
        return;
    }
    let seeds = number("EDGESPOOL_SIM_SEEDS").unwrap_or(50);
    let (sum, failed) = run(number("EDGESPOOL_SIM_FIRST").unwrap_or(0), seeds, 5, || ());
    if let Some(seed) = failed.first() {
        let others: Vec<_> = failed[1..].iter().map(|seed| tell(*seed, 0)).collect();
        panic!("{}\n{}", others.join("\n"), tell(*seed, 60));
    }
    eprintln!("{sum:#?}");
    let counts = sum.counts;
    let reached = [
        counts.receipted,
        counts.again,
        counts.released,
        counts.parked,
        counts.checkpoints,
        sum.lives,
    ];
    assert!(
        reached.iter().all(|count| *count > sum.seeds),
        "the test reaches what it is for: {sum:#?}"
    );
}

#[test]
fn a_seed_is_always_the_same_life() {
    hush();
    for seed in 1..4 {
        let lives =
            [life::run(seed, true), life::run(seed, true)].map(|life| life.map_err(|failure| failure.words));
        let [one, other] = &lives;
        assert!(one == other, "seed {seed}: {one:?} and {other:?}");
    }
}
