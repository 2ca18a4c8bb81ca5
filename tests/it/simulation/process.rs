//! One life of the agent: the real parts, put together as the composition root does, without threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use edgespool::clock::Clock;
use edgespool::forward::broker::BrokerEvent;
use edgespool::forward::broker::scripted::{Script, scripted};
use edgespool::forward::core::OutputCore;
use edgespool::forward::driver::{Driver, Parts, Round, watch_tail};
use edgespool::forward::output::{Output, Settings};
use edgespool::intake::catalog::Catalog;
use edgespool::intake::committer::{Committer, Tally};
use edgespool::intake::inbox::{Batch, Inbox};
use edgespool::intake::receipt::Receipts;
use edgespool::queue::open::Queue;
use edgespool::queue::spool::Observer;
use edgespool::reading::{Quality, Reading, SensorNo, Value, Values};
use edgespool::source::serial_frames::{Ear, Roster};
use edgespool::source::{Context, Quantity};
use edgespool::span::Rules;
use edgespool_node::NodeId;

use super::chance::Chance;
use super::oracle::Oracle;
use super::plan::Setup;

/// Sensors that the gateway reads itself.
pub(super) const LOCALS: [&str; 3] = ["local-0", "local-1", "local-2"];

/// What a node's port has heard.
struct Port {
    ear: Ear,
    unread: VecDeque<u8>,
    held: Option<(NodeId, Batch)>,
}

struct Local {
    sensor: SensorNo,
    receipts: Arc<Receipts>,
    log: Vec<u64>,
    receipted: usize,
}

type Events = Arc<Mutex<VecDeque<BrokerEvent>>>;

pub(super) struct Process {
    driver: Driver<OutputCore>,
    events: Events,
    pub(super) script: Script,
    pub(super) observer: Observer,
    context: Context,
    clock: Arc<Clock>,
    ports: Vec<Port>,
    locals: Vec<Local>,
    nudged: Arc<AtomicBool>,
    woken: Arc<AtomicBool>,
}

impl Process {
    /// Starts with an open queue; the other half is the committer.
    pub(super) fn start(
        setup: &Setup,
        rules: Rules,
        mut queue: Queue,
        clock: &Arc<Clock>,
        chance: &mut Chance,
    ) -> (Self, Committer) {
        let catalog = Catalog::new(queue.sensors, 100);
        let inbox = Arc::new(Inbox::with_clock(setup.interval, catalog, clock.clone()));
        let committer = Committer::new(
            inbox.clone(),
            queue.appender,
            clock.clone(),
            setup.interval,
            Arc::new(Tally::default()),
        );
        let spool = queue.spools.remove(0);
        let output = Output::new(Settings {
            output: spool.output(),
            memory: setup.memory,
            under_way: setup.under_way,
            hold: setup.hold,
            rules: Box::new(move |_| rules),
            // Each sensor's topic is its own: that is how they fail here.
            destination: Box::new(|def| def.id.as_str().into()),
            seed: chance.number(),
        });
        let (nudged, woken) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
        let (nudge, wake, nudged_inbox) = (nudged.clone(), woken.clone(), inbox.clone());
        let tail_moved = watch_tail(&spool, move || wake.store(true, Ordering::Relaxed));
        let parts = Parts {
            core: OutputCore::new(output),
            spool,
            clock: clock.clone(),
            nudge: Box::new(move || {
                nudged_inbox.nudge();
                nudge.store(true, Ordering::Relaxed);
            }),
        };
        let events = Events::default();
        let told = events.clone();
        let (broker, script) = scripted(
            setup.room,
            Arc::new(move |event| {
                told.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_back(event)
            }),
        );
        let context = Context::new("simulation", inbox, clock.clone(), Arc::default());
        let roster = Arc::new(Roster::new(queue.nodes));
        let port = |_| Port {
            ear: Ear::new(&context, roster.clone(), None),
            unread: VecDeque::new(),
            held: None,
        };
        let local = |name: &&str| Local {
            sensor: context
                .register(name, &[Quantity::number("temperature", "C")])
                .unwrap(),
            receipts: Arc::new(Receipts::new(10, 0)),
            log: Vec::new(),
            receipted: 0,
        };
        let process = Self {
            driver: Driver::new(parts, Box::new(broker), tail_moved),
            events,
            script,
            observer: queue.observer,
            ports: (0..setup.nodes).map(port).collect(),
            locals: LOCALS[..setup.locals].iter().map(local).collect(),
            context,
            clock: clock.clone(),
            nudged,
            woken,
        };
        (process, committer)
    }

    /// A round of the forwarder.
    pub(super) fn forward(&mut self) -> Round {
        self.woken.store(false, Ordering::Relaxed);
        loop {
            let event = self
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(event) = event else { break };
            self.driver.hear(event);
        }
        self.driver.round()
    }

    /// Whether the forwarder was woken since its last round.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed)
            || !self
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
    }

    /// Whether somebody wants the committer since the last call.
    pub(super) fn take_nudge(&self) -> bool {
        self.nudged.swap(false, Ordering::Relaxed)
    }

    /// Bytes that the output holds.
    pub(super) fn memory(&self) -> usize {
        self.driver.status().core.memory
    }

    /// What is stuck, for a message.
    pub(super) fn words(&self) -> String {
        format!("{:?}", self.driver.status())
    }

    /// Bytes have come in at a port.
    pub(super) fn hear(&mut self, port: usize, bytes: &[u8]) {
        self.ports[port].unread.extend(bytes);
        self.listen(port);
    }

    /// Reads on where the inbox was full.
    pub(super) fn listen(&mut self, index: usize) {
        let port = &mut self.ports[index];
        loop {
            if let Some((node, batch)) = port.held.take() {
                match self.context.try_submit(batch) {
                    Ok(None) => port.ear.handed_in(node),
                    Ok(Some(batch)) => return port.held = Some((node, batch)),
                    Err(_) => return,
                }
                self.nudged.store(true, Ordering::Relaxed);
            }
            if port.unread.is_empty() {
                return;
            }
            let bytes = port.unread.make_contiguous().to_vec();
            let mut rest = &bytes[..];
            port.held = port.ear.hear(&mut rest, self.clock.stamp());
            let read = bytes.len() - rest.len();
            drop(port.unread.drain(..read));
        }
    }

    /// What is to be written to a port.
    pub(super) fn acks(&self, port: usize) -> Vec<u8> {
        self.ports[port].ear.acks()
    }

    /// A sensor of the gateway's own is read.
    pub(super) fn sample(&mut self, index: usize, values: Vec<u64>, oracle: &mut Oracle) {
        let local = &mut self.locals[index];
        let time = self.clock.stamp();
        let reading = |value: &u64| Reading {
            sensor: local.sensor,
            time,
            quality: Quality::Good,
            values: Values::One(Value::Number(*value as f64)),
        };
        let batch = Batch {
            readings: values.iter().map(reading).collect(),
            position: None,
            receipt: Some((local.receipts.clone(), (local.log.len() + values.len()) as u64)),
            event: None,
        };
        match self.context.try_submit(batch) {
            Ok(None) => local.log.extend(values),
            _ => values.iter().for_each(|value| oracle.refuse(*value)),
        }
        self.nudged.store(true, Ordering::Relaxed);
    }

    /// Looks which of them have their receipts.
    pub(super) fn note_receipts(&mut self, oracle: &mut Oracle) {
        for local in &mut self.locals {
            let through = local.receipts.through() as usize;
            local.log[local.receipted..through]
                .iter()
                .for_each(|value| oracle.receipted(*value));
            local.receipted = through;
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.locals.iter().all(|local| local.receipted == local.log.len())
    }

    /// The process is gone, and with it what its sensors had in memory.
    pub(super) fn end(self, oracle: &mut Oracle) {
        for local in &self.locals {
            local.log[local.receipted..]
                .iter()
                .for_each(|value| oracle.excuse(*value));
        }
    }
}
