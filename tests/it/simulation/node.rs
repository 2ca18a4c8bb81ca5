//! A sensor node: the firmware's own code on a lossy line, and a log of what it was told to remember.

use edgespool_node::{
    Config, Fault, Identity, MAX_WRITE, Measurement, Measurements, Node, NodeId, Sensor, Value, Values,
};

use super::chance::Chance;
use super::line::Line;
use super::oracle::Oracle;
use super::{MS, Time};

const SENSORS: usize = 2;
/// Small, so that it overflows while nobody acknowledges: about 70 readings.
const OUTBOX: usize = 1024;

/// The names of the nodes' sensors.
pub(super) const NAMES: [[&str; SENSORS]; 3] = [["n0-a", "n0-b"], ["n1-a", "n1-b"], ["n2-a", "n2-b"]];

#[derive(Debug, Clone)]
struct Thermometer(&'static str);

impl Sensor for Thermometer {
    fn id(&self) -> &str {
        self.0
    }

    fn measurements(&self) -> Measurements<'_> {
        let temperature = Measurement {
            name: "temperature",
            unit: Some("C"),
        };
        Measurements::from_slice(&[temperature]).unwrap()
    }

    fn period_ms(&self) -> u32 {
        0
    }

    fn sample(&mut self) -> Result<Values<'_>, Fault> {
        Err(Fault::NotReady)
    }
}

#[derive(Debug)]
struct Running {
    node: Node<Thermometer, SENSORS, OUTBOX>,
    booted: Time,
    /// The value of each sequence number, by its place; `None` for one that the outbox refused.
    log: Vec<Option<u64>>,
    acknowledged: u64,
}

/// One node with its line.
#[derive(Debug)]
pub(super) struct SimNode {
    index: usize,
    running: Option<Running>,
    boots: u32,
    back: Time,
    period: Time,
    sample: Time,
    /// It takes readings no more.
    pub(super) quiet: bool,
    pub(super) up: Line,
    pub(super) down: Line,
    chance: Chance,
}

impl SimNode {
    pub(super) fn new(index: usize, mut chance: Chance) -> Self {
        let period = chance.pick(&[100, 300, 1000, 1000]) * MS;
        Self {
            index,
            running: None,
            boots: 0,
            back: chance.below(2000) * MS,
            period,
            sample: 0,
            quiet: false,
            up: Line::default(),
            down: Line::default(),
            chance,
        }
    }

    /// When something happens here by itself.
    pub(super) fn next(&self, now: Time) -> Time {
        let own = match &self.running {
            None => self.back,
            Some(running) => {
                let due = running.booted + running.node.next_deadline(running.ms(now)) * MS;
                let sample = if self.quiet { Time::MAX } else { self.sample };
                due.min(sample)
            }
        };
        // All that is due now was done.
        let own = own.max(now + MS);
        own.min(self.down.next().unwrap_or(Time::MAX))
    }

    pub(super) fn reboot(&mut self, now: Time, oracle: &mut Oracle) {
        if let Some(running) = self.running.take() {
            let rest = running.log.iter().skip(running.acknowledged as usize);
            rest.flatten().for_each(|value| oracle.excuse(*value));
        }
        self.down.clear();
        self.back = now + self.chance.between(50, 5000) * MS;
    }

    /// Does what is due.
    pub(super) fn run(&mut self, now: Time, oracle: &mut Oracle) {
        if self.running.is_none() && self.back <= now {
            self.boot(now);
        }
        let Some(running) = &mut self.running else {
            while self.down.read(now).is_some() {}
            return;
        };
        while let Some(bytes) = self.down.read(now) {
            running.node.receive(&bytes, running.ms(now));
        }
        running.note_receipts(oracle);
        if !self.quiet && self.sample <= now {
            let burst = if self.chance.one_in(40) {
                self.chance.between(5, 80)
            } else {
                1
            };
            for _ in 0..burst {
                let sensor = self.chance.below(SENSORS as u64) as usize;
                running.record(sensor, self.index, now, oracle);
            }
            self.sample = now + self.period / 2 + self.chance.below(self.period);
        }
        let mut frame = [0; MAX_WRITE];
        while let Some(len) = running.node.poll(running.ms(now), &mut frame) {
            self.up.write(&frame[..len], now, &mut self.chance);
        }
    }

    fn boot(&mut self, now: Time) {
        self.boots += 1;
        let identity = Identity {
            node: NodeId::new(format!("n{}", self.index).as_bytes()).unwrap(),
            boot: 1000 * (self.index as u32 + 1) + self.boots,
        };
        let mut config = Config::of(identity);
        config.window = self.chance.pick(&[8, 64]);
        let sensors = NAMES[self.index].map(Thermometer);
        self.running = Some(Running {
            node: Node::new(config, sensors, 0).unwrap(),
            booted: now,
            log: Vec::new(),
            acknowledged: 0,
        });
        self.sample = now;
    }

    /// Whether all that it holds is acknowledged.
    pub(super) fn is_drained(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.node.depth() == 0)
    }
}

impl Running {
    fn ms(&self, now: Time) -> u64 {
        now.saturating_sub(self.booted) / MS
    }

    fn record(&mut self, sensor: usize, node: usize, now: Time, oracle: &mut Oracle) {
        let value = oracle.make(NAMES[node][sensor]);
        let uptime = self.ms(now);
        let inserted = self
            .node
            .record(sensor, uptime, &[Value::Number(value as f64)])
            .unwrap();
        assert_eq!(
            inserted.sequence,
            self.log.len() as u64 + 1,
            "a node's numbers have no hole"
        );
        self.log.push(Some(value).filter(|_| inserted.kept));
        if !inserted.kept {
            oracle.refuse(value);
        }
    }

    fn note_receipts(&mut self, oracle: &mut Oracle) {
        let through = self.node.acknowledged_through();
        for value in self.log[self.acknowledged as usize..through as usize]
            .iter()
            .flatten()
        {
            oracle.receipted(*value);
        }
        self.acknowledged = through;
    }
}
