//! A broker that does what it is told, for tests and the simulation.
//!
//! Owns no thread and no connection: whoever holds the [`Script`] sees what was sent and says what becomes of it.
//! Promises what every broker promises, so that drivers need no special case. Must not know clients or records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Broker, BrokerError, BrokerEvent, BrokerStatus, Busy, Events};
use crate::ticket::{Outcome, Report, Ticket, TicketId};

/// The broker's half.
#[derive(Debug)]
pub struct Scripted(Script);

/// The other half: what was sent, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Script(Arc<Mutex<State>>);

struct State {
    events: Events,
    /// Tickets under way, in the order in which they were sent.
    under_way: VecDeque<Arc<Ticket>>,
    /// What was sent since somebody asked.
    sent: Vec<Arc<Ticket>>,
    /// How many tickets may be under way.
    room: usize,
    refused: bool,
    ready: VecDeque<Report>,
    reachable: bool,
    lost: bool,
    clients: u32,
    left: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<TicketId> = self.under_way.iter().map(|ticket| ticket.id).collect();
        f.debug_struct("State")
            .field("under_way", &ids)
            .finish_non_exhaustive()
    }
}

/// A broker that can be reached and has room for that many tickets at once, and the handle to it.
#[must_use]
pub fn scripted(room: usize, events: Events) -> (Scripted, Script) {
    let script = Script(Arc::new(Mutex::new(State {
        events,
        under_way: VecDeque::new(),
        sent: Vec::new(),
        room,
        refused: false,
        ready: VecDeque::new(),
        reachable: true,
        lost: false,
        clients: 1,
        left: false,
    })));
    (Scripted(script.clone()), script)
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tickets under way, oldest first.
    #[must_use]
    pub fn under_way(&self) -> Vec<Arc<Ticket>> {
        self.lock().under_way.iter().cloned().collect()
    }

    /// What was sent since the last call, in order. To be asked, or it piles up.
    #[must_use]
    pub fn sent(&self) -> Vec<Arc<Ticket>> {
        std::mem::take(&mut self.lock().sent)
    }

    /// Reports a ticket; false when it is not under way.
    pub fn report(&self, id: TicketId, outcome: Outcome) -> bool {
        let mut state = self.lock();
        let Some(at) = state.under_way.iter().position(|ticket| ticket.id == id) else {
            return false;
        };
        state.under_way.remove(at);
        let room = std::mem::take(&mut state.refused);
        let events = state.events.clone();
        drop(state);
        events(BrokerEvent::Report(Report { ticket: id, outcome }));
        if room {
            events(BrokerEvent::Room);
        }
        true
    }

    /// The connection comes up or goes down.
    pub fn set_reachable(&self, reachable: bool) {
        let mut state = self.lock();
        state.reachable = reachable;
        let events = state.events.clone();
        drop(state);
        events(BrokerEvent::Link(reachable));
    }

    /// The client is lost, as by a fatal error: what is under way is reported when it is replaced.
    pub fn lose_client(&self, why: &str) {
        let mut state = self.lock();
        state.lost = true;
        let events = state.events.clone();
        drop(state);
        events(BrokerEvent::Lost(why.into()));
    }

    /// Clients made so far.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.lock().clients
    }

    /// Whether the forwarder has let go.
    #[must_use]
    pub fn left(&self) -> bool {
        self.lock().left
    }
}

impl Broker for Scripted {
    fn send(&mut self, ticket: Arc<Ticket>) -> Result<(), Busy> {
        let mut state = self.0.lock();
        if state.lost || state.under_way.len() >= state.room {
            state.refused = true;
            return Err(Busy);
        }
        state.sent.push(ticket.clone());
        state.under_way.push_back(ticket);
        Ok(())
    }

    fn resume(&mut self) {}

    fn ready(&mut self) -> Option<Report> {
        self.0.lock().ready.pop_front()
    }

    fn renew(&mut self) -> Result<(), BrokerError> {
        let mut state = self.0.lock();
        let lost: Vec<Arc<Ticket>> = state.under_way.drain(..).collect();
        state.ready.extend(lost.iter().map(|ticket| Report {
            ticket: ticket.id,
            outcome: Outcome::ClientLost("the script said so".into()),
        }));
        state.lost = false;
        state.refused = false;
        state.clients += 1;
        Ok(())
    }

    fn reachable(&self) -> bool {
        self.0.lock().reachable
    }

    fn status(&self) -> BrokerStatus {
        let state = self.0.lock();
        BrokerStatus {
            reachable: state.reachable,
            last_error: None,
            records_under_way: state.under_way.iter().map(|ticket| ticket.len()).sum(),
            bytes_under_way: 0,
            clients: state.clients,
            possible_duplicates: 0,
        }
    }

    fn leave(self: Box<Self>) {
        self.0.lock().left = true;
    }
}
