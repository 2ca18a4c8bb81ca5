//! What a report does to a lane: the one table of outcomes.
//!
//! Promises that nothing but a delivery, or a dead letter that is kept, releases readings, and that a ticket which is sent again is the same one. Pure.

use std::sync::Arc;

use super::cut::{Cut, Item, halves, unsynced};
use super::{Lane, State};
use crate::clock::Mono;
use crate::forward::backoff::{self, Dice};
use crate::forward::needs::Needs;
use crate::queue::types::{Entry, Release};
use crate::reading::Epoch;
use crate::ticket::{DeadRecord, Outcome, Ticket};

impl Lane {
    /// What became of the ticket that is under way. Only `Delivered` and `RecordAtFault` release anything.
    pub fn report(
        &mut self,
        outcome: Outcome,
        now: Mono,
        dice: &mut Dice,
        needs: &mut Needs,
        entries: &mut Vec<Entry>,
    ) {
        let State::InFlight(ticket) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        match outcome {
            Outcome::Delivered => {
                (self.attempts, self.failing) = (0, None);
                self.release(ticket.epoch, ticket.last(), entries);
                ticket
                    .spans
                    .iter()
                    .for_each(|span| needs.free_span(self.side, span));
            }
            Outcome::GivenUp(why) | Outcome::ClientLost(why) => {
                self.attempts = self.attempts.saturating_add(1);
                let until = now.after(backoff::retry(self.attempts, dice.roll()));
                self.state = State::Backoff {
                    ticket,
                    attempt: self.attempts,
                    until,
                    since: *self.failing.get_or_insert(now),
                    why,
                };
            }
            Outcome::TooLarge(why) if ticket.len() == 1 => self.halt(ticket, why, now, dice),
            Outcome::TooLarge(_) => self.split(&ticket, needs),
            Outcome::RecordAtFault(dead) => {
                (self.attempts, self.failing) = (0, None);
                self.bury(&ticket, &dead, entries);
                (ticket.spans.iter()).for_each(|span| needs.free_span(self.side, span));
            }
            Outcome::Misconfigured(why) => self.halt(ticket, why, now, dice),
        }
    }

    fn release(&mut self, epoch: Epoch, through: u64, entries: &mut Vec<Entry>) {
        self.released = Some((epoch, through));
        entries.push(Entry::Release(Release {
            output: self.output,
            sensor: self.sensor,
            epoch,
            through,
        }));
    }

    /// The ticket is dealt with: its readings are released in order, those of dead records as such.
    fn bury(&mut self, ticket: &Ticket, dead: &[Arc<DeadRecord>], entries: &mut Vec<Entry>) {
        let (epoch, mut next) = (ticket.epoch, ticket.first());
        for record in dead {
            if record.first > next {
                self.release(epoch, record.first - 1, entries);
            }
            next = record.last + 1;
            self.released = Some((epoch, record.last));
            entries.push(Entry::Dead {
                output: self.output,
                sensor: self.sensor,
                epoch,
                from: record.first,
                through: record.last,
                reason: record.fault as u8,
            });
        }
        if next <= ticket.last() {
            self.release(epoch, ticket.last(), entries);
        }
    }

    fn halt(&mut self, ticket: Arc<Ticket>, why: Arc<str>, now: Mono, dice: &mut Dice) {
        let until = now.after(backoff::halted(dice.roll()));
        self.state = State::Halted {
            ticket,
            until,
            since: *self.failing.get_or_insert(now),
            why,
        };
    }

    /// Puts the ticket's readings back in halves, first by spans, then by readings.
    fn split(&mut self, ticket: &Ticket, needs: &mut Needs) {
        let spans = match &ticket.spans[..] {
            [one] => {
                needs.free_span(self.side, one);
                let (left, right) = halves(one);
                [&left, &right]
                    .iter()
                    .flat_map(|s| &s.pieces)
                    .for_each(|piece| needs.hold(self.side, piece));
                vec![left, right]
            }
            several => several.to_vec(),
        };
        for span in spans.into_iter().rev() {
            let unsynced = span.pieces.iter().map(unsynced).sum();
            let (epoch, def) = (ticket.epoch, ticket.def.clone());
            self.items.push_front(Item::Span(Cut {
                span,
                epoch,
                def,
                bytes: 0,
                unsynced,
                alone: true,
            }));
        }
    }
}
