//! The child's other work: opens a queue whose files were damaged, delivers all that is left, and holds the ledger to it.
//!
//! Owns what may be and what may not. Readings may be gone, but then they are counted as dropped and it is said; what is
//! delivered is right; numbers are not used twice; it opens, goes on, and opens again in silence.

use std::path::Path;

use edgespool::queue::appender::Commit;
use edgespool::queue::open::{Finding, Queue};
use edgespool::queue::types::OutputNo;
use edgespool::ticket::Ticket;

use crate::Failure;
use crate::book::{Book, Life, Seen};
use crate::drain::drain;
use crate::plan::{Plan, Report};
use crate::queue::{open_queue, told};
use crate::readings::{self, SENSORS};
use crate::verify::{BOOT, ON, ON_READINGS, ordinary, write_on};

/// Faults that are told one by one.
const TOLD: usize = 8;

/// Verifies a queue's directory whose files were damaged.
pub fn salvaged(directory: &Path, plan: &Plan) -> Report {
    let mut check = Check {
        plan,
        report: Report::default(),
        book: Book::default(),
        seen: Seen::default(),
    };
    if let Err(error) = check.all(directory) {
        check.report.faults.insert(0, error.to_string());
    }
    check.report.faults.truncate(TOLD);
    check.report
}

struct Check<'a> {
    plan: &'a Plan,
    report: Report,
    book: Book,
    seen: Seen,
}

impl Check<'_> {
    fn all(&mut self, directory: &Path) -> Result<(), Failure> {
        let stored = self.plan.after.last().cloned().unwrap_or_default();
        self.book.add(Life::first(self.plan.epoch, stored.clone()));
        let open = |boot, epoch| open_queue(directory, self.plan.size, boot, epoch);
        let mut queue =
            open(BOOT, self.plan.epoch + 1).map_err(|error| format!("it does not open: {error}"))?;
        self.findings(&queue);
        self.deliver(&mut queue, "after the damage")?;
        write_on(&mut queue, self.plan, &mut self.book)?;
        self.numbers(&stored);
        drop(queue);
        let mut queue =
            open(BOOT, self.plan.epoch + 2).map_err(|error| format!("it does not open again: {error}"))?;
        if !queue.findings.iter().all(ordinary) {
            let words = format!("opened again, it says {:?}", queue.findings);
            self.report.faults.push(words);
        }
        self.deliver(&mut queue, "after writing on")?;
        self.written_on();
        self.lost(&stored);
        self.ledger(&queue, &stored);
        Ok(())
    }

    /// What it says of damage. That it is a copy, and draws a new epoch for it, is no news: all that is opened here are copies.
    fn findings(&mut self, queue: &Queue) {
        let of_copies = |finding: &Finding| matches!(finding, Finding::Moved | Finding::Renewed { .. });
        let worth = queue
            .findings
            .iter()
            .filter(|finding| !ordinary(finding) && !of_copies(finding));
        self.report.findings = worth.map(|finding| format!("{finding:?}")).collect();
    }

    /// Delivers what there is, and stores that it was.
    fn deliver(&mut self, queue: &mut Queue, when: &str) -> Result<(), Failure> {
        let spool = queue.spools.first().ok_or("no output")?;
        let mut tickets = Vec::new();
        let damaged = drain(spool, |ticket| tickets.push(ticket.clone()))?;
        self.report.findings.extend(damaged);
        for ticket in &tickets {
            self.ticket(ticket, when);
        }
        queue
            .appender
            .commit(Commit::default(), readings::moment(2_000_000))
            .map_err(told)?;
        Ok(())
    }

    fn ticket(&mut self, ticket: &Ticket, when: &str) {
        let (epoch, sensor) = (ticket.epoch.0, ticket.sensor.0);
        let name = format!("cellar-{sensor}");
        if ticket.def.id.as_str() != name {
            self.fault(format!(
                "{when}, sensor {sensor} is called {} and not {name}",
                ticket.def.id
            ));
        }
        for piece in ticket.spans.iter().flat_map(|span| &span.pieces) {
            for index in piece.from..piece.to {
                let sequence = piece.run.first + index as u64;
                let place = format!("{when}, epoch {epoch} sensor {sensor} sequence {sequence}");
                match self.book.reading(self.plan.seed, epoch, sensor, sequence) {
                    None => self.fault(format!("{place}: never stored")),
                    Some(stored) => match readings::difference(&piece.run, index, &stored) {
                        Some(difference) => self.fault(format!("{place}: {difference}")),
                        None => self.report.right += 1,
                    },
                }
            }
            if !self.seen.add(epoch, sensor, piece.first(), piece.last()) {
                let range = format!("{} to {}", piece.first(), piece.last());
                self.fault(format!(
                    "{when}, epoch {epoch} sensor {sensor}: {range} came twice or late"
                ));
            }
        }
    }

    /// No number of the same epoch was given to another reading (I5).
    fn numbers(&mut self, stored: &[u64]) {
        let Some(life) = self.book.last().cloned() else {
            return;
        };
        for (sensor, (first, stored)) in life.first.iter().zip(stored).enumerate() {
            if life.epoch == self.plan.epoch && first <= stored {
                self.fault(format!(
                    "sensor {sensor}: the numbers from {first} to {stored} were given twice"
                ));
            }
        }
    }

    fn fault(&mut self, words: String) {
        if self.report.faults.len() < TOLD {
            self.report.faults.push(words);
        }
    }

    fn written_on(&mut self) {
        let Some(life) = self.book.last().cloned() else {
            return;
        };
        for (sensor, (first, count)) in (0..).zip(life.first.iter().zip(&life.count)) {
            let lost = self.seen.missing(life.epoch, sensor, *first, first + count - 1);
            if lost > 0 {
                self.fault(format!(
                    "sensor {sensor}: {lost} of {count} readings that were written on are lost"
                ));
            }
        }
    }

    fn lost(&mut self, stored: &[u64]) {
        for (sensor, stored) in (0..).zip(stored) {
            let released = self.plan.released.get(sensor as usize).copied().unwrap_or(0);
            self.report.lost += self.seen.missing(self.plan.epoch, sensor, released + 1, *stored);
        }
        if self.report.lost > 0 && self.report.findings.is_empty() {
            let words = format!("{} readings are gone and nothing was said", self.report.lost);
            self.fault(words);
        }
    }

    /// accepted = delivered + dropped, nothing queued, and what is gone is what was dropped: for each sensor.
    fn ledger(&mut self, queue: &Queue, stored: &[u64]) {
        let written = ON * ON_READINGS / u64::from(SENSORS);
        let sensors = queue.observer.sensors();
        for (number, stored) in (0..).zip(stored) {
            let released = self.plan.released.get(number as usize).copied().unwrap_or(0);
            let lost = self.seen.missing(self.plan.epoch, number, released + 1, *stored);
            let Some(sensor) = sensors.get(number as usize) else {
                self.report
                    .miscounted
                    .push(format!("sensor {number} is not known any more"));
                continue;
            };
            let ledger = sensor.ledger(OutputNo(0));
            self.report.counted += ledger.dropped;
            let right = ledger.accepted == stored + written && ledger.queued == 0 && ledger.dropped == lost;
            if !right {
                let words = format!(
                    "sensor {number}: of {} readings {lost} are lost, but the ledger says {ledger:?}",
                    stored + written
                );
                self.report.miscounted.push(words);
            }
        }
    }
}
