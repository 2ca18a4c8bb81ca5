//! The sensors of one node: their numbers, and their values as ours.
//!
//! Promises that a sensor is registered again only when the node describes it otherwise or the type of a measurement has
//! just become known (the wire names no types: the first value decides, and every value keeps its own). Must not know
//! positions or acknowledgements.

use std::collections::HashMap;

use edgespool_wire::{Data, Reading as WireReading, Value as WireValue};

use crate::reading::{Quality, SensorNo, Value, ValueKind, Values};
use crate::source::{Quantity, Refused};

/// Gives numbers to sensors: the catalog, for one node.
pub(super) type Register<'r> = &'r mut dyn FnMut(&str, &[Quantity<'_>]) -> Result<SensorNo, Refused>;

#[derive(Debug)]
struct Known {
    number: SensorNo,
    measurements: Vec<Described>,
}

#[derive(Debug, PartialEq, Eq, Clone)]
struct Described {
    name: Box<str>,
    unit: Option<Box<str>>,
    kind: Option<ValueKind>,
}

/// What is known of a node's sensors. Bounded by the catalog: what it refuses is not kept.
#[derive(Debug, Default)]
pub(super) struct Sensors(HashMap<Box<str>, Known>);

/// How a frame's description compares with what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Description {
    /// It says nothing new.
    Known(SensorNo),
    /// It is a new sensor, or a type has become known.
    New,
    /// The names or units are others than before.
    Changed,
}

impl Sensors {
    /// Compares.
    #[must_use]
    pub(super) fn compare(&self, data: &Data<'_>) -> Description {
        let Some(known) = self.0.get(data.sensor) else {
            return Description::New;
        };
        let same = known.measurements.len() == data.measurements.len()
            && known
                .measurements
                .iter()
                .zip(&data.measurements)
                .all(|(known, described)| {
                    &*known.name == described.name && known.unit.as_deref() == described.unit
                });
        if !same {
            return Description::Changed;
        }
        let undecided = |index: usize| {
            known
                .measurements
                .get(index)
                .is_some_and(|known| known.kind.is_none())
        };
        let learns =
            (0..known.measurements.len()).any(|index| undecided(index) && kind(data, index).is_some());
        if learns {
            Description::New
        } else {
            Description::Known(known.number)
        }
    }

    /// Registers the sensor of a frame.
    ///
    /// # Errors
    /// As the catalog's.
    pub(super) fn register(&mut self, data: &Data<'_>, register: Register<'_>) -> Result<SensorNo, Refused> {
        let describe = |(index, described): (usize, &edgespool_wire::Measurement<'_>)| Described {
            name: described.name.into(),
            unit: described.unit.map(Box::from),
            kind: kind(data, index),
        };
        let measurements: Vec<Described> = data.measurements.iter().enumerate().map(describe).collect();
        let quantity = |described: &Described| described.kind.unwrap_or(ValueKind::Number);
        let quantities: Vec<_> = measurements
            .iter()
            .map(|m| Quantity {
                name: Some(&m.name),
                unit: m.unit.as_deref(),
                kind: quantity(m),
            })
            .collect();
        let number = register(data.sensor, &quantities)?;
        drop(quantities);
        self.0.insert(data.sensor.into(), Known { number, measurements });
        Ok(number)
    }
}

/// The type of the first value of a measurement.
fn kind(data: &Data<'_>, index: usize) -> Option<ValueKind> {
    data.readings
        .iter()
        .find_map(|reading| value(reading.values.get(index)?).kind())
}

/// The values of a reading, and what they are worth.
#[must_use]
pub(super) fn values(reading: &WireReading<'_>) -> (Values, Quality) {
    let values: Values = match &*reading.values {
        [one] => Values::One(value(one)),
        many => Values::Many(many.iter().map(value).collect()),
    };
    let is_bad = |value: &Value| matches!(value, Value::Number(number) if !number.is_finite());
    let quality = if values.as_slice().iter().any(is_bad) {
        Quality::Invalid
    } else {
        Quality::Good
    };
    (values, quality)
}

fn value(value: &WireValue<'_>) -> Value {
    match *value {
        WireValue::Absent => Value::Absent,
        WireValue::Number(number) => Value::Number(number),
        WireValue::Bool(is) => Value::Boolean(is),
        WireValue::Text(text) => Value::Text(text.into()),
        WireValue::Bytes(bytes) => Value::Bytes(bytes.into()),
    }
}
