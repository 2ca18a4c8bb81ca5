//! Reads topics back, as any consumer does: every partition from a place on, without a group and without commits.
//!
//! Owns the client and how far each partition was read. Promises that records of a partition come in the order of their
//! offsets, each once; that what retention removed before it was read is said and never skipped in silence; that only
//! what is committed is read; and that at most a few megabytes are read ahead. Must not know what is in the records.

mod client;
mod error;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use crate::clock;

pub use client::Settings;
use client::{Context, config};
pub use error::ConsumerError;

/// How many events one [`Consumer::poll`] hands on at most, so that its caller gets to look at the time.
const AT_ONCE: usize = 1000;
/// A moment: for the client's threads to say what they have to say, and between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that is kept.
    Earliest,
    /// With what comes from now on.
    Now,
}

/// What there is to hear.
#[derive(Debug)]
pub enum Event<'a> {
    /// A record.
    Record(Record<'a>),
    /// Records before `earliest` were removed by retention, and will never be read.
    Removed {
        /// Of this topic.
        topic: &'a str,
        /// And partition.
        partition: i32,
        /// The oldest offset that is kept.
        earliest: i64,
    },
}

/// A record, as long as it is looked at.
#[derive(Debug)]
pub struct Record<'a> {
    message: BorrowedMessage<'a>,
}

impl Record<'_> {
    /// Its topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.message.topic()
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.message.partition()
    }

    /// Its offset.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.message.offset()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.message.payload()
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = self.message.headers()?;
        headers.iter().find(|header| header.key == name)?.value
    }
}

/// One partition, and how far it was read.
#[derive(Debug, Clone)]
struct Part {
    topic: Arc<str>,
    partition: i32,
    next: i64,
    /// Where reading ends; what comes later is for another time.
    end: i64,
    /// The client says that nothing is left before the end (the end may be a transaction's mark, which is no record).
    drained: bool,
}

impl Part {
    fn is_read(&self) -> bool {
        self.drained || self.next >= self.end
    }
}

/// Reads partitions.
pub struct Consumer {
    client: BaseConsumer<Context>,
    brokers: String,
    patience: Duration,
    parts: Vec<Part>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    /// Makes a client; nobody is asked yet.
    ///
    /// # Errors
    /// When librdkafka does not take the settings.
    pub fn new(settings: &Settings) -> Result<Self, ConsumerError> {
        let context = Context::default();
        let client = config(settings)
            .create_with_context(context)
            .map_err(|error: KafkaError| ConsumerError::Settings(error.to_string()))?;
        Ok(Self {
            client,
            brokers: settings.brokers.join(","),
            patience: settings.patience,
            parts: Vec::new(),
        })
    }

    /// The topics of the cluster, internal ones included.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn topics(&self) -> Result<Vec<String>, ConsumerError> {
        let metadata = self.client.fetch_metadata(None, self.patience);
        let metadata = metadata.map_err(|error| self.explain("", &error))?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect())
    }

    /// Begins with a topic, and with it alone; tells of partitions whose first records were removed. Returns how many
    /// offsets lie between here and the end as it is now.
    ///
    /// # Errors
    /// When there is no such topic, it may not be read, or no broker answers.
    pub fn begin(
        &mut self,
        topic: &str,
        start: Start,
        hear: &mut dyn FnMut(Event<'_>),
    ) -> Result<u64, ConsumerError> {
        self.parts.clear();
        let name: Arc<str> = topic.into();
        for partition in self.partitions(topic)? {
            let (earliest, end) = self.offsets(topic, partition)?;
            let next = match start {
                Start::Earliest => earliest,
                Start::Now => end,
            };
            if start == Start::Earliest && earliest > 0 {
                hear(Event::Removed {
                    topic,
                    partition,
                    earliest,
                });
            }
            self.parts.push(Part {
                topic: name.clone(),
                partition,
                next,
                end,
                drained: false,
            });
        }
        self.assign()?;
        Ok(self.left())
    }

    /// How many offsets lie before the end, as it was when it was last asked for.
    #[must_use]
    pub fn left(&self) -> u64 {
        let parts = self.parts.iter().filter(|part| !part.is_read());
        parts
            .map(|part| u64::try_from(part.end - part.next).unwrap_or(0))
            .sum()
    }

    /// Whether everything before the end was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.parts.iter().all(Part::is_read)
    }

    /// Moves the end to where it is now.
    ///
    /// # Errors
    /// When no broker answers; the end then is where it was.
    pub fn extend(&mut self) -> Result<(), ConsumerError> {
        let ends: Result<Vec<i64>, _> = self
            .parts
            .iter()
            .map(|part| Ok(self.offsets(&part.topic, part.partition)?.1))
            .collect();
        for (part, end) in self.parts.iter_mut().zip(ends?) {
            (part.end, part.drained) = (end, false);
        }
        // "Drained" that was said of the old end may still be on its way; it does not outlive a new assignment.
        self.assign()
    }

    /// Waits up to `wait` for something to hear, and hands on what there is, up to a bound; how many records it was.
    /// A broker that does not answer is waited for.
    ///
    /// # Errors
    /// When it cannot go on: no rights, no topic, a client of no more use, or a place to go on that cannot be found.
    pub fn poll(&mut self, wait: Duration, hear: &mut dyn FnMut(Event<'_>)) -> Result<usize, ConsumerError> {
        let mut heard = 0;
        let mut wait = wait;
        for _ in 0..AT_ONCE {
            match self.client.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    heard += usize::from(hand_on(&mut self.parts, message, hear));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => self.drained(partition),
                Some(Err(KafkaError::MessageConsumption(code))) if is_gone(code) => {
                    self.find_again(hear)?;
                }
                Some(Err(error)) => self.endure(&error)?,
            }
            wait = Duration::ZERO;
        }
        Ok(heard)
    }

    fn partitions(&self, topic: &str) -> Result<Vec<i32>, ConsumerError> {
        let metadata = self.client.fetch_metadata(Some(topic), self.patience);
        let metadata = metadata.map_err(|error| self.explain(topic, &error))?;
        let found = metadata.topics().iter().find(|known| known.name() == topic);
        let found = found.ok_or_else(|| ConsumerError::UnknownTopic(topic.into()))?;
        if let Some(error) = found.error() {
            return Err(self.refusal(topic, error.into()));
        }
        if found.partitions().is_empty() {
            return Err(ConsumerError::UnknownTopic(topic.into()));
        }
        Ok(found
            .partitions()
            .iter()
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect())
    }

    /// The oldest offset that is kept, and the end. A partition whose leader changes (its topic was just made, or a broker
    /// came back) has none for a moment.
    fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), ConsumerError> {
        let until = clock::mono().after(self.patience);
        loop {
            match self.client.fetch_watermarks(topic, partition, self.patience) {
                Ok(offsets) => return Ok(offsets),
                Err(error) if is_passing(&error) && clock::mono() < until => std::thread::sleep(ELECTION),
                Err(error) => return Err(self.explain(topic, &error)),
            }
        }
    }

    /// Tells the client where to read on, in every partition.
    fn assign(&self) -> Result<(), ConsumerError> {
        let mut list = TopicPartitionList::new();
        let added = self.parts.iter().try_for_each(|part| {
            list.add_partition_offset(&part.topic, part.partition, Offset::Offset(part.next))
        });
        added
            .and_then(|()| self.client.assign(&list))
            .map_err(|error| ConsumerError::Fatal(error.to_string()))
    }

    fn drained(&mut self, partition: i32) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.partition == partition) {
            part.drained = true;
        }
    }

    /// A place to read on is gone: retention has overtaken us, or the topic was made anew.
    fn find_again(&mut self, hear: &mut dyn FnMut(Event<'_>)) -> Result<(), ConsumerError> {
        for index in 0..self.parts.len() {
            let Some(Part {
                topic,
                partition,
                next,
                ..
            }) = self.parts.get(index).cloned()
            else {
                break;
            };
            let (earliest, end) = self.offsets(&topic, partition)?;
            if next > end {
                return Err(ConsumerError::Fatal(format!(
                    "topic {topic} was cut short or made anew while it was read"
                )));
            }
            if earliest > next {
                hear(Event::Removed {
                    topic: &topic,
                    partition,
                    earliest,
                });
                if let Some(part) = self.parts.get_mut(index) {
                    part.next = earliest;
                }
            }
        }
        std::thread::sleep(PAUSE);
        self.assign()
    }

    /// Goes on after errors that pass.
    fn endure(&mut self, error: &KafkaError) -> Result<(), ConsumerError> {
        let code = error.rdkafka_error_code();
        let topic = self.parts.first().map(|part| part.topic.to_string());
        let topic = topic.unwrap_or_default();
        match code {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                Err(ConsumerError::Fatal(error.to_string()))
            }
            Some(
                code @ (Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic),
            ) => Err(self.refusal(&topic, code)),
            _ => {
                tracing::debug!(%error, "the consumer goes on");
                Ok(())
            }
        }
    }

    fn explain(&self, topic: &str, error: &KafkaError) -> ConsumerError {
        let Some(code) = error.rdkafka_error_code() else {
            return ConsumerError::Fatal(error.to_string());
        };
        self.listen_to_complaints();
        self.refusal(topic, code)
    }

    /// Complaints are heard by polling. While partitions are read that is done all the time, and here nothing that was
    /// read may be lost.
    fn listen_to_complaints(&self) {
        for _ in 0..AT_ONCE {
            if !self.parts.is_empty() || self.client.poll(PAUSE).is_none() {
                return;
            }
        }
    }

    fn refusal(&self, topic: &str, code: Code) -> ConsumerError {
        match code {
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                ConsumerError::UnknownTopic(topic.to_owned())
            }
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::InvalidTopic => ConsumerError::Refused {
                topic: topic.to_owned(),
                why: code.to_string(),
            },
            // What is left is a broker that did not answer, or not with what was asked for.
            code => ConsumerError::Unreachable {
                brokers: self.brokers.clone(),
                why: self
                    .client
                    .context()
                    .complaint()
                    .or_else(|| Some(code.to_string())),
            },
        }
    }
}

/// Hands on a record that is before the end, once; whether it was one.
fn hand_on(parts: &mut [Part], message: BorrowedMessage<'_>, hear: &mut dyn FnMut(Event<'_>)) -> bool {
    let (partition, offset) = (message.partition(), message.offset());
    let part = parts
        .iter_mut()
        .find(|part| part.partition == partition && *part.topic == *message.topic());
    let Some(part) = part.filter(|part| offset >= part.next) else {
        return false;
    };
    part.next = offset + 1;
    part.drained = false;
    hear(Event::Record(Record { message }));
    true
}

fn is_gone(code: Code) -> bool {
    matches!(code, Code::AutoOffsetReset | Code::OffsetOutOfRange)
}

/// Between two looks for a partition's leader.
const ELECTION: Duration = Duration::from_millis(100);

/// Whether the partition only waits for its leader.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::NotLeaderForPartition | Code::LeaderNotAvailable)
    )
}
