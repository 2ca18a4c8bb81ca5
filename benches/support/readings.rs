//! Readings as sensors make them: 50 sensors, times with jitter to the nanosecond, values that walk by hundredths.

use std::sync::Arc;

use edgespool::queue::appender::Commit;
use edgespool::reading::{
    Measurement, Quality, Reading, SensorDef, SensorId, SensorIdError, SensorNo, Stamp, TimeQuality, Value,
    ValueKind, Values,
};

/// How many sensors.
pub const SENSORS: u32 = 50;
/// Each is read that often, in nanoseconds.
const PERIOD: u64 = 500_000_000;
/// Late by at most this, in nanoseconds.
const JITTER: u64 = 2_000_000;
/// Wall less monotonic time: the clock keeps it constant, and so does this.
const OFFSET: i64 = 1_795_000_000_000_000_000;

/// Makes them, the same in every run.
#[derive(Debug)]
pub struct Field {
    state: u64,
    made: u64,
    hundredths: Vec<i32>,
    last: Stamp,
}

impl Default for Field {
    fn default() -> Self {
        Self::new()
    }
}

impl Field {
    /// At the first reading.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            made: 0,
            hundredths: (0..SENSORS)
                .map(|number| 1_800 + 13 * i32::try_from(number).unwrap_or(0))
                .collect(),
            last: stamp(0),
        }
    }

    /// As at the first, but later: as if that many had been made.
    #[must_use]
    pub fn after(made: u64) -> Self {
        Self { made, ..Self::new() }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next reading; the sensors take turns.
    pub fn reading(&mut self) -> Reading {
        let number = u32::try_from(self.made % u64::from(SENSORS)).unwrap_or(0);
        let round = self.made / u64::from(SENSORS);
        let phase = PERIOD / u64::from(SENSORS) * u64::from(number);
        let random = self.random();
        self.made += 1;
        self.last = stamp(1_000_000_000 + round * PERIOD + phase + random % JITTER);
        let step = [-2, -1, -1, 0, 0, 0, 1, 1, 2][usize::try_from(random >> 40).unwrap_or(0) % 9];
        let mut value = 0;
        if let Some(place) = self.hundredths.get_mut(number as usize) {
            *place += step;
            value = *place;
        }
        Reading {
            sensor: SensorNo(number),
            time: self.last,
            quality: Quality::Good,
            values: Values::One(Value::Number(f64::from(value) / 100.0)),
        }
    }

    /// The next readings, as one commit.
    pub fn commit(&mut self, readings: usize) -> Commit {
        Commit {
            readings: (0..readings).map(|_| self.reading()).collect(),
            ..Commit::default()
        }
    }

    /// The time of the last reading.
    #[must_use]
    pub fn now(&self) -> Stamp {
        self.last
    }
}

fn stamp(mono: u64) -> Stamp {
    Stamp {
        wall: OFFSET.saturating_add_unsigned(mono),
        mono,
        quality: TimeQuality::Synchronized,
    }
}

/// The sensors' definitions, as a commit of their own.
///
/// # Errors
/// Never: the names are good.
pub fn definitions() -> Result<Commit, SensorIdError> {
    let definition = |number: u32| {
        let measurement = Measurement {
            name: "temperature".into(),
            kind: ValueKind::Number,
            unit: Some("C".into()),
        };
        let def = SensorDef {
            id: SensorId::new(&format!("greenhouse-{number:02}"))?,
            measurements: vec![measurement],
            tags: vec![],
        };
        Ok((SensorNo(number), Arc::new(def)))
    };
    Ok(Commit {
        definitions: (0..SENSORS).map(definition).collect::<Result<_, _>>()?,
        ..Commit::default()
    })
}
