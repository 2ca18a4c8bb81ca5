//! The client behind the consumer: its settings, and its complaints.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// Whom to ask, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// The client's name in the broker's logs and quotas.
    pub client_id: String,
    /// Passed on to librdkafka as they are: TLS, credentials.
    pub librdkafka: Vec<(String, String)>,
    /// How long an answer is waited for before the broker counts as out of reach.
    pub patience: Duration,
}

/// Keeps the client's last complaint, for errors of ours.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    complaint: Arc<Mutex<Option<String>>>,
}

impl Context {
    fn complain(&self, words: &str) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(words.to_owned());
    }

    /// The last thing that the client complained of.
    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // "1/1 brokers are down" says less than what came before it.
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown) {
            self.complain(reason);
        }
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Context {}

/// librdkafka's settings, each with its reason where it is not plain.
pub(super) fn config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in [
        // The client wants a group's name even for partitions that it is told; it joins none and commits nothing.
        ("group.id", "edgespool-audit"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "error"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("check.crcs", "true"),
        // Little is read ahead: the reader is faster than the network.
        ("queued.max.messages.kbytes", "4096"),
        ("queued.min.messages", "10000"),
        ("fetch.message.max.bytes", "524288"),
        ("fetch.wait.max.ms", "100"),
        ("socket.keepalive.enable", "true"),
        ("reconnect.backoff.ms", "100"),
        ("reconnect.backoff.max.ms", "500"),
        ("topic.metadata.refresh.interval.ms", "60000"),
        ("statistics.interval.ms", "0"),
        ("enable.metrics.push", "false"),
        ("ssl.ca.location", "probe"),
    ] {
        config.set(name, value);
    }
    for (name, value) in &settings.librdkafka {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("client.id", &settings.client_id)
        .set("allow.auto.create.topics", "false");
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}
