//! Events: what happened to the agent and its sensors that is no reading.
//!
//! Owns what an event is, and how it stands in the queue: as a reading of a sensor of the agent's own, `$events`, with its
//! own sequence and lane. It is in no ledger of readings and nobody waits for it. Pure. Must not know where events come
//! from or what a record of one looks like.

use crate::reading::{
    Measurement, Quality, Reading, SensorDef, SensorId, SensorIdError, SensorNo, Stamp, Value, ValueKind,
    Values,
};

/// The sensor that events are readings of. Nobody else may have that name.
pub const SENSOR: &str = "$events";

/// The most bytes of a reason: an event must fit into a row beside a sensor's name.
pub const MAX_REASON: usize = 512;

/// The values of an event, in the order in which they are stored and written.
pub const FIELDS: [(&str, ValueKind); 6] = [
    ("event", ValueKind::Text),
    ("sensorId", ValueKind::Text),
    ("epoch", ValueKind::Number),
    ("from", ValueKind::Number),
    ("through", ValueKind::Number),
    ("reason", ValueKind::Text),
];

/// What kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Readings are missing for good.
    Gap,
    /// A value is beyond its bound.
    Alarm,
    /// Somebody set the clock.
    ClockStep,
    /// A source, or a part of one, does not work.
    SourceFault,
    /// It works again.
    SourceRecovered,
    /// The agent started.
    Started,
    /// The agent was told to stop.
    Stopped,
}

impl Kind {
    /// The name in records and in `status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Alarm => "alarm",
            Self::ClockStep => "clock-step",
            Self::SourceFault => "source-fault",
            Self::SourceRecovered => "source-recovered",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// To which sensor.
    pub sensor: Option<SensorId>,
    /// In which epoch.
    pub epoch: Option<u64>,
    /// To which readings: the first.
    pub from: Option<u64>,
    /// And the last.
    pub through: Option<u64>,
    /// Why, for people; begins with a fixed word where programs may want one.
    pub reason: Option<String>,
}

impl Event {
    /// An event without anything but its kind and a reason.
    #[must_use]
    pub fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            sensor: None,
            epoch: None,
            from: None,
            through: None,
            reason: Some(reason.into()),
        }
    }

    /// The reading that it is stored as. `sensor` is the number of `$events`.
    #[must_use]
    pub fn reading(&self, sensor: SensorNo, time: Stamp) -> Reading {
        let text = |text: &str| Value::Text(text.into());
        // Exact up to 2^53: sequences are counted from 1, and an epoch has 53 bits.
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        let number =
            |number: Option<u64>| number.map_or(Value::Absent, |number| Value::Number(number as f64));
        let values = vec![
            text(self.kind.name()),
            self.sensor
                .as_ref()
                .map_or(Value::Absent, |sensor| text(sensor.as_str())),
            number(self.epoch),
            number(self.from),
            number(self.through),
            self.reason
                .as_ref()
                .map_or(Value::Absent, |reason| text(shortened(reason, MAX_REASON))),
        ];
        Reading {
            sensor,
            time,
            quality: Quality::Good,
            values: Values::from(values),
        }
    }
}

/// At most so many bytes, cut between characters.
pub(crate) fn shortened(reason: &str, most: usize) -> &str {
    let mut end = reason.len().min(most);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

/// The definition of `$events`.
///
/// # Errors
/// Never: the name is a good one.
pub fn definition() -> Result<SensorDef, SensorIdError> {
    let measurement = |(name, kind): (&str, ValueKind)| Measurement {
        name: name.into(),
        kind,
        unit: None,
    };
    Ok(SensorDef {
        id: SensorId::new(SENSOR)?,
        measurements: FIELDS.into_iter().map(measurement).collect(),
        tags: Vec::new(),
    })
}

/// Whether a sensor is the agent's own for events.
#[must_use]
pub fn is_events(def: &SensorDef) -> bool {
    def.id.as_str() == SENSOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::TimeQuality;

    #[test]
    fn an_event_is_a_reading_that_fits_its_definition_and_a_row() {
        let time = Stamp {
            wall: 0,
            mono: 0,
            quality: TimeQuality::Synchronized,
        };
        let event = Event {
            sensor: Some(SensorId::new(&"s".repeat(128)).unwrap()),
            epoch: Some((1 << 53) - 1),
            from: Some(1),
            ..Event::new(Kind::Gap, "å".repeat(1000))
        };
        let reading = event.reading(SensorNo(3), time);
        let values = reading.values.as_slice();
        assert_eq!(values.len(), definition().unwrap().measurements.len());
        assert_eq!(values[0], Value::Text("gap".into()));
        assert_eq!(values[2], Value::Number(9_007_199_254_740_991.0));
        assert_eq!(values[4], Value::Absent);
        let Value::Text(reason) = &values[5] else { panic!() };
        assert_eq!(&**reason, "å".repeat(MAX_REASON / 2));
        assert!(crate::intake::inbox::reading_bytes(&reading) < 1024);
    }
}
