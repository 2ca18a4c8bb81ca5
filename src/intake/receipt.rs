//! Receipts: "durable through N", the only thing that flows back to a source.
//!
//! Owns one watermark per upstream (a node, an MQTT session). It only rises. Must not know what N counts: that is the
//! source's own numbering, given with each batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// A watermark that the intake raises after a commit and that one source watches.
#[derive(Debug)]
pub struct Receipts {
    through: AtomicU64,
    changed: Notify,
    window: usize,
    hurried: AtomicBool,
}

impl Receipts {
    /// For an upstream that lets `window` readings be under way without an acknowledgement, and whose numbers up to
    /// `through` are durable already. The intake commits early when that many wait for this receipt.
    #[must_use]
    pub fn new(window: usize, through: u64) -> Self {
        Self {
            through: AtomicU64::new(through),
            changed: Notify::new(),
            window: window.max(1),
            hurried: AtomicBool::new(false),
        }
    }

    /// How many readings the sender lets be under way.
    #[must_use]
    pub fn window(&self) -> usize {
        self.window
    }

    /// From here on whatever waits for this receipt is committed early: its source is about to end.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
    }

    /// Whether the sender waits, once everything up to `number` was handed in: its window is full, or it is about to end.
    pub(super) fn is_awaited(&self, number: u64) -> bool {
        let under_way = number.saturating_sub(self.through());
        self.hurried.load(Ordering::Acquire) || under_way >= self.window as u64
    }

    /// The highest number that is durable, with everything before it.
    #[must_use]
    pub fn through(&self) -> u64 {
        self.through.load(Ordering::Acquire)
    }

    /// Waits until the watermark is above `seen` and returns it. For one waiter at a time.
    pub async fn above(&self, seen: u64) -> u64 {
        loop {
            let through = self.through();
            if through > seen {
                return through;
            }
            self.changed.notified().await;
        }
    }

    /// Raises the watermark; a lower number changes nothing. Only the intake calls this, after the sync.
    pub(super) fn raise(&self, through: u64) {
        if self.through.fetch_max(through, Ordering::AcqRel) < through {
            self.changed.notify_one();
        }
    }

    /// Raises the watermark as the intake does: for tests of those who watch it.
    #[cfg(test)]
    pub(crate) fn raise_in_test(&self, through: u64) {
        self.raise(through);
    }
}
