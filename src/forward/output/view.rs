//! What status shows of an output's lanes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Output, State};
use crate::clock::Mono;
use crate::reading::SensorNo;

/// A lane that waits for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// Whose.
    pub sensor: SensorNo,
    /// "backoff", "halted" or "parked".
    pub state: &'static str,
    /// Why.
    pub why: Arc<str>,
    /// Since when.
    pub since: Mono,
}

/// An output at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// How many lanes do what.
    pub lanes: BTreeMap<&'static str, u64>,
    /// Lanes that wait, at most 100.
    pub waiting: Vec<LaneView>,
    /// Readings under way.
    pub under_way: usize,
    /// Bytes that are read and not released.
    pub memory: usize,
    /// Readings that wait for the clock, as far as they are read.
    pub held: usize,
    /// When they stop waiting; `None` while Kafka was never reached.
    pub held_until: Option<Mono>,
}

const SHOWN: usize = 100;

impl Output {
    /// What status shows.
    #[must_use]
    pub fn view(&self) -> View {
        let mut view = View {
            under_way: self.under_way,
            memory: self.memory(),
            held_until: self.gate.deadline(),
            ..View::default()
        };
        for (sensor, lane) in &self.lanes {
            let (state, waits) = match &lane.state {
                _ if self.parking.is_parked(*sensor) => ("parked", None),
                State::Idle if self.held.contains(sensor) => ("held", None),
                State::Idle => ("idle", None),
                State::InFlight(_) => ("in-flight", None),
                State::Backoff { why, since, .. } => ("backoff", Some((why, since))),
                State::Halted { why, since, .. } => ("halted", Some((why, since))),
            };
            *view.lanes.entry(state).or_default() += 1;
            if let Some((why, since)) = waits {
                view.waiting.push(LaneView {
                    sensor: *sensor,
                    state,
                    why: why.clone(),
                    since: *since,
                });
            }
        }
        for (sensor, parked) in self.parking.all() {
            let (why, since) = parked.why();
            view.waiting.push(LaneView {
                sensor: *sensor,
                state: "parked",
                why: why.clone(),
                since,
            });
        }
        view.waiting.truncate(SHOWN);
        view.held = self
            .held
            .iter()
            .filter_map(|sensor| self.lanes.get(sensor)?.held())
            .sum();
        view
    }
}
