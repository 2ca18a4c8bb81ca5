//! What is too little and what is too much, and why.
//!
//! Owns every limit of a number or a duration in the device file.

use std::fmt::Display;
use std::time::Duration;

use super::super::file::Section;
use super::super::problem::Report;
use super::super::value::{duration_text, size_text};

/// The limits of a value, both included, and the reasons for them.
pub(super) struct Bounds<T> {
    least: T,
    most: T,
    too_little: &'static str,
    too_much: &'static str,
}

const fn bounds<T: Copy>(least: T, too_little: &'static str, most: T, too_much: &'static str) -> Bounds<T> {
    Bounds {
        least,
        most,
        too_little,
        too_much,
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

pub(super) const COMMIT_INTERVAL: Bounds<Duration> = bounds(
    ms(10),
    "every commit is a write to the disk, and an SD card takes tens of milliseconds for one",
    ms(10 * MINUTE),
    "it is what a power cut may cost, and nothing is sent before it is committed",
);
pub(super) const MAX_SIZE: Bounds<u64> = bounds(
    16 << 20,
    "the queue gives up an eighth of it at a time, and less than 2MiB is not worth a database",
    1 << 40,
    "it is kept in pieces of 16MiB, each a directory of its own",
);
pub(super) const MAX_AGE: Bounds<Duration> = bounds(
    ms(MINUTE),
    "every outage would lose readings",
    ms(10 * 366 * DAY),
    "max-size is reached before",
);
pub(super) const MIN_FREE: Bounds<u64> = bounds(0, "", 1 << 40, "hardly any disk has that much");
pub(super) const MAX_SENSORS: Bounds<i64> = bounds(
    1,
    "there would be nothing to store",
    65_536,
    "every sensor costs memory, for ever",
);
pub(super) const TIME_SPAN: Bounds<Duration> = bounds(
    ms(1),
    "times have milliseconds; for one reading in a batch set packet-size = 1",
    ms(DAY),
    "a batch is held in memory until it is closed",
);
pub(super) const PACKET_SIZE: Bounds<i64> = bounds(
    1,
    "a batch has at least one reading",
    100_000,
    "a batch is held in memory until it is sent",
);
pub(super) const IDLE_TIMEOUT: Bounds<Duration> = bounds(
    ms(1),
    "every reading would be a batch of its own",
    ms(DAY),
    "nobody sees readings that wait that long",
);
pub(super) const MAX_DELAY: Bounds<Duration> = bounds(
    ms(1),
    "every reading would be a batch of its own",
    ms(DAY),
    "nobody sees readings that wait that long",
);
pub(super) const HOLD_UNTIL_SYNCED: Bounds<Duration> = bounds(
    ms(0),
    "",
    ms(30 * DAY),
    "readings would wait where nobody sees them",
);
pub(super) const BAUD: Bounds<i64> = bounds(50, "no port is that slow", 12_000_000, "no port is that fast");
pub(super) const EVERY_CHIP: Bounds<Duration> = bounds(
    ms(10),
    "the bus is slow, and chips take time for a measurement",
    ms(DAY),
    "a fault would show too late",
);
pub(super) const INFLIGHT: Bounds<i64> = bounds(
    1,
    "there would be no message",
    65_535,
    "messages have numbers of 16 bits",
);
pub(super) const EVERY_FILE: Bounds<Duration> = bounds(
    ms(10),
    "what the kernel reads changes more slowly, and every reading of a file may be one of a bus",
    ms(DAY),
    "a fault would show too late",
);
pub(super) const SIMULATED_SENSORS: Bounds<i64> = bounds(
    1,
    "there would be no reading",
    10_000,
    "each is a sensor in the queue",
);
pub(super) const EVERY_SIMULATED: Bounds<Duration> = bounds(
    ms(1),
    "times have milliseconds",
    ms(DAY),
    "nothing would be seen of it",
);

/// A duration, or its default.
pub(super) fn duration(
    section: Option<&Section>,
    name: &str,
    default: Duration,
    bounds: &Bounds<Duration>,
    report: &mut Report<'_>,
) -> Duration {
    let Some((section, found)) = section.and_then(|section| Some((section, section.duration(name)?))) else {
        return default;
    };
    let text = |value: Duration| format!("\"{}\"", duration_text(value));
    let written = text(*found.value);
    complain(
        *found.value,
        bounds,
        ("short", "long"),
        found.at,
        &section.key(name),
        &written,
        text,
        report,
    )
    .unwrap_or(default)
}

/// A size in bytes, or its default.
pub(super) fn size(
    section: Option<&Section>,
    name: &str,
    default: u64,
    bounds: &Bounds<u64>,
    report: &mut Report<'_>,
) -> u64 {
    let Some((section, found)) = section.and_then(|section| Some((section, section.size(name)?))) else {
        return default;
    };
    let text = |value: u64| format!("\"{}\"", size_text(value));
    let (written, key) = (text(*found.value), section.key(name));
    let words = ("small", "large");
    complain(
        *found.value,
        bounds,
        words,
        found.at,
        &key,
        &written,
        text,
        report,
    )
    .unwrap_or(default)
}

/// A whole number, or its default.
pub(super) fn integer(
    section: Option<&Section>,
    name: &str,
    default: u32,
    bounds: &Bounds<i64>,
    report: &mut Report<'_>,
) -> u32 {
    let Some((section, found)) = section.and_then(|section| Some((section, section.integer(name)?))) else {
        return default;
    };
    let written = found.value.to_string();
    let value = complain(
        *found.value,
        bounds,
        ("small", "large"),
        found.at,
        &section.key(name),
        &written,
        |n| n,
        report,
    );
    value
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(default)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the one place where all parts of a complaint meet"
)]
fn complain<T: Copy + PartialOrd, S: Display>(
    value: T,
    bounds: &Bounds<T>,
    (little, much): (&str, &str),
    at: usize,
    key: &str,
    written: &str,
    text: impl Fn(T) -> S,
    report: &mut Report<'_>,
) -> Option<T> {
    if value < bounds.least {
        report
            .error(at, key, format!("{written} is too {little}"))
            .why(bounds.too_little)
            .hint(format!("at least {}", text(bounds.least)));
        None
    } else if value > bounds.most {
        report
            .error(at, key, format!("{written} is too {much}"))
            .why(bounds.too_much)
            .hint(format!("at most {}", text(bounds.most)));
        None
    } else {
        Some(value)
    }
}
