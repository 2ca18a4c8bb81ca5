//! A store in memory, with a live and a durable image: what tests and the simulation cut the power of.
//!
//! Owns two copies of every generation: what a reader sees now, and what would be there after a power cut. Appending writes
//! the live image; the sync copies it. A countdown makes the n-th append or sync fail, with or without its effect.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{Generation, Store, StoreError, Tail};
use super::types::RowNo;

type Rows = BTreeMap<RowNo, Vec<u8>>;

#[derive(Debug, Clone, Default)]
struct Image {
    generations: BTreeMap<RowNo, Rows>,
    tail: Option<Tail>,
}

#[derive(Debug, Default)]
struct Medium {
    live: Image,
    durable: Image,
    syncs: u64,
    fail_at_sync: Option<u64>,
}

/// A store in memory. Clones share the medium, as two processes one after the other share a disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    medium: Arc<Mutex<Medium>>,
}

impl MemoryStore {
    /// An empty medium.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many syncs were made.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.medium().syncs
    }

    /// The power fails at that sync, counted from 1 over the medium's life: it and all later ones are refused.
    pub fn fail_at_sync(&self, sync: u64) {
        self.medium().fail_at_sync = Some(sync);
    }

    /// Takes the power away and gives it back: what was not synced is gone, and syncs work again.
    pub fn cut_power(&self) {
        let mut medium = self.medium();
        medium.live = medium.durable.clone();
        medium.fail_at_sync = None;
    }

    /// Takes a row away in both images, as damage does.
    pub fn lose_row(&self, row: RowNo) {
        let mut guard = self.medium();
        let medium = &mut *guard;
        for image in [&mut medium.live, &mut medium.durable] {
            image
                .generations
                .values_mut()
                .for_each(|rows| drop(rows.remove(&row)));
        }
    }
}

impl Medium {
    fn sync(&mut self) -> Result<(), StoreError> {
        self.syncs += 1;
        if self.fail_at_sync.is_some_and(|at| self.syncs >= at) {
            let source = std::io::Error::other("the power is gone");
            return Err(StoreError::Io {
                doing: "sync",
                path: "memory".into(),
                source,
            });
        }
        self.durable = self.live.clone();
        Ok(())
    }
}

impl Store for MemoryStore {
    fn list(&self) -> Result<Vec<RowNo>, StoreError> {
        Ok(self.medium().live.generations.keys().copied().collect())
    }

    fn create(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        let first = rows.first().map_or(1, |(row, _)| *row);
        let mut medium = self.medium();
        medium
            .live
            .generations
            .insert(first, rows.iter().cloned().collect());
        if let Err(error) = medium.sync() {
            medium.live.generations.remove(&first);
            return Err(error);
        }
        drop(medium);
        self.open(first)
    }

    fn open(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        if !self.medium().live.generations.contains_key(&first) {
            return Err(StoreError::Damaged {
                generation: first,
                what: "not there".into(),
            });
        }
        Ok(Arc::new(MemoryGeneration {
            first,
            store: self.clone(),
        }))
    }

    fn remove(&self, first: RowNo) -> Result<(), StoreError> {
        let mut medium = self.medium();
        medium.live.generations.remove(&first);
        medium.sync()
    }

    fn bytes(&self, first: RowNo) -> u64 {
        let medium = self.medium();
        let rows = medium.live.generations.get(&first);
        rows.map_or(0, |rows| rows.values().map(|row| row.len() as u64).sum())
    }

    fn tail(&self) -> Option<Tail> {
        self.medium().live.tail
    }

    fn note_tail(&self, tail: Tail) {
        self.medium().live.tail = Some(tail);
    }
}

#[derive(Debug)]
struct MemoryGeneration {
    first: RowNo,
    store: MemoryStore,
}

impl Generation for MemoryGeneration {
    fn append(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError> {
        let mut medium = self.store.medium();
        medium
            .live
            .generations
            .entry(self.first)
            .or_default()
            .extend(rows.iter().cloned());
        medium.sync()
    }

    fn read(&self, row: RowNo) -> Result<Option<Vec<u8>>, StoreError> {
        let medium = self.store.medium();
        Ok(medium
            .live
            .generations
            .get(&self.first)
            .and_then(|rows| rows.get(&row))
            .cloned())
    }

    fn last(&self) -> Result<Option<RowNo>, StoreError> {
        let medium = self.store.medium();
        Ok(medium
            .live
            .generations
            .get(&self.first)
            .and_then(|rows| rows.keys().next_back())
            .copied())
    }
}
