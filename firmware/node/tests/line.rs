//! A node, a line that loses, breaks and doubles bytes, and a gateway that stops and comes back: whatever happens,
//! every reading that was not declared lost is stored once, in order.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use std::collections::HashMap;

use edgespool_node::{Config, Identity, MAX_WRITE, Node, NodeId};
use support::{Dice, Faults, Gateway, Line, Row, Thermometer};

const TICK: u64 = 5;
const STORMY: u64 = 240_000;
const CALM: u64 = 90_000;

type TestNode = Node<Thermometer, 3, 1500>;

fn node(boot: u32) -> TestNode {
    let identity = Identity {
        node: NodeId::new(b"n1").unwrap(),
        boot,
    };
    let sensors = ["a", "b", "c"].map(Thermometer);
    Node::new(
        Config {
            window: 24,
            ..Config::of(identity)
        },
        sensors,
        0,
    )
    .unwrap()
}

/// One virtual world of one node and one gateway.
struct World {
    dice: Dice,
    faults: Faults,
    now: u64,
    node: TestNode,
    boot: u32,
    booted_at: u64,
    gateway: Gateway,
    up: Line,
    down: Line,
    /// What was recorded: by (boot, sequence), the value, and whether it was kept.
    truth: HashMap<(u32, u64), (f64, bool)>,
    /// What the node was told to be durable, by boot.
    receipts: HashMap<u32, u64>,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        Self {
            dice: Dice(seed + 1),
            faults,
            now: 0,
            node: node(1),
            boot: 1,
            booted_at: 0,
            gateway: Gateway::new(),
            up: Line::default(),
            down: Line::default(),
            truth: HashMap::new(),
            receipts: HashMap::new(),
        }
    }

    fn uptime(&self) -> u64 {
        self.now - self.booted_at
    }

    fn record(&mut self) {
        let value = self.truth.len() as f64;
        // Some runs of one sensor, so that frames with several readings occur.
        let sensor = usize::try_from(self.now / 700 % 3).unwrap();
        let inserted = self.node.record(sensor, self.uptime(), &[value.into()]).unwrap();
        let old = self
            .truth
            .insert((self.boot, inserted.sequence), (value, inserted.kept));
        assert!(old.is_none(), "a sequence number is given once");
    }

    fn tick(&mut self) {
        self.now += TICK;
        let mut out = [0; MAX_WRITE];
        let due = self.node.next_deadline(self.uptime()) <= self.uptime();
        let mut wrote = false;
        while let Some(len) = self.node.poll(self.uptime(), &mut out) {
            assert!(len <= MAX_WRITE);
            self.up.write(&out[..len], self.now, &self.faults, &mut self.dice);
            wrote = true;
        }
        assert_eq!(
            wrote, due,
            "a driver may sleep until the deadline, and wakes for a reason"
        );
        for bytes in self.up.read(self.now) {
            let acks = self.gateway.receive(&bytes, self.now);
            acks.iter()
                .for_each(|ack| self.down.write(ack, self.now, &self.faults, &mut self.dice));
        }
        if let Some(ack) = self.gateway.commit(self.now) {
            self.down.write(&ack, self.now, &self.faults, &mut self.dice);
        }
        for bytes in self.down.read(self.now) {
            self.node.receive(&bytes, self.now - self.booted_at);
        }
        self.receipts.insert(self.boot, self.node.acknowledged_through());
    }

    fn reboot(&mut self) {
        self.boot += 1;
        self.booted_at = self.now;
        self.node = node(self.boot);
    }

    fn storm(&mut self, Trouble { outages, reboots }: Trouble) {
        while self.now < STORMY {
            if self.dice.chance(40, 1000) {
                self.record();
            }
            if outages && self.dice.chance(1, 4000) {
                let away = [200, 3_000, 40_000][self.dice.below(3)];
                self.gateway.kill(self.now + away);
            }
            if reboots && self.dice.chance(1, 12_000) {
                self.reboot();
            }
            self.tick();
        }
    }

    fn calm(&mut self) {
        self.faults = Faults::default();
        let end = self.now + CALM;
        while self.now < end {
            self.tick();
        }
        assert_eq!(
            self.node.depth(),
            0,
            "all is acknowledged in the end: {:?}",
            self.node.counters()
        );
    }

    /// In order, once, with its value; lost only what was declared so; everything that was receipted.
    fn check(&self) {
        let mut through: HashMap<u32, u64> = HashMap::new();
        let mut newest = 0;
        for row in &self.gateway.rows {
            let (boot, from) = row.start();
            assert!(boot >= newest, "a boot never comes back");
            newest = boot;
            let last = through.entry(boot).or_insert(0);
            assert_eq!(from, *last + 1, "in order, without a hole, once: {row:?}");
            *last = row.through();
            match *row {
                Row::Reading {
                    boot,
                    sequence,
                    value,
                } => {
                    assert_eq!(self.truth.get(&(boot, sequence)), Some(&(value, true)), "{row:?}");
                }
                Row::Lost { boot, from, through } => {
                    for sequence in from..=through {
                        let (_, kept) = self.truth[&(boot, sequence)];
                        assert!(!kept, "{sequence} was held and is declared lost");
                    }
                }
            }
        }
        for (boot, receipt) in &self.receipts {
            let stored = through.get(boot).copied().unwrap_or(0);
            assert!(
                stored >= *receipt,
                "boot {boot}: receipted through {receipt}, stored through {stored}"
            );
        }
        let given = self.truth.keys().filter(|(boot, _)| *boot == self.boot).count() as u64;
        assert_eq!(
            through.get(&self.boot).copied().unwrap_or(0),
            given,
            "all of the last boot arrived"
        );
    }
}

#[derive(Clone, Copy, Default)]
struct Trouble {
    outages: bool,
    reboots: bool,
}

fn run(seed: u64, faults: Faults, trouble: Trouble) -> World {
    let mut world = World::new(seed, faults);
    world.storm(trouble);
    world.calm();
    world.check();
    world
}

#[test]
fn on_a_good_line_nothing_is_sent_twice() {
    let world = run(3, Faults::default(), Trouble::default());
    let counters = world.node.counters();
    assert_eq!(
        (counters.lost, counters.link.rewinds, counters.link.line_errors),
        (0, 0, 0),
        "{counters:?}"
    );
    assert_eq!(world.gateway.duplicates, 0);
    assert!(world.truth.len() > 1500);
}

#[test]
fn a_gateway_that_comes_and_goes() {
    let mut lost = 0;
    for seed in 0..10 {
        lost += run(
            seed,
            Faults::default(),
            Trouble {
                outages: true,
                reboots: false,
            },
        )
        .node
        .counters()
        .lost;
    }
    assert!(lost > 100, "outboxes ran over: {lost}");
}

#[test]
fn a_line_that_breaks_one_byte_in_a_thousand() {
    for seed in 0..10 {
        let world = run(
            seed,
            Faults {
                flip: 1,
                ..Faults::default()
            },
            Trouble::default(),
        );
        assert!(world.gateway.line_errors > 20, "{}", world.gateway.line_errors);
        assert_eq!(
            world.node.counters().lost,
            0,
            "a line that is bad is still fast enough"
        );
    }
}

#[test]
fn everything_at_once() {
    let (mut rows, mut lost, mut duplicates, mut boots, mut stale) = (0, 0, 0, 0, 0);
    for seed in 0..30 {
        let faults = Faults {
            flip: seed % 4,
            drop: 20 * (seed % 5),
            double: 30 * (seed % 3),
            noise: 20 * (seed % 2),
        };
        let world = run(
            seed,
            faults,
            Trouble {
                outages: true,
                reboots: true,
            },
        );
        rows += world.gateway.rows.len();
        lost += world.truth.values().filter(|(_, kept)| !kept).count();
        duplicates += world.gateway.duplicates;
        stale += world.gateway.stale;
        boots += world.boot;
    }
    assert!(
        rows > 20_000 && lost > 300 && duplicates > 500 && boots > 60,
        "{rows} {lost} {duplicates} {boots}"
    );
    assert!(stale > 0, "late frames of an earlier boot occurred");
}

#[test]
fn a_gateway_that_went_back_to_a_backup_is_told_where_the_node_stands() {
    let mut world = World::new(9, Faults::default());
    let mut backup = None;
    for _ in 0..4000 {
        world.tick();
        if world.dice.chance(40, 1000) {
            world.record();
        }
        if world.now == 10_000 {
            backup = Some(world.gateway.clone());
        }
    }
    assert!(world.node.acknowledged_through() > 100);
    world.gateway = backup.unwrap();
    world.gateway.kill(world.now + 1000);
    for _ in 0..4000 {
        world.tick();
        if world.dice.chance(40, 1000) {
            world.record();
        }
    }
    world.calm();
    let lost: Vec<&Row> = world
        .gateway
        .rows
        .iter()
        .filter(|row| matches!(row, Row::Lost { .. }))
        .collect();
    assert_eq!(lost.len(), 1, "one range, which the node had released: {lost:?}");
    let mut next = 1;
    for row in &world.gateway.rows {
        assert_eq!(row.start().1, next);
        next = row.through() + 1;
    }
    assert_eq!(next - 1, world.truth.len() as u64);
}

#[test]
fn an_empty_gateway_takes_over_a_node_in_the_middle_of_its_boot() {
    let mut world = World::new(5, Faults::default());
    for _ in 0..2000 {
        world.record();
        world.tick();
    }
    let released = world.node.acknowledged_through();
    world.gateway = Gateway::new();
    world.calm();
    assert_eq!(
        world.gateway.rows.first().map(Row::start),
        Some((1, released + 1)),
        "nothing is lost, nothing again"
    );
    assert_eq!(
        world.gateway.rows.last().map(Row::through),
        Some(world.truth.len() as u64)
    );
}
