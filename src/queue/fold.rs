//! The queue's whole state, as a pure fold over its rows.
//!
//! The same code serves recovery, the running queue, tests and the simulation. Promises that a checkpoint of a state,
//! folded from nothing, is that state again; and the second line of invariant I6 for each sensor and output:
//! accepted = delivered + queued + dead + dropped. Must not know bytes, files, clocks or what a source or broker is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::types::{DropReason, Entry, OutputNo, OutputStanding, Release, Row, RowNo, SensorStanding};
use crate::event;
use crate::intake::inbox::{NodeKey, NodePosition};
use crate::planted::{self, Bug};
use crate::reading::{Epoch, SensorDef, SensorNo};

/// One sensor at one output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AtOutput {
    /// The watermark: everything up to this is acknowledged, dead or dropped; `None` before the first.
    pub released: Option<(Epoch, u64)>,
    /// Readings delivered.
    pub delivered: u64,
    /// Readings given up as dead letters.
    pub dead: u64,
    /// Readings dropped, by reason.
    pub dropped: [u64; DropReason::ALL.len()],
}

/// One sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorState {
    /// What is known of it; `None` only while a checkpoint is read.
    pub def: Option<Arc<SensorDef>>,
    /// The sequence number that its next reading gets, in the current epoch.
    pub next: u64,
    /// Readings accepted since the queue was made, over all epochs.
    pub accepted: u64,
    /// Its standing at each output, by the output's number.
    pub outputs: Vec<AtOutput>,
}

impl Default for SensorState {
    fn default() -> Self {
        Self {
            def: None,
            next: 1,
            accepted: 0,
            outputs: Vec::new(),
        }
    }
}

/// How many readings are where. All since the queue was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Committed.
    pub accepted: u64,
    /// Acknowledged by the output's broker.
    pub delivered: u64,
    /// Neither delivered nor given up.
    pub queued: u64,
    /// Given up: the broker will never take them.
    pub dead: u64,
    /// Given up by the queue, all reasons.
    pub dropped: u64,
    /// The same by reason.
    pub dropped_by: [u64; DropReason::ALL.len()],
}

impl std::ops::AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.queued += other.queued;
        self.dead += other.dead;
        self.dropped += other.dropped;
        for (sum, more) in self.dropped_by.iter_mut().zip(other.dropped_by) {
            *sum += more;
        }
    }
}

impl SensorState {
    /// Whether this is where the agent's own events stand.
    #[must_use]
    pub fn is_events(&self) -> bool {
        self.def.as_deref().is_some_and(event::is_events)
    }

    /// This sensor's ledger at an output.
    #[must_use]
    pub fn ledger(&self, output: OutputNo) -> Ledger {
        let none = AtOutput::default();
        let at = self.outputs.get(usize::from(output.0)).unwrap_or(&none);
        let dropped = at.dropped.iter().sum();
        let queued = self.accepted.saturating_sub(at.delivered + at.dead + dropped);
        Ledger {
            accepted: self.accepted,
            delivered: at.delivered,
            queued,
            dead: at.dead,
            dropped,
            dropped_by: at.dropped,
        }
    }
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputState {
    /// Nothing before this row is still needed, parked lanes aside.
    pub head: RowNo,
    /// Parked lanes and where they resume.
    pub parked: BTreeMap<SensorNo, RowNo>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// The number of the next row.
    pub next_row: RowNo,
    /// The epochs, in the order of the rows that began them; the last is the current one.
    pub epochs: Vec<Epoch>,
    /// The number and ID of the last boot that stored something.
    pub boot: Option<(u32, [u8; 16])>,
    /// The sensors, by their number.
    pub sensors: Vec<SensorState>,
    /// How far each node's readings are stored.
    pub nodes: BTreeMap<NodeKey, NodePosition>,
    /// The outputs, by their number.
    pub outputs: Vec<OutputState>,
    /// True once the checkpoint at the start of the generation was read to its end.
    pub complete: bool,
}

impl State {
    /// The state of a new queue: nothing but an epoch.
    #[must_use]
    pub fn new(epoch: Epoch, outputs: usize) -> Self {
        Self {
            next_row: 1,
            epochs: vec![epoch],
            outputs: vec![OutputState::default(); outputs],
            ..Self::default()
        }
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epochs.last().copied().unwrap_or(Epoch(0))
    }

    /// All sensors together, at an output; the agent's own events are in no ledger of readings.
    #[must_use]
    pub fn ledger(&self, output: OutputNo) -> Ledger {
        let mut sum = Ledger::default();
        let sensors = self.sensors.iter().filter(|sensor| !sensor.is_events());
        sensors.for_each(|sensor| sum += sensor.ledger(output));
        sum
    }

    /// The events' own ledger, at an output.
    #[must_use]
    pub fn events(&self, output: OutputNo) -> Ledger {
        let own = self.sensors.iter().find(|sensor| sensor.is_events());
        own.map(|sensor| sensor.ledger(output)).unwrap_or_default()
    }

    /// Readings that nodes declared lost since the queue was made: they never arrived here.
    #[must_use]
    pub fn lost_upstream(&self) -> u64 {
        self.nodes
            .values()
            .fold(0, |sum, node| sum.saturating_add(node.lost))
    }

    /// The lowest row that anything still needs: everything before it may be removed.
    #[must_use]
    pub fn floor(&self) -> RowNo {
        let needs = |output: &OutputState| output.parked.values().copied().chain([output.head]).min();
        self.outputs.iter().filter_map(needs).min().unwrap_or(0)
    }

    /// Folds in one row, as it was read back.
    pub fn apply(&mut self, row: &Row) {
        self.next_row = row.number + 1;
        row.entries.iter().for_each(|entry| self.entry(entry));
        for run in &row.runs {
            self.accept(run.sensor, run.first, run.len() as u64);
        }
    }

    /// Folds in the readings of one run. Sequence numbers that are jumped over were accepted too: their row is damaged.
    pub fn accept(&mut self, sensor: SensorNo, first: u64, count: u64) {
        let state = self.sensor(sensor);
        let next = first.saturating_add(count);
        state.accepted += next.saturating_sub(state.next);
        state.next = state.next.max(next);
    }

    /// Folds in one entry.
    pub fn entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Epoch(epoch) => self.begin(*epoch),
            Entry::Boot { number, id } => self.boot = Some((*number, *id)),
            Entry::Define { sensor, def } => self.sensor(*sensor).def = Some(def.clone()),
            Entry::Release(Release {
                output,
                sensor,
                epoch,
                through,
            }) => {
                let (at, gained) = self.advance(*output, *sensor, *epoch, *through);
                at.delivered += gained;
            }
            Entry::Dead {
                output,
                sensor,
                epoch,
                through,
                ..
            } => {
                let (at, gained) = self.advance(*output, *sensor, *epoch, *through);
                at.dead += gained;
            }
            Entry::Drop {
                sensor,
                epoch,
                through,
                reason,
                ..
            } => {
                for output in 0..u16::try_from(self.outputs.len()).unwrap_or(u16::MAX) {
                    let (at, gained) = self.advance(OutputNo(output), *sensor, *epoch, *through);
                    if let Some(count) = at.dropped.get_mut(*reason as usize) {
                        *count += gained;
                    }
                }
            }
            Entry::Node(position) => {
                // A checkpoint has the sum, any other row what is new.
                let lost = self.nodes.get(&position.node).map_or(0, |known| known.lost);
                let lost = lost.saturating_add(position.lost);
                let position = NodePosition {
                    lost,
                    ..position.clone()
                };
                self.nodes.insert(position.node.clone(), position);
            }
            Entry::Head { output, row } => {
                let output = self.output(*output);
                output.head = output.head.max(*row);
            }
            Entry::Park {
                output,
                sensor,
                row: 0,
            } => {
                self.output(*output).parked.remove(sensor);
            }
            Entry::Park { output, sensor, row } => {
                self.output(*output).parked.insert(*sensor, *row);
            }
            Entry::Sensor(standing) => self.standing(standing),
            Entry::Standing(standing) => self.standing_at(standing),
            Entry::CheckpointEnd => self.complete = true,
        }
    }

    /// A new epoch: every sensor's sequence starts at 1 again. In a checkpoint, epochs stand before the sensors.
    fn begin(&mut self, epoch: Epoch) {
        if !self.epochs.contains(&epoch) {
            self.epochs.push(epoch);
            self.sensors.iter_mut().for_each(|sensor| sensor.next = 1);
        }
    }

    /// How many readings a watermark would cover that no earlier one does.
    pub(super) fn gain(&self, output: OutputNo, sensor: SensorNo, epoch: Epoch, through: u64) -> u64 {
        let order = |wanted: Epoch| self.epochs.iter().position(|known| *known == wanted);
        let before = self
            .sensors
            .get(sensor.index())
            .and_then(|s| s.outputs.get(usize::from(output.0)));
        match before.and_then(|at| at.released) {
            Some((released, upto)) if released == epoch => through.saturating_sub(upto),
            Some((released, _)) if order(released) > order(epoch) => 0,
            _ => through,
        }
    }

    /// Moves a watermark, never back (I4); returns how many readings that covers.
    fn advance(
        &mut self,
        output: OutputNo,
        sensor: SensorNo,
        epoch: Epoch,
        through: u64,
    ) -> (&mut AtOutput, u64) {
        let gained = self.gain(output, sensor, epoch, through);
        let at = self.at(sensor, output);
        if gained > 0 {
            at.released = Some((epoch, through));
        }
        (at, gained)
    }

    fn standing(&mut self, standing: &SensorStanding) {
        let state = self.sensor(SensorNo(standing.sensor));
        state.next = standing.next;
        state.accepted = standing.accepted;
    }

    fn standing_at(&mut self, standing: &OutputStanding) {
        let at = self.at(SensorNo(standing.sensor), OutputNo(standing.output));
        *at = AtOutput {
            released: (standing.epoch != 0).then_some((Epoch(standing.epoch), standing.through)),
            delivered: standing.delivered,
            dead: standing.dead,
            dropped: standing.dropped,
        };
    }

    fn sensor(&mut self, sensor: SensorNo) -> &mut SensorState {
        grown(&mut self.sensors, sensor.index())
    }

    fn output(&mut self, output: OutputNo) -> &mut OutputState {
        grown(&mut self.outputs, usize::from(output.0))
    }

    fn at(&mut self, sensor: SensorNo, output: OutputNo) -> &mut AtOutput {
        grown(&mut self.sensor(sensor).outputs, usize::from(output.0))
    }

    /// The entries from which [`State::apply`] makes this state again, but for [`Entry::CheckpointEnd`].
    #[must_use]
    pub fn checkpoint(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.epochs.iter().map(|epoch| Entry::Epoch(*epoch)).collect();
        entries.extend(self.boot.map(|(number, id)| Entry::Boot { number, id }));
        for (number, sensor) in (0..).zip(&self.sensors) {
            entries.extend(sensor.def.clone().map(|def| Entry::Define {
                sensor: SensorNo(number),
                def,
            }));
            let (next, accepted) = (sensor.next, sensor.accepted);
            entries.push(Entry::Sensor(Box::new(SensorStanding {
                sensor: number,
                next,
                accepted,
            })));
            for (output, at) in (0..).zip(&sensor.outputs) {
                entries.push(Entry::Standing(Box::new(stored(output, number, at))));
            }
        }
        entries.extend(self.nodes.values().cloned().map(Entry::Node));
        for (output, state) in (0..).map(OutputNo).zip(&self.outputs) {
            entries.push(Entry::Head {
                output,
                row: state.head,
            });
            let parked = state.parked.iter();
            entries.extend(parked.map(|(sensor, row)| Entry::Park {
                output,
                sensor: *sensor,
                row: *row,
            }));
        }
        entries
    }
}

fn stored(output: u16, sensor: u32, at: &AtOutput) -> OutputStanding {
    let (epoch, mut through) = at.released.map_or((0, 0), |(epoch, through)| (epoch.0, through));
    if planted::has(Bug::WatermarkBack) {
        through = through.saturating_sub(1);
    }
    OutputStanding {
        output,
        sensor,
        epoch,
        through,
        delivered: at.delivered,
        dead: at.dead,
        dropped: at.dropped,
    }
}

/// The most sensors or outputs that a damaged number can make the state grow to.
const MOST: usize = 1 << 20;

fn grown<T: Default + Clone>(list: &mut Vec<T>, index: usize) -> &mut T {
    let index = index.min(MOST);
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

#[cfg(test)]
#[path = "fold/tests.rs"]
mod tests;
