//! The table of all keys that a device file may have.
//!
//! Owns which keys, kinds and values are known, and which of them this version can do. A new key is one line here
//! and one where its meaning is checked. Promises that what is announced for later is known by name, so that it is
//! never called unknown and never ignored. Must not know what values mean beyond their kind.

mod later;
mod table;

pub(super) use later::CHIPS as LATER_CHIPS;
pub(super) use table::ROOT;

/// One key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) since: Since,
}

/// Whether this version can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// Yes.
    Now,
    /// No; the text names what it is part of.
    Later(&'static str),
}

/// What may stand behind a key.
#[derive(Debug)]
pub(super) enum Kind {
    /// `"text"`
    Text,
    /// `["text", "text"]`
    Texts,
    /// `17`
    Integer,
    /// `0.1`, or `17`
    Number,
    /// `true`
    Boolean,
    /// `"250ms"`
    Duration,
    /// `"512MiB"`
    Size,
    /// A value whose form is settled when it comes: only for keys of later versions and in their tables.
    Announced,
    /// One of these texts.
    Choice(&'static [Choice]),
    /// `{ name = "text" }`
    Pairs,
    /// The same, where values may be numbers and dots may be part of a name.
    Properties,
    /// A table with these keys.
    Table(&'static [Key]),
    /// `[[name]]`: any number of tables with these keys.
    Tables(&'static [Key]),
    /// `[name.ID]`: tables with these keys, under names of the user's own.
    Named(&'static [Key]),
    /// `[[name]]` with a `kind` that says which keys the rest has.
    Kinds(&'static [Variant]),
}

/// One of the texts that a key may have.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) since: Since,
}

/// One of the kinds that a table may have.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) since: Since,
    pub(super) keys: &'static [Key],
}

const fn now(name: &'static str, kind: Kind) -> Key {
    Key {
        name,
        kind,
        since: Since::Now,
    }
}

const fn later(name: &'static str, kind: Kind, what: &'static str) -> Key {
    Key {
        name,
        kind,
        since: Since::Later(what),
    }
}

const fn choice(name: &'static str) -> Choice {
    Choice {
        name,
        since: Since::Now,
    }
}

const fn later_choice(name: &'static str, what: &'static str) -> Choice {
    Choice {
        name,
        since: Since::Later(what),
    }
}

/// The headers of the tables in which a key of this name may stand, for somebody who put it elsewhere.
pub(super) fn tables_with(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    search(ROOT, "", name, &mut found);
    found
}

fn search(keys: &[Key], path: &str, name: &str, found: &mut Vec<String>) {
    for key in keys {
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        let mut inside = |keys: &[Key], path: &str, header: String| {
            if keys.iter().any(|key| key.name == name) {
                found.push(header);
            }
            search(keys, path, name, found);
        };
        match &key.kind {
            Kind::Table(keys) => inside(keys, &path, format!("[{path}]")),
            Kind::Named(keys) => inside(keys, &format!("{path}.NAME"), format!("[{path}.NAME]")),
            Kind::Tables(keys) => inside(keys, &path, format!("[[{path}]]")),
            Kind::Kinds(variants) => {
                for variant in *variants {
                    inside(
                        variant.keys,
                        &path,
                        format!("[[{path}]] of kind \"{}\"", variant.name),
                    );
                }
            }
            _ => {}
        }
    }
}

/// All keys by their full names, with what those are part of that are to come.
pub(super) fn all() -> Vec<(String, Option<&'static str>)> {
    let mut found = Vec::new();
    list(ROOT, "", None, &mut found);
    found
}

fn list(
    keys: &[Key],
    path: &str,
    above: Option<&'static str>,
    found: &mut Vec<(String, Option<&'static str>)>,
) {
    for key in keys {
        let path = if path.is_empty() {
            key.name.to_owned()
        } else {
            format!("{path}.{}", key.name)
        };
        let later = |since, above: Option<&'static str>| match since {
            Since::Later(what) => above.or(Some(what)),
            Since::Now => above,
        };
        let here = later(key.since, above);
        found.push((path.clone(), here));
        match &key.kind {
            Kind::Table(keys) | Kind::Tables(keys) => list(keys, &path, here, found),
            Kind::Named(keys) => list(keys, &format!("{path}.NAME"), here, found),
            Kind::Kinds(variants) => {
                for variant in *variants {
                    list(
                        variant.keys,
                        &format!("{path}.{}", variant.name),
                        later(variant.since, here),
                        found,
                    );
                }
            }
            _ => {}
        }
    }
}
