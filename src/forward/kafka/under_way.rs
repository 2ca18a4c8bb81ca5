//! What is under way with the client: tickets until their last record is reported, and how much memory that takes.
//!
//! Owns two counters with one promise each: a ticket is reported exactly once, by whoever takes care of its last record;
//! and whoever was told that there is no room is told once when there is. Must not know the client library.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::errors::{Class, outcome};
use crate::ticket::{Outcome, Report, TicketId};

/// A ticket of which records are under way. Every record holds one reference.
#[derive(Debug)]
pub(super) struct UnderWay {
    ticket: TicketId,
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

impl UnderWay {
    pub(super) fn new(ticket: TicketId) -> Arc<Self> {
        Arc::new(Self {
            ticket,
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

    /// One record is dealt with, or the handing over is finished: the report, when that was the last one.
    pub(super) fn done(&self) -> Option<Report> {
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        let worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = worst.map_or(Outcome::Delivered, |fault| {
            outcome(fault.class, fault.sequence, fault.why)
        });
        Some(Report {
            ticket: self.ticket,
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
    use super::*;

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
            let under_way = UnderWay::new(TicketId(7));
            (0..5).for_each(|_| under_way.add());
            for (class, sequence) in faults {
                under_way.fault(class, sequence, || format!("{class:?} {sequence}").into());
            }
            for _ in 0..5 {
                assert_eq!(under_way.done(), None);
            }
            let report = under_way.done().unwrap();
            assert_eq!((report.ticket, report.outcome), (TicketId(7), expect));
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
