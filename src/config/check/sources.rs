//! `[[source]]`: each by itself, and what two of them cannot share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::super::file::Section;
use super::super::model::{Mqtt, Sensor, Simulated, Source};
use super::super::problem::{Report, quoted};
use super::{bounds, i2c, mqtt, serial, sysfs};
use crate::reading::SensorId;

/// What the sources are and what is known of them beyond that.
pub(super) struct Sources {
    /// Those in which nothing is wrong.
    pub(super) meant: Vec<Source>,
    /// The sensors that the file names, with what they measure.
    pub(super) declared: BTreeMap<SensorId, Vec<String>>,
    /// Whether sensors may come that the file does not name; or it would, were all sources right.
    pub(super) open: bool,
    /// What sensors that the file does not name may measure, if that is known.
    pub(super) measured: Option<BTreeSet<String>>,
}

pub(super) fn check(file: &Section, report: &mut Report<'_>) -> Sources {
    let mut sources = Sources {
        meant: Vec::new(),
        declared: BTreeMap::new(),
        open: false,
        measured: Some(BTreeSet::new()),
    };
    let mut taken = Taken::default();
    let mut simulated = 1;
    let all = file.kinds("source");
    if all.is_empty() && file.lacks("source") {
        report
            .error(0, "source", "there is none")
            .why("without one there is nothing to read")
            .hint("[[source]] kind = \"simulated\" is one for trying things out");
    }
    for kinded in all {
        let section = &kinded.section;
        let itself = |source| (source, vec![section]);
        let right = match kinded.kind {
            Some("serial-frames") => serial::frames(section, report)
                .map(Source::SerialFrames)
                .map(itself),
            Some("serial-text") => serial::text(section, report).map(Source::SerialText).map(itself),
            Some("i2c") => i2c::check(section, report).map(|(i2c, tables)| (Source::I2c(i2c), tables)),
            Some("mqtt") => mqtt::check(section, report)
                .map(|(mqtt, tables)| (Source::Mqtt(sources.numbered(mqtt)), tables)),
            Some("sysfs") => sysfs::check(section, report).map(Source::Sysfs).map(itself),
            Some("simulated") => Some(itself(Source::Simulated(invented(
                section,
                &mut simulated,
                report,
            )))),
            _ => None,
        };
        let complete = match &right {
            Some((Source::I2c(i2c), _)) => i2c.sensors.len() == section.sections("sensor").len(),
            Some((Source::Mqtt(mqtt), _)) => mqtt.topics.len() == section.sections("topic").len(),
            other => other.is_some(),
        };
        if !complete {
            // Whatever is wrong in it has been said; what it would have had must not be missed elsewhere.
            sources.open = true;
            sources.measured = None;
        }
        if let Some((source, tables)) = right {
            taken.take(&source, section, &tables, report);
            sources.add(source, &tables, report);
        }
    }
    sources
}

fn invented(section: &Section, next: &mut u32, report: &mut Report<'_>) -> Simulated {
    let sensors = bounds::integer(Some(section), "sensors", 4, &bounds::SIMULATED_SENSORS, report);
    let default = Duration::from_millis(100);
    let every = bounds::duration(Some(section), "every", default, &bounds::EVERY_SIMULATED, report);
    let first = *next;
    *next = next.saturating_add(sensors);
    Simulated {
        first,
        sensors,
        every,
    }
}

impl Sources {
    /// The second source with a broker needs another session.
    fn numbered(&self, mqtt: Mqtt) -> Mqtt {
        let same = |other: &&Source| matches!(other, Source::Mqtt(other) if other.broker == mqtt.broker);
        let before = self.meant.iter().filter(same).count();
        Mqtt {
            number: u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1),
            ..mqtt
        }
    }

    fn add(&mut self, source: Source, tables: &[&Section], report: &mut Report<'_>) {
        let measurements = match &source {
            Source::SerialText(text) => text.measurements.clone(),
            Source::Mqtt(mqtt) => mqtt::measurements(mqtt),
            _ => vec![i2c::MEASUREMENT.to_owned()],
        };
        match source.sensors() {
            Some(ids) => {
                for (index, id) in ids.into_iter().enumerate() {
                    let (at, key) = id_place(tables, index);
                    if self.declared.insert(id.clone(), measurements.clone()).is_some() {
                        report
                            .error(
                                at,
                                &key,
                                format!("there is another sensor called {}", quoted(id.as_str())),
                            )
                            .why("their readings could not be told apart");
                    }
                }
            }
            None => {
                self.open = true;
                match (&source, &mut self.measured) {
                    (Source::SerialText(_) | Source::Mqtt(_), Some(known)) => known.extend(measurements),
                    _ => self.measured = None,
                }
            }
        }
        self.meant.push(source);
    }

    /// What a sensor measures, if that is known.
    pub(super) fn measurements(&self, sensor: &SensorId) -> Option<Vec<String>> {
        match self.declared.get(sensor) {
            Some(names) => Some(names.clone()),
            None => {
                let known = self.measured.as_ref().filter(|names| !names.is_empty())?;
                Some(known.iter().cloned().collect())
            }
        }
    }

    /// The chip that a sensor is.
    pub(super) fn chip(&self, sensor: &SensorId) -> Option<&'static str> {
        self.meant.iter().find_map(|source| match source {
            Source::I2c(i2c) => i2c
                .sensors
                .iter()
                .find(|chip| chip.id == *sensor)
                .map(|chip| chip.chip.name),
            _ => None,
        })
    }

    /// Whether the device file gives the value its name, since the source has none for it.
    pub(super) fn is_named_here(&self, sensor: &SensorId) -> bool {
        self.meant.iter().any(|source| match source {
            Source::I2c(i2c) => i2c.sensors.iter().any(|chip| chip.id == *sensor),
            Source::Sysfs(sysfs) => sysfs.id == *sensor,
            _ => false,
        })
    }

    /// Gives chips the names that `[sensor.ID]` has for their values.
    pub(super) fn name_measurements(&mut self, sensors: &BTreeMap<SensorId, Sensor>) {
        for source in &mut self.meant {
            let Source::I2c(i2c) = source else { continue };
            for chip in &mut i2c.sensors {
                if let Some(known) = sensors.get(&chip.id) {
                    chip.measurement.clone_from(&known.measurement);
                }
            }
        }
    }

    /// Whether all sensors that the file names may be stored.
    pub(super) fn count(&self, max_sensors: u32, file: &Section, report: &mut Report<'_>) {
        let count = self.declared.len();
        if u32::try_from(count).is_ok_and(|count| count <= max_sensors) {
            return;
        }
        let queue = file.section("queue");
        let at = queue
            .and_then(|queue| queue.integer("max-sensors"))
            .map_or(0, |found| found.at);
        report
            .error(
                at,
                "queue.max-sensors",
                format!("the sources have {count} sensors, {max_sensors} are allowed"),
            )
            .hint(format!("max-sensors = {count}, or more"));
    }
}

/// Where a source names its n-th sensor: in a table each, or all in the last one.
fn id_place(tables: &[&Section], index: usize) -> (usize, String) {
    let Some(table) = tables.get(index).or(tables.last()) else {
        return (0, "source".to_owned());
    };
    match table.has("id").then(|| table.text("id")).flatten() {
        Some(id) => (id.at, table.key("id")),
        None => (table.at, table.path.clone()),
    }
}

/// What is used already, and by whom.
#[derive(Default)]
struct Taken {
    ports: BTreeMap<PathBuf, String>,
    addresses: BTreeMap<(PathBuf, u8), String>,
}

impl Taken {
    fn take(&mut self, source: &Source, section: &Section, tables: &[&Section], report: &mut Report<'_>) {
        let port = match source {
            Source::SerialFrames(frames) => &frames.port,
            Source::SerialText(text) => &text.port,
            Source::I2c(i2c) => {
                for (sensor, inner) in i2c.sensors.iter().zip(tables) {
                    let place = (i2c.bus.clone(), sensor.address);
                    if let Some(other) = self.addresses.get(&place) {
                        let at = inner.integer("address").map_or(inner.at, |found| found.at);
                        let problem = format!(
                            "{:#04x} is the address of {other} on the same bus",
                            sensor.address
                        );
                        report
                            .error(at, &inner.key("address"), problem)
                            .why("both would answer at once");
                    } else {
                        self.addresses.insert(place, inner.path.clone());
                    }
                }
                return;
            }
            Source::Mqtt(_) | Source::Sysfs(_) | Source::Simulated(_) => return,
        };
        if let Some(other) = self.ports.get(port) {
            let at = section.text("port").map_or(section.at, |found| found.at);
            report
                .error(at, &section.key("port"), format!("{other} has this port already"))
                .why("each would get only some of the bytes");
        } else {
            self.ports.insert(port.clone(), section.path.clone());
        }
    }
}
