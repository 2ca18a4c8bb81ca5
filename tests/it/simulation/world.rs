//! Everything but the commit thread, on one virtual clock: it does what is due and says when the next thing is.
//!
//! The committer is run by [`super::life`], for a commit takes time: while it syncs, the world goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgespool::clock::hands::Hands;
use edgespool::clock::{BootId, Mono};
use edgespool::forward::driver::Round;
use edgespool::intake::committer::Next;
use edgespool::queue::memory_store::{Fate, MemoryStore, Write};
use edgespool::queue::store::Store;
use edgespool::queue::types::RowNo;
use edgespool::span::Rules;

use super::chance::Chance;
use super::kafka::Kafka;
use super::node::{NAMES, SimNode};
use super::oracle::{self, Oracle};
use super::plan::{self, Death, Fault, Setup};
use super::process::{LOCALS, Process};
use super::{MS, SECOND, Time};

/// After that long without faults everything has drained.
const DRAINS_IN: Time = 20 * 60 * SECOND;
/// One row is read beyond the budget at most; this is more than any takes in memory.
const ROW_MEMORY: usize = 64 * 1024;
const NEVER: Time = Time::MAX;
const CENTURY: i64 = 100 * 365 * 86_400 * SECOND as i64;

/// What the committer's side is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Commit,
    Start,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Faults,
    Draining,
    /// All has drained; the agent was started once more, to see that nothing goes again.
    Silence,
}

mod ends;
mod faults;
mod lives;

pub(super) struct World {
    pub(super) now: Time,
    pub(super) setup: Setup,
    pub(super) hands: Hands,
    pub(super) store: MemoryStore,
    pub(super) process: Option<Process>,
    /// Counts the lives of the agent.
    pub(super) life: u64,
    pub(super) oracle: Oracle,
    pub(super) chance: Chance,
    /// How the last life ended, until the next begins.
    pub(super) death: Option<Death>,
    /// After damage, until the new epoch has begun.
    pub(super) unsettled: bool,
    /// Rows that a lost tail has left out.
    pub(super) gone: BTreeSet<RowNo>,
    /// Epochs when it was damaged.
    pub(super) epochs: u64,
    kafka: Kafka,
    nodes: Vec<SimNode>,
    samples: Vec<Time>,
    faults: BTreeMap<(Time, u64), Fault>,
    planned: u64,
    weather: Chance,
    back: Time,
    forward_at: Time,
    commit_at: Time,
    at_sync: Option<(Fate, Death)>,
    stall: Time,
    /// Whether the clock was right since the process began, and since when the broker could be reached.
    clock_was_good: bool,
    reached: Option<Time>,
    boot: u64,
    booted: Time,
    offset: i64,
    synchronized: bool,
    /// The first row that the oracle was not shown.
    shown: RowNo,
    phase: Phase,
    since: Time,
    look: Time,
    words: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, verbose: bool) -> Self {
        let setup = Setup::draw(&mut Chance::new(seed, 1));
        let mut oracle = Oracle::default();
        oracle.exact = setup.exact.then_some(setup.rules);
        let nodes = (0..setup.nodes).map(|index| SimNode::new(index, Chance::new(seed, 10 + index as u64)));
        let mut world = Self {
            now: SECOND,
            hands: Hands::default(),
            store: MemoryStore::new(),
            process: None,
            life: 0,
            oracle,
            chance: Chance::new(seed, 2),
            death: None,
            unsettled: false,
            gone: BTreeSet::new(),
            epochs: 0,
            kafka: Kafka::new(Chance::new(seed, 3)),
            nodes: nodes.collect(),
            samples: vec![SECOND; setup.locals],
            faults: BTreeMap::new(),
            planned: 0,
            weather: Chance::new(seed, 4),
            back: SECOND,
            forward_at: NEVER,
            commit_at: NEVER,
            at_sync: None,
            stall: 0,
            clock_was_good: false,
            reached: None,
            boot: 1,
            booted: 0,
            offset: 1_790_000_000 * SECOND as i64,
            synchronized: true,
            shown: 1,
            phase: Phase::Faults,
            since: SECOND,
            look: 0,
            words: verbose.then(Vec::new),
            setup,
        };
        let first = world.now + world.weather.between(1, world.setup.pause);
        world.plan(first, Fault::Link(true));
        world.set_hands();
        world
    }

    pub(super) fn say(&mut self, words: impl FnOnce() -> String) {
        if let Some(said) = &mut self.words {
            let line = format!("{:10.3} s  {}", self.now as f64 / SECOND as f64, words());
            said.push(line);
        }
    }

    pub(super) fn take_words(&mut self) -> Vec<String> {
        self.words.take().unwrap_or_default()
    }

    fn plan(&mut self, at: Time, fault: Fault) {
        self.planned += 1;
        self.faults.insert((at, self.planned), fault);
    }

    fn set_hands(&self) {
        let mono = Mono(self.now - self.booted);
        self.hands
            .set(mono, self.now as i64 + self.offset, self.synchronized);
    }

    fn advance(&mut self, to: Time) {
        self.now = self.now.max(to);
        self.set_hands();
    }

    fn of_mono(&self, mono: Mono) -> Time {
        self.booted.saturating_add(mono.0)
    }

    pub(super) fn boot_id(&self) -> BootId {
        BootId((u128::from(self.boot) + 1).to_be_bytes())
    }

    /// How this agent's sensors are cut: at the end, spans that nothing more is added to must end by themselves.
    pub(super) fn rules(&self) -> Rules {
        let soon = Duration::from_secs(1);
        match self.phase {
            Phase::Faults => self.setup.rules,
            _ => Rules {
                idle_timeout: soon,
                max_delay: soon,
                ..self.setup.rules
            },
        }
    }

    /// Goes on until the committer's side has something to do.
    pub(super) fn turn(&mut self) -> Turn {
        loop {
            self.run_due();
            if self.process.is_some() && self.commit_at <= self.now {
                return Turn::Commit;
            }
            if self.process.is_none() && self.back <= self.now {
                return Turn::Start;
            }
            if self.look <= self.now && self.is_over() {
                return Turn::End;
            }
            let next = self.next().min(self.look);
            let next = if self.process.is_none() {
                next.min(self.back)
            } else {
                next.min(self.commit_at)
            };
            self.advance(next);
        }
    }

    /// When the next thing is due, the committer aside.
    fn next(&self) -> Time {
        let nodes = self
            .nodes
            .iter()
            .map(|node| node.next(self.now).min(node.up.next().unwrap_or(NEVER)));
        let samples = self
            .samples
            .iter()
            .copied()
            .filter(|_| self.phase == Phase::Faults);
        let faults = self.faults.first_key_value().map(|((at, _), _)| *at);
        let forward = if self.process.is_some() {
            self.forward_at
        } else {
            NEVER
        };
        let others = faults.into_iter().chain(self.kafka.next()).chain([forward]);
        nodes.chain(samples).chain(others).min().unwrap_or(NEVER)
    }

    fn run_due(&mut self) {
        while let Some((&key, &fault)) = self.faults.first_key_value()
            && key.0 <= self.now
        {
            self.faults.remove(&key);
            self.fault(fault);
        }
        let script = self.process.as_ref().map(|process| &process.script);
        self.kafka.run(self.now, script, &mut self.oracle);
        for index in 0..self.nodes.len() {
            self.node(index);
        }
        for index in 0..self.samples.len() {
            self.sample(index);
        }
        self.forward();
        if let Some(process) = &self.process
            && process.take_nudge()
        {
            self.commit_at = self.now;
        }
    }

    fn node(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.run(self.now, &mut self.oracle);
        while let Some(bytes) = node.up.read(self.now) {
            if let Some(process) = &mut self.process {
                process.hear(index, &bytes);
            }
        }
        if let Some(process) = &mut self.process {
            process.listen(index);
            let acks = process.acks(index);
            if !acks.is_empty() {
                node.down.write(&acks, self.now, &mut self.weather);
            }
        }
    }

    fn sample(&mut self, index: usize) {
        if self.samples[index] > self.now || self.phase != Phase::Faults {
            return;
        }
        self.samples[index] = self.now + self.weather.between(20, 2_000) * MS;
        if let Some(process) = &mut self.process {
            let values = (0..self.weather.between(1, 3))
                .map(|_| self.oracle.make(LOCALS[index]))
                .collect();
            process.sample(index, values, &mut self.oracle);
        }
    }

    fn forward(&mut self) {
        let Some(process) = &mut self.process else { return };
        if process.is_woken() && self.forward_at > self.now {
            // A thread that is woken runs at once, or a little later.
            let later = self.weather.pick(&[0, 0, 1, 15]) * MS;
            self.forward_at = self.forward_at.min(self.now + later);
        }
        if self.forward_at > self.now {
            return;
        }
        self.forward_at = match process.forward() {
            Round::Again => self.now + self.weather.pick(&[0, 1]) * MS,
            Round::Wait(until) => until.map_or(NEVER, |until| {
                self.booted.saturating_add(until.0).max(self.now + MS / 10)
            }),
            Round::Ended => NEVER,
        };
        let sent = process.script.sent();
        if self.words.is_some() {
            for ticket in &sent {
                let (name, first, last) = (ticket.def.id.clone(), ticket.first(), ticket.last());
                self.words.iter_mut().for_each(|said| {
                    said.push(format!(
                        "{:10.3} s  sends {name} {first} to {last}",
                        self.now as f64 / SECOND as f64
                    ));
                });
            }
        }
        let hold = self.setup.hold.as_nanos() as Time;
        let waited = self.reached.is_some_and(|since| self.now - since >= hold);
        if !self.clock_was_good && !waited && hold > 0 {
            sent.iter().for_each(|ticket| oracle::check_gate(ticket));
        }
        self.kafka.sent(sent, self.now, &mut self.oracle);
        if self.weather.one_in(8) {
            let memory = process.memory();
            let bound = self.setup.memory + ROW_MEMORY;
            assert!(
                memory <= bound,
                "I7: {memory} bytes held, the budget is {}",
                self.setup.memory
            );
        }
    }
}
