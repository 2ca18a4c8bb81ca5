//! The next generation, made ahead of its time.
//!
//! Making a database takes about fifteen syncs: tenths of a second on a card. So a thread makes it while the present one is
//! written, with its reserve, under a temporary name; following the present one is then a batch of rows, one sync, and a
//! rename. Owns that one database until it is taken. Promises that nobody works in the directory any more once it is
//! dropped. Must not know rows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Meter, SledGeneration, SledStore};
use crate::queue::store::StoreError;

#[derive(Debug, Default)]
enum Bench {
    #[default]
    Empty,
    Busy,
    Ready(SledGeneration, u64),
}

#[derive(Debug)]
pub(super) struct Workshop {
    place: PathBuf,
    bench: Arc<Mutex<Bench>>,
    meter: Arc<Meter>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Workshop {
    /// Waits for the thread. The store's lock of the directory is given up after this: whoever has it next clears away what
    /// was half made, and must be alone in doing so.
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            drop(thread.join());
        }
    }
}

impl Workshop {
    pub(super) fn new(directory: &Path, meter: Arc<Meter>) -> Self {
        Self {
            place: directory.join("tmp-next"),
            bench: Arc::default(),
            meter,
            thread: Mutex::default(),
        }
    }

    fn bench(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to make one with a reserve of so many bytes, unless one is there or being made.
    pub(super) fn begin(&self, bytes: u64) {
        let mut bench = self.bench();
        if !matches!(*bench, Bench::Empty) {
            return;
        }
        *bench = Bench::Busy;
        drop(bench);
        self.meter.promise(bytes);
        let (place, shared, meter) = (self.place.clone(), self.bench.clone(), self.meter.clone());
        let work = move || {
            let made = SledStore::make(&place, &meter, bytes);
            meter.promise(0);
            let mut bench = shared.lock().unwrap_or_else(PoisonError::into_inner);
            *bench = match made {
                Ok(made) => Bench::Ready(made, bytes),
                Err(error) => {
                    tracing::warn!(%error, "the next part of the queue cannot be prepared now");
                    Bench::Empty
                }
            };
        };
        let thread = std::thread::Builder::new().name("prepare".into());
        match thread.spawn(work) {
            // The one before has ended: the bench was empty.
            Ok(thread) => *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "no thread prepares the next part of the queue");
                *self.bench() = Bench::Empty;
                self.meter.promise(0);
            }
        }
    }

    /// The reserve of the one that is ready.
    pub(super) fn ready(&self) -> Option<u64> {
        match &*self.bench() {
            Bench::Ready(_, bytes) => Some(*bytes),
            Bench::Empty | Bench::Busy => None,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(*self.bench(), Bench::Busy)
    }

    pub(super) fn take(&self) -> Option<SledGeneration> {
        let mut bench = self.bench();
        match std::mem::take(&mut *bench) {
            Bench::Ready(made, _) => Some(made),
            other => {
                *bench = other;
                None
            }
        }
    }

    /// Removes what was made, to make room.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        if let Some(made) = self.take() {
            drop(made);
            super::remove_all(&self.place)?;
            self.meter.forget();
        }
        Ok(())
    }
}
