//! What is wrong with a device file, where, and what helps.
//!
//! Owns the text and the JSON form of problems and the way from byte offsets to lines and columns. Promises that
//! problems stand in the order of the file, that a hostile file does not make them endless, and that nothing of the
//! file reaches a terminal as a control character. Must not know what the keys mean.

use std::fmt;

use serde::Serialize;

/// How many problems are shown: whoever has more has another problem (the wrong file).
pub const MAX_SHOWN: usize = 100;

/// How many characters of a value are shown.
const MAX_VALUE: usize = 60;

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

impl Problem {
    /// The problem's line in the list: `device.toml:12:9  span.packet-size: 0 is …  (why: …)  (hint: …)`.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        match self.line {
            0 => format!("environment  {self}"),
            line => format!("{file}:{line}:{}  {self}", self.column),
        }
    }

    /// Says why.
    pub(super) fn why(&mut self, why: impl Into<String>) -> &mut Self {
        self.why = Some(why.into());
        self
    }

    /// Says what helps.
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The problem without its place.
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

impl Problems {
    /// The name under which the file was opened.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// `[{"line","column","key","problem","why","hint"}]`
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.list
            .iter()
            .map(|problem| {
                serde_json::json!({
                    "line": problem.line,
                    "column": problem.column,
                    "key": problem.key,
                    "problem": problem.problem,
                    "why": problem.why,
                    "hint": problem.hint,
                })
            })
            .collect()
    }

    /// `3 problems in device.toml`
    #[must_use]
    pub fn summary(&self) -> String {
        let count = self.list.len();
        format!(
            "{count} problem{} in {}",
            if count == 1 { "" } else { "s" },
            self.file
        )
    }
}

/// One line a problem, and a last one that counts them.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in self.list.iter().take(MAX_SHOWN) {
            writeln!(f, "{}", problem.in_file(&self.file))?;
        }
        if let Some(more @ 1..) = self.list.len().checked_sub(MAX_SHOWN) {
            writeln!(f, "… and {more} more")?;
        }
        f.write_str(&self.summary())
    }
}

impl std::error::Error for Problems {}

/// Where the stages put what they find.
pub(super) struct Report<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    misplaced: Vec<String>,
}

impl<'t> Report<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            line_starts,
            errors: Vec::new(),
            warnings: Vec::new(),
            misplaced: Vec::new(),
        }
    }

    /// The text of the file.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Remembers a key that stands in the wrong table: it is not missing where it should stand.
    pub(super) fn misplaced(&mut self, name: &str) {
        self.misplaced.push(name.to_owned());
    }

    /// Whether a key of this name stands in a wrong table.
    pub(super) fn is_misplaced(&self, name: &str) -> bool {
        self.misplaced.iter().any(|known| known == name)
    }

    /// Something that the agent refuses, at this byte.
    pub(super) fn error(&mut self, at: usize, key: &str, problem: impl Into<String>) -> &mut Problem {
        let problem = self.placed(at, key, problem.into());
        push(&mut self.errors, problem)
    }

    /// Something that is allowed and costs something, at this byte.
    pub(super) fn warning(&mut self, at: usize, key: &str, problem: impl Into<String>) -> &mut Problem {
        let problem = self.placed(at, key, problem.into());
        push(&mut self.warnings, problem)
    }

    /// Something that is wrong with an environment variable.
    pub(super) fn environment(&mut self, variable: &str, problem: impl Into<String>) -> &mut Problem {
        let problem = bare(0, 0, variable, problem.into());
        push(&mut self.errors, problem)
    }

    /// The line and column of a byte, both counted from 1.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let line = self
            .line_starts
            .partition_point(|start| *start <= at)
            .saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or(0);
        let before = self.text.as_bytes().get(start..at).unwrap_or_default();
        // Not every byte of UTF-8 begins a character; those that do not look like 10xxxxxx.
        let column = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        (line + 1, column + 1)
    }

    /// What was made of the file and the warnings, or all errors if there is one.
    pub(super) fn finish<T>(mut self, file: &str, made: Option<T>) -> Result<(T, Vec<Problem>), Problems> {
        let order = |problem: &Problem| (problem.line, problem.column);
        self.warnings.sort_by_key(order);
        if let (Some(made), true) = (made, self.errors.is_empty()) {
            return Ok((made, self.warnings));
        }
        if self.errors.is_empty() {
            // Whoever makes nothing of a file has reported why; should that ever not be so, it is refused all the same.
            self.error(0, "", "this file is refused, and the reason got lost")
                .hint("please report this");
        }
        self.errors.sort_by_key(order);
        Err(Problems {
            file: file.to_owned(),
            list: self.errors,
        })
    }

    fn placed(&self, at: usize, key: &str, problem: String) -> Problem {
        let (line, column) = self.place(at);
        bare(line, column, key, problem)
    }
}

fn bare(line: usize, column: usize, key: &str, problem: String) -> Problem {
    Problem {
        line,
        column,
        key: key.to_owned(),
        problem,
        why: None,
        hint: None,
    }
}

#[expect(clippy::expect_used, reason = "the vector has just been given an element")]
fn push(list: &mut Vec<Problem>, problem: Problem) -> &mut Problem {
    list.push(problem);
    list.last_mut().expect("invariant: pushed above")
}

/// A text of the file in quotes, fit for a terminal: control characters escaped, and not endless.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// A piece of the file, fit for a terminal: control characters escaped, and not endless.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MAX_VALUE {
            out.push('…');
            break;
        }
        match c.is_control() {
            true => out.extend(c.escape_debug()),
            false => out.push(c),
        }
    }
    out
}
