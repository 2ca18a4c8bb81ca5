//! What is under way with the client: tickets until their last record is reported, and how much memory that takes.
//!
//! Owns two counters with one promise each: a ticket is reported exactly once, by whoever takes care of its last record;
//! and whoever was told that there is no room is told once when there is. Must not know the client library.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::errors::{Class, outcome};
use crate::ticket::{Outcome, Report, Ticket};

/// A ticket of which records are under way. Every record holds one reference.
#[derive(Debug)]
pub(super) struct UnderWay {
    ticket: Arc<Ticket>,
    /// Each of its records is a batch of its own: what fails is at fault itself.
    alone: bool,
    /// Records not reported yet; one more until all of them were handed to the client.
    left: AtomicUsize,
    worst: Mutex<Option<Fault>>,
}

#[derive(Debug)]
struct Fault {
    class: Class,
    sequence: u64,
    why: Arc<str>,
}

/// What a ticket's last record leads to.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The ticket's report.
    Report(Report),
    /// A record of a batch is at fault, and nobody knows which: to be sent again, each record by itself.
    Prove(Arc<Ticket>),
}

impl UnderWay {
    /// With records in batches as they come, or each alone.
    pub(super) fn new(ticket: Arc<Ticket>, alone: bool) -> Arc<Self> {
        Arc::new(Self {
            ticket,
            alone,
            left: AtomicUsize::new(1),
            worst: Mutex::new(None),
        })
    }

    /// One more record is about to be handed to the client.
    pub(super) fn add(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// A record failed. Of equally bad ones the first counts.
    pub(super) fn fault(&self, class: Class, sequence: u64, why: impl FnOnce() -> Arc<str>) {
        let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        let is_worse = worst
            .as_ref()
            .is_none_or(|known| class > known.class || (class == known.class && sequence < known.sequence));
        if is_worse {
            *worst = Some(Fault {
                class,
                sequence,
                why: why(),
            });
        }
    }

    /// One record is dealt with, or the handing over is finished: the verdict, when that was the last one.
    pub(super) fn done(&self) -> Option<Verdict> {
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        let worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(fault) = worst else {
            return Some(self.verdict(Outcome::Delivered));
        };
        if fault.class == Class::Record && !self.alone {
            return Some(Verdict::Prove(self.ticket.clone()));
        }
        Some(self.verdict(outcome(fault.class, fault.sequence, fault.why)))
    }

    fn verdict(&self, outcome: Outcome) -> Verdict {
        Verdict::Report(Report {
            ticket: self.ticket.id,
            outcome,
        })
    }
}

/// About what a record takes in the client beside key and value: message, headers, queues.
const RECORD_COST: usize = 640;

/// The bytes that a record counts with.
pub(super) fn cost(key: usize, value: usize) -> usize {
    RECORD_COST + key + value
}

/// How much is under way.
#[derive(Debug)]
pub(super) struct Gauge {
    records: AtomicUsize,
    bytes: AtomicUsize,
    bound: usize,
    wanted: AtomicBool,
}

impl Gauge {
    /// Room for that many bytes; a single record always fits.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bound,
            wanted: AtomicBool::new(false),
        }
    }

    /// Whether there is room for one more. When not, [`Gauge::remove`] will say when there is.
    pub(super) fn has_room(&self) -> bool {
        if self.bytes.load(Ordering::Acquire) < self.bound {
            return true;
        }
        self.wanted.store(true, Ordering::SeqCst);
        // It may have run empty between the two looks; then nobody else would say so.
        if self.is_low(self.bytes.load(Ordering::SeqCst)) {
            self.wanted.store(false, Ordering::SeqCst);
            return true;
        }
        false
    }

    pub(super) fn add(&self, cost: usize) {
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(cost, Ordering::SeqCst);
    }

    /// One record less; true when somebody waits for room and now there is.
    pub(super) fn remove(&self, cost: usize) -> bool {
        self.records.fetch_sub(1, Ordering::Relaxed);
        let now = self.bytes.fetch_sub(cost, Ordering::SeqCst) - cost;
        self.is_low(now) && self.wanted.load(Ordering::SeqCst) && self.wanted.swap(false, Ordering::SeqCst)
    }

    /// To be told although there seems to be room: the client's own bounds were reached, or there is no client.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    pub(super) fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn is_low(&self, bytes: usize) -> bool {
        bytes <= self.bound / 2
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ticket as readings;
    use super::*;
    use crate::ticket::TicketId;

    fn ticket() -> Arc<Ticket> {
        Arc::new(readings(7, 5))
    }

    #[test]
    fn the_worst_record_decides_and_the_last_one_reports() {
        use Class::{Again, Client, Misconfigured, Record, TooLarge};
        let why = |text: &str| -> Arc<str> { text.into() };
        for (faults, expect) in [
            (vec![], Outcome::Delivered),
            (vec![(Again, 3)], Outcome::GivenUp(why("Again 3"))),
            (
                vec![(Again, 3), (TooLarge, 4)],
                Outcome::TooLarge(why("TooLarge 4")),
            ),
            (
                vec![(Record, 9), (Again, 1), (Record, 5), (Record, 7)],
                Outcome::RecordAtFault {
                    sequence: 5,
                    why: why("Record 5"),
                },
            ),
            (
                vec![(Misconfigured, 2), (Record, 1)],
                Outcome::Misconfigured(why("Misconfigured 2")),
            ),
            (
                vec![(Client, 8), (Misconfigured, 1)],
                Outcome::ClientLost(why("Client 8")),
            ),
        ] {
            let under_way = UnderWay::new(ticket(), true);
            (0..5).for_each(|_| under_way.add());
            for (class, sequence) in faults {
                under_way.fault(class, sequence, || format!("{class:?} {sequence}").into());
            }
            for _ in 0..5 {
                assert!(under_way.done().is_none());
            }
            let Some(Verdict::Report(report)) = under_way.done() else {
                panic!("no report");
            };
            assert_eq!((report.ticket, report.outcome), (TicketId(7), expect));
        }
    }

    #[test]
    fn a_record_is_at_fault_only_when_it_was_alone() {
        for (class, proves) in [
            (Class::Again, false),
            (Class::TooLarge, false),
            (Class::Record, true),
            (Class::Misconfigured, false),
        ] {
            let under_way = UnderWay::new(ticket(), false);
            under_way.fault(class, 1, || "why".into());
            let verdict = under_way.done();
            assert_eq!(matches!(verdict, Some(Verdict::Prove(_))), proves, "{class:?}");
        }
    }

    #[test]
    fn who_was_refused_is_told_once_when_half_is_free() {
        let gauge = Gauge::new(100);
        assert!(gauge.has_room());
        gauge.add(60);
        assert!(gauge.has_room());
        gauge.add(60);
        assert!(!gauge.has_room());
        gauge.add(20);
        assert!(!gauge.remove(60), "80 are under way");
        assert!(gauge.has_room());
        assert!(gauge.remove(60), "20 are under way");
        assert!(!gauge.remove(20), "told already");
        assert_eq!((gauge.records(), gauge.bytes()), (0, 0));
    }
}
