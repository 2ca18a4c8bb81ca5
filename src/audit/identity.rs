//! Whose reading a record is: what its headers, key and value say.
//!
//! Owns the reading of the headers `device`, `epoch` and `seq` and of the sensor's name. Promises that a record which is
//! not ours is told from one that is, whatever its bytes. Pure.

use std::borrow::Cow;

/// A record as a consumer hears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard<'a> {
    /// Its place in its partition.
    pub offset: i64,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
    /// The header `device`.
    pub device: Option<&'a [u8]>,
    /// The header `epoch`.
    pub epoch: Option<&'a [u8]>,
    /// The header `seq`.
    pub seq: Option<&'a [u8]>,
}

/// What a record of ours holds: readings `from..=through` of one sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The gateway.
    pub device: &'a str,
    /// Its queue's epoch.
    pub epoch: u64,
    /// The sensor.
    pub sensor: Cow<'a, str>,
    /// The first sequence number; at least 1.
    pub from: u64,
    /// The last one; at least `from`.
    pub through: u64,
}

impl<'a> Identity<'a> {
    /// Reads it; `None` for a record that is not ours.
    #[must_use]
    pub fn of(heard: &Heard<'a>) -> Option<Self> {
        let device = std::str::from_utf8(heard.device?)
            .ok()
            .filter(|name| !name.is_empty())?;
        let (from, through) = sequence(text(heard.seq)?)?;
        Some(Self {
            device,
            epoch: decimal(text(heard.epoch)?)?,
            sensor: sensor(heard.key, heard.value)?,
            from,
            through,
        })
    }
}

fn text(bytes: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(bytes?).ok()
}

/// Digits only: no sign, no blanks.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

/// `17`, or `17-20` in formats that put a whole span in one record.
fn sequence(text: &str) -> Option<(u64, u64)> {
    let (from, through) = text.split_once('-').unwrap_or((text, text));
    let (from, through) = (decimal(from)?, decimal(through)?);
    (0 < from && from <= through).then_some((from, through))
}

/// The sensor's name: what a JSON record says of itself (the key may be any template), else the key.
fn sensor<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Option<Cow<'a, str>> {
    value.and_then(named_first).or_else(|| {
        key.and_then(|key| std::str::from_utf8(key).ok())
            .map(Cow::Borrowed)
    })
}

/// The name in a record of `format = "json"`, where it stands first.
fn named_first(value: &[u8]) -> Option<Cow<'_, str>> {
    let rest = value.strip_prefix(br#"{"sensorId":"#)?;
    let quoted = rest.strip_prefix(b"\"")?;
    let end = quoted.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    if quoted.get(end) == Some(&b'"') {
        return std::str::from_utf8(quoted.get(..end)?).ok().map(Cow::Borrowed);
    }
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<String>();
    values.next()?.ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard<'a>(device: &'a str, epoch: &'a str, seq: &'a str, key: &'a str, value: &'a str) -> Heard<'a> {
        Heard {
            offset: 0,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            device: Some(device.as_bytes()),
            epoch: Some(epoch.as_bytes()),
            seq: Some(seq.as_bytes()),
        }
    }

    #[test]
    fn sequences_are_decimal_and_may_be_a_span() {
        for (text, expect) in [
            ("1", Some((1, 1))),
            ("17-20", Some((17, 20))),
            ("5-5", Some((5, 5))),
            ("18446744073709551615", Some((u64::MAX, u64::MAX))),
            ("0", None),
            ("0-3", None),
            ("4-3", None),
            ("", None),
            ("-", None),
            ("1-", None),
            ("-1", None),
            ("1-2-3", None),
            ("+1", None),
            (" 1", None),
            ("1.0", None),
            ("18446744073709551616", None),
        ] {
            assert_eq!(sequence(text), expect, "{text:?}");
        }
    }

    #[test]
    fn the_sensor_is_what_the_record_says_and_else_the_key() {
        for (key, value, expect) in [
            (
                "k",
                r#"{"sensorId":"shed-air","temperature":1}"#,
                Some("shed-air"),
            ),
            (
                "k",
                r#"{"sensorId":"a\"b\u00e5","temperature":1}"#,
                Some("a\"b\u{e5}"),
            ),
            ("k", r#"{"sensorId":7}"#, Some("k")),
            ("k", r#"{"sensorId":"cut"#, Some("k")),
            ("k", r#"{"temperature":1,"sensorId":"x"}"#, Some("k")),
            ("k", "", Some("k")),
        ] {
            let heard = heard("d", "1", "1", key, value);
            let found = Identity::of(&heard).map(|identity| identity.sensor.into_owned());
            assert_eq!(found.as_deref(), expect, "{value}");
        }
        let nameless = Heard {
            key: None,
            value: Some(b"\xff"),
            ..heard("d", "1", "1", "", "")
        };
        assert_eq!(Identity::of(&nameless), None);
    }

    #[test]
    fn a_record_without_sound_headers_is_not_ours() {
        let ours = heard("d", "12", "3", "s", "");
        assert!(Identity::of(&ours).is_some());
        for strange in [
            Heard { device: None, ..ours },
            Heard { epoch: None, ..ours },
            Heard { seq: None, ..ours },
            Heard {
                device: Some(b""),
                ..ours
            },
            Heard {
                device: Some(b"\xff"),
                ..ours
            },
            Heard {
                epoch: Some(b"x"),
                ..ours
            },
            Heard {
                seq: Some(b"x"),
                ..ours
            },
        ] {
            assert_eq!(Identity::of(&strange), None, "{strange:?}");
        }
    }
}
