//! A node's sensor, for the tests of this crate and of the agent.

use edgespool_node::{Fault, Measurement, Measurements, Sensor, Values};

/// A sensor of one measurement whose readings are recorded by the test: it never has one itself.
#[derive(Clone, Debug)]
pub(crate) struct Thermometer(pub(crate) &'static str);

impl Sensor for Thermometer {
    fn id(&self) -> &str {
        self.0
    }

    fn measurements(&self) -> Measurements<'_> {
        Measurements::from_slice(&[Measurement {
            name: "temperature",
            unit: Some("C"),
        }])
        .unwrap()
    }

    fn period_ms(&self) -> u32 {
        0
    }

    fn sample(&mut self) -> Result<Values<'_>, Fault> {
        Err(Fault::NotReady)
    }
}
