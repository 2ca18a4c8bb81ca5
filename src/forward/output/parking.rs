//! Parked lanes, and the one cursor that brings them back.
//!
//! Owns which lanes are parked, from which row each resumes, when each may try again, and who follows the catch-up cursor.
//! Promises that a lane is fed by exactly one cursor: no reading is missed or read twice where they meet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Output, Side, State};
use crate::clock::Mono;
use crate::forward::lane::Lane;
use crate::queue::types::RowNo;
use crate::reading::SensorNo;

/// Lanes that failed that often in a row are parked while others progress.
const FAILING: u32 = 3;

#[derive(Debug)]
pub(super) struct Parked {
    resume: RowNo,
    until: Mono,
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
                    until: Mono(0),
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

    /// When a parked lane tries again; `None` for one that waits for its turn.
    pub(super) fn due(&self, sensor: SensorNo) -> Option<Mono> {
        self.parked
            .get(&sensor)
            .filter(|parked| !parked.ready)
            .map(|parked| parked.until)
    }

    /// A parked lane's wait is over; true when it was one.
    pub(super) fn wake(&mut self, sensor: SensorNo, now: Mono) -> bool {
        match self.parked.get_mut(&sensor) {
            Some(parked) => {
                parked.ready |= parked.until <= now;
                true
            }
            None => false,
        }
    }

    /// Begins a round with all lanes that are ready, unless one is under way.
    pub(super) fn start(&mut self, lanes: &mut BTreeMap<SensorNo, Lane>) {
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
    /// Parks a lane with what it holds. Halted and failing lanes only: never one with a ticket under way.
    pub(super) fn park(&mut self, sensor: SensorNo) {
        let Some(lane) = self.lanes.get_mut(&sensor) else {
            return;
        };
        let (until, since, why) = match &lane.state {
            State::Halted {
                until, since, why, ..
            }
            | State::Backoff {
                until, since, why, ..
            } => (*until, *since, why.clone()),
            State::Idle | State::InFlight(_) => return,
        };
        let Some(resume) = lane.park(&mut self.needs) else {
            return;
        };
        self.parking.catching.remove(&sensor);
        self.trailing.remove(&sensor);
        self.parking.parked.insert(
            sensor,
            Parked {
                resume,
                until,
                since,
                why,
                ready: false,
            },
        );
        self.is_ready.remove(&sensor);
        self.ready.retain(|other| *other != sensor);
        self.held.remove(&sensor);
        self.parks.insert(sensor, resume);
        self.settle(sensor);
    }

    /// Makes room in a full budget, if it can.
    pub(super) fn relieve(&mut self) {
        for sensor in self.stuck() {
            self.park(sensor);
        }
        if self.ready.is_empty() && self.under_way < self.settings.under_way / 2 {
            self.end_oldest();
        }
    }

    /// Lanes that hold memory and will not give it back soon: the halted ones; those that keep failing while others progress.
    fn stuck(&self) -> Vec<SensorNo> {
        let others_progress = |since: Mono| self.last_delivery.is_some_and(|delivery| delivery > since);
        let stuck = |lane: &Lane| match &lane.state {
            State::Halted { .. } => true,
            State::Backoff { attempt, since, .. } => *attempt >= FAILING && others_progress(*since),
            State::Idle | State::InFlight(_) => false,
        };
        let waiting = self
            .waiting
            .iter()
            .filter(|sensor| self.lanes.get(sensor).is_some_and(stuck));
        waiting.copied().collect()
    }

    /// Ends open spans, the oldest first, until there is enough to send.
    fn end_oldest(&mut self) {
        while self.under_way < self.settings.under_way / 2
            && let Some(&(_, sensor)) = self.opens.first()
        {
            if let Some(lane) = self.lanes.get_mut(&sensor) {
                lane.close();
            }
            self.settle(sensor);
            self.dispatch();
        }
    }

    /// Where the two cursors meet, the lanes go over to the main one.
    pub(super) fn join_if_met(&mut self) {
        if self.parking.catching.is_empty() || self.parking.at < self.main {
            return;
        }
        for sensor in std::mem::take(&mut self.parking.catching) {
            if let Some(lane) = self.lanes.get_mut(&sensor) {
                lane.join(&mut self.needs);
            }
            self.trailing.insert(sensor);
            self.note_resume(sensor);
        }
        self.parking.start(&mut self.lanes);
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
