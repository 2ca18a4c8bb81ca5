//! A record as the Java console consumer prints it, taken apart again.
//!
//! Owns the separators that the console tools are told to use. Promises the value byte for byte.

/// Between the fields, records and headers that the console tools print and read: no JSON text and no sensor ID
/// contains them.
pub(super) const FIELD: &str = "\u{1f}";
pub(super) const RECORD: &str = "\u{1e}";
pub(super) const HEADER: &str = "\u{1d}";
pub(super) const NULL: &str = "\u{1a}";

/// One record as the Java console consumer shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    /// `CreateTime` or `LogAppendTime`.
    pub(crate) timestamp_kind: String,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: i64,
    /// In the order in which they stand in the record.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) key: Option<String>,
    /// Byte for byte; `None` is a tombstone.
    pub(crate) value: Option<Vec<u8>>,
}

impl Record {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value, which has to be UTF-8.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().expect("a value, not a tombstone")).expect("UTF-8")
    }
}

/// One line of the console consumer: time, partition, offset, headers, key, value.
pub(super) fn record(line: &[u8]) -> Record {
    let mut fields = line.splitn(6, |byte| *byte == FIELD.as_bytes()[0]);
    let mut raw = || {
        fields
            .next()
            .unwrap_or_else(|| panic!("six fields in {}", String::from_utf8_lossy(line)))
    };
    let mut field = || std::str::from_utf8(raw()).expect("UTF-8").to_owned();
    let (kind, timestamp) = field()
        .split_once(':')
        .map(|(kind, ms)| (kind.to_owned(), ms.parse().unwrap()))
        .unwrap();
    let partition = field()
        .strip_prefix("Partition:")
        .and_then(|n| n.parse().ok())
        .expect("a partition");
    let offset = field()
        .strip_prefix("Offset:")
        .and_then(|n| n.parse().ok())
        .expect("an offset");
    let headers = headers(&field());
    let key = Some(field()).filter(|key| key != NULL);
    let value = Some(raw().to_vec()).filter(|value| value != NULL.as_bytes());
    Record {
        partition,
        offset,
        timestamp_kind: kind,
        timestamp,
        headers,
        key,
        value,
    }
}

fn headers(field: &str) -> Vec<(String, String)> {
    if field == "NO_HEADERS" {
        return Vec::new();
    }
    let pairs = field
        .split(HEADER)
        .map(|pair| pair.split_once(':').expect("name:value"));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
