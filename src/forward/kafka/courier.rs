//! Sends single records and says which were acknowledged: for dead letters, apart from all that is under way.
//!
//! Owns a client of its own, which packs every record alone, so that one that is refused costs no other; and which gives up
//! after a while. Blocks while it sends. Must not know what it sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::Settings;
use super::headers::Common;
use crate::forward::broker::BrokerError;
use crate::queue::dead::Letter;
use crate::reading::Epoch;

/// How long one record may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One record.
pub(super) struct Parcel {
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) timestamp: i64,
    pub(super) headers: OwnedHeaders,
}

/// What became of each record, by its number.
type Words = Arc<Mutex<BTreeMap<usize, Result<(), String>>>>;

struct Listener(Words);

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        tracing::debug!(?level, facility = fac, line, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client error");
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Listener {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let word = match result {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(words(error)),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(number, word);
    }
}

fn words(error: &KafkaError) -> String {
    error
        .rdkafka_error_code()
        .map_or_else(|| error.to_string(), |code| code.to_string())
}

/// The client.
pub(super) struct Courier {
    producer: BaseProducer<Listener>,
    words: Words,
}

impl Courier {
    /// With the settings of the main client, but for what is said above.
    pub(super) fn new(settings: &Settings) -> Result<Self, BrokerError> {
        let words = Words::default();
        let mut config = settings.client_config();
        config.set("message.timeout.ms", PATIENCE.as_millis().to_string());
        config.set("batch.num.messages", "1");
        config.set("topic.metadata.propagation.max.ms", "2000");
        let producer = BaseProducer::from_config_and_context(&config, Listener(words.clone()))
            .map_err(|error| BrokerError::Settings(error.to_string()))?;
        Ok(Self { producer, words })
    }

    /// Sends them, and waits until something is known of each.
    pub(super) fn send(&self, parcels: Vec<Parcel>) -> Vec<Result<(), String>> {
        let count = parcels.len();
        self.lock().clear();
        for (number, parcel) in parcels.into_iter().enumerate() {
            if let Err(error) = self.hand_over(number, &parcel) {
                self.lock().insert(number, Err(words(&error)));
            }
        }
        if let Err(error) = self.producer.flush(PATIENCE * 2) {
            tracing::debug!(%error, "not everything is reported");
        }
        let mut all = std::mem::take(&mut *self.lock());
        let unknown = || Err("nothing was heard of it".to_owned());
        (0..count)
            .map(|number| all.remove(&number).unwrap_or_else(unknown))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Result<(), String>>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(&self, number: usize, parcel: &Parcel) -> Result<(), KafkaError> {
        loop {
            let record = BaseRecord::with_opaque_to(&parcel.topic, number)
                .key(&parcel.key)
                .payload(&parcel.value)
                .timestamp(parcel.timestamp)
                .headers(parcel.headers.clone());
            match self.producer.send(record) {
                Err((error, _)) if error.rdkafka_error_code() == Some(Code::QueueFull) => {
                    self.producer.poll(Duration::from_millis(100));
                }
                other => return other.map_err(|(error, _)| error),
            }
        }
    }
}

/// The headers that a letter's record had.
pub(super) fn headers(settings: &Settings, letter: &Letter) -> OwnedHeaders {
    let sensor = (letter.sensor_id.as_str(), Epoch(letter.epoch));
    Common::of_sensor(&letter.device, &settings.headers, sensor).of_readings(letter.from, letter.through)
}
