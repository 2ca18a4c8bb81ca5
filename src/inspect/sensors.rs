//! What sensors are at a place of the log, and what of them an output has.
//!
//! Owns the definitions as the rows bring them. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::queue::fold::State;
use crate::queue::types::{Entry, OutputNo, Row};
use crate::reading::{Epoch, SensorDef, SensorNo};

/// Definitions by number.
#[derive(Debug, Default)]
pub struct Sensors {
    known: BTreeMap<SensorNo, Arc<SensorDef>>,
}

impl Sensors {
    /// Takes note of what a row defines.
    pub fn learn(&mut self, row: &Row) {
        for entry in &row.entries {
            if let Entry::Define { sensor, def } = entry {
                self.known.insert(*sensor, def.clone());
            }
        }
    }

    /// What a sensor is here.
    #[must_use]
    pub fn get(&self, sensor: SensorNo) -> Option<&Arc<SensorDef>> {
        self.known.get(&sensor)
    }

    /// Its name; one whose definition is lost has its number.
    #[must_use]
    pub fn name(&self, sensor: SensorNo) -> String {
        self.get(sensor)
            .map_or_else(|| format!("sensor number {}", sensor.0), |def| def.id.to_string())
    }
}

/// Whether the output has a reading, or will never have it: it is delivered, dead or dropped.
#[must_use]
pub fn is_settled(state: &State, sensor: SensorNo, epoch: Epoch, sequence: u64) -> bool {
    let order = |wanted: Epoch| state.epochs.iter().position(|known| *known == wanted);
    let at = state
        .sensors
        .get(sensor.index())
        .and_then(|known| known.outputs.first());
    match at.and_then(|at| at.released) {
        Some((released, through)) if released == epoch => sequence <= through,
        Some((released, _)) => order(epoch) < order(released),
        None => false,
    }
}

/// Output 0: there is no other yet.
pub const OUTPUT: OutputNo = OutputNo(0);
