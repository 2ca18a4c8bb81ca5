//! What the client says, on its polling thread: deliveries, errors, log lines.
//!
//! Owns the way from librdkafka's callbacks to events and to the log. Promises that a broken link gives a line now and
//! then, not a flood, and that nothing here blocks for long. Must not know lanes, or what is sent.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers as _, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;

use super::ask::Questions;
use super::errors::{Class, Refusal, loses_client, refusal};
use super::under_way::{Gauge, UnderWay, Verdict, cost};
use crate::clock::{self, Mono};
use crate::format::Record;
use crate::forward::broker::{BrokerEvent, Events};
use crate::ticket::Ticket;

/// What is known of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Up,
    /// It was up, and then something went wrong somewhere.
    Suspect,
    Down,
}

#[derive(Debug)]
struct Link {
    state: LinkState,
    /// How many things went wrong so far.
    doubts: u64,
}

/// What all clients of one broker have in common, one after the other.
pub(super) struct Shared {
    pub(super) events: Events,
    pub(super) gauge: Gauge,
    pub(super) clients: AtomicU32,
    link: Mutex<Link>,
    link_changed: Condvar,
    /// The last certain knowledge.
    link_is_up: AtomicBool,
    last_error: Mutex<Option<Arc<str>>>,
    lines: Mutex<Lines>,
    /// Tickets in which a record may be at fault.
    suspects: Mutex<Vec<Arc<Ticket>>>,
    /// What is asked about topics.
    pub(super) questions: Questions,
    /// Topics with which something is wrong.
    doubts: Mutex<Vec<Box<str>>>,
    /// Records that have arrived, or may have, and are sent again with the rest of their ticket.
    pub(super) possible_duplicates: AtomicU64,
}

impl Shared {
    pub(super) fn new(events: Events, window: usize) -> Arc<Self> {
        Arc::new(Self {
            events,
            gauge: Gauge::new(window),
            clients: AtomicU32::new(0),
            link: Mutex::new(Link {
                state: LinkState::Down,
                doubts: 0,
            }),
            link_changed: Condvar::new(),
            link_is_up: AtomicBool::new(false),
            last_error: Mutex::new(None),
            lines: Mutex::new(Lines::default()),
            suspects: Mutex::new(Vec::new()),
            questions: Questions::default(),
            doubts: Mutex::new(Vec::new()),
            possible_duplicates: AtomicU64::new(0),
        })
    }

    fn suspect_ticket(&self, ticket: Arc<Ticket>) {
        self.suspects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ticket);
        (self.events)(BrokerEvent::Room);
    }

    /// The tickets in which a record may be at fault; each is given once.
    pub(super) fn suspects(&self) -> Vec<Arc<Ticket>> {
        std::mem::take(&mut *self.suspects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A record was not taken. What is wrong with its topic has to be asked about again.
    pub(super) fn refused(&self, ticket: &UnderWay, refusal: Refusal, record: &Record<'_>) {
        if refusal.class == Class::Misconfigured {
            let mut doubts = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
            if !doubts.iter().any(|known| **known == *record.topic) {
                doubts.push(record.topic.into());
            }
        }
        ticket.refused(refusal, record);
    }

    /// The topics that have to be asked about again; each is given once.
    pub(super) fn doubts(&self) -> Vec<Box<str>> {
        std::mem::take(&mut *self.doubts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All of a ticket's records are dealt with: counts those that will come twice.
    pub(super) fn note(&self, ticket: &UnderWay, verdict: &Verdict) {
        let again = ticket.comes_again(verdict);
        self.possible_duplicates.fetch_add(again, Ordering::Relaxed);
    }

    pub(super) fn is_up(&self) -> bool {
        self.link_is_up.load(Ordering::Acquire)
    }

    /// What a question to the brokers has shown. An answer is old news when something went wrong since it was asked.
    pub(super) fn set_link(&self, up: bool, doubts: u64) {
        let mut link = self.lock_link();
        link.state = match up {
            true if link.doubts == doubts => LinkState::Up,
            true => LinkState::Suspect,
            false => LinkState::Down,
        };
        self.link_changed.notify_all();
        drop(link);
        if self.link_is_up.swap(up, Ordering::AcqRel) == up {
            return;
        }
        if up {
            tracing::info!("Kafka can be reached");
        } else {
            tracing::warn!(error = self.last_error().as_deref(), "Kafka cannot be reached");
        }
        (self.events)(BrokerEvent::Link(up));
    }

    /// Something went wrong with a connection: whoever watches the link has to look.
    fn suspect_link(&self) {
        let mut link = self.lock_link();
        link.doubts += 1;
        if link.state == LinkState::Up {
            link.state = LinkState::Suspect;
            self.link_changed.notify_all();
        }
    }

    /// Waits until there is doubt about the link, or `ended` says that it does not matter any more. Returns whether it
    /// was up before, and the number of doubts that [`Shared::set_link`] wants back.
    pub(super) fn wait_for_doubt(&self, ended: &AtomicBool) -> (bool, u64) {
        let waited = self.link_changed.wait_while(self.lock_link(), |link| {
            link.state == LinkState::Up && !ended.load(Ordering::Acquire)
        });
        let link = waited.unwrap_or_else(PoisonError::into_inner);
        (link.state == LinkState::Suspect, link.doubts)
    }

    /// Waits until the link is not known to be down, or `ended` says that it does not matter any more.
    pub(super) fn wait_for_link(&self, ended: &AtomicBool) {
        let waited = self.link_changed.wait_while(self.lock_link(), |link| {
            link.state == LinkState::Down && !ended.load(Ordering::Acquire)
        });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for that long, or until somebody wakes all waiters.
    pub(super) fn wait_a_little(&self, span: Duration) {
        let waited = self.link_changed.wait_timeout(self.lock_link(), span);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn wake_waiters(&self) {
        let _link = self.lock_link();
        self.link_changed.notify_all();
    }

    fn lock_link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_error(&self) -> Option<Arc<str>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_last_error(&self, text: &str) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.into());
    }

    fn may_say(&self, what: &str) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.may_say(what, clock::mono())
    }
}

/// One client's callbacks.
pub(super) struct Context {
    shared: Arc<Shared>,
    /// Whether it was said that this client is lost, or does not matter because it is being replaced.
    lost: AtomicBool,
}

impl Context {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            lost: AtomicBool::new(false),
        }
    }

    /// Whether this client takes nothing any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// The client is being replaced: what it still says is not about its successor.
    pub(super) fn retire(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether this call is the one that has to say so.
    pub(super) fn becomes_lost(&self) -> bool {
        !self.lost.swap(true, Ordering::AcqRel)
    }

    fn failed(&self, error: &KafkaError, message: &BorrowedMessage<'_>, ticket: &UnderWay) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let record = as_sent(message);
        let refusal = refusal(code, record.topic);
        if loses_client(code) && self.becomes_lost() {
            (self.shared.events)(BrokerEvent::Lost(refusal.why.clone()));
        }
        self.shared.refused(ticket, refusal, &record);
    }
}

/// The record as it was handed over.
fn as_sent<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let (first, last) = sequences(message);
    Record {
        topic: message.topic(),
        key: message.key().unwrap_or_default(),
        value: message.payload().unwrap_or_default(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
        first,
        last,
    }
}

/// The sequence numbers that the record carries, of the first and of the last reading in it.
fn sequences(message: &BorrowedMessage<'_>) -> (u64, u64) {
    let headers = message.headers();
    let value = headers.and_then(|headers| {
        let mut all = headers.iter();
        all.find(|header| header.key == super::headers::SEQ)?.value
    });
    let text = value
        .and_then(|value| std::str::from_utf8(value).ok())
        .unwrap_or("");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().unwrap_or(0);
    (number(first), number(last))
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        if matches!(level, RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug) {
            tracing::debug!(facility = fac, line, "librdkafka");
        } else if let Some(unsaid) = self.shared.may_say(fac) {
            tracing::warn!(facility = fac, line, unsaid, "librdkafka");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if self.is_lost() {
            return;
        }
        self.shared.suspect_link();
        if code == RDKafkaErrorCode::AllBrokersDown {
            return;
        }
        self.shared.set_last_error(reason);
        if loses_client(code) {
            if self.becomes_lost() {
                tracing::warn!(reason, "the Kafka client is lost and will be replaced");
                (self.shared.events)(BrokerEvent::Lost(reason.into()));
            }
        } else if let Some(unsaid) = self.shared.may_say(&format!("{code:?}")) {
            tracing::warn!(reason, unsaid, "Kafka client error");
        }
    }

    /// Never asked for: `statistics.interval.ms` may come from the user.
    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<UnderWay>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<UnderWay>) {
        let message = match result {
            Ok(message) => {
                ticket.arrived_in(message.partition());
                message
            }
            Err((error, message)) => {
                self.failed(error, message, &ticket);
                message
            }
        };
        let cost = cost(
            message.key().map_or(0, <[u8]>::len),
            message.payload().map_or(0, <[u8]>::len),
        );
        let mut room = self.shared.gauge.remove(cost);
        room |= ticket.partition().is_some_and(|partition| partition.done());
        let verdict = ticket.done();
        verdict
            .iter()
            .for_each(|verdict| self.shared.note(&ticket, verdict));
        match verdict {
            Some(Verdict::Report(report)) => (self.shared.events)(BrokerEvent::Report(report)),
            // Whoever hands over records is told by the same event as when there is room.
            Some(Verdict::Prove(ticket)) => self.shared.suspect_ticket(ticket),
            None => {}
        }
        if room {
            (self.shared.events)(BrokerEvent::Room);
        }
    }
}

/// Keeps the log readable while a broker is away: a line of one kind at most this often.
const SAY_AGAIN: Duration = Duration::from_secs(60);
/// More kinds of lines than librdkafka has; beyond it the memory starts anew.
const KINDS: usize = 128;

/// Which kinds of lines were said when, and how many were not since.
#[derive(Debug, Default)]
struct Lines(HashMap<String, (Mono, u64)>);

impl Lines {
    /// Whether to say it: then how many of the kind were left unsaid before.
    fn may_say(&mut self, what: &str, now: Mono) -> Option<u64> {
        if let Some((said, unsaid)) = self.0.get_mut(what) {
            if now.since(*said) < SAY_AGAIN {
                *unsaid += 1;
                return None;
            }
            *said = now;
            return Some(std::mem::take(unsaid));
        }
        if self.0.len() >= KINDS {
            self.0.clear();
        }
        self.0.insert(what.to_owned(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_one_kind_is_said_once_a_minute_with_a_count() {
        let mut lines = Lines::default();
        let at = |seconds: u64| Mono(seconds * 1_000_000_000);
        for (what, seconds, expect) in [
            ("FAIL", 1, Some(0)),
            ("FAIL", 2, None),
            ("RESOLVE", 2, Some(0)),
            ("FAIL", 60, None),
            ("FAIL", 61, Some(2)),
            ("FAIL", 62, None),
            ("FAIL", 200, Some(1)),
        ] {
            assert_eq!(lines.may_say(what, at(seconds)), expect, "{what} at {seconds}");
        }
        for kind in 0..1000 {
            lines.may_say(&kind.to_string(), at(300));
            assert!(lines.0.len() <= KINDS);
        }
    }
}
