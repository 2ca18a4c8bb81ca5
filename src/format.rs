//! Formats: from a ticket's readings to the records that a broker takes.
//!
//! Owns what a record is and how topics and keys are filled in. Promises that the same ticket always gives the same
//! bytes, so that what is sent again is what was sent before, and that writing a reading allocates nothing. Pure. Must
//! not know brokers, clients or queues.

pub mod events;
pub mod json;
pub(crate) mod number;
pub(crate) mod time;

use std::ops::ControlFlow;

use crate::reading::SensorDef;
use crate::template::Template;
use crate::ticket::Ticket;

/// One record, as a broker takes it. Borrows the writer's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// The recorded time of the first reading, in whole milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The sequence number of the first reading in it.
    pub first: u64,
    /// The sequence number of the last reading in it; that of the first where a record is a reading.
    pub last: u64,
}

/// Turns tickets into records.
pub trait Format: Send {
    /// Hands the ticket's records to `sink`, in order, beginning with its reading number `from` (counted from 0), until
    /// the sink breaks: that record counts as not taken. Returns how many readings of the ticket are done, `from`
    /// included; what that number is when it is handed in again is where it goes on.
    fn write(
        &mut self,
        ticket: &Ticket,
        from: usize,
        sink: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> usize;

    /// The topic of a sensor's records; empty where its readings make none.
    fn topic(&self, def: &SensorDef) -> String;

    /// A topic to ask the broker about before anything was sent: the one all records go to, or for a template one that
    /// the same rules of a cluster cover. It need not exist.
    fn probe_topic(&self) -> String;
}

/// Where records go: the same for every reading of a sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// The gateway's name.
    pub device: String,
    /// The topic.
    pub topic: Template,
    /// The key.
    pub key: Template,
}

impl Routing {
    /// The topic of a sensor's records.
    #[must_use]
    pub fn topic(&self, def: &SensorDef) -> String {
        self.topic.topic(&self.device, def.id.as_str(), &def.tags)
    }

    /// The key of a sensor's records.
    #[must_use]
    pub fn key(&self, def: &SensorDef) -> String {
        self.key.text(&self.device, def.id.as_str(), &def.tags)
    }

    /// See [`Format::probe_topic`].
    #[must_use]
    pub fn probe_topic(&self) -> String {
        self.topic.topic(&self.device, "_", &[])
    }
}

/// A moment in milliseconds since 1970 as text: UTC, three decimals, "Z".
#[must_use]
pub fn utc(millis: i64) -> String {
    String::from_utf8_lossy(time::Writer::default().text(millis)).into_owned()
}

/// What the formats share about milliseconds: the nanoseconds of a recorded time, truncated.
///
/// Truncated means that what stands in the text is what stood in the clock, digits cut off: also before 1970.
#[must_use]
pub fn millis(nanos: i64) -> i64 {
    nanos.div_euclid(1_000_000)
}
