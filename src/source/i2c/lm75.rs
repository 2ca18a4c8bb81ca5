//! LM75 and its likes, and the finer PCT2075, through the crate lm75.
//!
//! Set up by switching them on: one that another program has shut down would show its last temperature for ever. What
//! lies below the half degree is not defined for a plain LM75 and is left out; a PCT2075 (and LM75B) has eighths.

use std::time::Duration;

use ::lm75::{Error, Lm75 as Driver};
use embedded_hal::i2c::I2c;

use super::chip::{Chip, Sample, celsius};
use crate::reading::Quality;
use crate::source::Quantity;

/// The slowest of the family converts in 300 ms, the finer ones in 100 ms.
const CONVERSION: Duration = Duration::from_millis(320);

/// A chip with half degrees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lm75 {
    /// Its address.
    pub(super) address: u8,
}

/// A chip with eighths of a degree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pct2075 {
    /// Its address.
    pub(super) address: u8,
}

fn bus_error<E>(error: Error<E>) -> E {
    match error {
        Error::I2C(error) => error,
        Error::InvalidInputData => unreachable!("invariant: reading and switching on take no values"),
    }
}

fn sample(celsius: f32) -> Sample {
    Sample {
        value: f64::from(celsius),
        quality: Quality::Good,
    }
}

impl<B: I2c + ?Sized> Chip<B> for Lm75 {
    fn quantity<'a>(&self, name: Option<&'a str>) -> Quantity<'a> {
        celsius(name)
    }

    fn set_up(&mut self, bus: &mut B) -> Result<Duration, B::Error> {
        Driver::new(bus, self.address).enable().map_err(bus_error)?;
        Ok(CONVERSION)
    }

    fn read(&mut self, bus: &mut B) -> Result<Sample, B::Error> {
        Driver::new(bus, self.address)
            .read_temperature()
            .map(sample)
            .map_err(bus_error)
    }
}

impl<B: I2c + ?Sized> Chip<B> for Pct2075 {
    fn quantity<'a>(&self, name: Option<&'a str>) -> Quantity<'a> {
        celsius(name)
    }

    fn set_up(&mut self, bus: &mut B) -> Result<Duration, B::Error> {
        Driver::new_pct2075(bus, self.address)
            .enable()
            .map_err(bus_error)?;
        Ok(CONVERSION)
    }

    fn read(&mut self, bus: &mut B) -> Result<Sample, B::Error> {
        Driver::new_pct2075(bus, self.address)
            .read_temperature()
            .map(sample)
            .map_err(bus_error)
    }
}
