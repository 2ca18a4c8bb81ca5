//! What the demo found: the agent's ledger, the topic, and what the nodes say, side by side.
//!
//! Owns the judgement and its exit code. Pure.

use std::fmt;

use serde::Serialize;

use super::oracle::Comparison;
use crate::audit::{Report, Verdict};
use crate::queue::fold::Ledger;

/// All that the judgement needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the agent says.
    pub ledger: Ledger,
    /// What the topic says.
    pub report: Report,
    /// What the nodes say of the topic.
    pub nodes: Comparison,
}

/// The object for programs, and the judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    accepted: u64,
    delivered: u64,
    queued: u64,
    dead: u64,
    dropped: u64,
    missing: u64,
    duplicated: u64,
    #[serde(skip)]
    verdict: Verdict,
    #[serde(skip)]
    sentence: String,
}

impl Outcome {
    /// Judges.
    #[must_use]
    pub fn of(found: &Found) -> Self {
        let Found {
            ledger,
            report,
            nodes,
        } = found;
        // One loss shows in several places: the nodes' values, holes in the topic, the agent's word against the topic.
        let not_queued = nodes.missing + nodes.behind.saturating_sub(ledger.queued);
        let not_there = ledger.delivered.saturating_sub(report.readings());
        let missing = not_queued.max(report.missing()).max(not_there);
        let mut outcome = Self {
            accepted: ledger.accepted,
            delivered: ledger.delivered,
            queued: ledger.queued,
            dead: ledger.dead,
            dropped: ledger.dropped,
            missing,
            duplicated: report.duplicates(),
            verdict: Verdict::Well,
            sentence: String::new(),
        };
        let faults = outcome.faults(report, nodes);
        let doubts = outcome.doubts(report);
        (outcome.verdict, outcome.sentence) = match (faults.is_empty(), doubts.is_empty()) {
            (true, true) => (
                Verdict::Well,
                format!(
                    "well: all {} acknowledged readings are in Kafka, in order",
                    nodes.acknowledged
                ),
            ),
            (false, _) => (Verdict::Faulty, format!("faulty: {}", faults.join("; "))),
            (true, false) => (
                Verdict::Inconclusive,
                format!("inconclusive: {}", doubts.join("; ")),
            ),
        };
        outcome
    }

    /// What is proven to be wrong.
    fn faults(&self, report: &Report, nodes: &Comparison) -> Vec<String> {
        let kept = self.delivered + self.queued + self.dead + self.dropped;
        [
            (self.missing, "readings missing"),
            (report.disorder().max(nodes.disorder), "readings out of order"),
            (report.split_keys.len() as u64, "keys in more than one partition"),
            (nodes.strange, "records that no node wrote"),
            (self.dead, "readings given up as dead letters"),
            (self.dropped, "readings dropped by the queue"),
            (
                self.accepted.abs_diff(kept),
                "readings that the ledger cannot place",
            ),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{what}: {count}"))
        .collect()
    }

    /// What keeps it from being well.
    fn doubts(&self, report: &Report) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.accepted == 0 {
            doubts.push("no reading arrived".to_owned());
        }
        if self.queued > 0 {
            doubts.push(format!("{} readings wait in the queue still", self.queued));
        }
        if report.inconclusive() > 0 {
            doubts.push(format!(
                "Kafka forgot {} readings before they were read",
                report.inconclusive()
            ));
        }
        if !report.complete {
            doubts.push("the topic could not be read to its end".to_owned());
        }
        doubts
    }

    /// The object for programs, on one line.
    #[must_use]
    pub fn json(&self) -> String {
        // Numbers only: nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The process's exit code: 0 well, 65 a fault is proven, 69 it could not be seen.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.verdict.exit_code()
    }

    /// The answer in one word.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            delivered,
            queued,
            dead,
            dropped,
            missing,
            duplicated,
            ..
        } = self;
        writeln!(
            f,
            "accepted {accepted} = delivered {delivered} + queued {queued} + dead {dead} + dropped {dropped}"
        )?;
        writeln!(f, "missing {missing}, duplicated {duplicated}")?;
        write!(f, "verdict: {}", self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Heard, Strictness, Tally};

    /// A topic with these sequence numbers of one sensor.
    fn topic(sequences: &[u64], complete: bool) -> Report {
        let mut tally = Tally::new(None);
        let part = tally.part("t", 0);
        for (offset, sequence) in (0..).zip(sequences) {
            let seq = sequence.to_string();
            let heard = Heard {
                offset,
                key: Some(b"s"),
                device: Some(b"d"),
                epoch: Some(b"1"),
                seq: Some(seq.as_bytes()),
                ..Heard::default()
            };
            tally.record(part, &heard);
        }
        Report::of(&tally, complete, Strictness::DuplicatesAllowed)
    }

    fn ledger(accepted: u64, delivered: u64, queued: u64) -> Ledger {
        Ledger {
            accepted,
            delivered,
            queued,
            ..Ledger::default()
        }
    }

    fn nodes(acknowledged: u64, missing: u64, behind: u64) -> Comparison {
        Comparison {
            acknowledged,
            missing,
            behind,
            ..Comparison::default()
        }
    }

    #[test]
    fn all_three_must_agree() {
        use Verdict::{Faulty, Inconclusive, Well};
        let check = |name: &str, ledger, sequences: &[u64], nodes, expect: (Verdict, u64)| {
            let report = topic(sequences, true);
            let outcome = Outcome::of(&Found {
                ledger,
                report,
                nodes,
            });
            assert_eq!((outcome.verdict, outcome.missing), expect, "{name}: {outcome}");
        };
        let all: &[u64] = &[1, 2, 3];
        check("well", ledger(3, 3, 0), all, nodes(3, 0, 0), (Well, 0));
        check(
            "twice is well",
            ledger(3, 3, 0),
            &[1, 2, 2, 3],
            nodes(3, 0, 0),
            (Well, 0),
        );
        check(
            "lost before its number",
            ledger(3, 3, 0),
            all,
            nodes(4, 1, 0),
            (Faulty, 1),
        );
        check(
            "lost after its number",
            ledger(3, 3, 0),
            &[1, 3],
            nodes(3, 1, 0),
            (Faulty, 1),
        );
        check(
            "the last is lost",
            ledger(3, 3, 0),
            &[1, 2],
            nodes(3, 0, 1),
            (Faulty, 1),
        );
        check(
            "the last is queued",
            ledger(3, 2, 1),
            &[1, 2],
            nodes(3, 0, 1),
            (Inconclusive, 0),
        );
        check(
            "one queued, two behind",
            ledger(3, 2, 1),
            &[1, 2],
            nodes(4, 0, 2),
            (Faulty, 1),
        );
        check(
            "called delivered, not there",
            ledger(3, 3, 0),
            &[1, 2],
            nodes(0, 0, 0),
            (Faulty, 1),
        );
        check(
            "does not add up",
            ledger(4, 3, 0),
            all,
            nodes(3, 0, 0),
            (Faulty, 0),
        );
        check(
            "out of order",
            ledger(3, 3, 0),
            &[1, 3, 2],
            nodes(3, 0, 0),
            (Faulty, 0),
        );
        check(
            "nothing",
            Ledger::default(),
            &[],
            nodes(0, 0, 0),
            (Inconclusive, 0),
        );
        let dead = Ledger {
            dead: 1,
            ..ledger(4, 3, 0)
        };
        check("a dead letter", dead, all, nodes(3, 0, 0), (Faulty, 0));
        let strange = Comparison {
            strange: 1,
            ..nodes(3, 0, 0)
        };
        check("somebody else's", ledger(3, 3, 0), all, strange, (Faulty, 0));
        let unread = Found {
            ledger: ledger(3, 3, 0),
            report: topic(all, false),
            nodes: nodes(3, 0, 0),
        };
        assert_eq!(Outcome::of(&unread).exit_code(), 69);
    }

    #[test]
    fn programs_get_seven_numbers() {
        let found = Found {
            ledger: ledger(5, 4, 1),
            report: topic(&[1, 2, 2, 4], true),
            nodes: nodes(4, 1, 0),
        };
        let outcome = Outcome::of(&found);
        assert_eq!(
            outcome.json(),
            r#"{"accepted":5,"delivered":4,"queued":1,"dead":0,"dropped":0,"missing":1,"duplicated":1}"#
        );
        assert_eq!(outcome.exit_code(), 65);
        assert_eq!(
            outcome.to_string(),
            "accepted 5 = delivered 4 + queued 1 + dead 0 + dropped 0\nmissing 1, duplicated 1\nverdict: faulty: readings missing: 1"
        );
    }
}
