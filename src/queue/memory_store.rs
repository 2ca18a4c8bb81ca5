//! A store in memory, with a live and a durable image: what tests and the simulation cut the power of.
//!
//! Owns two copies of every generation: what a reader sees now, and what would be there after a power cut. Appending writes
//! the live image; the sync takes it over into the durable one. A countdown makes the n-th sync and all later ones fail;
//! a [`Watcher`] is asked about each, and may let time pass meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::{Generation, Need, Replaced, Space, Store, StoreError, Tail, Visit};
use super::types::RowNo;

type Rows = BTreeMap<RowNo, Arc<[u8]>>;

#[derive(Debug, Clone, Default)]
struct Image {
    generations: BTreeMap<RowNo, Rows>,
    tail: Option<Tail>,
    openings: u64,
    salvaged: BTreeSet<RowNo>,
}

/// What was done to the live image and is not synced.
#[derive(Debug, Clone)]
enum Deed {
    Add {
        first: RowNo,
        rows: Vec<(RowNo, Arc<[u8]>)>,
    },
    Remove(RowNo),
    Tail(Tail),
}

impl Image {
    fn apply(&mut self, deed: Deed) {
        match deed {
            Deed::Add { first, rows } => self.generations.entry(first).or_default().extend(rows),
            Deed::Remove(first) => drop(self.generations.remove(&first)),
            Deed::Tail(tail) => self.tail = Some(tail),
        }
    }
}

/// What is about to be synced.
#[derive(Debug, Clone, Copy)]
pub enum Write<'a> {
    /// Rows at the end of a generation, or (`true`) a new one.
    Rows(&'a [(RowNo, Vec<u8>)], bool),
    /// A generation goes.
    Removal(RowNo),
    /// Whatever a process before has left unsynced.
    Rest,
}

/// What becomes of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It succeeds.
    Done,
    /// It fails, and so does the write before it: nothing of it is there.
    Refused,
    /// It fails: the write is seen, and is not durable.
    Failed,
    /// It succeeds, but nobody lives to hear of it.
    DoneUnheard,
}

/// Is asked what becomes of each sync. The store is not locked meanwhile: it may be read.
pub type Watcher = Box<dyn Fn(Write<'_>) -> Fate + Send + Sync>;

#[derive(Default)]
struct Medium {
    live: Image,
    durable: Image,
    unsynced: Vec<Deed>,
    syncs: u64,
    fail_at_sync: Option<u64>,
    /// Bytes that the medium holds.
    capacity: Option<u64>,
    moved: bool,
    watcher: Option<Arc<Watcher>>,
}

impl std::fmt::Debug for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Medium")
            .field("syncs", &self.syncs)
            .finish_non_exhaustive()
    }
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

    /// From now on this is asked what becomes of each sync.
    pub fn watch(&self, watcher: Watcher) {
        self.medium().watcher = Some(Arc::new(watcher));
    }

    /// Takes the power away and gives it back: what was not synced is gone, and syncs work again.
    pub fn cut_power(&self) {
        let mut medium = self.medium();
        medium.unsynced.clear();
        medium.live = medium.durable.clone();
        medium.fail_at_sync = None;
    }

    /// As [`MemoryStore::cut_power`], but the kernel had written the outside count by itself.
    pub fn cut_power_but_for_the_count(&self) {
        let tail = self.medium().live.tail;
        self.cut_power();
        let mut medium = self.medium();
        (medium.live.tail, medium.durable.tail) = (tail, tail);
    }

    /// The medium holds so many bytes, from now on; `None`: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.medium().capacity = bytes;
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

    /// The medium is another one from now on: as after copying it, or restoring it from a backup.
    pub fn copy(&self) {
        self.medium().moved = true;
    }

    /// The durable rows from a row on, in their order.
    #[must_use]
    pub fn durable_rows(&self, from: RowNo) -> Vec<(RowNo, Arc<[u8]>)> {
        let medium = self.medium();
        let rows = medium.durable.generations.values();
        rows.flat_map(|rows| rows.range(from..))
            .map(|(row, bytes)| (*row, bytes.clone()))
            .collect()
    }

    /// Does this to the live image, and syncs.
    fn write(&self, deed: Option<Deed>, write: Write<'_>) -> Result<(), StoreError> {
        let mut medium = self.medium();
        let before = deed.is_some().then(|| medium.unsynced.len());
        if let Some(deed) = deed {
            medium.live.apply(deed.clone());
            medium.unsynced.push(deed);
        }
        medium.syncs += 1;
        let fails = medium.fail_at_sync.is_some_and(|at| medium.syncs >= at);
        let watcher = medium.watcher.clone();
        drop(medium);
        let fate = match watcher {
            _ if fails => Fate::Failed,
            Some(watcher) => watcher(write),
            None => Fate::Done,
        };
        let mut medium = self.medium();
        if fate == Fate::Refused
            && let Some(before) = before
        {
            medium.undo(before);
        }
        if matches!(fate, Fate::Done | Fate::DoneUnheard) {
            medium.sync();
        }
        if fate == Fate::Done {
            return Ok(());
        }
        let source = std::io::Error::other("the power is gone");
        Err(StoreError::Io {
            doing: "sync",
            path: "memory".into(),
            source,
        })
    }
}

impl Medium {
    fn space(&self) -> Space {
        let rows = self.live.generations.values().flat_map(BTreeMap::values);
        let used = rows.map(|row| row.len() as u64).sum();
        let capacity = self.capacity.unwrap_or(u64::MAX);
        Space {
            used,
            free: capacity.saturating_sub(used),
        }
    }

    fn sync(&mut self) {
        for deed in std::mem::take(&mut self.unsynced) {
            self.durable.apply(deed);
        }
    }

    fn undo(&mut self, before: usize) {
        self.unsynced.remove(before);
        self.live = self.durable.clone();
        for deed in self.unsynced.clone() {
            self.live.apply(deed);
        }
    }
}

fn shared(rows: &[(RowNo, Vec<u8>)]) -> Vec<(RowNo, Arc<[u8]>)> {
    rows.iter().map(|(row, bytes)| (*row, bytes[..].into())).collect()
}

impl Store for MemoryStore {
    fn list(&self) -> Result<Vec<RowNo>, StoreError> {
        Ok(self.medium().live.generations.keys().copied().collect())
    }

    fn create(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        let first = rows.first().map_or(1, |(row, _)| *row);
        let deed = Deed::Add {
            first,
            rows: shared(rows),
        };
        self.write(Some(deed), Write::Rows(rows, true))?;
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
        self.write(Some(Deed::Remove(first)), Write::Removal(first))
    }

    fn space(&self) -> Space {
        self.medium().space()
    }

    fn tail(&self) -> Option<Tail> {
        self.medium().live.tail
    }

    fn begin(&self) -> Visit {
        let mut guard = self.medium();
        let medium = &mut *guard;
        medium.live.openings += 1;
        medium.durable.openings = medium.live.openings;
        let moved = std::mem::take(&mut medium.moved);
        Visit {
            session: medium.live.openings,
            moved,
        }
    }

    fn resume(&self, first: RowNo, end: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        let mut guard = self.medium();
        let medium = &mut *guard;
        for image in [&mut medium.live, &mut medium.durable] {
            if let Some(rows) = image.generations.get_mut(&first) {
                rows.retain(|row, _| *row < end);
            }
        }
        drop(guard);
        self.open(first)
    }

    fn replace(&self, first: RowNo) -> Result<Replaced, StoreError> {
        let mut medium = self.medium();
        let rows = medium.live.generations.entry(first).or_default().len();
        medium.live.salvaged.insert(first);
        medium.durable.salvaged.insert(first);
        drop(medium);
        Ok(Replaced {
            generation: self.open(first)?,
            directory: format!("damaged-{first}"),
            rows: rows as u64,
        })
    }

    fn is_salvaged(&self, first: RowNo) -> bool {
        self.medium().live.salvaged.contains(&first)
    }

    fn note_tail(&self, tail: Tail) {
        let mut medium = self.medium();
        medium.live.tail = Some(tail);
        medium.unsynced.push(Deed::Tail(tail));
    }
}

#[derive(Debug)]
struct MemoryGeneration {
    first: RowNo,
    store: MemoryStore,
}

impl MemoryGeneration {
    fn rows<T>(&self, look: impl FnOnce(&Rows) -> Option<T>) -> Option<T> {
        self.store
            .medium()
            .live
            .generations
            .get(&self.first)
            .and_then(look)
    }
}

impl Generation for MemoryGeneration {
    fn append(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError> {
        let deed = Deed::Add {
            first: self.first,
            rows: shared(rows),
        };
        self.store.write(Some(deed), Write::Rows(rows, false))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.store.write(None, Write::Rest)
    }

    fn read(&self, row: RowNo) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows(|rows| rows.get(&row).map(|row| row.to_vec())))
    }

    fn size(&self) -> Result<u64, StoreError> {
        let medium = self.store.medium();
        let rows = medium.live.generations.get(&self.first);
        Ok(rows.map_or(0, |rows| rows.values().map(|row| row.len() as u64).sum()))
    }

    /// Memory has no reserve: what is stored has to be free. What makes room is small, and is always taken.
    fn lacks(&self, bytes: u64, need: Need) -> Result<u64, StoreError> {
        let counts = need == Need::Readings && self.store.medium().capacity.is_some();
        Ok(if counts { bytes } else { 0 })
    }

    fn extend(&self, bytes: u64) -> Result<(), StoreError> {
        let place = || "memory".into();
        let enough = self.store.medium().space().free >= bytes;
        enough
            .then_some(())
            .ok_or_else(|| StoreError::Full { place: place() })
    }

    fn last(&self) -> Result<Option<RowNo>, StoreError> {
        Ok(self.rows(|rows| rows.keys().next_back().copied()))
    }

    fn at_or_after(&self, row: RowNo) -> Result<Option<RowNo>, StoreError> {
        Ok(self.rows(|rows| rows.range(row..).next().map(|(row, _)| *row)))
    }
}
