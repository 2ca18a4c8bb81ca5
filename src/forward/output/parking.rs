//! Parked lanes, and the one cursor that brings them back.
//!
//! Owns which lanes are parked, from which row each resumes, when each may try again, and who follows the catch-up cursor.
//! Promises that a lane is fed by exactly one cursor: no reading is missed or read twice where they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Output, Side, State};
use crate::clock::Mono;
use crate::forward::backoff;
use crate::forward::lane::Lane;
use crate::planted::{self, Bug};
use crate::queue::types::RowNo;
use crate::reading::SensorNo;

#[derive(Debug)]
pub(super) struct Parked {
    resume: RowNo,
    /// When it tries again; `None` while the broker has its ticket.
    until: Option<Mono>,
    since: Mono,
    why: Arc<str>,
    ready: bool,
}

impl Parked {
    pub(super) fn why(&self) -> (&Arc<str>, Mono) {
        (&self.why, self.since)
    }
}

#[derive(Debug, Default)]
pub(super) struct Parking {
    parked: BTreeMap<SensorNo, Parked>,
    /// Lanes that follow the catch-up cursor.
    catching: BTreeSet<SensorNo>,
    at: RowNo,
    turn: u8,
}

impl Parking {
    /// With the lanes that were parked when the queue was closed: they try at once.
    pub(super) fn new(parked: &[(SensorNo, RowNo)]) -> Self {
        let entry = |(sensor, resume): &(SensorNo, RowNo)| {
            let why = Arc::from("parked before the agent was restarted");
            (
                *sensor,
                Parked {
                    resume: *resume,
                    until: None,
                    since: Mono(0),
                    why,
                    ready: true,
                },
            )
        };
        let mut this = Self {
            parked: parked.iter().map(entry).collect(),
            ..Self::default()
        };
        this.begin();
        this
    }

    pub(super) fn is_parked(&self, sensor: SensorNo) -> bool {
        self.parked.contains_key(&sensor)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&SensorNo, &Parked)> {
        self.parked.iter()
    }

    /// Whether the lane follows the catch-up cursor.
    pub(super) fn follows(&self, sensor: SensorNo) -> bool {
        self.catching.contains(&sensor)
    }

    /// The lanes that follow the catch-up cursor.
    pub(super) fn followers(&self) -> impl Iterator<Item = &SensorNo> {
        self.catching.iter()
    }

    /// When a parked lane tries again; `None` for one that waits for its turn.
    pub(super) fn due(&self, sensor: SensorNo) -> Option<Mono> {
        self.parked
            .get(&sensor)
            .filter(|parked| !parked.ready)
            .and_then(|parked| parked.until)
    }

    /// A parked lane's wait is over; true when it was one.
    pub(super) fn wake(&mut self, sensor: SensorNo, now: Mono) -> bool {
        match self.parked.get_mut(&sensor) {
            Some(parked) => {
                parked.ready |= parked.until.is_some_and(|until| until <= now);
                true
            }
            None => false,
        }
    }

    fn start(&mut self, lanes: &mut BTreeMap<SensorNo, Lane>) {
        self.begin();
        for sensor in &self.catching {
            if let Some(lane) = lanes.get_mut(sensor) {
                lane.side = Side::CatchUp;
            }
        }
    }

    fn begin(&mut self) {
        if !self.catching.is_empty() {
            return;
        }
        let ready: Vec<_> = self
            .parked
            .iter()
            .filter(|(_, p)| p.ready)
            .map(|(s, p)| (*s, p.resume))
            .collect();
        if let Some(lowest) = ready.iter().map(|(_, resume)| *resume).min() {
            self.at = lowest;
            self.catching = ready.into_iter().map(|(sensor, _)| sensor).collect();
            self.catching
                .iter()
                .for_each(|sensor| drop(self.parked.remove(sensor)));
        }
    }

    /// The row that the catch-up cursor reads next; `None` when there is none, or it has met the main cursor at `main`.
    pub(super) fn next(&self, main: RowNo) -> Option<RowNo> {
        (!self.catching.is_empty() && self.at < main).then_some(self.at)
    }

    /// Three rows of the backlog for each of the main cursor's.
    pub(super) fn takes_turn(&mut self) -> bool {
        self.turn = (self.turn + 1) % 4;
        self.turn != 0
    }

    pub(super) fn moved(&mut self, next: RowNo) {
        self.at = next;
    }
}

impl Output {
    /// Parks a lane: halted, failing and blocked ones with all they hold, late ones with all but the ticket that is under way. That
    /// counts no longer against what may be under way.
    pub(super) fn park(&mut self, sensor: SensorNo) {
        let position = if self.parking.follows(sensor) {
            self.parking.at
        } else {
            self.main
        };
        let Some(lane) = self.lanes.get_mut(&sensor) else {
            return;
        };
        let (resume, until, since, why) = match &lane.state {
            State::Halted {
                until, since, why, ..
            }
            | State::Backoff {
                until, since, why, ..
            } => {
                let (until, since, why) = (*until, *since, why.clone());
                (lane.park(&mut self.needs), Some(until), since, why)
            }
            State::InFlight(ticket) => {
                self.under_way = self.under_way.saturating_sub(ticket.len());
                self.shares.forget(ticket.id);
                let since = self.sent.at(sensor).unwrap_or(self.now);
                self.sent.set(sensor, None);
                let why = Arc::from("the broker says nothing of what was sent");
                (lane.shed(&mut self.needs), None, since, why)
            }
            State::Idle => {
                let until = self.now.after(backoff::halted(self.dice.roll()));
                let why = Arc::from("nothing is heard of what others sent to the same topic");
                (lane.park(&mut self.needs), Some(until), self.now, why)
            }
        };
        let resume = resume.unwrap_or(position) + RowNo::from(planted::has(Bug::LateResume));
        self.parks.insert(sensor, lane.first_row().unwrap_or(resume));
        self.parking.catching.remove(&sensor);
        self.trailing.remove(&sensor);
        let parked = Parked {
            resume,
            until,
            since,
            why,
            ready: false,
        };
        self.parking.parked.insert(sensor, parked);
        self.is_ready.remove(&sensor);
        self.ready.retain(|other| *other != sensor);
        for blocked in self.blocked.values_mut() {
            blocked.retain(|other| *other != sensor);
        }
        self.held.remove(&sensor);
        self.settle(sensor);
        self.next_round();
    }

    /// What a report changes beside the lane itself: where it would resume, and whether it is parked.
    pub(super) fn note_report(&mut self, sensor: SensorNo) {
        let Some(lane) = self.lanes.get_mut(&sensor) else {
            return;
        };
        let is_idle = lane.state == State::Idle;
        let is_halted = matches!(lane.state, State::Halted { .. });
        if !self.parking.is_parked(sensor) {
            if is_halted && self.parking.follows(sensor) {
                // There is no use in reading on for it: its next try begins with reading anew.
                return self.park(sensor);
            }
            return self.note_resume(sensor);
        }
        if !is_idle {
            return self.park(sensor);
        }
        // Late, but here. What a split put back is cut anew.
        let again = lane.park(&mut self.needs);
        if let Some(parked) = self.parking.parked.get_mut(&sensor) {
            parked.resume = again.unwrap_or(parked.resume);
            parked.ready = true;
            self.parks.insert(sensor, parked.resume);
        }
        self.next_round();
    }

    /// Begins a round with all lanes that are ready, unless one is under way.
    pub(super) fn next_round(&mut self) {
        self.parking.start(&mut self.lanes);
        self.join_if_met();
    }

    /// Where the two cursors meet, the lanes go over to the main one.
    pub(super) fn join_if_met(&mut self) {
        while !self.parking.catching.is_empty() && self.parking.at >= self.main {
            for sensor in std::mem::take(&mut self.parking.catching) {
                if let Some(lane) = self.lanes.get_mut(&sensor) {
                    lane.join(&mut self.needs);
                }
                self.trailing.insert(sensor);
                self.note_resume(sensor);
            }
            self.parking.start(&mut self.lanes);
        }
    }

    /// A lane that catches up has released something: it would resume further on. One that has joined the main cursor keeps
    /// its resume row until it needs nothing before the head that the queue knows, for a head never goes back.
    pub(super) fn note_resume(&mut self, sensor: SensorNo) {
        let first = self.lanes.get(&sensor).and_then(Lane::first_row);
        if self.parking.follows(sensor) {
            self.parks.insert(sensor, first.unwrap_or(self.parking.at));
        } else if self.trailing.contains(&sensor) {
            let behind = first.filter(|row| *row < self.head);
            if behind.is_none() {
                self.trailing.remove(&sensor);
            }
            self.parks.insert(sensor, behind.unwrap_or(0));
        }
    }
}
