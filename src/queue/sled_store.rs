//! The store on sled 0.34.7, with the guards that make it fit for custody.
//!
//! sled writes, and no more: it syncs through us (`Db::flush` calls `sync_file_range` only), keeps rows small so that
//! nothing spills into blob files, and never opens what another process wrote. What is there is read by [`super::raw`]; what
//! is written on after a restart is written anew ([`mend`]). So neither damage nor a power cut is ever sled's to judge: it
//! cuts off what follows the damage, and it may panic or never come back. Rows that are read through it are read ten times,
//! so that its cache lets go of them (its shards evict only after 64 accesses). The only file that names sled.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::names::{self, Kind, Name};
use super::opening::Opening;
use super::store::{Generation, Replaced, Space, Store, StoreError, Tail, Visit};
use super::tail_file::TailFile;
use super::types::RowNo;
use generation::SledGeneration;
use meter::Meter;
use workshop::Workshop;

mod generation;
mod meter;
mod reserve;
mod workshop;

mod mend;
mod place;

/// A queue directory.
pub struct SledStore {
    directory: PathBuf,
    machine: u64,
    tail: Mutex<TailFile>,
    meter: Arc<Meter>,
    workshop: Workshop,
    opening: Mutex<Opening>,
    /// The generations there are, and the latest revision of each.
    revisions: Mutex<BTreeMap<RowNo, u32>>,
    /// Held, never read: the lock ends with it, after the workshop (fields are dropped in their order).
    _lock: File,
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
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
        let lock = place::lock(directory)?;
        place::claim(directory)?;
        let path = directory.join("tail");
        let tail = TailFile::open(&path).map_err(failed("open", &path))?;
        let path = directory.join("opening");
        let opening = Opening::open(&path).map_err(failed("open", &path))?;
        let meter = Arc::new(Meter::new());
        Ok(Self {
            directory: directory.to_owned(),
            machine: 0,
            tail: Mutex::new(tail),
            workshop: Workshop::new(directory, meter.clone()),
            meter,
            opening: Mutex::new(opening),
            revisions: Mutex::default(),
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

impl SledStore {
    /// The machine's number, to notice a copy of the queue on another one; 0 when it is not known.
    #[must_use]
    pub fn of_machine(mut self, machine: u64) -> Self {
        self.machine = machine;
        self
    }

    fn opening(&self) -> MutexGuard<'_, Opening> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Gives a new database its name, durably.
    fn put_to(&self, made: &mut SledGeneration, first: RowNo, path: PathBuf) -> Result<(), StoreError> {
        sync_directory(&made.path)?;
        // sled goes by the path only when it opens a database and for blobs, which rows of this size never become.
        fs::rename(&made.path, &path).map_err(failed("rename", &made.path))?;
        sync_directory(&self.directory)?;
        (made.first, made.path) = (first, path);
        self.meter.forget();
        Ok(())
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
        for name in self.entries()? {
            if names::kind(&name) == Kind::Leftover {
                let path = self.directory.join(name);
                fs::remove_dir_all(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(self.names()?.into_iter().map(|name| name.first).collect())
    }

    fn create(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        let first = rows.first().map_or(1, |(row, _)| *row);
        let path = self.path_of(Name { first, revision: 0 });
        let mut made = match self.workshop.take() {
            Some(made) => made,
            None => Self::make(&self.path("tmp", first), &self.meter, 0)?,
        };
        made.append(rows)?;
        mend::write_copy(&made.path, rows)?;
        self.put_to(&mut made, first, path)?;
        self.revisions().insert(first, 0);
        Ok(Arc::new(made))
    }

    fn open(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        Ok(Arc::new(self.scan(first)?))
    }

    fn remove(&self, first: RowNo) -> Result<(), StoreError> {
        let (path, doomed) = (self.path_of(self.name_of(first)), self.path("del", first));
        fs::rename(&path, &doomed).map_err(failed("rename", &path))?;
        self.revisions().remove(&first);
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

    fn begin(&self) -> Visit {
        self.opening().begin(self.machine)
    }

    fn resume(&self, first: RowNo, end: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        self.write_anew(first, end)
    }

    fn replace(&self, first: RowNo) -> Result<Replaced, StoreError> {
        self.put_in_place(first)
    }

    fn is_salvaged(&self, first: RowNo) -> bool {
        names::is_salvaged(&self.path_of(self.name_of(first)))
    }

    fn note_tail(&self, tail: Tail) {
        self.tail
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(tail);
    }
}

#[cfg(test)]
#[path = "sled_store/tests.rs"]
mod tests;
