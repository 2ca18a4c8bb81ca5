//! A queue directory to be looked at: a stopped queue or a copy of one, of which no byte changes.
//!
//! Owns which generations there are and where each ends. Every write is refused. Generations are read raw, without the
//! store that wrote them, which would write when it opens them. Must not know what stands in a row.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::{self, Format, Kind, Name};
use super::raw::RawGeneration;
use super::store::{Generation, Replaced, Space, Store, StoreError, Tail, Visit};
use super::tail_file::TailFile;
use super::types::RowNo;

/// A directory that is only looked at.
#[derive(Debug)]
pub struct RawStore {
    directory: PathBuf,
    /// Held, never read: no agent can begin to write while it is.
    _lock: Option<File>,
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        doing,
        path: path.display().to_string(),
        source,
    }
}

impl RawStore {
    /// Opens a queue directory to look at it.
    ///
    /// # Errors
    /// When it is not there, not a queue, of a newer format, or in use by an agent.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("format");
        let refused = |what: String, hint: &str| StoreError::Refused {
            what,
            hint: hint.to_owned(),
        };
        let format = match fs::read(&path) {
            Ok(bytes) => names::format(&bytes),
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && directory.try_exists().unwrap_or(false) =>
            {
                Format::Damaged
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let this = Self {
            directory: directory.to_owned(),
            _lock: None,
        };
        match format {
            Format::Ours => {}
            Format::Other(version) => {
                let what = format!("{} has the format {version}", directory.display());
                return Err(refused(what, "use the version that wrote it, or a newer one"));
            }
            Format::Damaged if this.names()?.is_empty() => {
                let what = format!("{} is not a queue", directory.display());
                return Err(refused(what, "name the directory that queue.directory names"));
            }
            Format::Damaged => {}
        }
        Ok(Self {
            _lock: lock(directory)?,
            ..this
        })
    }

    /// The generations in their latest revision, ascending.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self) -> Result<Vec<Name>, StoreError> {
        let mut found = Vec::new();
        for name in self.entries()? {
            if let Kind::Generation(name) = names::kind(&name) {
                found.push(name);
            }
        }
        found.sort_unstable();
        // Of one first row, the highest revision counts.
        let mut latest: Vec<Name> = Vec::new();
        for name in found {
            latest.pop_if(|last| last.first == name.first);
            latest.push(name);
        }
        Ok(latest)
    }

    /// The directories of generations that were set aside.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn set_aside(&self) -> Result<Vec<PathBuf>, StoreError> {
        let names = self.entries()?.into_iter();
        let aside = names.filter(|name| names::kind(name) == Kind::Aside);
        Ok(aside.map(|name| self.directory.join(name)).collect())
    }

    /// A generation's rows.
    ///
    /// # Errors
    /// As [`RawGeneration::scan`], or when there is no such generation.
    pub fn scan(&self, first: RowNo) -> Result<RawGeneration, StoreError> {
        let names = self.names()?;
        let missing = || StoreError::Damaged {
            generation: first,
            what: "it is not there".into(),
        };
        let index = names
            .iter()
            .position(|name| name.first == first)
            .ok_or_else(missing)?;
        let name = names.get(index).ok_or_else(missing)?;
        let end = names.get(index + 1).map_or(RowNo::MAX, |next| next.first);
        RawGeneration::scan(&self.directory.join(name.to_string()), first..end)
    }

    fn entries(&self) -> Result<Vec<String>, StoreError> {
        let read = fs::read_dir(&self.directory).map_err(failed("list", &self.directory))?;
        read.map(|entry| {
            let entry = entry.map_err(failed("list", &self.directory))?;
            Ok(entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
    }

    fn refused(&self, doing: &'static str) -> StoreError {
        failed(doing, &self.directory)(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A copy may have no lock file; then nobody can be using it under that name.
fn lock(directory: &Path) -> Result<Option<File>, StoreError> {
    let path = directory.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse {
            directory: directory.display().to_string(),
        }),
        // Some file systems know no locks; looking needs none.
        Err(_) => Ok(None),
    }
}

impl Store for RawStore {
    fn list(&self) -> Result<Vec<RowNo>, StoreError> {
        Ok(self.names()?.into_iter().map(|name| name.first).collect())
    }

    fn create(&self, _: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError> {
        Err(self.refused("make a generation in"))
    }

    fn open(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        Ok(Arc::new(self.scan(first)?))
    }

    fn remove(&self, _: RowNo) -> Result<(), StoreError> {
        Err(self.refused("remove a generation from"))
    }

    fn space(&self) -> Space {
        let names = self.names().unwrap_or_default().into_iter();
        let bytes = |name: Name| {
            fs::metadata(self.directory.join(name.to_string()).join("db")).map_or(0, |found| found.len())
        };
        Space {
            used: names.map(bytes).sum(),
            free: 0,
        }
    }

    fn tail(&self) -> Option<Tail> {
        TailFile::look(&self.directory.join("tail"))
    }

    fn note_tail(&self, _: Tail) {}

    fn begin(&self) -> Visit {
        Visit {
            session: 0,
            moved: false,
        }
    }

    fn resume(&self, _: RowNo, _: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        Err(self.refused("write to"))
    }

    fn replace(&self, _: RowNo) -> Result<Replaced, StoreError> {
        Err(self.refused("set a generation aside in"))
    }

    fn is_salvaged(&self, first: RowNo) -> bool {
        let names = self.names().unwrap_or_default();
        let name = names.iter().find(|name| name.first == first);
        name.is_some_and(|name| names::is_salvaged(&self.directory.join(name.to_string())))
    }
}
