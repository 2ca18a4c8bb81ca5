//! Asking about topics: nothing is produced to one before a broker has said that it is there and may be used.
//!
//! librdkafka would take the records and hold them for half a minute; and once it knows that a topic is absent, it would
//! not look again for minutes. So each topic is asked about by name: before the first record, and again whenever something
//! was wrong with it. Owns the questions and their answers. Promises that nobody asks while no broker can be reached, that
//! each question is answered once, and that no thread is there while there is nothing to ask. Must not know tickets.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::Producer;
use super::context::Shared;
use super::errors::{Class, class, why};
use crate::forward::broker::BrokerEvent;
use crate::template::MAX_TOPIC;

/// So that thousands of topics do not wait for one round trip each in turn.
const ASKERS: usize = 4;
/// How long one question may take.
const ASK: Duration = Duration::from_secs(5);
/// Between two questions about the same topic.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A topic that was just made is not known to every broker at once: so often it may be absent before it is.
const TRIES: u32 = 4;

/// What a broker said: the topic may be used, or why not.
pub(super) type Answer = Result<(), Arc<str>>;

/// All that is asked and answered.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Arc<str>>,
    answers: Vec<(Arc<str>, Answer)>,
    askers: usize,
}

impl Questions {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more question.
    pub(super) fn ask(&self, topic: &Arc<str>) {
        self.lock().waiting.push_back(topic.clone());
    }

    /// Whether another thread is wanted; who is told so has to be one, or to say [`Questions::leave`].
    pub(super) fn wants_asker(&self) -> bool {
        let mut inner = self.lock();
        let wanted = inner.askers < ASKERS && inner.askers < inner.waiting.len();
        inner.askers += usize::from(wanted);
        wanted
    }

    /// The next question; `None` ends the asker.
    fn next(&self) -> Option<Arc<str>> {
        let mut inner = self.lock();
        let next = inner.waiting.pop_front();
        inner.askers -= usize::from(next.is_none());
        next
    }

    /// An asker ends, with a question that another one has to ask.
    fn leave(&self, unasked: Arc<str>) {
        let mut inner = self.lock();
        inner.waiting.push_front(unasked);
        inner.askers -= 1;
    }

    /// No asker could be made.
    pub(super) fn no_asker(&self) {
        self.lock().askers -= 1;
    }

    /// An answer, whether or not somebody has asked.
    pub(super) fn answer(&self, topic: Arc<str>, answer: Answer) {
        self.lock().answers.push((topic, answer));
    }

    /// The answers that came since.
    pub(super) fn answers(&self) -> Vec<(Arc<str>, Answer)> {
        std::mem::take(&mut self.lock().answers)
    }
}

/// What the metadata say of a topic; `None` when they say nothing that is certain.
pub(super) fn judge(metadata: &Metadata, topic: &str) -> Option<Answer> {
    let found = metadata.topics().iter().find(|found| found.name() == topic)?;
    match found.error().map(Code::from) {
        None if found.partitions().is_empty() => None,
        None => Some(Ok(())),
        Some(code) if class(code) == Class::Misconfigured => Some(Err(why(code, topic))),
        Some(_) => None,
    }
}

/// A thread's body: asks until there is nothing to ask, or its client is replaced.
pub(super) fn run(producer: &Weak<Producer>, ended: &AtomicBool, shared: &Shared) {
    while let Some(topic) = shared.questions.next() {
        let Some(answer) = ask(producer, ended, shared, &topic) else {
            return shared.questions.leave(topic);
        };
        shared.questions.answer(topic, answer);
        // Whoever hands over records looks for answers at the same event.
        (shared.events)(BrokerEvent::Room);
    }
}

/// The answer; `None` when the client is replaced.
fn ask(producer: &Weak<Producer>, ended: &AtomicBool, shared: &Shared, topic: &str) -> Option<Answer> {
    if topic.is_empty() || topic.len() > MAX_TOPIC || topic.contains('\0') {
        // The client library cannot even ask.
        return Some(Err(why(Code::InvalidTopic, topic)));
    }
    let mut tries = 0;
    loop {
        shared.wait_for_link(ended);
        if ended.load(Ordering::Acquire) {
            return None;
        }
        let metadata = producer.upgrade()?.client().fetch_metadata(Some(topic), ASK);
        let answer = match metadata {
            Ok(metadata) => judge(&metadata, topic),
            Err(KafkaError::MetadataFetch(_)) => None,
            // A name that cannot be asked about.
            Err(_) => return Some(Err(why(Code::InvalidTopic, topic))),
        };
        match answer {
            Some(Ok(())) => return Some(Ok(())),
            Some(Err(reason)) => {
                tries += 1;
                if tries >= TRIES {
                    return Some(Err(reason));
                }
            }
            None => {}
        }
        shared.wait_a_little(ASK_AGAIN);
    }
}
