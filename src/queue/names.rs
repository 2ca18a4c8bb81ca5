//! What the files of a queue directory are called.
//!
//! ```text
//! <directory>/format            "edgespool-queue 1" and a checksum: this directory is ours
//! <directory>/lock              locked while an agent has it
//! <directory>/tail              how far the log goes, to notice a lost tail
//! <directory>/opening           how often it was opened, and where
//! <directory>/g-<first row>/    a generation; with .1, .2, … where its rows were written anew
//! <directory>/damaged-<first row>-<UTC time>/   a generation that was set aside
//! <directory>/tmp-… del-…       half-made and half-removed ones
//! ```
//!
//! Of several revisions of one generation the highest counts. In a directory: `db`, `conf` and more of the store, a second
//! copy of the first rows (`checkpoint`), and `salvaged` where rows may be missing. Must not know what is in the files.

use std::fmt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::types::RowNo;

/// The version of the format.
pub const VERSION: u64 = 1;
const TITLE: &str = "edgespool-queue";

/// What the format file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The format that this agent writes.
    Ours,
    /// Another version's.
    Other(u64),
    /// Nothing that can be believed.
    Damaged,
}

/// The text of a format file: with a checksum, so that a flipped bit is not taken for another version.
#[must_use]
pub fn format_text(version: u64) -> String {
    let title = format!("{TITLE} {version}");
    format!("{title} {:08x}\n", crc32fast::hash(title.as_bytes()))
}

/// Reads a format file.
#[must_use]
pub fn format(bytes: &[u8]) -> Format {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let words: Vec<_> = text.strip_suffix('\n').unwrap_or_default().split(' ').collect();
    let version = match &words[..] {
        [TITLE, version, ..] => version.parse().ok(),
        _ => None,
    };
    match version {
        // The first ones had no checksum.
        Some(version) if text == format_text(version) || words.len() == 2 => {
            if version == VERSION {
                Format::Ours
            } else {
                Format::Other(version)
            }
        }
        _ => Format::Damaged,
    }
}

/// A generation's directory: its first row, and how often its rows were written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The row that it is named by.
    pub first: RowNo,
    /// 0 as it was made.
    pub revision: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            0 => write!(f, "g-{:020}", self.first),
            revision => write!(f, "g-{:020}.{revision}", self.first),
        }
    }
}

/// What an entry of the directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A generation.
    Generation(Name),
    /// One that was set aside.
    Aside,
    /// Half made or half removed: to be removed.
    Leftover,
    /// A file of the queue itself.
    Own,
    /// Not ours.
    Foreign,
}

/// Tells what an entry is by its name.
#[must_use]
pub fn kind(name: &str) -> Kind {
    if let Some(rest) = name.strip_prefix("g-") {
        let (first, revision) = rest.split_once('.').unwrap_or((rest, "0"));
        return match (first.parse(), revision.parse()) {
            (Ok(first), Ok(revision)) => Kind::Generation(Name { first, revision }),
            _ => Kind::Foreign,
        };
    }
    if name.starts_with("tmp-") || name.starts_with("del-") {
        return Kind::Leftover;
    }
    if name.starts_with("damaged-") {
        return Kind::Aside;
    }
    match name {
        "format" | "format.new" | "lock" | "tail" | "opening" => Kind::Own,
        _ => Kind::Foreign,
    }
}

/// The file that says that a generation holds what was found of another one.
pub const SALVAGED: &str = "salvaged";

/// Whether a generation holds what was found of another one: rows may be missing.
#[must_use]
pub fn is_salvaged(generation: &Path) -> bool {
    generation.join(SALVAGED).try_exists().unwrap_or(false)
}

/// The name for a generation that is set aside at `wall`, nanoseconds since 1970.
#[must_use]
pub fn aside(first: RowNo, wall: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(wall).unwrap_or(0));
    let stamp = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    format!("damaged-{first:020}-{}", stamp.replace(['-', ':'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flipped_bit_makes_another_version_of_a_format() {
        let ours = format_text(VERSION);
        assert_eq!(format(ours.as_bytes()), Format::Ours);
        assert_eq!(format(format_text(12).as_bytes()), Format::Other(12));
        assert_eq!(format(b"edgespool-queue 9\n"), Format::Other(9));
        for bit in 0..ours.len() * 8 {
            let mut bytes = ours.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(format(&bytes), Format::Damaged, "bit {bit}");
        }
        for length in 0..ours.len() {
            assert_eq!(
                format(&ours.as_bytes()[..length]),
                Format::Damaged,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn names_say_what_they_are() {
        let name = |first, revision| Name { first, revision };
        assert_eq!(name(7, 0).to_string(), "g-00000000000000000007");
        assert_eq!(name(7, 2).to_string(), "g-00000000000000000007.2");
        for known in [name(1, 0), name(u64::MAX, 3)] {
            assert_eq!(kind(&known.to_string()), Kind::Generation(known));
        }
        assert_eq!(
            aside(7, 1_700_000_000_500_000_000),
            "damaged-00000000000000000007-20231114T221320Z"
        );
        assert_eq!(kind(&aside(7, 0)), Kind::Aside);
        for (text, expect) in [
            ("g-x", Kind::Foreign),
            ("g-1.x", Kind::Foreign),
            ("letter.txt", Kind::Foreign),
            ("tmp-00000000000000000001", Kind::Leftover),
            ("tail", Kind::Own),
        ] {
            assert_eq!(kind(text), expect, "{text}");
        }
    }
}
