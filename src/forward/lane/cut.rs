//! Spans in a lane, with what is needed to send them; gaps between them.
//!
//! Pure data and small functions over it.

use std::sync::Arc;

use crate::queue::types::{Marks, RowNo, Run};
use crate::reading::{Epoch, SensorDef, TimeQuality};
use crate::ticket::{Piece, Span};

/// A span with what is needed to send it.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub(super) span: Span,
    pub(super) epoch: Epoch,
    pub(super) def: Arc<SensorDef>,
    pub(super) bytes: u64,
    pub(super) unsynced: usize,
    /// Part of what was too large: is sent alone.
    pub(super) alone: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Span(Cut),
    /// Readings that cannot be read back.
    Gap {
        epoch: Epoch,
        from: u64,
        through: u64,
    },
}

/// A stretch of stored readings on its way into a lane.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// The row.
    pub row: RowNo,
    /// The row's epoch.
    pub epoch: Epoch,
    /// The readings.
    pub run: &'a Arc<Run>,
    /// What the sensor is at that place of the log.
    pub def: &'a Arc<SensorDef>,
}

/// Whether a sensor is the same: every cursor, and every generation's checkpoint, brings a copy of its own.
pub(super) fn same(a: &Arc<SensorDef>, b: &Arc<SensorDef>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

pub(super) fn unsynced_in(item: &Item) -> usize {
    if let Item::Span(cut) = item {
        cut.unsynced
    } else {
        0
    }
}

pub(super) fn unsynced(piece: &Piece) -> usize {
    match &piece.run.marks {
        Marks::All(_, TimeQuality::Unsynced) => piece.len(),
        Marks::All(..) => 0,
        Marks::Each(marks) => {
            let marks = marks.get(piece.from..piece.to).unwrap_or_default();
            marks
                .iter()
                .filter(|(_, time)| *time == TimeQuality::Unsynced)
                .count()
        }
    }
}

pub(super) fn halves(span: &Span) -> (Span, Span) {
    let (mut left, mut right) = (Span { pieces: vec![] }, Span { pieces: vec![] });
    let mut room = span.len() / 2;
    for piece in &span.pieces {
        let take = piece.len().min(room);
        room -= take;
        let middle = piece.from + take;
        if take > 0 {
            left.pieces.push(Piece {
                to: middle,
                ..piece.clone()
            });
        }
        if middle < piece.to {
            right.pieces.push(Piece {
                from: middle,
                ..piece.clone()
            });
        }
    }
    (left, right)
}
