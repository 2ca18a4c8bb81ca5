//! Entries in bytes: everything in a row that is not readings.
//!
//! Each entry is a tag byte and its fields. A tag that this version does not know cannot be skipped: a newer format has a
//! newer version number in every row. Owns that layout. Must not know what entries do to the state: see [`super::fold`].

use std::sync::Arc;

use super::bytes::{Malformed, Reader, put_bytes, put_varint};
use super::types::{DropReason, Entry, OutputNo, OutputStanding, Release, SensorStanding};
use crate::intake::inbox::{NodeKey, NodePosition};
use crate::reading::{Epoch, Measurement, SensorDef, SensorId, SensorNo, ValueKind};

const EPOCH: u8 = 1;
const BOOT: u8 = 2;
const DEFINE: u8 = 3;
const RELEASE: u8 = 4;
const DROP: u8 = 5;
const DEAD: u8 = 6;
const NODE: u8 = 7;
const HEAD: u8 = 8;
const PARK: u8 = 9;
const SENSOR: u8 = 10;
const STANDING: u8 = 11;
const CHECKPOINT_END: u8 = 12;

/// Appends an entry.
pub fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::Epoch(epoch) => put(out, EPOCH, &[epoch.0]),
        Entry::Boot { number, id } => {
            put(out, BOOT, &[u64::from(*number)]);
            out.extend_from_slice(id);
        }
        Entry::Define { sensor, def } => put_define(out, *sensor, def),
        Entry::Release(Release {
            output,
            sensor,
            epoch,
            through,
        }) => {
            put(
                out,
                RELEASE,
                &[output.0.into(), sensor.0.into(), epoch.0, *through],
            );
        }
        Entry::Drop {
            sensor,
            epoch,
            from,
            through,
            reason,
        } => {
            put(
                out,
                DROP,
                &[sensor.0.into(), epoch.0, *from, *through, *reason as u64],
            );
        }
        Entry::Dead {
            output,
            sensor,
            epoch,
            from,
            through,
            reason,
        } => {
            put(
                out,
                DEAD,
                &[
                    output.0.into(),
                    sensor.0.into(),
                    epoch.0,
                    *from,
                    *through,
                    (*reason).into(),
                ],
            );
        }
        Entry::Node(NodePosition {
            node,
            boot,
            sequence,
            lost,
        }) => {
            put(out, NODE, &[]);
            put_bytes(out, &node.0);
            [u64::from(*boot), *sequence, *lost]
                .iter()
                .for_each(|field| put_varint(out, *field));
        }
        Entry::Head { output, row } => put(out, HEAD, &[output.0.into(), *row]),
        Entry::Park { output, sensor, row } => put(out, PARK, &[output.0.into(), sensor.0.into(), *row]),
        Entry::Sensor(s) => put(out, SENSOR, &[s.sensor.into(), s.next, s.accepted]),
        Entry::Standing(s) => {
            put(
                out,
                STANDING,
                &[
                    s.output.into(),
                    s.sensor.into(),
                    s.epoch,
                    s.through,
                    s.delivered,
                    s.dead,
                ],
            );
            s.dropped.iter().for_each(|count| put_varint(out, *count));
        }
        Entry::CheckpointEnd => put(out, CHECKPOINT_END, &[]),
    }
}

fn put(out: &mut Vec<u8>, tag: u8, fields: &[u64]) {
    out.push(tag);
    fields.iter().for_each(|field| put_varint(out, *field));
}

fn put_define(out: &mut Vec<u8>, sensor: SensorNo, def: &SensorDef) {
    put(out, DEFINE, &[u64::from(sensor.0)]);
    put_bytes(out, def.id.as_str().as_bytes());
    put_varint(out, def.measurements.len() as u64);
    for measurement in &def.measurements {
        put_bytes(out, measurement.name.as_bytes());
        out.push(measurement.kind as u8 | u8::from(measurement.unit.is_some()) << 4);
        if let Some(unit) = &measurement.unit {
            put_bytes(out, unit.as_bytes());
        }
    }
    put_varint(out, def.tags.len() as u64);
    for (name, value) in &def.tags {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Reads an entry.
///
/// # Errors
/// When the bytes are not what [`put_entry`] writes.
pub fn get_entry(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    Ok(match reader.byte()? {
        EPOCH => Entry::Epoch(Epoch(reader.varint()?)),
        BOOT => Entry::Boot {
            number: reader.small()?,
            id: reader.array()?,
        },
        DEFINE => get_define(reader)?,
        RELEASE => Entry::Release(Release {
            output: OutputNo(reader.small()?),
            sensor: SensorNo(reader.small()?),
            epoch: Epoch(reader.varint()?),
            through: reader.varint()?,
        }),
        DROP => Entry::Drop {
            sensor: SensorNo(reader.small()?),
            epoch: Epoch(reader.varint()?),
            from: reader.varint()?,
            through: reader.varint()?,
            reason: get_reason(reader)?,
        },
        DEAD => Entry::Dead {
            output: OutputNo(reader.small()?),
            sensor: SensorNo(reader.small()?),
            epoch: Epoch(reader.varint()?),
            from: reader.varint()?,
            through: reader.varint()?,
            reason: reader.small()?,
        },
        NODE => Entry::Node(NodePosition {
            node: NodeKey(reader.bytes()?.into()),
            boot: reader.small()?,
            sequence: reader.varint()?,
            lost: reader.varint()?,
        }),
        HEAD => Entry::Head {
            output: OutputNo(reader.small()?),
            row: reader.varint()?,
        },
        PARK => Entry::Park {
            output: OutputNo(reader.small()?),
            sensor: SensorNo(reader.small()?),
            row: reader.varint()?,
        },
        SENSOR => Entry::Sensor(Box::new(SensorStanding {
            sensor: reader.small()?,
            next: reader.varint()?,
            accepted: reader.varint()?,
        })),
        STANDING => get_standing(reader)?,
        CHECKPOINT_END => Entry::CheckpointEnd,
        _ => return Err(reader.malformed("a kind of entry")),
    })
}

fn get_define(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let sensor = SensorNo(reader.small()?);
    let id = SensorId::new(reader.text()?).map_err(|_| reader.malformed("a sensor ID"))?;
    let measurements = (0..reader.count(2)?)
        .map(|_| get_measurement(reader))
        .collect::<Result<_, _>>()?;
    let tags = (0..reader.count(2)?)
        .map(|_| Ok((reader.text()?.into(), reader.text()?.into())))
        .collect::<Result<_, Malformed>>()?;
    Ok(Entry::Define {
        sensor,
        def: Arc::new(SensorDef {
            id,
            measurements,
            tags,
        }),
    })
}

fn get_measurement(reader: &mut Reader<'_>) -> Result<Measurement, Malformed> {
    let name = reader.text()?.into();
    let byte = reader.byte()?;
    let kind = match byte & 15 {
        0 => ValueKind::Number,
        1 => ValueKind::Boolean,
        2 => ValueKind::Text,
        3 => ValueKind::Bytes,
        _ => return Err(reader.malformed("a type of measurement")),
    };
    let unit = if byte & 16 == 0 {
        None
    } else {
        Some(reader.text()?.into())
    };
    Ok(Measurement { name, kind, unit })
}

fn get_reason(reader: &mut Reader<'_>) -> Result<DropReason, Malformed> {
    let code: usize = reader.small()?;
    DropReason::ALL
        .get(code)
        .copied()
        .ok_or_else(|| reader.malformed("a reason"))
}

fn get_standing(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let mut standing = OutputStanding {
        output: reader.small()?,
        sensor: reader.small()?,
        epoch: reader.varint()?,
        through: reader.varint()?,
        delivered: reader.varint()?,
        dead: reader.varint()?,
        ..OutputStanding::default()
    };
    for count in &mut standing.dropped {
        *count = reader.varint()?;
    }
    Ok(Entry::Standing(Box::new(standing)))
}
