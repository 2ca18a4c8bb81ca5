//! The first or last readings of a sensor, for people: `queue peek`.
//!
//! Owns the choice and the lines. Promises to hold only what is shown. Pure but for the walk.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use serde::Serialize;

use super::sensors::is_settled;
use super::{Directory, Seen, Sensors, when};
use crate::format::number;
use crate::queue::store::StoreError;
use crate::queue::types::{RowNo, Run};
use crate::reading::{Epoch, Quality, SensorDef, TimeQuality, Value};

/// The most readings that are shown.
pub const MOST: usize = 10_000;

/// Which readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The oldest ones.
    First(usize),
    /// The newest ones.
    Last(usize),
}

/// One reading, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// In which row.
    pub row: RowNo,
    /// In which epoch.
    pub epoch: u64,
    /// Its sequence number.
    pub seq: u64,
    /// When it was taken.
    pub recorded_at: String,
    /// Its values, with names and units.
    pub values: String,
    /// What is known of value and time, where that is not the best.
    pub marks: String,
    /// "queued", or "settled": delivered, dead or dropped.
    pub state: &'static str,
}

/// Looks for the readings of a sensor; `None` when no row has any of that name.
///
/// # Errors
/// When the directory cannot be read.
pub fn peek(directory: &Directory, sensor: &str, end: End) -> Result<Option<Vec<Line>>, StoreError> {
    let state = directory.state()?.unwrap_or_default();
    let (mut names, mut lines) = (Sensors::default(), VecDeque::new());
    let most = match end {
        End::First(most) | End::Last(most) => most.min(MOST),
    };
    let mut is_known = false;
    directory.walk(&mut |seen| {
        let Seen::Row(row) = seen else {
            return ControlFlow::Continue(());
        };
        names.learn(&row);
        for run in &row.runs {
            let Some(def) = names.get(run.sensor).filter(|def| def.id.as_str() == sensor) else {
                continue;
            };
            is_known = true;
            for index in 0..run.len() {
                if lines.len() == most {
                    match end {
                        End::First(_) => return ControlFlow::Break(()),
                        End::Last(_) => drop(lines.pop_front()),
                    }
                }
                let settled = is_settled(&state, run.sensor, row.epoch, run.first + index as u64);
                lines.push_back(line(row.number, row.epoch, run, index, def, settled));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(is_known.then(|| lines.into()))
}

fn line(row: RowNo, epoch: Epoch, run: &Run, index: usize, def: &SensorDef, settled: bool) -> Line {
    let values = def
        .measurements
        .iter()
        .zip(&run.columns)
        .filter_map(|(measurement, column)| {
            let value = shown(&column.at(index))?;
            let unit = measurement
                .unit
                .as_deref()
                .map_or(String::new(), |unit| format!(" {unit}"));
            Some(format!("{} {value}{unit}", measurement.name))
        });
    let (quality, time) = run.marks.at(index);
    let marks = [
        (quality != Quality::Good).then(|| quality.name()),
        (time != TimeQuality::Synchronized).then(|| time.name()),
    ];
    Line {
        row,
        epoch: epoch.0,
        seq: run.first + index as u64,
        recorded_at: when::text(run.wall.get(index).copied().unwrap_or_default()),
        values: values.collect::<Vec<_>>().join(", "),
        marks: marks.into_iter().flatten().collect::<Vec<_>>().join(" "),
        state: if settled { "settled" } else { "queued" },
    }
}

/// A value as text; `None` for one that is absent.
pub(super) fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::Absent => return None,
        Value::Number(value) => {
            let mut out = Vec::new();
            if number::write(&mut out, *value) {
                String::from_utf8_lossy(&out).into_owned()
            } else {
                value.to_string()
            }
        }
        Value::Boolean(value) => value.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(bytes)
        }
    })
}

/// The lines as a table.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let marks = if line.marks.is_empty() {
            String::new()
        } else {
            format!("  {}", line.marks)
        };
        // Control characters of texts would change the terminal.
        let values: String = line
            .values
            .chars()
            .map(|c| {
                if c.is_control() {
                    char::REPLACEMENT_CHARACTER
                } else {
                    c
                }
            })
            .collect();
        out += &format!(
            "{}  seq {}  epoch {}  row {}  {}  {values}{marks}\n",
            line.recorded_at, line.seq, line.epoch, line.row, line.state
        );
    }
    out
}
