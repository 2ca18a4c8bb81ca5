//! What the queue may take of a disk, and what goes when that is too much.
//!
//! Owns every such decision, as functions of figures: no files, no clocks. Promises that a clock which steps drops
//! nothing, that a disk which others fill costs no more than what new readings need, and that what is reserved already
//! may always be used. Must not know rows, sensors or outputs.

use std::time::Duration;

use super::types::DropReason;
use crate::reading::{Stamp, TimeQuality};

/// The most that a generation takes before it is followed by the next one.
const LARGEST: u64 = 16 * 1024 * 1024;
/// And the least: below that, a database costs more than it holds.
const SMALLEST: u64 = 2 * 1024 * 1024;
/// A queue gives up this part of its size at a time.
const PARTS: u64 = 8;
/// A generation is followed by the next one after this part of `max-age`, so that age drops little that is younger.
const AGES: u32 = 8;

/// What happens when a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The oldest generation makes room.
    #[default]
    DropOldest,
    /// New readings are refused.
    RefuseNew,
}

/// The limits of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its files.
    pub max_size: u64,
    /// How old undelivered readings may become.
    pub max_age: Duration,
    /// Bytes that are left free for everybody else.
    pub min_free: u64,
    /// What happens when one of these is reached.
    pub when_full: WhenFull,
}

impl Default for Limits {
    /// None at all.
    fn default() -> Self {
        Self {
            max_size: u64::MAX,
            max_age: Duration::MAX,
            min_free: 0,
            when_full: WhenFull::DropOldest,
        }
    }
}

impl Limits {
    /// The size at which a generation is followed by the next one.
    #[must_use]
    pub fn generation_bytes(&self) -> u64 {
        (self.max_size / PARTS).clamp(SMALLEST, LARGEST)
    }

    /// The age at which a generation with readings in it is followed by the next one.
    #[must_use]
    pub fn generation_age(&self) -> Duration {
        self.max_age / AGES
    }
}

/// A queue's standing on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of all files of the queue.
    pub used: u64,
    /// Bytes that are free on the file system.
    pub free: u64,
    /// Bytes that what is to be stored would take of them: none while the reserve holds it.
    pub growth: u64,
    /// Whether there is a generation before the newest.
    pub has_older: bool,
}

/// What to do before something is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Store it.
    Go,
    /// Give up the oldest generation, then ask again.
    Drop(DropReason),
    /// Refuse it: that limit is reached.
    Refuse(DropReason),
}

/// Decides; remembers how large the queue was when the file system ran short.
#[derive(Debug, Clone)]
pub struct Retention {
    limits: Limits,
    /// While less than `min-free` is free, the queue is not to become larger than it was when that began. Without this
    /// memory, somebody who fills the disk would make the queue give up all its generations one after the other.
    ceiling: Option<u64>,
}

impl Retention {
    /// With these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ceiling: None,
        }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What to do before something is stored that makes the queue grow by `extent.growth`.
    pub fn decide(&mut self, extent: Extent) -> Verdict {
        let Extent {
            used, free, growth, ..
        } = extent;
        if free >= self.limits.min_free.saturating_add(growth) {
            self.ceiling = None;
        } else {
            self.ceiling.get_or_insert(used);
        }
        let then = used.saturating_add(growth);
        let reason = if then > self.limits.max_size {
            DropReason::Size
        } else if self.ceiling.is_some_and(|ceiling| then > ceiling) {
            DropReason::Free
        } else {
            return Verdict::Go;
        };
        match self.limits.when_full {
            WhenFull::DropOldest if extent.has_older => Verdict::Drop(reason),
            _ if growth == 0 => Verdict::Go,
            _ => Verdict::Refuse(reason),
        }
    }
}

/// When something was stored, by every clock there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The number of the boot.
    pub boot: u32,
    /// What its clocks said.
    pub time: Stamp,
}

/// How long ago something was stored; `None` when nobody knows. Within one boot the monotonic clock says it, whatever the
/// other one did; else only two times that were both synchronized can.
#[must_use]
pub fn age(then: Mark, now: Mark) -> Option<Duration> {
    let passed = |then: u64, now: u64| Duration::from_nanos(now.saturating_sub(then));
    if then.boot == now.boot {
        return Some(passed(then.time.mono, now.time.mono));
    }
    let synchronized = |mark: Mark| mark.time.quality == TimeQuality::Synchronized;
    let wall = |mark: Mark| u64::try_from(mark.time.wall).unwrap_or(0);
    (synchronized(then) && synchronized(now)).then(|| passed(wall(then), wall(now)))
}

#[cfg(test)]
#[path = "retention/tests.rs"]
mod tests;
