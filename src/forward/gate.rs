//! The gate before readings of a clock that was not synchronized.
//!
//! Owns when such readings may go: once the clock is synchronized, or when `hold-until-synced` is over since Kafka could
//! first be reached; from then on the gate stays open, and they go marked. Pure.

use std::time::Duration;

use crate::clock::Mono;

/// The gate of one output.
#[derive(Debug, Clone)]
pub struct Gate {
    hold: Duration,
    open: bool,
    reachable: Option<Mono>,
}

impl Gate {
    /// Closed, unless there is nothing to wait for.
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        Self {
            hold,
            open: hold.is_zero(),
            reachable: None,
        }
    }

    /// What is known of clock and broker; true when this opens the gate.
    pub fn observe(&mut self, synchronized: bool, reachable: bool, now: Mono) -> bool {
        if self.open {
            return false;
        }
        if reachable {
            self.reachable.get_or_insert(now);
        }
        self.open = synchronized || self.deadline().is_some_and(|deadline| deadline <= now);
        self.open
    }

    /// Whether readings of a clock that was not synchronized may go.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// When it opens at the latest; `None` while Kafka was never reached, or when it is open.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.reachable
            .filter(|_| !self.open)
            .map(|since| since.after(self.hold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_by_the_clock_or_in_time_and_stays_open() {
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        // (synchronized, reachable, second) -> open
        let table: [&[(bool, bool, u64, bool)]; 4] = [
            &[
                (false, false, 0, false),
                (false, false, 500, false),
                (true, false, 501, true),
                (false, false, 502, true),
            ],
            &[
                (false, true, 10, false),
                (false, false, 69, false),
                (false, false, 70, true),
                (false, true, 71, true),
            ],
            &[(false, true, 10, false), (true, true, 11, true)],
            &[
                (false, true, 10, false),
                (false, true, 69, false),
                (false, true, 75, true),
            ],
        ];
        for steps in table {
            let mut gate = Gate::new(Duration::from_secs(60));
            for (synchronized, reachable, second, open) in steps {
                gate.observe(*synchronized, *reachable, at(*second));
                assert_eq!(gate.is_open(), *open, "{steps:?} at {second}");
            }
        }
        assert!(Gate::new(Duration::ZERO).is_open());
    }
}
