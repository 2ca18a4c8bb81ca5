//! Sources: what reads sensors, a file a kind.
//!
//! Owns what all kinds share: the way into the inbox ([`Context`]), how they are doing ([`Health`]), and how they are
//! started and stopped ([`Running`], [`Stop`]). Promises that a source never ends by itself: what it reads may be missing
//! at start, go away and come back. Must not know the queue, the forwarder or the device file; kinds do not know each
//! other.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::intake::catalog::RegisterError;
use crate::intake::inbox::{Batch, Inbox, SubmitError};
use crate::intake::offers::Offers;
use crate::reading::{Measurement, SensorDef, SensorId, SensorIdError, SensorNo, ValueKind};

pub mod health;
pub mod i2c;
pub mod mqtt;
pub mod port;
pub mod serial_frames;
pub mod serial_text;
pub mod simulated;
pub mod stop;
pub mod sysfs;

pub use crate::intake::offers::{Reason, Suppression};
pub use health::{Health, Snapshot, State};
pub use stop::Stop;

/// The names that a record has for itself; no measurement is called so.
pub const RECORD_NAMES: [&str; 7] = [
    "sensorId",
    "unit",
    "units",
    "recordedAt",
    "tags",
    "quality",
    "timeQuality",
];

/// The name of a value where neither the source nor the device file has one.
pub const DEFAULT_MEASUREMENT: &str = "temperature";

/// Names and values of tags.
pub type Tags = Vec<(Box<str>, Box<str>)>;

/// What the device file says of one sensor, as far as sources apply it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The name of the value where the source has none of its own.
    pub measurement: Option<Box<str>>,
    /// Units by measurement; they win over the source's own.
    pub units: BTreeMap<Box<str>, Box<str>>,
    /// Tags; they win over the device's.
    pub tags: Tags,
}

/// What the device file says of sensors, the same for all sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knowledge {
    /// The tags that every sensor gets.
    pub tags: Tags,
    /// What is known of single sensors.
    pub sensors: BTreeMap<SensorId, Overrides>,
}

/// One quantity, as a source declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity<'a> {
    /// Its name, if the source has one for it.
    pub name: Option<&'a str>,
    /// Its unit, if the source knows it.
    pub unit: Option<&'a str>,
    /// The type of its values.
    pub kind: ValueKind,
}

impl<'a> Quantity<'a> {
    /// A number with a name and a unit.
    #[must_use]
    pub const fn number(name: &'a str, unit: &'a str) -> Self {
        Self {
            name: Some(name),
            unit: Some(unit),
            kind: ValueKind::Number,
        }
    }
}

/// Why a sensor is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its name is none.
    #[error("a sensor is refused")]
    Id(#[from] SensorIdError),
    /// The catalog does not take it.
    #[error(transparent)]
    Catalog(#[from] RegisterError),
    /// One of its measurements has a name that a record has for itself, or that another one has, or an empty one.
    #[error(
        "the measurement {name:?} of {sensor} is refused: the name is empty, used twice or one that records use"
    )]
    Measurement {
        /// The sensor.
        sensor: SensorId,
        /// The name.
        name: Box<str>,
    },
}

impl Refused {
    /// What its readings are counted as.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Catalog(RegisterError::TooMany { .. }) => Reason::MaxSensors,
            _ => Reason::Invalid,
        }
    }
}

/// The agent stops: the inbox takes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Stopped;

/// What a source needs of the rest of the agent: all of it.
#[derive(Debug, Clone)]
pub struct Context {
    label: Arc<str>,
    inbox: Arc<Inbox>,
    clock: Arc<Clock>,
    knowledge: Arc<Knowledge>,
    health: Arc<Health>,
    stop: Stop,
}

impl Context {
    /// For one source. The label names it in logs and status, such as `source[2] serial-text /dev/ttyUSB0`; it also owns
    /// the source's sensors, so it must be one that no other source has.
    #[must_use]
    pub fn new(
        label: impl Into<Arc<str>>,
        inbox: Arc<Inbox>,
        clock: Arc<Clock>,
        knowledge: Arc<Knowledge>,
    ) -> Self {
        let label = label.into();
        let health = Arc::new(Health::new(label.clone(), clock.clone()).telling(inbox.clone()));
        Self {
            label,
            inbox,
            clock,
            knowledge,
            health,
            stop: Stop::new(),
        }
    }

    /// The source's name.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// What stops it.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Declares a sensor of this source, with what the device file adds, and gives its number.
    ///
    /// # Errors
    /// When its name, a measurement's name or the catalog does not allow it.
    pub fn register(&self, id: &str, quantities: &[Quantity<'_>]) -> Result<SensorNo, Refused> {
        self.register_for(&self.label, id, quantities)
    }

    /// As [`Context::register`], for a sensor that belongs to `owner` and may move from source to source with it.
    ///
    /// # Errors
    /// As there.
    pub fn register_for(
        &self,
        owner: &Arc<str>,
        id: &str,
        quantities: &[Quantity<'_>],
    ) -> Result<SensorNo, Refused> {
        let def = define(&self.knowledge, SensorId::new(id)?, quantities)?;
        Ok(self.inbox.register(owner, def)?)
    }

    /// Whether the device file gives a measurement a unit: then its values are numbers.
    #[must_use]
    pub fn has_unit(&self, id: &str, measurement: &str) -> bool {
        let known = SensorId::new(id)
            .ok()
            .and_then(|id| self.knowledge.sensors.get(&id));
        known.is_some_and(|known| known.units.contains_key(measurement))
    }

    /// Hands in a batch, waiting for space; then it counts as taken.
    ///
    /// # Errors
    /// When the agent stops.
    pub async fn submit(&self, batch: Batch) -> Result<(), Stopped> {
        let readings = batch.readings.len();
        self.inbox.submit(batch).await.map_err(|_| Stopped)?;
        self.health.taken(readings);
        Ok(())
    }

    /// Hands in a batch without waiting; `Ok(Some(batch))` gives it back for want of space.
    ///
    /// # Errors
    /// When the agent stops.
    pub fn try_submit(&self, batch: Batch) -> Result<Option<Batch>, Stopped> {
        let readings = batch.readings.len();
        match self.inbox.try_submit(batch) {
            Ok(()) => {
                self.health.taken(readings);
                Ok(None)
            }
            Err(SubmitError::Full(batch)) => Ok(Some(batch)),
            Err(SubmitError::Closed) => Err(Stopped),
        }
    }

    /// What was offered, and what became of it.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        self.inbox.offers()
    }

    /// Counts readings that were not taken, for the ledger; of which sensor, if it has a number.
    pub fn refuse(&self, sensor: Option<SensorNo>, reason: Reason, readings: u64) {
        let reason = match reason {
            // The inbox has no space because the queue has no room.
            Reason::Inbox if self.inbox.is_blocked() => Reason::Full,
            other => other,
        };
        self.inbox.offers().refuse(sensor, reason, readings);
    }

    /// Counts readings of a sensor that were left out though nothing is wrong with them, for the ledger.
    pub fn suppress(&self, sensor: &str, why: Suppression, readings: u64) {
        let known = SensorId::new(sensor).ok();
        let number = known.and_then(|sensor| self.inbox.number(&sensor));
        self.inbox.offers().suppress(number, why, readings);
    }

    /// Runs an asynchronous source as a task of the current runtime.
    pub fn spawn_task<F>(self, run: impl FnOnce(Self) -> F) -> Running
    where
        F: Future<Output = ()> + 'static + Send,
    {
        let (done, running) = Running::of(&self);
        let task = run(self);
        tokio::spawn(async move {
            task.await;
            done.say();
        });
        running
    }

    /// Runs a blocking source on a thread of its own, which nobody waits for.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn_thread(
        self,
        name: &str,
        run: impl FnOnce(Self) + Send + 'static,
    ) -> std::io::Result<Running> {
        let (done, running) = Running::of(&self);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            run(self);
            done.say();
        })?;
        Ok(running)
    }
}

/// Told when a source has ended by itself: its sensors are free then, which they are not while it hangs.
struct Done {
    inbox: Arc<Inbox>,
    label: Arc<str>,
    _ended: oneshot::Sender<()>,
}

impl Done {
    fn say(self) {
        self.inbox.disown(&self.label);
    }
}

/// A source that was started.
#[derive(Debug)]
pub struct Running {
    label: Arc<str>,
    health: Arc<Health>,
    stop: Stop,
    done: oneshot::Receiver<()>,
}

impl Running {
    fn of(context: &Context) -> (Done, Self) {
        let (sender, done) = oneshot::channel();
        let sender = Done {
            inbox: context.inbox.clone(),
            label: context.label.clone(),
            _ended: sender,
        };
        let running = Self {
            label: context.label.clone(),
            health: context.health.clone(),
            stop: context.stop.clone(),
            done,
        };
        (sender, running)
    }

    /// Its name.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// How it is doing.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Tells it to stop. It ends at once unless a device holds it in a system call; then leave it behind.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Waits until it has ended: it will hand in nothing more. Give it a bound (200 ms): a hung device has none.
    pub async fn ended(&mut self) {
        // The sender is dropped, never used.
        drop((&mut self.done).await);
    }
}

/// A sensor's definition: what the source declares and what the device file adds.
fn define(knowledge: &Knowledge, id: SensorId, quantities: &[Quantity<'_>]) -> Result<SensorDef, Refused> {
    let known = knowledge.sensors.get(&id);
    let mut measurements: Vec<Measurement> = Vec::with_capacity(quantities.len());
    for quantity in quantities {
        let fallback = known
            .and_then(|known| known.measurement.as_deref())
            .unwrap_or(DEFAULT_MEASUREMENT);
        let name = quantity.name.unwrap_or(fallback);
        let twice = measurements.iter().any(|other| &*other.name == name);
        if twice || name.is_empty() || RECORD_NAMES.contains(&name) {
            return Err(Refused::Measurement {
                sensor: id,
                name: name.into(),
            });
        }
        let unit = known
            .and_then(|known| known.units.get(name))
            .cloned()
            .or_else(|| quantity.unit.map(Box::from));
        measurements.push(Measurement {
            name: name.into(),
            kind: quantity.kind,
            unit,
        });
    }
    let mut tags: BTreeMap<Box<str>, Box<str>> = knowledge.tags.iter().cloned().collect();
    tags.extend(known.into_iter().flat_map(|known| known.tags.iter().cloned()));
    Ok(SensorDef {
        id,
        measurements,
        tags: tags.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests;
