//! What librdkafka's errors mean for a ticket: one table.
//!
//! Owns the classes. A code that is not in the table means "try again": nothing is ever given up for an error that
//! nobody has looked at. Sources are librdkafka 2.12.1 (the bundled one), by function, or what a real broker did (Apache
//! Kafka 4.3.1). Errors that librdkafka tries again by itself (no leader, too few replicas, time-outs, lost connections)
//! arrive here only when a client is closed. Must not know lanes.
//!
//! Which record of a batch is at fault is not known from here: when the broker names exactly one, librdkafka overwrites
//! the others' error with it (rd_kafka_dr_msgq0 calls rd_kafka_interceptors_on_acknowledgement_queue with `force_err`), so
//! that all of them seem to be at fault. It has to be proven, one record at a time.

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::ticket::{Fault, Outcome};

/// What is to be done about a record that was not delivered, mildest first: the worst of a ticket decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Send it again.
    Again,
    /// Send less at once.
    TooLarge,
    /// The record's own fault: sending it again cannot help.
    Record,
    /// Topic, authorization or credentials: somebody has to mend it.
    Misconfigured,
    /// The client is of no more use; the outcome is unknown.
    Client,
}

/// Code, class, and where that is from.
const TABLE: &[(Code, Class, &str)] = &[
    // --- the record ---
    (
        Code::MessageSizeTooLarge,
        Class::TooLarge,
        "rd_kafka_msg_new0 against message.max.bytes; the broker against the topic's max.message.bytes, for the compressed batch",
    ),
    (
        Code::MessageBatchTooLarge,
        Class::TooLarge,
        "the broker: a batch larger than segment.bytes",
    ),
    (
        Code::InvalidMessageSize,
        Class::TooLarge,
        "the broker: a size it does not take",
    ),
    (
        Code::InvalidTimestamp,
        Class::Record,
        "the broker: more than message.timestamp.after.max.ms ahead (seen)",
    ),
    (
        Code::InvalidRecord,
        Class::Record,
        "rd_kafka_msgbatch_handle_Produce_result_record_errors: the records the broker names; all of a batch when it names none",
    ),
    (
        Code::InvalidDifferentRecord,
        Class::Again,
        "the same function: in one batch with an invalid record, itself not at fault",
    ),
    (
        Code::InvalidMessage,
        Class::Again,
        "rd_kafka_err_action retries it: damaged on the way",
    ),
    // --- topic, authorization, credentials ---
    (
        Code::UnknownTopic,
        Class::Misconfigured,
        "rd_kafka_topic_set_notexists after topic.metadata.propagation.max.ms",
    ),
    (
        Code::UnknownTopicOrPartition,
        Class::Misconfigured,
        "rd_kafka_topic_set_notexists; from a broker it is retried inside",
    ),
    (
        Code::UnknownTopicId,
        Class::Misconfigured,
        "the topic was deleted and made anew",
    ),
    (
        Code::UnknownPartition,
        Class::Misconfigured,
        "rd_kafka_msg_partitioner: the topic has fewer partitions than it had",
    ),
    (
        Code::InvalidTopic,
        Class::Misconfigured,
        "a name that Kafka does not take; permanent in rd_kafka_topic_set_notexists",
    ),
    (
        Code::TopicAuthorizationFailed,
        Class::Misconfigured,
        "rd_kafka_topic_set_error: from then on every send fails at once, until metadata says otherwise (seen)",
    ),
    (
        Code::ClusterAuthorizationFailed,
        Class::Misconfigured,
        "the broker: no right to write with idempotence (before Kafka 2.8)",
    ),
    (
        Code::TransactionalIdAuthorizationFailed,
        Class::Misconfigured,
        "the coordinator: no right to that transactional ID",
    ),
    (
        Code::Authentication,
        Class::Misconfigured,
        "rd_kafka_broker_fail while authenticating",
    ),
    (
        Code::SaslAuthenticationFailed,
        Class::Misconfigured,
        "the broker: wrong credentials",
    ),
    (
        Code::UnsupportedSASLMechanism,
        Class::Misconfigured,
        "the broker does not offer that mechanism",
    ),
    (
        Code::SecurityDisabled,
        Class::Misconfigured,
        "the broker has no security",
    ),
    (
        Code::PolicyViolation,
        Class::Misconfigured,
        "a policy of the cluster",
    ),
    (
        Code::InvalidRequiredAcks,
        Class::Misconfigured,
        "the broker does not take this `acks`",
    ),
    (
        Code::UnsupportedFeature,
        Class::Misconfigured,
        "rd_kafka_idemp_request_pid: the broker is too old for idempotence",
    ),
    (
        Code::UnsupportedVersion,
        Class::Misconfigured,
        "the broker is too old for this request",
    ),
    (
        Code::UnsupportedForMessageFormat,
        Class::Misconfigured,
        "the topic's message format has no headers",
    ),
    (
        Code::UnsupportedCompressionType,
        Class::Misconfigured,
        "the broker is too old for zstd",
    ),
    (
        Code::InvalidConfig,
        Class::Misconfigured,
        "the broker refuses the topic's settings",
    ),
    // --- the client ---
    (
        Code::Fatal,
        Class::Client,
        "rd_kafka_check_produce after rd_kafka_set_fatal_error0: every send fails from then on (seen)",
    ),
    (
        Code::OutOfOrderSequenceNumber,
        Class::Client,
        "rd_kafka_handle_idempotent_Produce_error: client and broker disagree on what arrived (seen)",
    ),
    (
        Code::UnknownProducerId,
        Class::Client,
        "the same function: the broker forgot the client while something was under way",
    ),
    (
        Code::InvalidProducerIdMapping,
        Class::Client,
        "the coordinator forgot the client",
    ),
    (
        Code::Fenced,
        Class::Client,
        "another client has taken over the transactional ID (seen)",
    ),
    (
        Code::ProducerFenced,
        Class::Client,
        "the same, in the broker's words",
    ),
    (
        Code::Inconsistent,
        Class::Client,
        "rd_kafka_msgbatch_handle_Produce_result: acknowledged out of order",
    ),
    (
        Code::GaplessGuarantee,
        Class::Client,
        "rd_kafka_handle_Produce_error with enable.gapless.guarantee",
    ),
    (
        Code::PurgeQueue,
        Class::Client,
        "rd_kafka_purge: a client was replaced or has become useless; not sent",
    ),
    (
        Code::PurgeInflight,
        Class::Client,
        "rd_kafka_purge: sent, outcome unknown",
    ),
    (Code::BrokerDestroy, Class::Client, "rd_kafka_destroy"),
    // --- to be tried again, named so that nobody takes them for something else ---
    (
        Code::MessageTimedOut,
        Class::Again,
        "rd_kafka_handle_Produce_error: a request timed out after its last retry",
    ),
    (
        Code::InvalidProducerEpoch,
        Class::Again,
        "rd_kafka_handle_Produce_error: librdkafka draws a new epoch and goes on",
    ),
];

/// The class of an error.
pub(super) fn class(code: Code) -> Class {
    let row = TABLE.iter().find(|(known, _, _)| *known == code);
    row.map_or(Class::Again, |(_, class, _)| *class)
}

/// What an error says of one record.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) class: Class,
    /// What the record's own fault is, if it is one.
    pub(super) fault: Fault,
    /// The broker may have it nevertheless.
    pub(super) may_have_arrived: bool,
    pub(super) why: Arc<str>,
}

/// What an error says of a record of that topic.
pub(super) fn refusal(code: Code, topic: &str) -> Refusal {
    let class = class(code);
    Refusal {
        class,
        fault: match code {
            Code::InvalidTimestamp => Fault::InvalidTimestamp,
            _ if class == Class::TooLarge => Fault::TooLarge,
            _ => Fault::InvalidRecord,
        },
        may_have_arrived: match class {
            Class::Again => code != Code::InvalidDifferentRecord,
            Class::Client => code != Code::PurgeQueue,
            Class::TooLarge | Class::Record | Class::Misconfigured => false,
        },
        why: why(code, topic),
    }
}

/// The words for a record that failed.
pub(super) fn why(code: Code, topic: &str) -> Arc<str> {
    format!("{code} (topic {topic})").into()
}

/// The outcome of a class, with the words for it.
pub(super) fn outcome(class: Class, why: Arc<str>) -> Outcome {
    match class {
        Class::Again => Outcome::GivenUp(why),
        // A record's own fault that was not proven is no word on anything: it is sent again.
        Class::Record => Outcome::GivenUp(why),
        Class::TooLarge => Outcome::TooLarge(why),
        Class::Misconfigured => Outcome::Misconfigured(why),
        Class::Client => Outcome::ClientLost(why),
    }
}

/// Whether the error says that the client itself is of no more use; errors of clients that we closed ourselves do not.
pub(super) fn loses_client(code: Code) -> bool {
    class(code) == Class::Client
        && !matches!(code, Code::PurgeQueue | Code::PurgeInflight | Code::BrokerDestroy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_and_says_why() {
        for (at, (code, _, why)) in TABLE.iter().enumerate() {
            assert!(!why.is_empty(), "{code:?}");
            assert!(
                TABLE[..at].iter().all(|(other, _, _)| other != code),
                "{code:?} twice"
            );
        }
    }

    #[test]
    fn what_is_tried_again_inside_is_no_reason_to_give_up() {
        for code in [
            Code::BrokerTransportFailure,
            Code::NotLeaderForPartition,
            Code::NotEnoughReplicas,
            Code::RequestTimedOut,
            Code::KafkaStorageError,
            Code::ThrottlingQuotaExceeded,
            Code::Unknown,
        ] {
            assert_eq!(class(code), Class::Again, "{code:?}");
        }
        assert!(loses_client(Code::Fatal) && !loses_client(Code::PurgeInflight));
    }
}
