//! Limits kept: on the memory store reading by reading, on sled by the bytes in the directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::BootId;
use crate::queue::cursor::Step;
use crate::queue::mailbox::Progress;
use crate::queue::memory_store::MemoryStore;
use crate::queue::open::{Queue, Settings, open};
use crate::queue::retention::WhenFull;
use crate::queue::sled_store::SledStore;
use crate::queue::store::Store;
use crate::queue::types::{OutputNo, Release};
use crate::reading::{
    Epoch, Measurement, Quality, Reading, SensorDef, SensorId, SensorNo, Value, ValueKind, Values,
};

const OUT: OutputNo = OutputNo(0);
const SECOND: u64 = 1_000_000_000;

fn at(second: u64) -> Stamp {
    Stamp {
        wall: i64::try_from(1_790_000_000 * SECOND + second * SECOND).unwrap(),
        mono: second * SECOND,
        quality: TimeQuality::Synchronized,
    }
}

fn limits(max_size: u64, when_full: WhenFull) -> Limits {
    Limits {
        max_size,
        when_full,
        ..Limits::default()
    }
}

fn opened(store: Arc<dyn Store>, limits: Limits, generation_bytes: u64, epoch: u64) -> Queue {
    let settings = Settings {
        generation_bytes,
        limits,
        outputs: 1,
        boot: BootId([1; 16]),
        fresh_epoch: Epoch(epoch),
    };
    open(store, &settings, at(0)).unwrap()
}

fn in_memory(store: &MemoryStore, limits: Limits, epoch: u64) -> Queue {
    store.set_capacity(Some(u64::MAX));
    opened(Arc::new(store.clone()), limits, 4096, epoch)
}

fn definitions(sensors: u32) -> Commit {
    let define = |number: u32| {
        let measurement = Measurement {
            name: "t".into(),
            kind: ValueKind::Number,
            unit: None,
        };
        let def = SensorDef {
            id: SensorId::new(&format!("s{number}")).unwrap(),
            measurements: vec![measurement],
            tags: vec![],
        };
        (SensorNo(number), Arc::new(def))
    };
    Commit {
        definitions: (0..sensors).map(define).collect(),
        ..Commit::default()
    }
}

/// So many readings of each of three sensors.
fn readings(count: u64, second: u64) -> Commit {
    let reading = |n: u64| Reading {
        sensor: SensorNo(u32::try_from(n % 3).unwrap()),
        time: at(second),
        quality: Quality::Good,
        values: Values::One(Value::Number((n * 7919 % 1000) as f64 / 7.0)),
    };
    Commit {
        readings: (0..3 * count).map(reading).collect(),
        ..Commit::default()
    }
}

/// What can still be read, by sensor.
fn readable(queue: &Queue) -> BTreeMap<u32, u64> {
    let mut found = BTreeMap::new();
    let mut cursor = queue.spools[0].cursor(queue.spools[0].start().head);
    while let Some(step) = cursor.step() {
        match step {
            Step::Standing { .. } => {}
            Step::Row(row) => {
                for run in row.runs {
                    *found.entry(run.sensor.0).or_default() += run.len() as u64;
                }
            }
            Step::Damaged { why, .. } => panic!("{why}"),
            Step::GivenUp { .. } => panic!("the head stands before what was given up"),
        }
    }
    found
}

/// Per sensor: what the ledger calls queued can be read, and it adds up.
fn adds_up(queue: &Queue) {
    let found = readable(queue);
    for (number, sensor) in (0..).zip(queue.observer.sensors()) {
        let ledger = sensor.ledger(OUT);
        let sum = ledger.delivered + ledger.queued + ledger.dead + ledger.dropped;
        assert_eq!(ledger.accepted, sum, "{ledger:?}");
        assert_eq!(
            ledger.queued,
            found.get(&number).copied().unwrap_or(0),
            "sensor {number}"
        );
    }
}

#[test]
fn the_oldest_generation_makes_room_and_every_sensors_ledger_adds_up() {
    let store = MemoryStore::new();
    let wanted = limits(40_000, WhenFull::DropOldest);
    let mut queue = in_memory(&store, wanted, 7);
    queue.appender.commit(definitions(3), at(1)).unwrap();
    for second in 2..200 {
        queue.appender.commit(readings(50, second), at(second)).unwrap();
        assert!(store.space().used <= 40_000 + 2_048, "{}", store.space().used);
        if second % 20 == 0 {
            adds_up(&queue);
        }
        if second % 60 == 0 {
            queue = in_memory(&store, wanted, 7);
            adds_up(&queue);
        }
    }
    let ledger = queue.observer.figures().ledger;
    assert!(ledger.dropped > 10_000 && ledger.queued > 1_000, "{ledger:?}");
    let of_size: u64 = queue
        .observer
        .sensors()
        .iter()
        .map(|s| s.outputs[0].dropped[0])
        .sum();
    assert_eq!(of_size, ledger.dropped, "all of it for the size");
}

#[test]
fn a_report_that_comes_after_the_drop_releases_nothing() {
    let store = MemoryStore::new();
    let mut queue = in_memory(&store, limits(20_000, WhenFull::DropOldest), 7);
    queue.appender.commit(definitions(3), at(1)).unwrap();
    for second in 2..80 {
        queue.appender.commit(readings(50, second), at(second)).unwrap();
    }
    let before = queue.observer.figures().ledger;
    let late = Release {
        output: OUT,
        sensor: SensorNo(1),
        epoch: Epoch(7),
        through: 40,
    };
    queue.spools[0].post(Progress {
        entries: vec![Entry::Release(late)],
        head: None,
        parks: vec![(SensorNo(1), 3)],
    });
    queue.appender.commit(Commit::default(), at(90)).unwrap();
    assert_eq!(queue.observer.figures().ledger, before);
    let dropped = queue.appender.take_dropped();
    let sum: u64 = dropped.iter().map(|dropped| dropped.readings).sum();
    assert_eq!(sum, before.dropped);
    assert!(
        dropped.iter().all(|dropped| dropped.sensors == 3),
        "one entry for each sensor"
    );
}

#[test]
fn drops_add_up_where_an_epoch_ended_and_where_some_was_delivered() {
    let store = MemoryStore::new();
    let wanted = limits(30_000, WhenFull::DropOldest);
    let mut queue = in_memory(&store, wanted, 7);
    queue.appender.commit(definitions(3), at(1)).unwrap();
    for second in 2..20 {
        queue.appender.commit(readings(40, second), at(second)).unwrap();
    }
    let through = Release {
        output: OUT,
        sensor: SensorNo(2),
        epoch: Epoch(7),
        through: 333,
    };
    queue.spools[0].post(Progress {
        entries: vec![Entry::Release(through)],
        ..Progress::default()
    });
    queue.appender.commit(Commit::default(), at(20)).unwrap();
    // The log turns out shorter than what is known: a new epoch.
    let tail = store.tail().unwrap();
    store.note_tail(crate::queue::store::Tail {
        next_row: tail.next_row + 5,
        ..tail
    });
    let mut queue = in_memory(&store, wanted, 8);
    for second in 21..150 {
        queue.appender.commit(readings(40, second), at(second)).unwrap();
        let ledger = queue.observer.figures().ledger;
        assert_eq!(
            ledger.accepted,
            ledger.delivered + ledger.queued + ledger.dropped,
            "{ledger:?}"
        );
    }
    let found: u64 = readable(&queue).values().sum();
    assert_eq!(queue.observer.figures().ledger.queued, found);
    assert_eq!(queue.observer.figures().ledger.delivered, 333);
}

#[test]
fn what_is_full_refuses_and_takes_again_when_something_was_delivered() {
    let store = MemoryStore::new();
    let mut queue = in_memory(&store, limits(20_000, WhenFull::RefuseNew), 7);
    queue.appender.commit(definitions(3), at(1)).unwrap();
    let mut second = 1;
    let refused = loop {
        second += 1;
        if let Err(error) = queue.appender.commit(readings(50, second), at(second)) {
            break error;
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused}");
    let before = queue.observer.figures().ledger;
    assert_eq!((before.accepted, before.dropped), (150 * (second - 2), 0));
    let through = |sensor: u32| {
        Entry::Release(Release {
            output: OUT,
            sensor: SensorNo(sensor),
            epoch: Epoch(7),
            through: before.accepted / 3,
        })
    };
    queue.spools[0].post(Progress {
        entries: (0..3).map(through).collect(),
        head: Some(queue.spools[0].tail()),
        parks: vec![],
    });
    queue.appender.commit(Commit::default(), at(second)).unwrap();
    queue.appender.admit(0, 150 * 24, at(second)).unwrap();
    queue.appender.commit(readings(50, second), at(second)).unwrap();
    assert_eq!(queue.observer.figures().ledger.queued, 150);
}

#[test]
fn age_is_told_by_the_clock_that_knows_it() {
    let store = MemoryStore::new();
    let wanted = Limits {
        max_age: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut queue = in_memory(&store, wanted, 7);
    let unsynced = |second: u64| Stamp {
        wall: i64::try_from(second * SECOND).unwrap(),
        mono: second * SECOND,
        quality: TimeQuality::Unsynced,
    };
    queue.appender.commit(definitions(3), unsynced(1)).unwrap();
    for second in 2..60 {
        queue
            .appender
            .commit(readings(50, second), unsynced(second))
            .unwrap();
    }
    let accepted = queue.observer.figures().ledger.accepted;
    // The clock is set: 56 years later within a second.
    queue.appender.tend(at(61)).unwrap();
    assert_eq!(queue.observer.figures().ledger.dropped, 0);
    // An hour later on the same clock as all along.
    queue.appender.tend(at(3600 + 30)).unwrap();
    let dropped = queue.observer.figures().ledger.dropped;
    assert!(dropped > 0 && dropped < accepted, "{dropped} of {accepted}");
    adds_up(&queue);
    let of_age: u64 = queue
        .observer
        .sensors()
        .iter()
        .map(|s| s.outputs[0].dropped[1])
        .sum();
    assert_eq!(of_age, dropped);
}

fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_in(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[test]
fn a_directory_of_16_mib_keeps_within_them() {
    let directory = tempfile::tempdir().unwrap();
    let wanted = limits(16 << 20, WhenFull::DropOldest);
    let store = Arc::new(SledStore::open(directory.path()).unwrap());
    let mut queue = opened(store.clone(), wanted, wanted.generation_bytes(), 7);
    queue.appender.commit(definitions(3), at(1)).unwrap();
    let (mut most, mut second) = (0, 1);
    while queue.observer.figures().ledger.dropped == 0 {
        second += 1;
        queue
            .appender
            .commit(readings(1_500, second), at(second))
            .unwrap();
        most = most.max(bytes_in(directory.path()));
        assert!(second < 3_000, "nothing was ever dropped: {most} bytes");
    }
    for _ in 0..50 {
        second += 1;
        queue
            .appender
            .commit(readings(1_500, second), at(second))
            .unwrap();
        most = most.max(bytes_in(directory.path()));
    }
    assert!(most <= 16 << 20, "{most}");
    adds_up(&queue);
    let generations = queue.observer.figures().generations;
    assert!(generations >= 5, "{generations}");
}
