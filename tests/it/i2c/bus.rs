//! The bus's thread against a bus that misbehaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgespool::queue::memory_store::MemoryStore;
use edgespool::reading::SensorId;
use edgespool::source::i2c::bus::{Bus, BusError, Cause, OpenBus};
use edgespool::source::i2c::{Kind, Sensor, spawn_on};
use edgespool::source::{Context, Health, Knowledge, Reason, Running, State};
use embedded_hal::i2c::{ErrorType, I2c, Operation};

use crate::support::intake::{Intake, until};

/// A bus whose chips can be set and broken while it is used.
#[derive(Clone, Default)]
struct Bench(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    /// Whether the device node is there.
    is_gone: bool,
    /// The temperature register by address.
    chips: HashMap<u8, [u8; 2]>,
    /// Answers to the next transactions with a chip, before it works again.
    faults: HashMap<u8, Vec<Cause>>,
    slow: HashMap<u8, Duration>,
    openings: u32,
    configured: Vec<u8>,
    reads: HashMap<u8, u32>,
}

impl Wires {
    fn put(&mut self, address: u8, bytes: [u8; 2]) {
        self.chips.insert(address, bytes);
    }
}

impl Bench {
    fn with(self, change: impl FnOnce(&mut Wires)) -> Self {
        change(&mut self.0.lock().unwrap());
        self
    }

    fn set(&self, change: impl FnOnce(&mut Wires)) {
        change(&mut self.0.lock().unwrap());
    }

    fn get<T>(&self, look: impl FnOnce(&Wires) -> T) -> T {
        look(&self.0.lock().unwrap())
    }
}

impl OpenBus for Bench {
    fn open(&mut self) -> Result<Box<Bus>, BusError> {
        let mut wires = self.0.lock().unwrap();
        wires.openings += 1;
        if wires.is_gone {
            Err(Cause::Gone.into())
        } else {
            Ok(Box::new(self.clone()))
        }
    }
}

impl ErrorType for Bench {
    type Error = BusError;
}

impl I2c for Bench {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let slow = self.get(|wires| wires.slow.get(&address).copied());
        std::thread::sleep(slow.unwrap_or_default());
        let mut wires = self.0.lock().unwrap();
        if wires.is_gone {
            return Err(Cause::Gone.into());
        }
        if let Some(cause) = wires.faults.get_mut(&address).and_then(Vec::pop) {
            return Err(cause.into());
        }
        let bytes = *wires.chips.get(&address).ok_or(Cause::NoAnswer)?;
        match operations {
            [Operation::Write([1, ..])] => wires.configured.push(address),
            [Operation::Write([0]), Operation::Read(buffer)] => {
                buffer.copy_from_slice(&bytes);
                *wires.reads.entry(address).or_default() += 1;
            }
            _ => panic!("no chip is used like that"),
        }
        Ok(())
    }
}

fn tmp102(id: &str, address: u8) -> Sensor {
    let id = SensorId::new(id).unwrap();
    Sensor {
        id,
        chip: Kind::Tmp102,
        address,
        every: Duration::from_millis(5),
        measurement: None,
    }
}

fn start(intake: &Intake, bench: &Bench, sensors: &[Sensor]) -> Running {
    let context: Context = intake.context("source[0] i2c bench", Knowledge::default());
    spawn_on(context, bench.clone(), sensors.to_vec()).unwrap()
}

async fn end(mut source: Running, intake: Intake) {
    source.stop();
    source.ended().await;
    intake.stop();
}

fn why(health: &Health) -> String {
    health.snapshot().why.unwrap_or_default()
}

const OK_21_5: [u8; 2] = [0x15, 0x80];

#[tokio::test(flavor = "current_thread")]
async fn two_chips_on_one_bus_are_read_and_followed() {
    let bench = Bench::default().with(|wires| {
        wires.chips.insert(0x48, OK_21_5);
        wires.chips.insert(0x49, [0xf5, 0xc0]);
    });
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, &bench, &[tmp102("warm", 0x48), tmp102("cold", 0x49)]);
    until("readings of both", || {
        intake.numbers("warm").contains(&21.5) && intake.numbers("cold").contains(&-10.25)
    })
    .await;
    bench.set(|wires| wires.put(0x48, [0x16, 0x00]));
    until("the new temperature", || {
        intake.numbers("warm").last() == Some(&22.0)
    })
    .await;
    assert!(
        intake
            .numbers("warm")
            .iter()
            .all(|value| [21.5, 22.0].contains(value))
    );
    assert_eq!(source.health().state(), State::Ok);
    assert_eq!(
        bench.get(|wires| wires.configured.clone()),
        [0x48, 0x49],
        "each is set up once"
    );
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_chip_that_fails_is_named_and_the_others_go_on() {
    let bench = Bench::default().with(|wires| wires.put(0x48, OK_21_5));
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, &bench, &[tmp102("here", 0x48), tmp102("missing", 0x4a)]);
    until("readings of the one that is there", || {
        intake.numbers("here").len() > 3
    })
    .await;
    until("its fault", || source.health().state() == State::Degraded).await;
    assert_eq!(
        why(source.health()),
        "missing: no chip answers (NACK), address 0x4a"
    );
    bench.set(|wires| wires.put(0x4a, OK_21_5));
    until("its recovery", || source.health().state() == State::Ok).await;
    until("its readings", || !intake.numbers("missing").is_empty()).await;
    bench.set(|wires| wires.chips.clear());
    until("that nothing can be read", || {
        source.health().state() == State::Failed
    })
    .await;
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_single_disturbance_is_tried_again_and_every_cause_has_its_name() {
    for (cause, name) in [
        (Cause::NoAnswer, "no chip answers (NACK)"),
        (Cause::NoAcknowledge, "the chip refused a byte (NACK)"),
        (
            Cause::Arbitration,
            "arbitration lost (another controller, or no chip answers)",
        ),
        (Cause::Bus, "bus error"),
        (
            Cause::Timeout,
            "time-out (the clock is held, a wire is stuck, or no chip answers)",
        ),
        (
            Cause::Claimed,
            "a driver of the kernel has this address (hint: unload it, or read it through sysfs)",
        ),
    ] {
        let bench = Bench::default().with(|wires| wires.put(0x48, OK_21_5));
        let intake = Intake::start(&MemoryStore::new());
        let source = start(&intake, &bench, &[tmp102("s", 0x48)]);
        until("a reading", || !intake.numbers("s").is_empty()).await;
        let is_retried = !matches!(cause, Cause::Timeout | Cause::Claimed);
        let reads = |bench: &Bench| bench.get(|wires| wires.reads[&0x48]);
        bench.set(|wires| drop(wires.faults.insert(0x48, vec![cause])));
        let before = reads(&bench);
        until("reads after it", || reads(&bench) > before + 3).await;
        let errors = source.health().snapshot().counters.read_errors;
        assert_eq!(errors, u64::from(!is_retried), "{cause:?}");
        bench.set(|wires| drop(wires.faults.insert(0x48, vec![cause; 1_000_000])));
        until("the fault", || {
            source
                .health()
                .snapshot()
                .faults
                .iter()
                .any(|fault| &*fault.what == "s")
        })
        .await;
        let faults = source.health().snapshot().faults;
        let fault = faults.iter().find(|fault| &*fault.what == "s").unwrap();
        assert_eq!(fault.why, format!("{name}, address 0x48"));
        end(source, intake).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_bus_that_is_missing_or_unbound_is_opened_again() {
    let bench = Bench::default().with(|wires| {
        wires.is_gone = true;
        wires.put(0x48, OK_21_5);
        wires.put(0x49, OK_21_5);
    });
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, &bench, &[tmp102("s", 0x48), tmp102("other", 0x49)]);
    until("the fault", || source.health().state() == State::Failed).await;
    assert_eq!(
        why(source.health()),
        "bus: the bus is not there (hint: is I2C enabled on this machine?)"
    );
    bench.set(|wires| wires.is_gone = false);
    until("readings", || {
        !intake.numbers("s").is_empty() && !intake.numbers("other").is_empty()
    })
    .await;
    assert_eq!(source.health().state(), State::Ok);
    bench.set(|wires| wires.is_gone = true);
    until("the fault", || source.health().state() == State::Failed).await;
    // The chips were without power: they must be set up again, also the one whose reading did not fail.
    bench.set(|wires| {
        wires.is_gone = false;
        wires.configured.clear();
        wires.chips.insert(0x48, [0x10, 0x00]);
    });
    until("a reading after it", || intake.numbers("s").last() == Some(&16.0)).await;
    until("both set up", || {
        bench.get(|wires| [0x48, 0x49].iter().all(|chip| wires.configured.contains(chip)))
    })
    .await;
    assert_eq!(source.health().snapshot().counters.reopenings, 1);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_bus_that_goes_on_failing_is_opened_anew() {
    let bench = Bench::default().with(|wires| {
        wires.chips.insert(0x48, OK_21_5);
        wires.faults.insert(0x48, vec![Cause::Bus; 30]);
    });
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, &bench, &[tmp102("s", 0x48)]);
    until("a reading", || !intake.numbers("s").is_empty()).await;
    assert_eq!(
        bench.get(|wires| wires.openings),
        1 + 3,
        "five failures of two tries each, three times"
    );
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_slow_chip_costs_beats_that_are_counted_and_no_other_bus() {
    let slow = Bench::default().with(|wires| {
        wires.chips.insert(0x48, OK_21_5);
        wires.slow.insert(0x48, Duration::from_millis(50));
    });
    let fast = Bench::default().with(|wires| wires.put(0x48, OK_21_5));
    let intake = Intake::start(&MemoryStore::new());
    let context = intake.context("source[1] i2c slow", Knowledge::default());
    let mut crawling = spawn_on(context, slow, vec![tmp102("slow", 0x48)]).unwrap();
    let running = start(&intake, &fast, &[tmp102("fast", 0x48)]);
    until("slow readings", || intake.numbers("slow").len() >= 3).await;
    let missed = crawling.health().snapshot().counters.missed;
    assert!(missed >= 3 * 8, "each read takes ten beats: {missed}");
    assert!(intake.numbers("fast").len() > intake.numbers("slow").len());
    crawling.stop();
    crawling.ended().await;
    end(running, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_reading_never_waits_for_the_disk_and_what_finds_no_room_is_counted() {
    let bench = Bench::default().with(|wires| wires.put(0x48, OK_21_5));
    let mut intake = Intake::held(&MemoryStore::new(), 10);
    // Another source has filled the inbox, and nothing is committed.
    let filler = intake.context("source[9] filler", Knowledge::default());
    let quantity = edgespool::source::Quantity::number("t", "C");
    let sensor = filler.register("filler", &[quantity]).unwrap();
    let time = filler.clock().stamp();
    let values = edgespool::reading::Values::One(edgespool::reading::Value::Number(1.0));
    let reading = edgespool::reading::Reading {
        sensor,
        time,
        quality: Default::default(),
        values,
    };
    let full = edgespool::intake::inbox::MAX_READINGS;
    let batch = edgespool::intake::inbox::Batch {
        readings: vec![reading; full],
        ..Default::default()
    };
    assert_eq!(filler.try_submit(batch).unwrap().map(drop), None);
    let mut fast = tmp102("s", 0x48);
    fast.every = Duration::from_millis(1);
    let source = start(&intake, &bench, &[fast]);
    let refused = |intake: &Intake| intake.inbox().offers().all().refused[Reason::Inbox as usize];
    until("refused readings", || refused(&intake) >= 5).await;
    assert_eq!(source.health().snapshot().counters.readings, 0);
    intake.go();
    until("the backlog", || intake.numbers("s").len() > 512).await;
    let number = SensorId::new("s").unwrap();
    let number = intake.inbox().number(&number).unwrap();
    let own = intake.inbox().offers().of(number).refused;
    assert_eq!(
        own[Reason::Inbox as usize],
        refused(&intake),
        "it is told whose they were"
    );
    end(source, intake).await;
}
