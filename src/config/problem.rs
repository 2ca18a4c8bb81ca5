//! What is wrong with a device file, where, and what helps.
//!
//! Owns the text and the JSON form of problems and the way from byte offsets to lines and columns. Promises that
//! problems stand in the order of the file, and that a hostile file does not make them endless. Must not know what
//! the keys mean.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How many problems are shown: whoever has more has another problem (the wrong file).
pub const MAX_SHOWN: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line, counted from 1; 0 for what does not stand in the file (the environment).
    pub line: usize,
    /// The character in the line, counted from 1; 0 for what does not stand in the file.
    pub column: usize,
    /// The key, with `[2]` for the second of several; empty for what is wrong with the file as such.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// Why it is, where that is not obvious.
    pub why: Option<String>,
    /// What would be right, where that is known.
    pub hint: Option<String>,
}

/// The tail of a problem's line, without its place: `span.packet-size: 0 is …  (why: …)  (hint: …)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if let Some(why) = &self.why {
            write!(f, "  (why: {why})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "  (hint: {hint})")?;
        }
        Ok(())
    }
}

/// All problems of one file, in its order; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}
