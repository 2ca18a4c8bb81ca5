//! The node: outbox, sampler and link put together. Decides nothing by itself.

use edgespool_wire::{
    Batch, Data, EncodeError, MAX_ENCODED, MAX_PAYLOAD, Message, Value, encode, encode_reading,
    room_for_readings,
};

use crate::link::{Catalog, Description, Identity, Link, LinkCounters, WINDOW};
use crate::outbox::{Inserted, MAX_SENSORS, Outbox};
use crate::sampler::{Sampler, Sensor};

/// What a node is told at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// How many sequence numbers may be under way without an acknowledgement.
    pub window: u16,
}

impl Config {
    /// With the usual window, [`WINDOW`].
    pub fn of(identity: Identity) -> Self {
        Self {
            identity,
            window: WINDOW,
        }
    }
}

/// A sensor that cannot be described on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sensor {index} has a name, a unit or a number of measurements that the protocol does not allow")]
pub struct InvalidSensor {
    /// Which one.
    pub index: usize,
}

/// Why a reading got no sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such sensor.
    #[error("no such sensor")]
    NoSuchSensor,
    /// There must be one value for each measurement.
    #[error("not one value for each measurement")]
    Values,
    /// A value exceeds its limit, or the reading fits no frame.
    #[error("reading does not fit a frame")]
    TooLong(#[source] EncodeError),
}

/// What a node has done since its boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Samples that became readings.
    pub sampled: u64,
    /// Samples that failed.
    pub faults: u64,
    /// Samples that were never taken because the node came too late.
    pub missed: u64,
    /// Readings that could not be encoded, and got no sequence number.
    pub refused: u64,
    /// Readings that did not fit the outbox, and were declared lost.
    pub lost: u64,
    /// What the link has done.
    pub link: LinkCounters,
}

/// A node with `SENSORS` sensors and an outbox of `BYTES` bytes.
///
/// All times are milliseconds since the boot, and never go back.
#[derive(Clone, Debug)]
pub struct Node<S, const SENSORS: usize, const BYTES: usize> {
    sensors: [S; SENSORS],
    limits: [Limits; SENSORS],
    sampler: Sampler<SENSORS>,
    outbox: Outbox<BYTES>,
    link: Link,
    counters: Counters,
}

/// What a reading of one sensor must keep to.
#[derive(Clone, Copy, Debug)]
struct Limits {
    values: usize,
    /// Encoded, in bytes.
    len: usize,
}

impl<S: Sensor, const SENSORS: usize, const BYTES: usize> Node<S, SENSORS, BYTES> {
    /// At boot, with an empty outbox; all sensors are due at once.
    ///
    /// # Errors
    /// [`InvalidSensor`] if the protocol does not allow what a sensor says of itself.
    pub fn new(config: Config, sensors: [S; SENSORS], now_ms: u64) -> Result<Self, InvalidSensor> {
        const { assert!(SENSORS <= MAX_SENSORS, "an outbox tells no more sensors apart") };
        let Config { identity, window } = config;
        let node = identity.node;
        if let Some(index) = sensors
            .iter()
            .position(|sensor| !can_be_described(identity, sensor))
        {
            return Err(InvalidSensor { index });
        }
        let limits = sensors.each_ref().map(|sensor| {
            let measurements = sensor.measurements();
            Limits {
                values: measurements.len(),
                len: room_for_readings(&node, sensor.id(), &measurements),
            }
        });
        let sampler = Sampler::new(sensors.each_ref().map(Sensor::period_ms), now_ms);
        let outbox = Outbox::new();
        let link = Link::new(identity, window, &outbox);
        Ok(Self {
            sensors,
            limits,
            sampler,
            outbox,
            link,
            counters: Counters::default(),
        })
    }

    /// Takes a sample of every sensor that is due.
    pub fn sample(&mut self, now_ms: u64) {
        while let Some(index) = self.sampler.take_due(now_ms) {
            let (Some(sensor), Some(limits)) = (self.sensors.get_mut(index), self.limits.get(index)) else {
                break;
            };
            let Ok(values) = sensor.sample() else {
                self.counters.faults += 1;
                continue;
            };
            match insert(&mut self.outbox, index, limits, now_ms, &values) {
                Ok(_) => self.counters.sampled += 1,
                Err(_) => self.counters.refused += 1,
            }
        }
    }

    /// Takes a reading from outside the sampler: an event, or a generator that must know what became of it.
    ///
    /// `sensor` is its index. A full outbox is no error: see [`Inserted::kept`].
    ///
    /// # Errors
    /// [`Refused`] if it cannot be sent whatever happens; it is counted, and gets no sequence number.
    pub fn record(
        &mut self,
        sensor: usize,
        uptime_ms: u64,
        values: &[Value<'_>],
    ) -> Result<Inserted, Refused> {
        let limits = self.limits.get(sensor).ok_or(Refused::NoSuchSensor);
        let inserted = limits.and_then(|limits| insert(&mut self.outbox, sensor, limits, uptime_ms, values));
        self.counters.refused += u64::from(inserted.is_err());
        inserted
    }

    /// Takes bytes from the line, any bytes, in any pieces.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) {
        self.link.receive(bytes, now_ms, &mut self.outbox);
    }

    /// The next bytes to write, if any are due; `out` needs [`MAX_WRITE`](crate::MAX_WRITE) bytes. Call it until
    /// there are none, each time that the last were written.
    pub fn poll(&mut self, now_ms: u64, out: &mut [u8]) -> Option<usize> {
        self.link.poll(now_ms, &self.outbox, &Sensors(&self.sensors), out)
    }

    /// When there is something to do next, if nothing is received and recorded before; `now_ms` if there is at once.
    pub fn next_deadline(&self, now_ms: u64) -> u64 {
        let link = self.link.next_deadline(now_ms, &self.outbox);
        self.sampler
            .next_deadline()
            .map_or(link, |sample| link.min(sample.max(now_ms)))
    }

    /// The last sequence number that the gateway has durably, with all before it (what was lost, as lost).
    pub fn acknowledged_through(&self) -> u64 {
        self.outbox.oldest() - 1
    }

    /// How many sequence numbers are not acknowledged yet, lost ones included.
    pub fn depth(&self) -> u64 {
        self.outbox.depth()
    }

    /// The outbox, to look at.
    pub fn outbox(&self) -> &Outbox<BYTES> {
        &self.outbox
    }

    /// Whether the gateway answers.
    pub fn is_talking(&self) -> bool {
        self.link.is_talking()
    }

    /// The sensors, in the order they were given.
    pub fn sensors(&self) -> &[S] {
        &self.sensors
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        let (missed, lost) = (self.sampler.missed(), self.outbox.refused());
        Counters {
            missed,
            lost,
            link: *self.link.counters(),
            ..self.counters
        }
    }
}

fn insert<const BYTES: usize>(
    outbox: &mut Outbox<BYTES>,
    sensor: usize,
    limits: &Limits,
    uptime_ms: u64,
    values: &[Value<'_>],
) -> Result<Inserted, Refused> {
    if values.len() != limits.values {
        return Err(Refused::Values);
    }
    let sensor = u8::try_from(sensor).map_err(|_| Refused::NoSuchSensor)?;
    let mut bytes = [0; MAX_PAYLOAD];
    let room = bytes.get_mut(..limits.len).unwrap_or_default();
    let len = encode_reading(uptime_ms, values, room).map_err(Refused::TooLong)?;
    Ok(outbox.insert(sensor, uptime_ms, room.get(..len).unwrap_or_default()))
}

/// Whether a frame with this sensor and a reading without values can be written.
fn can_be_described(Identity { node, boot }: Identity, sensor: &impl Sensor) -> bool {
    let measurements = sensor.measurements();
    let mut absent = Batch::new();
    let data = |readings| Data {
        node,
        boot,
        first: 1,
        sensor: sensor.id(),
        measurements,
        readings,
    };
    let values = [Value::Absent; edgespool_wire::MAX_MEASUREMENTS];
    let pushed = values
        .get(..measurements.len())
        .map(|values| absent.push(0, values));
    pushed.is_some_and(|pushed| pushed.is_ok())
        && encode(&Message::Data(data(absent.readings())), &mut [0; MAX_ENCODED]).is_ok()
}

struct Sensors<'a, S>(&'a [S]);

impl<S: Sensor> Catalog for Sensors<'_, S> {
    fn describe(&self, sensor: u8) -> Option<Description<'_>> {
        let sensor = self.0.get(usize::from(sensor))?;
        Some(Description {
            id: sensor.id(),
            measurements: sensor.measurements(),
        })
    }
}
