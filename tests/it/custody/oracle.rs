//! The judge: joins what nodes were told to forget with what is in the topic, on values.
//!
//! Owns an independent rendering of the contract's JSON. Knows nothing of the agent's sequence numbers.

use std::collections::{BTreeMap, HashMap};

use crate::support::kafka::Record;
use crate::support::nodes::{Invented, Kind, Log};

/// What a kill of the agent may have caught under way: of each sensor, readings above `delivered` and below `made`.
#[derive(Clone, Debug)]
pub(super) struct Kill {
    /// How many of the sensor's readings were acknowledged for good, by sensor.
    pub(super) delivered: Vec<u64>,
    /// How many the sensor had given.
    pub(super) made: Vec<u64>,
}

/// What was found besides that all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) records: u64,
    pub(super) first: u64,
    pub(super) duplicates: u64,
    /// Runs of duplicates.
    pub(super) runs: u64,
    /// The longest of them.
    pub(super) longest: u64,
    /// The largest distance of `recordedAt` from when it was made, in milliseconds: how much too early, and too late.
    pub(super) early_ms: i64,
    pub(super) late_ms: i64,
}

/// Judges the whole topic. All that is wrong, at most 20 of it; an empty list is a pass.
pub(super) fn judge(records: &[Record], logs: &[Log], kills: &[Kill]) -> (Findings, Vec<String>) {
    let mut findings = Findings::default();
    let mut wrong = Vec::new();
    let mut by_key: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_key
            .entry(record.key.as_deref().unwrap_or_default())
            .or_default()
            .push(record);
    }
    for (sensor, log) in logs.iter().enumerate() {
        let mine = by_key.remove(log.id.as_str()).unwrap_or_default();
        findings.records += mine.len() as u64;
        of_sensor(sensor, log, &mine, kills, &mut findings, &mut wrong);
    }
    for (key, records) in by_key {
        wrong.push(format!("{} records of {key:?}, which nobody gave", records.len()));
    }
    let count = wrong.len();
    wrong.truncate(20);
    if count > 20 {
        wrong.push(format!("and {} more", count - 20));
    }
    (findings, wrong)
}

fn of_sensor(
    sensor: usize,
    log: &Log,
    records: &[&Record],
    kills: &[Kill],
    findings: &mut Findings,
    wrong: &mut Vec<String>,
) {
    let id = &log.id;
    let mut known = HashMap::new();
    for made in &log.made {
        let value = Invented::of(made.n).temperature.to_bits();
        assert!(known.insert(value, made).is_none(), "values come once per sensor");
    }
    if let Some(other) = records
        .iter()
        .find(|other| other.partition != records[0].partition)
    {
        wrong.push(format!(
            "{id} is on partitions {} and {}",
            records[0].partition, other.partition
        ));
    }
    let mut order = Vec::new();
    for record in records {
        let Some(made) = temperature(record.text()).and_then(|value| known.get(&value.to_bits())) else {
            wrong.push(format!("{id}: nobody gave this: {}", record.text()));
            continue;
        };
        order.push(made.n);
        let expect = texts(id, log.kind, made.n, record.timestamp);
        if !expect.iter().any(|expect| expect == record.text()) {
            wrong.push(format!("{id}: {} instead of {}", record.text(), expect[0]));
        }
        let off = record.timestamp - made.wall.div_euclid(1_000_000);
        findings.early_ms = findings.early_ms.max(-off);
        findings.late_ms = findings.late_ms.max(off);
    }
    check_order(sensor, id, &order, kills, findings, wrong);
    let mut there = order;
    there.sort_unstable();
    there.dedup();
    findings.first += there.len() as u64;
    let missing: Vec<u64> = log
        .made
        .iter()
        .map(|made| made.n)
        .filter(|n| there.binary_search(n).is_err())
        .collect();
    if let (Some(first), Some(last)) = (missing.first(), missing.last()) {
        wrong.push(format!(
            "{id}: {} missing between {first} and {last}",
            missing.len()
        ));
    }
}

/// Readings come in their order. Once for each kill at most, it goes back to one that the kill caught under way, and
/// from there on again in order.
fn check_order(
    sensor: usize,
    id: &str,
    order: &[u64],
    kills: &[Kill],
    findings: &mut Findings,
    wrong: &mut Vec<String>,
) {
    let mut kills = kills.iter();
    let (mut next, mut highest) = (0, 0);
    for &n in order {
        if n > next {
            wrong.push(format!("{id}: {n} comes where {next} should"));
        } else if n < next {
            let length = highest - n;
            let caught = |kill: &&Kill| kill.delivered[sensor] <= n && highest <= kill.made[sensor];
            if kills.by_ref().find(caught).is_none() {
                wrong.push(format!(
                    "{id}: {n} comes again behind {next}, and no kill has caught it"
                ));
            }
            findings.runs += 1;
            findings.longest = findings.longest.max(length);
        }
        findings.duplicates += u64::from(n < highest);
        next = n + 1;
        highest = highest.max(next);
    }
}

/// By the standard library's reading of numbers, which is exact: serde_json's is not.
fn temperature(text: &str) -> Option<f64> {
    let (_, rest) = text.split_once(",\"temperature\":")?;
    rest.split([',', '}']).next()?.parse().ok()
}

/// What the contract says of a reading that was recorded then, in milliseconds since 1970: for a clock that is
/// synchronized, one that is not, and a node's time that was estimated.
pub(super) fn texts(id: &str, kind: Kind, n: u64, ms: i64) -> [String; 3] {
    let invented = Invented::of(n);
    let mut text = format!(
        "{{\"sensorId\":\"{id}\",\"temperature\":{}",
        number(invented.temperature)
    );
    match kind {
        Kind::Plain => text += ",\"unit\":\"C\"",
        Kind::Bare => {}
        Kind::Two => {
            text += &format!(",\"humidity\":{}", number(invented.humidity));
            text += ",\"unit\":\"C\",\"units\":{\"humidity\":\"%\"}";
        }
        Kind::Mixed => {
            let state = invented
                .state
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\t', "\\t");
            text += &format!(",\"state\":\"{state}\",\"open\":{},\"unit\":\"C\"", invented.open);
        }
    }
    text += &format!(",\"recordedAt\":\"{}\"", utc(ms));
    if kind == Kind::Two {
        text += ",\"tags\":{\"site\":\"oslo\"}";
    }
    [
        text.clone() + "}",
        text.clone() + ",\"timeQuality\":\"unsynced\"}",
        text + ",\"timeQuality\":\"estimated\"}",
    ]
}

/// The standard library's shortest text that reads back the same.
fn number(value: f64) -> String {
    format!("{value}")
}

/// `2026-06-26T14:00:00.123Z`, counting the days of years and months.
fn utc(ms: i64) -> String {
    let (mut days, ms) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(is_leap(year)) {
        days -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!(
        "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        days + 1,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::nodes::Made;

    const AT: i64 = 1_782_482_400_123;

    fn log(count: u64) -> Log {
        let made = |n| Made {
            n,
            sequence: n + 1,
            wall: AT * 1_000_000,
            receipted: 0,
        };
        Log {
            id: "s".into(),
            kind: Kind::Two,
            made: (0..count).map(made).collect(),
        }
    }

    fn record(n: u64) -> Record {
        Record {
            partition: 1,
            offset: 0,
            timestamp_kind: "CreateTime".into(),
            timestamp: AT,
            headers: Vec::new(),
            key: Some("s".into()),
            value: Some(texts("s", Kind::Two, n, AT)[0].clone().into_bytes()),
        }
    }

    fn records(order: &[u64]) -> Vec<Record> {
        order.iter().map(|n| record(*n)).collect()
    }

    fn kill(delivered: u64, made: u64) -> Kill {
        Kill {
            delivered: vec![delivered],
            made: vec![made],
        }
    }

    #[test]
    fn the_rendering_is_the_contracts() {
        let tagged = r#"{"sensorId":"attic","temperature":4,"humidity":0.4,"unit":"C","units":{"humidity":"%"},"recordedAt":"2026-06-26T14:00:00.123Z","tags":{"site":"oslo"}}"#;
        assert_eq!(texts("attic", Kind::Two, 4, AT)[0], tagged);
        let mixed = r#"{"sensorId":"door","temperature":1.1,"state":"\"quoted\"\\1\tø","open":false,"unit":"C","recordedAt":"2024-02-29T23:59:59.999Z","timeQuality":"unsynced"}"#;
        assert_eq!(texts("door", Kind::Mixed, 1, 1_709_251_199_999)[1], mixed);
    }

    #[test]
    fn what_is_well_passes_and_what_is_not_is_named() {
        let check = |order: &[u64], kills: &[Kill], duplicates: u64, expect: &str| {
            let (findings, wrong) = judge(&records(order), &[log(6)], kills);
            assert_eq!(findings.duplicates, duplicates, "{order:?}");
            let found = wrong.first().map_or("", String::as_str);
            assert!(
                found.contains(expect) && found.is_empty() == expect.is_empty(),
                "{order:?} {wrong:?}"
            );
        };
        check(&[0, 1, 2, 3, 4, 5], &[], 0, "");
        check(&[0, 1, 2, 3, 1, 2, 3, 4, 5], &[kill(1, 4)], 3, "");
        check(
            &[0, 1, 2, 3, 1, 2, 3, 4, 5],
            &[kill(2, 4)],
            3,
            "no kill has caught it",
        );
        check(
            &[0, 1, 2, 3, 1, 2, 3, 4, 5],
            &[kill(1, 3)],
            3,
            "no kill has caught it",
        );
        check(&[0, 1, 2, 3, 1, 2, 3, 4, 5], &[], 3, "no kill has caught it");
        check(
            &[0, 1, 0, 1, 0, 1, 2, 3, 4, 5],
            &[kill(0, 6)],
            4,
            "no kill has caught it",
        );
        check(&[0, 1, 0, 1, 0, 1, 2, 3, 4, 5], &[kill(0, 6), kill(0, 6)], 4, "");
        check(&[0, 1, 3, 4, 5], &[], 0, "3 comes where 2 should");
        check(
            &[0, 1, 2, 3, 1, 3, 4, 5],
            &[kill(0, 6)],
            2,
            "3 comes where 2 should",
        );
        check(&[0, 1, 2, 3, 4], &[], 0, "1 missing between 5 and 5");
        check(&[0, 1, 2, 3, 4, 5, 6], &[], 0, "nobody gave this");
    }

    #[test]
    fn wrong_bytes_wrong_partitions_and_strangers_are_named() {
        let all = || records(&[0, 1]);
        let check = |change: &dyn Fn(&mut Record), expect: &str| {
            let mut records = all();
            change(&mut records[1]);
            let (_, wrong) = judge(&records, &[log(2)], &[]);
            assert!(wrong.iter().any(|wrong| wrong.contains(expect)), "{wrong:?}");
        };
        check(&|record| record.partition = 2, "on partitions 1 and 2");
        check(&|record| record.key = Some("t".into()), "nobody gave");
        check(&|record| record.timestamp += 1, "instead of");
        check(
            &|record| record.value = Some(record.text().replace("\"C\"", "\"F\"").into_bytes()),
            "instead of",
        );
    }
}
