//! Times in payloads: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970.
//!
//! Pure. Promises that a time without its offset from UTC is none: half of the devices mean local time by it. Must not
//! know payloads.

/// From here on a number counts milliseconds: as seconds it would be the year 5138.
const MILLIS: f64 = 1e11;
/// From here on a number counts microseconds.
const MICROS: f64 = 1e14;
/// From here on a number counts nanoseconds.
const NANOS: f64 = 1e17;

/// Nanoseconds since 1970 UTC; `None` for what is before or no time.
#[must_use]
pub fn from_number(number: f64) -> Option<i64> {
    let unit = match number {
        n if n < MILLIS => 1e9,
        n if n < MICROS => 1e6,
        n if n < NANOS => 1e3,
        _ => 1.0,
    };
    // Whole units exactly, the fraction as well as the number has it.
    let whole = number.trunc();
    #[expect(clippy::cast_possible_truncation, reason = "compared with the limits before")]
    let nanos = (number >= 0.0 && whole * unit < 9.2e18).then(|| {
        let fraction = ((number - whole) * unit).round();
        (whole as i64)
            .saturating_mul(unit as i64)
            .saturating_add(fraction as i64)
    });
    nanos
}

/// Nanoseconds since 1970 UTC of a text such as `2026-06-26T14:00:00.123+02:00`, or of a number in a text.
#[must_use]
pub fn from_text(text: &str) -> Option<i64> {
    let bytes = text.trim().as_bytes();
    if bytes.get(4) != Some(&b'-') {
        return text.trim().parse().ok().and_then(from_number);
    }
    let date_and_time = bytes.get(..19)?;
    for (at, expect) in [
        (4, b"-".as_slice()),
        (7, b"-"),
        (10, b"Tt "),
        (13, b":"),
        (16, b":"),
    ] {
        if !expect.contains(date_and_time.get(at)?) {
            return None;
        }
    }
    let number = |from: usize, to: usize| digits(date_and_time.get(from..to)?);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let right = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let (fraction, zone) = fraction(bytes.get(19..)?)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    (right && seconds >= 0)
        .then(|| seconds.checked_mul(1_000_000_000)?.checked_add(fraction))
        .flatten()
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| {
        byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// Nanoseconds, and what stands behind the fraction.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(behind) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let count = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, zone) = behind.split_at_checked(count)?;
    let nine = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
    let nanos = nine.fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    (count > 0).then_some((nanos, zone))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    if matches!(zone, b"Z" | b"z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_first()?;
    let minutes = match *rest {
        [_, _, b':', _, _] => digits(rest.get(3..)?)?,
        [_, _, _, _] => digits(rest.get(2..)?)?,
        _ => return None,
    };
    let seconds = digits(rest.get(..2)?)? * 3600 + minutes * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, years beginning in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_their_unit_by_their_size() {
        for (number, expect) in [
            (1_750_946_400.0, Some(1_750_946_400_000_000_000)),
            (1_750_946_400.25, Some(1_750_946_400_250_000_000)),
            (1_750_946_400_123.0, Some(1_750_946_400_123_000_000)),
            (1_750_946_400_123_456.0, Some(1_750_946_400_123_456_000)),
            (1_750_946_400_000_000_000.0, Some(1_750_946_400_000_000_000)),
            (0.0, Some(0)),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e19, None),
        ] {
            assert_eq!(from_number(number), expect, "{number}");
        }
    }

    #[test]
    fn texts_are_rfc_3339() {
        for (text, expect) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-06-26T14:00:00.123Z", Some(1_782_482_400_123_000_000)),
            (
                "2026-06-26t16:00:00.123456789+02:00",
                Some(1_782_482_400_123_456_789),
            ),
            ("2026-06-26 08:30:00-0530", Some(1_782_482_400_000_000_000)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000_000_000)),
            (" 1750946400 ", Some(1_750_946_400_000_000_000)),
            ("2026-06-26T14:00:00", None),
            ("2026-06-26T14:00:00.Z", None),
            ("2025-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01T24:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("9999-12-31T23:59:59Z", None),
            ("2026-06-26", None),
            ("2026-06-26T14:00:00+2", None),
            ("noon", None),
            ("", None),
        ] {
            assert_eq!(from_text(text), expect, "{text}");
        }
    }
}
