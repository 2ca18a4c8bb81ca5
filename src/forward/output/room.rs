//! Room in a full budget: who has to go, and which spans end early.
//!
//! Owns the rules of what happens when as much is read and not released as may be, while there is more to read. Promises
//! that lanes which go on are not held up by such that do not, as far as that can be told: a lane is stuck when it is
//! halted, when it keeps failing, when the broker says nothing of its ticket, or when it may not send for the silence of
//! its destination, the latter three while others progress.
//! When Kafka cannot be reached, waiting is all there is to do.

use std::time::Duration;

use super::{CLOCK_PACE, Output, State};
use crate::clock::Mono;
use crate::forward::lane::Lane;
use crate::reading::SensorNo;

/// Lanes that failed that often in a row are stuck while others progress.
const FAILING: u32 = 3;
/// The broker acknowledges within milliseconds to a few seconds: this is more than an election of leaders takes.
const LATE: Duration = Duration::from_secs(10);
/// When nothing is acknowledged at all though Kafka can be reached, there may be lanes behind in the queue that would be:
/// only parking those that fill the budget tells. Longer, since what is forgotten must be read again, and since a ticket
/// may take half a minute on a thin link.
const SILENT: Duration = Duration::from_secs(60);

impl Output {
    /// Whether as much is read and not released as may be.
    pub(super) fn is_full(&self) -> bool {
        self.needs.memory() >= self.settings.memory
    }

    fn has_more_to_read(&self) -> bool {
        !self.at_tail || self.is_catching_up()
    }

    /// Whether the catch-up cursor stands still because all that follow it are trying again after a failure: what would be
    /// read on for them may have to be read anew. Not for ever, for others may wait for their turn.
    pub(super) fn only_tries(&self) -> bool {
        let tries = |lane: &Lane| lane.is_trying();
        let news = |sensor: &SensorNo| {
            self.sent
                .at(*sensor)
                .is_some_and(|sent| self.now < sent.after(LATE))
        };
        self.is_catching_up()
            && (self.parking.followers())
                .all(|sensor| news(sensor) && self.lanes.get(sensor).is_some_and(tries))
    }

    /// When to look again whether there is room: that a lane is late is told by nobody.
    pub(super) fn look_for_room(&self) -> Option<Mono> {
        let full = self.is_full() && self.has_more_to_read() && self.sent.first().is_some();
        (full || self.only_tries()).then(|| self.now.after(CLOCK_PACE))
    }

    /// Makes room, if it can.
    pub(super) fn relieve(&mut self) {
        if !self.has_more_to_read() {
            return;
        }
        let stuck = self.failing().into_iter().chain(self.late());
        let stuck: Vec<_> = stuck.chain(self.behind_silent()).collect();
        for sensor in stuck {
            if !self.is_full() {
                return;
            }
            self.park(sensor);
        }
        if self.is_full() && self.ready.is_empty() && self.sent.first().is_none() {
            self.end_oldest();
        }
    }

    /// Lanes that are halted, and such that keep failing while others progress.
    fn failing(&self) -> Vec<SensorNo> {
        let others_progress = |since: Mono| self.last_delivery.is_some_and(|delivery| delivery > since);
        let stuck = |lane: &Lane| match &lane.state {
            State::Halted { .. } => true,
            State::Backoff { attempt, since, .. } => *attempt >= FAILING && others_progress(*since),
            State::Idle | State::InFlight(_) => false,
        };
        let waiting = self.waiting.iter();
        let stuck = waiting.filter(|sensor| self.lanes.get(sensor).is_some_and(stuck));
        stuck.copied().collect()
    }

    /// Lanes whose tickets the broker says nothing of, though it can be reached: such that were overtaken by a ticket which
    /// was sent later. Merely to wait behind others, on a slow link, is no fault.
    fn late(&self) -> Vec<SensorNo> {
        if !self.reachable {
            return Vec::new();
        }
        let ago = |span: Duration| Mono(self.now.0.saturating_sub(Mono(0).after(span).0));
        let overtaken = Mono(self.overtaken.0.saturating_sub(1)).min(ago(LATE));
        let is_silent = self.last_delivery.is_none_or(|delivery| delivery <= ago(SILENT));
        let overtaken = if is_silent {
            overtaken.max(ago(SILENT))
        } else {
            overtaken
        };
        self.sent.until(overtaken).collect()
    }

    /// Lanes that may not send because nothing is heard of their destination, while others progress.
    fn behind_silent(&self) -> Vec<SensorNo> {
        if self
            .last_delivery
            .is_none_or(|delivery| delivery.after(LATE) <= self.now)
        {
            return Vec::new();
        }
        let blocked = self.blocked.iter();
        let silent = blocked.filter(|(to, _)| self.shares.is_silent(to, self.now));
        silent.flat_map(|(_, lanes)| lanes.iter().copied()).collect()
    }

    /// Ends open spans, the oldest first, until there is enough to send.
    fn end_oldest(&mut self) {
        while self.under_way < self.settings.under_way / 2
            && let Some((_, sensor)) = self.opens.first()
        {
            if let Some(lane) = self.lanes.get_mut(&sensor) {
                lane.close();
            }
            self.settle(sensor);
            self.dispatch();
        }
    }
}
