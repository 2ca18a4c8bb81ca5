//! A row in bytes: the frame around entries and runs.
//!
//! ```text
//!  0        4          8         9       10               18              26
//! ┌────────┬──────────┬─────────┬───────┬────────────────┬───────────────┬──────────────────────────┬────────┐
//! │ "esRW" │ length   │ version │ flags │ row            │ epoch         │ body                     │ CRC-32 │
//! │        │ u32le    │ 1       │       │ u64le          │ u64le         │                          │ u32le  │
//! └────────┴──────────┴─────────┴───────┴────────────────┴───────────────┴──────────────────────────┴────────┘
//! length  of the whole row, magic and CRC included: so that rows can be found in a raw file that the store cannot open
//! flags   bit 0: the time of the commit was synchronized   bit 1: the last row of its commit
//! body    session: varint   row − first row of the session: varint   row − first row of its commit: varint
//!         boot: varint   committed ms: signed   offset (wall − monotonic, ns): signed
//!         entries: varint, each as in entries.rs   runs: varint, each as in columns.rs
//! ```
//!
//! A session is one opening of the queue. What a power cut leaves of a commit that was never whole stays in the store's
//! files, and its row numbers are used again: of two rows with one number that of the later session counts, and a row is
//! void when a later session began at it or before it. With the first and the last row of a commit marked, a torn one shows.
//!
//! Owns that frame and the limits on its size. Promises that decoding any bytes gives a row or an error. Must not know
//! where rows are kept.

use super::bytes::{Malformed, Reader, put_signed, put_varint};
use super::columns::{Base, get_run, put_run};
use super::entries::{get_entry, put_entry};
use super::types::{Entry, Row, RowNo, Run, Session};
use crate::planted::{self, Bug};
use crate::reading::Epoch;

/// A row is closed when it has that many bytes: rows of about 1 KiB keep the store's memory low (measured).
pub const TARGET: usize = 1024;
/// A last row that would be smaller than the difference goes along with the one before it: a commit of 100 readings, about
/// 1,250 bytes, is then one row and not two, which takes half of the store's work (measured).
const STRETCH: usize = 1536;
/// No row has more: larger ones would spill into files that the store never syncs.
pub const LIMIT: usize = 2048;
/// The most that a run or an entry may take so that it surely fits into a row of its own.
pub const MAX_ITEM: usize = LIMIT - 128;

/// [`TARGET`].
fn target() -> usize {
    TARGET * if planted::has(Bug::LongRows) { LONG } else { 1 }
}

/// [`LIMIT`].
pub(super) fn limit() -> usize {
    LIMIT * if planted::has(Bug::LongRows) { LONG } else { 1 }
}

/// How much longer rows are when that bug is planted: 28 KiB.
const LONG: usize = 28;

/// How every row begins.
pub const MAGIC: [u8; 4] = *b"esRW";
const VERSION: u8 = 1;
const FIXED: usize = 26;
const FLAGS_AT: usize = 9;
const CRC: usize = 4;
/// The most that the numbers in front of entries and runs take, and their counts.
const NUMBERS: usize = 64;
const SYNCHRONIZED: u8 = 1;
const LAST: u8 = 2;
const MS: i64 = 1_000_000;

/// Why bytes are not a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Too short, wrong magic, or the length is not that of the bytes.
    #[error("not a row: {0}")]
    Frame(&'static str),
    /// The checksum does not fit.
    #[error("checksum mismatch")]
    Checksum,
    /// Written by a newer version.
    #[error("row format {0} is newer than this agent's {VERSION}")]
    Newer(u8),
    /// It says it is another row.
    #[error("row {found} stands in the place of row {expected}")]
    Misplaced {
        /// What it says.
        found: RowNo,
        /// Where it stands.
        expected: RowNo,
    },
    /// The checksum fits, the content does not.
    #[error("row content: {0}")]
    Body(#[from] Malformed),
}

/// What all rows of one commit share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The opening of the queue that writes them.
    pub session: Session,
    /// The epoch of the readings.
    pub epoch: Epoch,
    /// The boot in which they were taken.
    pub boot: u32,
    /// The wall time of the commit, nanoseconds since 1970.
    pub committed: i64,
    /// True when that is synchronized.
    pub synchronized: bool,
    /// Wall less monotonic time.
    pub offset: i64,
}

impl Header {
    fn base(&self) -> Base {
        Base {
            wall: self.committed.div_euclid(MS).wrapping_mul(MS),
            offset: self.offset,
        }
    }
}

/// Puts entries and runs into rows, as many as are needed.
#[derive(Debug)]
pub struct Packer {
    header: Header,
    /// The first row of the commit.
    first: RowNo,
    next: RowNo,
    /// A row that is full enough, until it is known whether what follows is so little that it goes along.
    full: Body,
    /// The row that is filled.
    body: Body,
    rows: Vec<(RowNo, Vec<u8>)>,
    estimate: usize,
}

/// What is between the header and the checksum of a row.
#[derive(Debug, Default)]
struct Body {
    entries: Vec<u8>,
    entry_count: u64,
    runs: Vec<u8>,
    run_count: u64,
}

impl Body {
    fn is_empty(&self) -> bool {
        self.entry_count + self.run_count == 0
    }

    /// The most that the row takes.
    fn used(&self) -> usize {
        FIXED + CRC + NUMBERS + self.entries.len() + self.runs.len()
    }

    /// Takes up a following row, if both together are one of a good size.
    fn absorb(&mut self, other: &mut Self) {
        let together = self.used() + other.entries.len() + other.runs.len();
        let in_order = self.run_count == 0 || other.entry_count == 0;
        if together <= STRETCH && in_order {
            self.entries.append(&mut other.entries);
            self.runs.append(&mut other.runs);
            self.entry_count += std::mem::take(&mut other.entry_count);
            self.run_count += std::mem::take(&mut other.run_count);
        }
    }
}

impl Packer {
    /// For a commit whose first row has the number `next`.
    #[must_use]
    pub fn new(header: Header, next: RowNo) -> Self {
        debug_assert!(next > 0, "rows are counted from 1");
        Self {
            header,
            first: next,
            next,
            full: Body::default(),
            body: Body::default(),
            rows: Vec::new(),
            estimate: 8,
        }
    }

    /// Adds an entry. Entries come before all runs of their row, so add them first.
    pub fn entry(&mut self, entry: &Entry) {
        let start = self.body.entries.len();
        put_entry(&mut self.body.entries, entry);
        if self.body.used() > limit() && !self.body.is_empty() {
            self.body.entries.truncate(start);
            self.turn();
            put_entry(&mut self.body.entries, entry);
        }
        self.body.entry_count += 1;
        if self.body.used() >= target() {
            self.turn();
        }
    }

    /// Adds a run, cut at row boundaries. A single reading is never larger than [`MAX_ITEM`]: the intake refuses it.
    pub fn run(&mut self, run: &Run) {
        let mut from = 0;
        while from < run.len() {
            let room = target().saturating_sub(self.body.used());
            let guess = (room / self.estimate.max(1)).clamp(1, 1024);
            from = self.piece(run, from, run.len().min(from + guess));
            if self.body.used() >= target() {
                self.turn();
            }
        }
    }

    /// Adds the readings from `from`, up to `to` or fewer, and returns where it stopped.
    fn piece(&mut self, run: &Run, from: usize, mut to: usize) -> usize {
        let start = self.body.runs.len();
        loop {
            put_run(&mut self.body.runs, run, from, to, self.header.base());
            if self.body.used() <= limit() || (self.body.is_empty() && to == from + 1) {
                break;
            }
            self.body.runs.truncate(start);
            if to > from + 1 {
                to = from + (to - from) / 2;
            } else {
                self.turn();
                return from;
            }
        }
        self.body.run_count += 1;
        self.estimate = (self.body.runs.len() - start).div_ceil(to - from);
        to
    }

    /// What comes next is of another epoch or boot: it stands in another row.
    pub fn restart(&mut self, header: Header) {
        self.close();
        self.header = header;
    }

    /// Ends the present row: what comes next stands in another.
    pub fn close(&mut self) {
        self.full.absorb(&mut self.body);
        self.turn();
        self.seal();
    }

    /// The present row is full enough: it becomes bytes unless little follows.
    fn turn(&mut self) {
        if !self.body.is_empty() {
            self.seal();
            std::mem::swap(&mut self.full, &mut self.body);
        }
    }

    /// Puts the row that is full enough, if there is one, into bytes.
    fn seal(&mut self) {
        if self.full.is_empty() {
            return;
        }
        let mut row = Vec::with_capacity(self.full.used());
        row.extend_from_slice(&MAGIC);
        row.extend_from_slice(&[0; 4]);
        row.push(VERSION);
        row.push(if self.header.synchronized { SYNCHRONIZED } else { 0 });
        row.extend_from_slice(&self.next.to_le_bytes());
        row.extend_from_slice(&self.header.epoch.0.to_le_bytes());
        put_varint(&mut row, self.header.session.number);
        put_varint(&mut row, self.next.saturating_sub(self.header.session.began));
        put_varint(&mut row, self.next - self.first);
        put_varint(&mut row, u64::from(self.header.boot));
        put_signed(&mut row, self.header.committed.div_euclid(MS));
        put_signed(&mut row, self.header.offset);
        put_varint(&mut row, std::mem::take(&mut self.full.entry_count));
        row.append(&mut self.full.entries);
        put_varint(&mut row, std::mem::take(&mut self.full.run_count));
        row.append(&mut self.full.runs);
        let length = u32::try_from(row.len() + CRC).unwrap_or(u32::MAX);
        row.splice(4..8, length.to_le_bytes());
        row.extend_from_slice(&crc32fast::hash(&row).to_le_bytes());
        self.rows.push((self.next, row));
        self.next += 1;
    }

    /// The rows, in order.
    #[must_use]
    pub fn finish(mut self) -> Vec<(RowNo, Vec<u8>)> {
        self.close();
        if let Some((_, last)) = self.rows.last_mut() {
            last.truncate(last.len().saturating_sub(CRC));
            if let Some(flags) = last.get_mut(FLAGS_AT) {
                *flags |= LAST;
            }
            let crc = crc32fast::hash(last);
            last.extend_from_slice(&crc.to_le_bytes());
        }
        self.rows
    }
}

/// What to decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Entries and runs.
    All,
    /// Entries only: `runs` stays empty.
    Entries,
}

/// What stands in front of a row's content: which row it is, and what it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub number: RowNo,
    /// The epoch of its readings.
    pub epoch: Epoch,
    /// The opening of the queue that wrote it.
    pub session: Session,
    /// The first row of its commit.
    pub commit: RowNo,
    /// True for the last row of its commit.
    pub is_last: bool,
}

/// Reads what stands in front of a row's content.
///
/// # Errors
/// When the bytes are no row, undamaged.
pub fn frame(bytes: &[u8]) -> Result<Frame, RowError> {
    open_frame(bytes).map(|(frame, ..)| frame)
}

/// The checksum that a whole row carries: copies of one row have the same.
#[must_use]
pub fn checksum(row: &[u8]) -> u32 {
    row.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
}

/// How long the row says it is that begins with these bytes; `None` when none can begin here.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let begins = reader.array().is_ok_and(|magic| magic == MAGIC);
    let length = begins
        .then(|| reader.array().ok())
        .flatten()
        .map(u32::from_le_bytes)?;
    usize::try_from(length)
        .ok()
        .filter(|length| (FIXED + CRC..=limit()).contains(length))
}

/// Reads a row that stands in the place of row `expected`.
///
/// # Errors
/// When it is not that row, undamaged.
pub fn decode(bytes: &[u8], expected: RowNo, depth: Depth) -> Result<Row, RowError> {
    let (frame, flags, mut reader) = open_frame(bytes)?;
    if frame.number != expected {
        return Err(RowError::Misplaced {
            found: frame.number,
            expected,
        });
    }
    let boot = reader.small()?;
    let committed = reader.signed()?.saturating_mul(MS);
    let offset = reader.signed()?;
    let base = Base {
        wall: committed,
        offset,
    };
    let entries = (0..reader.count(1)?)
        .map(|_| get_entry(&mut reader))
        .collect::<Result<_, _>>()?;
    let mut runs = Vec::new();
    if depth == Depth::All {
        for _ in 0..reader.count(8)? {
            runs.push(get_run(&mut reader, base)?);
        }
        if reader.left() > 0 {
            return Err(RowError::Body(reader.malformed("the end of the row")));
        }
    }
    Ok(Row {
        number: frame.number,
        epoch: frame.epoch,
        session: frame.session,
        committed,
        synchronized: flags & SYNCHRONIZED != 0,
        mono: u64::try_from(committed.wrapping_sub(offset)).unwrap_or(0),
        boot,
        entries,
        runs,
    })
}

/// The frame, the flags, and the reader where the boot stands.
fn open_frame(bytes: &[u8]) -> Result<(Frame, u8, Reader<'_>), RowError> {
    if bytes.len() < FIXED + CRC || bytes.len() > limit() {
        return Err(RowError::Frame("its size"));
    }
    let (content, crc) = bytes.split_at(bytes.len() - CRC);
    let mut reader = Reader::new(content);
    if reader.array()? != MAGIC {
        return Err(RowError::Frame("its first four bytes"));
    }
    if length(content) != Some(bytes.len()) {
        return Err(RowError::Frame("its length"));
    }
    reader.take(4)?;
    if crc != crc32fast::hash(content).to_le_bytes() {
        return Err(RowError::Checksum);
    }
    let version = reader.byte()?;
    if version != VERSION {
        return Err(RowError::Newer(version));
    }
    let flags = reader.byte()?;
    let number = u64::from_le_bytes(reader.array()?);
    let epoch = Epoch(u64::from_le_bytes(reader.array()?));
    let session = Session {
        number: reader.varint()?,
        began: number.saturating_sub(reader.varint()?),
    };
    let frame = Frame {
        number,
        epoch,
        session,
        commit: number.saturating_sub(reader.varint()?),
        is_last: flags & LAST != 0,
    };
    Ok((frame, flags, reader))
}

#[cfg(test)]
#[path = "row/tests.rs"]
mod tests;
