//! Which sensors exist, under which numbers.
//!
//! Owns the map from sensor ID to number and definition, the bound on their count, and who reads which sensor. Promises
//! that numbers are dense and never change. Pure. Must not know sources or the queue: it is filled from the queue at
//! start, and what is new is handed to the next commit.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event;
use crate::reading::{SensorDef, SensorId, SensorIdError, SensorNo};

/// Why a sensor is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// `max-sensors` are known already.
    #[error(
        "there are {max} sensors already, so {sensor} is refused (hint: raise queue.max-sensors if it is real)"
    )]
    TooMany {
        /// The sensor that was refused.
        sensor: SensorId,
        /// The bound.
        max: usize,
    },
    /// Another source reads a sensor of that name.
    #[error("{sensor} is already read by {owner}")]
    Owned {
        /// The sensor that was refused.
        sensor: SensorId,
        /// Who reads it.
        owner: Arc<str>,
    },
    /// The name is the agent's own.
    #[error(
        "a sensor cannot be called {}: the agent keeps its own events under that name",
        event::SENSOR
    )]
    Reserved,
    /// The definition is too large for a row of the queue, or has no measurement.
    #[error("the definition of {sensor} has {bytes} bytes of names, units and tags; at most {max} fit")]
    TooLarge {
        /// The sensor that was refused.
        sensor: SensorId,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// The most bytes that names, units and tags of one sensor may have together: a Define must fit into one row.
pub const MAX_DEFINITION: usize = 1400;

#[derive(Debug)]
struct Entry {
    /// `None` for a number whose sensor is not known any more: nobody else gets it.
    def: Option<Arc<SensorDef>>,
    owner: Option<Arc<str>>,
}

/// All sensors of a queue.
#[derive(Debug)]
pub struct Catalog {
    numbers: HashMap<SensorId, SensorNo>,
    entries: Vec<Entry>,
    fresh: Vec<SensorNo>,
    max: usize,
}

impl Catalog {
    /// Starts with the sensors that a queue knows, in the order of their numbers; `None` for one whose definition is lost.
    #[must_use]
    pub fn new(known: Vec<Option<Arc<SensorDef>>>, max: usize) -> Self {
        let numbers = known
            .iter()
            .zip(0..)
            .filter_map(|(def, number)| Some((def.as_ref()?.id.clone(), SensorNo(number))))
            .collect();
        let entries = known.into_iter().map(|def| Entry { def, owner: None }).collect();
        Self {
            numbers,
            entries,
            fresh: Vec::new(),
            max,
        }
    }

    /// Gives the number of a sensor, a new one if needed. A changed definition replaces the old from here on.
    ///
    /// # Errors
    /// When there are too many sensors, when another owner has this one, or when the definition is too large.
    pub fn register(&mut self, owner: &Arc<str>, def: SensorDef) -> Result<SensorNo, RegisterError> {
        if event::is_events(&def) {
            return Err(RegisterError::Reserved);
        }
        let bytes = size(&def);
        if bytes > MAX_DEFINITION || def.measurements.is_empty() {
            return Err(RegisterError::TooLarge {
                sensor: def.id,
                bytes,
                max: MAX_DEFINITION,
            });
        }
        if let Some(&number) = self.numbers.get(&def.id) {
            return self.renew(number, owner, def);
        }
        if self.entries.len().saturating_sub(self.own()) >= self.max {
            return Err(RegisterError::TooMany {
                sensor: def.id,
                max: self.max,
            });
        }
        Ok(self.add(def, Some(owner.clone())))
    }

    /// Gives the number of the sensor that events are readings of; it does not count against the bound.
    ///
    /// # Errors
    /// As [`event::definition`].
    pub fn register_events(&mut self) -> Result<SensorNo, SensorIdError> {
        let def = event::definition()?;
        let Some(&number) = self.numbers.get(&def.id) else {
            return Ok(self.add(def, None));
        };
        if let Some(entry) = self.entries.get_mut(number.index())
            && entry.def.as_deref() != Some(&def)
        {
            entry.def = Some(Arc::new(def));
            self.fresh.push(number);
        }
        Ok(number)
    }

    fn add(&mut self, def: SensorDef, owner: Option<Arc<str>>) -> SensorNo {
        let number = SensorNo(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        self.numbers.insert(def.id.clone(), number);
        let def = Some(Arc::new(def));
        self.entries.push(Entry { def, owner });
        self.fresh.push(number);
        number
    }

    /// Sensors that are the agent's own.
    fn own(&self) -> usize {
        usize::from(
            self.entries
                .iter()
                .any(|entry| entry.def.as_ref().is_some_and(|def| event::is_events(def))),
        )
    }

    fn renew(
        &mut self,
        number: SensorNo,
        owner: &Arc<str>,
        def: SensorDef,
    ) -> Result<SensorNo, RegisterError> {
        let Some(entry) = self.entries.get_mut(number.index()) else {
            return Ok(number);
        };
        match &entry.owner {
            Some(other) if other != owner => {
                return Err(RegisterError::Owned {
                    sensor: def.id,
                    owner: other.clone(),
                });
            }
            _ => entry.owner = Some(owner.clone()),
        }
        if entry.def.as_deref() != Some(&def) {
            entry.def = Some(Arc::new(def));
            self.fresh.push(number);
        }
        Ok(number)
    }

    /// The sensors of this owner may have another from here on: it hands in nothing more.
    pub fn disown(&mut self, owner: &str) {
        let owned = self
            .entries
            .iter_mut()
            .filter(|entry| entry.owner.as_deref() == Some(owner));
        owned.for_each(|entry| entry.owner = None);
    }

    /// A sensor's number.
    #[must_use]
    pub fn number(&self, sensor: &SensorId) -> Option<SensorNo> {
        self.numbers.get(sensor).copied()
    }

    /// A sensor's definition.
    #[must_use]
    pub fn get(&self, number: SensorNo) -> Option<&Arc<SensorDef>> {
        self.entries.get(number.index())?.def.as_ref()
    }

    /// The definitions that are new or changed since the last call, to be stored before the readings that use them.
    pub fn take_fresh(&mut self) -> Vec<(SensorNo, Arc<SensorDef>)> {
        let fresh = std::mem::take(&mut self.fresh);
        fresh
            .into_iter()
            .filter_map(|number| Some((number, self.get(number)?.clone())))
            .collect()
    }
}

fn size(def: &SensorDef) -> usize {
    let measurements: usize = def
        .measurements
        .iter()
        .map(|m| m.name.len() + m.unit.as_ref().map_or(0, |unit| unit.len()) + 6)
        .sum();
    let tags: usize = def
        .tags
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    def.id.as_str().len() + measurements + tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Measurement, ValueKind};

    fn def(id: &str, unit: &str) -> SensorDef {
        let temperature = Measurement {
            name: "temperature".into(),
            kind: ValueKind::Number,
            unit: Some(unit.into()),
        };
        SensorDef {
            id: SensorId::new(id).unwrap(),
            measurements: vec![temperature],
            tags: vec![],
        }
    }

    #[test]
    fn numbers_are_dense_and_stay() {
        let (a, mut catalog) = (
            Arc::from("a"),
            Catalog::new(vec![Some(Arc::new(def("old", "C")))], 3),
        );
        assert_eq!(catalog.register(&a, def("new", "C")), Ok(SensorNo(1)));
        assert_eq!(catalog.register(&a, def("old", "C")), Ok(SensorNo(0)));
        assert_eq!(catalog.register(&a, def("new", "C")), Ok(SensorNo(1)));
        let fresh: Vec<_> = catalog
            .take_fresh()
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(fresh, [SensorNo(1)], "known and unchanged sensors need no entry");
        assert_eq!(catalog.register(&a, def("old", "F")), Ok(SensorNo(0)));
        assert_eq!(catalog.take_fresh().len(), 1, "a changed unit needs one");
    }

    #[test]
    fn the_number_of_a_lost_sensor_goes_to_nobody() {
        let known = vec![None, Some(Arc::new(def("old", "C")))];
        let (a, mut catalog) = (Arc::from("a"), Catalog::new(known, 9));
        assert_eq!(catalog.register(&a, def("new", "C")), Ok(SensorNo(2)));
        assert_eq!(catalog.register(&a, def("old", "C")), Ok(SensorNo(1)));
        assert_eq!(catalog.get(SensorNo(0)), None);
    }

    #[test]
    fn noise_cannot_invent_sensors_for_ever_and_nobody_takes_anothers() {
        let (a, b, mut catalog) = (Arc::from("a"), Arc::from("b"), Catalog::new(vec![], 1));
        assert_eq!(catalog.register(&a, def("x", "C")), Ok(SensorNo(0)));
        assert!(matches!(
            catalog.register(&a, def("y", "C")),
            Err(RegisterError::TooMany { max: 1, .. })
        ));
        assert!(matches!(
            catalog.register(&b, def("x", "C")),
            Err(RegisterError::Owned { .. })
        ));
        assert_eq!(
            catalog.register(&a, def("$events", "C")),
            Err(RegisterError::Reserved)
        );
        let events = catalog.register_events().unwrap();
        assert_eq!(
            (events, catalog.register_events()),
            (SensorNo(1), Ok(SensorNo(1)))
        );
        assert_eq!(catalog.take_fresh().len(), 2, "x and the events");
        let huge = def("x", &"u".repeat(MAX_DEFINITION));
        assert!(matches!(
            catalog.register(&a, huge),
            Err(RegisterError::TooLarge { .. })
        ));
    }
}
