//! Rows found in a generation's raw files, without the store that wrote them.
//!
//! A row says where it begins, how long it is and whether it is whole ([`super::row`]), so it is found wherever it stands:
//! also in a file that the store cannot open, or opens with rows missing. Nothing is written, not even a lock.
//!
//! The store writes a row more than once and leaves behind what a power cut tore, so a number may be found several times.
//! Identical copies are one row. A row is void when a later session began at its number or before it: that session had
//! found the log to end there. Of what is left, two different rows with one number cannot be told apart, and neither counts.
//!
//! Owns the index of one generation: 24 bytes a row, nothing of its content. Must not know what stands in a row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::row::{self, Frame, MAGIC, RowError};
use super::store::{Generation, StoreError};
use super::types::{RowNo, Session};
use memchr::memmem;

/// The files in a generation's directory that hold rows: the store's log, and the second copy of the first batch.
pub const FILES: [&str; 2] = ["db", "checkpoint"];
/// Read at once; a row at the end of one piece is found again at the start of the next.
const PIECE: usize = 256 * 1024;
/// What cannot be read is left out in steps of that size.
const BLOCK: usize = 4096;
/// The most rows that one generation is believed to hold: 16 MiB of the smallest rows. The index is then 10 MB.
const MOST: usize = 400_000;

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
struct Spot {
    number: RowNo,
    offset: u64,
    length: u16,
    file: u8,
}

/// The rows of one generation.
#[derive(Debug)]
pub struct RawGeneration {
    first: RowNo,
    files: Vec<(PathBuf, File)>,
    /// By number.
    rows: Vec<Spot>,
    size: u64,
    void: usize,
    ambiguous: BTreeSet<RowNo>,
    copied: Option<RowNo>,
    unreadable: u64,
    newer: Option<u8>,
}

impl RawGeneration {
    /// Finds the rows of a generation. `range` is what it may hold: from the row that names it to the next one's name.
    ///
    /// # Errors
    /// When the directory holds none of the files, or they cannot be opened; blocks that cannot be read are left out.
    pub fn scan(directory: &Path, range: Range<RowNo>) -> Result<Self, StoreError> {
        let mut files = Vec::new();
        for name in FILES {
            let path = directory.join(name);
            match File::open(&path) {
                Ok(file) => files.push((path, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(failed("open", &path, source)),
            }
        }
        let mut found = Found::default();
        for (index, (path, file)) in files.iter().enumerate() {
            let length = file
                .metadata()
                .map_err(|source| failed("look at", path, source))?;
            found.is_copy = path.ends_with(FILES[1]);
            found.search(index, file, length.len(), &range);
        }
        let (rows, void, ambiguous) = found.settle();
        Ok(Self {
            first: range.start,
            files,
            size: rows.iter().map(|spot| u64::from(spot.length)).sum(),
            rows,
            void,
            ambiguous,
            copied: found.copied,
            unreadable: found.unreadable,
            newer: found.newer,
        })
    }

    /// The numbers of the rows, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = RowNo> + '_ {
        self.rows.iter().map(|spot| spot.number)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes of all rows.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows were found that a later session had not seen: what a power cut tore, and no damage.
    #[must_use]
    pub fn void(&self) -> usize {
        self.void
    }

    /// Numbers under which two different rows stand, both with a right checksum; they count as missing.
    #[must_use]
    pub fn ambiguous(&self) -> &BTreeSet<RowNo> {
        &self.ambiguous
    }

    /// The last of the first rows that are there twice.
    #[must_use]
    pub fn copied(&self) -> Option<RowNo> {
        self.copied
    }

    /// Bytes that the medium did not give back.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The version of rows that are newer than this agent, if there are any.
    #[must_use]
    pub fn newer(&self) -> Option<u8> {
        self.newer
    }

    /// What stands in front of a row's content.
    #[must_use]
    pub fn frame(&self, row: RowNo) -> Option<Frame> {
        row::frame(&self.read(row).ok()??).ok()
    }

    fn spot(&self, row: RowNo) -> Option<&Spot> {
        let index = self.rows.binary_search_by_key(&row, |spot| spot.number).ok()?;
        self.rows.get(index)
    }

    /// The ranges of rows that are missing before `end`, first and last.
    #[must_use]
    pub fn missing(&self, end: RowNo) -> Vec<(RowNo, RowNo)> {
        let (mut missing, mut expected) = (Vec::new(), self.first);
        for number in self.numbers().chain([end]) {
            if number > expected {
                missing.push((expected, number - 1));
            }
            expected = expected.max(number.saturating_add(1));
        }
        missing
    }
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io {
        doing,
        path: path.display().to_string(),
        source,
    }
}

impl Generation for RawGeneration {
    fn append(&self, _: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError> {
        let path = self.files.first().map(|(path, _)| path.as_path());
        let source = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        Err(failed(
            "write to what is only looked at:",
            path.unwrap_or(Path::new("")),
            source,
        ))
    }

    fn sync(&self) -> Result<(), StoreError> {
        for (path, file) in &self.files {
            file.sync_data().map_err(|source| failed("sync", path, source))?;
        }
        Ok(())
    }

    fn read(&self, row: RowNo) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(spot) = self.spot(row) else {
            return Ok(None);
        };
        let Some((path, file)) = self.files.get(usize::from(spot.file)) else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::from(spot.length)];
        file.read_exact_at(&mut bytes, spot.offset)
            .map_err(|source| failed("read", path, source))?;
        Ok(Some(bytes))
    }

    fn last(&self) -> Result<Option<RowNo>, StoreError> {
        Ok(self.rows.last().map(|spot| spot.number))
    }

    fn at_or_after(&self, row: RowNo) -> Result<Option<RowNo>, StoreError> {
        let index = self.rows.partition_point(|spot| spot.number < row);
        Ok(self.rows.get(index).map(|spot| spot.number))
    }
}

/// Everything that looks like a row and is whole.
#[derive(Debug, Default)]
struct Found {
    /// By number and checksum: copies are one.
    spots: BTreeMap<(RowNo, u32), (Spot, Session)>,
    /// What is searched is the second copy of the first rows.
    is_copy: bool,
    copied: Option<RowNo>,
    unreadable: u64,
    newer: Option<u8>,
}

impl Found {
    fn search(&mut self, index: usize, file: &File, length: u64, range: &Range<RowNo>) {
        let finder = memmem::Finder::new(&MAGIC);
        let mut piece = vec![0; PIECE + row::limit()];
        let mut base = 0;
        while base < length {
            let got = self.fill(file, base, &mut piece);
            let bytes = piece.get(..got).unwrap_or_default();
            let mut at = 0;
            while let Some(next) = finder.find(bytes.get(at..).unwrap_or_default()) {
                at += next;
                if at >= PIECE {
                    break;
                }
                at += self.look(
                    index,
                    base + at as u64,
                    bytes.get(at..).unwrap_or_default(),
                    range,
                );
            }
            base += PIECE as u64;
        }
    }

    /// Looks at what may be a row, and says how far to go on: what stands inside a whole row is its content.
    fn look(&mut self, file: usize, offset: u64, bytes: &[u8], range: &Range<RowNo>) -> usize {
        let Some(bytes) = row::length(bytes).and_then(|length| bytes.get(..length)) else {
            return 1;
        };
        match row::frame(bytes) {
            Ok(frame) if range.contains(&frame.number) && self.spots.len() < MOST => {
                let spot = Spot {
                    number: frame.number,
                    offset,
                    length: u16::try_from(bytes.len()).unwrap_or(u16::MAX),
                    file: u8::try_from(file).unwrap_or(u8::MAX),
                };
                if self.is_copy {
                    self.copied = self.copied.max(Some(frame.number));
                }
                let key = (frame.number, row::checksum(bytes));
                self.spots.entry(key).or_insert((spot, frame.session));
                bytes.len()
            }
            Ok(_) => bytes.len(),
            Err(RowError::Newer(version)) => {
                self.newer = self.newer.max(Some(version));
                bytes.len()
            }
            Err(_) => 1,
        }
    }

    /// Reads a piece; blocks that cannot be read are zeroes.
    fn fill(&mut self, file: &File, base: u64, piece: &mut [u8]) -> usize {
        match read_at(file, base, piece) {
            Ok(got) => got,
            Err(_) => {
                let mut end = 0;
                for (number, block) in piece.chunks_mut(BLOCK).enumerate() {
                    let start = number * BLOCK;
                    match read_at(file, base + start as u64, block) {
                        Ok(0) => break,
                        Ok(got) => end = start + got,
                        Err(_) => {
                            block.fill(0);
                            self.unreadable += block.len() as u64;
                            end = start + block.len();
                        }
                    }
                }
                end
            }
        }
    }

    /// One row for each number: see the module.
    fn settle(&self) -> (Vec<Spot>, usize, BTreeSet<RowNo>) {
        let mut began: BTreeMap<u64, RowNo> = BTreeMap::new();
        for (_, session) in self.spots.values() {
            let known = began.entry(session.number).or_insert(session.began);
            *known = session.began.min(*known);
        }
        // The earliest row at which any later session began, by session.
        let mut ends = BTreeMap::new();
        let mut earliest = RowNo::MAX;
        for (session, first) in began.iter().rev() {
            ends.insert(*session, earliest);
            earliest = earliest.min(*first);
        }
        let (mut rows, mut void, mut ambiguous) = (Vec::<Spot>::new(), 0, BTreeSet::new());
        for (spot, session) in self.spots.values() {
            if ends.get(&session.number).is_some_and(|end| *end <= spot.number) {
                void += 1;
            } else if rows.last().is_some_and(|last| last.number == spot.number) {
                ambiguous.insert(spot.number);
            } else {
                rows.push(*spot);
            }
        }
        rows.retain(|spot| !ambiguous.contains(&spot.number));
        rows.shrink_to_fit();
        (rows, void, ambiguous)
    }
}

/// Reads until the buffer is full or the file ends.
fn read_at(file: &File, base: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, base + got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
#[path = "raw/tests.rs"]
mod tests;
