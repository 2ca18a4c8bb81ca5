//! An embedded Kafka: librdkafka's mock cluster, for the demo and for tests.
//!
//! Promises a broker on a free port of this machine that can be taken away and brought back. It keeps everything in
//! memory and forgets: beyond 5 MiB or 100,000 messages a partition, and all of it when dropped. Must stay on the thread
//! that made it.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// Every broker of the cluster.
const ALL: i32 = -1;

/// A broker within this process.
pub struct MockKafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// The embedded Kafka cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the embedded Kafka failed: {0}")]
pub struct MockError(String);

impl std::fmt::Debug for MockKafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MockKafka").field(&self.brokers()).finish()
    }
}

impl MockKafka {
    /// Starts one broker with one topic.
    ///
    /// # Errors
    /// When the library cannot, say for want of a port.
    pub fn start(topic: &str, partitions: i32) -> Result<Self, MockError> {
        let fail = |error: rdkafka::error::KafkaError| MockError(error.to_string());
        let cluster = MockCluster::new(1).map_err(fail)?;
        cluster.create_topic(topic, partitions, 1).map_err(fail)?;
        Ok(Self { cluster })
    }

    /// Makes another topic.
    ///
    /// # Errors
    /// When the library cannot.
    pub fn add_topic(&self, topic: &str, partitions: i32) -> Result<(), MockError> {
        self.cluster
            .create_topic(topic, partitions, 1)
            .map_err(|error| MockError(error.to_string()))
    }

    /// `host:port` of the broker.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Cuts every connection and takes no new ones, until [`MockKafka::bring_back`].
    ///
    /// # Errors
    /// When the library cannot.
    pub fn take_away(&self) -> Result<(), MockError> {
        self.cluster
            .broker_down(ALL)
            .map_err(|error| MockError(error.to_string()))
    }

    /// Takes connections again, on the same port, with everything that it had.
    ///
    /// # Errors
    /// When the library cannot.
    pub fn bring_back(&self) -> Result<(), MockError> {
        self.cluster
            .broker_up(ALL)
            .map_err(|error| MockError(error.to_string()))
    }
}
