//! `i2c`: chips on an I2C bus, one thread a bus.
//!
//! Owns the bus's thread: it reads each sensor when it is due, names what goes wrong, tries again, and opens the bus anew
//! when it was lost. Promises that a slow or dead chip holds up nobody but its own bus, that no reading waits for a sync
//! (what the inbox does not take waits here, bounded, and is then counted as refused), and that beats which were missed
//! are counted. Must not know other kinds.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Context, Reason, Running, State, Stopped};
use crate::clock::Mono;
use crate::intake::inbox::Batch;
use crate::reading::{Reading, SensorId, SensorNo, Value, Values};
use bus::{Bus, BusError, Cause, LinuxBus, OpenBus};
use chip::{Chip, Sample};
use schedule::Schedule;

pub mod bus;
pub mod chip;
mod lm75;
pub mod schedule;
mod tmp102;

pub use chip::Kind;

/// Readings that wait here while the inbox is full: 16 sensors at 10 Hz for a stall of an SD card, many times over.
const MAX_BACKLOG: usize = 512;
/// Beats in a row that fail before a sensor counts as failed.
const FAILED_AFTER: u32 = 3;
/// Faults of the bus itself in a row, by any sensor, before it is opened anew.
const REOPEN_AFTER: u32 = 5;
/// The longest that the thread sleeps with something in the backlog.
const FLUSH_PAUSE: Duration = Duration::from_millis(20);
/// The name of the bus's fault in the source's health.
const BUS: &str = "bus";

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The device node of the bus.
    pub bus: PathBuf,
    /// The chips on it.
    pub sensors: Vec<Sensor>,
}

/// One chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sensor {
    /// The sensor's name.
    pub id: SensorId,
    /// What it is.
    pub chip: Kind,
    /// Its seven-bit address.
    pub address: u8,
    /// How often it is read.
    pub every: Duration,
    /// The name of its value; `None` for the chip's own.
    pub measurement: Option<Box<str>>,
}

/// Starts the source on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(context: Context, settings: Settings) -> io::Result<Running> {
    let open = LinuxBus { path: settings.bus };
    spawn_on(context, open, settings.sensors)
}

/// As [`spawn`], on a bus from somewhere else.
///
/// # Errors
/// As there.
pub fn spawn_on(context: Context, open: impl OpenBus, sensors: Vec<Sensor>) -> io::Result<Running> {
    context.spawn_thread("i2c", move |context| {
        match Worker::new(&context, open, sensors).run() {
            Ok(()) | Err(Stopped) => {}
        }
    })
}

/// One sensor on the bus.
struct Slot {
    sensor: Sensor,
    number: SensorNo,
    chip: Box<dyn Chip<Bus>>,
    is_set_up: bool,
    failures: u32,
}

struct Worker<'c, O> {
    context: &'c Context,
    open: O,
    bus: Option<Box<Bus>>,
    /// Openings that failed in a row, and when to try again.
    closed: (u32, Mono),
    openings: u64,
    bus_faults: u32,
    slots: Vec<Slot>,
    schedule: Schedule,
    backlog: VecDeque<Reading>,
}

impl<'c, O: OpenBus> Worker<'c, O> {
    fn new(context: &'c Context, open: O, sensors: Vec<Sensor>) -> Self {
        let mut slots = Vec::new();
        for sensor in sensors {
            let chip: Box<dyn Chip<Bus>> = sensor.chip.driver(sensor.address);
            match context.register(
                sensor.id.as_str(),
                &[chip.quantity(sensor.measurement.as_deref())],
            ) {
                Ok(number) => slots.push(Slot {
                    sensor,
                    number,
                    chip,
                    is_set_up: false,
                    failures: 0,
                }),
                Err(refused) => {
                    context
                        .health()
                        .fault(sensor.id.as_str(), State::Failed, refused.to_string())
                }
            }
        }
        let now = context.clock().mono();
        let schedule = Schedule::new(slots.iter().map(|slot| slot.sensor.every), now);
        Self {
            context,
            open,
            bus: None,
            closed: (0, now),
            openings: 0,
            bus_faults: 0,
            slots,
            schedule,
            backlog: VecDeque::new(),
        }
    }

    fn run(mut self) -> Result<(), Stopped> {
        loop {
            self.flush()?;
            let now = self.context.clock().mono();
            let Some((index, due)) = self.schedule.next() else {
                while !self.context.stop().sleep(Duration::from_secs(3600)) {}
                return Ok(());
            };
            if due > now {
                let bound = if self.backlog.is_empty() {
                    Duration::from_secs(3600)
                } else {
                    FLUSH_PAUSE
                };
                if self.context.stop().sleep(due.since(now).min(bound)) {
                    return Ok(());
                }
                continue;
            }
            let missed = self.schedule.beat(index, now);
            if missed > 0 {
                self.context.health().count(|counters| counters.missed += missed);
            }
            self.beat(index);
            if self.context.stop().is_stopped() {
                return Ok(());
            }
        }
    }

    /// Reads one sensor, or sets it up: then it is read when it has measured.
    fn beat(&mut self, index: usize) {
        self.open_bus();
        let (Some(bus), Some(slot)) = (self.bus.as_deref_mut(), self.slots.get_mut(index)) else {
            self.context.health().count(|counters| counters.missed += 1);
            return;
        };
        if slot.is_set_up {
            match slot.read(bus) {
                Ok(sample) => self.took(index, sample),
                Err(error) => self.failed(index, &error),
            }
            return;
        }
        match slot.set_up(bus) {
            Ok(settle) => self
                .schedule
                .put_off(index, self.context.clock().mono().after(settle)),
            Err(error) => self.failed(index, &error),
        }
    }

    fn took(&mut self, index: usize, sample: Sample) {
        // When the value was there, not when the beat was due.
        let time = self.context.clock().stamp();
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        (slot.failures, self.bus_faults) = (0, 0);
        self.context.health().clear(slot.sensor.id.as_str());
        self.context.health().clear(BUS);
        let values = Values::One(Value::Number(sample.value));
        let reading = Reading {
            sensor: slot.number,
            time,
            quality: sample.quality,
            values,
        };
        if self.backlog.len() >= MAX_BACKLOG {
            self.context.refuse(Some(reading.sensor), Reason::Inbox, 1);
        } else {
            self.backlog.push_back(reading);
        }
    }

    fn failed(&mut self, index: usize, error: &BusError) {
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        slot.is_set_up = false;
        slot.failures = slot.failures.saturating_add(1);
        let health = self.context.health();
        health.count(|counters| counters.read_errors += 1);
        let why = format!("{error}, address {:#04x}", slot.sensor.address);
        health.fault(slot.sensor.id.as_str(), State::Degraded, why);
        if self.slots.iter().all(|slot| slot.failures >= FAILED_AFTER) {
            health.fault(BUS, State::Failed, "none of its sensors can be read");
        }
        self.bus_faults = if error.is_of_the_bus() {
            self.bus_faults.saturating_add(1)
        } else {
            0
        };
        if error.cause == Cause::Gone || self.bus_faults >= REOPEN_AFTER {
            self.bus_faults = 0;
            self.bus = None;
            self.lost(1, error);
        }
    }

    fn lost(&mut self, failures: u32, error: &BusError) {
        let pause = super::port::pause(failures, 1.0);
        self.closed = (failures, self.context.clock().mono().after(pause));
        self.context.health().fault(BUS, State::Failed, error.to_string());
    }

    fn open_bus(&mut self) {
        let now = self.context.clock().mono();
        if self.bus.is_some() || self.closed.1 > now {
            return;
        }
        match self.open.open() {
            Ok(bus) => {
                self.openings += 1;
                if self.openings > 1 {
                    self.context.health().count(|counters| counters.reopenings += 1);
                }
                self.context.health().clear(BUS);
                self.slots.iter_mut().for_each(|slot| slot.is_set_up = false);
                self.bus = Some(bus);
            }
            Err(error) => self.lost(self.closed.0.saturating_add(1), &error),
        }
    }

    /// Hands in what waits, as far as the inbox takes it.
    fn flush(&mut self) -> Result<(), Stopped> {
        if self.backlog.is_empty() {
            return Ok(());
        }
        let readings = std::mem::take(&mut self.backlog).into();
        if let Some(back) = self.context.try_submit(Batch {
            readings,
            ..Batch::default()
        })? {
            self.backlog = back.readings.into();
        }
        Ok(())
    }
}

impl Slot {
    /// Sets the chip up; how long it then takes until it has measured.
    fn set_up(&mut self, bus: &mut Bus) -> Result<Duration, BusError> {
        let settle = tried(|| self.chip.set_up(bus))?;
        self.is_set_up = true;
        Ok(settle)
    }

    fn read(&mut self, bus: &mut Bus) -> Result<Sample, BusError> {
        tried(|| self.chip.read(bus))
    }
}

/// A single disturbance on the wires is common: so what fails is tried once more at once, where that makes sense.
fn tried<T>(mut attempt: impl FnMut() -> Result<T, BusError>) -> Result<T, BusError> {
    match attempt() {
        Err(error) if error.is_worth_another_try() => attempt(),
        result => result,
    }
}
