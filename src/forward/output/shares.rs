//! The quarter rule: what each destination has under way, and how much more it may.
//!
//! A destination is what fails as one: a topic. Where there are several, one that has not acknowledged anything yet, or
//! says nothing of what was sent to it for a while, has no more than a quarter of the allowance under way, and counts with
//! no more than that, so that it cannot stop the others. One that acknowledges has half of it. A destination that is alone
//! has all of it, whatever it does. Owns those counts. Pure. Must not know lanes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Mono;
use crate::ticket::TicketId;

/// A destination that says nothing of its oldest ticket for so long is silent, until it acknowledges something: more than
/// a round trip and a broker's pause, less than an election of leaders.
const SILENT: Duration = Duration::from_secs(2);

/// A destination's name.
pub type Destination = Arc<str>;

#[derive(Debug, Default)]
struct Share {
    /// Readings under way.
    held: usize,
    /// Its tickets, oldest first.
    sent: BTreeSet<(Mono, TicketId)>,
    /// When it last acknowledged something.
    acknowledged: Option<Mono>,
}

impl Share {
    fn is_silent(&self, now: Mono) -> bool {
        match (self.acknowledged, self.sent.first()) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(last), Some((oldest, _))) => last.max(*oldest).after(SILENT) <= now,
        }
    }
}

/// All destinations of an output.
#[derive(Debug)]
pub(super) struct Shares {
    allowance: usize,
    of: HashMap<Destination, Share>,
    /// Those that hold more than a quarter: a few at most.
    large: BTreeSet<Destination>,
    tickets: HashMap<TicketId, (Destination, Mono, usize)>,
    held: usize,
}

impl Shares {
    /// With that many readings under way at most.
    pub(super) fn new(allowance: usize) -> Self {
        Self {
            allowance,
            of: HashMap::new(),
            large: BTreeSet::new(),
            tickets: HashMap::new(),
            held: 0,
        }
    }

    /// There is such a destination: from the second one on, none may have all.
    pub(super) fn know(&mut self, to: &Destination) {
        self.of.entry(to.clone()).or_default();
    }

    /// A ticket is under way.
    pub(super) fn sent(&mut self, to: &Destination, id: TicketId, readings: usize, now: Mono) {
        let share = self.of.entry(to.clone()).or_default();
        share.held += readings;
        share.sent.insert((now, id));
        if share.held > self.allowance / 4 {
            self.large.insert(to.clone());
        }
        self.held += readings;
        self.tickets.insert(id, (to.clone(), now, readings));
    }

    /// A ticket was reported, and everything in it dealt with (`acknowledged`) or not; where it went.
    pub(super) fn reported(&mut self, id: TicketId, acknowledged: bool, now: Mono) -> Option<Destination> {
        let (to, sent, readings) = self.tickets.remove(&id)?;
        let share = self.of.get_mut(&to)?;
        share.held = share.held.saturating_sub(readings);
        share.sent.remove(&(sent, id));
        // What does not take everything has to show anew that it takes something.
        share.acknowledged = acknowledged.then_some(now);
        if share.held <= self.allowance / 4 {
            self.large.remove(&to);
        }
        self.held = self.held.saturating_sub(readings);
        Some(to)
    }

    /// A ticket of which nothing was heard counts no longer; it may still be reported.
    pub(super) fn forget(&mut self, id: TicketId) {
        if let Some((to, sent, readings)) = self.tickets.remove(&id)
            && let Some(share) = self.of.get_mut(&to)
        {
            share.held = share.held.saturating_sub(readings);
            share.sent.remove(&(sent, id));
            if share.held <= self.allowance / 4 {
                self.large.remove(&to);
            }
            self.held = self.held.saturating_sub(readings);
        }
    }

    /// Whether there is room at all. A destination that is silent counts with a quarter at most.
    pub(super) fn has_room(&self, now: Mono) -> bool {
        if self.of.len() <= 1 {
            return self.held < self.allowance;
        }
        let quarter = self.allowance / 4;
        let over: usize = (self.large.iter())
            .filter_map(|to| self.of.get(to))
            .filter(|share| share.is_silent(now))
            .map(|share| share.held - quarter)
            .sum();
        self.held - over < self.allowance
    }

    /// Whether more may go there, when there is room at all.
    pub(super) fn admits(&self, to: &Destination, now: Mono) -> bool {
        let Some(share) = self.of.get(to) else {
            return true;
        };
        let limit = if self.of.len() <= 1 {
            self.allowance
        } else if share.acknowledged.is_none() || share.is_silent(now) {
            self.allowance / 4
        } else {
            self.allowance / 2
        };
        share.held < limit.max(1)
    }

    /// Whether nothing was heard for that long of what was sent there.
    pub(super) fn is_silent(&self, to: &Destination, now: Mono) -> bool {
        self.of.get(to).is_some_and(|share| {
            let oldest = share.sent.first().map(|(sent, _)| *sent);
            oldest.is_some_and(|oldest| oldest.after(SILENT) <= now) && share.is_silent(now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    struct Bench {
        shares: Shares,
        next: u64,
        now: Mono,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                shares: Shares::new(1000),
                next: 0,
                now: Mono(SECOND),
            }
        }

        /// Sends tickets of 100 there while it may; their IDs.
        fn fill(&mut self, to: &str) -> Vec<TicketId> {
            let to: Destination = to.into();
            self.shares.know(&to);
            let mut ids = Vec::new();
            while self.shares.has_room(self.now) && self.shares.admits(&to, self.now) {
                self.next += 1;
                let id = TicketId(self.next);
                self.shares.sent(&to, id, 100, self.now);
                ids.push(id);
            }
            ids
        }

        fn acknowledge(&mut self, ids: &[TicketId]) {
            for id in ids {
                assert!(self.shares.reported(*id, true, self.now).is_some());
            }
        }

        fn pass(&mut self, seconds: u64) {
            self.now = self.now.after(Duration::from_secs(seconds));
        }
    }

    #[test]
    fn what_never_acknowledged_gets_a_quarter_and_what_is_alone_gets_all() {
        let mut bench = Bench::new();
        let first = bench.fill("a");
        assert_eq!(first.len(), 10);
        bench.acknowledge(&first);
        let other = bench.fill("b");
        assert_eq!(
            other.len(),
            3,
            "not above a quarter but for the ticket that reaches it"
        );
        bench.acknowledge(&other);
        assert_eq!(bench.fill("b").len(), 5);
        assert_eq!(bench.fill("a").len(), 5);
    }

    #[test]
    fn a_destination_that_falls_silent_with_all_of_it_leaves_three_quarters_to_the_others() {
        let mut bench = Bench::new();
        let first = bench.fill("a");
        bench.acknowledge(&first);
        assert_eq!(bench.fill("a").len(), 10);
        assert_eq!(bench.fill("b").len(), 0, "full, and a is only slow yet");
        bench.pass(3);
        let other = bench.fill("b");
        assert_eq!(other.len(), 3);
        bench.acknowledge(&other);
        assert_eq!(bench.fill("b").len(), 5);
        assert_eq!(bench.fill("a").len(), 0);
        assert!(bench.shares.is_silent(&"a".into(), bench.now));
        assert!(!bench.shares.is_silent(&"b".into(), bench.now));
    }

    #[test]
    fn silence_ends_with_an_acknowledgement_and_not_with_another_report() {
        let mut bench = Bench::new();
        let first = bench.fill("a");
        bench.acknowledge(&first);
        let all = bench.fill("a");
        bench.pass(3);
        bench.shares.reported(all[0], false, bench.now);
        assert!(bench.shares.is_silent(&"a".into(), bench.now));
        bench.acknowledge(&all[1..2]);
        assert!(!bench.shares.is_silent(&"a".into(), bench.now));
        assert_eq!(bench.fill("a").len(), 2);
    }
}
