//! One lane: one sensor's way to one output, strictly in order.
//!
//! ```text
//! Idle ──▶ InFlight{ticket} ── delivered ──▶ Idle
//!              │ given up, can help to try again ──▶ Backoff (full jitter, for ever, identical bytes)
//!              │ too large ──▶ split: halve the spans, then the readings
//!              │ records at fault, which are kept as dead letters ──▶ Idle
//!              └ topic or credentials at fault ──▶ Halted{why}: keeps queueing, says so, tries again slowly
//! ```
//!
//! Owns the order of one sensor's readings: spans that are open, closed or under way, gaps between them, and the watermark
//! of what is released. The retry state is one field. Pure: (event, now) to actions. Must not know other lanes or budgets.

use std::collections::VecDeque;
use std::sync::Arc;

use super::needs::{Needs, Side};
use crate::clock::Mono;
use crate::planted::{self, Bug};
use crate::queue::types::{DropReason, Entry, OutputNo, RowNo};
use crate::reading::{Epoch, SensorNo};
use crate::span::{Cutter, Rules};
use crate::ticket::{Piece, Span, Ticket, TicketId};

mod cut;
mod ends;
mod outcome;

pub use cut::Stored;
use cut::{Cut, Item, same, unsynced, unsynced_in};
pub(in crate::forward) use ends::expected;

/// A ticket takes further closed spans while the sum in the queue's encoding stays below this.
const MAX_TICKET_BYTES: u64 = 64 * 1024;
/// And while the records stay below this, so that one lane cannot take the whole allowance of what is under way.
const MAX_TICKET_READINGS: usize = 2048;

/// What the lane does.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing is under way.
    Idle,
    /// The broker has a ticket.
    InFlight(Arc<Ticket>),
    /// A ticket waits to be sent again.
    Backoff {
        /// The same ticket, byte for byte.
        ticket: Arc<Ticket>,
        /// How often it failed in a row.
        attempt: u32,
        /// When it is sent again.
        until: Mono,
        /// When it first failed.
        since: Mono,
        /// Why.
        why: Arc<str>,
    },
    /// A ticket waits for somebody to mend something.
    Halted {
        /// The same ticket.
        ticket: Arc<Ticket>,
        /// When it is tried again.
        until: Mono,
        /// When it first failed.
        since: Mono,
        /// Why.
        why: Arc<str>,
    },
}

/// One sensor at one output.
#[derive(Debug)]
pub struct Lane {
    output: OutputNo,
    sensor: SensorNo,
    cutter: Cutter,
    open: Option<Cut>,
    items: VecDeque<Item>,
    /// What it does.
    pub state: State,
    /// Which cursor feeds it.
    pub side: Side,
    next: Option<(Epoch, u64)>,
    released: Option<(Epoch, u64)>,
    attempts: u32,
    /// When it first failed after its last delivery.
    failing: Option<Mono>,
}

impl Lane {
    /// With nothing read, and a watermark from the queue.
    #[must_use]
    pub fn new(output: OutputNo, sensor: SensorNo, rules: Rules, released: Option<(Epoch, u64)>) -> Self {
        Self {
            output,
            sensor,
            cutter: Cutter::new(rules),
            open: None,
            items: VecDeque::new(),
            state: State::Idle,
            side: Side::Main,
            next: None,
            released,
            attempts: 0,
            failing: None,
        }
    }

    /// Takes readings from the log; what is released already is skipped. `epochs` is their order in this queue.
    pub fn feed(&mut self, stored: Stored<'_>, epochs: &[Epoch], now: Mono, needs: &mut Needs) {
        let Some(mut from) = self.start(&stored, epochs) else {
            return;
        };
        let (run, epoch) = (stored.run, stored.epoch);
        let expected = match (self.next, self.released) {
            (Some((known, next)), _) if known == epoch => next,
            (_, Some((known, through))) if known == epoch => through + 1,
            _ => 1,
        };
        let first = run.first + from as u64;
        if first > expected {
            self.close();
            self.items.push_back(Item::Gap {
                epoch,
                from: expected,
                through: first - 1,
            });
        }
        let goes_on = |open: &Cut| open.epoch == epoch && same(&open.def, stored.def);
        if self.open.as_ref().is_some_and(|open| !goes_on(open)) {
            self.close();
        }
        let bytes = (u64::from(run.encoded) / run.len().max(1) as u64).max(1);
        while from < run.len() {
            let cut = self
                .cutter
                .offer(run.wall.get(from..).unwrap_or_default(), bytes, now);
            if cut.taken > 0 {
                let piece = Piece {
                    row: stored.row,
                    run: run.clone(),
                    from,
                    to: from + cut.taken,
                };
                needs.hold(self.side, &piece);
                self.add(piece, &stored, bytes);
            }
            if cut.closed {
                self.close();
            }
            from += cut.taken;
        }
        if planted::has(Bug::SpanByRow) {
            self.close();
        }
        self.next = Some((epoch, run.last() + 1));
    }

    /// The queue gave up readings up to that one, or they were released before: where they are missing is no gap.
    pub fn given_up(&mut self, epoch: Epoch, through: u64, epochs: &[Epoch]) {
        let order = |wanted: Epoch| epochs.iter().position(|epoch| *epoch == wanted);
        let before = |known: Option<(Epoch, u64)>, number: u64| {
            known.is_none_or(|(at, known)| (order(at), known) < (order(epoch), number))
        };
        if before(self.released, through) {
            self.released = Some((epoch, through));
        }
        if self.next.is_some() && before(self.next, through + 1) {
            self.close();
            self.next = Some((epoch, through + 1));
        }
    }

    /// The index of the first reading that is neither released nor here already.
    fn start(&self, stored: &Stored<'_>, epochs: &[Epoch]) -> Option<usize> {
        let order = |wanted: Epoch| epochs.iter().position(|epoch| *epoch == wanted);
        let mut seen = 0;
        if let Some((epoch, through)) = self.released {
            if order(stored.epoch) < order(epoch) {
                return None;
            }
            seen = if epoch == stored.epoch { through } else { 0 };
        }
        if let Some((epoch, next)) = self.next
            && epoch == stored.epoch
        {
            seen = seen.max(next.saturating_sub(1));
        }
        let skip = usize::try_from((seen + 1).saturating_sub(stored.run.first)).unwrap_or(usize::MAX);
        (skip < stored.run.len()).then_some(skip)
    }

    fn add(&mut self, piece: Piece, stored: &Stored<'_>, each: u64) {
        let open = self.open.get_or_insert_with(|| Cut {
            span: Span { pieces: Vec::new() },
            epoch: stored.epoch,
            def: stored.def.clone(),
            bytes: 0,
            unsynced: 0,
            alone: false,
        });
        open.bytes += each * piece.len() as u64;
        open.unsynced += unsynced(&piece);
        open.span.pieces.push(piece);
    }

    /// Ends the open span.
    pub fn close(&mut self) {
        self.cutter.close();
        self.items.extend(self.open.take().map(Item::Span));
    }

    /// When the open span opened.
    #[must_use]
    pub fn opened(&self) -> Option<Mono> {
        self.cutter.opened()
    }

    /// When something happens by itself: a span ends, or a wait is over.
    #[must_use]
    pub fn deadline(&self, idle: bool) -> Option<Mono> {
        let retry = match &self.state {
            State::Backoff { until, .. } | State::Halted { until, .. } => Some(*until),
            State::Idle | State::InFlight(_) => None,
        };
        self.cutter.deadline(idle).into_iter().chain(retry).min()
    }

    /// Closes an open span whose time is over.
    pub fn tick(&mut self, idle: bool, now: Mono) {
        if self.cutter.deadline(idle).is_some_and(|deadline| deadline <= now) {
            self.close();
        }
    }

    /// The ticket whose wait is over, under way again.
    pub fn retry(&mut self, now: Mono) -> Option<Arc<Ticket>> {
        match &self.state {
            State::Backoff { ticket, until, .. } | State::Halted { ticket, until, .. } if *until <= now => {
                let ticket = ticket.clone();
                self.state = State::InFlight(ticket.clone());
                Some(ticket)
            }
            _ => None,
        }
    }

    /// Whether a span is closed and nothing is under way.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Idle && !self.items.is_empty()
    }

    /// Whether it halts or backs off.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Backoff { .. } | State::Halted { .. })
    }

    /// Whether a ticket is under way after a failure.
    #[must_use]
    pub fn is_trying(&self) -> bool {
        self.failing.is_some() && matches!(self.state, State::InFlight(_))
    }

    /// Whether it holds nothing but an open span: ending that gives something to send.
    #[must_use]
    pub fn holds_only_open(&self) -> bool {
        self.state == State::Idle && self.items.is_empty()
    }

    /// Whether readings of a clock that was not synchronized stand first in line.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.items.front().is_some_and(|item| unsynced_in(item) > 0)
    }

    /// How many readings of such a clock wait, if they stand first in line. Counts them.
    #[must_use]
    pub fn held(&self) -> Option<usize> {
        self.is_held().then(|| self.items.iter().map(unsynced_in).sum())
    }

    /// Whether the open span has readings of such a clock.
    #[must_use]
    pub fn opens_unsynced(&self) -> bool {
        self.open.as_ref().is_some_and(|cut| cut.unsynced > 0)
    }

    /// The next ticket, if there is one: gaps before it are given up first. `gate` says whether readings of a clock that was
    /// not synchronized may go.
    pub fn ticket(&mut self, id: TicketId, gate: bool, entries: &mut Vec<Entry>) -> Option<Arc<Ticket>> {
        if self.state != State::Idle {
            return None;
        }
        while let Some(Item::Gap { epoch, from, through }) = self.items.front() {
            let (sensor, reason) = (self.sensor, DropReason::Damaged);
            let lost = Entry::Drop {
                sensor,
                epoch: *epoch,
                from: *from,
                through: *through,
                reason,
            };
            entries.extend(Some(lost).filter(|_| !planted::has(Bug::LostDrop)));
            self.released = Some((*epoch, *through));
            self.items.pop_front();
        }
        let first = self.pop(|cut| gate || cut.unsynced == 0)?;
        let (epoch, def, alone) = (first.epoch, first.def, first.alone);
        let (mut bytes, mut readings) = (first.bytes, first.span.len());
        let mut spans = vec![first.span];
        loop {
            let fits = |cut: &Cut| {
                cut.epoch == epoch
                    && same(&cut.def, &def)
                    && !cut.alone
                    && !alone
                    && (gate || cut.unsynced == 0)
                    && bytes + cut.bytes <= MAX_TICKET_BYTES
                    && readings + cut.span.len() <= MAX_TICKET_READINGS
            };
            let Some(cut) = self.pop(fits) else { break };
            bytes += cut.bytes;
            readings += cut.span.len();
            spans.push(cut.span);
        }
        let ticket = Arc::new(Ticket {
            id,
            output: self.output,
            sensor: self.sensor,
            def,
            epoch,
            spans,
        });
        self.state = State::InFlight(ticket.clone());
        Some(ticket)
    }

    fn pop(&mut self, fits: impl Fn(&Cut) -> bool) -> Option<Cut> {
        match self.items.front() {
            Some(Item::Span(cut)) if fits(cut) => match self.items.pop_front() {
                Some(Item::Span(cut)) => Some(cut),
                _ => None,
            },
            _ => None,
        }
    }

    /// Forgets what is read and not released, and returns the row at which to resume; `None` when a ticket is under way, or
    /// when there is nothing to forget.
    pub fn park(&mut self, needs: &mut Needs) -> Option<RowNo> {
        if matches!(self.state, State::InFlight(_)) {
            return None;
        }
        let resume = self.pieces().next()?.row;
        self.pieces().for_each(|piece| needs.free(self.side, piece));
        self.state = State::Idle;
        self.cutter.close();
        self.open = None;
        self.items.clear();
        self.next = None;
        Some(resume)
    }

    /// Forgets what stands behind the ticket that is under way, and returns the row at which that begins; `None` when there
    /// is nothing. What is left is held for the catch-up side, so that it does not hold the head.
    pub fn shed(&mut self, needs: &mut Needs) -> Option<RowNo> {
        let State::InFlight(ticket) = &self.state else {
            return None;
        };
        let ticket = ticket.clone();
        let sent: usize = ticket.spans.iter().map(|span| span.pieces.len()).sum();
        let first = self.pieces().nth(sent).map(|piece| piece.row);
        self.pieces()
            .skip(sent)
            .for_each(|piece| needs.free(self.side, piece));
        self.pieces()
            .take(sent)
            .for_each(|piece| needs.change(self.side, Side::CatchUp, piece));
        self.side = Side::CatchUp;
        self.cutter.close();
        self.open = None;
        self.items.clear();
        self.next = Some((ticket.epoch, ticket.last() + 1));
        first
    }

    /// The first row that this lane still needs.
    #[must_use]
    pub fn first_row(&self) -> Option<RowNo> {
        self.pieces().next().map(|piece| piece.row)
    }

    /// From the catch-up cursor to the main one: they are at the same row now.
    pub fn join(&mut self, needs: &mut Needs) {
        self.pieces()
            .for_each(|piece| needs.change(self.side, Side::Main, piece));
        self.side = Side::Main;
    }

    /// Everything that is read and not released, in order.
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let ticket = match &self.state {
            State::InFlight(ticket) | State::Backoff { ticket, .. } | State::Halted { ticket, .. } => {
                Some(ticket)
            }
            State::Idle => None,
        };
        let sent = ticket.into_iter().flat_map(|ticket| &ticket.spans);
        let spans = self.items.iter().filter_map(|item| match item {
            Item::Span(cut) => Some(&cut.span),
            Item::Gap { .. } => None,
        });
        sent.chain(spans)
            .chain(self.open.as_ref().map(|cut| &cut.span))
            .flat_map(|span| &span.pieces)
    }
}

#[cfg(test)]
#[path = "lane/tests.rs"]
mod tests;
