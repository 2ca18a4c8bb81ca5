//! What the queue asks of the thing that keeps its rows.
//!
//! Owns the seam between the queue's logic and its medium: sled on a file system, or memory with a live and a durable image
//! for tests and the simulation. A store knows generations by their first row and rows by their number; it must not know
//! what stands in a row.

use std::io::ErrorKind;
use std::sync::Arc;

use super::types::RowNo;

/// Why a store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{doing} {path}")]
    Io {
        /// What was being done: "create", "sync", …
        doing: &'static str,
        /// To which file or directory.
        path: String,
        /// What it said.
        source: std::io::Error,
    },
    /// The store's own files are damaged, or it failed inside.
    #[error("generation {generation} is damaged: {what}")]
    Damaged {
        /// Which generation.
        generation: RowNo,
        /// What the store said.
        what: String,
    },
    /// There is no room, and nothing was written: the same may be tried again.
    #[error("there is no room for it in {place}")]
    Full {
        /// Where.
        place: String,
    },
    /// What has to be mounted is not; nothing was made in its place.
    #[error("nothing is mounted on {mount}")]
    NotMounted {
        /// The mount point.
        mount: String,
    },
    /// Another process has the directory.
    #[error("the queue {directory} is in use by another agent")]
    InUse {
        /// Which directory.
        directory: String,
    },
    /// The directory is foreign or of a newer format: nothing that repair could mend.
    #[error("{what}")]
    Refused {
        /// Why, in words for a user.
        what: String,
        /// How to mend it.
        hint: String,
    },
}

impl StoreError {
    /// True when waiting may help: somebody may make room, or mount it anew.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Full { .. } | Self::NotMounted { .. } => true,
            Self::Io { source, .. } => is_full(source) || source.kind() == ErrorKind::ReadOnlyFilesystem,
            _ => false,
        }
    }

    /// True when there is no space left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io { source, .. } => is_full(source),
            _ => false,
        }
    }

    /// True when the file system lets nobody write.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == ErrorKind::ReadOnlyFilesystem)
    }
}

/// True when the operating system says that there is no room.
#[must_use]
pub fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// What the reserve of a generation has to hold, beside the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// What outputs have delivered: little, and it makes room. It may use up the reserve.
    Progress,
    /// Readings: something is left for progress.
    Readings,
    /// Readings, a little later.
    Soon,
    /// As much as is made at once.
    Ahead,
}

/// A queue's standing on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes of all its files.
    pub used: u64,
    /// Bytes that are free for it on the file system.
    pub free: u64,
}

/// What is known of the newest row outside of the generations: written after each commit, without a sync of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The generation that was newest.
    pub generation: RowNo,
    /// The number of the row after the last durable one.
    pub next_row: RowNo,
}

/// What is known when a queue is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Which opening this is: the numbers rise, and none comes twice.
    pub session: u64,
    /// The queue is on another machine or in another place than it was the last time.
    pub moved: bool,
}

/// What stands in the place of a generation that was set aside.
#[derive(Debug)]
pub struct Replaced {
    /// A generation with the rows that were found.
    pub generation: Arc<dyn Generation>,
    /// What the one that was set aside is called now.
    pub directory: String,
    /// How many rows were found.
    pub rows: u64,
}

/// A directory of generations.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The generations, by their first row, ascending. What half-made or half-removed ones left behind is gone after this.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> Result<Vec<RowNo>, StoreError>;

    /// Makes a generation that holds these rows; durable, with its name, when this returns. The first row names it.
    ///
    /// # Errors
    /// When the medium refuses; then there is no such generation.
    fn create(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<Arc<dyn Generation>, StoreError>;

    /// Opens an existing one to read it; it must not be the one that is written. Damage shows as rows that are missing.
    ///
    /// # Errors
    /// When the medium refuses.
    fn open(&self, first: RowNo) -> Result<Arc<dyn Generation>, StoreError>;

    /// Removes one that nobody has open. Its space is free when this returns.
    ///
    /// # Errors
    /// When the medium refuses.
    fn remove(&self, first: RowNo) -> Result<(), StoreError>;

    /// How it stands on its disk. By default: on one that is never full.
    fn space(&self) -> Space {
        Space {
            used: 0,
            free: u64::MAX,
        }
    }

    /// Begins to make the next generation ahead of its time, with a reserve of so many bytes; returns at once. Does nothing
    /// when one is made already. By default, none needs to be.
    fn prepare(&self, _reserve: u64) {}

    /// Whether one is being made.
    fn is_preparing(&self) -> bool {
        false
    }

    /// The reserve of the next generation, once it is made: [`Store::create`] uses it.
    fn prepared(&self) -> Option<u64> {
        Some(u64::MAX)
    }

    /// Removes the next generation, to make room.
    ///
    /// # Errors
    /// When the medium refuses.
    fn unprepare(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What was written by [`Store::note_tail`] last, as far as it survived.
    fn tail(&self) -> Option<Tail>;

    /// Counts this opening of the queue, durably where that can be.
    fn begin(&self) -> Visit;

    /// Opens the newest one to go on writing it; rows from `end` on are void.
    ///
    /// # Errors
    /// When the medium refuses.
    fn resume(&self, first: RowNo, end: RowNo) -> Result<Arc<dyn Generation>, StoreError>;

    /// Sets a generation aside and puts a new one in its place, with the rows that are found of it. A power cut leaves the
    /// one or the other.
    ///
    /// # Errors
    /// When the medium refuses; then the generation is where it was.
    fn replace(&self, first: RowNo) -> Result<Replaced, StoreError>;

    /// Whether that was done: then rows may be missing in it, and to do it again would find no more.
    fn is_salvaged(&self, first: RowNo) -> bool;

    /// Writes down how far the log goes. Not synced, and not an error when it fails: it only helps to notice damage.
    fn note_tail(&self, tail: Tail);
}

/// One generation: rows by their number.
pub trait Generation: Send + Sync + std::fmt::Debug {
    /// Adds rows at once. Durable when this returns.
    ///
    /// # Errors
    /// When the medium refuses. The rows may be there or not; nothing more may be added.
    fn append(&self, rows: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError>;

    /// Makes durable whatever it holds: what a process that was killed wrote and did not sync can be read, and is not on
    /// the medium.
    ///
    /// # Errors
    /// When the medium refuses.
    fn sync(&self) -> Result<(), StoreError>;

    /// Reads one row; `None` when it is not there.
    ///
    /// # Errors
    /// When the medium refuses.
    fn read(&self, row: RowNo) -> Result<Option<Vec<u8>>, StoreError>;

    /// Bytes of what was stored, the reserve aside, as the medium takes them. By default: nothing worth counting.
    ///
    /// # Errors
    /// When the medium refuses.
    fn size(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Bytes that the reserve lacks for rows of so many bytes. With none lacking they can be stored, whatever becomes of the
    /// free space. By default: none.
    ///
    /// # Errors
    /// When the medium refuses.
    fn lacks(&self, _bytes: u64, _need: Need) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Makes the reserve larger.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is no room.
    fn extend(&self, _bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives the reserve back: nothing more is appended.
    ///
    /// # Errors
    /// When the medium refuses.
    fn give_back(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The highest row it holds.
    ///
    /// # Errors
    /// When the medium refuses.
    fn last(&self) -> Result<Option<RowNo>, StoreError>;

    /// The lowest row it holds that is not before this one.
    ///
    /// # Errors
    /// When the medium refuses.
    fn at_or_after(&self, row: RowNo) -> Result<Option<RowNo>, StoreError>;
}
