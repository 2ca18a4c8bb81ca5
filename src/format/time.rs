//! Recorded times as text: RFC 3339 in UTC with three decimals.
//!
//! Owns the calendar. Promises `YYYY-MM-DDTHH:MM:SS.mmmZ` for every moment that 64 bits of nanoseconds hold (1677 to
//! 2262), and that readings of one day cost no calendar arithmetic but the first. Pure.

/// How long the text is.
pub(crate) const LENGTH: usize = 24;

const DAY_MS: i64 = 86_400_000;

/// Writes times, and remembers the day of the last one.
#[derive(Debug)]
pub(crate) struct Writer {
    day: i64,
    text: [u8; LENGTH],
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            day: 0,
            text: *b"1970-01-01T00:00:00.000Z",
        }
    }
}

impl Writer {
    /// The text of a time in milliseconds since 1970.
    pub(crate) fn text(&mut self, millis: i64) -> &[u8; LENGTH] {
        let (day, of_day) = (millis.div_euclid(DAY_MS), millis.rem_euclid(DAY_MS));
        if day != self.day {
            self.set_day(day);
        }
        let text = &mut self.text;
        let mut put = |at: usize, digits: i64, width: usize| {
            let mut rest = digits;
            for place in text[at..at + width].iter_mut().rev() {
                *place = digit(rest);
                rest /= 10;
            }
        };
        put(11, of_day / 3_600_000, 2);
        put(14, of_day / 60_000 % 60, 2);
        put(17, of_day / 1000 % 60, 2);
        put(20, of_day % 1000, 3);
        &self.text
    }

    fn set_day(&mut self, day: i64) {
        let (year, month, date) = civil(day);
        for (at, width, number) in [(0, 4, year), (5, 2, month), (8, 2, date)] {
            let mut rest = number;
            for place in self.text[at..at + width].iter_mut().rev() {
                *place = digit(rest);
                rest /= 10;
            }
        }
        self.day = day;
    }
}

fn digit(number: i64) -> u8 {
    b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or(0)
}

/// Year, month and day of the month of a day counted from 1970-01-01, in the Gregorian calendar (the well-known
/// reckoning in eras of 400 years that begin on a 1st of March).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::millis;

    #[test]
    fn times_are_truncated_to_milliseconds() {
        let mut writer = Writer::default();
        for (nanos, expect) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_782_482_400_123_999_999, "2026-06-26T14:00:00.123Z"),
            (1_750_946_400_000_000_000, "2025-06-26T14:00:00.000Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-1_000_000, "1969-12-31T23:59:59.999Z"),
            (-1_000_001, "1969-12-31T23:59:59.998Z"),
            (i64::MIN, "1677-09-21T00:12:43.145Z"),
            (i64::MAX, "2262-04-11T23:47:16.854Z"),
        ] {
            let text = std::str::from_utf8(writer.text(millis(nanos))).unwrap();
            assert_eq!(text, expect, "{nanos}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut date) = civil(-106_752);
        for day in -106_751..=106_751 {
            let next = civil(day);
            let same_month = next == (year, month, date + 1) && next.2 <= 31;
            let next_month = next == (year, month + 1, 1) && date >= 28;
            let next_year = next == (year + 1, 1, 1) && (month, date) == (12, 31);
            assert!(same_month || next_month || next_year, "day {day}: {next:?}");
            (year, month, date) = next;
        }
        assert_eq!((year, month, date), (2262, 4, 11));
    }
}
