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
    let made = store.create(&rows(1..3)).unwrap();
    made.append(&rows(3..5)).unwrap();
    made.append(&rows(5..6)).unwrap();
    drop((made, store));
    let store = SledStore::open(&queue).unwrap();
    assert_eq!(store.list().unwrap(), [1]);
    let opened = store.open(1).unwrap();
    assert_eq!(opened.last().unwrap(), Some(5));
    for (row, bytes) in rows(1..6) {
        assert_eq!(opened.read(row).unwrap(), Some(bytes));
    }
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
    fs::write(queue.join("format"), "edgespool-queue 9\n").unwrap();
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
    drop(store.create(&rows(1..3)).unwrap());
    fs::create_dir(directory.path().join("tmp-00000000000000000009")).unwrap();
    fs::create_dir(directory.path().join("del-00000000000000000000")).unwrap();
    // A snapshot that was being written: with it, sled refuses every later open.
    fs::write(
        directory
            .path()
            .join("g-00000000000000000001/snap.0000000000000D24.generating"),
        "half",
    )
    .unwrap();
    assert_eq!(store.list().unwrap(), [1]);
    assert_eq!(store.open(1).unwrap().last().unwrap(), Some(2));
    assert!(
        !directory
            .path()
            .join("tmp-00000000000000000009")
            .try_exists()
            .unwrap()
    );
}

#[test]
fn a_damaged_snapshot_is_made_again_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path()).unwrap();
    drop(store.create(&rows(1..300)).unwrap());
    drop(store.open(1).unwrap());
    let generation = directory.path().join("g-00000000000000000001");
    let mut damaged = 0;
    for entry in fs::read_dir(&generation).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            let mut bytes = fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x40;
            fs::write(entry.path(), bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "sled wrote no snapshot: this test proves nothing");
    assert_eq!(store.open(1).unwrap().last().unwrap(), Some(299));
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
