//! A small file of two slots, written in turn: a write that is torn leaves the other slot whole.
//!
//! ```text
//! slot    turn: u64le   words: WORDS × u64le   CRC-32: u64le
//! ```
//!
//! Written in place, so that it can be written where no space is left. Owns that layout; must not know what the words mean.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const WORD: usize = 8;

/// The open file.
#[derive(Debug)]
pub struct Slots<const WORDS: usize> {
    file: File,
    turn: u64,
}

impl<const WORDS: usize> Slots<WORDS> {
    const SLOT: usize = (WORDS + 2) * WORD;

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
        Ok(Self::on(file))
    }

    /// Opens it to read only.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self::on)
    }

    fn on(file: File) -> Self {
        let mut this = Self { file, turn: 0 };
        this.turn = this.newest().map_or(0, |(turn, _)| turn);
        this
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The newer of the slots that are whole.
    #[must_use]
    pub fn read(&self) -> Option<[u64; WORDS]> {
        self.newest().map(|(_, words)| words)
    }

    /// Writes the older slot. Not synced.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, words: [u64; WORDS]) -> io::Result<()> {
        self.turn += 1;
        let mut slot = Vec::with_capacity(Self::SLOT);
        for word in [self.turn].iter().chain(&words) {
            slot.extend_from_slice(&word.to_le_bytes());
        }
        let crc = u64::from(crc32fast::hash(&slot));
        slot.extend_from_slice(&crc.to_le_bytes());
        self.file.write_all_at(&slot, (self.turn % 2) * Self::SLOT as u64)
    }

    fn newest(&self) -> Option<(u64, [u64; WORDS])> {
        (0..2)
            .filter_map(|index| self.slot(index))
            .max_by_key(|(turn, _)| *turn)
    }

    fn slot(&self, index: u64) -> Option<(u64, [u64; WORDS])> {
        let mut slot = vec![0; Self::SLOT];
        self.file
            .read_exact_at(&mut slot, index * Self::SLOT as u64)
            .ok()?;
        let (content, crc) = slot.split_at_checked(Self::SLOT - WORD)?;
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
        if word(crc)? != u64::from(crc32fast::hash(content)) {
            return None;
        }
        let mut words = [0; WORDS];
        for (place, bytes) in words.iter_mut().zip(content.chunks_exact(WORD).skip(1)) {
            *place = word(bytes)?;
        }
        Some((word(content.get(..WORD)?)?, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_whole_slot_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slots");
        let mut slots = Slots::<2>::open(&path).unwrap();
        assert_eq!(slots.read(), None);
        for word in 5..9 {
            slots.write([word, 1]).unwrap();
        }
        let mut slots = Slots::<2>::open(&path).unwrap();
        assert_eq!(slots.read(), Some([8, 1]));
        slots.write([9, 1]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[32 + 3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Slots::<2>::open(&path).unwrap().read(), Some([8, 1]));
    }
}
