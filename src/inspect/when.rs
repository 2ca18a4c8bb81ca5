//! Times as people write and read them.

use std::time::UNIX_EPOCH;

use crate::format::{millis, time};

/// A recorded time as text, as records have it.
#[must_use]
pub fn text(nanos: i64) -> String {
    let mut writer = time::Writer::default();
    String::from_utf8_lossy(writer.text(millis(nanos))).into_owned()
}

/// Reads a time: `2026-06-26T14:00:00Z`, or with a blank and without the zone, which is UTC.
///
/// # Errors
/// When it is none.
pub fn parse(given: &str) -> Result<i64, String> {
    let time = humantime::parse_rfc3339_weak(given)
        .map_err(|_| "give it in UTC, such as 2026-06-26T14:00:00Z".to_owned())?;
    let since = time
        .duration_since(UNIX_EPOCH)
        .map_err(|_| "it is before 1970".to_owned())?;
    i64::try_from(since.as_nanos()).map_err(|_| "it is too far in the future".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_in_utc() {
        assert_eq!(parse("2026-06-26T14:00:00Z"), Ok(1_782_482_400_000_000_000));
        assert_eq!(parse("2026-06-26 14:00:00"), Ok(1_782_482_400_000_000_000));
        assert!(parse("yesterday").is_err());
        assert_eq!(text(1_782_482_400_123_456_789), "2026-06-26T14:00:00.123Z");
    }
}
