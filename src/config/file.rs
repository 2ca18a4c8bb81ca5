//! The device file as it was written: its tables and values, each with its place.
//!
//! Owns the way from text to kind-checked values, guided by the table of known keys. Promises that whatever is
//! unknown, of the wrong kind, or to come in a later version has been reported when it is missing here, so that the
//! second stage complains of nothing twice. Must not know what values mean.

mod read;
mod walk;

use std::time::Duration;

use super::problem::Report;
use super::schema::{Key, ROOT};

/// A value and the bytes of the file where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) value: T,
}

/// One name and value of a table with names of the user's own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub(super) name: At<String>,
    pub(super) value: At<String>,
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// What it is called in problems: `source[2].sensor[1]`.
    pub(super) path: String,
    /// Where it begins.
    pub(super) at: usize,
    keys: &'static [Key],
    entries: Vec<Entry>,
    misspelt: Vec<&'static str>,
}

/// A source: its kind, unless that is unknown or to come, and its keys.
#[derive(Debug, Clone)]
pub(super) struct Kinded {
    pub(super) kind: Option<&'static str>,
    pub(super) section: Section,
}

#[derive(Debug, Clone)]
struct Entry {
    name: &'static str,
    /// `None`: something stands there that has been reported.
    value: Option<At<Value>>,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Choice(&'static str),
    Texts(Vec<At<String>>),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Duration(Duration),
    Size(u64),
    Pairs(Vec<Pair>),
    Section(Section),
    Sections(Vec<Section>),
    Named(Vec<(At<String>, Section)>),
    Kinds(Vec<Kinded>),
}

/// Reads the whole file; `None` if it is not TOML, which has then been reported.
pub(super) fn read(report: &mut Report<'_>) -> Option<Section> {
    let table = walk::syntax(report)?;
    Some(walk::section(&table, ROOT, "", 0, report))
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $value:ty;)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(&self, name: &str) -> Option<At<&$value>> {
            let entry = self.entry(name)?.value.as_ref()?;
            match &entry.value {
                Value::$variant(value) => Some(At { at: entry.at, end: entry.end, value }),
                _ => None,
            }
        }
    )*};
}

impl Section {
    fn empty(path: &str, at: usize, keys: &'static [Key]) -> Self {
        Self {
            path: path.to_owned(),
            at,
            keys,
            entries: Vec::new(),
            misspelt: Vec::new(),
        }
    }

    getters! {
        /// A text.
        text: Text -> String;
        /// One of the texts that may stand there.
        choice: Choice -> &'static str;
        /// A list of texts.
        texts: Texts -> Vec<At<String>>;
        /// A whole number.
        integer: Integer -> i64;
        /// A number.
        number: Number -> f64;
        /// True or false.
        boolean: Boolean -> bool;
        /// A duration.
        duration: Duration -> Duration;
        /// A size in bytes.
        size: Size -> u64;
        /// A table with names of the user's own.
        pairs: Pairs -> Vec<Pair>;
    }

    /// A table in this one.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        match &self.entry(name)?.value.as_ref()?.value {
            Value::Section(section) => Some(section),
            _ => None,
        }
    }

    /// All `[[name]]` in this one.
    pub(super) fn sections(&self, name: &str) -> &[Section] {
        match self
            .entry(name)
            .and_then(|entry| entry.value.as_ref())
            .map(|value| &value.value)
        {
            Some(Value::Sections(sections)) => sections,
            _ => &[],
        }
    }

    /// All `[name.ID]` in this one.
    pub(super) fn named(&self, name: &str) -> &[(At<String>, Section)] {
        match self
            .entry(name)
            .and_then(|entry| entry.value.as_ref())
            .map(|value| &value.value)
        {
            Some(Value::Named(sections)) => sections,
            _ => &[],
        }
    }

    /// All `[[name]]` with a `kind` in this one.
    pub(super) fn kinds(&self, name: &str) -> &[Kinded] {
        match self
            .entry(name)
            .and_then(|entry| entry.value.as_ref())
            .map(|value| &value.value)
        {
            Some(Value::Kinds(sections)) => sections,
            _ => &[],
        }
    }

    /// Whether the key is absent, and not just misspelt or wrong, of which there has been a report.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.entry(name).is_none() && !self.misspelt.contains(&name)
    }

    /// Whether something stands there that is as it should be; also for keys that this table cannot have.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.name == name && entry.value.is_some())
    }

    /// Whether there is nothing at all in it, not even something wrong.
    pub(super) fn is_blank(&self) -> bool {
        self.entries.is_empty() && self.misspelt.is_empty()
    }

    /// The full name of one of its keys.
    pub(super) fn key(&self, name: &str) -> String {
        walk::join(&self.path, name)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        debug_assert!(
            self.keys.iter().any(|key| key.name == name),
            "no key {name} in {}",
            self.path
        );
        self.entries.iter().find(|entry| entry.name == name)
    }
}

impl<T> At<T> {
    /// The byte of the file where this byte of a text stands, if the text stands there as it is.
    pub(super) fn inside(&self, report: &Report<'_>, text: &str, offset: usize) -> usize {
        let raw = report.text().get(self.at..self.end).unwrap_or_default();
        match raw.find(text) {
            Some(start) if !text.is_empty() => self.at + start + offset.min(text.len()),
            _ => self.at,
        }
    }
}
