//! Makes a topic that is not there, for the demo. The agent itself never makes topics: that is for whoever runs the
//! cluster.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode as Code;

/// The replication factor is the broker's business.
const BROKERS_DEFAULT: i32 = -1;

/// A topic could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// No runtime to wait on.
    #[error("failed to start a runtime")]
    Runtime(#[source] std::io::Error),
    /// Nobody answers, or the request could not be sent.
    #[error("failed to make topic {topic}: {why}")]
    Failed {
        /// Which topic.
        topic: String,
        /// The client's words.
        why: String,
    },
}

/// Makes the topic unless it is there.
///
/// # Errors
/// When the broker does not answer in time, or refuses.
pub fn ensure(brokers: &str, topic: &str, partitions: i32, patience: Duration) -> Result<(), TopicError> {
    let failed = |why: String| TopicError::Failed {
        topic: topic.to_owned(),
        why,
    };
    let client: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("client.id", "edgespool-demo")
        .create()
        .map_err(|error: rdkafka::error::KafkaError| failed(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(TopicError::Runtime)?;
    let options = AdminOptions::new()
        .request_timeout(Some(patience))
        .operation_timeout(Some(patience));
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(BROKERS_DEFAULT));
    let results = runtime
        .block_on(client.create_topics([&new], &options))
        .map_err(|error| failed(error.to_string()))?;
    let refusal = results.into_iter().find_map(Result::err);
    match refusal {
        None | Some((_, Code::TopicAlreadyExists)) => Ok(()),
        Some((_, code)) => Err(failed(code.to_string())),
    }
}
