//! What must hold, by values: every reading that is made anywhere has a number of its own for its value.
//!
//! Owns the log of what was made, receipted, stored, sent, arrived, acknowledged and released. It knows what the nodes, the
//! store's durable rows and the broker saw, and nothing of the agent's own bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use edgespool::intake::inbox::NodeKey;
use edgespool::queue::types::Column;
use edgespool::reading::{Epoch, SensorNo, TimeQuality, Value};
use edgespool::span::Rules;
use edgespool::ticket::{Piece, Ticket};

pub(super) use rows::told;
use spans::Spans;

mod rows;
mod spans;

/// What is known of one reading.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    sensor: usize,
    /// Among the readings of its sensor.
    order: u64,
    /// It need not arrive: its node rebooted or had no room, or its process died before the receipt.
    excused: bool,
    receipted: bool,
    durable: bool,
    /// Damage took it when it was durable.
    lost: Loss,
    arrived: bool,
    acknowledged: bool,
    /// The broker said that it will never take it.
    rejected: bool,
    /// It was given up for that.
    dead: bool,
}

/// What damage took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Loss {
    #[default]
    None,
    /// The newest rows: the queue noticed that they are gone, not what was in them.
    Tail,
    /// A row in the middle: its readings are dropped, unless they were read before.
    Row,
}

/// A reading's place: which epoch, by the order of the rows that began them, and which number there.
type Place = (usize, u64);

#[derive(Debug, Default)]
struct Sensor {
    name: String,
    made: u64,
    /// Values by epoch and sequence.
    stored: Vec<Vec<u64>>,
    /// Places whose readings went with a lost tail.
    gone: BTreeSet<Place>,
    last_stored: u64,
    last_arrived: Option<Place>,
    last_arrived_order: u64,
    released: Option<Place>,
    accepted: u64,
    delivered: u64,
    dropped: u64,
    dead: u64,
    spans: Spans,
}

/// One sensor's figures: next in the current epoch, accepted, delivered, dropped, dead.
pub(super) type Figures = (u64, u64, u64, u64, u64);

/// How a reading leaves the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Delivered,
    Dropped,
    Dead,
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    names: BTreeMap<String, usize>,
    sensors: Vec<Sensor>,
    made: Vec<Made>,
    epochs: Vec<Epoch>,
    numbers: BTreeMap<SensorNo, usize>,
    /// A checkpoint is being read.
    checkpoint: bool,
    /// Readings that nodes declared lost.
    lost_upstream: BTreeMap<NodeKey, u64>,
    /// Spans must end where the data say, always.
    pub(super) exact: Option<Rules>,
    /// Durable rows were lost: readings may be stored again.
    lossy: bool,
    /// Such a loss is not told yet: what the queue writes follows from what it could read, which nobody here knows.
    pub(super) adrift: bool,
    pub(super) counts: Counts,
}

/// That the test reaches what it is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) made: u64,
    pub(super) receipted: u64,
    pub(super) stored: u64,
    pub(super) arrived: u64,
    pub(super) again: u64,
    pub(super) released: u64,
    pub(super) dropped: u64,
    pub(super) dead: u64,
    pub(super) parked: u64,
    pub(super) checkpoints: u64,
    pub(super) epochs: u64,
}

impl Oracle {
    /// A new reading of a sensor: its value.
    pub(super) fn make(&mut self, name: &str) -> u64 {
        let index = self.index(name);
        let sensor = &mut self.sensors[index];
        sensor.made += 1;
        let made = Made {
            sensor: index,
            order: sensor.made,
            ..Made::default()
        };
        self.made.push(made);
        self.counts.made += 1;
        self.made.len() as u64
    }

    fn index(&mut self, name: &str) -> usize {
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let index = self.sensors.len();
        self.names.insert(name.to_owned(), index);
        self.sensors.push(Sensor {
            name: name.to_owned(),
            ..Sensor::default()
        });
        index
    }

    fn of(&mut self, value: u64) -> &mut Made {
        &mut self.made[value as usize - 1]
    }

    /// Its upstream has forgotten it without a receipt: it may arrive or not.
    pub(super) fn excuse(&mut self, value: u64) {
        self.of(value).excused = true;
    }

    /// It was never taken.
    pub(super) fn refuse(&mut self, value: u64) {
        self.excuse(value);
    }

    /// Its upstream was told that it is durable.
    pub(super) fn receipted(&mut self, value: u64) {
        let made = *self.of(value);
        assert!(
            made.durable || made.lost != Loss::None,
            "I2: a receipt for reading {value} of {}, which is not durable",
            self.sensors[made.sensor].name
        );
        self.of(value).receipted = true;
        self.counts.receipted += 1;
    }

    fn readings<'t>(ticket: &'t Ticket) -> impl Iterator<Item = (u64, u64)> + 't {
        let pieces = ticket.spans.iter().flat_map(|span| &span.pieces);
        pieces.flat_map(|piece| {
            (piece.from..piece.to).map(move |at| (piece.run.first + at as u64, value(piece, at)))
        })
    }

    /// The agent handed this to its client.
    pub(super) fn sent(&mut self, ticket: &Ticket) {
        let name = ticket.def.id.as_str();
        let index = self.index(name);
        let Some(epoch) = self.epochs.iter().position(|epoch| *epoch == ticket.epoch) else {
            panic!("I2: sent readings of an epoch that no durable row has");
        };
        let sensor = &mut self.sensors[index];
        for (sequence, value) in Self::readings(ticket) {
            let stored = sensor
                .stored
                .get(epoch)
                .and_then(|list| list.get(sequence as usize - 1));
            assert_eq!(
                stored,
                Some(&value),
                "I2, I5: {name} sent {value} as {epoch}/{sequence}, durable there is the left one"
            );
            assert!(
                sensor
                    .released
                    .is_none_or(|released| released < (epoch, sequence)),
                "I4: {name} {epoch}/{sequence} was released durably and is sent again"
            );
        }
        let rules = self.exact;
        for span in &ticket.spans {
            let told = sensor.spans.sent(epoch, span.first(), span.last(), rules);
            told.unwrap_or_else(|why| panic!("I3: {name}: {why}"));
        }
    }

    /// The broker has appended this to its log.
    pub(super) fn arrived(&mut self, ticket: &Ticket) {
        let index = self.index(ticket.def.id.as_str());
        let Some(epoch) = self.epochs.iter().position(|epoch| *epoch == ticket.epoch) else {
            return;
        };
        for (sequence, value) in Self::readings(ticket) {
            let order = self.of(value).order;
            let was_lost = self.of(value).lost != Loss::None;
            self.of(value).arrived = true;
            self.counts.arrived += 1;
            let sensor = &mut self.sensors[index];
            let place = (epoch, sequence);
            if sensor.last_arrived.is_some_and(|last| place <= last) {
                self.counts.again += 1;
                continue;
            }
            assert!(
                order > sensor.last_arrived_order || was_lost || self.lossy,
                "order: {} {place:?} is reading {order}, after {}",
                sensor.name,
                sensor.last_arrived_order
            );
            sensor.last_arrived = Some(place);
            sensor.last_arrived_order = order;
        }
    }

    /// The agent hears that all of it arrived.
    pub(super) fn acknowledged(&mut self, ticket: &Ticket) {
        for (_, value) in Self::readings(ticket) {
            self.of(value).acknowledged = true;
        }
    }

    /// The broker will never take this one.
    pub(super) fn rejected(&mut self, ticket: &Ticket, sequence: u64) {
        let found = Self::readings(ticket).find(|(other, _)| *other == sequence);
        if let Some((_, value)) = found {
            self.of(value).rejected = true;
        }
    }

    /// What the queue's own ledger must say of each sensor, by its number.
    pub(super) fn figures(&self) -> BTreeMap<SensorNo, Figures> {
        let epoch = self.epochs.len().saturating_sub(1);
        let of = |sensor: &Sensor| {
            let next = sensor.stored.get(epoch).map_or(1, |list| list.len() as u64 + 1);
            (
                next,
                sensor.accepted,
                sensor.delivered,
                sensor.dropped,
                sensor.dead,
            )
        };
        self.numbers
            .iter()
            .map(|(number, index)| (*number, of(&self.sensors[*index])))
            .collect()
    }

    /// All faults are over and all has drained.
    pub(super) fn check_end(&self) {
        for (value, made) in (1..).zip(&self.made) {
            let name = &self.sensors[made.sensor].name;
            let lost = made.lost != Loss::None || made.dead;
            assert!(
                made.arrived || !made.receipted || lost,
                "{name}: {value} was receipted and is missing"
            );
            assert!(
                made.arrived || !made.durable || lost,
                "{name}: {value} was stored and never arrived"
            );
            assert!(
                made.receipted || made.excused || lost,
                "{name}: {value} was neither receipted nor given up"
            );
        }
        for sensor in &self.sensors {
            let last = sensor.stored.iter().rposition(|list| !list.is_empty());
            let last = last.map(|epoch| (epoch, sensor.stored[epoch].len() as u64));
            assert!(
                self.lossy || sensor.released == last,
                "{}: released {:?} of {last:?}",
                sensor.name,
                sensor.released
            );
        }
    }
}

fn value(piece: &Piece, at: usize) -> u64 {
    match piece.run.columns.first().map(|column: &Column| column.at(at)) {
        Some(Value::Number(number)) => number as u64,
        other => panic!("a value that nobody made: {other:?}"),
    }
}

/// Nothing of a clock that is not right goes yet.
pub(super) fn check_gate(ticket: &Ticket) {
    for piece in ticket.spans.iter().flat_map(|span| &span.pieces) {
        let unsynced = |at| piece.run.marks.at(at).1 == TimeQuality::Unsynced;
        let early = (piece.from..piece.to).any(unsynced);
        assert!(
            !early,
            "a reading of a clock that was never right went too early: {}",
            ticket.def.id
        );
    }
}
