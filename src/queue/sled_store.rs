//! The store on sled 0.34.7, with the guards that make it fit for custody.
//!
//! What sled does not do, this file does: it syncs (`Db::flush` calls `sync_file_range` only), keeps rows small so that
//! nothing spills into blob files, removes half-written snapshots before they make every later open fail, and reads each row
//! ten times so that sled's cache lets go of it (its shards evict only after 64 accesses). The only file that names sled.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::names::{self, FORMAT, Kind};
use super::opening::Opening;
use super::store::{Generation, Need, Space, Store, StoreError, Tail, is_full};
use super::tail_file::TailFile;
use super::types::RowNo;
use crate::planted::{self, Bug};
use crate::{panics, sys};
use meter::Meter;
use reserve::Reserve;
use workshop::Workshop;

mod meter;
mod reserve;
mod workshop;

/// Small: the queue reads each row once. sled splits it over 256 shards.
const CACHE: u64 = 1024 * 1024;
/// How often a row is read again so that sled's cache evicts it: measured, 511 MB of rows read in 18 MB of memory.
const TOUCHES: usize = 9;
/// How long sled's own lock of a generation may outlive its handle.
const LOCK_PATIENCE: u32 = 100;

/// A queue directory.
#[derive(Debug)]
pub struct SledStore {
    directory: PathBuf,
    tail: Mutex<TailFile>,
    opening: Mutex<Opening>,
    meter: Arc<Meter>,
    workshop: Workshop,
    /// Held, never read: the lock ends with it.
    _lock: File,
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        doing,
        path: path.display().to_string(),
        source,
    }
}

fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync", path))
}

impl SledStore {
    /// Opens or makes a queue directory and locks it.
    ///
    /// # Errors
    /// When it cannot be made or locked, or when it is not ours.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(directory).map_err(failed("create", directory))?;
        let lock = lock(directory)?;
        claim(directory)?;
        let path = directory.join("tail");
        let tail = TailFile::open(&path).map_err(failed("open", &path))?;
        let path = directory.join("opening");
        let opening = Opening::open(&path).map_err(failed("open", &path))?;
        let meter = Arc::new(Meter::new());
        Ok(Self {
            directory: directory.to_owned(),
            tail: Mutex::new(tail),
            workshop: Workshop::new(directory, meter.clone()),
            meter,
            opening: Mutex::new(opening),
            _lock: lock,
        })
    }

    fn path(&self, prefix: &str, first: RowNo) -> PathBuf {
        self.directory.join(format!("{prefix}-{first:020}"))
    }

    fn entries(&self) -> Result<Vec<String>, StoreError> {
        let read = fs::read_dir(&self.directory).map_err(failed("list", &self.directory))?;
        read.map(|entry| {
            Ok(entry
                .map_err(failed("list", &self.directory))?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
    }
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("open", &path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse {
            directory: directory.display().to_string(),
        }),
        Err(error) => Err(failed("lock", &path)(error.into())),
    }
}

/// Makes sure that the directory is a queue of ours, or empty: then it becomes one.
fn claim(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("format");
    match fs::read_to_string(&path) {
        Ok(text) if text == FORMAT => Ok(()),
        Ok(text) => Err(StoreError::Refused {
            what: format!(
                "the queue {} has the format {:?}, this agent knows {FORMAT:?}",
                directory.display(),
                text
            ),
            hint: "run the version that wrote it, or a newer one; nothing was changed".into(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut found = fs::read_dir(directory).map_err(failed("list", directory))?;
            let ours = |name: &std::ffi::OsStr| name == "lock" || name == "format.new";
            if found.any(|entry| entry.is_ok_and(|entry| !ours(&entry.file_name()))) {
                return Err(StoreError::Refused {
                    what: format!("{} holds files that are not a queue's", directory.display()),
                    hint: "give queue.directory a directory of its own; nothing was changed".into(),
                });
            }
            let new = directory.join("format.new");
            fs::write(&new, FORMAT).map_err(failed("write", &new))?;
            File::open(&new)
                .and_then(|file| file.sync_all())
                .map_err(failed("sync", &new))?;
            fs::rename(&new, &path).map_err(failed("rename", &new))?;
            sync_directory(directory)
        }
        Err(error) => Err(failed("read", &path)(error)),
    }
}

impl SledStore {
    /// An empty database under a temporary name, with its reserve; durable but for its name.
    fn make(path: &Path, meter: &Arc<Meter>, reserve: u64) -> Result<SledGeneration, StoreError> {
        remove_all(path)?;
        let made = SledGeneration::open(0, path, meter)?;
        made.extend(reserve)?;
        for name in ["db", "conf"] {
            let file = path.join(name);
            File::open(&file)
                .and_then(|file| file.sync_all())
                .map_err(failed("sync", &file))?;
        }
        sync_directory(path)?;
        Ok(made)
    }
}

fn remove_all(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

impl Store for SledStore {
    fn list(&self) -> Result<Vec<RowNo>, StoreError> {
        let mut firsts = Vec::new();
        for name in self.entries()? {
            match names::kind(&name) {
                Kind::Leftover => {
                    let path = self.directory.join(name);
                    fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
                }
                Kind::Generation(name) => firsts.push(name.first),
                Kind::Aside | Kind::Own | Kind::Foreign => {}
            }
        }
        firsts.sort_unstable();
        Ok(firsts)
    }

    fn create(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        let first = rows.first().map_or(1, |(row, _)| *row);
        let path = self.path("g", first);
        let mut made = match self.workshop.take() {
            Some(made) => made,
            None => Self::make(&self.path("tmp", first), &self.meter, 0)?,
        };
        made.append(rows)?;
        // sled goes by the path only when it opens a database and for blobs, which rows of this size never become.
        fs::rename(&made.path, &path).map_err(failed("rename", &made.path))?;
        sync_directory(&self.directory)?;
        (made.first, made.path) = (first, path);
        self.meter.forget();
        Ok(Arc::new(made))
    }

    fn open(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        let opened = SledGeneration::open(first, &self.path("g", first), &self.meter);
        self.meter.forget();
        Ok(Arc::new(opened?))
    }

    fn remove(&self, first: RowNo) -> Result<(), StoreError> {
        let (path, doomed) = (self.path("g", first), self.path("del", first));
        fs::rename(&path, &doomed).map_err(failed("rename", &path))?;
        sync_directory(&self.directory)?;
        let removed = fs::remove_dir_all(&doomed).map_err(failed("remove", &doomed));
        self.meter.forget();
        removed
    }

    fn space(&self) -> Space {
        let free = rustix::fs::statvfs(&self.directory)
            .map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize));
        Space {
            used: self.meter.bytes(&self.directory),
            free,
        }
    }

    fn prepare(&self, bytes: u64) {
        self.workshop.begin(bytes);
    }

    fn is_preparing(&self) -> bool {
        self.workshop.is_busy()
    }

    fn prepared(&self) -> Option<u64> {
        self.workshop.ready()
    }

    fn unprepare(&self) -> Result<(), StoreError> {
        self.workshop.clear()
    }

    fn tail(&self) -> Option<Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).read()
    }

    fn begin(&self) -> u64 {
        self.opening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .begin()
    }

    fn note_tail(&self, tail: Tail) {
        self.tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(tail);
    }
}

/// One sled database.
#[derive(Debug)]
struct SledGeneration {
    first: RowNo,
    db: Option<sled::Db>,
    reserve: Reserve,
    meter: Arc<Meter>,
    path: PathBuf,
}

impl SledGeneration {
    fn open(first: RowNo, path: &Path, meter: &Arc<Meter>) -> Result<Self, StoreError> {
        remove_files(path, |name| name.ends_with(".generating"))?;
        let db = match open_patiently(first, path) {
            Err(StoreError::Damaged { .. }) => {
                remove_files(path, |name| name.starts_with("snap."))?;
                open_patiently(first, path)?
            }
            other => other?,
        };
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

    fn db(&self) -> Result<&sled::Db, StoreError> {
        self.db.as_ref().ok_or_else(|| self.damaged("closed"))
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

fn remove_files(path: &Path, doomed: impl Fn(&str) -> bool) -> Result<(), StoreError> {
    let Ok(read) = fs::read_dir(path) else {
        return Ok(());
    };
    for entry in read.flatten() {
        if doomed(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
        }
    }
    Ok(())
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
        let db = self.db()?;
        if let [(row, bytes)] = rows {
            // One key is atomic by itself. A batch begins with a manifest that sled writes and waits for separately:
            // twice the writes and wake-ups of its threads.
            db.insert(row.to_be_bytes(), bytes.as_slice())
                .map_err(|error| self.failed(error))?;
        } else {
            let mut batch = sled::Batch::default();
            for (row, bytes) in rows {
                batch.insert(&row.to_be_bytes(), bytes.as_slice());
            }
            db.apply_batch(batch).map_err(|error| self.failed(error))?;
        }
        db.flush().map_err(|error| self.failed(error))?;
        if planted::has(Bug::NoSync) {
            return Ok(());
        }
        self.reserve.sync().map_err(failed("sync", &self.path))
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.reserve.sync().map_err(failed("sync", &self.path))
    }

    fn read(&self, row: RowNo) -> Result<Option<Vec<u8>>, StoreError> {
        let (db, key) = (self.db()?, row.to_be_bytes());
        let value = db.get(key).map_err(|error| self.failed(error))?;
        for _ in 0..TOUCHES {
            db.get(key).map_err(|error| self.failed(error))?;
        }
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
        let last = self.db()?.last().map_err(|error| self.failed(error))?;
        last.map(|(key, _)| self.number(&key)).transpose()
    }

    fn at_or_after(&self, row: RowNo) -> Result<Option<RowNo>, StoreError> {
        let found = self.db()?.range(row.to_be_bytes()..).next().transpose();
        let found = found.map_err(|error| self.failed(error))?;
        found.map(|(key, _)| self.number(&key)).transpose()
    }
}

impl Drop for SledGeneration {
    fn drop(&mut self) {
        drop(self.db.take());
        sys::trim_memory();
    }
}

#[cfg(test)]
#[path = "sled_store/tests.rs"]
mod tests;
