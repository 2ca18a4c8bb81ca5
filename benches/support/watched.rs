//! The store on disk with a stopwatch: how many generations were made, opened and removed, and how long that took.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use edgespool::clock::{self, Mono};
use edgespool::queue::sled_store::SledStore;
use edgespool::queue::store::{Generation, Replaced, Space, Store, StoreError, Tail, Visit};
use edgespool::queue::types::RowNo;

/// Milliseconds that each call took.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Making a generation.
    pub create: Vec<f64>,
    /// Opening one.
    pub open: Vec<f64>,
    /// Removing one.
    pub remove: Vec<f64>,
}

/// A queue directory that is watched.
#[derive(Debug)]
pub struct Watched {
    store: SledStore,
    times: Mutex<Times>,
}

impl Watched {
    /// As [`SledStore::open`].
    ///
    /// # Errors
    /// As that.
    pub fn open(directory: &Path) -> Result<Arc<Self>, StoreError> {
        let (store, times) = (SledStore::open(directory)?, Mutex::default());
        Ok(Arc::new(Self { store, times }))
    }

    /// What was measured so far.
    #[must_use]
    pub fn times(&self) -> Times {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, start: Mono, pick: impl FnOnce(&mut Times) -> &mut Vec<f64>) {
        let took = clock::mono().since(start).as_secs_f64() * 1e3;
        pick(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner)).push(took);
    }
}

impl Store for Watched {
    fn list(&self) -> Result<Vec<RowNo>, StoreError> {
        self.store.list()
    }

    fn create(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        let start = clock::mono();
        let made = self.store.create(rows);
        self.note(start, |times| &mut times.create);
        made
    }

    fn open(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        let start = clock::mono();
        let opened = self.store.open(first);
        self.note(start, |times| &mut times.open);
        opened
    }

    fn remove(&self, first: RowNo) -> Result<(), StoreError> {
        let start = clock::mono();
        let removed = self.store.remove(first);
        self.note(start, |times| &mut times.remove);
        removed
    }

    fn space(&self) -> Space {
        self.store.space()
    }

    fn prepare(&self, reserve: u64) {
        self.store.prepare(reserve);
    }

    fn is_preparing(&self) -> bool {
        self.store.is_preparing()
    }

    fn prepared(&self) -> Option<u64> {
        self.store.prepared()
    }

    fn unprepare(&self) -> Result<(), StoreError> {
        self.store.unprepare()
    }

    fn tail(&self) -> Option<Tail> {
        self.store.tail()
    }

    fn begin(&self) -> Visit {
        self.store.begin()
    }

    fn resume(&self, first: RowNo, end: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        self.store.resume(first, end)
    }

    fn replace(&self, first: RowNo) -> Result<Replaced, StoreError> {
        self.store.replace(first)
    }

    fn is_salvaged(&self, first: RowNo) -> bool {
        self.store.is_salvaged(first)
    }

    fn note_tail(&self, tail: Tail) {
        self.store.note_tail(tail);
    }
}

/// Count, median and most of some milliseconds, as JSON.
#[must_use]
pub fn summary(mut times: Vec<f64>) -> serde_json::Value {
    times.sort_by(f64::total_cmp);
    let at = |part: usize| {
        let last = times.len().saturating_sub(1);
        times
            .get((times.len() * part / 100).min(last))
            .map(|time| (time * 100.0).round() / 100.0)
    };
    serde_json::json!({ "count": times.len(), "median_ms": at(50), "p99_ms": at(99), "most_ms": at(100) })
}

/// The three summaries together.
#[must_use]
pub fn summaries(times: Times) -> serde_json::Value {
    serde_json::json!({
        "create": summary(times.create), "open": summary(times.open), "remove": summary(times.remove),
    })
}
