//! `format = "json"`: one record a reading, a flat JSON object.
//!
//! Owns the contract of that object: its fields, their order, what is left out. Fields in order: sensorId, the
//! measurements as declared, unit (of the first), units (of the others), recordedAt, tags, quality, timeQuality. What
//! does not apply is left out, and so are an absent value and its unit. NaN and infinities are null and make the
//! quality "invalid"; bytes are base64. Everything that is the same for a whole ticket is written once. Pure.

use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Format, Record, Routing, millis, number, time};
use crate::queue::types::{Column, Run};
use crate::reading::{Quality, SensorDef, TimeQuality, Value};
use crate::ticket::Ticket;

/// The writer of that format, with its buffers.
#[derive(Debug)]
pub struct Json {
    routing: Routing,
    time: time::Writer,
    /// The record that is being written.
    value: Vec<u8>,
    /// What the ticket's readings have in common.
    common: Common,
}

/// The parts of a record that are the same for every reading of a ticket.
#[derive(Debug, Default)]
struct Common {
    topic: String,
    key: String,
    /// `{"sensorId":"…"`
    head: Vec<u8>,
    /// `,"temperature":` of every measurement.
    names: Vec<Vec<u8>>,
    /// `,"unit":…,"units":{…}` when no value is absent.
    units: Vec<u8>,
    /// `,"tags":{…}`
    tags: Vec<u8>,
}

/// What writing the values found out about them.
#[derive(Default)]
struct Seen {
    absent: bool,
    invalid: bool,
}

impl Json {
    /// A writer for records that go there.
    #[must_use]
    pub fn new(routing: Routing) -> Self {
        Self {
            routing,
            time: time::Writer::default(),
            value: Vec::with_capacity(256),
            common: Common::default(),
        }
    }

    fn prepare(&mut self, def: &SensorDef) {
        let common = &mut self.common;
        common.topic = self.routing.topic(def);
        common.key = self.routing.key(def);
        common.head.clear();
        common.head.extend_from_slice(b"{\"sensorId\":");
        text(&mut common.head, def.id.as_str());
        common.names.resize_with(def.measurements.len(), Vec::new);
        for (name, measurement) in common.names.iter_mut().zip(&def.measurements) {
            name.clear();
            name.push(b',');
            text(name, &measurement.name);
            name.push(b':');
        }
        common.units.clear();
        units(&mut common.units, def, |_| true);
        common.tags.clear();
        object(
            &mut common.tags,
            b",\"tags\":",
            def.tags.iter().map(|(name, value)| (&**name, &**value)),
        );
    }

    fn reading(&mut self, def: &SensorDef, run: &Run, index: usize, millis: i64) {
        let (common, out) = (&self.common, &mut self.value);
        out.clear();
        out.extend_from_slice(&common.head);
        let mut seen = Seen::default();
        for (at, name) in common.names.iter().enumerate() {
            measured(out, name, run.columns.get(at), index, &mut seen);
        }
        if seen.absent {
            units(out, def, |at| is_present(run.columns.get(at), index));
        } else {
            out.extend_from_slice(&common.units);
        }
        out.extend_from_slice(b",\"recordedAt\":\"");
        out.extend_from_slice(self.time.text(millis));
        out.push(b'"');
        out.extend_from_slice(&common.tags);
        let (quality, time_quality) = run.marks.at(index);
        let quality = if seen.invalid { Quality::Invalid } else { quality };
        if quality != Quality::Good {
            out.extend_from_slice(b",\"quality\":");
            text(out, quality.name());
        }
        if time_quality != TimeQuality::Synchronized {
            out.extend_from_slice(b",\"timeQuality\":");
            text(out, time_quality.name());
        }
        out.push(b'}');
    }
}

impl Format for Json {
    fn write(
        &mut self,
        ticket: &Ticket,
        from: usize,
        sink: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> usize {
        self.prepare(&ticket.def);
        let mut done = 0;
        for piece in ticket.spans.iter().flat_map(|span| &span.pieces) {
            let skipped = from.saturating_sub(done).min(piece.len());
            done += skipped;
            for index in piece.from + skipped..piece.to {
                let timestamp_ms = millis(piece.run.wall.get(index).copied().unwrap_or_default());
                self.reading(&ticket.def, &piece.run, index, timestamp_ms);
                let sequence = piece.run.first + index as u64;
                let record = Record {
                    topic: &self.common.topic,
                    key: self.common.key.as_bytes(),
                    value: &self.value,
                    timestamp_ms,
                    first: sequence,
                    last: sequence,
                };
                if sink(&record).is_break() {
                    return done;
                }
                done += 1;
            }
        }
        done
    }

    fn topic(&self, def: &SensorDef) -> String {
        self.routing.topic(def)
    }

    fn probe_topic(&self) -> String {
        self.routing.probe_topic()
    }
}

fn is_present(column: Option<&Column>, index: usize) -> bool {
    match column {
        Some(Column::Numbers(numbers)) => index < numbers.len(),
        Some(Column::Mixed(values)) => values.get(index).is_some_and(|value| *value != Value::Absent),
        None => false,
    }
}

fn measured(out: &mut Vec<u8>, name: &[u8], column: Option<&Column>, index: usize, seen: &mut Seen) {
    let mixed;
    let value = match column {
        Some(Column::Numbers(numbers)) => match numbers.get(index) {
            Some(number) => {
                mixed = Value::Number(*number);
                &mixed
            }
            None => &Value::Absent,
        },
        Some(Column::Mixed(values)) => values.get(index).unwrap_or(&Value::Absent),
        None => &Value::Absent,
    };
    if *value == Value::Absent {
        seen.absent = true;
        return;
    }
    out.extend_from_slice(name);
    match value {
        Value::Absent => {}
        Value::Number(number) => {
            if !number::write(out, *number) {
                out.extend_from_slice(b"null");
                seen.invalid = true;
            }
        }
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Text(string) => text(out, string),
        Value::Bytes(bytes) => base64(out, bytes),
    }
}

/// `unit` of the first measurement, `units` of the others: of those that have one and are there.
fn units(out: &mut Vec<u8>, def: &SensorDef, is_there: impl Fn(usize) -> bool) {
    let with_unit = |at: usize| {
        let measurement = def.measurements.get(at)?;
        let unit = measurement.unit.as_deref().filter(|_| is_there(at))?;
        Some((&*measurement.name, unit))
    };
    if let Some((_, unit)) = with_unit(0) {
        out.extend_from_slice(b",\"unit\":");
        text(out, unit);
    }
    object(
        out,
        b",\"units\":",
        (1..def.measurements.len()).filter_map(with_unit),
    );
}

/// An object of texts after `name`; nothing at all when it would be empty.
fn object<'a>(out: &mut Vec<u8>, name: &[u8], fields: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut open = false;
    for (field, value) in fields {
        if open {
            out.push(b',');
        } else {
            out.extend_from_slice(name);
            out.push(b'{');
            open = true;
        }
        text(out, field);
        out.push(b':');
        text(out, value);
    }
    if open {
        out.push(b'}');
    }
}

/// A JSON string: only what has to be escaped is.
pub(super) fn text(out: &mut Vec<u8>, string: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    let bytes = string.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = at + 1;
        if short == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exactly what the encoding needs, so there is nothing that could fail.
    let written = STANDARD
        .encode_slice(bytes, &mut out[start..])
        .unwrap_or_default();
    out.truncate(start + written);
    out.push(b'"');
}

#[cfg(test)]
mod tests;
