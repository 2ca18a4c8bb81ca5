//! Dead letters on their way: a ticket's word that records are dead goes on only when they are kept.
//!
//! A broker around a broker. Owns one thread, which keeps letters while the forwarder goes on. Promises that nobody hears
//! of a dead record before its letter is on the medium, so that it may be released; and that one which cannot be kept
//! halts its lane with the reason, so that it is tried again and nothing is lost. Must not know lanes, or who refused.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::broker::{Broker, BrokerError, BrokerEvent, BrokerStatus, Busy, Events};
use crate::clock::{self, Mono};
use crate::format;
use crate::queue::dead::{Content, DeadError, DeadLetters, Letter};
use crate::ticket::{DeadRecord, Outcome, Report, Ticket};

/// What waits to be kept: a report for each lane at most, since a lane has one ticket under way.
#[derive(Default)]
struct Waiting {
    reports: Mutex<VecDeque<Report>>,
    more: Condvar,
    ended: AtomicBool,
}

impl Waiting {
    fn push(&self, report: Report) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push_back(report);
        self.more.notify_one();
    }

    fn end(&self) {
        let _reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        self.ended.store(true, Ordering::Release);
        self.more.notify_one();
    }

    /// The next report; `None` when there will be none.
    fn next(&self) -> Option<Report> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(report) = reports.pop_front() {
                return Some(report);
            }
            if self.ended.load(Ordering::Acquire) {
                return None;
            }
            reports = self.more.wait(reports).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The broker around a broker.
pub struct Burial {
    inner: Box<dyn Broker>,
    thread: Thread,
}

/// The thread, which ends with this.
struct Thread(Arc<Waiting>);

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Burial {
    /// Around the broker that `inner` makes, given where its events go. `device` is this gateway's name.
    ///
    /// # Errors
    /// When there is no such broker, or no thread.
    pub fn start(
        device: String,
        letters: Arc<DeadLetters>,
        events: Events,
        inner: impl FnOnce(Events) -> Result<Box<dyn Broker>, BrokerError>,
    ) -> Result<Self, BrokerError> {
        let waiting = Arc::new(Waiting::default());
        let (theirs, out) = (waiting.clone(), events.clone());
        let inner = inner(Arc::new(move |event| match event {
            BrokerEvent::Report(report) if is_dead(&report) => theirs.push(report),
            other => out(other),
        }))?;
        let ours = waiting.clone();
        let thread = thread::Builder::new().name("dead-letters".to_owned());
        let work = move || {
            while let Some(report) = ours.next() {
                events(BrokerEvent::Report(bury(&device, &letters, report)));
            }
        };
        thread.spawn(work).map_err(BrokerError::Thread)?;
        let thread = Thread(waiting);
        Ok(Self { inner, thread })
    }
}

fn is_dead(report: &Report) -> bool {
    matches!(report.outcome, Outcome::RecordAtFault(_))
}

/// Keeps the letters of a report; what may be said of its ticket then.
fn bury(device: &str, letters: &DeadLetters, report: Report) -> Report {
    let Outcome::RecordAtFault(dead) = &report.outcome else {
        return report;
    };
    let kept_at = format::utc(format::millis(clock::wall()));
    let all: Vec<Letter> = dead
        .iter()
        .map(|record| letter(device, &kept_at, record))
        .collect();
    match letters.keep(&all) {
        Ok(()) => {
            for record in dead {
                let (sensor, sequence, why) = (&record.sensor, record.first, &record.why);
                tracing::warn!(%sensor, sequence, why = &**why, "a record is refused for good and kept as a dead letter");
            }
            report
        }
        Err(error) => {
            let (hint, source) = match &error {
                DeadError::Full => ("; its files may be moved away", String::new()),
                DeadError::Io { source, .. } => ("", format!(": {source}")),
            };
            let first = dead.first().map_or("", |record| &*record.why);
            tracing::warn!(error = %error, "a dead letter cannot be kept: its sensor waits");
            let folder = letters.folder().display();
            let why = format!("{first}; {error}{source} in {folder}{hint}");
            Report {
                outcome: Outcome::Misconfigured(why.into()),
                ..report
            }
        }
    }
}

fn letter(device: &str, kept_at: &str, record: &DeadRecord) -> Letter {
    Letter {
        device: device.to_owned(),
        sensor_id: record.sensor.to_string(),
        epoch: record.epoch.0,
        from: record.first,
        through: record.last,
        reason: record.fault.name().to_owned(),
        why: record.why.to_string(),
        topic: record.topic.clone(),
        key: String::from_utf8_lossy(&record.key).into_owned(),
        timestamp: record.timestamp_ms,
        kept_at: kept_at.to_owned(),
        record: Content::new(&record.value),
    }
}

impl Broker for Burial {
    fn send(&mut self, ticket: Arc<Ticket>) -> Result<(), Busy> {
        self.inner.send(ticket)
    }

    fn resume(&mut self) {
        self.inner.resume();
    }

    fn ready(&mut self) -> Option<Report> {
        loop {
            let report = self.inner.ready()?;
            if !is_dead(&report) {
                return Some(report);
            }
            self.thread.0.push(report);
        }
    }

    fn renew(&mut self) -> Result<(), BrokerError> {
        self.inner.renew()
    }

    fn reachable(&self) -> bool {
        self.inner.reachable()
    }

    fn deadline(&self) -> Option<Mono> {
        self.inner.deadline()
    }

    fn status(&self) -> BrokerStatus {
        self.inner.status()
    }

    fn leave(self: Box<Self>) {
        self.inner.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;
    use crate::forward::broker::scripted::scripted;
    use crate::queue::types::OutputNo;
    use crate::reading::{Epoch, SensorDef, SensorId, SensorNo};
    use crate::ticket::{Fault, TicketId};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn ticket(id: u64) -> Ticket {
        Ticket {
            id: TicketId(id),
            output: OutputNo(0),
            sensor: SensorNo(0),
            def: Arc::new(SensorDef {
                id: SensorId::new("shed").unwrap(),
                measurements: Vec::new(),
                tags: Vec::new(),
            }),
            epoch: Epoch(7),
            spans: Vec::new(),
        }
    }

    fn dead(sequence: u64, length: usize) -> Arc<DeadRecord> {
        Arc::new(DeadRecord {
            sensor: SensorId::new("shed").unwrap(),
            epoch: Epoch(7),
            first: sequence,
            last: sequence,
            fault: Fault::InvalidTimestamp,
            why: "too far ahead".into(),
            topic: "readings".into(),
            key: b"shed".to_vec(),
            value: vec![b'x'; length],
            timestamp_ms: 5,
        })
    }

    #[test]
    fn a_dead_record_is_reported_when_it_is_kept_and_halts_when_it_cannot_be() {
        let queue = tempfile::tempdir().unwrap();
        let letters = Arc::new(DeadLetters::of(queue.path()));
        let (sender, events) = sync_channel(100);
        let mut script = None;
        let to_us: Events = Arc::new(move |event| sender.send(event).unwrap_or_default());
        let mut burial = Burial::start("gw".into(), letters.clone(), to_us, |events| {
            let (broker, handle) = scripted(10, events);
            script = Some(handle);
            Ok(Box::new(broker))
        })
        .unwrap();
        let script = script.unwrap();
        let mut report = |id, outcome| {
            burial.send(Arc::new(ticket(id))).unwrap();
            assert!(script.report(TicketId(id), outcome));
            match events.recv_timeout(PATIENCE).expect("a report") {
                BrokerEvent::Report(report) => report.outcome,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(report(1, Outcome::Delivered), Outcome::Delivered);
        let refused = Outcome::RecordAtFault(vec![dead(3, 10), dead(5, 10)]);
        assert_eq!(report(2, refused.clone()), refused);
        let kept: Vec<u64> = letters
            .letters()
            .unwrap()
            .map(|letter| letter.unwrap().from)
            .collect();
        assert_eq!(kept, [3, 5], "on the medium before the word goes on");
        let halted = report(3, Outcome::RecordAtFault(vec![dead(6, 9 << 20)]));
        let Outcome::Misconfigured(why) = halted else {
            panic!("{halted:?}");
        };
        assert!(
            why.starts_with("too far ahead; the dead letters have reached their bound of 8 MiB in ")
                && why.ends_with("/dead; its files may be moved away"),
            "{why}"
        );
        assert_eq!(letters.figures().letters, 2);
    }
}
