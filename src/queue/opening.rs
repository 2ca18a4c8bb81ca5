//! What is known of the queue's openings, in a file beside the generations.
//!
//! ```text
//! slot    sessions   machine   place   0   0   0
//! ```
//!
//! Owns the count of openings, and on which machine and in which place of the file system the queue was last, to notice a
//! copy. Promises that this is on the medium before it is relied on, where that can be: it is written in place, also where
//! no space is left.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::slots::Slots;
use super::store::Visit;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Marks {
    sessions: u64,
    machine: u64,
    place: u64,
}

/// The open file.
#[derive(Debug)]
pub struct Opening {
    slots: Slots<6>,
    marks: Marks,
    is_new: bool,
}

impl Opening {
    /// Opens or makes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let slots = Slots::<6>::open(path)?;
        let read = slots.read();
        let marks = read.map(|[sessions, machine, place, ..]| Marks {
            sessions,
            machine,
            place,
        });
        Ok(Self {
            slots,
            marks: marks.unwrap_or_default(),
            is_new: marks.is_none(),
        })
    }

    /// Counts this opening, and tells whether the queue is on another machine or in another place than it was. `machine` is
    /// 0 where that is not known. What cannot be written down is known again from the log's rows.
    pub fn begin(&mut self, machine: u64) -> Visit {
        let before = self.marks;
        let place = place(self.slots.file());
        let differs = |known: u64, now: u64| known != 0 && now != 0 && known != now;
        let moved = !self.is_new && (differs(before.machine, machine) || differs(before.place, place));
        let or = |now: u64, known: u64| if now == 0 { known } else { now };
        self.marks.sessions += 1;
        (self.marks.machine, self.marks.place) = (or(machine, before.machine), or(place, before.place));
        self.is_new = false;
        self.write();
        Visit {
            session: self.marks.sessions,
            moved,
        }
    }

    fn write(&mut self) {
        let marks = self.marks;
        let words = [marks.sessions, marks.machine, marks.place, 0, 0, 0];
        let written = self.slots.write(words);
        if let Err(error) = written.and_then(|()| self.slots.file().sync_data()) {
            tracing::warn!(%error, "the opening of the queue cannot be written down");
        }
    }
}

/// A number for the file itself: a copy of it has another. 0 where the file system does not say.
fn place(file: &File) -> u64 {
    let Ok(metadata) = file.metadata() else {
        return 0;
    };
    let born = metadata.created().ok();
    let Some(born) = born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()) else {
        return 0;
    };
    let mut bytes = metadata.ino().to_le_bytes().to_vec();
    bytes.extend_from_slice(&born.as_nanos().to_le_bytes());
    digest(&bytes)
}

/// FNV-1a of 64 bits; never 0.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_opening_has_the_number_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("opening");
        let begin = || Opening::open(&path).unwrap().begin(5);
        let visit = |session| Visit {
            session,
            moved: false,
        };
        assert_eq!([begin(), begin(), begin()], [visit(1), visit(2), visit(3)]);
    }

    #[test]
    fn a_copy_is_noticed_once_by_its_place_or_its_machine() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("opening"), directory.path().join("copy"));
        let moved = |path: &Path, machine| Opening::open(path).unwrap().begin(machine).moved;
        assert!(!moved(&path, 5));
        std::fs::copy(&path, &copy).unwrap();
        if place(&File::open(&path).unwrap()) != 0 {
            assert!(moved(&copy, 5), "another file");
            assert!(!moved(&copy, 5));
        }
        assert!(!moved(&path, 0), "a machine without a name is any");
        assert!(!moved(&path, 5));
        assert!(moved(&path, 6), "another machine");
        assert!(!moved(&path, 6));
    }
}
