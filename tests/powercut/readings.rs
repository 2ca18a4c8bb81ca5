//! What the writer stores, as a function of the seed: so that whoever reads it back knows what has to stand there.
//!
//! Owns sensors, readings and their comparison. A reading is a function of (seed, life, sensor, sequence); a *life* is one
//! writer: what is written on after a cut must not look like what was lost in it. Must not know devices or cuts.

use std::sync::Arc;

use edgespool::intake::inbox::{NodeKey, NodePosition};
use edgespool::queue::types::{MonoColumn, Run};
use edgespool::reading::{
    Measurement, Quality, Reading, SensorDef, SensorId, SensorNo, Stamp, TimeQuality, Value, ValueKind,
    Values,
};

use crate::Failure;
use crate::random::mix;

/// How many sensors there are.
pub const SENSORS: u32 = 8;
/// Wall less monotonic time.
const OFFSET: i64 = 1_795_000_000_000_000_000;
/// A reading every so many nanoseconds.
const PERIOD: u64 = 250_000_000;

/// The sensors, by their number.
pub fn definitions() -> Result<Vec<(SensorNo, Arc<SensorDef>)>, Failure> {
    let measurement = |name: &str, kind| Measurement {
        name: name.into(),
        kind,
        unit: (kind == ValueKind::Number).then(|| "C".into()),
    };
    let definition = |number: u32| {
        let mut measurements = vec![measurement("temperature", ValueKind::Number)];
        if number % 4 == 3 {
            measurements.push(measurement("state", ValueKind::Text));
        }
        let id = SensorId::new(&format!("cellar-{number}"))?;
        let tags = vec![];
        Ok((
            SensorNo(number),
            Arc::new(SensorDef {
                id,
                measurements,
                tags,
            }),
        ))
    };
    (0..SENSORS).map(definition).collect()
}

/// One reading.
pub fn reading(seed: u64, life: u64, sensor: u32, sequence: u64) -> Reading {
    let noise = mix(seed ^ mix(life << 48 ^ u64::from(sensor) << 40 ^ sequence));
    let mono = sequence * PERIOD + u64::from(sensor) * 1_000_000 + noise % 2_000_000;
    let number = match sensor % 4 {
        // Hundredths, as most sensors give them.
        0 | 3 => f64::from((noise >> 20 & 0x0fff) as u16) / 100.0,
        // A slow walk.
        1 => f64::from((sequence / 7 % 5000) as u16) / 10.0 + f64::from((noise >> 20 & 7) as u8) / 10.0,
        // Any finite number.
        _ => f64::from_bits(noise & !(1 << 62)),
    };
    let text = Value::Text(format!("{life}-{sequence}-{:x}", noise & 0xff).into());
    Reading {
        sensor: SensorNo(sensor),
        time: Stamp {
            wall: OFFSET.saturating_add_unsigned(mono),
            mono,
            quality: TimeQuality::Synchronized,
        },
        quality: if noise >> 56 == 0 {
            Quality::Stuck
        } else {
            Quality::Good
        },
        values: if sensor % 4 == 3 {
            vec![Value::Number(number), text].into()
        } else {
            Values::One(Value::Number(number))
        },
    }
}

/// The moment of a commit.
pub fn moment(commit: u64) -> Stamp {
    let mono = 1_000_000_000 + commit * 100_000_000;
    Stamp {
        wall: OFFSET.saturating_add_unsigned(mono),
        mono,
        quality: TimeQuality::Synchronized,
    }
}

/// How far a node's readings are stored: as many commits.
pub fn position(commits: u64) -> NodePosition {
    NodePosition {
        node: NodeKey(Box::from(&b"node"[..])),
        boot: 1,
        sequence: commits,
        lost: 0,
    }
}

/// What differs between a reading that was read back, number `index` of its run, and the one that was stored.
pub fn difference(run: &Run, index: usize, stored: &Reading) -> Option<String> {
    let wall = run.wall.get(index).copied().unwrap_or_default();
    let mono = match &run.mono {
        MonoColumn::Offset(offset) => wall.wrapping_sub(*offset).cast_unsigned(),
        MonoColumn::Each(micros) => micros.get(index).copied().unwrap_or_default() * 1000,
    };
    let exact = matches!(run.mono, MonoColumn::Offset(_));
    let told = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        Some(format!("{what} {found:?} instead of {expected:?}"))
    };
    if wall != stored.time.wall {
        return told("time", &wall, &stored.time.wall);
    }
    if mono / 1000 != stored.time.mono / 1000 || exact && mono != stored.time.mono {
        return told("monotonic time", &mono, &stored.time.mono);
    }
    if run.marks.at(index) != (stored.quality, stored.time.quality) {
        return told(
            "marks",
            &run.marks.at(index),
            &(stored.quality, stored.time.quality),
        );
    }
    let values: Vec<Value> = run.columns.iter().map(|column| column.at(index)).collect();
    let same = |(found, stored): (&Value, &Value)| match (found, stored) {
        (Value::Number(found), Value::Number(stored)) => found.to_bits() == stored.to_bits(),
        (found, stored) => found == stored,
    };
    let expected = stored.values.as_slice();
    let all = values.len() == expected.len() && values.iter().zip(expected).all(same);
    if all {
        None
    } else {
        told("values", &values, &expected)
    }
}
