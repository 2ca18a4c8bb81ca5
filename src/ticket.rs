//! A ticket: what is sent at once for one sensor, and acknowledged or not as one.
//!
//! Owns the slice of the queue that is under way, and what the broker can say of it. Pure data. Must not know cursors,
//! clients or formats.

use std::sync::Arc;

use crate::queue::types::{OutputNo, RowNo, Run};
use crate::reading::{Epoch, SensorDef, SensorId, SensorNo};

/// Identifies a ticket in this process; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TicketId(pub u64);

/// Some consecutive readings of one stored run.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The row that holds them.
    pub row: RowNo,
    /// The run; shared with the other pieces that were cut from it.
    pub run: Arc<Run>,
    /// Index of the first reading in the run.
    pub from: usize,
    /// Index after the last one; greater than `from`.
    pub to: usize,
}

impl Piece {
    /// The sequence number of the first reading.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.run.first + self.from as u64
    }

    /// The sequence number of the last reading.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.run.first + (self.to as u64).saturating_sub(1)
    }

    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }

    /// Never: a piece has at least one reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One span: a contiguous run of sequence numbers of one sensor, as a view over stored rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its pieces, in order; at least one.
    pub pieces: Vec<Piece>,
}

impl Span {
    /// The first sequence number; 0 for a span without pieces, which nobody makes.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.pieces.first().map_or(0, Piece::first)
    }

    /// The last sequence number.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.pieces.last().map_or(0, Piece::last)
    }

    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Never: a span has at least one reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// What is under way for one lane: one span, or several consecutive closed ones. Resent as it is, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// Its name in reports.
    pub id: TicketId,
    /// Which output sends it.
    pub output: OutputNo,
    /// Whose readings.
    pub sensor: SensorNo,
    /// What was known of the sensor when the readings were stored.
    pub def: Arc<SensorDef>,
    /// The epoch of all its readings.
    pub epoch: Epoch,
    /// The spans, consecutive.
    pub spans: Vec<Span>,
}

impl Ticket {
    /// The first sequence number.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.spans.first().map_or(0, Span::first)
    }

    /// The last sequence number.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.spans.last().map_or(0, Span::last)
    }

    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.iter().map(Span::len).sum()
    }

    /// Never: a ticket has at least one reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}

/// Why a broker will never take a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Larger than the topic takes, though it was sent alone.
    TooLarge = 1,
    /// Its time is further from the broker's than the topic allows.
    InvalidTimestamp = 2,
    /// Against a rule of the topic.
    InvalidRecord = 3,
}

impl Fault {
    /// The name in status and in dead letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::InvalidTimestamp => "invalid-timestamp",
            Self::InvalidRecord => "invalid-record",
        }
    }
}

/// A record that its broker will never take, as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadRecord {
    /// Whose reading.
    pub sensor: SensorId,
    /// In which epoch.
    pub epoch: Epoch,
    /// The sequence number of the first reading in it.
    pub first: u64,
    /// That of the last one.
    pub last: u64,
    /// What is wrong with it.
    pub fault: Fault,
    /// The broker's words.
    pub why: Arc<str>,
    /// Where it was sent.
    pub topic: String,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// Its time, milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// What became of a ticket. Nothing but `Delivered` and `RecordAtFault` releases readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every record was acknowledged as `acks` asks.
    Delivered,
    /// The client gave it up; trying again can help. Records of it may have arrived.
    GivenUp(Arc<str>),
    /// A record is larger than the broker takes.
    TooLarge(Arc<str>),
    /// The broker will never take these records: their own fault, not the topic's. Every other record of the ticket was
    /// acknowledged. At least one, in their order.
    RecordAtFault(Vec<Arc<DeadRecord>>),
    /// Topic, authorization or credentials: nothing for this topic goes until somebody mends it.
    Misconfigured(Arc<str>),
    /// The client is of no more use; what was under way may or may not have arrived.
    ClientLost(Arc<str>),
}

/// A broker's word on one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which ticket.
    pub ticket: TicketId,
    /// What became of it.
    pub outcome: Outcome,
}
