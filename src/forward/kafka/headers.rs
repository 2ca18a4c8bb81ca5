//! The headers of a record.
//!
//! Owns their names and order: device, epoch, seq, trace-id, then the configured ones. Promises that what is the same
//! for a whole ticket is put together once. Must not know formats.

use rdkafka::message::{Header, OwnedHeaders};

use crate::format::Record;
use crate::forward::trace::Seed;
use crate::reading::Epoch;
use crate::ticket::Ticket;

/// The header that holds the sequence number, or `from-through`.
pub(super) const SEQ: &str = "seq";

/// What the headers of a ticket's records have in common.
pub(super) struct Common<'a> {
    device: &'a str,
    epoch: String,
    seed: Seed,
    more: &'a [(String, String)],
    sequence: String,
}

impl<'a> Common<'a> {
    pub(super) fn new(device: &'a str, more: &'a [(String, String)], ticket: &Ticket) -> Self {
        Self::of_sensor(device, more, (ticket.def.id.as_str(), ticket.epoch))
    }

    /// The same for any readings of a sensor in an epoch.
    pub(super) fn of_sensor(device: &'a str, more: &'a [(String, String)], sensor: (&str, Epoch)) -> Self {
        let (sensor, epoch) = sensor;
        Self {
            device,
            epoch: epoch.to_string(),
            seed: Seed::new(device, sensor, epoch),
            more,
            sequence: String::with_capacity(20),
        }
    }

    /// The headers of one record.
    pub(super) fn of(&mut self, record: &Record<'_>) -> OwnedHeaders {
        self.of_readings(record.first, record.last)
    }

    /// The headers of a record of these readings.
    pub(super) fn of_readings(&mut self, first: u64, last: u64) -> OwnedHeaders {
        use std::fmt::Write as _;
        let sequence = &mut self.sequence;
        sequence.clear();
        // Writing to a string does not fail.
        let written = if first == last {
            write!(sequence, "{}", first)
        } else {
            write!(sequence, "{}-{}", first, last)
        };
        debug_assert!(written.is_ok());
        let headers = OwnedHeaders::new_with_capacity(4 + self.more.len());
        let headers = insert(headers, "device", self.device.as_bytes());
        let headers = insert(headers, "epoch", self.epoch.as_bytes());
        let headers = insert(headers, SEQ, sequence.as_bytes());
        let headers = insert(headers, "trace-id", &self.seed.id(first));
        self.more.iter().fold(headers, |headers, (name, value)| {
            insert(headers, name, value.as_bytes())
        })
    }
}

fn insert(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header {
        key,
        value: Some(value),
    })
}
