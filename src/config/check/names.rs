//! Names: of sensors, tags, headers, measurements and units.
//!
//! Owns what a name may be and how long. Promises that what passes fits into a row of the queue and into a record.

use super::super::file::{At, Pair};
use super::super::model::Pairs;
use super::super::problem::{Report, quoted};
use crate::reading::SensorId;

/// The fields that every record may have: a measurement of that name could not be told from them.
pub(super) const RECORD_FIELDS: &[&str] = &[
    "sensorId",
    "unit",
    "units",
    "recordedAt",
    "tags",
    "quality",
    "timeQuality",
];

/// The headers that the agent sets.
const AGENT_HEADERS: &[&str] = &["device", "epoch", "seq", "trace-id"];

/// Where the agent's own events are stored.
const EVENTS: &str = "$events";

/// Bytes of a tag's, header's or measurement's name: more is a sentence.
const MAX_NAME: usize = 64;
/// Bytes of a unit: "kilograms per square metre" fits.
const MAX_UNIT: usize = 32;
/// Bytes of all names and values of one sensor's tags: its definition must fit into one row of the queue (2 KiB)
/// beside its name and its measurements.
const MAX_TAGS: usize = 1024;
/// Bytes of all names and values of the headers: they are sent with every record.
const MAX_HEADERS: usize = 4096;

/// What is wrong with a text as a name or a value of so many bytes.
pub(super) fn fault(text: &str, most: usize) -> Option<String> {
    if text.is_empty() {
        Some("is empty".into())
    } else if text.len() > most {
        Some(format!("has {} bytes, at most {most} are allowed", text.len()))
    } else if text.chars().any(char::is_control) {
        Some("has a control character in it".into())
    } else {
        None
    }
}

/// A sensor's name.
pub(super) fn sensor_id(at: usize, text: &str, key: &str, report: &mut Report<'_>) -> Option<SensorId> {
    if text == EVENTS {
        report.error(at, key, "the agent keeps its own events under that name");
        return None;
    }
    SensorId::new(text)
        .map_err(|error| report.error(at, key, error.to_string()).hint = None)
        .ok()
}

/// A measurement's name.
pub(super) fn measurement(at: usize, text: &str, key: &str, report: &mut Report<'_>) -> bool {
    if RECORD_FIELDS.contains(&text) {
        let why = "every record has a field of that name";
        report
            .error(at, key, format!("{} cannot be a measurement", quoted(text)))
            .why(why);
        return false;
    }
    no_fault(at, text, MAX_NAME, "the measurement's name", key, report)
}

/// A unit.
pub(super) fn unit(at: usize, text: &str, key: &str, report: &mut Report<'_>) -> bool {
    no_fault(at, text, MAX_UNIT, "the unit", key, report)
}

fn no_fault(at: usize, text: &str, most: usize, what: &str, key: &str, report: &mut Report<'_>) -> bool {
    match fault(text, most) {
        Some(fault) => {
            report.error(at, key, format!("{what} {fault}"));
            false
        }
        None => true,
    }
}

/// Tags, sorted by name.
pub(super) fn tags(found: Option<At<&Vec<Pair>>>, key: &str, report: &mut Report<'_>) -> Pairs {
    found
        .map(|found| pairs(found.value, MAX_TAGS, "tag", key, report))
        .unwrap_or_default()
}

/// Headers, sorted by name, none of them the agent's own.
pub(super) fn headers(found: Option<At<&Vec<Pair>>>, key: &str, report: &mut Report<'_>) -> Pairs {
    let Some(found) = found else { return Vec::new() };
    for Pair { name, .. } in found.value {
        if AGENT_HEADERS
            .iter()
            .any(|own| own.eq_ignore_ascii_case(&name.value))
        {
            report
                .error(
                    name.at,
                    key,
                    format!("the header {} is the agent's own", quoted(&name.value)),
                )
                .why("consumers recognize readings by it");
        }
    }
    pairs(found.value, MAX_HEADERS, "header", key, report)
}

fn pairs(found: &[Pair], most: usize, what: &str, key: &str, report: &mut Report<'_>) -> Pairs {
    let mut all = Pairs::new();
    for Pair { name, value } in found {
        let named = format!("the {what} {}", quoted(&name.value));
        let fine = no_fault(
            name.at,
            &name.value,
            MAX_NAME,
            &format!("the name of {named}"),
            key,
            report,
        ) && no_fault(value.at, &value.value, most, &named, key, report);
        if fine {
            all.push((name.value.as_str().into(), value.value.as_str().into()));
        }
    }
    all.sort();
    let at = found.first().map_or(0, |pair| pair.name.at);
    within(&all, most, what, at, key, report);
    all
}

/// A sensor's own tags together with the device's, which they win over.
pub(super) fn merged(device: &Pairs, own: &Pairs, at: usize, key: &str, report: &mut Report<'_>) -> Pairs {
    let inherited = device
        .iter()
        .filter(|(name, _)| own.iter().all(|(other, _)| other != name));
    let mut all: Pairs = own.iter().chain(inherited).cloned().collect();
    all.sort();
    if !own.is_empty() {
        within(&all, MAX_TAGS, "tag", at, key, report);
    }
    all
}

fn within(all: &Pairs, most: usize, what: &str, at: usize, key: &str, report: &mut Report<'_>) {
    let sum: usize = all.iter().map(|(name, value)| name.len() + value.len()).sum();
    if sum > most {
        let problem = format!("all {what}s together have {sum} bytes, at most {most} are allowed");
        let why = if what == "tag" {
            "they are stored and sent"
        } else {
            "they are sent with every record"
        };
        report.error(at, key, problem).why(why);
    }
}
