//! Durations and sizes: texts with a unit.
//!
//! Pure. Promises one spelling of every complaint; must not know which key a value belongs to.

use std::time::Duration;

use bytesize::ByteSize;

/// Why a text is not the value that it should be: what to say of it, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) hint: String,
}

/// Reads `"250ms"`, `"1m 30s"`, `"30d"`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = |hint: String| Wrong {
        problem: "is not a duration".into(),
        hint,
    };
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed != "0" && trimmed.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(wrong(format!("say the unit: \"{trimmed}s\"")));
    }
    // humantime takes "M" for months, which nobody means who buffers readings.
    if let Some(number) = trimmed.strip_suffix('M') {
        return Err(wrong(format!("\"{number}m\" for minutes")));
    }
    humantime::parse_duration(trimmed)
        .map_err(|_| wrong("a number and ms, s, m, h or d: \"250ms\", \"1m 30s\"".into()))
}

/// The shortest common way to write a duration: `1m 30s`.
pub(super) fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace("days", "d")
        .replace("day", "d")
}

/// The shortest way to write a size that is a whole number of a unit: `512MiB`.
pub(super) fn size_text(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(shift, _): &(u32, &str)| bytes > 0 && bytes.trailing_zeros() >= *shift;
    match units.into_iter().find(whole) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Reads `"64KiB"`, `"512 MiB"`, `"1.5GB"`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = |hint: String| Wrong {
        problem: "is not a size".into(),
        hint,
    };
    let trimmed = text.trim();
    if !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit()) {
        return Err(wrong(format!("say the unit: \"{trimmed}B\"")));
    }
    match trimmed.parse::<ByteSize>() {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => Err(wrong("a number and B, KiB, MiB or GiB: \"20KiB\"".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expect) in [
            ("250ms", Ok(Duration::from_millis(250))),
            ("1m 30s", Ok(Duration::from_secs(90))),
            ("0.5s", Ok(Duration::from_millis(500))),
            ("30d", Ok(Duration::from_secs(30 * 86_400))),
            ("0s", Ok(Duration::ZERO)),
            ("0", Ok(Duration::ZERO)),
            ("10", Err("say the unit: \"10s\"")),
            ("0.5", Err("say the unit: \"0.5s\"")),
            ("5M", Err("\"5m\" for minutes")),
            ("", Err("a number and ms, s, m, h or d: \"250ms\", \"1m 30s\"")),
            (
                "ten seconds",
                Err("a number and ms, s, m, h or d: \"250ms\", \"1m 30s\""),
            ),
            ("-1s", Err("a number and ms, s, m, h or d: \"250ms\", \"1m 30s\"")),
            (
                "99999999999999999999d",
                Err("a number and ms, s, m, h or d: \"250ms\", \"1m 30s\""),
            ),
        ] {
            assert_eq!(
                duration(text).as_ref().map_err(|wrong| wrong.hint.as_str()),
                expect.as_ref().map_err(|hint| *hint),
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        for (seconds, text) in [(90, "1m 30s"), (86_400, "1d"), (7 * 86_400, "7d"), (3600, "1h")] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        for (bytes, text) in [
            (512 << 20, "512MiB"),
            (3 << 29, "1536MiB"),
            (1 << 40, "1TiB"),
            (0, "0B"),
            (1025, "1025B"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, expect) in [
            ("64KiB", Ok(65_536)),
            ("512 MiB", Ok(512 << 20)),
            ("20kB", Ok(20_000)),
            ("1.5GiB", Ok(3 << 29)),
            ("20", Err("say the unit: \"20B\"")),
            ("fast", Err("a number and B, KiB, MiB or GiB: \"20KiB\"")),
            ("", Err("a number and B, KiB, MiB or GiB: \"20KiB\"")),
            ("-5KiB", Err("a number and B, KiB, MiB or GiB: \"20KiB\"")),
        ] {
            assert_eq!(
                size(text).as_ref().map_err(|wrong| wrong.hint.as_str()),
                expect.as_ref().map_err(|hint| *hint),
                "{text}"
            );
        }
    }
}
