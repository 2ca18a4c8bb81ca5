//! TMP102 and TMP112, through the crate tmp1x2.
//!
//! Set up as they are after power-on: continuous, four conversions a second, twelve bits. Writing that also undoes what
//! another program may have left (shutdown, the extended mode, which the driver reads rightly all the same), and gives a
//! TMP105, which starts with nine bits, its twelve. Until the first conversion a chip shows 0 °C: hence the time to settle.

use std::time::Duration;

use embedded_hal::i2c::I2c;
use tmp1x2::{ConversionRate, Error, SlaveAddr, Tmp1x2};

use super::chip::{Chip, Sample, celsius};
use crate::reading::Quality;
use crate::source::Quantity;

/// A conversion takes 35 ms at most.
const CONVERSION: Duration = Duration::from_millis(40);

/// The chip at an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tmp102 {
    /// 0x48 to 0x4b.
    pub(super) address: u8,
}

impl Tmp102 {
    fn address(self) -> SlaveAddr {
        SlaveAddr::Alternative(self.address & 2 != 0, self.address & 1 != 0)
    }
}

fn bus_error<E>(error: Error<E>) -> E {
    let Error::I2C(error) = error;
    error
}

impl<B: I2c + ?Sized> Chip<B> for Tmp102 {
    fn quantity<'a>(&self, name: Option<&'a str>) -> Quantity<'a> {
        celsius(name)
    }

    fn set_up(&mut self, bus: &mut B) -> Result<Duration, B::Error> {
        Tmp1x2::new(bus, self.address())
            .set_conversion_rate(ConversionRate::_4Hz)
            .map_err(bus_error)?;
        Ok(CONVERSION)
    }

    fn read(&mut self, bus: &mut B) -> Result<Sample, B::Error> {
        let celsius = Tmp1x2::new(bus, self.address())
            .read_temperature()
            .map_err(bus_error)?;
        Ok(Sample {
            value: f64::from(celsius),
            quality: Quality::Good,
        })
    }
}
