//! The tally and the verdict: tables, and a model that keeps every record.

mod model;

use std::collections::BTreeMap;

use super::*;

/// One event of a feed, in small numbers.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A record with readings `from..=through` of a sensor.
    Record {
        part: i32,
        sensor: u8,
        from: u64,
        through: u64,
    },
    /// The next that many offsets of a partition are removed before they are read.
    Removed { part: i32, offsets: i64 },
}

/// Feeds a tally as the consumer does.
struct Feed {
    tally: Tally,
    next: BTreeMap<i32, i64>,
}

impl Feed {
    fn new() -> Self {
        Self {
            tally: Tally::new(None),
            next: BTreeMap::new(),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Record {
                part,
                sensor,
                from,
                through,
            } => self.record("gw", 7, part, &format!("s{sensor}"), &format!("{from}-{through}")),
            Event::Removed { part, offsets } => {
                let next = self.next.entry(part).or_default();
                *next += offsets;
                let number = self.tally.part("t", part);
                self.tally.removed(number, *next);
            }
        }
    }

    fn record(&mut self, device: &str, epoch: u64, part: i32, sensor: &str, seq: &str) {
        let next = self.next.entry(part).or_default();
        let offset = *next;
        *next += 1;
        let number = self.tally.part("t", part);
        let heard = Heard {
            offset,
            key: Some(sensor.as_bytes()),
            value: None,
            device: Some(device.as_bytes()),
            epoch: Some(epoch.to_string().leak().as_bytes()),
            seq: Some(seq.as_bytes()),
        };
        let heard_again = Heard {
            seq: Some(b"1-99"),
            ..heard
        };
        assert!(self.tally.record(number, &heard).is_some());
        // What was offered before is passed over, whatever it says.
        assert!(self.tally.record(number, &heard_again).is_none());
    }

    fn report(&self) -> Report {
        Report::of(&self.tally, true, Strictness::DuplicatesAllowed)
    }
}

fn one(part: i32, sequence: u64) -> Event {
    Event::Record {
        part,
        sensor: 1,
        from: sequence,
        through: sequence,
    }
}

fn ranges(ranges: &Ranges) -> Vec<(u64, u64)> {
    ranges.iter().collect()
}

/// What is expected of one sensor's row: missing, inconclusive, duplicates, disorder, and the verdict.
type Expect<'a> = (&'a [(u64, u64)], &'a [(u64, u64)], u64, u64, Verdict);

fn check(name: &str, events: &[Event], expect: Expect<'_>) {
    let mut feed = Feed::new();
    events.iter().for_each(|event| feed.event(*event));
    let report = feed.report();
    let [row] = &report.rows[..] else {
        panic!("{name}: one sensor, not {:?}", report.rows);
    };
    let found = (
        &*ranges(&row.missing),
        &*ranges(&row.inconclusive),
        row.duplicates,
        row.disorder,
        report.verdict,
    );
    assert_eq!(found, expect, "{name}");
}

fn run(part: i32, sequences: impl IntoIterator<Item = u64>) -> Vec<Event> {
    sequences
        .into_iter()
        .map(|sequence| one(part, sequence))
        .collect()
}

const fn removed(offsets: i64) -> Event {
    Event::Removed { part: 0, offsets }
}

#[test]
fn what_was_heard_is_judged() {
    use Verdict::{Faulty, Well};
    check("all there", &run(0, 1..=9), (&[], &[], 0, 0, Well));
    check("a hole", &run(0, [1, 2, 5]), (&[(3, 4)], &[], 0, 0, Faulty));
    check(
        "the first is missing",
        &run(0, [3]),
        (&[(1, 2)], &[], 0, 0, Faulty),
    );
    check(
        "a ticket again",
        &run(0, [1, 2, 3, 2, 3, 4]),
        (&[], &[], 2, 0, Well),
    );
    check("late is disorder", &run(0, [1, 3, 2]), (&[], &[], 0, 1, Faulty));
    check(
        "late, then again",
        &run(0, [1, 3, 2, 2, 3]),
        (&[], &[], 2, 1, Faulty),
    );
    let span = |from, through| Event::Record {
        part: 0,
        sensor: 1,
        from,
        through,
    };
    check("spans", &[span(1, 5), span(4, 9)], (&[], &[], 2, 0, Well));
    check(
        "a late span",
        &[span(1, 2), span(6, 9), span(2, 7)],
        (&[], &[], 3, 3, Faulty),
    );
}

#[test]
fn what_retention_removed_is_neither_missing_nor_fine() {
    use Verdict::{Faulty, Inconclusive, Well};
    let after = |offsets: i64, events: Vec<Event>| -> Vec<Event> {
        [removed(offsets)].into_iter().chain(events).collect()
    };
    check(
        "trimmed",
        &after(4, run(0, 5..=9)),
        (&[], &[(1, 4)], 0, 0, Inconclusive),
    );
    check(
        "trimmed, all there",
        &after(4, run(0, 1..=9)),
        (&[], &[], 0, 0, Well),
    );
    check(
        "a hole behind it",
        &after(4, run(0, [5, 8])),
        (&[(6, 7)], &[(1, 4)], 0, 0, Faulty),
    );
    check(
        "a resend of what was removed is no disorder",
        &after(2, run(0, [7, 5, 6, 7, 8])),
        (&[], &[(1, 4)], 1, 0, Inconclusive),
    );
    let mut overtaken = run(0, 1..=3);
    overtaken.push(removed(5));
    overtaken.extend(run(0, [9, 10, 12]));
    check(
        "removed while it was read",
        &overtaken,
        (&[(11, 11)], &[(4, 8)], 0, 0, Faulty),
    );
    check(
        "another partition was trimmed",
        &[run(1, [3]), vec![removed(5)]].concat(),
        (&[(1, 2)], &[], 0, 0, Faulty),
    );
}

#[test]
fn a_key_in_two_partitions_is_a_fault() {
    let mut feed = Feed::new();
    run(0, 1..=4)
        .into_iter()
        .chain(run(2, 4..=6))
        .for_each(|event| feed.event(event));
    let report = feed.report();
    assert_eq!(report.verdict, Verdict::Faulty);
    assert_eq!(
        (report.missing(), report.duplicates(), report.disorder()),
        (0, 1, 0)
    );
    let [split] = &report.split_keys[..] else {
        panic!("{report}")
    };
    assert_eq!((&*split.key, &*split.partitions), ("s1", &[0, 2][..]));
}

#[test]
fn devices_epochs_and_sensors_are_apart() {
    let mut feed = Feed::new();
    for (device, epoch, sensor, seq) in [
        ("a", 1, "x", "1"),
        ("a", 2, "x", "1"),
        ("b", 1, "x", "1"),
        ("a", 1, "y", "1"),
        ("a", 1, "x", "2"),
    ] {
        feed.record(device, epoch, 0, sensor, seq);
    }
    let report = feed.report();
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (&*row.device, &*row.sensor, row.epoch, row.count))
        .collect();
    let expect = [
        ("a", "x", 1, 2),
        ("a", "x", 2, 1),
        ("a", "y", 1, 1),
        ("b", "x", 1, 1),
    ];
    assert_eq!((rows.as_slice(), report.verdict), (&expect[..], Verdict::Well));
}

#[test]
fn strangers_are_counted_and_the_device_chosen() {
    let mut tally = Tally::new(Some("gw"));
    let part = tally.part("t", 0);
    let ours = Heard {
        key: Some(b"s"),
        device: Some(b"gw"),
        epoch: Some(b"1"),
        seq: Some(b"1"),
        ..Heard::default()
    };
    let records = [
        ours,
        Heard {
            device: Some(b"other"),
            ..ours
        },
        Heard { seq: None, ..ours },
        Heard {
            seq: Some(b"2"),
            ..ours
        },
    ];
    for (offset, heard) in (0..).zip(records) {
        tally.record(part, &Heard { offset, ..heard });
    }
    let report = Report::of(&tally, true, Strictness::OnceEach);
    let Records {
        heard,
        foreign,
        other_devices,
    } = report.records;
    assert_eq!((heard, foreign, other_devices), (4, 1, 1));
    assert_eq!((report.readings(), report.verdict), (2, Verdict::Well));
}

#[test]
fn nothing_is_fine_that_was_not_seen() {
    let nothing = Report::of(&Tally::new(None), true, Strictness::DuplicatesAllowed);
    assert_eq!(nothing.verdict, Verdict::Inconclusive);
    let mut feed = Feed::new();
    run(0, [1, 2, 2]).into_iter().for_each(|event| feed.event(event));
    for (complete, strictness, expect) in [
        (true, Strictness::DuplicatesAllowed, Verdict::Well),
        (false, Strictness::DuplicatesAllowed, Verdict::Inconclusive),
        (true, Strictness::OnceEach, Verdict::Faulty),
        (false, Strictness::OnceEach, Verdict::Faulty),
    ] {
        assert_eq!(Report::of(&feed.tally, complete, strictness).verdict, expect);
    }
}

#[test]
fn ten_million_readings_take_no_memory_to_speak_of() {
    let mut feed = Feed::new();
    for from in (1..=10_000_000).step_by(10_000) {
        feed.event(Event::Record {
            part: 0,
            sensor: 1,
            from,
            through: from + 9_999,
        });
    }
    assert_eq!(feed.report().readings(), 10_000_000);
    let pieces: usize = feed
        .tally
        .series
        .iter()
        .flat_map(|series| &series.places)
        .map(|(_, place)| place.seen.pieces())
        .sum();
    assert_eq!(pieces, 1);
}

#[test]
fn the_report_can_be_read() {
    let mut feed = Feed::new();
    [run(0, [1, 2, 2, 5, 4]), run(1, [6])]
        .concat()
        .into_iter()
        .for_each(|event| feed.event(event));
    feed.event(removed(3));
    feed.record("gw", 9, 0, "other", "5-6");
    let report = feed.report();
    let text = "\
7 records: 7 readings of 2 sensors; 0 records are not from edgespool, 0 of other devices

DEVICE  SENSOR  EPOCH  COUNT  FIRST  LAST  MISSING  DUPLICATES  DISORDER
gw      other   9          2      5     6     0+4?           0         0
gw      s1      7          5      1     6        1           1         1

missing: gw s1 epoch 7: 3
out of order: gw s1 epoch 7: 4 came after 5 at offset 4 of t partition 0
key \"s1\" of topic t is in partitions 0, 1
removed by retention or missing: gw other epoch 9: 1-4
verdict: faulty: readings missing: 1; readings after a later one: 1; keys in more than one partition: 1";
    assert_eq!(report.to_string(), text);
    let json = r#"{"verdict":"faulty","complete":true,"records":7,"foreign":0,"otherDevices":0,"readings":7,"missing":1,"duplicates":1,"disorder":1,"inconclusive":4,"splitKeys":[{"topic":"t","key":"s1","partitions":[0,1]}],"series":[{"device":"gw","epoch":9,"sensorId":"other","count":2,"first":5,"last":6,"missing":0,"missingRanges":[],"duplicates":0,"disorder":0,"inconclusive":4,"inconclusiveRanges":[[1,4]]},{"device":"gw","epoch":7,"sensorId":"s1","count":5,"first":1,"last":6,"missing":1,"missingRanges":[[3,3]],"duplicates":1,"disorder":1,"inconclusive":0,"inconclusiveRanges":[]}]}"#;
    assert_eq!(report.json(), json);
}
