//! A ticket: what is sent at once for one sensor, and acknowledged or not as one.
//!
//! Owns the slice of the queue that is under way, and what the broker can say of it. Pure data. Must not know cursors,
//! clients or formats.

use std::sync::Arc;

use crate::queue::types::{OutputNo, RowNo, Run};
use crate::reading::{Epoch, SensorDef, SensorNo};

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

/// What became of a ticket. Nothing but `Delivered` releases readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every record was acknowledged as `acks` asks.
    Delivered,
    /// The client gave it up; trying again can help. Records of it may have arrived.
    GivenUp(Arc<str>),
    /// A record is larger than the broker takes.
    TooLarge(Arc<str>),
    /// The broker will never take this record: its own fault, not the topic's.
    RecordAtFault {
        /// The reading whose record it is.
        sequence: u64,
        /// What the broker said.
        why: Arc<str>,
    },
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
