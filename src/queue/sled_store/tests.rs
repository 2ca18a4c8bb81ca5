//! The store on a real file system.

use super::*;

fn rows(range: std::ops::Range<u64>) -> Vec<(RowNo, Vec<u8>)> {
    range
        .map(|row| (row, format!("row {row}").into_bytes()))
        .collect()
}

#[test]
fn rows_come_back_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let queue = directory.path().join("queue");
    let store = SledStore::open(&queue).unwrap();
    let made = store.create(&real_rows(1..3)).unwrap();
    made.append(&real_rows(3..5)).unwrap();
    made.append(&real_rows(5..6)).unwrap();
    assert_eq!(all_of(&*made), real_rows(1..6));
    drop((made, store));
    let store = SledStore::open(&queue).unwrap();
    assert_eq!(store.list().unwrap(), [1]);
    let opened = store.open(1).unwrap();
    assert_eq!(opened.last().unwrap(), Some(5));
    assert_eq!(all_of(&*opened), real_rows(1..6));
    assert_eq!(opened.read(6).unwrap(), None);
    drop(opened);
    store.remove(1).unwrap();
    assert_eq!(store.list().unwrap(), [0_u64; 0]);
}

#[test]
fn a_second_agent_and_a_foreign_directory_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let queue = directory.path().join("queue");
    let first = SledStore::open(&queue).unwrap();
    let error = SledStore::open(&queue).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    drop(first);
    fs::write(queue.join("format"), names::format_text(9)).unwrap();
    assert!(matches!(SledStore::open(&queue), Err(StoreError::Refused { .. })));
    fs::write(directory.path().join("letter.txt"), "not yours").unwrap();
    assert!(matches!(
        SledStore::open(directory.path()),
        Err(StoreError::Refused { .. })
    ));
    assert!(directory.path().join("letter.txt").try_exists().unwrap());
}

#[test]
fn what_a_power_cut_left_half_made_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    drop(store.create(&real_rows(1..3)).unwrap());
    fs::create_dir(directory.path().join("tmp-00000000000000000009")).unwrap();
    fs::create_dir(directory.path().join("del-00000000000000000000")).unwrap();
    // A snapshot that was being written: with it, sled itself refuses every later open.
    let half = "g-00000000000000000001/snap.0000000000000D24.generating";
    fs::write(directory.path().join(half), "half").unwrap();
    assert_eq!(store.list().unwrap(), [1]);
    assert_eq!(store.open(1).unwrap().last().unwrap(), Some(2));
    assert_eq!(store.resume(1, 3).unwrap().last().unwrap(), Some(2));
    assert_eq!(names(directory.path()), ["g-00000000000000000001.1"]);
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<_> = names
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.retain(|name| !matches!(name.as_str(), "format" | "lock" | "tail" | "opening"));
    names.sort();
    names
}

/// Rows as they are in a queue: what is found must be whole.
fn real_rows(range: std::ops::Range<u64>) -> Vec<(RowNo, Vec<u8>)> {
    let header = crate::queue::row::Header {
        session: crate::queue::types::Session { number: 1, began: 1 },
        epoch: crate::reading::Epoch(7),
        boot: 1,
        committed: 0,
        synchronized: true,
        offset: 0,
    };
    range
        .flat_map(|row| {
            let mut packer = crate::queue::row::Packer::new(header, row);
            packer.entry(&crate::queue::types::Entry::CheckpointEnd);
            packer.finish()
        })
        .collect()
}

fn all_of(generation: &dyn Generation) -> Vec<(RowNo, Vec<u8>)> {
    let last = generation.last().unwrap().unwrap_or(0);
    (1..=last)
        .filter_map(|row| Some((row, generation.read(row).unwrap()?)))
        .collect()
}

#[test]
fn a_power_cut_between_any_two_steps_of_writing_anew_loses_nothing() {
    for is_salvage in [false, true] {
        for step in 0..4 {
            let directory = tempfile::tempdir().unwrap();
            let store = SledStore::open(directory.path()).unwrap();
            drop(store.create(&real_rows(1..40)).unwrap());
            let old = Name {
                first: 1,
                revision: 0,
            };
            let found = store.scan(1).unwrap();
            match step {
                0 => fs::create_dir(store.path("tmp", 1)).unwrap(),
                1 => drop(store.write_found(old, &found, RowNo::MAX, is_salvage).unwrap()),
                2 => {
                    drop(store.write_found(old, &found, RowNo::MAX, is_salvage).unwrap());
                    let gone = if is_salvage {
                        "damaged-00000000000000000001-x"
                    } else {
                        "del-1"
                    };
                    fs::rename(store.path_of(old), directory.path().join(gone)).unwrap();
                }
                _ if is_salvage => drop(store.replace(1).unwrap()),
                _ => drop(store.resume(1, 40).unwrap()),
            }
            drop((found, store));
            let store = SledStore::open(directory.path()).unwrap();
            assert_eq!(store.list().unwrap(), [1], "step {step}");
            assert_eq!(all_of(&*store.open(1).unwrap()), real_rows(1..40), "step {step}");
            let names = names(directory.path());
            let aside = names.iter().filter(|name| name.starts_with("damaged-")).count();
            assert_eq!(
                aside,
                usize::from(is_salvage && step > 0),
                "step {step}: {names:?}"
            );
            assert_eq!(names.len() - aside, 1, "step {step}: {names:?}");
            assert_eq!(store.is_salvaged(1), is_salvage && step > 0);
        }
    }
}

#[test]
fn what_is_resumed_ends_where_it_is_told_to_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    drop(store.create(&real_rows(1..40)).unwrap());
    let resumed = store.resume(1, 30).unwrap();
    assert_eq!(all_of(&*resumed), real_rows(1..30));
    resumed.append(&real_rows(30..32)).unwrap();
    drop(resumed);
    assert_eq!(all_of(&*store.open(1).unwrap()), real_rows(1..32));
    assert_eq!(names(directory.path()), ["g-00000000000000000001.1"]);
}

#[test]
fn only_some_of_what_was_set_aside_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    drop(store.create(&real_rows(1..40)).unwrap());
    for _ in 0..mend::KEPT + 3 {
        let replaced = store.replace(1).unwrap();
        assert_eq!(all_of(&*replaced.generation), real_rows(1..40));
    }
    let aside = names(directory.path())
        .into_iter()
        .filter(|name| name.starts_with("damaged-"));
    assert_eq!(aside.count(), mend::KEPT);
}

/// Blob files are never synced: rows must stay small enough that sled writes none.
#[test]
fn rows_of_the_largest_size_make_no_blob_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    let generation = store.create(&rows(1..2)).unwrap();
    for row in 2..200 {
        generation.append(&[(row, vec![7; 2048])]).unwrap();
    }
    let blobs = directory.path().join("g-00000000000000000001/blobs");
    assert_eq!(fs::read_dir(blobs).map_or(0, Iterator::count), 0);
}

/// A queue that was opened again in the same process found the thread of the one before still at work, and did not start.
#[test]
fn a_store_that_is_dropped_leaves_nobody_at_work_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let store = SledStore::open(directory.path()).unwrap();
        assert_eq!(store.list().unwrap(), [0_u64; 0]);
        store.prepare(512 * 1024);
        drop(store);
        let made = directory.path().join("tmp-next/conf");
        assert!(made.try_exists().unwrap(), "it is still being made, or never was");
    }
}
