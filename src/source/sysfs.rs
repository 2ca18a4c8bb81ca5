//! `sysfs`: what the kernel reads already, one number in one file: 1-Wire, hwmon, IIO, thermal zones.
//!
//! Owns a thread for the file, since reading one may take a second (1-Wire measures meanwhile) or hang. Promises that the
//! file is looked up at every reading, so a sensor that comes back is read again; that faults have names; and that the
//! value which a 1-Wire thermometer shows before its first measurement is marked. Must not know other kinds.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Context, Quantity, Reason, Running, State, Stopped};
use crate::clock::Mono;
use crate::intake::inbox::Batch;
use crate::reading::{Quality, Reading, SensorId, SensorNo, Value, ValueKind, Values};

/// The bytes of such a file that are looked at: the longest has two lines.
const MAX_BYTES: u64 = 512;
/// Readings that wait here while the inbox is full.
const MAX_BACKLOG: usize = 64;
/// Failures in a row before the sensor counts as failed.
const FAILED_AFTER: u32 = 3;
/// What 1-Wire thermometers show before their first measurement, as the kernel writes it.
const POWER_ON: f64 = 85_000.0;

/// What is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// The sensor's name.
    pub id: SensorId,
    /// What the number in the file is multiplied by.
    pub scale: f64,
    /// How often it is read.
    pub every: Duration,
}

/// Why there is no value.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such file.
    #[error("there is no such file; the sensor is read as soon as it appears")]
    Missing,
    /// It may not be read.
    #[error("the file may not be read (hint: the agent's user needs the right to)")]
    Denied,
    /// The kernel could not read the sensor.
    #[error("the kernel cannot read the sensor: {0}")]
    Kernel(io::Error),
    /// The kernel read it and the checksum was wrong.
    #[error("the sensor's answer has a wrong checksum (hint: cable, pull-up resistor)")]
    Checksum,
    /// Something else stands there.
    #[error("there is no number in the file: {0:?}")]
    NoNumber(String),
}

/// Starts the source on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(context: Context, settings: Settings) -> io::Result<Running> {
    context.spawn_thread("sysfs", move |context| {
        let id = settings.id.as_str();
        let quantity = Quantity {
            name: None,
            unit: None,
            kind: ValueKind::Number,
        };
        match context.register(id, &[quantity]) {
            Ok(number) => match run(&context, &settings, number) {
                Ok(()) | Err(Stopped) => {}
            },
            Err(refused) => context.health().fault(id, State::Failed, refused.to_string()),
        }
    })
}

fn run(context: &Context, settings: &Settings, number: SensorNo) -> Result<(), Stopped> {
    let (mut failures, mut backlog, mut due) = (0, Vec::new(), context.clock().mono());
    loop {
        match read(&settings.path) {
            Ok(raw) => {
                failures = 0;
                context.health().clear(settings.id.as_str());
                backlog.push(Reading {
                    sensor: number,
                    time: context.clock().stamp(),
                    quality: quality(raw, &settings.path),
                    values: Values::One(Value::Number(scaled(raw, settings.scale))),
                });
            }
            Err(error) => {
                failures += 1;
                let state = match failures < FAILED_AFTER {
                    true => State::Degraded,
                    false => State::Failed,
                };
                context
                    .health()
                    .fault(settings.id.as_str(), state, error.to_string());
                context.health().count(|counters| counters.read_errors += 1);
            }
        }
        backlog = hand_in(context, Some(number), backlog)?;
        let (next, missed) = next_beat(due, context.clock().mono(), settings.every);
        if missed > 0 {
            context.health().count(|counters| counters.missed += missed);
        }
        due = next;
        if context.stop().sleep(due.since(context.clock().mono())) {
            return Ok(());
        }
    }
}

/// Hands in what waits; what the inbox has no space for waits on, as much as is allowed.
fn hand_in(
    context: &Context,
    sensor: Option<SensorNo>,
    readings: Vec<Reading>,
) -> Result<Vec<Reading>, Stopped> {
    if readings.is_empty() {
        return Ok(readings);
    }
    let batch = Batch {
        readings,
        ..Batch::default()
    };
    let mut left = match context.try_submit(batch)? {
        Some(back) => back.readings,
        None => Vec::new(),
    };
    let over = left.len().saturating_sub(MAX_BACKLOG);
    if over > 0 {
        left.drain(..over);
        context.refuse(sensor, Reason::Inbox, over as u64);
    }
    Ok(left)
}

/// The next moment of the beat after `now`, and how many were left out.
fn next_beat(due: Mono, now: Mono, every: Duration) -> (Mono, u64) {
    let passed = now.since(due).as_nanos() / every.as_nanos().max(1);
    let beats = u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1;
    (due.after(every.saturating_mul(beats)), u64::from(beats) - 1)
}

/// The number in a file.
///
/// # Errors
/// When there is none.
pub fn read(path: &Path) -> Result<f64, ReadError> {
    let error = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Missing,
        io::ErrorKind::PermissionDenied => ReadError::Denied,
        _ => ReadError::Kernel(error),
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(error)?;
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(error)?;
    number(&String::from_utf8_lossy(&text))
}

/// The number that stands alone in a text, or behind `t=` in the two lines of the older 1-Wire files.
fn number(text: &str) -> Result<f64, ReadError> {
    let text = text.trim();
    let text = match text.split_once("crc=") {
        Some((_, rest)) if !rest.lines().next().unwrap_or_default().ends_with("YES") => {
            return Err(ReadError::Checksum);
        }
        Some((_, rest)) => rest.rsplit("t=").next().unwrap_or_default(),
        None => text,
    };
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| ReadError::NoNumber(text.chars().take(40).collect()))
}

/// A thousandth is a division by a thousand: 21437 is 21.437 then, to the last bit.
fn scaled(raw: f64, scale: f64) -> f64 {
    let inverse = (1.0 / scale).round();
    match inverse != 0.0 && (1.0 / inverse).to_bits() == scale.to_bits() {
        true => raw / inverse,
        false => raw * scale,
    }
}

/// Folders of 1-Wire thermometers are called after the family and the number of the chip: `28-0316a2f7b4ff`.
fn quality(raw: f64, path: &Path) -> Quality {
    const FAMILIES: [&str; 5] = ["10-", "22-", "28-", "3b-", "42-"];
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .unwrap_or_default()
        .to_string_lossy();
    let is_one_wire = FAMILIES.iter().any(|family| folder.starts_with(family));
    match is_one_wire && (raw - POWER_ON).abs() < 0.5 {
        true => Quality::PowerOnValue,
        false => Quality::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_a_number_or_a_fault_with_a_name() {
        for (text, expect) in [
            ("21437\n", Ok(21_437.0)),
            ("-5500", Ok(-5500.0)),
            ("0.25\n", Ok(0.25)),
            (
                "4b 01 4b 46 7f ff 0c 10 73 : crc=73 YES\n4b 01 4b 46 7f ff 0c 10 73 t=20687\n",
                Ok(20_687.0),
            ),
            (
                "4b 01 4b 46 7f ff 0c 10 73 : crc=00 NO\n4b 01 4b 46 7f ff 0c 10 73 t=20687\n",
                Err("the sensor's answer has a wrong checksum (hint: cable, pull-up resistor)"),
            ),
            ("", Err("there is no number in the file: \"\"")),
            ("n/a\n", Err("there is no number in the file: \"n/a\"")),
            ("inf\n", Err("there is no number in the file: \"inf\"")),
        ] {
            let got = number(text).map_err(|error| error.to_string());
            assert_eq!(got, expect.map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn thousandths_are_exact() {
        for (raw, scale, expect) in [
            (21_437.0, 0.001, 21.437),
            (-62.0, 0.001, -0.062),
            (35.0, 0.1, 3.5),
            (7.0, 2.5, 17.5),
            (3.0, 1.0, 3.0),
            (3.0, -1.0, -3.0),
        ] {
            assert_eq!(
                scaled(raw, scale).to_bits(),
                f64::to_bits(expect),
                "{raw} {scale}"
            );
        }
        assert!((scaled(3.0, 0.125 / 3.0) - 0.125).abs() < 1e-12);
    }

    #[test]
    fn the_power_on_value_is_marked_where_it_can_be_one() {
        for (raw, path, expect) in [
            (
                85_000.0,
                "/sys/bus/w1/devices/28-0316a2f7b4ff/temperature",
                Quality::PowerOnValue,
            ),
            (
                85_000.0,
                "/sys/bus/w1/devices/28-0316a2f7b4ff/w1_slave",
                Quality::PowerOnValue,
            ),
            (
                84_937.0,
                "/sys/bus/w1/devices/28-0316a2f7b4ff/temperature",
                Quality::Good,
            ),
            (85_000.0, "/sys/class/thermal/thermal_zone0/temp", Quality::Good),
        ] {
            assert_eq!(quality(raw, Path::new(path)), expect, "{path}");
        }
    }

    #[test]
    fn beats_keep_their_grid_and_count_what_they_leave_out() {
        let (start, second) = (Mono(5_000_000_000), Duration::from_secs(1));
        for (ms, next, missed) in [(0, 1000, 0), (999, 1000, 0), (1000, 2000, 1), (3500, 4000, 3)] {
            let now = start.after(Duration::from_millis(ms));
            let expect = (start.after(Duration::from_millis(next)), missed);
            assert_eq!(next_beat(start, now, second), expect, "{ms}");
        }
    }
}
