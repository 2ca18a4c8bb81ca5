//! A thermometer that walks: the sensor of the demo's nodes.
//!
//! Promises temperatures that move in small steps between bounds, and that no two readings of 10,000 in a row are equal:
//! the last four of six decimals count them. So a reading can be found again by its value alone. Pure.

use edgespool_node::{Fault, Measurement, Measurements, Sensor, Values};

/// How often it is read, in milliseconds.
pub const PERIOD_MS: u32 = 100;

/// In hundredths of a degree.
const LOWEST: i64 = 1500;
const HIGHEST: i64 = 2900;
const STEP: i64 = 12;

/// One sensor.
#[derive(Debug, Clone)]
pub struct Thermometer {
    id: String,
    hundredths: i64,
    readings: i64,
    random: u64,
    last: f64,
}

impl Thermometer {
    /// With a name, and a seed for its walk.
    #[must_use]
    pub fn new(id: String, seed: u64) -> Self {
        Self {
            id,
            hundredths: 2100,
            readings: 0,
            random: seed | 1,
            last: f64::NAN,
        }
    }

    /// The value of the last sample.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.last
    }

    /// -1, 0 or 1 times a step of up to [`STEP`].
    fn step(&mut self) -> i64 {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        i64::try_from((self.random >> 32) % 25).unwrap_or(0) - STEP
    }
}

impl Sensor for Thermometer {
    fn id(&self) -> &str {
        &self.id
    }

    fn measurements(&self) -> Measurements<'_> {
        let temperature = Measurement {
            name: "temperature",
            unit: Some("C"),
        };
        Measurements::from_slice(&[temperature]).unwrap_or_default()
    }

    fn period_ms(&self) -> u32 {
        PERIOD_MS
    }

    fn sample(&mut self) -> Result<Values<'_>, Fault> {
        self.hundredths = (self.hundredths + self.step()).clamp(LOWEST, HIGHEST);
        self.readings = (self.readings + 1) % 10_000;
        let millionths = self.hundredths * 10_000 + self.readings;
        // Below 2^53: exact.
        #[expect(clippy::cast_precision_loss, reason = "eight digits")]
        let value = millionths as f64 / 1_000_000.0;
        self.last = value;
        Values::from_slice(&[value.into()]).map_err(|_| Fault::Garbled)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ten_thousand_readings_differ_and_stay_in_bounds() {
        let mut sensor = Thermometer::new("a".into(), 7);
        let mut seen = BTreeSet::new();
        let mut before = 21.0;
        for _ in 0..10_000 {
            assert_eq!(sensor.sample().unwrap().len(), 1);
            let value = sensor.last();
            assert!((15.0..=29.01).contains(&value), "{value}");
            assert!((value - before).abs() < 0.14, "{before} to {value}");
            before = value;
            assert!(seen.insert(value.to_bits()), "{value} twice");
        }
        assert!(seen.len() == 10_000);
    }
}
