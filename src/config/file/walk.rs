//! The walk over the tables: which keys there are, and where.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::super::problem::{Report, quoted, shown};
use super::super::schema::{self, Key, Kind, Since, Variant};
use super::super::suggest::nearest;
use super::read::{self, describe};
use super::{At, Entry, Kinded, Section, Value};

/// Syntax errors beyond these are echoes of the first ones.
const MAX_SYNTAX_ERRORS: usize = 10;

/// What gives away that a key holds a secret.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "api-key",
    "private-key",
];

/// Parses TOML; `None` after having reported what is wrong with it.
pub(super) fn syntax<'t>(report: &mut Report<'t>) -> Option<DeTable<'t>> {
    let (table, errors) = DeTable::parse_recoverable(report.text());
    let mut last_line = 0;
    for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
        let at = error.span().map_or(0, |span| span.start);
        let (line, _) = report.place(at);
        if line != last_line {
            let what = error
                .span()
                .and_then(|span| report.text().get(span))
                .unwrap_or_default();
            let problem = match error.message() {
                // A key that stands twice is not the one that the eye falls on first.
                "duplicate key" => format!("duplicate key {}", quoted(what)),
                message => message.to_owned(),
            };
            report.error(at, "", problem);
        }
        last_line = line;
    }
    errors.is_empty().then(|| table.into_inner())
}

/// The full name of a key: `span.max-delay`, `sensor."shed air".unit`.
pub(super) fn join(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let name = if plain { shown(name) } else { quoted(name) };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// One table, with all values that are as they should be.
pub(super) fn section(
    table: &DeTable<'_>,
    keys: &'static [Key],
    path: &str,
    at: usize,
    report: &mut Report<'_>,
) -> Section {
    let mut section = Section::empty(path, at, keys);
    for (name, value) in table {
        match find(keys, name) {
            Some(key) => {
                let value = entry(key, name, value, path, report);
                section.entries.push(Entry {
                    name: key.name,
                    value,
                });
            }
            None => section.misspelt.extend(unknown(name, table, keys, path, report)),
        }
    }
    section
}

fn find(keys: &'static [Key], name: &Spanned<DeString<'_>>) -> Option<&'static Key> {
    keys.iter().find(|key| key.name == name.get_ref().as_ref())
}

fn entry(
    key: &'static Key,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    path: &str,
    report: &mut Report<'_>,
) -> Option<At<Value>> {
    let path = join(path, key.name);
    let at = value.span().start;
    if let Since::Later(what) = key.since {
        report.error(
            name.span().start,
            &path,
            format!("not yet in this version: {what}"),
        );
        names_only(value.get_ref(), &key.kind, &path, report);
        return None;
    }
    let found = match &key.kind {
        Kind::Table(keys) => Value::Section(section(table(value, &path, report)?, keys, &path, at, report)),
        Kind::Tables(keys) => {
            let all = tables(value, &path, report)?.into_iter();
            Value::Sections(
                all.map(|(path, at, table)| section(table, keys, &path, at, report))
                    .collect(),
            )
        }
        Kind::Kinds(variants) => {
            let all = tables(value, &path, report)?.into_iter();
            Value::Kinds(
                all.map(|(path, at, table)| kinded(table, variants, &path, at, report))
                    .collect(),
            )
        }
        Kind::Named(keys) => Value::Named(named(table(value, &path, report)?, keys, &path, report)),
        kind => read::value(value, kind, &path, report)?,
    };
    Some(At {
        at,
        end: value.span().end,
        value: found,
    })
}

fn table<'v, 't>(
    value: &'v Spanned<DeValue<'t>>,
    path: &str,
    report: &mut Report<'_>,
) -> Option<&'v DeTable<'t>> {
    let found = value.get_ref().as_table();
    if found.is_none() {
        let problem = match value.get_ref().is_array() {
            true => "is a list, where one table may stand".to_owned(),
            false => format!("{} is not a table", describe(value, report)),
        };
        report
            .error(value.span().start, path, problem)
            .hint(format!("put its keys below a line [{path}]"));
    }
    found
}

type Found<'v, 't> = Vec<(String, usize, &'v DeTable<'t>)>;

fn tables<'v, 't>(
    value: &'v Spanned<DeValue<'t>>,
    path: &str,
    report: &mut Report<'_>,
) -> Option<Found<'v, 't>> {
    let Some(array) = value.get_ref().as_array() else {
        let header: String = path
            .chars()
            .filter(|c| !c.is_ascii_digit() && !matches!(c, '[' | ']'))
            .collect();
        let problem = match value.get_ref().is_table() {
            true => "is one table, where a list of them must stand".to_owned(),
            false => format!("{} is not a list of tables", describe(value, report)),
        };
        report
            .error(value.span().start, path, problem)
            .hint(format!("two brackets: [[{header}]]"));
        return None;
    };
    let mut found = Vec::new();
    for (index, element) in array.iter().enumerate() {
        let path = format!("{path}[{}]", index + 1);
        if let Some(table) = table(element, &path, report) {
            found.push((path, element.span().start, table));
        }
    }
    Some(found)
}

fn named(
    all: &DeTable<'_>,
    keys: &'static [Key],
    path: &str,
    report: &mut Report<'_>,
) -> Vec<(At<String>, Section)> {
    let mut found = Vec::new();
    for (name, value) in all {
        let path = join(path, name.get_ref());
        let span = name.span();
        if let Some(inner) = table(value, &path, report) {
            let name = At {
                at: span.start,
                end: span.end,
                value: name.get_ref().to_string(),
            };
            found.push((name, section(inner, keys, &path, span.start, report)));
        }
    }
    found.sort_by_key(|(name, _)| name.at);
    found
}

fn kinded(
    table: &DeTable<'_>,
    variants: &'static [Variant],
    path: &str,
    at: usize,
    report: &mut Report<'_>,
) -> Kinded {
    let section = match variant(table, variants, path, at, report) {
        Some(Variant {
            name,
            since: Since::Now,
            keys,
        }) => {
            return Kinded {
                kind: Some(name),
                section: section(table, keys, path, at, report),
            };
        }
        Some(variant) => {
            names_in(table, variant.keys, path, report);
            Section::empty(path, at, variant.keys)
        }
        None => Section::empty(path, at, &[]),
    };
    Kinded { kind: None, section }
}

/// The kind that a table says it is of; whatever this version cannot read is reported.
fn variant(
    table: &DeTable<'_>,
    variants: &'static [Variant],
    path: &str,
    at: usize,
    report: &mut Report<'_>,
) -> Option<&'static Variant> {
    let now = variants.iter().filter(|variant| variant.since == Since::Now);
    let now = || {
        now.clone()
            .map(|variant| quoted(variant.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let Some(kind) = table.get("kind") else {
        match table
            .keys()
            .find(|name| nearest(name.get_ref(), ["kind"]).is_some())
        {
            Some(name) => report
                .error(
                    name.span().start,
                    path,
                    format!("unknown key {}", quoted(name.get_ref())),
                )
                .hint("did you mean \"kind\"?"),
            None => report
                .error(at, path, "has no kind")
                .hint(format!("kind = one of {}", now())),
        };
        return None;
    };
    let (at, path) = (kind.span().start, join(path, "kind"));
    let found = variants
        .iter()
        .find(|variant| Some(variant.name) == kind.get_ref().as_str());
    match found {
        Some(Variant {
            name,
            since: Since::Later(what),
            ..
        }) => {
            report.error(
                at,
                &path,
                format!("\"{name}\" is not yet in this version: {what}"),
            );
        }
        Some(_) => {}
        None => {
            let known = variants.iter().map(|variant| variant.name);
            let hint = match kind.get_ref().as_str().and_then(|name| nearest(name, known)) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("one of {}", now()),
            };
            let problem = format!("{} is no kind of source", describe(kind, report));
            report.error(at, &path, problem).hint(hint);
        }
    }
    found
}

/// Below what is to come, only names are looked at.
fn names_only(value: &DeValue<'_>, kind: &Kind, path: &str, report: &mut Report<'_>) {
    match (kind, value) {
        (Kind::Table(keys), DeValue::Table(table)) => names_in(table, keys, path, report),
        (Kind::Tables(keys), DeValue::Array(array)) => {
            for (index, element) in array.iter().enumerate() {
                if let Some(table) = element.get_ref().as_table() {
                    names_in(table, keys, &format!("{path}[{}]", index + 1), report);
                }
            }
        }
        _ => {}
    }
}

fn names_in(table: &DeTable<'_>, keys: &'static [Key], path: &str, report: &mut Report<'_>) {
    for (name, value) in table {
        match find(keys, name) {
            Some(key) => names_only(value.get_ref(), &key.kind, &join(path, key.name), report),
            None => {
                unknown(name, table, keys, path, report);
            }
        }
    }
}

/// Reports an unknown key; gives the name that was meant, if that can be guessed.
fn unknown(
    name: &Spanned<DeString<'_>>,
    table: &DeTable<'_>,
    keys: &'static [Key],
    path: &str,
    report: &mut Report<'_>,
) -> Option<&'static str> {
    let (at, name) = (name.span().start, name.get_ref().as_ref());
    let absent = keys
        .iter()
        .map(|key| key.name)
        .filter(|known| !table.contains_key(*known));
    let meant = nearest(name, absent);
    let habitless = name.to_lowercase().replace('_', "-");
    let problem = report.error(at, path, format!("unknown key {}", quoted(name)));
    if let Some(meant) = meant {
        problem.hint(format!("did you mean \"{meant}\"?"));
    } else if SECRETS.iter().any(|secret| habitless.contains(secret)) {
        problem
            .why("device.toml gets copied, shown and backed up, so secrets never stand in it")
            .hint("put it into a file of its own that only the agent can read");
    } else if let Some(header) = schema::tables_with(name).first() {
        problem.hint(format!("it belongs under {header}"));
        report.misplaced(name);
    } else if let Some(present) = nearest(name, keys.iter().map(|key| key.name)) {
        problem.hint(format!("did you mean \"{present}\", which is there already?"));
    }
    meant
}
