//! What is under way with the client: tickets until their last record is reported, and how much memory that takes.
//!
//! Owns two counters with one promise each: a ticket is reported exactly once, by whoever takes care of its last record;
//! and whoever was told that there is no room is told once when there is. Must not know the client library.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::errors::{Class, Refusal, outcome};
use super::turns::{Partition, Turn};
use crate::format::Record;
use crate::ticket::{DeadRecord, Outcome, Report, Ticket};

/// A ticket of which records are under way. Every record holds one reference.
#[derive(Debug)]
pub(super) struct UnderWay {
    ticket: Arc<Ticket>,
    /// Where it goes; `None` when each of its records is a batch of its own: what fails is at fault itself.
    turn: Option<Turn>,
    /// Records not reported yet; one more until all of them were handed to the client.
    left: AtomicUsize,
    /// Records that were acknowledged, or that may have arrived though they were not.
    arrived: AtomicUsize,
    faults: Mutex<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    worst: Option<Worst>,
    /// Records that were refused alone, for what they are.
    dead: Vec<Arc<DeadRecord>>,
}

#[derive(Debug)]
struct Worst {
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
    /// With records in batches as they come, or (`None`) each alone.
    pub(super) fn new(ticket: Arc<Ticket>, turn: Option<Turn>) -> Arc<Self> {
        Arc::new(Self {
            ticket,
            turn,
            left: AtomicUsize::new(1),
            arrived: AtomicUsize::new(0),
            faults: Mutex::default(),
        })
    }

    /// One more record is about to be handed to the client.
    pub(super) fn add(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether each of its records is a batch of its own.
    pub(super) fn alone(&self) -> bool {
        self.turn.is_none()
    }

    /// The partition that its records are counted in.
    pub(super) fn partition(&self) -> Option<&Arc<Partition>> {
        self.turn.as_ref()?.partition.as_ref()
    }

    /// A record was acknowledged, or may have been.
    pub(super) fn arrived(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// A record was acknowledged by that partition's leader.
    pub(super) fn arrived_in(&self, partition: i32) {
        self.arrived();
        if let Some(turn) = &self.turn {
            turn.way.learn(partition);
        }
    }

    /// A record was not taken. One that was alone is at fault itself.
    pub(super) fn refused(&self, refusal: Refusal, record: &Record<'_>) {
        if refusal.may_have_arrived {
            self.arrived();
        }
        let is_dead = self.alone()
            && match refusal.class {
                Class::Record => true,
                Class::TooLarge => record.first == record.last,
                Class::Again | Class::Misconfigured | Class::Client => false,
            };
        if !is_dead {
            return self.fault(refusal.class, record.first, refusal.why);
        }
        let dead = DeadRecord {
            sensor: self.ticket.def.id.clone(),
            epoch: self.ticket.epoch,
            first: record.first,
            last: record.last,
            fault: refusal.fault,
            why: refusal.why,
            topic: record.topic.to_owned(),
            key: record.key.to_vec(),
            value: record.value.to_vec(),
            timestamp_ms: record.timestamp_ms,
        };
        self.lock().dead.push(Arc::new(dead));
    }

    /// Something went wrong with a record, or with all of them. Of equally bad ones the first counts.
    pub(super) fn fault(&self, class: Class, sequence: u64, why: Arc<str>) {
        let worst = &mut self.lock().worst;
        let is_worse = worst
            .as_ref()
            .is_none_or(|known| class > known.class || (class == known.class && sequence < known.sequence));
        if is_worse {
            *worst = Some(Worst { class, sequence, why });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One record is dealt with, or the handing over is finished: the verdict, when that was the last one.
    pub(super) fn done(&self) -> Option<Verdict> {
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return None;
        }
        let Faults { worst, mut dead } = std::mem::take(&mut *self.lock());
        let Some(worst) = worst else {
            dead.sort_by_key(|record| record.first);
            let all = dead.is_empty();
            let outcome = if all {
                Outcome::Delivered
            } else {
                Outcome::RecordAtFault(dead)
            };
            return Some(self.verdict(outcome));
        };
        if matches!(worst.class, Class::Record | Class::TooLarge) && !self.alone() {
            return Some(Verdict::Prove(self.ticket.clone()));
        }
        Some(self.verdict(outcome(worst.class, worst.why)))
    }

    /// How many of its records arrived, or may have, and are sent again after this verdict.
    pub(super) fn comes_again(&self, verdict: &Verdict) -> u64 {
        match verdict {
            Verdict::Report(Report {
                outcome: Outcome::Delivered | Outcome::RecordAtFault(_),
                ..
            }) => 0,
            Verdict::Report(_) | Verdict::Prove(_) => self.arrived.load(Ordering::Relaxed) as u64,
        }
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
    use super::super::turns::Turns;
    use super::*;
    use crate::reading::SensorNo;
    use crate::ticket::{Fault, TicketId};

    fn ticket() -> Arc<Ticket> {
        Arc::new(readings(7, 5))
    }

    fn record(sequence: u64) -> Record<'static> {
        Record {
            topic: "t",
            key: b"k",
            value: b"v",
            timestamp_ms: 1,
            first: sequence,
            last: sequence,
        }
    }

    fn refusal(class: Class, sequence: u64) -> Refusal {
        Refusal {
            class,
            fault: Fault::InvalidTimestamp,
            may_have_arrived: class == Class::Client,
            why: format!("{class:?} {sequence}").into(),
        }
    }

    /// What a ticket of five records that fail so comes to.
    fn verdict(alone: bool, faults: &[(Class, u64)]) -> (Verdict, u64) {
        let turn = Turns::<()>::default().turn(SensorNo(0), "good");
        let under_way = UnderWay::new(ticket(), (!alone).then_some(turn));
        (0..5).for_each(|_| under_way.add());
        for (class, sequence) in faults {
            under_way.refused(refusal(*class, *sequence), &record(*sequence));
        }
        (faults.len()..5).for_each(|_| under_way.arrived());
        for _ in 0..5 {
            assert!(under_way.done().is_none());
        }
        let verdict = under_way.done().expect("that was the last one");
        let again = under_way.comes_again(&verdict);
        (verdict, again)
    }

    #[test]
    fn the_worst_record_decides_and_the_last_one_reports() {
        use Class::{Again, Client, Misconfigured, Record, TooLarge};
        let why = |text: &str| -> Arc<str> { text.into() };
        for (faults, expect, again) in [
            (vec![], Outcome::Delivered, 0),
            (vec![(Again, 3)], Outcome::GivenUp(why("Again 3")), 4),
            (
                vec![(Misconfigured, 2), (Record, 1)],
                Outcome::Misconfigured(why("Misconfigured 2")),
                3,
            ),
            (
                vec![(Client, 8), (Misconfigured, 1)],
                Outcome::ClientLost(why("Client 8")),
                4,
            ),
            (
                vec![(Again, 3), (TooLarge, 4)],
                Outcome::GivenUp(why("Again 3")),
                3,
            ),
        ] {
            let (verdict, twice) = verdict(true, &faults);
            let Verdict::Report(report) = verdict else {
                panic!("no report");
            };
            assert_eq!((report.ticket, report.outcome), (TicketId(7), expect));
            assert_eq!(twice, again, "{faults:?}");
        }
    }

    #[test]
    fn a_record_is_at_fault_only_when_it_was_alone() {
        for (class, proves) in [
            (Class::Again, false),
            (Class::TooLarge, true),
            (Class::Record, true),
            (Class::Misconfigured, false),
        ] {
            let (found, _) = verdict(false, &[(class, 1)]);
            assert_eq!(matches!(found, Verdict::Prove(_)), proves, "{class:?}");
        }
        let (found, again) = verdict(
            true,
            &[(Class::Record, 9), (Class::TooLarge, 5), (Class::Record, 7)],
        );
        let Verdict::Report(Report {
            outcome: Outcome::RecordAtFault(dead),
            ..
        }) = found
        else {
            panic!("{found:?}");
        };
        let dead: Vec<_> = dead.iter().map(|record| (record.first, &*record.why)).collect();
        assert_eq!(dead, [(5, "TooLarge 5"), (7, "Record 7"), (9, "Record 9")]);
        assert_eq!(again, 0);
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
