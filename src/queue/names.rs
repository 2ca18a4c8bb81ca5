//! What the files of a queue directory are called.
//!
//! ```text
//! <directory>/format            "edgespool-queue 1": this directory is ours
//! <directory>/lock              locked while an agent has it
//! <directory>/tail              how far the log goes, to notice a lost tail
//! <directory>/opening           how often it was opened, where, and what is being opened
//! <directory>/g-<first row>/    a generation; with .1, .2, … what was salvaged of it: the highest one counts
//! <directory>/damaged-<first row>-<UTC time>/   a generation that was set aside
//! <directory>/tmp-… del-…       half-made and half-removed ones
//! ```
//!
//! A salvaged generation has another name than the damaged one, because sled keeps the path: an opening that hangs and was
//! given up must not write into what replaces it. Pure; must not know what is in the files.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::types::RowNo;

/// What the format file holds.
pub const FORMAT: &str = "edgespool-queue 1\n";

/// A generation's directory: its first row, and how often it was salvaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The row that it is named by.
    pub first: RowNo,
    /// 0 as it was made; 1 and more for what was salvaged.
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
