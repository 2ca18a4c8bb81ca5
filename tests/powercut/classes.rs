//! The kinds of bytes in a queue's files.
//!
//! Owns the look at raw files that says what a byte is: so that flipped bits are spread over all kinds, and not over the
//! zeroes that fill most of a young file. Knows the frame of a row and the size of sled's segments, nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::queue::list;

/// A kind of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A row, the last copy of it in its file.
    Row,
    /// An older copy of a row, that a page was written again without.
    OldCopy,
    /// What sled puts around rows: pages, keys, message headers, checksums.
    Framing,
    /// The first bytes of a segment.
    Segment,
    /// Zeroes: free and zeroed space.
    Zeroed,
    /// sled's `conf`.
    Conf,
    /// sled's snapshots.
    Snapshot,
    /// The outside count.
    Tail,
    /// The file that says what the directory is.
    Format,
    /// Anything else.
    Other,
}

impl Class {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Row => "db: row",
            Self::OldCopy => "db: older copy of a row",
            Self::Framing => "db: page framing",
            Self::Segment => "db: segment header",
            Self::Zeroed => "db: zeroed or free",
            Self::Conf => "conf",
            Self::Snapshot => "snap",
            Self::Tail => "tail",
            Self::Format => "format",
            Self::Other => "other files",
        }
    }
}

/// Bytes of one kind in one file.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The file, below the queue's directory.
    pub file: PathBuf,
    /// The first byte.
    pub from: usize,
    /// The byte after the last.
    pub to: usize,
}

/// All stretches, by kind.
pub type Atlas = BTreeMap<Class, Vec<Stretch>>;

/// sled's segments and the header that each begins with.
const SEGMENT: usize = 512 * 1024;
const SEGMENT_HEADER: usize = 20;
/// A row's frame: magic, then its length, and its number further on.
const MAGIC: &[u8] = b"esRW";
const NUMBER: usize = 10;
const LONGEST: usize = 2048;
/// That many zeroes in a row are nobody's content.
const FREE: usize = 48;

/// Looks at all files of a queue.
pub fn atlas(queue: &Path) -> Result<Atlas, Failure> {
    let mut atlas = Atlas::new();
    walk(queue, Path::new(""), &mut atlas)?;
    Ok(atlas)
}

fn walk(queue: &Path, below: &Path, atlas: &mut Atlas) -> Result<(), Failure> {
    for (name, path) in list(&queue.join(below)) {
        let file = below.join(&name);
        if fs::metadata(&path)?.is_dir() {
            walk(queue, &file, atlas)?;
            continue;
        }
        let bytes = fs::read(&path)?;
        let mut add = |class, from, to| {
            if to > from {
                let file = file.clone();
                atlas.entry(class).or_default().push(Stretch { file, from, to });
            }
        };
        match name.as_str() {
            "db" => database(&bytes, &mut add),
            "conf" => add(Class::Conf, 0, bytes.len()),
            "tail" => add(Class::Tail, 0, bytes.len()),
            "format" => add(Class::Format, 0, bytes.len()),
            name if name.starts_with("snap.") => add(Class::Snapshot, 0, bytes.len()),
            _ => add(Class::Other, 0, bytes.len()),
        }
    }
    Ok(())
}

fn database(bytes: &[u8], add: &mut impl FnMut(Class, usize, usize)) {
    let rows = rows(bytes);
    let last: BTreeMap<u64, usize> = rows.iter().map(|(number, from, _)| (*number, *from)).collect();
    let mut at = 0;
    for (number, from, to) in rows {
        between(bytes, at, from, add);
        let newest = last.get(&number) == Some(&from);
        add(if newest { Class::Row } else { Class::OldCopy }, from, to);
        at = to;
    }
    between(bytes, at, bytes.len(), add);
}

/// Rows in a raw file: number, first byte, byte after the last.
fn rows(bytes: &[u8]) -> Vec<(u64, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + LONGEST.min(64) < bytes.len() {
        match row(&bytes[at..]) {
            Some((number, length)) => {
                found.push((number, at, at + length));
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

fn row(bytes: &[u8]) -> Option<(u64, usize)> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    let number = u64::from_le_bytes(bytes.get(NUMBER..NUMBER + 8)?.try_into().ok()?);
    let content = bytes.get(..length.checked_sub(4)?)?;
    let sum = u32::from_le_bytes(bytes.get(length - 4..length)?.try_into().ok()?);
    (length <= LONGEST && crc32fast::hash(content) == sum).then_some((number, length))
}

/// What is between two rows: framing, segment headers, zeroes.
fn between(bytes: &[u8], from: usize, to: usize, add: &mut impl FnMut(Class, usize, usize)) {
    let mut at = from;
    while at < to {
        let header = at / SEGMENT * SEGMENT + SEGMENT_HEADER;
        if at < header {
            let end = header.min(to);
            add(Class::Segment, at, end);
            at = end;
            continue;
        }
        let border = ((at / SEGMENT + 1) * SEGMENT).min(to);
        let zeroes = bytes[at..border].iter().take_while(|byte| **byte == 0).count();
        if zeroes >= FREE {
            add(Class::Zeroed, at, at + zeroes);
            at += zeroes;
            continue;
        }
        let end = (at + zeroes.max(1)..border).find(|end| {
            bytes[*end..border].len() >= FREE && bytes[*end..*end + FREE].iter().all(|byte| *byte == 0)
        });
        let end = end.unwrap_or(border);
        add(Class::Framing, at, end);
        at = end;
    }
}
