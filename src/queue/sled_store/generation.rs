//! One generation: a small sled database, and what is done around it.
//!
//! Owns the order of writing and syncing. Promises that a row which was appended is on the medium, that reading leaves
//! nothing behind in memory, and that a panic of sled's is an error. Must not know other generations.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::failed;
use super::meter::Meter;
use super::reserve::{self, Reserve};
use crate::planted::{self, Bug};
use crate::queue::store::{Generation, Need, StoreError, is_full};
use crate::queue::types::RowNo;
use crate::{panics, sys};

/// Small: the queue reads each row once. sled splits it over 256 shards.
const CACHE: u64 = 1024 * 1024;
/// How often a row is read again so that sled's cache evicts it: measured, 511 MB of rows read in 18 MB of memory.
const TOUCHES: usize = 9;
/// How long sled's own lock of a generation may outlive its handle.
const LOCK_PATIENCE: u32 = 100;

/// One sled database.
#[derive(Debug)]
pub(super) struct SledGeneration {
    pub(super) first: RowNo,
    db: Option<sled::Db>,
    reserve: Reserve,
    meter: Arc<Meter>,
    pub(super) path: PathBuf,
}

impl SledGeneration {
    pub(super) fn open(first: RowNo, path: &Path, meter: &Arc<Meter>) -> Result<Self, StoreError> {
        let db = open_patiently(first, path)?;
        let log = path.join("db");
        let reserve = Reserve::open(&log).map_err(failed("open", &log))?;
        Ok(Self {
            first,
            db: Some(db),
            reserve,
            meter: meter.clone(),
            path: path.to_owned(),
        })
    }

    /// sled panics on some damage also when it reads; the panic ends here, as an error.
    fn ask<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, StoreError> {
        let db = self.db.as_ref().ok_or_else(|| self.damaged("closed"))?;
        match panics::contained(|| work(db)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(panic) => Err(self.damaged(panic)),
        }
    }

    fn damaged(&self, what: impl ToString) -> StoreError {
        StoreError::Damaged {
            generation: self.first,
            what: what.to_string(),
        }
    }

    fn number(&self, key: &[u8]) -> Result<RowNo, StoreError> {
        let number = key.try_into().map(RowNo::from_be_bytes);
        number.map_err(|_| self.damaged("a foreign key"))
    }

    fn failed(&self, error: sled::Error) -> StoreError {
        match error {
            sled::Error::Io(source) => failed("use", &self.path)(source),
            other => self.damaged(other),
        }
    }
}

/// sled releases its lock a moment after the last handle is dropped, so a refusal for that is tried again.
fn open_patiently(first: RowNo, path: &Path) -> Result<sled::Db, StoreError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match open_once(first, path) {
            Err(StoreError::Io { source, .. }) if attempt < LOCK_PATIENCE && is_locked(&source) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

/// sled panics on some damage; the panic ends here, as an error.
fn open_once(first: RowNo, path: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE)
        .segment_size(usize::try_from(reserve::SEGMENT).unwrap_or(512 * 1024))
        .flush_every_ms(None);
    let damaged = |what: String| StoreError::Damaged {
        generation: first,
        what,
    };
    match panics::contained(|| config.open()) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(source))) => Err(failed("open", path)(source)),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(panic) => Err(damaged(panic)),
    }
}

impl Generation for SledGeneration {
    fn append(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError> {
        self.ask(|db| {
            if let [(row, bytes)] = rows {
                // One key is atomic by itself. A batch begins with a manifest that sled writes and waits for separately:
                // twice the writes and wake-ups of its threads.
                db.insert(row.to_be_bytes(), bytes.as_slice())?;
            } else {
                let mut batch = sled::Batch::default();
                for (row, bytes) in rows {
                    batch.insert(&row.to_be_bytes(), bytes.as_slice());
                }
                db.apply_batch(batch)?;
            }
            db.flush()
        })?;
        if planted::has(Bug::NoSync) {
            return Ok(());
        }
        self.reserve.sync().map_err(failed("sync", &self.path))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.reserve.sync().map_err(failed("sync", &self.path))
    }

    fn read(&self, row: RowNo) -> Result<Option<Vec<u8>>, StoreError> {
        let key = row.to_be_bytes();
        let value = self.ask(|db| {
            let value = db.get(key)?;
            for _ in 0..TOUCHES {
                db.get(key)?;
            }
            Ok(value)
        })?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn size(&self) -> Result<u64, StoreError> {
        self.reserve.size().map_err(failed("look at", &self.path))
    }

    fn lacks(&self, bytes: u64, need: Need) -> Result<u64, StoreError> {
        self.reserve
            .lacks(bytes, need)
            .map_err(failed("look at", &self.path))
    }

    fn extend(&self, bytes: u64) -> Result<(), StoreError> {
        let extended = self.reserve.extend(bytes);
        self.meter.grew(bytes);
        match extended {
            Err(error) if is_full(&error) => {
                self.meter.forget();
                Err(StoreError::Full {
                    place: self.path.display().to_string(),
                })
            }
            other => other.map_err(failed("extend", &self.path)),
        }
    }

    fn give_back(&self) -> Result<(), StoreError> {
        let given = self.reserve.give_back().map_err(failed("cut", &self.path));
        self.meter.forget();
        given.map(drop)
    }

    fn last(&self) -> Result<Option<RowNo>, StoreError> {
        let last = self.ask(|db| db.last())?;
        last.map(|(key, _)| self.number(&key)).transpose()
    }

    fn at_or_after(&self, row: RowNo) -> Result<Option<RowNo>, StoreError> {
        let found = self.ask(|db| db.range(row.to_be_bytes()..).next().transpose())?;
        found.map(|(key, _)| self.number(&key)).transpose()
    }
}

impl Drop for SledGeneration {
    fn drop(&mut self) {
        drop(self.db.take());
        sys::trim_memory();
    }
}
