//! The output against a model: a real queue on the memory store, a broker of dice, restarts and parkings, thousands of runs.
//!
//! The oracle is independent of the output's own bookkeeping: it knows which values were committed and in which order, and
//! what the broker accepted. A seed that fails is printed.

use std::collections::HashMap;

use super::*;
use crate::clock::BootId;
use crate::queue::appender::Commit;
use crate::queue::cursor::{Cursor, Step};
use crate::queue::memory_store::MemoryStore;
use crate::queue::open::{self, Queue};
use crate::queue::types::Column;
use crate::reading::{Measurement, Quality, Reading, SensorId, Stamp, TimeQuality, Value, ValueKind, Values};

const SENSORS: u32 = 5;
const MEMORY_LIMIT: usize = 6_000;

struct World {
    store: MemoryStore,
    queue: Queue,
    output: Output,
    main: Cursor,
    catch_up: Option<Cursor>,
    dice: Dice,
    now: Mono,
    value: f64,
    /// What was committed, by sensor, in order.
    committed: HashMap<u32, Vec<f64>>,
    /// What the broker accepted, by sensor, in order.
    accepted: HashMap<u32, Vec<f64>>,
    under_way: Vec<Arc<Ticket>>,
    /// The sensor whose topic is at fault.
    broken: Option<u32>,
    opened: usize,
    parked: usize,
}

fn queue_settings(boot: u8) -> open::Settings {
    open::Settings {
        generation_bytes: 3_000,
        limits: Default::default(),
        outputs: 1,
        boot: BootId([boot; 16]),
        fresh_epoch: Epoch(77),
    }
}

fn stamp(now: Mono) -> Stamp {
    Stamp {
        wall: now.0 as i64 + 1_000_000_000_000,
        mono: now.0,
        quality: TimeQuality::Synchronized,
    }
}

fn settings(seed: u64) -> Settings {
    let rules = Rules {
        time_span: Duration::from_millis(200 + seed % 2000),
        packet_size: 1 + (seed % 37) as usize,
        idle_timeout: Duration::from_millis(300),
        max_delay: Duration::from_millis(900),
    };
    Settings {
        output: OutputNo(0),
        memory: MEMORY_LIMIT,
        under_way: 40,
        hold: Duration::ZERO,
        rules: Box::new(move |_| rules),
        destination: Box::new(|def| {
            let odd = def.id.as_str().bytes().last().is_some_and(|digit| digit % 2 == 1);
            if odd { "odd".into() } else { "even".into() }
        }),
        seed,
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let store = MemoryStore::new();
        let mut queue = open::open(Arc::new(store.clone()), &queue_settings(1), stamp(Mono(0))).unwrap();
        let definitions = (0..SENSORS).map(|number| {
            let measurement = Measurement {
                name: "t".into(),
                kind: ValueKind::Number,
                unit: None,
            };
            let id = SensorId::new(&format!("s{number}")).unwrap();
            (
                SensorNo(number),
                Arc::new(SensorDef {
                    id,
                    measurements: vec![measurement],
                    tags: vec![],
                }),
            )
        });
        let commit = Commit {
            definitions: definitions.collect(),
            ..Commit::default()
        };
        queue.appender.commit(commit, stamp(Mono(0))).unwrap();
        let mut output = Output::new(settings(seed));
        output.begin(&queue.spools[0].start());
        let main = queue.spools[0].cursor(output.main_row());
        Self {
            store,
            queue,
            output,
            main,
            catch_up: None,
            dice: Dice::new(seed + 1),
            now: Mono(1),
            value: 0.0,
            committed: HashMap::new(),
            accepted: HashMap::new(),
            under_way: Vec::new(),
            broken: None,
            opened: 0,
            parked: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.roll() % bound
    }

    fn commit(&mut self) {
        let mut readings = Vec::new();
        for _ in 0..self.below(60) {
            let sensor = self.below(u64::from(SENSORS)) as u32;
            self.value += 1.0;
            self.now = self.now.after(Duration::from_millis(self.dice.roll() % 20));
            let values = Values::One(Value::Number(self.value));
            readings.push(Reading {
                sensor: SensorNo(sensor),
                time: stamp(self.now),
                quality: Quality::Good,
                values,
            });
            self.committed.entry(sensor).or_default().push(self.value);
        }
        self.queue
            .appender
            .commit(
                Commit {
                    readings,
                    ..Commit::default()
                },
                stamp(self.now),
            )
            .unwrap();
        self.output.at_tail(false, self.now);
    }

    fn read(&mut self) {
        let (side, step) = match self.output.wants() {
            Want::Nothing => return,
            Want::Main => (Side::Main, self.main.step()),
            Want::CatchUp(row) => {
                if self
                    .catch_up
                    .as_ref()
                    .is_none_or(|cursor| cursor.position() != row)
                {
                    self.catch_up = Some(self.queue.spools[0].cursor(row));
                }
                (Side::CatchUp, self.catch_up.as_mut().unwrap().step())
            }
        };
        let cursor = if side == Side::Main {
            &self.main
        } else {
            self.catch_up.as_ref().unwrap()
        };
        match step {
            Some(Step::Row(row)) => self.output.row(side, row, |sensor| cursor.def(sensor), self.now),
            Some(Step::Standing { .. }) => panic!("nothing is damaged here"),
            Some(Step::Damaged { from, .. } | Step::GivenUp { from, .. }) => {
                panic!("row {from} was removed though it is needed")
            }
            None => self.output.at_tail(true, self.now),
        }
        assert!(
            self.output.memory() < MEMORY_LIMIT + 4_000,
            "one row beyond the budget at most"
        );
    }

    /// Takes what the output sends; the broker accepts some of it at once.
    fn take(&mut self) {
        for ticket in self.output.take_sends() {
            let same = self
                .under_way
                .iter()
                .filter(|other| other.sensor == ticket.sensor)
                .count();
            assert_eq!(same, 0, "one ticket under way per lane");
            self.under_way.push(ticket);
        }
        if let Some(progress) = self.output.take_progress() {
            self.parked += progress.parks.iter().filter(|(_, row)| *row > 0).count();
            self.queue.spools[0].post(progress);
        }
    }

    fn accept(&mut self, ticket: &Ticket) {
        let list = self.accepted.entry(ticket.sensor.0).or_default();
        for piece in ticket.spans.iter().flat_map(|span| &span.pieces) {
            let Column::Numbers(numbers) = &piece.run.columns[0] else {
                panic!()
            };
            list.extend(&numbers[piece.from..piece.to]);
        }
    }

    fn report(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let index = self.below(self.under_way.len() as u64) as usize;
        let ticket = self.under_way.swap_remove(index);
        let roll = self.below(20);
        let outcome = if self.broken == Some(ticket.sensor.0) {
            Outcome::Misconfigured("no such topic".into())
        } else {
            match roll {
                0 => Outcome::GivenUp("timed out".into()),
                1 => {
                    self.accept(&ticket);
                    Outcome::GivenUp("the acknowledgement was lost".into())
                }
                2 => Outcome::ClientLost("fatal".into()),
                3 if ticket.len() > 1 => Outcome::TooLarge("too large".into()),
                _ => {
                    self.accept(&ticket);
                    Outcome::Delivered
                }
            }
        };
        self.output.report(
            Report {
                ticket: ticket.id,
                outcome,
            },
            self.now,
        );
    }

    /// The process ends, perhaps with acknowledgements that nobody saw, and starts again from the queue.
    fn restart(&mut self, seed: u64) {
        for ticket in std::mem::take(&mut self.under_way) {
            if self.below(2) == 0 && self.broken != Some(ticket.sensor.0) {
                self.accept(&ticket);
            }
        }
        self.opened += 1;
        self.store.cut_power();
        let boot = 2 + self.opened as u8;
        self.queue = open::open(
            Arc::new(self.store.clone()),
            &queue_settings(boot),
            stamp(self.now),
        )
        .unwrap();
        self.output = Output::new(settings(seed));
        self.output.begin(&self.queue.spools[0].start());
        self.main = self.queue.spools[0].cursor(self.output.main_row());
        self.catch_up = None;
    }

    fn step(&mut self, seed: u64) {
        match self.below(100) {
            0..8 => self.commit(),
            8..60 => self.read(),
            60..85 => self.report(),
            85..97 => {
                self.now = self.now.after(Duration::from_millis(self.dice.roll() % 400));
                self.output.tick(self.now);
            }
            97 => self.restart(seed),
            98 => self.broken = Some(self.below(u64::from(SENSORS)) as u32),
            _ => self.broken = None,
        }
        self.take();
    }

    /// Everything is mended; all must arrive.
    fn drain(&mut self, seed: u64) {
        self.broken = None;
        for _ in 0..200_000 {
            self.read();
            self.take();
            self.report();
            self.take();
            if self.under_way.is_empty() {
                self.now = self.now.after(Duration::from_millis(100));
                self.output.tick(self.now);
                self.take();
                self.queue
                    .appender
                    .commit(Commit::default(), stamp(self.now))
                    .unwrap();
                if self.queue.observer.figures().ledger.queued == 0 {
                    return;
                }
            }
        }
        panic!(
            "seed {seed}: stuck with {:?} at {:?}",
            self.queue.observer.figures(),
            self.output.view()
        );
    }

    fn check(&self, seed: u64) {
        for (sensor, committed) in &self.committed {
            let accepted = self.accepted.get(sensor).map_or(&[][..], |list| list);
            let mut first = Vec::new();
            for value in accepted {
                if first.last().is_none_or(|last| last < value) {
                    first.push(*value);
                }
            }
            let missing: Vec<_> = committed.iter().filter(|value| !first.contains(value)).collect();
            assert!(
                missing.is_empty(),
                "seed {seed}, sensor {sensor}: missing or out of order {missing:?}"
            );
        }
        let figures = self.queue.observer.figures();
        let expect: usize = self.committed.values().map(Vec::len).sum();
        assert_eq!(
            (figures.ledger.accepted, figures.ledger.delivered),
            (expect as u64, expect as u64),
            "seed {seed}"
        );
    }
}

fn run(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    for _ in 0..1500 {
        world.step(seed);
    }
    world.drain(seed);
    world.check(seed);
    (world.parked, world.opened)
}

#[test]
fn every_reading_is_delivered_in_order_whatever_the_broker_does() {
    let seeds = std::env::var("EDGESPOOL_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(150);
    let (mut parked, mut opened) = (0, 0);
    for seed in 0..seeds {
        let found = std::panic::catch_unwind(|| run(seed));
        let (p, o) = found.unwrap_or_else(|_| panic!("seed {seed} fails"));
        parked += p;
        opened += o;
    }
    assert!(
        parked > 20 && opened > 50,
        "parked {parked}, restarted {opened}: the test reaches what it is for"
    );
}
