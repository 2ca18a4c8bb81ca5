//! A run in bytes: columns of times, marks and values, each in its smallest lossless form.
//!
//! ```text
//! run     sensor: varint   first: varint   count: varint   mode: u8
//!         wall[0] − base: signed   then for each further reading its delta of deltas: signed   (in the mode's unit)
//!         mono: (mode) nothing | offset: signed | µs[0]: varint, then deltas of deltas: signed
//!         marks: u8 (quality | time quality << 4) | count × u8
//!         columns: varint   then each: kind: u8, data
//! mode    bits 0-1 mono: 0 as the row's offset, 1 own offset, 2 one each    bit 2 marks: one each
//!         bits 4-5 unit of the wall times: 0 ns, 1 µs, 2 ms
//! column  0 raw: count × f64le   1 scaled: exponent u8, first signed, deltas signed   2 constant: f64le
//!         3 mixed: count × (0 absent | 1 f64le | 2 false | 3 true | 4 text | 5 bytes, each with varint length)
//! ```
//!
//! Owns that layout. Promises that every value comes back bit for bit. Must not know rows or what the values mean.

use super::bytes::{Malformed, Reader, put_bytes, put_signed, put_varint};
use super::types::{Column, Marks, MonoColumn, Run};
use crate::reading::{Quality, SensorNo, TimeQuality, Value};

const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
const UNITS: [i64; 3] = [1, 1_000, 1_000_000];
/// Integers beyond this are not exact as `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The most readings that a run may claim: a row of 2 KiB holds fewer, since a reading takes a byte at least.
const MAX_COUNT: usize = 2_048;

/// What a row gives to all its runs: the base of their times and the usual offset of wall to monotonic time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The wall time that the runs' first times are relative to.
    pub wall: i64,
    /// Wall less monotonic time, as the gateway's clock had it at the commit.
    pub offset: i64,
}

/// Appends the readings `from..to` of a run.
pub fn put_run(out: &mut Vec<u8>, run: &Run, from: usize, to: usize, base: Base) {
    let wall = run.wall.get(from..to).unwrap_or_default();
    let unit = unit_of(wall, base.wall);
    let (mono_mode, marks_each) = (mono_mode(&run.mono, base), matches!(run.marks, Marks::Each(_)));
    put_varint(out, u64::from(run.sensor.0));
    put_varint(out, run.first + from as u64);
    put_varint(out, wall.len() as u64);
    out.push(mono_mode | u8::from(marks_each) << 2 | unit << 4);
    let scale = UNITS[usize::from(unit)];
    put_deltas(out, wall.iter().map(|time| time.wrapping_sub(base.wall) / scale));
    match &run.mono {
        MonoColumn::Offset(_) if mono_mode == 0 => {}
        MonoColumn::Offset(offset) => put_signed(out, *offset),
        MonoColumn::Each(times) => {
            put_deltas(
                out,
                times
                    .get(from..to)
                    .unwrap_or_default()
                    .iter()
                    .map(|time| time.cast_signed()),
            );
        }
    }
    match &run.marks {
        Marks::All(quality, time) => out.push(mark(*quality, *time)),
        Marks::Each(marks) => {
            out.extend(
                marks
                    .get(from..to)
                    .unwrap_or_default()
                    .iter()
                    .map(|(quality, time)| mark(*quality, *time)),
            );
        }
    }
    put_varint(out, run.columns.len() as u64);
    for column in &run.columns {
        match column {
            Column::Numbers(numbers) => put_numbers(out, numbers.get(from..to).unwrap_or_default()),
            Column::Mixed(values) => put_mixed(out, values.get(from..to).unwrap_or_default()),
        }
    }
}

fn unit_of(wall: &[i64], base: i64) -> u8 {
    let fits = |unit: i64| wall.iter().all(|time| time.wrapping_sub(base) % unit == 0);
    if fits(UNITS[2]) {
        2
    } else if fits(UNITS[1]) {
        1
    } else {
        0
    }
}

fn mono_mode(mono: &MonoColumn, base: Base) -> u8 {
    match mono {
        MonoColumn::Offset(offset) if *offset == base.offset => 0,
        MonoColumn::Offset(_) => 1,
        MonoColumn::Each(_) => 2,
    }
}

fn mark(quality: Quality, time: TimeQuality) -> u8 {
    quality as u8 | (time as u8) << 4
}

/// The first value as it is, then deltas of deltas; wrapping, so that any values come back.
fn put_deltas(out: &mut Vec<u8>, values: impl Iterator<Item = i64>) {
    let (mut last, mut delta) = (0_i64, 0_i64);
    for (index, value) in values.enumerate() {
        let step = value.wrapping_sub(last);
        put_signed(out, step.wrapping_sub(delta));
        delta = if index == 0 { 0 } else { step };
        last = value;
    }
}

fn get_deltas(reader: &mut Reader<'_>, count: usize, mut take: impl FnMut(i64)) -> Result<(), Malformed> {
    let (mut last, mut delta) = (0_i64, 0_i64);
    for index in 0..count {
        let step = reader.signed()?.wrapping_add(delta);
        last = last.wrapping_add(step);
        delta = if index == 0 { 0 } else { step };
        take(last);
    }
    Ok(())
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[f64]) {
    let first = numbers.first().map_or(0, |number| number.to_bits());
    if numbers.len() > 1 && numbers.iter().all(|number| number.to_bits() == first) {
        out.push(2);
        out.extend_from_slice(&first.to_le_bytes());
        return;
    }
    let start = out.len();
    out.push(1);
    if !put_scaled(out, numbers) {
        out.truncate(start);
        out.push(0);
        numbers
            .iter()
            .for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    }
}

/// Writes the numbers as integers over one power of ten, if that is lossless for all of them and smaller.
fn put_scaled(out: &mut Vec<u8>, numbers: &[f64]) -> bool {
    let Some(exponent) = common_exponent(numbers) else {
        return false;
    };
    let start = out.len();
    out.push(exponent);
    let mut last = 0_i64;
    for number in numbers {
        let Some(scaled) = scale(*number, exponent) else {
            return false;
        };
        put_signed(out, scaled.wrapping_sub(last));
        last = scaled;
    }
    out.len() - start <= numbers.len() * 8
}

fn common_exponent(numbers: &[f64]) -> Option<u8> {
    let mut exponent = 0_u8;
    for number in numbers {
        while scale(*number, exponent).is_none() {
            exponent += 1;
            if usize::from(exponent) >= POWERS.len() {
                return None;
            }
        }
    }
    Some(exponent)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "compared with EXACT before, and checked by dividing back"
)]
fn scale(number: f64, exponent: u8) -> Option<i64> {
    let power = POWERS.get(usize::from(exponent))?;
    let scaled = (number * power).round();
    let exact = scaled.abs() < EXACT;
    let integer = scaled as i64;
    (exact && unscale(integer, *power).to_bits() == number.to_bits()).then_some(integer)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "only integers that scale() accepted are written"
)]
fn unscale(integer: i64, power: f64) -> f64 {
    integer as f64 / power
}

fn put_mixed(out: &mut Vec<u8>, values: &[Value]) {
    out.push(3);
    for value in values {
        match value {
            Value::Absent => out.push(0),
            Value::Number(number) => {
                out.push(1);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Value::Boolean(yes) => out.push(2 + u8::from(*yes)),
            Value::Text(text) => {
                out.push(4);
                put_bytes(out, text.as_bytes());
            }
            Value::Bytes(bytes) => {
                out.push(5);
                put_bytes(out, bytes);
            }
        }
    }
}

/// Reads one run.
///
/// # Errors
/// When the bytes are not what [`put_run`] writes.
pub fn get_run(reader: &mut Reader<'_>, base: Base) -> Result<Run, Malformed> {
    let start = reader.position();
    let sensor = SensorNo(reader.small()?);
    let first = reader.varint()?;
    let count: usize = reader.small()?;
    if count == 0 || count > MAX_COUNT || first == 0 || first.checked_add(count as u64).is_none() {
        return Err(reader.malformed("a run of 1 to 2048 readings"));
    }
    let mode = reader.byte()?;
    let unit = *UNITS
        .get(usize::from(mode >> 4 & 3))
        .ok_or_else(|| reader.malformed("a unit of time"))?;
    let mut wall = Vec::with_capacity(count);
    get_deltas(reader, count, |time| {
        wall.push(time.wrapping_mul(unit).wrapping_add(base.wall))
    })?;
    let mono = match mode & 3 {
        0 => MonoColumn::Offset(base.offset),
        1 => MonoColumn::Offset(reader.signed()?),
        2 => {
            let mut times = Vec::with_capacity(count);
            get_deltas(reader, count, |time| times.push(time.cast_unsigned()))?;
            MonoColumn::Each(times)
        }
        _ => return Err(reader.malformed("a mode of monotonic time")),
    };
    let marks = get_marks(reader, mode & 4 != 0, count)?;
    let width = reader.count(1)?;
    let columns = gather(width, || get_column(reader, count))?;
    let encoded = u32::try_from(reader.position() - start).unwrap_or(u32::MAX);
    Ok(Run {
        sensor,
        first,
        wall,
        mono,
        marks,
        columns,
        encoded,
    })
}

fn get_marks(reader: &mut Reader<'_>, each: bool, count: usize) -> Result<Marks, Malformed> {
    if !each {
        let (quality, time) = get_mark(reader)?;
        return Ok(Marks::All(quality, time));
    }
    gather(count, || get_mark(reader)).map(Marks::Each)
}

/// As many things as there are, in a list that is no larger: `collect` over results would leave it up to four times as
/// large, and these are what the outputs hold in memory.
fn gather<T>(count: usize, mut get: impl FnMut() -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(get()?);
    }
    Ok(list)
}

fn get_mark(reader: &mut Reader<'_>) -> Result<(Quality, TimeQuality), Malformed> {
    let byte = reader.byte()?;
    let quality = Quality::ALL.get(usize::from(byte & 15)).copied();
    let time = TimeQuality::ALL.get(usize::from(byte >> 4)).copied();
    quality.zip(time).ok_or_else(|| reader.malformed("marks"))
}

fn get_column(reader: &mut Reader<'_>, count: usize) -> Result<Column, Malformed> {
    Ok(match reader.byte()? {
        0 => Column::Numbers(gather(count, || get_number(reader))?),
        1 => {
            let exponent = usize::from(reader.byte()?);
            let power = *POWERS
                .get(exponent)
                .ok_or_else(|| reader.malformed("an exponent"))?;
            let (mut numbers, mut last) = (Vec::with_capacity(count), 0_i64);
            for _ in 0..count {
                last = last.wrapping_add(reader.signed()?);
                numbers.push(unscale(last, power));
            }
            Column::Numbers(numbers)
        }
        2 => Column::Numbers(vec![get_number(reader)?; count]),
        3 => Column::Mixed(gather(count, || get_value(reader))?),
        _ => return Err(reader.malformed("a kind of column")),
    })
}

fn get_number(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    Ok(f64::from_le_bytes(reader.array()?))
}

fn get_value(reader: &mut Reader<'_>) -> Result<Value, Malformed> {
    Ok(match reader.byte()? {
        0 => Value::Absent,
        1 => Value::Number(get_number(reader)?),
        2 => Value::Boolean(false),
        3 => Value::Boolean(true),
        4 => Value::Text(reader.text()?.into()),
        5 => Value::Bytes(reader.bytes()?.into()),
        _ => return Err(reader.malformed("a kind of value")),
    })
}

#[cfg(test)]
#[path = "columns/tests.rs"]
mod tests;
