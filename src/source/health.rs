//! How a source is doing: its faults and its counters, for `status`, the log and the ledger.
//!
//! Owns the state of one source: a bounded set of named faults, the worst of which is the source's state, and counters
//! that only rise. Promises that a change of state is logged, and that a fault which comes and goes cannot flood the
//! log. Must not know what kind of source it belongs to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, Mono};
use crate::event::{Event, Kind};
use crate::intake::inbox::Inbox;
use crate::reading::Stamp;

/// Faults that are kept apart; what comes beyond is shown only when another has gone.
const MAX_FAULTS: usize = 64;
/// The bytes of a bad line that are shown.
const SHOWN_LINE: usize = 160;
/// Changes of state that may be logged at once, and how long it takes until one more may.
const LOG_BURST: u32 = 10;
const LOG_REFILL: Duration = Duration::from_secs(10);
/// How long a single mishap is shown.
const PASSING: Duration = Duration::from_secs(60);

/// The state of a source, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All that it reads works.
    #[default]
    Ok,
    /// It reads, but not everything, or not well.
    Degraded,
    /// It reads nothing.
    Failed,
}

/// What a source counts; all of it since it was made, and only rising.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Readings that the inbox has taken.
    pub readings: u64,
    /// Lines or messages that gave no reading: they did not match, were too long, or were no text.
    pub bad_lines: u64,
    /// Values that were no number where the sensor gives numbers.
    pub bad_values: u64,
    /// Frames with a wrong checksum.
    pub crc_errors: u64,
    /// Frames that were broken otherwise.
    pub frame_errors: u64,
    /// How often a good frame was found again after broken ones.
    pub resyncs: u64,
    /// Readings that came again and were stored already.
    pub duplicates: u64,
    /// Old messages that a broker had kept and sent because of a subscription, and that are no reading.
    pub retained: u64,
    /// Readings that the upstream itself declared lost.
    pub lost_upstream: u64,
    /// How often a port or bus that was lost was opened again.
    pub reopenings: u64,
    /// Reads of a sensor that failed.
    pub read_errors: u64,
    /// Readings that were not taken in time because the one before took too long.
    pub missed: u64,
}

#[derive(Debug)]
struct Fault {
    state: State,
    why: String,
    since: Stamp,
    /// When it is over, unless it is renewed.
    until: Option<Mono>,
}

#[derive(Debug)]
struct Inner {
    faults: BTreeMap<Box<str>, Fault>,
    counters: Counters,
    state: State,
    since: Stamp,
    last_reading: Option<Stamp>,
    last_bad_line: Option<String>,
    log: LogBudget,
}

/// The health of one source, shared by it and by whoever reports it.
#[derive(Debug)]
pub struct Health {
    label: Arc<str>,
    clock: Arc<Clock>,
    /// Who is told of faults.
    inbox: Option<Arc<Inbox>>,
    inner: Mutex<Inner>,
}

/// One fault, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownFault {
    /// What is at fault: "port", a sensor's ID, a node.
    pub what: Box<str>,
    /// How bad it is for the source.
    pub state: State,
    /// Why, for people.
    pub why: String,
    /// Since when, in milliseconds since 1970 UTC.
    pub since: i64,
}

/// All of a source's health at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The source.
    pub label: String,
    /// The worst of its faults.
    pub state: State,
    /// Why it is not ok: the worst fault, and how many more there are.
    pub why: Option<String>,
    /// When it came into this state, in milliseconds since 1970 UTC.
    pub since: i64,
    /// How long ago that is, in milliseconds; right also when somebody has set the clock.
    pub since_age: u64,
    /// When it last handed in a reading, in milliseconds since 1970 UTC.
    pub last_reading: Option<i64>,
    /// How long ago that is, in milliseconds.
    pub last_reading_age: Option<u64>,
    /// All faults.
    pub faults: Vec<ShownFault>,
    /// The last line that gave no reading, shortened, what is no text replaced.
    pub last_bad_line: Option<String>,
    /// The counters.
    pub counters: Counters,
}

impl Health {
    /// A source that is ok and has counted nothing.
    #[must_use]
    pub fn new(label: Arc<str>, clock: Arc<Clock>) -> Self {
        let since = clock.stamp();
        let inner = Inner {
            faults: BTreeMap::new(),
            counters: Counters::default(),
            state: State::Ok,
            since,
            last_reading: None,
            last_bad_line: None,
            log: LogBudget::new(),
        };
        Self {
            label,
            clock,
            inbox: None,
            inner: Mutex::new(inner),
        }
    }

    /// Tells of faults and recoveries as events, too.
    #[must_use]
    pub fn telling(self, inbox: Arc<Inbox>) -> Self {
        Self {
            inbox: Some(inbox),
            ..self
        }
    }

    fn tell(&self, what: &str, now: Stamp, kind: Kind, why: &str) {
        if let Some(inbox) = &self.inbox {
            let label = &self.label;
            let reason = match why {
                "" => format!("{label}: {what}"),
                why => format!("{label}: {what}: {why}"),
            };
            inbox.tell_change(&format!("{label}\n{what}"), now, Event::new(kind, reason));
        }
    }

    /// Notes a fault of a part of the source, which stays until it is cleared; the same part and state again only
    /// renews why.
    pub fn fault(&self, what: &str, state: State, why: impl Into<String>) {
        self.note(what, state, why.into(), None);
    }

    /// Notes a mishap that nothing clears: a degradation that is over when it has not come again for a minute.
    pub fn mishap(&self, what: &str, why: impl Into<String>) {
        self.note(what, State::Degraded, why.into(), Some(PASSING));
    }

    fn note(&self, what: &str, state: State, why: String, lasts: Option<Duration>) {
        let now = self.clock.stamp();
        let until = lasts.map(|span| Mono(now.mono).after(span));
        let mut inner = self.lock();
        self.expire(&mut inner, now);
        let full = inner.faults.len() >= MAX_FAULTS;
        match inner.faults.get_mut(what) {
            Some(fault) if fault.state == state => {
                fault.why = why;
                fault.until = until;
                return;
            }
            None if full => return,
            _ => {}
        }
        inner.log.say(Mono(now.mono), |unsaid| match state {
            State::Failed => tracing::warn!(source = &*self.label, what, why, unsaid, "source failed"),
            _ => tracing::warn!(source = &*self.label, what, why, unsaid, "source degraded"),
        });
        self.tell(what, now, Kind::SourceFault, &why);
        inner.faults.insert(
            what.into(),
            Fault {
                state,
                why,
                since: now,
                until,
            },
        );
        inner.settle(now);
    }

    /// Notes that a part of the source works.
    pub fn clear(&self, what: &str) {
        let mut inner = self.lock();
        if inner.faults.remove(what).is_none() {
            return;
        }
        let now = self.clock.stamp();
        inner.log.say(Mono(now.mono), |unsaid| {
            tracing::info!(source = &*self.label, what, unsaid, "source recovered");
        });
        self.tell(what, now, Kind::SourceRecovered, "");
        inner.settle(now);
    }

    /// Counts something.
    pub fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.lock().counters);
    }

    /// Counts readings that the inbox has taken, just now.
    pub fn taken(&self, readings: usize) {
        if readings > 0 {
            let now = self.clock.stamp();
            let mut inner = self.lock();
            inner.counters.readings += readings as u64;
            inner.last_reading = Some(now);
        }
    }

    /// Counts a line that gave no reading, and keeps it to be shown.
    pub fn bad_line(&self, line: &[u8]) {
        let shown = shown(line);
        let mut inner = self.lock();
        inner.counters.bad_lines += 1;
        inner.last_bad_line = Some(shown);
    }

    /// Keeps a line to be shown that gave a reading, but not a good one.
    pub fn odd_line(&self, line: &[u8], values: u64) {
        let shown = shown(line);
        let mut inner = self.lock();
        inner.counters.bad_values += values;
        inner.last_bad_line = Some(shown);
    }

    /// The worst state of all faults.
    #[must_use]
    pub fn state(&self) -> State {
        let now = self.clock.stamp();
        let mut inner = self.lock();
        self.expire(&mut inner, now);
        inner.state
    }

    /// Everything, as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let stamp = self.clock.stamp();
        let now = Mono(stamp.mono);
        let mut inner = self.lock();
        self.expire(&mut inner, stamp);
        Snapshot {
            label: self.label.to_string(),
            state: inner.state,
            why: inner.why(),
            since: millis(inner.since),
            since_age: age(inner.since, now),
            last_reading: inner.last_reading.map(millis),
            last_reading_age: inner.last_reading.map(|stamp| age(stamp, now)),
            faults: inner.shown_faults(),
            last_bad_line: inner.last_bad_line.clone(),
            counters: inner.counters.clone(),
        }
    }

    /// Mishaps that have not come again for long enough are over.
    fn expire(&self, inner: &mut Inner, now: Stamp) {
        let before = inner.faults.len();
        inner.faults.retain(|what, fault| {
            let stays = fault.until.is_none_or(|until| until > Mono(now.mono));
            if !stays {
                self.tell(what, now, Kind::SourceRecovered, "");
            }
            stays
        });
        if inner.faults.len() < before {
            inner.settle(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn settle(&mut self, now: Stamp) {
        let state = self
            .faults
            .values()
            .map(|fault| fault.state)
            .max()
            .unwrap_or_default();
        if state != self.state {
            self.state = state;
            self.since = now;
        }
    }

    /// The oldest of the worst faults, and how many others there are.
    fn why(&self) -> Option<String> {
        let worst = self.faults.iter().filter(|(_, fault)| fault.state == self.state);
        let (what, fault) = worst.min_by_key(|(_, fault)| fault.since.mono)?;
        Some(match self.faults.len() - 1 {
            0 => format!("{what}: {}", fault.why),
            more => format!("{what}: {} (and {more} more)", fault.why),
        })
    }

    fn shown_faults(&self) -> Vec<ShownFault> {
        let show = |what: &str, fault: &Fault| ShownFault {
            what: what.into(),
            state: fault.state,
            why: fault.why.clone(),
            since: millis(fault.since),
        };
        self.faults
            .iter()
            .map(|(what, fault)| show(what, fault))
            .collect()
    }
}

/// What a line looks like to people: its start, without control characters.
fn shown(line: &[u8]) -> String {
    let (head, cut) = match line.get(..SHOWN_LINE) {
        Some(head) if line.len() > SHOWN_LINE => (head, "…"),
        _ => (line, ""),
    };
    let text = String::from_utf8_lossy(head);
    let mut shown: String = text
        .chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect();
    shown.push_str(cut);
    shown
}

fn millis(stamp: Stamp) -> i64 {
    stamp.wall.div_euclid(1_000_000)
}

fn age(stamp: Stamp, now: Mono) -> u64 {
    u64::try_from(now.since(Mono(stamp.mono)).as_millis()).unwrap_or(u64::MAX)
}

/// Bounds what one source writes into the log.
#[derive(Debug)]
struct LogBudget {
    left: u32,
    since: Mono,
    unsaid: u64,
}

impl LogBudget {
    fn new() -> Self {
        Self {
            left: LOG_BURST,
            since: Mono(0),
            unsaid: 0,
        }
    }

    /// Says it with the number of lines that were left out before, or leaves it out.
    fn say(&mut self, now: Mono, say: impl FnOnce(u64)) {
        let refills = now.since(self.since).as_secs() / LOG_REFILL.as_secs();
        if refills > 0 {
            self.left = LOG_BURST.min(
                self.left
                    .saturating_add(u32::try_from(refills).unwrap_or(u32::MAX)),
            );
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                say(std::mem::take(&mut self.unsaid));
            }
            None => self.unsaid += 1,
        }
    }
}

#[cfg(test)]
mod tests;
