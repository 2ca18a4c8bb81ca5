//! What a message must keep to, whoever wrote it: checked before encoding and after decoding.
//!
//! Each check says what is wrong in words that follow "payload has no valid".

use crate::{
    Ack, Data, Hello, Lost, MAX_NAME, MAX_SENSOR, MAX_SEQUENCE, MAX_TEXT, MAX_UNIT, Measurement, Value,
};

pub(crate) fn check_hello(hello: &Hello) -> Result<(), &'static str> {
    rule(hello.versions.min <= hello.versions.max, "version range")?;
    rule((1..=MAX_SEQUENCE).contains(&hello.first), "first sequence number")
}

pub(crate) fn check_data(data: &Data<'_>) -> Result<(), &'static str> {
    rule(is_name(data.sensor, MAX_SENSOR), "sensor ID")?;
    rule(!data.measurements.is_empty(), "measurements")?;
    for Measurement { name, unit } in &data.measurements {
        rule(is_name(name, MAX_NAME), "measurement name")?;
        rule(unit.is_none_or(|unit| is_name(unit, MAX_UNIT)), "unit")?;
    }
    rule(!data.readings.is_empty(), "readings")?;
    let last = data.first.checked_add(data.readings.len() as u64 - 1);
    rule(
        data.first > 0 && last.is_some_and(|last| last <= MAX_SEQUENCE),
        "sequence numbers",
    )?;
    data.readings.iter().try_for_each(|reading| {
        rule(
            reading.values.len() == data.measurements.len(),
            "value for each measurement",
        )
    })
}

pub(crate) fn check_lost(lost: &Lost) -> Result<(), &'static str> {
    rule(
        lost.from > 0 && lost.from <= lost.through && lost.through <= MAX_SEQUENCE,
        "range that is lost",
    )
}

pub(crate) fn check_ack(ack: &Ack) -> Result<(), &'static str> {
    rule(ack.through <= MAX_SEQUENCE, "sequence number")
}

pub(crate) fn check_value(value: &Value<'_>) -> Result<(), &'static str> {
    let len = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    rule(len <= MAX_TEXT, "text of a length that is allowed")
}

pub(crate) fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && !text.chars().any(char::is_control)
}

pub(crate) fn rule(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}
