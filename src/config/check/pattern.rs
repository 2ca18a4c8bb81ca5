//! Patterns of text lines: compiled, and where they go wrong.

use regex_lite::{Regex, RegexBuilder};

use super::super::file::{At, Section};
use super::super::problem::{Report, quoted};
use super::super::suggest::nearest;
use super::names;

/// Characters of a pattern: the search for the place of an error tries them one by one.
const MAX_PATTERN: usize = 1000;

/// Bytes that a compiled pattern may have.
const MAX_COMPILED: usize = 1 << 20;

/// The group that names the sensor.
const SENSOR: &str = "sensor";

/// A pattern and the names of its measurements, in their order.
pub(super) fn check(source: &Section, has_id: bool, report: &mut Report<'_>) -> Option<(Regex, Vec<String>)> {
    let example = r"'^(?P<sensor>\w+):(?P<temperature>-?[0-9.]+)C$'";
    let Some(found) = source.text("pattern") else {
        super::paths::missing(source, "pattern", example, report);
        return None;
    };
    let key = source.key("pattern");
    let regex = compile(&found, &key, report)?;
    let groups: Vec<&str> = regex.capture_names().flatten().collect();
    sensor_group(&found, &groups, has_id, &key, report);
    let measurements: Vec<String> = groups
        .iter()
        .filter(|name| **name != SENSOR)
        .map(|&name| name.to_owned())
        .collect();
    if measurements.is_empty() {
        report
            .error(found.at, &key, "has no group for a measurement")
            .hint("name the part that is the value: (?P<temperature>-?[0-9.]+)");
        return None;
    }
    for name in &measurements {
        let offset = found.value.find(&format!("<{name}>")).map_or(0, |at| at + 1);
        names::measurement(found.inside(report, found.value, offset), name, &key, report);
    }
    Some((regex, measurements))
}

fn sensor_group(found: &At<&String>, groups: &[&str], has_id: bool, key: &str, report: &mut Report<'_>) {
    let named = groups.contains(&SENSOR);
    if named && has_id {
        report
            .error(
                found.at,
                key,
                "has a group \"sensor\", and there is an id beside it",
            )
            .why("only one of them can name the sensor");
    } else if !named && !has_id {
        let slip = groups.iter().find(|name| nearest(name, [SENSOR]).is_some());
        let hint = match slip {
            Some(slip) => format!("did you mean (?P<sensor>…) by (?P<{slip}>…)?"),
            None => r#"(?P<sensor>\w+), or id = "tank" beside the pattern if all lines are of one sensor"#
                .to_owned(),
        };
        report
            .error(found.at, key, "does not say which sensor a line is of")
            .hint(hint);
    }
}

fn compile(found: &At<&String>, key: &str, report: &mut Report<'_>) -> Option<Regex> {
    let text = found.value.as_str();
    let count = text.chars().count();
    if count > MAX_PATTERN {
        let problem = format!("has {count} characters, at most {MAX_PATTERN} are allowed");
        report.error(found.at, key, problem);
        return None;
    }
    match build(text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let offset = fault_at(text, &error.to_string());
            let at = found.inside(report, text, offset);
            let column = text.get(..offset).map_or(0, |before| before.chars().count()) + 1;
            let problem = format!(
                "{} is no pattern: {error}, at its character {column}",
                quoted(text)
            );
            report.error(at, key, problem);
            None
        }
    }
}

fn build(text: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(text).size_limit(MAX_COMPILED).build()
}

/// The byte at which a pattern goes wrong: the last character of the shortest piece from its beginning that has the
/// same error, as all longer pieces have. (The compiler itself says only what is wrong.)
fn fault_at(text: &str, error: &str) -> usize {
    let mut first = text.char_indices().next_back().map_or(0, |(at, _)| at);
    for (at, c) in text.char_indices().rev() {
        let piece = text.get(..at + c.len_utf8()).unwrap_or(text);
        if build(piece).map_or_else(|other| other.to_string() != error, |_| true) {
            break;
        }
        first = at;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_found() {
        for (pattern, column) in [
            ("^(a(b", 2),
            ("^(a)(b", 5),
            ("(a(b)c", 1),
            ("a)b", 2),
            ("*a", 1),
            ("a[b-", 4),
            (r"ab\q+c", 4),
            (r"(?P<a>x)(?P<a>y)z", 14),
            ("x{2,1}y", 6),
            ("é(", 3),
        ] {
            let error = build(pattern).unwrap_err().to_string();
            assert_eq!(fault_at(pattern, &error) + 1, column, "{pattern}: {error}");
        }
    }
}
