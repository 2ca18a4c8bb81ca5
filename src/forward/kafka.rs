//! Kafka by way of librdkafka: the only place that names its client.
//!
//! Owns what reads topics back (`consumer`), the embedded cluster (`mock`) and the making of topics (`topics`).

pub mod consumer;
pub mod mock;
pub mod topics;
