//! The store on sled 0.34.7, with the guards that make it fit for custody.
//!
//! What sled does not do, this file does: it syncs (`Db::flush` calls `sync_file_range` only), keeps rows small so that
//! nothing spills into blob files, removes half-written snapshots before they make every later open fail, and reads each row
//! ten times so that sled's cache lets go of it (its shards evict only after 64 accesses). sled is named here only.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::names::{self, FORMAT, Kind};
use super::opening::Opening;
use super::raw::RawGeneration;
use super::store::{Generation, Space, Store, StoreError, Tail};
use super::tail_file::TailFile;
use super::types::RowNo;
use generation::SledGeneration;
use meter::Meter;
use workshop::Workshop;

mod generation;
mod meter;
mod reserve;
mod workshop;

/// A queue directory.
#[derive(Debug)]
pub struct SledStore {
    directory: PathBuf,
    tail: Mutex<TailFile>,
    meter: Arc<Meter>,
    workshop: Workshop,
    opening: Mutex<Opening>,
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

    fn open_to_read(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        match self.open(first) {
            // sled writes when it opens. Where there is no room for that, rows are found without it.
            Err(error) if error.may_pass() => {
                let found = RawGeneration::scan(&self.path("g", first), first..RowNo::MAX)?;
                Ok(Arc::new(found))
            }
            other => other,
        }
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

#[cfg(test)]
#[path = "sled_store/tests.rs"]
mod tests;
