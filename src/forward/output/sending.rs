//! Tickets on their way out: whose turn it is, and where there is room.
//!
//! Owns fairness between lanes and the allowance of what is under way, with the quarter rule of destinations.

use std::sync::Arc;

use super::{Destination, Output};
use crate::planted::{self, Bug};
use crate::queue::types::{Entry, Release};
use crate::reading::{SensorDef, SensorNo};
use crate::ticket::{Ticket, TicketId};

impl Output {
    /// Sends while there is something to send and the allowance is not used up.
    pub(super) fn dispatch(&mut self) {
        while self.shares.has_room(self.now)
            && let Some(sensor) = self.ready.pop_front()
        {
            if let Some((_, to)) = self.destinations.get(&sensor)
                && !self.shares.admits(to, self.now)
            {
                self.blocked.entry(to.clone()).or_default().push_back(sensor);
                continue;
            }
            self.is_ready.remove(&sensor);
            let Some(lane) = self.lanes.get_mut(&sensor) else {
                continue;
            };
            let id = TicketId(self.next_ticket);
            if let Some(ticket) = lane.ticket(id, self.gate.is_open(), &mut self.entries) {
                self.next_ticket += 1;
                self.send(ticket);
            }
            self.settle(sensor);
        }
    }

    /// Remembers where a lane's records go; anew when its definition changes.
    pub(super) fn destine(&mut self, sensor: SensorNo, def: &Arc<SensorDef>) {
        let is_known = |(known, _): &(Arc<SensorDef>, Destination)| Arc::ptr_eq(known, def) || known == def;
        if !self.destinations.get(&sensor).is_some_and(is_known) {
            let to = (self.settings.destination)(def);
            self.shares.know(&to);
            self.destinations.insert(sensor, (def.clone(), to));
        }
    }

    pub(super) fn send(&mut self, ticket: Arc<Ticket>) {
        if planted::has(Bug::ReleaseBeforeReport) {
            self.entries.push(Entry::Release(Release {
                output: ticket.output,
                sensor: ticket.sensor,
                epoch: ticket.epoch,
                through: ticket.last(),
            }));
        }
        self.under_way += ticket.len();
        self.tickets.insert(ticket.id, ticket.sensor);
        if let Some((_, to)) = self.destinations.get(&ticket.sensor) {
            self.shares.sent(to, ticket.id, ticket.len(), self.now);
        }
        self.sent.set(ticket.sensor, Some(self.now));
        self.sends.push(ticket);
    }
}
