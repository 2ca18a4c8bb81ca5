//! What is known of the queue's openings, in a file beside the generations.
//!
//! Owns the count of openings. Promises that it is on the medium before it is used, where that can be: it is written in
//! place, also where no space is left. Must not know what is done with it.

use std::io;
use std::path::Path;

use super::slots::Slots;

/// The open file.
#[derive(Debug)]
pub struct Opening {
    slots: Slots<6>,
    sessions: u64,
}

impl Opening {
    /// Opens or makes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let slots = Slots::<6>::open(path)?;
        let [sessions, ..] = slots.read().unwrap_or_default();
        Ok(Self { slots, sessions })
    }

    /// Counts this opening. Where it cannot be written down, the rows of the log still have the last count.
    pub fn begin(&mut self) -> u64 {
        self.sessions += 1;
        let words = [self.sessions, 0, 0, 0, 0, 0];
        let written = self.slots.write(words);
        if let Err(error) = written.and_then(|()| self.slots.file().sync_data()) {
            tracing::warn!(%error, "the opening of the queue cannot be written down");
        }
        self.sessions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_opening_has_the_number_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("opening");
        let begin = || Opening::open(&path).unwrap().begin();
        assert_eq!([begin(), begin(), begin()], [1, 2, 3]);
    }
}
