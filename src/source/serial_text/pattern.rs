//! What a line says: the pattern's named groups as a sensor and values of a type.
//!
//! Pure. A measurement gets its type from the first value that its sensor shows: a number if it reads as one, else text;
//! if the device file gives it a unit, it is a number from the start. The type stays, since consumers rely on it, until
//! the agent starts anew:
//! - a number that does not read as one (`ERR`, `nan`) becomes NaN with quality "invalid": a record shows null, and the
//!   line is shown in the source's health;
//! - a text that reads as a number stays text;
//! - a group that took no part or is blank is absent; a line in which all are gives no reading.
//!
//! Must not know lines, ports or the inbox.

use regex_lite::{Captures, Regex};

use crate::reading::{Quality, SensorId, Value, ValueKind};

/// The group that names the sensor.
pub const SENSOR_GROUP: &str = "sensor";

/// A pattern with named groups.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    measurements: Vec<Box<str>>,
    id: Option<SensorId>,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Neither a group nor an ID names the sensor.
    #[error("the pattern has no group {SENSOR_GROUP:?} and the source no id")]
    NoSensor,
    /// There is nothing to measure.
    #[error("the pattern has no named group for a measurement")]
    NoMeasurement,
}

impl Pattern {
    /// With `id`, every line is that sensor's; without it, the group `sensor` names it. All other named groups are
    /// measurements, in their order.
    ///
    /// # Errors
    /// When the sensor or the measurements are missing.
    pub fn new(regex: Regex, id: Option<SensorId>) -> Result<Self, PatternError> {
        let names = || regex.capture_names().flatten();
        if id.is_none() && !names().any(|name| name == SENSOR_GROUP) {
            return Err(PatternError::NoSensor);
        }
        let measurements: Vec<Box<str>> = names()
            .filter(|name| *name != SENSOR_GROUP)
            .map(Box::from)
            .collect();
        if measurements.is_empty() {
            return Err(PatternError::NoMeasurement);
        }
        Ok(Self {
            regex,
            measurements,
            id,
        })
    }

    /// The names of the measurements.
    pub fn measurements(&self) -> impl Iterator<Item = &str> {
        self.measurements.iter().map(|name| &**name)
    }

    /// What a line says; `None` if it does not match, names no sensor or has no value.
    #[must_use]
    pub fn find<'l>(&'l self, line: &'l str) -> Option<Match<'l>> {
        let captures = self.regex.captures(line)?;
        let sensor = match &self.id {
            Some(id) => id.as_str(),
            None => captures.name(SENSOR_GROUP)?.as_str(),
        };
        let values: Vec<_> = self.measurements().map(|name| text(&captures, name)).collect();
        (SensorId::new(sensor).is_ok() && values.iter().any(Option::is_some))
            .then_some(Match { sensor, values })
    }
}

fn text<'l>(captures: &Captures<'l>, name: &str) -> Option<&'l str> {
    captures
        .name(name)
        .map(|group| group.as_str().trim())
        .filter(|text| !text.is_empty())
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match<'l> {
    /// Whose line it is.
    pub sensor: &'l str,
    /// The texts of the measurements, as far as they took part.
    values: Vec<Option<&'l str>>,
}

/// The types of one sensor's measurements, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(Vec<Option<ValueKind>>);

impl Kinds {
    /// Of a sensor that was not seen yet; each measurement says whether it is known to be a number.
    pub fn new(numbers: impl Iterator<Item = bool>) -> Self {
        Self(
            numbers
                .map(|number| number.then_some(ValueKind::Number))
                .collect(),
        )
    }

    /// The types.
    pub fn iter(&self) -> impl Iterator<Item = Option<ValueKind>> {
        self.0.iter().copied()
    }

    /// Whether a line shows a measurement whose type is not known yet.
    #[must_use]
    pub fn would_learn(&self, line: &Match<'_>) -> bool {
        self.0
            .iter()
            .zip(&line.values)
            .any(|(kind, text)| kind.is_none() && text.is_some())
    }

    /// Takes the types that are not known yet from a line.
    pub fn learn(&mut self, line: &Match<'_>) {
        for (kind, text) in self.0.iter_mut().zip(&line.values) {
            let seen = text.map(|text| match text.parse::<f64>() {
                Ok(_) => ValueKind::Number,
                Err(_) => ValueKind::Text,
            });
            *kind = kind.or(seen);
        }
    }

    /// The values of a line, what they are worth, and how many were no number where one is due.
    #[must_use]
    pub fn values(&self, line: &Match<'_>) -> (Vec<Value>, Quality, u64) {
        let mut bad = 0;
        let values = self
            .0
            .iter()
            .zip(&line.values)
            .map(|(kind, text)| match (kind, text) {
                (_, None) => Value::Absent,
                (Some(ValueKind::Text), Some(text)) => Value::Text((*text).into()),
                (_, Some(text)) => {
                    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
                    bad += u64::from(number.is_none());
                    Value::Number(number.unwrap_or(f64::NAN))
                }
            });
        let values = values.collect();
        (
            values,
            if bad > 0 { Quality::Invalid } else { Quality::Good },
            bad,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(regex: &str, id: Option<&str>) -> Result<Pattern, PatternError> {
        Pattern::new(
            Regex::new(regex).unwrap(),
            id.map(|id| SensorId::new(id).unwrap()),
        )
    }

    #[test]
    fn patterns_name_a_sensor_and_a_measurement() {
        for (regex, id, expect) in [
            (
                r"^(?P<sensor>\w+):(?P<temperature>.*)C$",
                None,
                Ok(vec!["temperature"]),
            ),
            (r"(?P<b>\d) (?P<a>\d) (\d)", Some("x"), Ok(vec!["b", "a"])),
            (r"(?P<sensor>\w+) (?P<a>\d)", Some("x"), Ok(vec!["a"])),
            (r"(?P<a>\d)", None, Err(PatternError::NoSensor)),
            (r"(?P<sensor>\d)", None, Err(PatternError::NoMeasurement)),
            (r"\d", Some("x"), Err(PatternError::NoMeasurement)),
        ] {
            let got = pattern(regex, id);
            let names = got
                .as_ref()
                .map(|pattern| pattern.measurements().collect::<Vec<_>>())
                .map_err(|e| *e);
            assert_eq!(names, expect, "{regex}");
        }
    }

    #[test]
    fn lines_name_a_sensor_and_values() {
        let named = r"^(?P<sensor>[^:]*):(?P<t>[^ ]*)( (?P<h>\S+))?$";
        for (regex, id, line, expect) in [
            (
                named,
                None,
                "shed:21.5 60",
                Some(("shed", vec![Some("21.5"), Some("60")])),
            ),
            (named, None, "shed:21.5", Some(("shed", vec![Some("21.5"), None]))),
            (named, None, "shed: 60", Some(("shed", vec![None, Some("60")]))),
            (named, None, "shed:", None),
            (named, None, ":21.5", None),
            (named, None, "a\tb:21.5", None),
            (named, None, "noise", None),
            (
                r"^(?P<t>\S+)$",
                Some("fixed"),
                "7",
                Some(("fixed", vec![Some("7")])),
            ),
        ] {
            let pattern = pattern(regex, id).unwrap();
            let got = pattern
                .find(line)
                .map(|found| (found.sensor, found.values.clone()));
            assert_eq!(got, expect, "{line:?}");
        }
    }

    /// Feeds values of one measurement and shows what they become: numbers, 'texts', - for absent, ! for invalid.
    fn check(unit: bool, values: &[Option<&str>], expect: &str) {
        let mut kinds = Kinds::new([unit].into_iter());
        let shown = values.iter().map(|&text| {
            let line = Match {
                sensor: "x",
                values: vec![text],
            };
            kinds.learn(&line);
            let (values, quality, bad) = kinds.values(&line);
            assert_eq!(quality == Quality::Invalid, bad == 1);
            match &values[..] {
                [Value::Absent] => "-".to_owned(),
                [Value::Number(number)] if number.is_nan() => "!".to_owned(),
                [Value::Number(number)] => number.to_string(),
                [Value::Text(text)] => format!("'{text}'"),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expect, "{values:?}");
    }

    #[test]
    fn the_first_value_decides_the_type_and_it_stays() {
        check(
            false,
            &[Some("1"), Some("-2.5e1"), Some("3"), None, Some("ERR"), Some("4")],
            "1 -25 3 - ! 4",
        );
        check(
            false,
            &[Some("open"), Some("7"), None, Some("nan")],
            "'open' '7' - 'nan'",
        );
        check(false, &[None, Some("open"), Some("1")], "- 'open' '1'");
        check(false, &[Some("nan"), Some("inf"), Some("1")], "! ! 1");
        check(true, &[Some("ERR"), Some("1"), Some("1e999")], "! 1 !");
    }
}
