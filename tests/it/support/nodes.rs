//! Many nodes as they are flashed, each on a line of its own, and a log of what they were told to forget.
//!
//! Owns the invented readings and the oracle's side of custody: a reading is logged when its node may forget it, under its
//! number in its sensor's order, with its value and the time. Promises that a value comes once per sensor. Must not know
//! the queue, its sequence numbers or Kafka.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use edgespool::clock::{self, Mono};
use edgespool_node::{
    Config, Fault, Identity, MAX_WRITE, Measurement, Measurements, Node, NodeId, Sensor, Value, Values,
};

use super::pty::{Adapter, Socket};

/// Sensors of a node.
const SENSORS: usize = 2;
/// Bytes of a node's outbox: some 3,000 of the longest readings.
const OUTBOX: usize = 1 << 17;
/// A node stops to invent readings while so many are not acknowledged: nothing is lost for want of room.
const DEPTH: u64 = 2000;
/// Between two looks at the lines.
const PAUSE: Duration = Duration::from_millis(2);

/// What a sensor measures; the first is always a number that comes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A temperature in degrees.
    Plain,
    /// A temperature without a unit.
    Bare,
    /// A temperature in degrees and a humidity in percent.
    Two,
    /// A temperature in degrees, a text and a truth.
    Mixed,
}

const TEMPERATURE: Measurement<'static> = Measurement {
    name: "temperature",
    unit: Some("C"),
};

impl Kind {
    /// The kind of the n-th sensor.
    pub(crate) fn of(sensor: usize) -> Self {
        [Self::Plain, Self::Two, Self::Bare, Self::Mixed][sensor % 4]
    }

    fn measurements(self) -> Measurements<'static> {
        let measurement = |name, unit| Measurement { name, unit };
        let all = match self {
            Self::Plain => vec![TEMPERATURE],
            Self::Bare => vec![measurement("temperature", None)],
            Self::Two => vec![TEMPERATURE, measurement("humidity", Some("%"))],
            Self::Mixed => vec![TEMPERATURE, measurement("state", None), measurement("open", None)],
        };
        Measurements::from_slice(&all).unwrap()
    }
}

/// The values of a sensor's n-th reading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Invented {
    pub(crate) temperature: f64,
    pub(crate) humidity: f64,
    pub(crate) state: String,
    pub(crate) open: bool,
}

impl Invented {
    /// Whole and broken, short and long, negative ones, texts that JSON must escape; no temperature twice.
    pub(crate) fn of(n: u64) -> Self {
        let number = f64::from(u32::try_from(n).unwrap());
        let temperature = match n % 4 {
            0 => number,
            1 => number + 0.1,
            2 => -number - 0.0625,
            _ => number / 1000.0 + 1e-7,
        };
        let state = match n % 3 {
            0 => format!("open {n}"),
            1 => format!("\"quoted\"\\{n}\tø"),
            _ => String::new(),
        };
        Self {
            temperature,
            humidity: f64::from(u32::try_from(n % 1000).unwrap()) / 10.0,
            state,
            open: n.is_multiple_of(5),
        }
    }

    fn values(&self, kind: Kind) -> Vec<Value<'_>> {
        let temperature = self.temperature.into();
        match kind {
            Kind::Plain | Kind::Bare => vec![temperature],
            Kind::Two => vec![temperature, self.humidity.into()],
            Kind::Mixed => vec![temperature, Value::Text(&self.state), Value::Bool(self.open)],
        }
    }
}

/// A sensor whose readings are invented outside.
struct Named {
    id: String,
    kind: Kind,
}

impl Sensor for Named {
    fn id(&self) -> &str {
        &self.id
    }

    fn measurements(&self) -> Measurements<'_> {
        self.kind.measurements()
    }

    fn period_ms(&self) -> u32 {
        1000
    }

    fn sample(&mut self) -> Result<Values<'_>, Fault> {
        unreachable!("readings are recorded, not sampled")
    }
}

/// One reading, from its making to its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// Its number in its sensor's order, from 0: decides the values.
    pub(crate) n: u64,
    /// Its node's sequence number.
    pub(crate) sequence: u64,
    /// When it was made, nanoseconds since 1970.
    pub(crate) wall: i64,
    /// When its node was told to forget it.
    pub(crate) receipted: i64,
}

/// What one sensor gave, in its order; all of it was receipted.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) made: Vec<Made>,
}

/// What the fleet is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    /// Of each sensor.
    pub(crate) readings: u64,
    /// Of each sensor, a second.
    pub(crate) rate: f64,
}

impl Plan {
    pub(crate) fn sensors(&self) -> usize {
        self.nodes * SENSORS
    }

    pub(crate) fn total(&self) -> u64 {
        self.readings * self.sensors() as u64
    }
}

/// The name of the n-th sensor of a fleet.
pub(crate) fn sensor_id(sensor: usize) -> String {
    let name = ["shed-air", "kjøkken", "tank 7", "attic/north"][sensor % 4];
    format!("{name}-{sensor}")
}

/// Figures that others may look at while the fleet runs.
#[derive(Debug, Default)]
struct Figures {
    abandoned: AtomicBool,
    receipted: AtomicU64,
    made: Vec<AtomicU64>,
}

struct Board {
    node: Box<Node<Named, SENSORS, OUTBOX>>,
    /// The number of its first sensor in the fleet.
    first: usize,
    line: Adapter,
    started: Mono,
    unsent: Vec<u8>,
    /// (sensor of this node, reading), in the node's order.
    waiting: VecDeque<(usize, Made)>,
    logs: [Vec<Made>; SENSORS],
    given: u64,
}

impl Board {
    fn new(index: usize, line: Adapter, boot: u32) -> Self {
        let identity = Identity {
            node: NodeId::new(format!("node-{index}").as_bytes()).unwrap(),
            boot,
        };
        let first = index * SENSORS;
        let sensors = [0, 1].map(|own| Named {
            id: sensor_id(first + own),
            kind: Kind::of(first + own),
        });
        Self {
            node: Box::new(Node::new(Config::of(identity), sensors, 0).unwrap()),
            first,
            line,
            started: clock::mono(),
            unsent: Vec::new(),
            waiting: VecDeque::new(),
            logs: [Vec::new(), Vec::new()],
            given: 0,
        }
    }

    fn invent(&mut self, plan: &Plan, figures: &Figures) {
        let since = clock::mono().since(self.started);
        let uptime = u64::try_from(since.as_millis()).unwrap();
        // Never more than is due, and at most all.
        let due = (since.as_secs_f64() * plan.rate).floor();
        while self.given < plan.readings && (self.given as f64) < due && self.node.depth() < DEPTH {
            for own in 0..SENSORS {
                let n = self.given;
                let inserted = self
                    .node
                    .record(own, uptime, &Invented::of(n).values(Kind::of(self.first + own)))
                    .unwrap();
                assert!(inserted.kept, "a node is given no more than it holds");
                let made = Made {
                    n,
                    sequence: inserted.sequence,
                    wall: clock::wall(),
                    receipted: 0,
                };
                self.waiting.push_back((own, made));
                figures.made[self.first + own].fetch_add(1, Ordering::Relaxed);
            }
            self.given += 1;
        }
    }

    fn turn(&mut self, plan: &Plan, figures: &Figures) {
        self.invent(plan, figures);
        let now = u64::try_from(clock::mono().since(self.started).as_millis()).unwrap();
        let heard = self.line.read_now();
        self.node.receive(&heard, now);
        let through = self.node.acknowledged_through();
        while let Some((own, made)) = self.waiting.front().copied()
            && made.sequence <= through
        {
            self.waiting.pop_front();
            let receipted = clock::wall();
            self.logs[own].push(Made { receipted, ..made });
            figures.receipted.fetch_add(1, Ordering::Relaxed);
        }
        self.write(now);
    }

    /// A line that takes nothing holds its node up, as a UART does.
    fn write(&mut self, now: u64) {
        let mut frame = [0; MAX_WRITE];
        loop {
            if self.unsent.is_empty() {
                match self.node.poll(now, &mut frame) {
                    Some(len) => self.unsent.extend_from_slice(&frame[..len]),
                    None => return,
                }
            }
            let written = self.line.write_now(&self.unsent);
            self.unsent.drain(..written);
            if !self.unsent.is_empty() {
                return;
            }
        }
    }

    fn is_done(&self, plan: &Plan) -> bool {
        self.given == plan.readings && self.waiting.is_empty()
    }

    fn logs(self) -> impl Iterator<Item = Log> {
        let first = self.first;
        (first..).zip(self.logs).map(|(sensor, made)| Log {
            id: sensor_id(sensor),
            kind: Kind::of(sensor),
            made,
        })
    }
}

/// Running nodes; their lines stay plugged in until the fleet is dropped.
pub(crate) struct Fleet {
    figures: Arc<Figures>,
    thread: Option<JoinHandle<Vec<Log>>>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.figures.abandoned.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Fleet {
    /// One node for each line.
    pub(crate) fn start(plan: Plan, sockets: &[Socket]) -> Self {
        assert_eq!(plan.nodes, sockets.len());
        let lines: Vec<_> = sockets.iter().map(Socket::plug).collect();
        let figures = Arc::new(Figures {
            made: (0..plan.sensors()).map(|_| AtomicU64::new(0)).collect(),
            ..Figures::default()
        });
        let shared = figures.clone();
        let thread = std::thread::spawn(move || {
            let boards = (1..).zip(lines).enumerate();
            let mut boards: Vec<_> = boards
                .map(|(index, (boot, line))| Board::new(index, line, boot))
                .collect();
            while !boards.iter().all(|board| board.is_done(&plan))
                && !shared.abandoned.load(Ordering::Relaxed)
            {
                boards.iter_mut().for_each(|board| board.turn(&plan, &shared));
                sleep(PAUSE);
            }
            boards.into_iter().flat_map(Board::logs).collect()
        });
        Self {
            figures,
            thread: Some(thread),
        }
    }

    /// How many readings the nodes were told to forget.
    pub(crate) fn receipted(&self) -> u64 {
        self.figures.receipted.load(Ordering::Relaxed)
    }

    /// How many readings each sensor has given so far.
    pub(crate) fn made(&self) -> Vec<u64> {
        self.figures
            .made
            .iter()
            .map(|made| made.load(Ordering::Relaxed))
            .collect()
    }

    /// Waits until the nodes were told to forget so many; generously for each single one.
    pub(crate) fn wait_for(&self, receipts: u64) {
        let (mut last, mut idle) = (self.receipted(), 0);
        while last < receipts && !self.thread.as_ref().unwrap().is_finished() {
            sleep(Duration::from_millis(5));
            let now = self.receipted();
            idle = if now == last { idle + 1 } else { 0 };
            last = now;
            assert!(
                idle < 12_000,
                "no receipt for a minute, after {last} of {receipts}"
            );
        }
    }

    /// Waits until all was receipted.
    pub(crate) fn finish(mut self) -> Vec<Log> {
        self.wait_for(u64::MAX);
        self.thread.take().unwrap().join().unwrap()
    }
}
