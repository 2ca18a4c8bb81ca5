//! CBOR: message fields to payload bytes and back. The only file that names `serde_cbor`.
//!
//! A payload is an array, its fields told apart by their position. Heads of arrays are read here and every other
//! item by serde_cbor, one at a time and never a tag or a nested item, so that no input makes it recurse: a node's
//! stack is small. What follows the fields that we know is not looked at; it belongs to a later writer.

use serde::de::{Deserialize, Error as _, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer as _};
use serde_cbor::de::{Deserializer, EitherLifetime, Read};
use serde_cbor::ser::{Serializer, SliceWrite};

use crate::rules::{check_ack, check_data, check_hello, check_lost, check_value, rule};
use crate::{
    Ack, Data, DecodeError, EncodeError, Hello, Lost, MAX_MEASUREMENTS, MAX_PAYLOAD, Measurement,
    Measurements, Message, NodeId, Reading, Readings, Value, Values, Versions,
};

const HELLO: u8 = 1;
const DATA: u8 = 2;
const LOST: u8 = 3;
const ACK: u8 = 4;

/// The kind byte of a message.
pub(crate) const fn kind(message: &Message<'_>) -> u8 {
    match message {
        Message::Hello(_) => HELLO,
        Message::Data(_) => DATA,
        Message::Lost(_) => LOST,
        Message::Ack(_) => ACK,
    }
}

// --- writing -------------------------------------------------------------------------------------------------------

/// Writes items one after the other.
struct Output<'b>(Serializer<SliceWrite<'b>>);

impl<'b> Output<'b> {
    fn new(room: &'b mut [u8]) -> Self {
        Self(Serializer::new(SliceWrite::new(room)))
    }

    fn item(&mut self, item: &(impl Serialize + ?Sized)) -> Result<(), EncodeError> {
        // Nothing but want of room makes a slice refuse one of our items.
        item.serialize(&mut self.0).map_err(|_| EncodeError::TooLong)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.serialize_bytes(bytes).map_err(|_| EncodeError::TooLong)
    }

    fn array(&mut self, len: usize) -> Result<(), EncodeError> {
        // Writes the head alone; the items follow by themselves.
        self.0
            .serialize_seq(Some(len))
            .map(drop)
            .map_err(|_| EncodeError::TooLong)
    }

    fn start(&mut self, fields: usize, node: &NodeId, boot: u32) -> Result<(), EncodeError> {
        self.array(fields)?;
        self.bytes(node.as_bytes())?;
        self.item(&boot)
    }

    fn len(self) -> usize {
        self.0.into_inner().bytes_written()
    }
}

/// Writes the payload of a message into `room`; its length.
pub(crate) fn encode_payload(message: &Message<'_>, room: &mut [u8]) -> Result<usize, EncodeError> {
    match message {
        Message::Hello(hello) => encode_hello(hello, room),
        Message::Data(data) => encode_data(data, room),
        Message::Lost(lost) => encode_lost(lost, room),
        Message::Ack(ack) => encode_ack(ack, room),
    }
}

fn encode_hello(hello: &Hello, room: &mut [u8]) -> Result<usize, EncodeError> {
    check_hello(hello).map_err(EncodeError::Invalid)?;
    let mut out = Output::new(room);
    out.start(7, &hello.node, hello.boot)?;
    out.item(&hello.versions.min)?;
    out.item(&hello.versions.max)?;
    out.item(&hello.window)?;
    out.item(&hello.first)?;
    out.item(&hello.uptime_ms)?;
    Ok(out.len())
}

fn encode_data(data: &Data<'_>, room: &mut [u8]) -> Result<usize, EncodeError> {
    check_data(data).map_err(EncodeError::Invalid)?;
    let head = encode_data_head(data, room)?;
    let body = room
        .get_mut(head..head + data.readings.bytes.len())
        .ok_or(EncodeError::TooLong)?;
    body.copy_from_slice(data.readings.bytes);
    Ok(head + data.readings.bytes.len())
}

/// All but the readings themselves.
fn encode_data_head(data: &Data<'_>, room: &mut [u8]) -> Result<usize, EncodeError> {
    let mut out = Output::new(room);
    out.start(6, &data.node, data.boot)?;
    out.item(&data.first)?;
    out.item(data.sensor)?;
    out.array(2 * data.measurements.len())?;
    for Measurement { name, unit } in &data.measurements {
        out.item(name)?;
        out.item(unit)?;
    }
    out.array(data.readings.len())?;
    Ok(out.len())
}

fn encode_lost(lost: &Lost, room: &mut [u8]) -> Result<usize, EncodeError> {
    check_lost(lost).map_err(EncodeError::Invalid)?;
    let mut out = Output::new(room);
    out.start(5, &lost.node, lost.boot)?;
    out.item(&lost.from)?;
    out.item(&lost.through)?;
    out.item(&lost.uptime_ms)?;
    Ok(out.len())
}

fn encode_ack(ack: &Ack, room: &mut [u8]) -> Result<usize, EncodeError> {
    check_ack(ack).map_err(EncodeError::Invalid)?;
    let mut out = Output::new(room);
    out.start(4, &ack.node, ack.boot)?;
    out.item(&ack.through)?;
    out.item(&ack.version)?;
    Ok(out.len())
}

/// Writes one reading as it stands in a Data message, to be kept and sent later
/// ([`Batch::push_encoded`](crate::Batch::push_encoded)); how many bytes that are.
///
/// # Errors
/// [`EncodeError`] if `room` is too short, or a value exceeds its limit.
pub fn encode_reading(uptime_ms: u64, values: &[Value<'_>], room: &mut [u8]) -> Result<usize, EncodeError> {
    if values.is_empty() || values.len() > MAX_MEASUREMENTS {
        return Err(EncodeError::Invalid("number of values"));
    }
    let mut out = Output::new(room);
    out.array(1 + values.len())?;
    out.item(&uptime_ms)?;
    for value in values {
        check_value(value).map_err(EncodeError::Invalid)?;
        match *value {
            Value::Absent => out.item(&())?,
            Value::Number(number) => out.item(&number)?,
            Value::Bool(value) => out.item(&value)?,
            Value::Text(text) => out.item(text)?,
            Value::Bytes(bytes) => out.bytes(bytes)?,
        }
    }
    Ok(out.len())
}

/// How many bytes of readings a Data message of this sensor has room for, whatever its numbers are.
///
/// 0 if not even the description fits.
pub fn room_for_readings(node: &NodeId, sensor: &str, measurements: &Measurements<'_>) -> usize {
    // The head of a string is one byte below 24 and two up to 255; those of a boot ID, a sequence number and a count
    // of readings are five, nine and two at most.
    let string = |len: usize| len + if len < 24 { 1 } else { 2 };
    let described: usize = measurements
        .iter()
        .map(|m| string(m.name.len()) + m.unit.map_or(1, |unit| string(unit.len())))
        .sum();
    let head = 1 + string(node.as_bytes().len()) + 5 + 9 + string(sensor.len()) + 1 + described + 2;
    MAX_PAYLOAD.saturating_sub(head)
}

// --- reading -------------------------------------------------------------------------------------------------------

/// Reads the payload of a message of this kind.
pub(crate) fn decode_payload(kind: u8, payload: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut rest = payload;
    match kind {
        HELLO => decode_hello(&mut rest).map(Message::Hello),
        DATA => decode_data(&mut rest).map(Message::Data),
        LOST => decode_lost(&mut rest).map(Message::Lost),
        ACK => decode_ack(&mut rest).map(Message::Ack),
        seen => return Err(DecodeError::UnknownKind { seen }),
    }
    .map_err(DecodeError::Malformed)
}

fn decode_hello(rest: &mut &[u8]) -> Result<Hello, &'static str> {
    let (node, boot) = decode_start(rest, 7)?;
    let hello = Hello {
        node,
        boot,
        versions: Versions {
            min: item(rest, "version range")?,
            max: item(rest, "version range")?,
        },
        window: item(rest, "window")?,
        first: item(rest, "first sequence number")?,
        uptime_ms: item(rest, "uptime")?,
    };
    check_hello(&hello).map(|()| hello)
}

fn decode_data<'a>(rest: &mut &'a [u8]) -> Result<Data<'a>, &'static str> {
    let (node, boot) = decode_start(rest, 6)?;
    let data = Data {
        node,
        boot,
        first: item(rest, "first sequence number")?,
        sensor: item(rest, "sensor ID")?,
        measurements: decode_measurements(rest)?,
        readings: decode_readings(rest)?,
    };
    check_data(&data).map(|()| data)
}

fn decode_measurements<'a>(rest: &mut &'a [u8]) -> Result<Measurements<'a>, &'static str> {
    let fields = array(rest)
        .filter(|fields| fields.is_multiple_of(2))
        .ok_or("measurements")?;
    let mut list = Measurements::new();
    for _ in 0..fields / 2 {
        let measurement = Measurement {
            name: item(rest, "measurement name")?,
            unit: item(rest, "unit")?,
        };
        list.push(measurement).map_err(|_| "measurements")?;
    }
    Ok(list)
}

/// Goes through all readings once, so that whoever iterates over them later finds no fault.
fn decode_readings<'a>(rest: &mut &'a [u8]) -> Result<Readings<'a>, &'static str> {
    // No more than there are bytes, so that a false count ends soon.
    let count = array(rest)
        .filter(|&count| count <= rest.len())
        .ok_or("readings")?;
    let all = *rest;
    for _ in 0..count {
        decode_reading(rest)?;
    }
    let bytes = all.get(..all.len() - rest.len()).unwrap_or_default();
    Ok(Readings {
        count: u16::try_from(count).map_err(|_| "readings")?,
        bytes,
    })
}

/// Reads one reading and moves `rest` past it.
pub(crate) fn decode_reading<'a>(rest: &mut &'a [u8]) -> Result<Reading<'a>, &'static str> {
    let fields = array(rest)
        .filter(|fields| (2..=1 + MAX_MEASUREMENTS).contains(fields))
        .ok_or("reading")?;
    let uptime_ms = item(rest, "uptime")?;
    let mut values = Values::new();
    for _ in 1..fields {
        let value = item(rest, "value")?;
        check_value(&value)?;
        values.push(value).map_err(|_| "reading")?;
    }
    Ok(Reading { uptime_ms, values })
}

fn decode_lost(rest: &mut &[u8]) -> Result<Lost, &'static str> {
    let (node, boot) = decode_start(rest, 5)?;
    let from = item(rest, "range that is lost")?;
    let through = item(rest, "range that is lost")?;
    let lost = Lost {
        node,
        boot,
        from,
        through,
        uptime_ms: item(rest, "uptime")?,
    };
    check_lost(&lost).map(|()| lost)
}

fn decode_ack(rest: &mut &[u8]) -> Result<Ack, &'static str> {
    let (node, boot) = decode_start(rest, 4)?;
    let through = item(rest, "sequence number")?;
    let ack = Ack {
        node,
        boot,
        through,
        version: item(rest, "version")?,
    };
    check_ack(&ack).map(|()| ack)
}

/// What every message begins with; it has `known` fields or more.
fn decode_start(rest: &mut &[u8], known: usize) -> Result<(NodeId, u32), &'static str> {
    array(rest)
        .filter(|&fields| fields >= known)
        .ok_or("array of its fields")?;
    let node = NodeId::new(item(rest, "node ID")?).map_err(|_| "node ID")?;
    Ok((node, item(rest, "boot ID")?))
}

/// Reads the head of an array; how many items follow.
fn array(rest: &mut &[u8]) -> Option<usize> {
    let (&head, after) = rest.split_first()?;
    let (len, after) = match head {
        0x80..=0x97 => (usize::from(head - 0x80), after),
        0x98 => after
            .split_first()
            .map(|(&len, after)| (usize::from(len), after))?,
        0x99 => after
            .split_first_chunk()
            .map(|(len, after)| (usize::from(u16::from_be_bytes(*len)), after))?,
        // Longer ones do not fit a frame.
        _ => return None,
    };
    *rest = after;
    Some(len)
}

/// Reads one item that holds no other, and moves `rest` past it; `what` says what is missing if it is not there.
fn item<'a, T: Deserialize<'a>>(rest: &mut &'a [u8], what: &'static str) -> Result<T, &'static str> {
    // Major types 4, 5 and 6 (array, map, tag) are those that hold others.
    let leaf = rest.first().is_some_and(|head| !(4..=6).contains(&(head >> 5)));
    rule(leaf, what)?;
    T::deserialize(&mut Deserializer::new(Input { rest })).map_err(|_| what)
}

/// What serde_cbor reads from: it moves the caller's slice along, and gives out what it borrows from.
struct Input<'p, 'a> {
    rest: &'p mut &'a [u8],
}

impl<'a> Input<'_, 'a> {
    fn take(&mut self, len: usize) -> serde_cbor::Result<&'a [u8]> {
        let (taken, after) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| refusal("too few bytes"))?;
        *self.rest = after;
        Ok(taken)
    }
}

fn refusal(why: &'static str) -> serde_cbor::Error {
    serde_cbor::Error::custom(why)
}

impl<'a> Read<'a> for Input<'_, 'a> {
    fn read<'s>(&'s mut self, n: usize) -> serde_cbor::Result<EitherLifetime<'s, 'a>> {
        self.take(n).map(EitherLifetime::Long)
    }

    fn next(&mut self) -> serde_cbor::Result<Option<u8>> {
        let byte = self.peek()?;
        self.discard();
        Ok(byte)
    }

    fn peek(&mut self) -> serde_cbor::Result<Option<u8>> {
        Ok(self.rest.first().copied())
    }

    fn clear_buffer(&mut self) {}

    fn read_to_buffer(&mut self, _: usize) -> serde_cbor::Result<()> {
        Err(refusal("a string in pieces cannot be borrowed"))
    }

    fn take_buffer<'s>(&'s mut self) -> EitherLifetime<'s, 'a> {
        EitherLifetime::Long(&[])
    }

    fn read_into(&mut self, buf: &mut [u8]) -> serde_cbor::Result<()> {
        let taken = self.take(buf.len())?;
        buf.copy_from_slice(taken);
        Ok(())
    }

    fn discard(&mut self) {
        *self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn offset(&self) -> u64 {
        // Only used in the text of errors, which we do not show.
        0
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a number, a text, bytes, a boolean or null")
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value<'de>, E> {
        Err(E::invalid_type(Unexpected::Str(text), &self))
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Value<'de>, E> {
        Ok(Value::Bytes(bytes))
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Absent)
    }
}
