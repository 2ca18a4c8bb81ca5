//! Opening, reading, releasing and damage, on the memory store.

use super::*;
use crate::queue::appender::Commit;
use crate::queue::cursor::Step;
use crate::queue::mailbox::Progress;
use crate::queue::memory_store::MemoryStore;
use crate::queue::types::{Column, Release};
use crate::reading::{
    Measurement, Quality, Reading, SensorId, SensorNo, TimeQuality, Value, ValueKind, Values,
};

const OUT: OutputNo = OutputNo(0);

fn stamp(second: i64) -> Stamp {
    Stamp {
        wall: 1_700_000_000_000_000_000 + second * 1_000_000_000,
        mono: 5,
        quality: TimeQuality::Synchronized,
    }
}

pub(crate) fn settings(boot: u8, epoch: u64) -> Settings {
    Settings {
        generation_bytes: 4096,
        limits: Limits::default(),
        outputs: 1,
        boot: BootId([boot; 16]),
        fresh_epoch: Epoch(epoch),
    }
}

fn reopen(store: &MemoryStore, boot: u8, epoch: u64) -> Queue {
    open(Arc::new(store.clone()), &settings(boot, epoch), stamp(0)).unwrap()
}

fn def(sensor: u32) -> (SensorNo, Arc<SensorDef>) {
    let measurement = Measurement {
        name: "temperature".into(),
        kind: ValueKind::Number,
        unit: None,
    };
    let id = SensorId::new(&format!("s{sensor}")).unwrap();
    (
        SensorNo(sensor),
        Arc::new(SensorDef {
            id,
            measurements: vec![measurement],
            tags: vec![],
        }),
    )
}

fn readings(sensor: u32, values: std::ops::Range<i32>) -> Vec<Reading> {
    let reading = |value: i32| Reading {
        sensor: SensorNo(sensor),
        time: stamp(i64::from(value)),
        quality: Quality::Good,
        values: Values::One(Value::Number(f64::from(value))),
    };
    values.map(reading).collect()
}

fn commit(queue: &mut Queue, definitions: &[u32], readings: Vec<Reading>) {
    let definitions = definitions.iter().map(|sensor| def(*sensor)).collect();
    let expect = readings.len() as u64;
    let done = queue
        .appender
        .commit(
            Commit {
                definitions,
                readings,
                ..Commit::default()
            },
            stamp(1),
        )
        .unwrap();
    assert_eq!((done.accepted, done.invalid), (expect, 0));
}

/// (epoch, sensor, sequence, value)
type Found = (u64, u32, u64, f64);

/// All readings from a row on, and the damaged rows.
fn read(queue: &Queue, from: RowNo) -> (Vec<Found>, Vec<RowNo>) {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    let mut cursor = queue.spools[0].cursor(from);
    while let Some(step) = cursor.step() {
        match step {
            Step::Damaged { from, through, .. } | Step::GivenUp { from, through } => {
                damaged.extend(from..=through)
            }
            Step::Standing { .. } => {}
            Step::Row(row) => {
                for run in &row.runs {
                    assert!(cursor.def(run.sensor).is_some(), "a reading without a definition");
                    let Column::Numbers(numbers) = &run.columns[0] else {
                        panic!()
                    };
                    found.extend(
                        (run.first..)
                            .zip(numbers)
                            .map(|(seq, n)| (row.epoch.0, run.sensor.0, seq, *n)),
                    );
                }
            }
        }
    }
    (found, damaged)
}

fn release(queue: &mut Queue, sensor: u32, epoch: u64, through: u64, head: Option<RowNo>) {
    let release = Release {
        output: OUT,
        sensor: SensorNo(sensor),
        epoch: Epoch(epoch),
        through,
    };
    queue.spools[0].post(Progress {
        entries: vec![Entry::Release(release)],
        head,
        parks: vec![],
    });
    commit(queue, &[], vec![]);
}

#[test]
fn readings_come_back_over_generations_and_reopening() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    assert_eq!(queue.findings, [Finding::Created { epoch: Epoch(77) }]);
    commit(&mut queue, &[0, 1], readings(0, 0..3));
    let mut expect: Vec<_> = (0..3).map(|i| (77, 0, i as u64 + 1, f64::from(i))).collect();
    for round in 0..40 {
        if round % 10 == 9 {
            queue = reopen(&store, round as u8, 99);
        }
        commit(&mut queue, &[], readings(1, round * 100..round * 100 + 100));
        expect.extend((0..100).map(|i| (77, 1, (round * 100 + i) as u64 + 1, f64::from(round * 100 + i))));
    }
    assert!(store.list().unwrap().len() > 3, "several generations");
    assert_eq!(read(&queue, 1), (expect.clone(), vec![]));
    let middle = *store.list().unwrap().get(1).unwrap() + 2;
    let (tail, damaged) = read(&queue, middle);
    assert!(
        !tail.is_empty() && expect.ends_with(&tail) && damaged.is_empty(),
        "a cursor may start anywhere"
    );
    assert_eq!(queue.observer.figures().ledger.accepted, 4003);
}

#[test]
fn nothing_is_written_for_nothing() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    commit(&mut queue, &[0], readings(0, 0..1));
    let syncs = store.syncs();
    commit(&mut queue, &[], vec![]);
    assert_eq!(store.syncs(), syncs);
    commit(&mut queue, &[], readings(0, 1..2));
    assert_eq!(store.syncs(), syncs + 1, "one commit, one sync");
}

#[test]
fn a_power_cut_costs_what_was_not_committed_and_nothing_else() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    commit(&mut queue, &[0], readings(0, 0..10));
    store.fail_at_sync(store.syncs() + 1);
    let lost = Commit {
        readings: readings(0, 10..20),
        ..Commit::default()
    };
    assert!(queue.appender.commit(lost, stamp(1)).is_err());
    drop(queue);
    store.cut_power();
    let mut queue = reopen(&store, 2, 99);
    commit(&mut queue, &[], readings(0, 50..52));
    let (found, damaged) = read(&queue, 1);
    assert_eq!(
        found.iter().map(|r| r.2).collect::<Vec<_>>(),
        (1..=12).collect::<Vec<_>>()
    );
    assert_eq!((found[10], damaged.len()), ((77, 0, 11, 50.0), 0));
}

#[test]
fn what_is_released_is_removed_by_generations_and_the_ledger_stays_exact() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    commit(&mut queue, &[0], readings(0, 0..1));
    for round in 0..60 {
        commit(&mut queue, &[], readings(0, round * 100..round * 100 + 100));
    }
    let before = store.list().unwrap();
    let head = before[before.len() - 2];
    release(&mut queue, 0, 77, 4000, Some(head));
    release(&mut queue, 0, 77, 3000, None);
    commit(&mut queue, &[], vec![]);
    let after = store.list().unwrap();
    assert_eq!(
        after.first(),
        Some(&head),
        "everything before the head is gone: {before:?}"
    );
    let ledger = reopen(&store, 2, 99).observer.figures().ledger;
    assert_eq!(
        (ledger.accepted, ledger.delivered, ledger.queued),
        (6001, 4000, 2001)
    );
}

#[test]
fn a_parked_lane_holds_its_generation() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    commit(&mut queue, &[0], readings(0, 0..1));
    let parks = vec![(SensorNo(0), 2)];
    queue.spools[0].post(Progress {
        entries: vec![],
        head: Some(500),
        parks,
    });
    for round in 0..60 {
        commit(&mut queue, &[], readings(0, round * 100..round * 100 + 100));
    }
    assert_eq!(store.list().unwrap()[0], 1);
    let start = reopen(&store, 2, 99).spools[0].start();
    assert_eq!((start.head, start.parked), (500, vec![(SensorNo(0), 2)]));
}

#[test]
fn a_lost_tail_is_noticed_and_gets_a_new_epoch() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    commit(&mut queue, &[0], readings(0, 0..10));
    commit(&mut queue, &[], readings(0, 10..20));
    let next = queue.spools[0].tail();
    drop(queue);
    store.lose_row(next - 1);
    let mut queue = reopen(&store, 1, 99);
    let lost = Finding::LostTail {
        from: next - 1,
        known: next,
    };
    let renewed = Finding::Renewed { epoch: Epoch(99) };
    let found = |finding| queue.findings.contains(finding);
    assert!(found(&lost) && found(&renewed), "{:?}", queue.findings);
    commit(&mut queue, &[], readings(0, 20..25));
    let (found, damaged) = read(&queue, 1);
    assert_eq!(damaged, [next - 1]);
    let expect = (1..=10).map(|seq| (77, seq)).chain((1..=5).map(|seq| (99, seq)));
    assert_eq!(
        found.iter().map(|r| (r.0, r.2)).collect::<Vec<_>>(),
        expect.collect::<Vec<_>>()
    );
    assert_eq!(
        reopen(&store, 1, 55).spools[0].cursor(1).def(SensorNo(0)),
        None,
        "nothing was read yet"
    );
}

#[test]
fn a_missing_row_is_named_and_what_follows_is_read() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    for round in 0..3 {
        commit(
            &mut queue,
            if round == 0 { &[0] } else { &[] },
            readings(0, round * 10..round * 10 + 10),
        );
    }
    let tail = queue.spools[0].tail();
    store.lose_row(tail - 2);
    let (found, damaged) = read(&queue, 1);
    assert_eq!((found.len(), damaged), (20, vec![tail - 2]));
    drop(queue);
    let queue = reopen(&store, 1, 99);
    assert!(
        queue
            .findings
            .iter()
            .any(|finding| matches!(finding, Finding::DamagedRows { .. }))
    );
    assert_eq!(
        queue.observer.figures().ledger.accepted,
        30,
        "what was jumped over had been accepted"
    );
}

#[test]
fn readings_that_no_row_can_hold_are_refused_and_counted() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 77);
    let mut bad = readings(0, 0..4);
    bad[0].values = Values::One(Value::Text("x".repeat(4000).into()));
    bad[1].values = Values::Many(vec![Value::Absent, Value::Absent].into());
    bad[2].sensor = SensorNo(9);
    let commit = Commit {
        definitions: vec![def(0)],
        readings: bad,
        ..Commit::default()
    };
    let done = queue.appender.commit(commit, stamp(1)).unwrap();
    assert_eq!((done.accepted, done.invalid), (1, 3));
    assert_eq!(read(&queue, 1).0, [(77, 0, 1, 3.0)]);
}

#[test]
fn rows_that_a_killed_process_left_unsynced_are_durable_before_anybody_reads_them() {
    let store = MemoryStore::new();
    let mut queue = reopen(&store, 1, 7);
    commit(&mut queue, &[0], readings(0, 0..1));
    store.fail_at_sync(store.syncs() + 1);
    let killed = Commit {
        readings: readings(0, 1..2),
        ..Commit::default()
    };
    assert!(queue.appender.commit(killed, stamp(2)).is_err());
    drop(queue);
    // The same boot: what was written is still in the page cache.
    store.fail_at_sync(u64::MAX);
    let queue = reopen(&store, 1, 8);
    let (sent, _) = read(&queue, 1);
    drop(queue);
    store.cut_power();
    let mut queue = reopen(&store, 2, 9);
    commit(&mut queue, &[], readings(0, 5..6));
    let (found, _) = read(&queue, 1);
    for reading in sent {
        let (epoch, sensor, sequence, value) = reading;
        let same = |other: &&Found| (other.0, other.1, other.2) == (epoch, sensor, sequence);
        let again = found.iter().find(same).map(|found| found.3);
        assert_eq!(
            again,
            Some(value),
            "{reading:?} could be sent, so it keeps its number"
        );
    }
}
