//! Custody from end to end: what a node was told to forget is in Kafka, whatever was killed meanwhile.

mod kafka;
mod oracle;
