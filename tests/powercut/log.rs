//! What happened, in order: writes and flushes as the block device saw them, receipts as the writer did.
//!
//! Owns the log that a recording fills and that cuts are replayed from. A position in it is a moment at which the power can
//! go. Promises the order in which things came to be known. Must not know what a write means.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The device took bytes, which are not durable yet.
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: Arc<[u8]>,
    },
    /// All that the device took before is durable.
    Flush,
    /// Commits up to this number, and not including it, were handed to the queue.
    Handed(usize),
    /// The queue has said that commits before this number are durable.
    Receipt(usize),
    /// The reader has got a sensor's readings through this sequence number.
    Read(u32, u64),
    /// The reader is about to release a sensor's readings through this sequence number.
    Released(u32, u64),
    /// What is happening from here on.
    Phase(Phase),
}

/// What the queue is doing, as far as it can be seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing that a cut is aimed at.
    Steady,
    /// Opening the queue.
    Opening,
    /// Closing it.
    Closing,
    /// A commit at whose end a generation's file is longer.
    Extending,
    /// A commit at whose end there is another generation.
    Rolling,
    /// A commit at whose end a generation is gone that was released.
    Removing,
    /// A commit at whose end a generation is gone because the queue is full.
    Retention,
    /// A snapshot was written.
    Snapshot,
}

impl Phase {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Opening => "opening",
            Self::Closing => "closing",
            Self::Extending => "extending",
            Self::Rolling => "rolling",
            Self::Removing => "removing",
            Self::Retention => "retention",
            Self::Snapshot => "snapshot",
        }
    }
}

/// The log, shared by the device and the writer.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Event>>>);

impl Log {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event; its position.
    pub fn add(&self, event: Event) -> usize {
        let mut events = self.events();
        events.push(event);
        events.len() - 1
    }

    /// Says afterwards what was happening from `from` on.
    pub fn name(&self, from: usize, phase: Phase) {
        if let Some(event) = self.events().get_mut(from) {
            *event = Event::Phase(phase);
        }
    }

    /// All of it; the log is empty then.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events())
    }
}
