//! One node: what to do with each of its messages.
//!
//! Pure but for the catalog, which it is handed. Owns how far the node's readings were handed in, its clock, its sensors
//! and the acknowledgements that are due. Promises: nothing is handed in twice; nothing is skipped but what the node itself
//! declared lost; only what is durable is acknowledged; and what cannot be stored for a fault of its own (a bad name, too
//! many sensors) is counted and passed, so that it does not hold up what follows. Must not know ports.

use std::sync::Arc;
use std::time::Duration;

use edgespool_wire::{Ack, Data, Hello, Message, NodeId, Position, Receiver, VERSION, Verdict, Versions};

use super::node_clock::NodeClock;
use super::sensors::{Description, Register, Sensors, values};
use crate::clock::Mono;
use crate::event::{Event, Kind};
use crate::intake::inbox::{Batch, NodeKey, NodePosition};
use crate::intake::receipt::Receipts;
use crate::reading::{Reading, SensorNo, Stamp};
use crate::source::Refused;

/// The window of a node that has not said Hello since we started: that of the firmware, unless it was changed.
const DEFAULT_WINDOW: usize = 64;
/// How long data waits for the Hello that tells the node's time, before it is taken with an estimated one. A node that
/// is not acknowledged says Hello within 9 s.
const HELLO_PATIENCE: Duration = Duration::from_secs(12);
/// How long a node belongs to the port that heard it last.
const HELD: Duration = Duration::from_secs(30);

/// Tells ports apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PortNo(pub u64);

/// What one message leads to.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// To be handed in; then call [`Node::handed_in`].
    pub(super) batch: Option<Batch>,
    /// Readings that came again.
    pub(super) duplicates: u64,
    /// Readings that the node declared lost.
    pub(super) lost: u64,
    /// Readings that cannot be stored, and why.
    pub(super) refused: Option<(Refused, u64)>,
    /// A Hello was understood or not.
    pub(super) versions: Option<Result<(), Versions>>,
    /// A message of the boot before: old, or of a second node with the same ID.
    pub(super) stale: bool,
}

/// A node, on whatever port it is heard.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    owner: Arc<str>,
    receiver: Receiver,
    /// How it was before what was accepted last and is not handed in yet.
    undo: Option<Receiver>,
    clock: NodeClock,
    waiting_since: Option<Mono>,
    receipts: Arc<Receipts>,
    /// How far the last batch with these receipts goes.
    given: u64,
    /// True while no batch in the inbox raises these receipts as far as was accepted.
    unconfirmed: bool,
    /// The receipts before, and what they must reach until all of it is durable.
    before: Option<(Arc<Receipts>, u64)>,
    acked: u64,
    answer: bool,
    ask: Option<u32>,
    version: u8,
    sensors: Sensors,
    holder: Option<(PortNo, Mono)>,
}

impl Node {
    /// A node that was never heard, or of which this much is durable.
    #[must_use]
    pub(super) fn new(id: NodeId, position: Option<Position>) -> Self {
        let through = position.map_or(0, |position| position.through);
        Self {
            id,
            owner: format!("node {id}").into(),
            receiver: position.map_or_else(Receiver::new, Receiver::resume),
            undo: None,
            clock: NodeClock::default(),
            waiting_since: None,
            receipts: Arc::new(Receipts::new(DEFAULT_WINDOW, through)),
            given: through,
            unconfirmed: false,
            before: None,
            acked: through,
            answer: false,
            ask: None,
            version: VERSION,
            sensors: Sensors::default(),
            holder: None,
        }
    }

    /// Who owns the sensors of this node.
    #[must_use]
    pub(super) fn owner(&self) -> &Arc<str> {
        &self.owner
    }

    /// The receipts to watch: after each step they may be others.
    #[must_use]
    pub(super) fn receipts(&self) -> &Arc<Receipts> {
        &self.receipts
    }

    /// Takes the node for a port. False while another port has it that heard it lately, or is handing something in.
    pub(super) fn hold(&mut self, port: PortNo, now: Mono) -> bool {
        match self.holder {
            Some((holder, heard)) if holder != port && (self.undo.is_some() || now.since(heard) < HELD) => {
                false
            }
            Some((holder, _)) if holder == port => {
                self.holder = Some((port, now));
                true
            }
            other => {
                if other.is_some() {
                    // The other port still watches the receipts that were.
                    self.renew_receipts(self.receipts.window());
                }
                self.holder = Some((port, now));
                true
            }
        }
    }

    /// The port gives the node up; what it could not hand in was never accepted.
    pub(super) fn release(&mut self, port: PortNo) {
        if self.holder.is_some_and(|(holder, _)| holder == port) {
            self.holder = None;
            if let Some(undo) = self.undo.take() {
                self.receiver = undo;
                self.given = self.accepted();
                self.unconfirmed = true;
            }
        }
    }

    /// The batch of the last step is in the inbox.
    pub(super) fn handed_in(&mut self) {
        (self.undo, self.unconfirmed) = (None, false);
    }

    /// The acknowledgement that is due, if one is; then it is no more.
    pub(super) fn take_ack(&mut self) -> Option<Ack> {
        let ack = |boot, through| Ack {
            node: self.id,
            boot,
            through,
            version: self.version,
        };
        if let Some(boot) = self.ask.take() {
            return Some(ack(boot, 0));
        }
        let boot = self.receiver.position()?.boot;
        let through = self.receipts.through();
        if !self.answer && through <= self.acked {
            return None;
        }
        let ack = ack(boot, through);
        (self.answer, self.acked) = (false, through);
        Some(ack)
    }

    /// Takes a message that arrived now.
    pub(super) fn offer(&mut self, message: &Message<'_>, arrival: Stamp, register: Register<'_>) -> Step {
        let now = Mono(arrival.mono);
        if let Message::Hello(hello) = message
            && hello.versions.common(Versions::OURS).is_none()
        {
            return Step {
                versions: Some(Err(hello.versions)),
                ..Step::default()
            };
        }
        let verdict = self.receiver.judge(message);
        if let (Verdict::Accept { new_boot, .. }, Message::Data(data)) = (verdict, message)
            && !self.may_take(data, new_boot, now)
        {
            return Step::default();
        }
        let undo = self.receiver;
        // The same verdict again: nothing lies between.
        let verdict = self.receiver.offer(message);
        let mut step = self.follow(verdict, message, arrival, register);
        if let Message::Hello(hello) = message {
            step.versions = Some(Ok(()));
            self.greet(hello, now, &mut step);
        }
        if self.unconfirmed && step.batch.is_none() && self.accepted() > self.receipts.through() {
            // It stands behind all that is under way: when it is durable, so is that.
            self.given = self.accepted();
            step.batch = Some(Batch {
                receipt: Some((self.receipts.clone(), self.given)),
                ..Batch::default()
            });
        }
        if step.batch.is_some() {
            self.undo = Some(undo);
        }
        step
    }

    /// Whether data that is new can be taken now; else it is as if it had not come, and the node sends it again.
    fn may_take(&mut self, data: &Data<'_>, new_boot: bool, now: Mono) -> bool {
        // What waits in the inbox would be stored under the new description.
        if self.sensors.compare(data) == Description::Changed && !self.is_settled() {
            return false;
        }
        if new_boot
            || self.clock.is_sure()
            || now.since(*self.waiting_since.get_or_insert(now)) >= HELLO_PATIENCE
        {
            return true;
        }
        // We have started anew and do not know the node's time: to an acknowledgement of less than it knows, it says
        // Hello.
        self.ask = Some(data.boot);
        false
    }

    /// Whether all that was handed in is durable.
    fn is_settled(&self) -> bool {
        let durable = |(receipts, through): &(Arc<Receipts>, u64)| receipts.through() >= *through;
        self.before.as_ref().is_none_or(durable) && self.receipts.through() >= self.given
    }

    fn follow(
        &mut self,
        verdict: Verdict,
        message: &Message<'_>,
        arrival: Stamp,
        register: Register<'_>,
    ) -> Step {
        match (verdict, message) {
            (Verdict::Accept { skip, new_boot }, Message::Data(data)) => {
                self.begin(new_boot, 0);
                self.take(data, skip, arrival, register)
            }
            (
                Verdict::Lost {
                    from,
                    through,
                    new_boot,
                },
                _,
            ) => {
                self.begin(new_boot, from.saturating_sub(1));
                let lost = through.saturating_sub(from).saturating_add(1);
                let batch = Some(Batch {
                    event: Some(Box::new(self.gap(from, through))),
                    ..self.batch(Vec::new(), lost)
                });
                Step {
                    batch,
                    lost,
                    ..Step::default()
                }
            }
            (Verdict::Greeting { new_boot }, Message::Hello(hello)) => {
                self.begin(new_boot, hello.first.saturating_sub(1));
                self.answer = true;
                Step::default()
            }
            (Verdict::Duplicate, Message::Data(data)) => {
                self.answer |= data.through() <= self.receipts.through();
                Step {
                    duplicates: data.readings.len() as u64,
                    ..Step::default()
                }
            }
            (Verdict::Duplicate, Message::Lost(lost)) => {
                self.answer |= lost.through <= self.receipts.through();
                Step::default()
            }
            (Verdict::Gap, _) if self.waiting_since.is_none() || self.clock.is_sure() => {
                self.answer = true;
                Step::default()
            }
            // A gap behind data that waits for a Hello: an answer would call off that Hello.
            (Verdict::Gap | Verdict::Unknown, _) => {
                self.ask = Some(message.boot());
                Step::default()
            }
            (Verdict::Stale, _) => Step {
                stale: true,
                ..Step::default()
            },
            _ => Step::default(),
        }
    }

    /// A new boot has its own numbers and its own time.
    fn begin(&mut self, new_boot: bool, through: u64) {
        if new_boot {
            self.change_receipts(Receipts::new(self.receipts.window(), through));
            (self.given, self.acked, self.unconfirmed) = (through, through, false);
            self.clock = NodeClock::default();
            self.waiting_since = None;
        }
    }

    fn change_receipts(&mut self, new: Receipts) {
        let old = std::mem::replace(&mut self.receipts, Arc::new(new));
        // Nothing was given for the old ones since they came: then those before them still count.
        if old.through() < self.given || self.before.is_none() {
            self.before = Some((old, self.given));
        }
    }

    /// Goes on with other receipts. What is under way raises the old ones: so a batch must follow behind it.
    fn renew_receipts(&mut self, window: usize) {
        self.change_receipts(Receipts::new(window, self.receipts.through()));
        self.unconfirmed = true;
    }

    fn accepted(&self) -> u64 {
        self.receiver.position().map_or(0, |position| position.through)
    }

    /// What a Hello tells beside the position: the time, the version and the window.
    fn greet(&mut self, hello: &Hello, now: Mono, step: &mut Step) {
        self.clock.observe(now, hello.uptime_ms, true);
        self.ask = None;
        self.version = hello.versions.common(Versions::OURS).unwrap_or(VERSION);
        let window = usize::from(hello.window).max(1);
        if window != self.receipts.window() {
            self.renew_receipts(window);
            if let Some(batch) = &mut step.batch {
                batch.receipt = Some((self.receipts.clone(), self.accepted()));
            }
        }
    }

    fn take(&mut self, data: &Data<'_>, skip: usize, arrival: Stamp, register: Register<'_>) -> Step {
        let newest = data
            .readings
            .iter()
            .map(|reading| reading.uptime_ms)
            .max()
            .unwrap_or(0);
        self.clock.observe(Mono(arrival.mono), newest, false);
        let (duplicates, new) = (skip as u64, data.readings.len().saturating_sub(skip) as u64);
        let sensor = match self.sensors.compare(data) {
            Description::Known(number) => Ok(number),
            Description::New | Description::Changed => self.sensors.register(data, register),
        };
        let (readings, refused) = match sensor {
            Ok(sensor) => (self.readings(sensor, data, skip, arrival), None),
            Err(refused) => (Vec::new(), Some((refused, new))),
        };
        let batch = Some(self.batch(readings, 0));
        Step {
            batch,
            duplicates,
            refused,
            ..Step::default()
        }
    }

    fn readings(&self, sensor: SensorNo, data: &Data<'_>, skip: usize, arrival: Stamp) -> Vec<Reading> {
        let taken = data.readings.iter().skip(skip).map(|reading| {
            let (values, quality) = values(&reading);
            Reading {
                sensor,
                time: self.clock.moment(reading.uptime_ms, arrival),
                quality,
                values,
            }
        });
        taken.collect()
    }

    fn batch(&mut self, readings: Vec<Reading>, lost: u64) -> Batch {
        let Some(Position { boot, through }) = self.receiver.position() else {
            return Batch::default();
        };
        let node = NodeKey(self.id.as_bytes().into());
        self.given = through;
        Batch {
            readings,
            position: Some(NodePosition {
                node,
                boot,
                sequence: through,
                lost,
            }),
            event: None,
            receipt: Some((self.receipts.clone(), through)),
        }
    }

    /// What the node had no room for; in the node's own numbers, for they never got any of ours.
    fn gap(&self, from: u64, through: u64) -> Event {
        let boot = self.receiver.position().map_or(0, |position| position.boot);
        Event {
            from: Some(from),
            through: Some(through),
            ..Event::new(Kind::Gap, format!("node-overflow: node {}, boot {boot}", self.id))
        }
    }
}

#[cfg(test)]
mod tests;
