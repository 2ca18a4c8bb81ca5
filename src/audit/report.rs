//! What is said of a tally: the verdict, a table for people, an object for programs.
//!
//! Owns the verdict and its exit code. Promises that 0 means all is well and was seen to be well. Pure.

mod text;

use serde::Serialize;

use super::ranges::Ranges;
use super::tally::{Late, Records, Series, Split, Tally};

/// The most ranges of one kind and sensor in the object for programs; the counts beside them are complete.
const MAX_RANGES: usize = 1000;

/// What counts as a fault beside what always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// A reading may be there more than once: consumers tell by its identity (`delivery = "at-least-once"`).
    #[default]
    DuplicatesAllowed,
    /// Once each (`delivery = "exactly-once"`).
    OnceEach,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every reading is there, in order.
    Well,
    /// Readings are missing, out of order, under one key in several partitions, or there twice where that is a fault.
    Faulty,
    /// Nothing wrong was found, and something could not be seen: removed by retention, not read, or nothing there at all.
    Inconclusive,
}

impl Verdict {
    /// The process's exit code, one of sysexits: 0 well, 65 (bad data) a fault is proven, 69 (unavailable) what would
    /// answer the question is not there.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Faulty => 65,
            Self::Inconclusive => 69,
        }
    }
}

/// One sensor in one epoch of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The gateway.
    pub device: Box<str>,
    /// Its queue's epoch.
    pub epoch: u64,
    /// The sensor.
    pub sensor: Box<str>,
    /// How many readings were heard, each counted once.
    pub count: u64,
    /// The lowest sequence number heard.
    pub first: u64,
    /// The highest one.
    pub last: u64,
    /// Neither heard nor excused.
    pub missing: Ranges,
    /// Not heard, and retention may have removed them.
    pub inconclusive: Ranges,
    /// How many readings were heard again.
    pub duplicates: u64,
    /// How many were heard after a higher one.
    pub disorder: u64,
    /// The first of these, and its topic and partition.
    pub first_late: Option<(Late, Box<str>, i32)>,
}

/// A key that was heard in several partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitKey {
    /// The topic.
    pub topic: Box<str>,
    /// The key, as text as far as it is text.
    pub key: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// All that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// The records that were heard.
    pub records: Records,
    /// The sensors, by device and name; epochs in the order in which they were heard.
    pub rows: Vec<Row>,
    /// Keys in several partitions.
    pub split_keys: Vec<SplitKey>,
    /// Whether everything was read that was there.
    pub complete: bool,
    strictness: Strictness,
}

impl Report {
    /// Of a tally; `complete` if everything was read that was there.
    #[must_use]
    pub fn of(tally: &Tally, complete: bool, strictness: Strictness) -> Self {
        let mut rows: Vec<Row> = tally.series.iter().map(|series| row(tally, series)).collect();
        // Stable: epochs stay in the order in which they were heard.
        rows.sort_by(|a, b| (&a.device, &a.sensor).cmp(&(&b.device, &b.sensor)));
        let mut report = Self {
            verdict: Verdict::Well,
            records: tally.records,
            rows,
            split_keys: tally.splits.iter().map(split_key).collect(),
            complete,
            strictness,
        };
        report.verdict = report.judge();
        report
    }

    /// The sum of something over all sensors.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&Row) -> u64) -> u64 {
        self.rows.iter().map(of).fold(0, u64::saturating_add)
    }

    /// Readings that were heard, each counted once.
    #[must_use]
    pub fn readings(&self) -> u64 {
        self.sum(|row| row.count)
    }

    /// Readings that should be there and are not.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.sum(|row| row.missing.len())
    }

    /// Readings that were heard again.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.sum(|row| row.duplicates)
    }

    /// Readings that were heard after a higher one.
    #[must_use]
    pub fn disorder(&self) -> u64 {
        self.sum(|row| row.disorder)
    }

    /// Readings that retention may have removed.
    #[must_use]
    pub fn inconclusive(&self) -> u64 {
        self.sum(|row| row.inconclusive.len())
    }

    fn judge(&self) -> Verdict {
        let twice = self.strictness == Strictness::OnceEach && self.duplicates() > 0;
        if self.missing() > 0 || self.disorder() > 0 || !self.split_keys.is_empty() || twice {
            Verdict::Faulty
        } else if self.inconclusive() > 0 || !self.complete || self.rows.is_empty() {
            Verdict::Inconclusive
        } else {
            Verdict::Well
        }
    }

    /// The object for programs, on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let object = Json {
            verdict: self.verdict,
            complete: self.complete,
            records: self.records.heard,
            foreign: self.records.foreign,
            other_devices: self.records.other_devices,
            readings: self.readings(),
            missing: self.missing(),
            duplicates: self.duplicates(),
            disorder: self.disorder(),
            inconclusive: self.inconclusive(),
            split_keys: &self.split_keys,
            series: self.rows.iter().map(JsonRow::of).collect(),
        };
        // Numbers, texts and lists: nothing that JSON cannot hold.
        serde_json::to_string(&object).unwrap_or_default()
    }
}

fn row(tally: &Tally, series: &Series) -> Row {
    let (mut seen, mut excused) = (Ranges::new(), Ranges::new());
    let (mut duplicates, mut disorder, mut elsewhere) = (0_u64, 0_u64, 0_u64);
    let mut first_late = None;
    for (part, place) in &series.places {
        duplicates = duplicates.saturating_add(place.duplicates);
        disorder = disorder.saturating_add(place.disorder);
        elsewhere = elsewhere.saturating_add(place.seen.len());
        seen.extend(&place.seen);
        excused.extend(&place.excused);
        if first_late.is_none() {
            first_late = place.first_late.map(|late| {
                let (topic, partition) = tally.place_of(*part);
                (late, topic.into(), partition)
            });
        }
    }
    let last = seen.last().unwrap_or(0);
    let absent = seen.complement(1, last);
    let missing = absent.minus(&excused);
    Row {
        device: series.device.clone(),
        epoch: series.epoch,
        sensor: series.sensor.clone(),
        count: seen.len(),
        first: seen.first().unwrap_or(0),
        last,
        inconclusive: absent.minus(&missing),
        missing,
        // Heard in several partitions: heard again as well.
        duplicates: duplicates.saturating_add(elsewhere.saturating_sub(seen.len())),
        disorder,
        first_late,
    }
}

fn split_key(split: &Split) -> SplitKey {
    SplitKey {
        topic: split.topic.clone(),
        key: String::from_utf8_lossy(&split.key).into_owned(),
        partitions: split.parts.iter().copied().collect(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    verdict: Verdict,
    complete: bool,
    records: u64,
    foreign: u64,
    other_devices: u64,
    readings: u64,
    missing: u64,
    duplicates: u64,
    disorder: u64,
    inconclusive: u64,
    split_keys: &'a [SplitKey],
    series: Vec<JsonRow<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonRow<'a> {
    device: &'a str,
    epoch: u64,
    sensor_id: &'a str,
    count: u64,
    first: u64,
    last: u64,
    missing: u64,
    missing_ranges: Vec<(u64, u64)>,
    duplicates: u64,
    disorder: u64,
    inconclusive: u64,
    inconclusive_ranges: Vec<(u64, u64)>,
}

impl<'a> JsonRow<'a> {
    fn of(row: &'a Row) -> Self {
        let ranges = |ranges: &Ranges| ranges.iter().take(MAX_RANGES).collect();
        Self {
            device: &row.device,
            epoch: row.epoch,
            sensor_id: &row.sensor,
            count: row.count,
            first: row.first,
            last: row.last,
            missing: row.missing.len(),
            missing_ranges: ranges(&row.missing),
            duplicates: row.duplicates,
            disorder: row.disorder,
            inconclusive: row.inconclusive.len(),
            inconclusive_ranges: ranges(&row.inconclusive),
        }
    }
}
