//! What status sees of the queue: the open one, or, while it cannot be opened, what is known of it.
//!
//! Owns that distinction and nothing else.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::queue::fold::SensorState;
use crate::queue::spool::{Observer, QueueFigures};

/// The queue as status sees it.
#[derive(Debug)]
pub(super) struct Sight(Mutex<Seen>);

#[derive(Debug)]
enum Seen {
    Open(Observer),
    Before(Box<QueueFigures>, Vec<SensorState>),
}

impl Sight {
    /// Of a queue that cannot be opened yet.
    pub(super) fn before(figures: QueueFigures, sensors: Vec<SensorState>) -> Self {
        Self(Mutex::new(Seen::Before(Box::new(figures), sensors)))
    }

    /// The queue is open.
    pub(super) fn open(&self, observer: Observer) {
        *self.lock() = Seen::Open(observer);
    }

    pub(super) fn figures(&self) -> QueueFigures {
        match &*self.lock() {
            Seen::Open(observer) => observer.figures(),
            Seen::Before(figures, _) => (**figures).clone(),
        }
    }

    pub(super) fn sensors(&self) -> Vec<SensorState> {
        match &*self.lock() {
            Seen::Open(observer) => observer.sensors(),
            Seen::Before(_, sensors) => sensors.clone(),
        }
    }

    pub(super) fn oldest(&self) -> Option<i64> {
        match &*self.lock() {
            Seen::Open(observer) => observer.oldest(),
            Seen::Before(..) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
