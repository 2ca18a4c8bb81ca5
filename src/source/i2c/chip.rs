//! Chips: one small trait, one file a chip.
//!
//! Promises that a driver holds no bus: it is lent one for each call, so that several chips share it and a new one can
//! take its place. Must not know threads, schedules or names of sensors.

use std::time::Duration;

use embedded_hal::i2c::I2c;

use super::lm75::{Lm75, Pct2075};
use super::tmp102::Tmp102;
use crate::reading::{Quality, ValueKind};
use crate::source::Quantity;

/// Chips that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TMP102 and TMP112: steps of a sixteenth of a degree.
    Tmp102,
    /// LM75 and its many likes: steps of half a degree.
    Lm75,
    /// PCT2075, LM75B and the like: steps of an eighth of a degree.
    Pct2075,
}

impl Kind {
    /// The driver of the chip at an address.
    #[must_use]
    pub fn driver<B: I2c + ?Sized>(self, address: u8) -> Box<dyn Chip<B>> {
        match self {
            Self::Tmp102 => Box::new(Tmp102 { address }),
            Self::Lm75 => Box::new(Lm75 { address }),
            Self::Pct2075 => Box::new(Pct2075 { address }),
        }
    }
}

/// What a chip gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The value, in the chip's unit.
    pub value: f64,
    /// What it is worth.
    pub quality: Quality,
}

/// A chip on the bus that it is lent.
pub trait Chip<B: I2c + ?Sized>: Send {
    /// What it measures, under another name if one is given.
    fn quantity<'a>(&self, name: Option<&'a str>) -> Quantity<'a>;

    /// Brings it into the state that [`Chip::read`] relies on, and says how long it then takes until it has measured.
    ///
    /// # Errors
    /// When the bus fails.
    fn set_up(&mut self, bus: &mut B) -> Result<Duration, B::Error>;

    /// Reads it once.
    ///
    /// # Errors
    /// When the bus fails.
    fn read(&mut self, bus: &mut B) -> Result<Sample, B::Error>;
}

/// A temperature in degrees Celsius.
pub(super) fn celsius(name: Option<&str>) -> Quantity<'_> {
    Quantity {
        name: Some(name.unwrap_or("temperature")),
        unit: Some("C"),
        kind: ValueKind::Number,
    }
}
