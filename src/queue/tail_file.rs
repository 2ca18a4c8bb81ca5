//! The outside count: how far the log goes, in a file beside the generations.
//!
//! sled opens a file whose tail is lost as if nothing had been there. The count is never synced: a power cut loses at most
//! the newest notes, so it can be too low, never too high. Owns what the words of that file mean.

use std::io;
use std::path::Path;

use super::slots::Slots;
use super::store::Tail;
use crate::planted::{self, Bug};

/// The open file.
#[derive(Debug)]
pub struct TailFile(Slots<3>);

impl TailFile {
    /// Opens or makes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        Slots::open(path).map(Self)
    }

    /// What it says last; for one who must not change anything.
    #[must_use]
    pub fn look(path: &Path) -> Option<Tail> {
        Slots::open_to_read(path).ok().map(Self)?.read()
    }

    /// What was written last.
    #[must_use]
    pub fn read(&self) -> Option<Tail> {
        if planted::has(Bug::NoOutsideCount) {
            return None;
        }
        self.0
            .read()
            .map(|[generation, next_row, _]| Tail { generation, next_row })
    }

    /// A failure is ignored: the count then is too low, which only hides damage.
    pub fn write(&mut self, tail: Tail) {
        drop(self.0.write([tail.generation, tail.next_row, 0]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_note_is_read_also_by_one_who_only_looks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tail");
        assert_eq!(TailFile::look(&path), None);
        let tail = Tail {
            generation: 5,
            next_row: 8,
        };
        TailFile::open(&path).unwrap().write(tail);
        assert_eq!(TailFile::look(&path), Some(tail));
        assert_eq!(TailFile::open(&path).unwrap().read(), Some(tail));
    }
}
