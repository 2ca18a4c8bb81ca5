//! The reserve of a generation: zeros that are allocated behind what sled has written.
//!
//! Owns sled's `db` file from outside, through a descriptor of its own. sled takes zeros for room that it may write to.
//! With them a commit needs nothing of the file system: no block that somebody else could take before, and no change of
//! the file's length or extents, which would cost a write of the journal in each sync. Promises to write only where the
//! file has a hole or ends, and never while sled writes: only the thread that appends calls it. Must not know rows.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::queue::store::Need;

/// What sled allocates at a time. Never smaller: sled spills pages above a quarter of this into blob files that it never
/// syncs.
pub(super) const SEGMENT: u64 = 512 * 1024;
/// Bytes at the start of a segment by which one that was written differs from zeros.
const HEADER: usize = 20;
/// How much more than the rows themselves sled may write: it writes pages again when they have changed often.
const SPREAD: u64 = 4;
/// Zeros are written in pieces of this size.
const PIECE: usize = 256 * 1024;

/// The file of one generation.
#[derive(Debug)]
pub(super) struct Reserve {
    file: File,
    /// Segments up to the last one that was ever written.
    tip: AtomicU64,
    /// The file system makes holes of zeros: then the length has to do.
    no_holes: AtomicBool,
}

impl Reserve {
    pub(super) fn open(db: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::options().read(true).write(true).open(db)?,
            tip: AtomicU64::new(0),
            no_holes: AtomicBool::new(false),
        })
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Bytes up to the end of the last segment that was written.
    pub(super) fn size(&self) -> io::Result<u64> {
        let known = self.tip.load(Ordering::Relaxed);
        let mut tip = self.file.metadata()?.len().div_ceil(SEGMENT);
        // From the end: a segment in the middle that sled does not need any more may be all zeros. The file may be shorter
        // than it was: sled cuts off segments that are free.
        while tip > known && !self.is_written(tip - 1)? {
            tip -= 1;
        }
        self.tip.store(tip, Ordering::Relaxed);
        Ok(tip * SEGMENT)
    }

    fn is_written(&self, segment: u64) -> io::Result<bool> {
        let mut header = [0; HEADER];
        match self.file.read_exact_at(&mut header, segment * SEGMENT) {
            Ok(()) => Ok(header != [0; HEADER]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many bytes the reserve lacks before rows of so many bytes may be stored. Beyond what is written, one segment may
    /// be sled's current one already, though nothing of it is written yet.
    pub(super) fn lacks(&self, bytes: u64, need: Need) -> io::Result<u64> {
        let segments = match need {
            Need::Progress => 1,
            Need::Readings => 2,
            Need::Soon => 3,
            Need::Ahead => 4,
        };
        let wanted = self.size()? + (segments + bytes.saturating_mul(SPREAD) / SEGMENT) * SEGMENT;
        Ok(wanted.saturating_sub(self.allocated()?))
    }

    /// How far the file's blocks are allocated without a gap.
    fn allocated(&self) -> io::Result<u64> {
        if self.no_holes.load(Ordering::Relaxed) {
            return Ok(self.file.metadata()?.len());
        }
        match seek(&self.file, SeekFrom::Hole(0)) {
            Ok(hole) => Ok(hole),
            Err(Errno::NXIO) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes it larger by so many bytes.
    pub(super) fn extend(&self, bytes: u64) -> io::Result<()> {
        let mut at = self.allocated()?;
        let end = at + bytes;
        while at < end {
            let data = match seek(&self.file, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => end,
                Err(error) => return Err(error.into()),
            };
            self.zero(at, data.min(end))?;
            let now = self.allocated()?;
            if now <= at {
                self.no_holes.store(true, Ordering::Relaxed);
                let length = self.file.metadata()?.len();
                return self.zero(length, end.max(length));
            }
            at = now;
        }
        Ok(())
    }

    fn zero(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; PIECE];
        let mut at = from;
        while at < to {
            let piece = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
            self.file.write_all_at(zeros.get(..piece).unwrap_or(&zeros), at)?;
            at += piece as u64;
        }
        Ok(())
    }

    /// Gives it back: nothing more is stored in this file.
    pub(super) fn give_back(&self) -> io::Result<u64> {
        let (length, size) = (self.file.metadata()?.len(), self.size()?);
        if length > size {
            self.file.set_len(size)?;
        }
        Ok(length.saturating_sub(size))
    }
}
