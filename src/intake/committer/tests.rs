//! Receipts, progress and room, on the memory store.

use super::*;
use crate::clock::BootId;
use crate::intake::catalog::Catalog;
use crate::intake::inbox::{Batch, NodeKey};
use crate::intake::receipt::Receipts;
use crate::queue::mailbox::Progress;
use crate::queue::memory_store::MemoryStore;
use crate::queue::open::{Queue, Settings, open};
use crate::queue::retention::Limits;
use crate::queue::row::{Depth, decode};
use crate::queue::types::{Entry, OutputNo, Release};
use crate::reading::{Epoch, Measurement, Quality, Reading, SensorDef, SensorId, Value, ValueKind, Values};

fn queue(store: &MemoryStore) -> Queue {
    let settings = Settings {
        generation_bytes: 1 << 20,
        limits: Limits::default(),
        outputs: 1,
        boot: BootId::default(),
        fresh_epoch: Epoch(7),
    };
    open(Arc::new(store.clone()), &settings, Clock::new().stamp()).unwrap()
}

fn submit(inbox: &Inbox, receipts: &Arc<Receipts>, through: u64) {
    let measurement = Measurement {
        name: "t".into(),
        kind: ValueKind::Number,
        unit: None,
    };
    let def = SensorDef {
        id: SensorId::new("s").unwrap(),
        measurements: vec![measurement],
        tags: vec![],
    };
    let sensor = inbox.register(&Arc::from("test"), def).unwrap();
    let values = Values::One(Value::Number(1.0));
    let reading = Reading {
        sensor,
        time: Clock::new().stamp(),
        quality: Quality::Good,
        values,
    };
    let receipt = Some((receipts.clone(), through));
    inbox
        .try_submit(Batch {
            readings: vec![reading],
            receipt,
            ..Batch::default()
        })
        .unwrap();
}

fn start(store: &MemoryStore) -> (Arc<Inbox>, Queue, impl FnOnce(Appender) -> Committer + use<>) {
    let interval = Duration::from_millis(5);
    let inbox = Arc::new(Inbox::new(interval, Catalog::new(vec![], 10)));
    let other = inbox.clone();
    let make = move |appender| {
        Committer::new(
            other,
            appender,
            Arc::new(Clock::new()),
            interval,
            Arc::new(Tally::default()),
        )
    };
    (inbox, queue(store), make)
}

#[test]
fn a_receipt_is_given_after_the_sync_and_never_without_it() {
    let store = MemoryStore::new();
    let (inbox, queue, make) = start(&store);
    let receipts = Arc::new(Receipts::new(1, 0));
    submit(&inbox, &receipts, 1);
    let thread = std::thread::spawn(move || make(queue.appender).run());
    while receipts.through() < 1 {
        std::thread::yield_now();
    }
    store.fail_at_sync(store.syncs() + 1);
    submit(&inbox, &receipts, 2);
    assert!(
        thread.join().unwrap().is_err(),
        "the store's failure ends the thread"
    );
    assert_eq!(receipts.through(), 1, "no receipt for what was not synced");
}

#[test]
fn progress_is_committed_without_readings_and_then_there_is_silence() {
    let store = MemoryStore::new();
    let (inbox, queue, make) = start(&store);
    let before = store.syncs();
    let observer = queue.observer.clone();
    let thread = std::thread::spawn(move || make(queue.appender).run());
    queue.spools[0].post(Progress {
        head: Some(2),
        ..Progress::default()
    });
    inbox.nudge();
    while store.syncs() == before {
        std::thread::yield_now();
    }
    inbox.close();
    thread.join().unwrap().unwrap();
    assert_eq!(store.syncs(), before + 1);
    assert_eq!(observer.figures().rows, 1);
}

#[test]
fn a_commit_has_one_position_of_a_node_with_all_that_it_lost() {
    let store = MemoryStore::new();
    let (inbox, queue, make) = start(&store);
    let observer = queue.observer.clone();
    for (sequence, lost) in [(5, 3), (9, 4), (12, 0)] {
        let node = NodeKey(b"n"[..].into());
        let position = Some(NodePosition {
            node,
            boot: 1,
            sequence,
            lost,
        });
        let batch = Batch {
            position,
            ..Batch::default()
        };
        inbox.try_submit(batch).unwrap();
    }
    inbox.close();
    make(queue.appender).run().unwrap();
    assert_eq!(observer.figures().lost_upstream, 7);
    let rows = store.durable_rows(2);
    let entries = rows
        .iter()
        .flat_map(|(row, bytes)| decode(bytes, *row, Depth::All).unwrap().entries);
    let nodes: Vec<_> = entries.filter(|entry| matches!(entry, Entry::Node(_))).collect();
    assert!(
        matches!(&nodes[..], [Entry::Node(position)] if (position.sequence, position.lost) == (12, 7)),
        "{nodes:?}"
    );
}

/// A queue on a medium of that size.
fn small(store: &MemoryStore, capacity: u64) -> Queue {
    store.set_capacity(Some(capacity));
    queue(store)
}

#[test]
fn without_room_readings_wait_without_a_receipt_until_there_is_some() {
    let store = MemoryStore::new();
    let (inbox, _, make) = start(&store);
    let queue = small(&store, 0);
    let receipts = Arc::new(Receipts::new(1, 0));
    submit(&inbox, &receipts, 1);
    let observer = queue.observer.clone();
    let thread = std::thread::spawn(move || make(queue.appender).run());
    while !inbox.is_blocked() {
        std::thread::yield_now();
    }
    submit(&inbox, &receipts, 2);
    assert_eq!((receipts.through(), observer.figures().ledger.accepted), (0, 0));
    store.set_capacity(Some(1 << 20));
    while receipts.through() < 2 {
        std::thread::yield_now();
    }
    assert!(!inbox.is_blocked());
    inbox.close();
    thread.join().unwrap().unwrap();
    assert_eq!(observer.figures().ledger.accepted, 2, "each once");
}

#[test]
fn what_outputs_have_delivered_is_stored_though_there_is_no_room_for_readings() {
    let store = MemoryStore::new();
    let (inbox, _, make) = start(&store);
    let mut queue = small(&store, 1 << 20);
    queue
        .appender
        .commit(Commit::default(), Clock::new().stamp())
        .unwrap();
    let receipts = Arc::new(Receipts::new(1, 0));
    submit(&inbox, &receipts, 1);
    let thread = std::thread::spawn(move || make(queue.appender).run());
    while receipts.through() < 1 {
        std::thread::yield_now();
    }
    store.set_capacity(Some(0));
    submit(&inbox, &receipts, 2);
    while !inbox.is_blocked() {
        std::thread::yield_now();
    }
    let release = Entry::Release(Release {
        output: OutputNo(0),
        sensor: SensorNo(0),
        epoch: Epoch(7),
        through: 1,
    });
    queue.spools[0].post(Progress {
        entries: vec![release],
        ..Progress::default()
    });
    inbox.nudge();
    while queue.observer.figures().ledger.delivered < 1 {
        std::thread::yield_now();
    }
    assert_eq!(receipts.through(), 1);
    inbox.close();
    thread.join().unwrap().unwrap();
}
