//! What a report does to a lane: the one table of outcomes.
//!
//! Promises that nothing but a delivery releases readings, and that a ticket which is sent again is the same one. Pure.

use std::sync::Arc;

use super::cut::{Cut, Item, halves, unsynced};
use super::{Lane, State};
use crate::clock::Mono;
use crate::forward::backoff::{self, Dice};
use crate::forward::needs::Needs;
use crate::queue::types::{Entry, Release};
use crate::ticket::{Outcome, Ticket};

impl Lane {
    /// What became of the ticket that is under way. Only `Delivered` releases anything.
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
                let (output, sensor, epoch, through) =
                    (self.output, self.sensor, ticket.epoch, ticket.last());
                self.released = Some((epoch, through));
                entries.push(Entry::Release(Release {
                    output,
                    sensor,
                    epoch,
                    through,
                }));
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
            // Dead letters will leave here: the record goes to them, and the lane goes on.
            Outcome::RecordAtFault { sequence, why } => {
                self.halt(
                    ticket,
                    format!("the record of reading {sequence} is refused: {why}").into(),
                    now,
                    dice,
                );
            }
            Outcome::Misconfigured(why) => self.halt(ticket, why, now, dice),
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
