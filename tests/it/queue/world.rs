//! A queue of three generations with readings that are all different, and what comes out of it again: read by the real
//! forwarder, delivered to a broker that takes everything at once.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgespool::clock::hands::Hands;
use edgespool::clock::{BootId, Clock, Mono};
use edgespool::forward::broker::{Broker, BrokerError, BrokerEvent, BrokerStatus, Busy};
use edgespool::forward::core::OutputCore;
use edgespool::forward::driver::{Driver, Parts, Round, watch_tail};
use edgespool::forward::output::{self, MEMORY, Output, UNDER_WAY};
use edgespool::queue::appender::Commit;
use edgespool::queue::fold::{Ledger, SensorState};
use edgespool::queue::open::{Finding, Queue, Settings, open};
use edgespool::queue::sled_store::SledStore;
use edgespool::queue::store::StoreError;
use edgespool::queue::types::{Column, OutputNo};
use edgespool::reading::{
    Epoch, Measurement, Quality, Reading, SensorDef, SensorId, SensorNo, Stamp, Value, ValueKind, Values,
};
use edgespool::span::Rules;
use edgespool::ticket::{Outcome, Report, Ticket};

/// Which reading: epoch, sensor, sequence number.
pub(super) type Identity = (u64, String, u64);
/// Readings by their identity.
pub(super) type Readings = BTreeMap<Identity, f64>;

pub(super) const SENSORS: u32 = 3;
const SECOND: u64 = 1_000_000_000;

/// Time in a test: it passes when it is told to.
pub(super) struct Time {
    hands: Hands,
    mono: u64,
}

impl Time {
    pub(super) fn new() -> Self {
        let this = Self {
            hands: Hands::default(),
            mono: 0,
        };
        this.show();
        this
    }

    fn show(&self) {
        let wall = 1_750_000_000_000_000_000 + self.mono.cast_signed();
        self.hands.set(Mono(self.mono), wall, true);
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.mono += seconds * SECOND;
        self.show();
    }

    pub(super) fn stamp(&self) -> Stamp {
        Clock::by_hand(&self.hands).stamp()
    }
}

pub(super) fn settings(generation_bytes: u64, epoch: u64) -> Settings {
    Settings {
        generation_bytes,
        limits: Default::default(),
        outputs: 1,
        boot: BootId([1; 16]),
        fresh_epoch: Epoch(epoch),
    }
}

pub(super) fn open_at(directory: &Path, settings: &Settings, time: &Time) -> Result<Queue, StoreError> {
    let store = SledStore::open(directory)?;
    open(Arc::new(store), settings, time.stamp())
}

fn id(sensor: u32) -> SensorId {
    SensorId::new(&format!("s{sensor}")).unwrap()
}

pub(super) fn def(sensor: u32) -> (SensorNo, Arc<SensorDef>) {
    let measurement = Measurement {
        name: "temperature".into(),
        kind: ValueKind::Number,
        unit: None,
    };
    let def = SensorDef {
        id: id(sensor),
        measurements: vec![measurement],
        tags: vec![],
    };
    (SensorNo(sensor), Arc::new(def))
}

/// Commits `count` readings of each of the sensors, and says which they are.
pub(super) fn commit(queue: &mut Queue, sensors: &[SensorNo], count: usize, time: &mut Time) -> Vec<f64> {
    let (mut readings, mut values) = (Vec::new(), Vec::new());
    for _ in 0..count {
        for &sensor in sensors {
            time.pass(1);
            let value = time.mono as f64 / 1e6 + f64::from(sensor.0) / 8.0;
            readings.push(Reading {
                sensor,
                time: time.stamp(),
                quality: Quality::Good,
                values: Values::One(Value::Number(value)),
            });
            values.push(value);
        }
    }
    let expect = readings.len() as u64;
    let commit = Commit {
        readings,
        ..Commit::default()
    };
    let done = queue.appender.commit(commit, time.stamp()).unwrap();
    assert_eq!((done.accepted, done.invalid), (expect, 0));
    values
}

/// Three generations, the first of which was delivered in part.
pub(super) fn build(directory: &Path, time: &mut Time) -> Readings {
    let all: Vec<_> = (0..SENSORS).map(SensorNo).collect();
    for generation in 0..3 {
        let mut queue = open_at(directory, &settings(1 << 30, 7), time).unwrap();
        if generation == 0 {
            let definitions = (0..SENSORS).map(def).collect();
            let commit = Commit {
                definitions,
                ..Commit::default()
            };
            queue.appender.commit(commit, time.stamp()).unwrap();
        }
        for round in 0..12 {
            commit(&mut queue, &all, if round % 4 == 3 { 150 } else { 9 }, time);
        }
        drop(queue);
        if generation < 2 {
            // The next generation begins once it was made ready.
            let mut queue = open_at(directory, &settings(1, 7), time).unwrap();
            let before = queue.observer.figures().generations;
            while queue.observer.figures().generations == before {
                commit(&mut queue, &all[..1], 1, time);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    let queue = open_at(directory, &settings(1 << 30, 7), time).unwrap();
    read(&queue)
}

/// The most readings that one row of a queue holds.
pub(super) fn most_in_a_row(queue: &Queue) -> usize {
    let (mut cursor, mut most) = (queue.spools[0].cursor(1), 0);
    while let Some(step) = cursor.step() {
        if let edgespool::queue::cursor::Step::Row(row) = step {
            most = most.max(row.runs.iter().map(|run| run.len()).sum());
        }
    }
    most
}

/// Everything that is in a queue.
pub(super) fn read(queue: &Queue) -> Readings {
    let (mut cursor, mut found) = (queue.spools[0].cursor(1), Readings::new());
    while let Some(step) = cursor.step() {
        let edgespool::queue::cursor::Step::Row(row) = step else {
            continue;
        };
        for run in &row.runs {
            let Column::Numbers(numbers) = &run.columns[0] else {
                panic!("a column of numbers")
            };
            let name = cursor.def(run.sensor).unwrap().id.to_string();
            for (sequence, value) in (run.first..).zip(numbers) {
                let before = found.insert((row.epoch.0, name.clone(), sequence), *value);
                assert_eq!(before, None, "twice in the log");
            }
        }
    }
    found
}

/// Takes every ticket, and reports it as delivered at once.
struct Taker {
    taken: Arc<Mutex<Vec<Arc<Ticket>>>>,
    reports: VecDeque<Report>,
}

impl Broker for Taker {
    fn send(&mut self, ticket: Arc<Ticket>) -> Result<(), Busy> {
        self.reports.push_back(Report {
            ticket: ticket.id,
            outcome: Outcome::Delivered,
        });
        self.taken.lock().unwrap().push(ticket);
        Ok(())
    }

    fn resume(&mut self) {}

    fn ready(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    fn renew(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn reachable(&self) -> bool {
        true
    }

    fn status(&self) -> BrokerStatus {
        BrokerStatus::default()
    }

    fn leave(self: Box<Self>) {}
}

/// What came out of a queue.
#[derive(Debug)]
pub(super) struct Outcomes {
    pub(super) findings: Vec<Finding>,
    pub(super) delivered: Readings,
    pub(super) sensors: Vec<SensorState>,
}

impl Outcomes {
    pub(super) fn ledger(&self) -> Ledger {
        let mut sum = Ledger::default();
        for sensor in &self.sensors {
            sum += sensor.ledger(OutputNo(0));
        }
        sum
    }
}

/// Delivers everything that a queue holds, and stores that.
pub(super) fn drain(queue: &mut Queue, time: &mut Time) -> Outcomes {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let rules = Rules {
        time_span: Duration::from_secs(3600),
        packet_size: 40,
        idle_timeout: Duration::from_secs(2),
        max_delay: Duration::from_secs(60),
    };
    let settings = output::Settings {
        output: OutputNo(0),
        memory: MEMORY,
        under_way: UNDER_WAY,
        hold: Duration::ZERO,
        rules: Box::new(move |_| rules),
        destination: Box::new(|_| "readings".into()),
        seed: 1,
    };
    let spool = queue.spools.remove(0);
    let flag = watch_tail(&spool, || {});
    let parts = Parts {
        core: OutputCore::new(Output::new(settings)),
        spool,
        clock: Arc::new(Clock::by_hand(&time.hands)),
        nudge: Box::new(|| {}),
    };
    let broker = Taker {
        taken: taken.clone(),
        reports: VecDeque::new(),
    };
    let mut driver = Driver::new(parts, Box::new(broker), flag);
    driver.hear(BrokerEvent::Link(true));
    for _ in 0..8 {
        while driver.round() == Round::Again {}
        queue.appender.commit(Commit::default(), time.stamp()).unwrap();
        time.pass(30);
    }
    assert!(!queue.appender.has_progress(), "it has come to rest");
    let mut delivered = Readings::new();
    for ticket in taken.lock().unwrap().iter() {
        for piece in ticket.spans.iter().flat_map(|span| &span.pieces) {
            let Column::Numbers(numbers) = &piece.run.columns[0] else {
                panic!("a column of numbers")
            };
            for (sequence, value) in (piece.first()..).zip(&numbers[piece.from..piece.to]) {
                let identity = (ticket.epoch.0, ticket.def.id.to_string(), sequence);
                let before = delivered.insert(identity, *value);
                assert_eq!(before, None, "delivered twice in one life");
            }
        }
    }
    Outcomes {
        findings: queue
            .findings
            .iter()
            .cloned()
            .chain(queue.observer.take_findings())
            .collect(),
        delivered,
        sensors: queue.observer.sensors(),
    }
}

/// Copies a queue as damage would find it: not as one that was moved.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "opening" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
