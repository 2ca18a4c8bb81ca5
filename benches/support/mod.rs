//! What the benches share: figures of this process, a directory on a real disk, readings as sensors make them.
//!
//! Promises the same readings in every run, so that two runs differ in the code and the machine alone. Figures that count
//! work (CPU time, bytes, syncs) are worth more than rates: the machine may have other things to do.
#![allow(dead_code, reason = "each bench uses its part")]

pub mod machine;
pub mod place;
pub mod queue;
pub mod readings;
pub mod recorder;
pub mod watched;

/// What a bench ends with when it cannot go on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What `main` returns.
pub type Outcome = Result<(), Failure>;

/// True in a debug build, as when `cargo test --all-targets` runs a bench to see that it runs: then everything is small.
pub const SMALL: bool = cfg!(debug_assertions);

/// The value after `--name` on the command line.
#[must_use]
pub fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name)?;
    arguments.next()
}

/// The middle one.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A count as a number to calculate with.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts and bytes of a bench are far below 2^53"
)]
pub fn real(count: u64) -> f64 {
    count as f64
}
