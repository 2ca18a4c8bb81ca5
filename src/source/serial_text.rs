//! `serial-text`: anything that prints lines.
//!
//! Owns the way from a port's bytes to readings. A line that does not match is counted and shown, never fatal. Promises
//! that a sensor's measurements keep their type (see [`pattern`]). Must not know other kinds.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use super::port::{self, Keeper, Port};
use super::{Context, Quantity, Running};
use crate::intake::inbox::Batch;
use crate::reading::{Reading, SensorNo, Stamp, ValueKind};
use lines::{Line, Lines, joined_midway};
pub use pattern::Pattern;
use pattern::{Kinds, Match};

pub mod lines;
pub mod pattern;

/// The bytes that are read at once. More waits in the kernel.
const READ: usize = 4096;

/// What is read, and how it is understood.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port.
    pub port: port::Settings,
    /// What a line looks like.
    pub pattern: Pattern,
}

/// Starts the source on the current runtime.
#[must_use]
pub fn spawn(context: Context, settings: Settings) -> Running {
    context.spawn_task(|context| run(context, settings))
}

async fn run(context: Context, settings: Settings) {
    let mut reader = Reader {
        context: &context,
        pattern: settings.pattern,
        sensors: HashMap::new(),
    };
    let mut keeper = Keeper::new(&context, settings.port);
    while let Some(mut port) = keeper.open().await {
        let Some((why, alive)) = listen(&mut reader, &mut port).await else {
            return;
        };
        keeper.lost(port, &why, alive).await;
    }
}

/// Reads until the port is lost, and says why and whether anything came; `None` when the source is stopped.
async fn listen(reader: &mut Reader<'_>, port: &mut Port) -> Option<(String, bool)> {
    let (context, mut lines) = (reader.context, None::<Lines>);
    let mut buffer = [0; READ];
    loop {
        let read: io::Result<usize> = tokio::select! {
            read = port.read(&mut buffer) => read,
            () = context.stop().stopped() => return None,
        };
        let Some(bytes) = read
            .as_ref()
            .ok()
            .and_then(|&n| buffer.get(..n))
            .filter(|bytes| !bytes.is_empty())
        else {
            if let Some(Line::Broken(rest)) = lines.as_ref().and_then(Lines::rest) {
                context.health().bad_line(rest);
            }
            return Some((port::lost_because(read), lines.is_some()));
        };
        let time = context.clock().stamp();
        let lines = lines.get_or_insert_with(|| {
            let quiet = std::time::Duration::from_nanos(time.mono.saturating_sub(port.opened().0));
            Lines::new(joined_midway(port.keeps_all(), quiet))
        });
        let mut readings = Vec::new();
        lines.push(bytes, |line| readings.extend(reader.line(line, time)));
        if readings.is_empty() {
            continue;
        }
        tokio::select! {
            taken = context.submit(Batch { readings, ..Batch::default() }) => taken.ok()?,
            () = context.stop().stopped() => return None,
        }
    }
}

/// Turns lines into readings.
struct Reader<'c> {
    context: &'c Context,
    pattern: Pattern,
    sensors: HashMap<Arc<str>, (SensorNo, Kinds)>,
}

impl Reader<'_> {
    fn line(&mut self, line: Line<'_>, time: Stamp) -> Option<Reading> {
        let health = self.context.health();
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::Broken(bytes) => {
                health.bad_line(bytes);
                return None;
            }
        };
        let text = std::str::from_utf8(bytes).ok();
        let Some(found) = text.and_then(|text| self.pattern.find(text)) else {
            health.bad_line(bytes);
            return None;
        };
        let (sensor, kinds) = match known(self.context, &self.pattern, &mut self.sensors, &found) {
            Ok(known) => known,
            Err(refused) => {
                self.context.refuse(None, refused.reason(), 1);
                health.mishap("sensors", refused.to_string());
                return None;
            }
        };
        let (values, quality, bad) = kinds.values(&found);
        if bad > 0 {
            health.odd_line(bytes, bad);
        }
        Some(Reading {
            sensor,
            time,
            quality,
            values: values.into(),
        })
    }
}

/// The sensor of a line, registered when it is new or when the type of a measurement has just become known.
fn known<'s>(
    context: &Context,
    pattern: &Pattern,
    sensors: &'s mut HashMap<Arc<str>, (SensorNo, Kinds)>,
    found: &Match<'_>,
) -> Result<(SensorNo, &'s Kinds), super::Refused> {
    let settled = sensors
        .get(found.sensor)
        .is_some_and(|(_, kinds)| !kinds.would_learn(found));
    if !settled {
        let mut kinds = match sensors.get(found.sensor) {
            Some((_, kinds)) => kinds.clone(),
            None => Kinds::new(
                pattern
                    .measurements()
                    .map(|name| context.has_unit(found.sensor, name)),
            ),
        };
        kinds.learn(found);
        let quantity = |(name, kind): (_, Option<ValueKind>)| Quantity {
            name: Some(name),
            unit: None,
            kind: kind.unwrap_or(ValueKind::Number),
        };
        let quantities: Vec<_> = pattern.measurements().zip(kinds.iter()).map(quantity).collect();
        let number = context.register(found.sensor, &quantities)?;
        sensors.insert(found.sensor.into(), (number, kinds));
    }
    #[expect(clippy::expect_used, reason = "an invariant of the lines above")]
    let (number, kinds) = sensors
        .get(found.sensor)
        .expect("invariant: it was settled or inserted just now");
    Ok((*number, kinds))
}
