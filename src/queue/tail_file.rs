//! The outside count: how far the log goes, in a file beside the generations.
//!
//! sled opens a file whose tail is lost as if nothing had been there. Two slots, written in turn and never synced: a power
//! cut loses at most the newest notes, so the count can be too low, never too high. Owns that file's 80 bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::store::Tail;
use crate::planted::{self, Bug};

const SLOT: usize = 40;

/// The open file.
#[derive(Debug)]
pub struct TailFile {
    file: File,
    turn: u64,
}

impl TailFile {
    /// Opens or makes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut this = Self { file, turn: 0 };
        this.turn = this.newest().map_or(0, |(turn, _)| turn);
        Ok(this)
    }

    /// The newer of the slots that are whole.
    #[must_use]
    pub fn read(&self) -> Option<Tail> {
        if planted::has(Bug::NoOutsideCount) {
            return None;
        }
        self.newest().map(|(_, tail)| tail)
    }

    /// Writes the older slot. A failure is ignored: the count then is too low, which only hides damage.
    pub fn write(&mut self, tail: Tail) {
        self.turn += 1;
        let mut slot = [0; SLOT];
        let fields = [self.turn, tail.generation, tail.next_row, 0];
        for (place, field) in slot.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let crc = u64::from(crc32fast::hash(&slot[..SLOT - 8]));
        slot[SLOT - 8..].copy_from_slice(&crc.to_le_bytes());
        drop(self.file.write_all_at(&slot, (self.turn % 2) * SLOT as u64));
    }

    fn newest(&self) -> Option<(u64, Tail)> {
        (0..2)
            .filter_map(|index| self.slot(index))
            .max_by_key(|(turn, _)| *turn)
    }

    fn slot(&self, index: u64) -> Option<(u64, Tail)> {
        let mut slot = [0; SLOT];
        self.file.read_exact_at(&mut slot, index * SLOT as u64).ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?));
        let crc = u64::from(crc32fast::hash(&slot[..SLOT - 8]));
        (word(SLOT - 8)? == crc).then_some((
            word(0)?,
            Tail {
                generation: word(8)?,
                next_row: word(16)?,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_whole_slot_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tail");
        let mut file = TailFile::open(&path).unwrap();
        assert_eq!(file.read(), None);
        for next_row in 5..9 {
            file.write(Tail {
                generation: 1,
                next_row,
            });
        }
        let mut file = TailFile::open(&path).unwrap();
        assert_eq!(
            file.read(),
            Some(Tail {
                generation: 1,
                next_row: 8
            })
        );
        file.write(Tail {
            generation: 1,
            next_row: 9,
        });
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[SLOT + 3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            TailFile::open(&path).unwrap().read(),
            Some(Tail {
                generation: 1,
                next_row: 8
            })
        );
    }
}
