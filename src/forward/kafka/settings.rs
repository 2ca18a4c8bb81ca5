//! How the client is set up: every setting of librdkafka that this agent relies on, with its reason.
//!
//! Owns the translation of a device file's few keys into librdkafka's. Promises that what is passed through by the user
//! never wins over what a promise of the agent rests on. Must not know secrets' values beyond handing them on.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Whose word counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Every replica in sync.
    All,
    /// The partition's leader alone.
    Leader,
    /// Nobody.
    None,
}

/// What the agent decides about the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// This gateway's name: the client ID, and the `device` header.
    pub device: String,
    /// Compression in librdkafka's words: none, gzip, snappy, lz4, zstd.
    pub compression: String,
    /// Whose word counts as delivered.
    pub acks: Acks,
    /// Headers of every record, beside the agent's own.
    pub headers: Vec<(String, String)>,
    /// Bytes a second at most, before compression; `None`: as many as there are.
    pub max_rate: Option<u64>,
    /// Passed on to librdkafka as they are.
    pub librdkafka: Vec<(String, String)>,
}

/// What may be overridden by the pass-through map.
const DEFAULTS: &[(&str, &str)] = &[
    // Records that belong together are handed over within half of this; a batch that is full goes at once. Not longer:
    // readings have waited for their span already, and two layers that both wait add up.
    ("linger.ms", "20"),
    // As many as a partition's turn has (`turns`), and room for them and their headers in one request.
    ("batch.num.messages", "2048"),
    ("batch.size", "1000000"),
    ("message.max.bytes", "1000000"),
    // A dead connection is found within seconds, without traffic too.
    ("socket.keepalive.enable", "true"),
    ("socket.timeout.ms", "10000"),
    ("socket.connection.setup.timeout.ms", "3000"),
    ("socket.nagle.disable", "true"),
    // The first record goes within a second after the broker's port accepts again, however long that took.
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "500"),
    ("retry.backoff.ms", "100"),
    ("retry.backoff.max.ms", "500"),
    // Below the four minutes after which many NATs forget a connection.
    ("connections.max.idle.ms", "180000"),
    ("topic.metadata.refresh.interval.ms", "180000"),
    ("metadata.max.age.ms", "900000"),
    ("topic.metadata.propagation.max.ms", "30000"),
    ("broker.address.family", "any"),
    ("allow.auto.create.topics", "false"),
    // Reachability comes from events; statistics would wake the agent up.
    ("statistics.interval.ms", "0"),
    ("enable.metrics.push", "false"),
    ("log.connection.close", "false"),
    // A library linked statically finds the system's roots only when it is told to look for them. Unused without TLS.
    ("ssl.ca.location", "probe"),
    ("ssl.endpoint.identification.algorithm", "https"),
];

/// What promises rest on: nothing overrides these.
const FIXED: &[(&str, &str)] = &[
    // A timer never drops a reading: the durable queue owns expiry.
    ("message.timeout.ms", "0"),
    ("message.send.max.retries", "2147483647"),
    // The same partition as Java clients find.
    ("partitioner", "murmur2_random"),
    // Bounds that the client's own window keeps well below: the durable queue is the buffer.
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "65536"),
];

impl Settings {
    /// librdkafka's settings, in the order in which they are set: a later one wins.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut all: Vec<_> = DEFAULTS.iter().map(owned).collect();
        all.extend(self.librdkafka.iter().cloned());
        all.extend(FIXED.iter().chain(self.acks.settings()).map(owned));
        let own = [
            ("bootstrap.servers", self.brokers.join(",")),
            ("client.id", self.device.clone()),
            ("compression.type", self.compression.clone()),
        ];
        all.extend(own.map(|(name, value)| (name.to_owned(), value)));
        all
    }

    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.extend(self.properties());
        config
    }
}

impl Acks {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::All => &[
                ("acks", "all"),
                ("enable.idempotence", "true"),
                ("max.in.flight.requests.per.connection", "5"),
            ],
            // Idempotence needs acks=all. Without it a retry may overtake: order is kept by one request at a time.
            Self::Leader => &[
                ("acks", "1"),
                ("enable.idempotence", "false"),
                ("max.in.flight.requests.per.connection", "1"),
            ],
            Self::None => &[
                ("acks", "0"),
                ("enable.idempotence", "false"),
                ("max.in.flight.requests.per.connection", "1"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(acks: Acks, librdkafka: &[(&str, &str)]) -> Settings {
        Settings {
            brokers: vec!["a:1".to_owned(), "b:2".to_owned()],
            device: "gw".to_owned(),
            compression: "zstd".to_owned(),
            acks,
            headers: Vec::new(),
            max_rate: None,
            librdkafka: librdkafka
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn what_is_passed_through_wins_over_defaults_and_not_over_promises() {
        let passed = [("linger.ms", "50"), ("acks", "0"), ("message.timeout.ms", "1000")];
        let config = settings(Acks::All, &passed).client_config();
        for (name, expect) in [
            ("linger.ms", "50"),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "0"),
            ("bootstrap.servers", "a:1,b:2"),
            ("client.id", "gw"),
        ] {
            assert_eq!(config.get(name), Some(expect), "{name}");
        }
    }

    #[test]
    fn librdkafka_takes_every_setting() {
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            let made: Result<rdkafka::producer::BaseProducer, _> =
                settings(acks, &[]).client_config().create();
            assert!(made.is_ok(), "{acks:?}: {:?}", made.err());
        }
    }
}
