//! The broker's mind: what becomes of each ticket, and when. It outlives the agent's processes.
//!
//! Owns outages, topics that refuse, acknowledgements that are lost or late. What arrived is told to the oracle.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgespool::forward::broker::scripted::Script;
use edgespool::ticket::{DeadRecord, Fault, Outcome, Ticket, TicketId};

use super::chance::Chance;
use super::oracle::Oracle;
use super::{MS, SECOND, Time};

/// After that long the client gives a ticket up.
const PATIENCE: Time = 30 * SECOND;
/// A topic's way with records, beside the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Topic or credentials at fault.
    Refuses,
    /// Takes at most so many readings at once.
    Small(usize),
    /// Says that a record is at fault.
    Rejects,
    /// Takes tickets and says nothing.
    Silent,
}

#[derive(Debug)]
enum Deed {
    Arrival(Arc<Ticket>),
    Report(TicketId, Outcome),
}

#[derive(Debug)]
pub(super) struct Kafka {
    pub(super) up: bool,
    /// In thousandths: acknowledgements that are lost, that are late, and tickets that are given up for nothing.
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) given_up: u64,
    pub(super) moods: BTreeMap<String, Mood>,
    deeds: BTreeMap<(Time, u64), Deed>,
    count: u64,
    chance: Chance,
}

impl Kafka {
    pub(super) fn new(chance: Chance) -> Self {
        Self {
            up: true,
            lost: 0,
            late: 0,
            given_up: 0,
            moods: BTreeMap::new(),
            deeds: BTreeMap::new(),
            count: 0,
            chance,
        }
    }

    pub(super) fn calm(&mut self) {
        (self.lost, self.late, self.given_up) = (0, 0, 0);
        self.moods.clear();
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.deeds.first_key_value().map(|((at, _), _)| *at)
    }

    fn plan(&mut self, at: Time, deed: Deed) {
        self.count += 1;
        self.deeds.insert((at, self.count), deed);
    }

    /// The client was handed these.
    pub(super) fn sent(&mut self, tickets: Vec<Arc<Ticket>>, now: Time, oracle: &mut Oracle) {
        for ticket in tickets {
            oracle.sent(&ticket);
            let way = self.chance.between(1, 20) * MS;
            self.plan(now + way, Deed::Arrival(ticket));
        }
    }

    /// Does what is due.
    pub(super) fn run(&mut self, now: Time, script: Option<&Script>, oracle: &mut Oracle) {
        while let Some((&(at, count), _)) = self.deeds.first_key_value()
            && at <= now
        {
            let Some(deed) = self.deeds.remove(&(at, count)) else {
                return;
            };
            match deed {
                Deed::Arrival(ticket) => self.arrival(ticket, now, oracle),
                Deed::Report(id, outcome) => {
                    let Some(script) = script else { continue };
                    let ticket = script.under_way().into_iter().find(|ticket| ticket.id == id);
                    if outcome == Outcome::Delivered
                        && let Some(ticket) = ticket
                    {
                        oracle.acknowledged(&ticket);
                    }
                    script.report(id, outcome);
                }
            }
        }
    }

    fn arrival(&mut self, ticket: Arc<Ticket>, now: Time, oracle: &mut Oracle) {
        let soon = now + self.chance.between(1, 40) * MS;
        let given_up = Outcome::GivenUp("timed out".into());
        if !self.up {
            return self.plan(now + PATIENCE, Deed::Report(ticket.id, given_up));
        }
        let outcome = match self.moods.get(ticket.def.id.as_str()) {
            Some(Mood::Silent) => return self.plan(now + SECOND, Deed::Arrival(ticket)),
            Some(Mood::Refuses) => Outcome::Misconfigured("no such topic".into()),
            Some(Mood::Rejects) => {
                let all = ticket.first()..=ticket.last();
                Outcome::RecordAtFault(all.map(|sequence| rejected(&ticket, sequence, oracle)).collect())
            }
            Some(Mood::Small(most)) if ticket.len() > *most => Outcome::TooLarge("too large".into()),
            _ if self.chance.permille(self.given_up) => given_up.clone(),
            _ => Outcome::Delivered,
        };
        if outcome != Outcome::Delivered {
            return self.plan(soon, Deed::Report(ticket.id, outcome));
        }
        oracle.arrived(&ticket);
        let (at, outcome) = if self.chance.permille(self.lost) {
            (now + PATIENCE, given_up)
        } else if self.chance.permille(self.late) {
            (now + self.chance.between(1, 70) * SECOND, outcome)
        } else {
            (soon, outcome)
        };
        self.plan(at, Deed::Report(ticket.id, outcome));
    }

    /// The client is gone: what it had sent arrives now or never.
    pub(super) fn client_gone(&mut self, oracle: &mut Oracle) {
        for deed in std::mem::take(&mut self.deeds).into_values() {
            if let Deed::Arrival(ticket) = deed
                && self.up
                && !self.moods.contains_key(ticket.def.id.as_str())
                && self.chance.one_in(2)
            {
                oracle.arrived(&ticket);
            }
        }
    }
}

/// One of its readings, whose record is refused for good; its letter is kept by the time anybody hears of it.
fn rejected(ticket: &Ticket, sequence: u64, oracle: &mut Oracle) -> Arc<DeadRecord> {
    oracle.rejected(ticket, sequence);
    Arc::new(DeadRecord {
        sensor: ticket.def.id.clone(),
        epoch: ticket.epoch,
        first: sequence,
        last: sequence,
        fault: Fault::InvalidRecord,
        why: "no".into(),
        topic: "readings".into(),
        key: Vec::new(),
        value: Vec::new(),
        timestamp_ms: 0,
    })
}
