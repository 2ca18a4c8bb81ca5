//! The vocabulary: what a reading is, for everybody.
//!
//! Owns the types that sources make, the queue keeps and formats write. Promises that an identifier which exists is
//! valid. Must not know where readings come from, how they are stored or where they go, and reads no clock.

use std::fmt;
use std::sync::Arc;

/// The most bytes that a sensor ID may have (contract "Names").
pub const MAX_SENSOR_ID: usize = 128;

/// A sensor's name: 1 to 128 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorId(Arc<str>);

/// Why a text is not a sensor ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SensorIdError {
    /// The text has no bytes.
    #[error("a sensor ID needs at least one character")]
    Empty,
    /// The text has more than [`MAX_SENSOR_ID`] bytes.
    #[error("a sensor ID has at most {MAX_SENSOR_ID} bytes, this one has {0}")]
    TooLong(usize),
    /// The text holds a control character at that byte.
    #[error("a sensor ID has no control characters, this one has one at byte {0}")]
    Control(usize),
}

impl SensorId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds a control character.
    pub fn new(text: &str) -> Result<Self, SensorIdError> {
        if text.is_empty() {
            return Err(SensorIdError::Empty);
        }
        if text.len() > MAX_SENSOR_ID {
            return Err(SensorIdError::TooLong(text.len()));
        }
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(SensorIdError::Control(at));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for SensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sensor's number in one queue: dense from 0, given at the first registration, the same over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorNo(pub u32);

impl SensorNo {
    /// The number as an index into tables by sensor.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A lifetime of a queue's sequence numbers (invariant I5): 53 random bits, so that JSON readers keep it exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of a measurement, as far as it is known when the sensor is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ValueKind {
    /// A 64-bit floating-point number.
    Number = 0,
    /// True or false.
    Boolean = 1,
    /// UTF-8 text.
    Text = 2,
    /// Opaque bytes.
    Bytes = 3,
}

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The sensor gave no such value at this moment.
    Absent,
    /// A number; comes back from the queue bit for bit, NaN payloads included.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// UTF-8 text.
    Text(Box<str>),
    /// Opaque bytes.
    Bytes(Box<[u8]>),
}

impl Value {
    /// The type of this value; `None` for an absent one.
    #[must_use]
    pub fn kind(&self) -> Option<ValueKind> {
        match self {
            Self::Absent => None,
            Self::Number(_) => Some(ValueKind::Number),
            Self::Boolean(_) => Some(ValueKind::Boolean),
            Self::Text(_) => Some(ValueKind::Text),
            Self::Bytes(_) => Some(ValueKind::Bytes),
        }
    }
}

/// The values of one moment, in the order of the sensor's measurements. One value needs no allocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// A sensor with one measurement.
    One(Value),
    /// A sensor with several.
    Many(Box<[Value]>),
}

impl Values {
    /// The values as a slice.
    #[must_use]
    pub fn as_slice(&self) -> &[Value] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl From<Vec<Value>> for Values {
    fn from(mut values: Vec<Value>) -> Self {
        match values.len() {
            1 => Self::One(values.remove(0)),
            _ => Self::Many(values.into()),
        }
    }
}

/// One quantity that a sensor measures.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Measurement {
    /// The field's name in records; never one of the record's own names.
    pub name: Box<str>,
    /// The type that the source declares.
    pub kind: ValueKind,
    /// The unit, if one is known.
    pub unit: Option<Box<str>>,
}

/// What is known of a sensor beside its readings. Two definitions that are equal need no new entry in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SensorDef {
    /// The name.
    pub id: SensorId,
    /// The measurements, in the order in which records show them; at least one.
    pub measurements: Vec<Measurement>,
    /// Tags, sorted by name; the device's and the sensor's own.
    pub tags: Vec<(Box<str>, Box<str>)>,
}

/// What is known of a value's worth. Everything but `Good` is written into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Quality {
    /// Nothing is wrong with it.
    #[default]
    Good = 0,
    /// Not a number that could be measured (NaN, infinity).
    Invalid = 1,
    /// Outside the configured range.
    OutOfRange = 2,
    /// The value that the chip shows before its first conversion.
    PowerOnValue = 3,
    /// The same for suspiciously long.
    Stuck = 4,
    /// Changed faster than the quantity can.
    RateOfChange = 5,
}

impl Quality {
    /// All qualities, by their code.
    pub const ALL: [Self; 6] = [
        Self::Good,
        Self::Invalid,
        Self::OutOfRange,
        Self::PowerOnValue,
        Self::Stuck,
        Self::RateOfChange,
    ];

    /// The name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Invalid => "invalid",
            Self::OutOfRange => "out-of-range",
            Self::PowerOnValue => "power-on-value",
            Self::Stuck => "stuck",
            Self::RateOfChange => "rate-of-change",
        }
    }
}

/// What is known of a recorded time. Everything but `Synchronized` is written into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum TimeQuality {
    /// Taken by a clock that the kernel called synchronized.
    #[default]
    Synchronized = 0,
    /// Taken before the clock was synchronized.
    Unsynced = 1,
    /// Worked out from other times.
    Estimated = 2,
    /// Put right after the clock was synchronized.
    Corrected = 3,
}

impl TimeQuality {
    /// All time qualities, by their code.
    pub const ALL: [Self; 4] = [
        Self::Synchronized,
        Self::Unsynced,
        Self::Estimated,
        Self::Corrected,
    ];

    /// The name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Synchronized => "synchronized",
            Self::Unsynced => "unsynced",
            Self::Estimated => "estimated",
            Self::Corrected => "corrected",
        }
    }
}

/// One moment on both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970 UTC, on the wall clock.
    pub wall: i64,
    /// Nanoseconds on the monotonic clock of this boot.
    pub mono: u64,
    /// What the kernel says of the wall clock.
    pub quality: TimeQuality,
}

/// One reading, as a source hands it in: all values of one sensor at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which sensor, by the number it was registered under.
    pub sensor: SensorNo,
    /// When: by the gateway's clock, or by the payload's own time with the monotonic time of its arrival.
    pub time: Stamp,
    /// What is known of the values.
    pub quality: Quality,
    /// As many values as the sensor has measurements.
    pub values: Values,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensor_ids_are_checked() {
        let long = "x".repeat(129);
        for (text, expect) in [
            ("shed-air", Ok(())),
            ("Fühler 7", Ok(())),
            ("", Err(SensorIdError::Empty)),
            (&long, Err(SensorIdError::TooLong(129))),
            ("a\nb", Err(SensorIdError::Control(1))),
            ("a\u{85}", Err(SensorIdError::Control(1))),
        ] {
            assert_eq!(SensorId::new(text).map(|_| ()), expect, "{text:?}");
        }
    }
}
