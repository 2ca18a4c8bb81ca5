//! What is given up is told in the same commit, exactly.

use std::sync::Arc;

use crate::event::{self, Kind};
use crate::queue::appender::Commit;
use crate::queue::cursor::Step;
use crate::queue::mailbox::Progress;
use crate::queue::memory_store::MemoryStore;
use crate::queue::open::tests::settings;
use crate::queue::open::{Queue, open};
use crate::queue::types::{DropReason, Entry, OutputNo, Release};
use crate::reading::{
    Epoch, Measurement, Quality, Reading, SensorDef, SensorId, SensorNo, Stamp, TimeQuality, Value,
    ValueKind, Values,
};

const SHED: SensorNo = SensorNo(0);
const EVENTS: SensorNo = SensorNo(1);

fn stamp() -> Stamp {
    Stamp {
        wall: 1_700_000_000_000_000_000,
        mono: 5,
        quality: TimeQuality::Synchronized,
    }
}

fn reopen(store: &MemoryStore, tells: bool) -> Queue {
    let mut queue = open(Arc::new(store.clone()), &settings(1, 7), stamp()).unwrap();
    if tells {
        queue.appender.tell_gaps(EVENTS);
    }
    queue
}

/// A queue that knows both sensors, with twenty readings.
fn filled(store: &MemoryStore, tells: bool) -> Queue {
    let mut queue = reopen(store, tells);
    let measurement = Measurement {
        name: "t".into(),
        kind: ValueKind::Number,
        unit: None,
    };
    let shed = SensorDef {
        id: SensorId::new("shed").unwrap(),
        measurements: vec![measurement],
        tags: vec![],
    };
    let reading = Reading {
        sensor: SHED,
        time: stamp(),
        quality: Quality::Good,
        values: Values::One(Value::Number(1.0)),
    };
    let commit = Commit {
        definitions: vec![
            (SHED, Arc::new(shed)),
            (EVENTS, Arc::new(event::definition().unwrap())),
        ],
        readings: vec![reading; 20],
        ..Commit::default()
    };
    queue.appender.commit(commit, stamp()).unwrap();
    queue
}

fn release(through: u64) -> Entry {
    Entry::Release(Release {
        output: OutputNo(0),
        sensor: SHED,
        epoch: Epoch(7),
        through,
    })
}

fn give_up(sensor: SensorNo, through: u64, reason: DropReason) -> Entry {
    Entry::Drop {
        sensor,
        epoch: Epoch(7),
        from: 1,
        through,
        reason,
    }
}

fn commit(queue: &mut Queue, entries: Vec<Entry>) {
    let progress = Progress {
        entries,
        ..Progress::default()
    };
    queue.spools[0].post(progress);
    queue.appender.commit(Commit::default(), stamp()).unwrap();
}

/// The events in the queue: sensor, epoch, from, through, reason.
fn stored(queue: &Queue) -> Vec<String> {
    let mut cursor = queue.spools[0].cursor(1);
    let mut found = Vec::new();
    while let Some(step) = cursor.step() {
        let Step::Row(row) = step else { continue };
        for run in row.runs.iter().filter(|run| run.sensor == EVENTS) {
            for index in 0..run.len() {
                let values: Vec<_> = run.columns.iter().map(|column| column.at(index)).collect();
                let shown = values.iter().map(|value| match value {
                    Value::Text(text) => text.to_string(),
                    Value::Number(number) => number.to_string(),
                    _ => "-".into(),
                });
                found.push(shown.collect::<Vec<_>>().join(" "));
            }
        }
    }
    found
}

#[test]
fn a_drop_and_its_gap_are_one_commit_and_the_range_is_what_the_ledger_says() {
    let store = MemoryStore::new();
    let mut queue = filled(&store, true);
    // What was delivered before is no gap, nor what is given up a second time, nor events themselves.
    let again = give_up(SHED, 9, DropReason::Size);
    commit(
        &mut queue,
        vec![release(4), give_up(SHED, 9, DropReason::Size), again],
    );
    commit(
        &mut queue,
        vec![
            give_up(SHED, 12, DropReason::Damaged),
            give_up(EVENTS, 1, DropReason::Size),
        ],
    );
    let expect = ["gap shed 7 5 9 size", "gap shed 7 10 12 damaged"];
    assert_eq!(stored(&queue), expect);
    let told = queue.appender.take_gaps();
    assert_eq!(
        (told.len(), told[0].kind, told[1].through),
        (2, Kind::Gap, Some(12))
    );

    // The power fails at the commit that gives up more: neither the drop nor the gap is there, and then both, once.
    let before = queue.observer.figures().ledger;
    assert_eq!(
        (before.accepted, before.delivered, before.dropped, before.queued),
        (20, 4, 8, 8)
    );
    store.fail_at_sync(store.syncs() + 1);
    queue.spools[0].post(Progress {
        entries: vec![give_up(SHED, 15, DropReason::Age)],
        ..Progress::default()
    });
    assert!(queue.appender.commit(Commit::default(), stamp()).is_err());
    drop(queue);
    store.cut_power();
    let mut queue = reopen(&store, true);
    assert_eq!(
        (stored(&queue).len(), queue.observer.figures().ledger),
        (2, before)
    );
    commit(&mut queue, vec![give_up(SHED, 15, DropReason::Age)]);
    assert_eq!(stored(&queue).last().unwrap(), "gap shed 7 13 15 age");

    // Events have their own ledger.
    let figures = queue.observer.figures();
    assert_eq!((figures.ledger.accepted, figures.ledger.dropped), (20, 11));
    assert_eq!((figures.events.accepted, figures.events.dropped), (3, 1));
}

#[test]
fn without_a_topic_gaps_are_told_and_not_stored() {
    let store = MemoryStore::new();
    let mut queue = filled(&store, false);
    commit(&mut queue, vec![give_up(SHED, 9, DropReason::Free)]);
    assert_eq!(stored(&queue), Vec::<String>::new());
    let told = queue.appender.take_gaps();
    assert_eq!(
        (told[0].from, told[0].through, told[0].reason.as_deref()),
        (Some(1), Some(9), Some("free"))
    );
}
