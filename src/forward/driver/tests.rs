//! The thread on a real queue in memory, with a broker that does what it is told.

use std::sync::mpsc::sync_channel;

use super::*;
use crate::clock::BootId;
use crate::forward::broker::scripted::{Script, scripted};
use crate::queue::appender::Commit;
use crate::queue::memory_store::MemoryStore;
use crate::queue::open::{self, Queue, open};
use crate::queue::types::OutputNo;
use crate::reading::{
    Epoch, Measurement, Quality, Reading, SensorDef, SensorId, SensorNo, Stamp, TimeQuality, Value,
    ValueKind, Values,
};
use crate::span::Rules;
use crate::ticket::Outcome;

const PATIENCE: Duration = Duration::from_secs(60);
const STAMP: Stamp = Stamp {
    wall: 1,
    mono: 1,
    quality: TimeQuality::Synchronized,
};

struct Bench {
    queue: Queue,
    script: Script,
    forwarder: Forwarder,
    nudged: Receiver<()>,
    sensors: u32,
}

fn queue(store: &MemoryStore) -> Queue {
    let settings = open::Settings {
        generation_bytes: 1 << 20,
        outputs: 1,
        boot: BootId::default(),
        fresh_epoch: Epoch(7),
    };
    open(Arc::new(store.clone()), &settings, STAMP).unwrap()
}

/// Every reading is a span; nothing waits for a clock.
fn settings(under_way: usize, hold: Duration) -> Settings {
    let rules = Rules {
        time_span: Duration::from_secs(10),
        packet_size: 1,
        idle_timeout: Duration::from_secs(5),
        max_delay: Duration::from_secs(30),
    };
    Settings {
        output: OutputNo(0),
        memory: 1 << 20,
        under_way,
        hold,
        rules: Box::new(move |_| rules),
        seed: 1,
    }
}

impl Bench {
    /// `room` is the broker's, in tickets; `under_way` what the output allows, in readings.
    fn new(room: usize, under_way: usize) -> Self {
        Self::with(room, settings(under_way, Duration::ZERO))
    }

    fn with(room: usize, settings: Settings) -> Self {
        let mut queue = queue(&MemoryStore::new());
        let (nudge, nudged) = sync_channel(1000);
        let parts = Parts {
            settings,
            spool: queue.spools.remove(0),
            clock: Arc::new(Clock::new()),
            nudge: Box::new(move || nudge.send(()).unwrap_or_default()),
        };
        let mut script = None;
        let forwarder = Forwarder::start(parts, |events| {
            let (broker, handle) = scripted(room, events);
            script = Some(handle);
            Ok(Box::new(broker))
        })
        .unwrap();
        Self {
            queue,
            script: script.unwrap(),
            forwarder,
            nudged,
            sensors: 0,
        }
    }

    /// Commits one reading each of so many new sensors.
    fn commit(&mut self, sensors: u32) {
        self.commit_at(sensors, STAMP);
    }

    fn commit_at(&mut self, sensors: u32, time: Stamp) {
        for number in self.sensors..self.sensors + sensors {
            let def = SensorDef {
                id: SensorId::new(&format!("s{number}")).unwrap(),
                measurements: vec![Measurement {
                    name: "t".into(),
                    kind: ValueKind::Number,
                    unit: None,
                }],
                tags: vec![],
            };
            let commit = Commit {
                definitions: vec![(SensorNo(number), Arc::new(def))],
                readings: vec![Reading {
                    sensor: SensorNo(number),
                    time,
                    quality: Quality::Good,
                    values: Values::One(Value::Number(1.0)),
                }],
                ..Commit::default()
            };
            self.queue.appender.commit(commit, STAMP).unwrap();
        }
        self.sensors += sensors;
    }

    /// The broker acknowledges its oldest ticket of that sensor.
    fn deliver(&self, sensor: u32) {
        let tickets = self.script.under_way();
        let ticket = tickets.iter().find(|ticket| ticket.sensor == SensorNo(sensor));
        let ticket = ticket.expect("a ticket of that sensor");
        assert!(self.script.report(ticket.id, Outcome::Delivered));
    }

    fn status(&self) -> Status {
        self.forwarder.status(PATIENCE).expect("an answer")
    }

    fn until(&self, reached: impl Fn(&Self) -> bool) {
        let patience = crate::clock::mono().after(PATIENCE);
        while !reached(self) {
            assert!(
                crate::clock::mono() < patience,
                "{:?}",
                self.forwarder.status(PATIENCE)
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn until_delivered(&mut self, readings: u64) {
        let patience = crate::clock::mono().after(PATIENCE);
        while self.delivered() != readings {
            assert!(crate::clock::mono() < patience, "{:?}", self.status());
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn sent(&self) -> Vec<u32> {
        self.script
            .under_way()
            .iter()
            .map(|ticket| ticket.sensor.0)
            .collect()
    }

    /// How many readings are released, once what was posted is committed.
    fn delivered(&mut self) -> u64 {
        self.queue.appender.commit(Commit::default(), STAMP).unwrap();
        self.queue.observer.figures().ledger.delivered
    }
}

#[test]
fn what_is_committed_is_sent_and_what_is_acknowledged_is_released() {
    let mut bench = Bench::new(10, 100);
    bench.commit(3);
    bench.until(|bench| bench.sent() == [0, 1, 2]);
    assert_eq!(bench.delivered(), 0);
    (0..3).for_each(|sensor| bench.deliver(sensor));
    bench
        .nudged
        .recv_timeout(PATIENCE)
        .expect("a nudge, for there may be no reading");
    bench.until_delivered(3);
    bench.commit(1);
    bench.until(|bench| bench.sent() == [3]);
}

#[test]
fn sending_stops_at_the_outputs_allowance_and_at_the_brokers_room() {
    for (room, under_way, waiting) in [(2, 5, 3), (5, 2, 0)] {
        let mut bench = Bench::new(room, under_way);
        bench.commit(20);
        bench.until(|bench| bench.status().position > 20 && bench.sent().len() == 2);
        let status = bench.status();
        assert_eq!((status.under_way, status.waiting), (2, waiting));
        for sensor in 0..20 {
            bench.until(|bench| bench.sent().first() == Some(&sensor));
            bench.deliver(sensor);
        }
        bench.until_delivered(20);
    }
}

#[test]
fn a_lost_client_is_replaced_and_its_tickets_are_sent_again() {
    let mut bench = Bench::new(10, 100);
    bench.commit(2);
    bench.until(|bench| bench.sent() == [0, 1]);
    bench.script.lose_client("out of sequence");
    let sorted = |mut sent: Vec<u32>| {
        sent.sort_unstable();
        sent
    };
    bench.until(|bench| bench.script.clients() == 2 && sorted(bench.sent()) == [0, 1]);
    (0..2).for_each(|sensor| bench.deliver(sensor));
    bench.until_delivered(2);
}

#[test]
fn readings_of_an_unsynchronized_clock_wait_until_the_broker_can_be_reached() {
    let mut bench = Bench::with(10, settings(100, Duration::from_millis(20)));
    bench.script.set_reachable(false);
    bench.until(|bench| !bench.status().broker.reachable);
    let unsynced = Stamp {
        quality: TimeQuality::Unsynced,
        ..STAMP
    };
    bench.commit_at(1, unsynced);
    bench.until(|bench| bench.status().position > 1);
    bench.script.set_reachable(true);
    bench.until(|bench| bench.sent() == [0]);
}

#[test]
fn stopping_waits_for_reports_and_posts_what_they_release() {
    let mut bench = Bench::new(1, 100);
    bench.commit(3);
    bench.until(|bench| bench.sent() == [0]);
    let (script, forwarder) = (bench.script.clone(), bench.forwarder);
    let ticket = script.under_way()[0].id;
    let stopped = thread::scope(|scope| {
        let stopping = scope.spawn(move || forwarder.stop(PATIENCE));
        thread::sleep(Duration::from_millis(20));
        assert!(script.report(ticket, Outcome::Delivered));
        stopping.join().unwrap()
    });
    assert!(stopped && script.left());
    assert_eq!(script.under_way(), [], "nothing more was sent");
    bench.queue.appender.commit(Commit::default(), STAMP).unwrap();
    assert_eq!(bench.queue.observer.figures().ledger.delivered, 1);
}

#[test]
fn stopping_ends_although_nothing_is_reported() {
    let mut bench = Bench::new(10, 100);
    bench.commit(3);
    bench.until(|bench| bench.sent().len() == 3);
    assert!(bench.forwarder.stop(Duration::from_millis(20)));
    assert!(bench.script.left());
}
