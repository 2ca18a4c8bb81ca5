//! How long to wait before trying again: full jitter, for ever.
//!
//! Owns the times. Pure: randomness comes in as a number. Must not know what is tried.

use std::time::Duration;

/// The first wait is at most this.
const BASE: Duration = Duration::from_millis(100);
/// No wait is longer: an outage of hours must not cost minutes more.
const CAP: Duration = Duration::from_secs(10);
/// What a person must mend is tried every so often.
const HALTED: Duration = Duration::from_secs(30);

/// The wait before attempt `attempt` (1 is the first retry): between nothing and a bound that doubles up to ten seconds, so
/// that many lanes do not come back at once.
#[must_use]
pub fn retry(attempt: u32, random: u64) -> Duration {
    let bound = BASE
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(CAP);
    part(bound, random)
}

/// The wait of a halted lane: between 15 and 30 seconds.
#[must_use]
pub fn halted(random: u64) -> Duration {
    HALTED / 2 + part(HALTED / 2, random)
}

fn part(bound: Duration, random: u64) -> Duration {
    let share = random >> 33;
    bound.mul_f64(f64::from(u32::try_from(share).unwrap_or(0)) / f64::from(1_u32 << 31))
}

/// A small random number generator (xorshift64*): jitter needs no more, and a simulation can repeat it.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From any seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds_and_are_spread_over_all_of_it() {
        for (attempt, bound_ms) in [
            (1, 100),
            (2, 200),
            (5, 1600),
            (8, 10_000),
            (60, 10_000),
            (u32::MAX, 10_000),
        ] {
            let mut dice = Dice::new(7);
            let waits: Vec<_> = (0..1000).map(|_| retry(attempt, dice.roll())).collect();
            let bound = Duration::from_millis(bound_ms);
            assert!(waits.iter().all(|wait| *wait <= bound), "{attempt}");
            assert!(waits.iter().any(|wait| *wait < bound / 10), "{attempt}");
            assert!(waits.iter().any(|wait| *wait > bound * 9 / 10), "{attempt}");
        }
    }

    #[test]
    fn halted_lanes_try_twice_to_four_times_a_minute() {
        let mut dice = Dice::new(9);
        for _ in 0..100 {
            let wait = halted(dice.roll());
            assert!((15..=30).contains(&wait.as_secs()), "{wait:?}");
        }
    }
}
