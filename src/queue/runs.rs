//! From readings in order of arrival to runs by sensor, in columns.
//!
//! Owns the tables that one commit fills and the next one reuses: no allocation per reading. Must not know bytes.

use super::types::{Column, Marks, MonoColumn, Run};
use crate::reading::{Quality, Reading, SensorNo, TimeQuality, Value};

/// Collects the readings of one commit.
#[derive(Debug, Default)]
pub struct Runs {
    by_sensor: Vec<Option<Building>>,
    touched: Vec<SensorNo>,
}

#[derive(Debug)]
struct Building {
    run: Run,
    mono: Vec<u64>,
    marks: Vec<(Quality, TimeQuality)>,
}

impl Runs {
    /// Adds a reading. All readings of a sensor in one commit have the same number of values.
    pub fn push(&mut self, reading: Reading) {
        let index = reading.sensor.index();
        if self.by_sensor.len() <= index {
            self.by_sensor.resize_with(index + 1, || None);
        }
        let Some(slot) = self.by_sensor.get_mut(index) else {
            return;
        };
        let building = slot.get_or_insert_with(|| Building::new(reading.sensor));
        if building.run.wall.is_empty() {
            self.touched.push(reading.sensor);
        }
        building.push(reading);
    }

    /// The sensor's definition changed: the number of its columns may, too. Only between commits.
    pub fn forget(&mut self, sensor: SensorNo) {
        if let Some(slot) = self.by_sensor.get_mut(sensor.index()) {
            *slot = None;
        }
    }

    /// True when nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty()
    }

    /// Hands out the runs in the order in which their sensors came, and forgets them. `first` gives each run its sequence.
    pub fn drain(&mut self, mut first: impl FnMut(SensorNo) -> u64, mut each: impl FnMut(&Run)) {
        for sensor in self.touched.drain(..) {
            let Some(Some(building)) = self.by_sensor.get_mut(sensor.index()) else {
                continue;
            };
            building.run.first = first(sensor);
            building.finish();
            each(&building.run);
            building.clear();
        }
    }
}

impl Building {
    fn new(sensor: SensorNo) -> Self {
        let run = Run {
            sensor,
            first: 0,
            wall: Vec::new(),
            mono: MonoColumn::Offset(0),
            marks: Marks::All(Quality::Good, TimeQuality::Synchronized),
            columns: Vec::new(),
            encoded: 0,
        };
        Self {
            run,
            mono: Vec::new(),
            marks: Vec::new(),
        }
    }

    fn push(&mut self, reading: Reading) {
        match reading.values {
            crate::reading::Values::One(value) => self.value(0, value),
            crate::reading::Values::Many(values) => {
                for (index, value) in values.into_vec().into_iter().enumerate() {
                    self.value(index, value);
                }
            }
        }
        self.run.wall.push(reading.time.wall);
        self.mono.push(reading.time.mono);
        self.marks.push((reading.quality, reading.time.quality));
    }

    fn value(&mut self, index: usize, value: Value) {
        if self.run.columns.len() <= index {
            self.run
                .columns
                .resize_with(index + 1, || Column::Numbers(Vec::new()));
        }
        let Some(column) = self.run.columns.get_mut(index) else {
            return;
        };
        match (column, value) {
            (Column::Numbers(numbers), Value::Number(number)) => numbers.push(number),
            (Column::Mixed(values), value) => values.push(value),
            (column @ Column::Numbers(_), value) => {
                let Column::Numbers(numbers) = std::mem::replace(column, Column::Mixed(Vec::new())) else {
                    return;
                };
                let values = numbers.into_iter().map(Value::Number).chain([value]).collect();
                *column = Column::Mixed(values);
            }
        }
    }

    fn finish(&mut self) {
        let offset = |(wall, mono): (&i64, &u64)| wall.wrapping_sub(mono.cast_signed());
        let mut offsets = self.run.wall.iter().zip(&self.mono).map(offset);
        let first = offsets.next().unwrap_or(0);
        self.run.mono = if offsets.all(|other| other == first) && plausible(first) {
            MonoColumn::Offset(first)
        } else {
            MonoColumn::Each(self.mono.iter().map(|nanos| nanos / 1000).collect())
        };
        let mark = self.marks.first().copied().unwrap_or_default();
        self.run.marks = if self.marks.iter().all(|other| *other == mark) {
            Marks::All(mark.0, mark.1)
        } else {
            Marks::Each(self.marks.clone())
        };
    }

    fn clear(&mut self) {
        self.run.wall.clear();
        self.mono.clear();
        self.marks.clear();
        for column in &mut self.run.columns {
            match column {
                Column::Numbers(numbers) => numbers.clear(),
                Column::Mixed(_) => *column = Column::Numbers(Vec::new()),
            }
        }
    }
}

/// An offset that did not overflow.
fn plausible(offset: i64) -> bool {
    offset != i64::MIN && offset != i64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Stamp, Values};

    fn reading(sensor: u32, wall: i64, mono: u64, value: Value) -> Reading {
        let time = Stamp {
            wall,
            mono,
            quality: TimeQuality::Synchronized,
        };
        Reading {
            sensor: SensorNo(sensor),
            time,
            quality: Quality::Good,
            values: Values::One(value),
        }
    }

    fn drained(runs: &mut Runs) -> Vec<Run> {
        let mut out = Vec::new();
        runs.drain(
            |sensor| u64::from(sensor.0) * 100 + 1,
            |run| out.push(run.clone()),
        );
        out
    }

    #[test]
    fn readings_are_sorted_by_sensor_in_their_order_and_tables_are_reused() {
        let mut runs = Runs::default();
        for round in 0..2_i64 {
            for (sensor, wall, value) in [(7, 1000, 1.0), (3, 1001, 2.0), (7, 2000, 3.0)] {
                runs.push(reading(
                    sensor,
                    wall + round,
                    (wall + round - 900).unsigned_abs(),
                    Value::Number(value),
                ));
            }
            let out = drained(&mut runs);
            let view = |run: &Run| {
                (
                    run.sensor.0,
                    run.first,
                    run.wall.clone(),
                    run.columns.clone(),
                    run.mono.clone(),
                )
            };
            assert_eq!(
                out.iter().map(view).collect::<Vec<_>>(),
                [
                    (
                        7,
                        701,
                        vec![1000 + round, 2000 + round],
                        vec![Column::Numbers(vec![1.0, 3.0])],
                        MonoColumn::Offset(900)
                    ),
                    (
                        3,
                        301,
                        vec![1001 + round],
                        vec![Column::Numbers(vec![2.0])],
                        MonoColumn::Offset(900)
                    ),
                ]
            );
            assert!(runs.is_empty());
        }
    }

    #[test]
    fn times_of_the_payloads_own_keep_both_clocks_and_types_may_change() {
        let mut runs = Runs::default();
        runs.push(reading(0, 5_000_000, 1_000_000, Value::Number(1.0)));
        runs.push(reading(0, 6_000_000, 1_500_000, Value::Text("open".into())));
        let out = drained(&mut runs);
        assert_eq!(out[0].mono, MonoColumn::Each(vec![1000, 1500]));
        assert_eq!(
            out[0].columns,
            [Column::Mixed(vec![
                Value::Number(1.0),
                Value::Text("open".into())
            ])]
        );
    }
}
