//! What is read and not released: rows that are still needed, and the memory that it takes.
//!
//! Owns two counts. Rows are counted apart for lanes that follow the main cursor and for those that catch up, since only the
//! former hold the output's head. Pure.

use std::collections::BTreeMap;

use crate::queue::types::RowNo;
use crate::ticket::{Piece, Span};

/// Which cursor a lane follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The main cursor.
    Main,
    /// The catch-up cursor.
    CatchUp,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Needs {
    main: BTreeMap<RowNo, u32>,
    catch_up: BTreeMap<RowNo, u32>,
    memory: usize,
}

impl Needs {
    fn rows(&mut self, side: Side) -> &mut BTreeMap<RowNo, u32> {
        match side {
            Side::Main => &mut self.main,
            Side::CatchUp => &mut self.catch_up,
        }
    }

    /// A piece is held from now on.
    pub fn hold(&mut self, side: Side, piece: &Piece) {
        *self.rows(side).entry(piece.row).or_default() += 1;
        self.memory += memory(piece);
    }

    /// A piece is held no longer.
    pub fn free(&mut self, side: Side, piece: &Piece) {
        let rows = self.rows(side);
        if let Some(count) = rows.get_mut(&piece.row) {
            *count -= 1;
            if *count == 0 {
                rows.remove(&piece.row);
            }
        }
        self.memory = self.memory.saturating_sub(memory(piece));
    }

    /// All pieces of a span are held no longer.
    pub fn free_span(&mut self, side: Side, span: &Span) {
        span.pieces.iter().for_each(|piece| self.free(side, piece));
    }

    /// The lane of this piece changes sides.
    pub fn change(&mut self, from: Side, to: Side, piece: &Piece) {
        self.free(from, piece);
        self.hold(to, piece);
    }

    /// The lowest row that a lane on the main side needs.
    #[must_use]
    pub fn lowest(&self) -> Option<RowNo> {
        self.main.first_key_value().map(|(row, _)| *row)
    }

    /// Bytes held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }
}

/// A piece's share of its run's memory, the piece itself included.
fn memory(piece: &Piece) -> usize {
    size_of::<Piece>() + piece.run.memory() * piece.len() / piece.run.len().max(1)
}
