//! Why topics cannot be read, in words for whoever asked.

/// Why topics cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// librdkafka refuses the settings.
    #[error("the Kafka client does not take its settings: {0}")]
    Settings(String),
    /// Nobody answers.
    #[error("no broker answers at {brokers}{}", because(.why))]
    Unreachable {
        /// Whom was asked.
        brokers: String,
        /// The client's last words on it.
        why: Option<String>,
    },
    /// There is no such topic.
    #[error("topic {0} does not exist")]
    UnknownTopic(String),
    /// The broker does not let us.
    #[error("topic {topic} cannot be read: {why}")]
    Refused {
        /// Which topic.
        topic: String,
        /// What the broker said.
        why: String,
    },
    /// The client is of no more use.
    #[error("the Kafka client gave up: {0}")]
    Fatal(String),
}

impl ConsumerError {
    /// What helps, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Settings(_) | Self::Fatal(_) => None,
            Self::Unreachable { .. } => Some(
                "is the address right, does the broker run, and can this machine reach what it advertises?"
                    .into(),
            ),
            Self::UnknownTopic(_) => {
                Some("topics are made by whoever runs the cluster; the name is case-sensitive".into())
            }
            Self::Refused { .. } => Some("reading needs the rights Read and Describe on the topic".into()),
        }
    }
}

fn because(why: &Option<String>) -> String {
    why.as_ref().map(|why| format!(": {why}")).unwrap_or_default()
}
