//! Raw files: real ones of the store, and made ones with what a power cut leaves.

use std::fs;

use super::*;
use crate::queue::names;
use crate::queue::raw_store::RawStore;
use crate::queue::row::{Header, Packer};
use crate::queue::sled_store::SledStore;
use crate::queue::store::{Store, Tail};
use crate::queue::types::{Column, Marks, MonoColumn, Run, Session};
use crate::reading::{Epoch, Quality, SensorNo, TimeQuality, Value};

/// A commit of one session, with rows from `first` on that hold this text and some numbers.
fn commit(session: (u64, RowNo), first: RowNo, text: &str, count: usize) -> Vec<(RowNo, Vec<u8>)> {
    let values = (0..count).map(|i| Value::Text(format!("{text}-{i}").into()));
    commit_of(session, first, values.collect())
}

fn commit_of(session: (u64, RowNo), first: RowNo, values: Vec<Value>) -> Vec<(RowNo, Vec<u8>)> {
    let session = Session {
        number: session.0,
        began: session.1,
    };
    let header = Header {
        session,
        epoch: Epoch(7),
        boot: 1,
        committed: 1_700_000_000_000_000_000,
        synchronized: true,
        offset: 0,
    };
    let mut packer = Packer::new(header, first);
    packer.run(&Run {
        sensor: SensorNo(0),
        first: 1,
        wall: vec![header.committed; values.len()],
        mono: MonoColumn::Offset(0),
        marks: Marks::All(Quality::Good, TimeQuality::Synchronized),
        columns: vec![Column::Mixed(values)],
        encoded: 0,
    });
    packer.finish()
}

fn scan(bytes: &[u8]) -> RawGeneration {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("db"), bytes).unwrap();
    RawGeneration::scan(directory.path(), 1..RowNo::MAX).unwrap()
}

/// What is found under each number.
fn found(raw: &RawGeneration) -> Vec<(RowNo, Vec<u8>)> {
    raw.numbers()
        .map(|number| (number, raw.read(number).unwrap().unwrap()))
        .collect()
}

fn joined(rows: &[(RowNo, Vec<u8>)]) -> Vec<u8> {
    rows.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
}

fn everything(directory: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        let content = if metadata.is_dir() {
            all.append(&mut everything(&path));
            vec![]
        } else {
            fs::read(&path).unwrap()
        };
        all.push((path, content, metadata.modified().unwrap()));
    }
    all.sort();
    all
}

#[test]
fn every_row_that_the_store_holds_is_found_and_no_byte_changes() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    let mut rows = commit((1, 1), 1, "first", 90);
    let mut generation = store.create(&rows).unwrap();
    let mut session = (1, 1);
    for round in 0..120_u64 {
        let next = rows.last().unwrap().0 + 1;
        if round % 40 == 39 {
            drop(generation);
            generation = store.resume(1, next).unwrap();
            session = (session.0 + 1, next);
        }
        let more = commit(
            session,
            next,
            "more",
            usize::try_from(round % 7).unwrap() * 40 + 1,
        );
        generation.append(&more).unwrap();
        rows.extend(more);
    }
    store.note_tail(Tail {
        generation: 1,
        next_row: rows.last().unwrap().0 + 1,
    });
    drop((generation, store));
    let before = everything(directory.path());
    let store = RawStore::open(directory.path()).unwrap();
    assert_eq!(store.list().unwrap(), [1]);
    let raw = store.scan(1).unwrap();
    assert!(found(&raw) == rows);
    assert_eq!(raw.missing(rows.last().unwrap().0 + 1), []);
    assert_eq!(
        (raw.ambiguous().len(), raw.newer(), raw.unreadable()),
        (0, None, 0)
    );
    assert_eq!(raw.at_or_after(3).unwrap(), Some(3));
    assert_eq!(store.tail().unwrap().next_row, rows.last().unwrap().0 + 1);
    let refused = store.create(&rows);
    assert!(refused.is_err() && store.remove(1).is_err() && raw.append(&rows).is_err());
    assert!(everything(directory.path()) == before);
}

#[test]
fn what_a_torn_commit_left_is_void_when_a_later_session_took_its_numbers() {
    let old = commit((1, 1), 1, "old", 900);
    let kept = 3;
    assert!(old.len() > 6, "{}", old.len());
    let new = commit((2, kept + 1), kept + 1, "new", 300);
    let both = [joined(&old), joined(&new)].concat();
    let raw = scan(&both);
    let mut expect: Vec<_> = old[..3].to_vec();
    expect.extend(new.clone());
    assert!(found(&raw) == expect);
    assert_eq!(raw.void(), old.len() - 3);
    // Also where the later session's own first row is lost: any of its rows says where it began.
    let without = [joined(&old), joined(&new[1..])].concat();
    let raw = scan(&without);
    assert_eq!(raw.missing(new.last().unwrap().0 + 1), [(4, 4)]);
    assert!(found(&raw)[3..] == new[1..]);
}

#[test]
fn two_different_rows_of_one_session_and_number_are_neither() {
    let (one, other) = (commit((1, 1), 1, "one", 5), commit((1, 1), 1, "other", 5));
    let raw = scan(&[joined(&one), joined(&other), joined(&one)].concat());
    assert_eq!((raw.len(), raw.ambiguous().len()), (0, 1));
}

#[test]
fn a_row_is_found_at_any_offset_and_a_damaged_copy_hides_no_other() {
    let rows = commit((1, 1), 1, "x", 100);
    for shift in [0, 1, PIECE - 700, PIECE - 1, PIECE, PIECE + 3] {
        let bytes = [vec![0x65; shift], joined(&rows), vec![0; 9]].concat();
        assert!(found(&scan(&bytes)) == rows, "{shift}");
    }
    let mut damaged = joined(&rows);
    damaged[60] ^= 4;
    assert!(found(&scan(&damaged)) == rows[1..]);
    assert!(found(&scan(&[damaged, joined(&rows)].concat())) == rows);
}

#[test]
fn a_row_inside_of_a_reading_is_no_row() {
    let inner = joined(&commit((1, 1), 9, "inner", 1));
    let outer = commit_of((1, 1), 1, vec![Value::Bytes(inner.into())]);
    let raw = scan(&joined(&outer));
    assert_eq!(raw.numbers().collect::<Vec<_>>(), [1]);
}

#[test]
fn a_newer_format_and_other_generations_rows_are_told_apart() {
    let mut rows = commit((1, 1), 5, "x", 1);
    let all = joined(&rows);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("db"), &all).unwrap();
    assert!(RawGeneration::scan(directory.path(), 1..5).unwrap().is_empty());
    assert_eq!(RawGeneration::scan(directory.path(), 5..6).unwrap().len(), 1);
    let bytes = &mut rows[0].1;
    bytes[8] = 2;
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(scan(bytes).newer(), Some(2));
}

#[test]
fn what_is_not_a_queue_is_refused_and_a_queue_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(
        RawStore::open(directory.path()),
        Err(StoreError::Refused { .. })
    ));
    assert!(matches!(
        RawStore::open(&directory.path().join("none")),
        Err(StoreError::Io { .. })
    ));
    let store = SledStore::open(directory.path()).unwrap();
    assert!(matches!(
        RawStore::open(directory.path()),
        Err(StoreError::InUse { .. })
    ));
    drop(store);
    RawStore::open(directory.path()).unwrap();
    fs::remove_file(directory.path().join("lock")).unwrap();
    RawStore::open(directory.path()).unwrap();
    fs::write(directory.path().join("format"), names::format_text(2)).unwrap();
    assert!(matches!(
        RawStore::open(directory.path()),
        Err(StoreError::Refused { .. })
    ));
}
