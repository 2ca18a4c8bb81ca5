//! Simulated nodes: the firmware's own code, each on a serial line of its own.
//!
//! Owns the thread that drives them and the log of what each sampled and what it was told is durable: the demo's oracle.
//! Promises that only [`edgespool_node`] decides what a node says. Must not know the agent or Kafka.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use edgespool_node::{Config, Identity, MAX_WRITE, Node, NodeId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::pty::Pty;
use super::walk::Thermometer;
use crate::clock::{self, Mono};

/// A small board's: about 1,100 readings.
const OUTBOX: usize = 16 * 1024;
/// The longest wait before flags are looked at again.
const LOOK: Duration = Duration::from_millis(50);

/// What one node did, for the comparison afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeLog {
    /// Its sensor.
    pub sensor: String,
    /// The values that it kept to send, in order; those that its outbox had no room for are not among them.
    pub kept: Vec<f64>,
    /// How many of these, from the first on, it was told are durable.
    pub acknowledged: usize,
}

/// All nodes together, at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Readings taken.
    pub sampled: u64,
    /// Readings that the agent said are durable.
    pub acknowledged: u64,
    /// Readings that the nodes hold and do not know to be durable.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct Shared {
    rests: AtomicBool,
    ends: AtomicBool,
    sampled: AtomicU64,
    acknowledged: AtomicU64,
    waiting: AtomicU64,
}

/// Running nodes.
#[derive(Debug)]
pub struct Nodes {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Vec<NodeLog>, Errno>>,
}

/// Why there are no nodes (any more).
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// A node cannot be what it should be.
    #[error("node {0} cannot be made")]
    Invalid(usize),
    /// There is no thread for them.
    #[error("failed to start a thread for the nodes")]
    Thread(#[source] io::Error),
    /// A line broke.
    #[error("a line of the nodes broke")]
    Line(#[source] io::Error),
    /// Their thread ended by a panic.
    #[error("the nodes' thread panicked")]
    Panicked,
}

impl Nodes {
    /// Starts a node on each line; `boot` must differ from the last time that these nodes were seen.
    ///
    /// # Errors
    /// When there is no thread for them.
    pub fn start(lines: Vec<Pty>, boot: u32) -> Result<Self, NodesError> {
        let shared = Arc::new(Shared::default());
        let begin = clock::mono();
        let boards = lines.into_iter().enumerate();
        let boards: Result<Vec<Board>, NodesError> = boards
            .map(|(index, line)| Board::new(index, line, boot).ok_or(NodesError::Invalid(index)))
            .collect();
        let (mut boards, flags) = (boards?, shared.clone());
        let thread = std::thread::Builder::new()
            .name("demo-nodes".to_owned())
            .spawn(move || {
                drive(&mut boards, &flags, begin)?;
                Ok(boards.into_iter().map(|board| board.log).collect())
            })
            .map_err(NodesError::Thread)?;
        Ok(Self { shared, thread })
    }

    /// What they have done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            sampled: self.shared.sampled.load(Ordering::Relaxed),
            acknowledged: self.shared.acknowledged.load(Ordering::Relaxed),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
        }
    }

    /// No more samples; what is in the outboxes still goes out.
    pub fn rest(&self) {
        self.shared.rests.store(true, Ordering::Relaxed);
    }

    /// Ends them, and returns what each did.
    ///
    /// # Errors
    /// When a line broke meanwhile.
    pub fn end(self) -> Result<Vec<NodeLog>, NodesError> {
        self.shared.ends.store(true, Ordering::Relaxed);
        let logs = self.thread.join().map_err(|_| NodesError::Panicked)?;
        logs.map_err(|errno| NodesError::Line(errno.into()))
    }
}

fn drive(boards: &mut [Board], shared: &Shared, begin: Mono) -> Result<(), Errno> {
    while !shared.ends.load(Ordering::Relaxed) {
        let rests = shared.rests.load(Ordering::Relaxed);
        let now_ms = u64::try_from(clock::mono().since(begin).as_millis()).unwrap_or(u64::MAX);
        let mut next_ms = u64::MAX;
        for board in &mut *boards {
            board.step(now_ms, rests)?;
            if !rests && board.unsent.is_empty() {
                next_ms = next_ms.min(board.node.next_deadline(now_ms));
            }
        }
        let sum = |of: fn(&Board) -> u64| boards.iter().map(of).sum();
        shared
            .sampled
            .store(sum(|board| board.node.counters().sampled), Ordering::Relaxed);
        shared
            .acknowledged
            .store(sum(|board| board.log.acknowledged as u64), Ordering::Relaxed);
        shared
            .waiting
            .store(sum(|board| board.node.depth()), Ordering::Relaxed);
        wait(
            boards,
            Duration::from_millis(next_ms.saturating_sub(now_ms)).min(LOOK),
        )?;
    }
    Ok(())
}

/// Waits until there is something to read, or room for what could not be written.
fn wait(boards: &[Board], at_most: Duration) -> Result<(), Errno> {
    let flags = |board: &Board| match board.unsent.is_empty() {
        true => PollFlags::IN,
        false => PollFlags::IN | PollFlags::OUT,
    };
    let mut lines: Vec<PollFd<'_>> = boards
        .iter()
        .map(|board| PollFd::from_borrowed_fd(board.line.as_fd(), flags(board)))
        .collect();
    let timeout = Timespec::try_from(at_most).map_err(|_| Errno::INVAL)?;
    match poll(&mut lines, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// One node and its line.
#[derive(Debug)]
struct Board {
    line: Pty,
    node: Box<Node<Thermometer, 1, OUTBOX>>,
    unsent: Vec<u8>,
    /// For each sequence number that was not acknowledged: whether it was kept.
    pending: std::collections::VecDeque<bool>,
    log: NodeLog,
}

impl Board {
    fn new(index: usize, line: Pty, boot: u32) -> Option<Self> {
        let number = index + 1;
        let sensor = format!("room-{number}");
        let identity = Identity {
            node: NodeId::new(format!("demo-{number}").as_bytes()).ok()?,
            boot,
        };
        let thermometer = Thermometer::new(sensor.clone(), u64::from(boot) << 16 | number as u64);
        let node = Node::new(Config::of(identity), [thermometer], 0).ok()?;
        Some(Self {
            line,
            node: Box::new(node),
            unsent: Vec::new(),
            pending: std::collections::VecDeque::new(),
            log: NodeLog {
                sensor,
                ..NodeLog::default()
            },
        })
    }

    /// Hears, samples, says what is to be said.
    fn step(&mut self, now_ms: u64, rests: bool) -> Result<(), Errno> {
        let mut heard = [0; 512];
        loop {
            let len = self.line.read(&mut heard)?;
            if len == 0 {
                break;
            }
            self.hear(heard.get(..len).unwrap_or_default(), now_ms);
        }
        if !rests {
            self.sample(now_ms);
        }
        self.speak(now_ms)
    }

    fn hear(&mut self, bytes: &[u8], now_ms: u64) {
        let before = self.node.acknowledged_through();
        self.node.receive(bytes, now_ms);
        for _ in before..self.node.acknowledged_through() {
            let kept = self.pending.pop_front().unwrap_or(false);
            self.log.acknowledged += usize::from(kept);
        }
    }

    fn sample(&mut self, now_ms: u64) {
        let before = self.node.counters();
        self.node.sample(now_ms);
        let after = self.node.counters();
        // One sensor: one sample at most.
        if after.sampled == before.sampled {
            return;
        }
        let kept = after.lost == before.lost;
        self.pending.push_back(kept);
        if let (true, [thermometer]) = (kept, self.node.sensors()) {
            self.log.kept.push(thermometer.last());
        }
    }

    fn speak(&mut self, now_ms: u64) -> Result<(), Errno> {
        let mut frame = [0; MAX_WRITE];
        loop {
            if self.unsent.is_empty() {
                let Some(len) = self.node.poll(now_ms, &mut frame) else {
                    return Ok(());
                };
                self.unsent
                    .extend_from_slice(frame.get(..len).unwrap_or_default());
            }
            let written = self.line.write(&self.unsent)?;
            self.unsent.drain(..written);
            if !self.unsent.is_empty() {
                return Ok(());
            }
        }
    }
}
