//! Bugs planted on purpose, so that the tests which hunt bugs can show that they find them.
//!
//! Owns their names and the choice of one. Without the cargo feature `planted-bugs` the answer is a constant `false`, and
//! the compiler leaves nothing of them; no release has that feature. A planted bug stands where a real one could: one
//! `if planted::has(Bug::…)` at the place, with the wrong deed behind it. Must not know what it breaks.

/// A bug that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Receipts are raised before the commit that holds their readings is synced.
    ReceiptBeforeSync,
    /// Readings are released when they are handed to the broker, not when it reports them.
    ReleaseBeforeReport,
    /// After a restart the newest row's sequence numbers are given again.
    SequenceReused,
    /// Readings that cannot be read back are passed over without a Drop in the ledger.
    LostDrop,
    /// A log that has lost its tail goes on in the same epoch.
    EpochKept,
    /// A report is taken for another ticket.
    WrongTicket,
    /// A parked lane resumes one row too late.
    LateResume,
    /// A checkpoint writes watermarks that are one too low.
    WatermarkBack,
    /// A node's position is stored in a commit of its own before its readings.
    PositionEarly,
    /// Rows can be read before they are synced.
    BeyondTail,
    /// The head is raised over rows that a lane still needs.
    HeadTooFar,
    /// A span ends with its row, so that boundaries depend on when commits were made.
    SpanByRow,
    /// The store does not sync.
    NoSync,
    /// Rows are so long that the store splits them.
    LongRows,
    /// The count outside of the store is not looked at.
    NoOutsideCount,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ReceiptBeforeSync,
        Self::ReleaseBeforeReport,
        Self::SequenceReused,
        Self::LostDrop,
        Self::EpochKept,
        Self::WrongTicket,
        Self::LateResume,
        Self::WatermarkBack,
        Self::PositionEarly,
        Self::BeyondTail,
        Self::HeadTooFar,
        Self::SpanByRow,
        Self::NoSync,
        Self::LongRows,
        Self::NoOutsideCount,
    ];
}

/// Whether this bug is planted here.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
#[must_use]
pub const fn has(_: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use choice::{has, plant, plant_everywhere};

#[cfg(feature = "planted-bugs")]
mod choice {
    use std::cell::Cell;
    use std::sync::{Mutex, PoisonError};

    use super::Bug;

    thread_local! {
        static HERE: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    static EVERYWHERE: Mutex<Option<Bug>> = Mutex::new(None);

    /// Whether this bug is planted, on this thread or everywhere.
    #[must_use]
    pub fn has(bug: Bug) -> bool {
        let everywhere = || *EVERYWHERE.lock().unwrap_or_else(PoisonError::into_inner);
        HERE.get() == Some(bug) || everywhere() == Some(bug)
    }

    /// Plants a bug, or none, on this thread alone: for what runs on one thread while other tests run on theirs.
    pub fn plant(bug: Option<Bug>) {
        HERE.set(bug);
    }

    /// Plants a bug, or none, on all threads of this process.
    pub fn plant_everywhere(bug: Option<Bug>) {
        *EVERYWHERE.lock().unwrap_or_else(PoisonError::into_inner) = bug;
    }
}
