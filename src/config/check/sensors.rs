//! `[sensor.ID]`: what is known of single sensors.

use std::collections::BTreeMap;

use super::super::file::{At, Section};
use super::super::model::{Device, Pairs, Sensor, Span};
use super::super::problem::{Report, quoted};
use super::super::suggest::nearest;
use super::sources::Sources;
use super::{i2c, names};
use crate::reading::{MAX_SENSOR_ID, SensorId};

/// Ways to write the unit in which the chips measure.
const CELSIUS: &[&str] = &["C", "°C", "degC", "deg C", "Cel", "℃", "celsius", "Celsius"];

/// The sensors that the file knows.
pub(super) struct Known {
    /// Those of `[sensor.ID]`.
    pub(super) configured: BTreeMap<SensorId, Sensor>,
    declared: Vec<SensorId>,
    open: bool,
}

pub(super) fn check(
    file: &Section,
    sources: &Sources,
    device: &Device,
    span: &Span,
    report: &mut Report<'_>,
) -> Known {
    let mut configured = BTreeMap::new();
    for (name, section) in file.named("sensor") {
        let Some(id) = names::sensor_id(name.at, &name.value, &section.path, report) else {
            continue;
        };
        exists(&id, name, section, sources, report);
        let known = sensor(&id, section, sources, device, span, report);
        configured.insert(id, known);
    }
    Known {
        configured,
        declared: sources.declared.keys().cloned().collect(),
        open: sources.open,
    }
}

/// A section for a sensor that cannot come is a slip in its name.
fn exists(id: &SensorId, name: &At<String>, section: &Section, sources: &Sources, report: &mut Report<'_>) {
    if sources.open || sources.declared.contains_key(id) || sources.meant.is_empty() {
        return;
    }
    let problem = report.error(
        name.at,
        &section.path,
        format!("no source has a sensor {}", quoted(id.as_str())),
    );
    if let Some(meant) = nearest(id.as_str(), sources.declared.keys().map(SensorId::as_str)) {
        problem.hint(format!("did you mean {}?", quoted(meant)));
    }
}

fn sensor(
    id: &SensorId,
    section: &Section,
    sources: &Sources,
    device: &Device,
    span: &Span,
    report: &mut Report<'_>,
) -> Sensor {
    let own = names::tags(section.pairs("tags"), &section.key("tags"), report);
    let tags = names::merged(&device.tags, &own, section.at, &section.key("tags"), report);
    let measured = sources.measurements(id).filter(|_| !sources.is_named_here(id));
    let measurement = measurement(section, measured.as_deref(), report);
    let units = units(id, section, &measurement, measured.as_deref(), sources, report);
    let span = super::span(section.section("span"), Some(span), report);
    Sensor {
        measurement,
        units,
        tags,
        span,
    }
}

/// The name of the value to which `unit` belongs.
fn measurement(section: &Section, measured: Option<&[String]>, report: &mut Report<'_>) -> String {
    let default = match measured {
        Some([only]) => only.clone(),
        _ => i2c::MEASUREMENT.to_owned(),
    };
    let Some(found) = section.text("measurement") else {
        return default;
    };
    let key = section.key("measurement");
    if !names::measurement(found.at, found.value, &key, report) {
        return default;
    }
    is_measured(found.at, found.value, measured, &key, report);
    found.value.clone()
}

/// A source that names its values gives no others.
fn is_measured(
    at: usize,
    name: &str,
    measured: Option<&[String]>,
    key: &str,
    report: &mut Report<'_>,
) -> bool {
    let Some(measured) = measured.filter(|measured| !measured.iter().any(|known| known == name)) else {
        return true;
    };
    let all = measured.iter().map(String::as_str);
    let hint = match nearest(name, all.clone()) {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => format!("one of {}", all.map(quoted).collect::<Vec<_>>().join(", ")),
    };
    report
        .error(at, key, format!("the source does not measure {}", quoted(name)))
        .hint(hint);
    false
}

fn units(
    id: &SensorId,
    section: &Section,
    measurement: &str,
    measured: Option<&[String]>,
    sources: &Sources,
    report: &mut Report<'_>,
) -> BTreeMap<Box<str>, Box<str>> {
    let mut units = BTreeMap::new();
    if let Some(found) = section.text("unit") {
        let key = section.key("unit");
        let fine = names::unit(found.at, found.value, &key, report)
            && (!section.lacks("measurement") || belongs(found.at, measurement, measured, &key, report))
            && celsius(found.at, found.value, sources.chip(id), &key, report);
        if fine {
            units.insert(measurement.into(), found.value.as_str().into());
        }
    }
    for (name, inner) in section.named("measurements") {
        let known = names::measurement(name.at, &name.value, &inner.path, report)
            && is_measured(name.at, &name.value, measured, &inner.path, report);
        let Some(found) = inner.text("unit").filter(|_| known) else {
            continue;
        };
        let key = inner.key("unit");
        if units.contains_key(name.value.as_str()) {
            report.error(
                found.at,
                &key,
                format!("the unit of {} stands above already", quoted(&name.value)),
            );
        } else if names::unit(found.at, found.value, &key, report) {
            units.insert(name.value.as_str().into(), found.value.as_str().into());
        }
    }
    units
}

/// A unit whose measurement is not named belongs to one that must exist.
fn belongs(at: usize, name: &str, measured: Option<&[String]>, key: &str, report: &mut Report<'_>) -> bool {
    let Some(measured) = measured.filter(|measured| !measured.iter().any(|known| known == name)) else {
        return true;
    };
    let all = measured
        .iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ");
    report
        .error(at, key, "does not say of which measurement")
        .why(format!("the source measures {all}"))
        .hint("measurement = the one that is meant");
    false
}

/// A unit is a label: nothing is converted.
fn celsius(at: usize, unit: &str, chip: Option<&str>, key: &str, report: &mut Report<'_>) -> bool {
    let Some(chip) = chip.filter(|_| !CELSIUS.contains(&unit)) else {
        return true;
    };
    report
        .error(
            at,
            key,
            format!("a {chip} measures in \"C\", not in {}", quoted(unit)),
        )
        .why("a unit is what the value has; nothing is converted");
    false
}

impl Known {
    /// Whether something is so for one of the sensors that the file names, with the tags that it has.
    pub(super) fn any(&self, device: &Device, is_so: impl Fn(&str, &Pairs) -> bool) -> bool {
        let own = |(id, sensor): (&SensorId, &Sensor)| is_so(id.as_str(), &sensor.tags);
        self.configured.iter().any(own) || self.declared.iter().any(|id| is_so(id.as_str(), &device.tags))
    }

    /// Who lacks a tag, in words: `readings of "b" have`; `None` if everybody has it.
    pub(super) fn without_tag(&self, tag: &str) -> Option<String> {
        let has = |tags: &Pairs| tags.iter().any(|(name, _)| **name == *tag);
        let lacking = self
            .declared
            .iter()
            .find(|id| !self.configured.get(*id).is_some_and(|known| has(&known.tags)));
        match (self.open, lacking) {
            (true, _) if self.configured.values().any(|known| has(&known.tags)) => {
                Some("sensors that are not known beforehand have".to_owned())
            }
            (true, _) => Some("readings have".to_owned()),
            (false, Some(id)) => Some(format!("readings of {} have", quoted(id.as_str()))),
            (false, None) => None,
        }
    }

    /// All tags that there are.
    pub(super) fn tag_names<'a>(&'a self, device: &'a Device) -> impl Iterator<Item = &'a str> {
        let own = self.configured.values().flat_map(|known| &known.tags);
        device.tags.iter().chain(own).map(|(name, _)| &**name)
    }

    /// The bytes of the longest ID that a sensor may have.
    pub(super) fn longest_id(&self) -> usize {
        match self.open {
            true => MAX_SENSOR_ID,
            false => self
                .declared
                .iter()
                .map(|id| id.as_str().len())
                .max()
                .unwrap_or(0),
        }
    }

    /// The bytes of the longest value that a tag has.
    pub(super) fn longest_tag(&self, device: &Device, tag: &str) -> usize {
        let own = self.configured.values().flat_map(|known| &known.tags);
        let all = device.tags.iter().chain(own).filter(|(name, _)| **name == *tag);
        all.map(|(_, value)| value.len()).max().unwrap_or(0)
    }
}
