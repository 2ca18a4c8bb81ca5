//! Single values: of the kind that their key wants, or a complaint that says what would be.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::problem::{Report, quoted, shown};
use super::super::schema::{Choice, Kind, Since};
use super::super::suggest::nearest;
use super::super::value;
use super::walk::join;
use super::{At, Pair, Value};

type Found<'t> = Spanned<DeValue<'t>>;

/// The value as it was written, short.
pub(super) fn describe(found: &Found<'_>, report: &Report<'_>) -> String {
    match found.get_ref() {
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::String(text) => quoted(text),
        _ => raw(found, report),
    }
}

fn raw(found: &Found<'_>, report: &Report<'_>) -> String {
    shown(report.text().get(found.span()).unwrap_or_default())
}

/// Reads a value that is no table of known keys.
pub(super) fn value(found: &Found<'_>, kind: &Kind, path: &str, report: &mut Report<'_>) -> Option<Value> {
    match (kind, found.get_ref()) {
        (Kind::Text, DeValue::String(text)) => Some(Value::Text(text.to_string())),
        (Kind::Choice(choices), DeValue::String(text)) => {
            choose(found.span().start, text, choices, path, report).map(Value::Choice)
        }
        (Kind::Texts, DeValue::Array(_)) => texts(found, path, report).map(Value::Texts),
        (Kind::Integer, DeValue::Integer(number)) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            let wrong = |_| wrong(found, "does not fit in 64 bits", None, path, report);
            parsed.map(Value::Integer).map_err(wrong).ok()
        }
        (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => {
            finite(number.as_str(), found, path, report)
        }
        (Kind::Number, DeValue::Float(number)) => finite(number.as_str(), found, path, report),
        (Kind::Boolean, DeValue::Boolean(value)) => Some(Value::Boolean(*value)),
        (Kind::Duration, DeValue::String(text)) => {
            let wrong = |error: value::Wrong| wrong(found, &error.problem, Some(error.hint), path, report);
            value::duration(text).map(Value::Duration).map_err(wrong).ok()
        }
        (Kind::Size, DeValue::String(text)) => {
            let wrong = |error: value::Wrong| wrong(found, &error.problem, Some(error.hint), path, report);
            value::size(text).map(Value::Size).map_err(wrong).ok()
        }
        (Kind::Pairs, DeValue::Table(table)) => Some(Value::Pairs(pairs(table, path, report))),
        (Kind::Properties, DeValue::Table(table)) => {
            let mut all = Vec::new();
            properties(table, "", None, path, &mut all, report);
            all.sort_by_key(|pair| pair.name.at);
            Some(Value::Pairs(all))
        }
        _ => {
            mismatch(found, kind, path, report);
            None
        }
    }
}

fn finite(text: &str, found: &Found<'_>, path: &str, report: &mut Report<'_>) -> Option<Value> {
    let number = text
        .replace('_', "")
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite());
    if number.is_none() {
        wrong(found, "is no number that can be used", None, path, report);
    }
    number.map(Value::Number)
}

fn wrong(found: &Found<'_>, problem: &str, hint: Option<String>, path: &str, report: &mut Report<'_>) {
    let problem = format!("{} {problem}", describe(found, report));
    report.error(found.span().start, path, problem).hint = hint;
}

/// A value of another kind than the key wants.
fn mismatch(found: &Found<'_>, kind: &Kind, path: &str, report: &mut Report<'_>) {
    let raw = raw(found, report);
    let text = found.get_ref().as_str();
    let scalar = !matches!(found.get_ref(), DeValue::Table(_) | DeValue::Array(_));
    let unquoted = |fits: fn(&str) -> bool| {
        text.filter(|text| fits(text))
            .map(|text| format!("without quotes: {}", shown(text)))
    };
    let (problem, hint) = match kind {
        Kind::Text | Kind::Choice(_) => ("is not a text", scalar.then(|| format!("in quotes: \"{raw}\""))),
        Kind::Texts => (
            "is not a list of texts",
            scalar.then(|| format!("in brackets: [\"{}\"]", shown(text.unwrap_or(&raw)))),
        ),
        Kind::Integer => ("is not a whole number", unquoted(is_integer)),
        Kind::Number => ("is not a number", unquoted(|text| text.parse::<f64>().is_ok())),
        Kind::Boolean => (
            "is neither true nor false",
            unquoted(|text| matches!(text, "true" | "false")),
        ),
        Kind::Duration => (
            "is not a duration",
            found
                .get_ref()
                .is_integer()
                .then(|| format!("say the unit: \"{raw}s\"")),
        ),
        Kind::Size => (
            "is not a size",
            found
                .get_ref()
                .is_integer()
                .then(|| format!("say the unit: \"{raw}B\"")),
        ),
        Kind::Pairs | Kind::Properties => ("is not a table", Some("{ name = \"value\" }".to_owned())),
        // The walk reads tables itself, and nobody reads what is only announced.
        Kind::Table(_) | Kind::Tables(_) | Kind::Named(_) | Kind::Kinds(_) | Kind::Announced => {
            ("cannot stand here", None)
        }
    };
    wrong(found, problem, hint, path, report);
}

fn is_integer(text: &str) -> bool {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    i64::from_str_radix(digits, radix).is_ok()
}

/// One of these texts, of those that this version can do.
fn choose(
    at: usize,
    text: &str,
    choices: &'static [Choice],
    path: &str,
    report: &mut Report<'_>,
) -> Option<&'static str> {
    match choices.iter().find(|choice| choice.name == text) {
        Some(Choice {
            name,
            since: Since::Now,
        }) => return Some(*name),
        Some(Choice {
            name,
            since: Since::Later(what),
        }) => {
            report.error(at, path, format!("\"{name}\" is not yet in this version: {what}"));
        }
        None => {
            let now = choices.iter().filter(|choice| choice.since == Since::Now);
            let hint = match nearest(text, choices.iter().map(|choice| choice.name)) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => {
                    format!(
                        "one of {}",
                        now.map(|choice| quoted(choice.name))
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                }
            };
            report
                .error(at, path, format!("{} is not known", quoted(text)))
                .hint(hint);
        }
    }
    None
}

/// A list of texts; `None` if it has elements and all of them are wrong.
fn texts(found: &Found<'_>, path: &str, report: &mut Report<'_>) -> Option<Vec<At<String>>> {
    let array = found.get_ref().as_array()?;
    let mut all = Vec::new();
    for (index, element) in array.iter().enumerate() {
        match element.get_ref() {
            DeValue::String(text) => all.push(placed(element, text.to_string())),
            _ => mismatch(element, &Kind::Text, &format!("{path}[{}]", index + 1), report),
        }
    }
    (!all.is_empty() || array.is_empty()).then_some(all)
}

fn placed<T>(found: &Spanned<impl Sized>, value: T) -> At<T> {
    At {
        at: found.span().start,
        end: found.span().end,
        value,
    }
}

fn pairs(table: &DeTable<'_>, path: &str, report: &mut Report<'_>) -> Vec<Pair> {
    let mut all = Vec::new();
    for (name, value) in table {
        match value.get_ref() {
            DeValue::String(text) => all.push(Pair {
                name: placed(name, name.get_ref().to_string()),
                value: placed(value, text.to_string()),
            }),
            _ => mismatch(value, &Kind::Text, &join(path, name.get_ref()), report),
        }
    }
    all.sort_by_key(|pair| pair.name.at);
    all
}

/// `a.b = 1` without quotes is a table in a table to TOML, and a name with a dot in it to whoever wrote it.
fn properties(
    table: &DeTable<'_>,
    prefix: &str,
    begins: Option<usize>,
    path: &str,
    all: &mut Vec<Pair>,
    report: &mut Report<'_>,
) {
    for (name, value) in table {
        let at = begins.unwrap_or(name.span().start);
        let full = match prefix {
            "" => name.get_ref().to_string(),
            _ => format!("{prefix}.{}", name.get_ref()),
        };
        let text = match value.get_ref() {
            DeValue::Table(inner) => {
                properties(inner, &full, Some(at), path, all, report);
                continue;
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            _ => {
                mismatch(value, &Kind::Text, &join(path, &full), report);
                continue;
            }
        };
        all.push(Pair {
            name: At {
                at,
                ..placed(name, full)
            },
            value: placed(value, text),
        });
    }
}
