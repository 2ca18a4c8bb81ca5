//! Clocks that are set by hand, for the simulation and for tests: what the hands show is the time.
//!
//! Must not know who moves them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::Mono;

#[derive(Debug, Default)]
struct Shown {
    mono: AtomicU64,
    wall: AtomicI64,
    synchronized: AtomicBool,
}

/// The hands of a [`super::Clock`]; clones are the same hands.
#[derive(Debug, Clone, Default)]
pub struct Hands(Arc<Shown>);

impl Hands {
    /// Sets all of them. Monotonic time never goes back within one boot; that is up to who sets it.
    pub fn set(&self, mono: Mono, wall: i64, synchronized: bool) {
        self.0.mono.store(mono.0, Ordering::Relaxed);
        self.0.wall.store(wall, Ordering::Relaxed);
        self.0.synchronized.store(synchronized, Ordering::Relaxed);
    }

    pub(super) fn mono(&self) -> Mono {
        Mono(self.0.mono.load(Ordering::Relaxed))
    }

    pub(super) fn wall(&self) -> i64 {
        self.0.wall.load(Ordering::Relaxed)
    }

    pub(super) fn synchronized(&self) -> bool {
        self.0.synchronized.load(Ordering::Relaxed)
    }
}
