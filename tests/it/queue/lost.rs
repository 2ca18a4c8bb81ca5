//! Lost checkpoints, copies, and torn commits: what recovery falls back to.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::damage::check;
use super::world::*;
use edgespool::queue::open::{Finding, open};
use edgespool::queue::row;
use edgespool::queue::sled_store::SledStore;
use edgespool::reading::SensorNo;

/// The directories of the generations, oldest first.
fn generations(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("g-"))
        .collect();
    found.sort();
    found
}

/// Wipes out every copy of the rows that `doomed` names, in all files of a generation.
fn wipe(generation: &Path, doomed: impl Fn(&row::Frame) -> bool) -> usize {
    let mut wiped = 0;
    for name in ["db", "checkpoint"] {
        let path = generation.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let mut at = 0;
        while at < bytes.len() {
            let found = row::length(&bytes[at..])
                .and_then(|length| bytes.get(at..at + length))
                .and_then(|row| Some((row.len(), row::frame(row).ok()?)));
            match found {
                Some((length, frame)) if doomed(&frame) => {
                    bytes[at..at + length].fill(0);
                    wiped += 1;
                }
                _ => at += 1,
            }
        }
        fs::write(path, bytes).unwrap();
    }
    wiped
}

#[test]
fn a_lost_checkpoint_is_folded_again_from_the_generations_before() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, mut time) = (directory.path().join("queue"), Time::new());
    let written = build(&queue, &mut time);
    fs::remove_file(queue.join("opening")).unwrap();
    let newest = generations(&queue).pop().unwrap();
    let first: u64 = newest.file_name().unwrap().to_str().unwrap()[2..22]
        .parse()
        .unwrap();
    assert!(wipe(&newest, |frame| frame.number == first) > 1, "both copies");
    assert_eq!(check(&queue, &written, "no checkpoint"), 0);
}

#[test]
fn without_any_checkpoint_nothing_is_mistaken_and_it_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, mut time) = (directory.path().join("queue"), Time::new());
    let written = build(&queue, &mut time);
    fs::remove_file(queue.join("opening")).unwrap();
    for generation in generations(&queue) {
        let first: u64 = generation.file_name().unwrap().to_str().unwrap()[2..22]
            .parse()
            .unwrap();
        wipe(&generation, |frame| frame.number == first);
    }
    let lost = check(&queue, &written, "no checkpoint at all");
    // The first definitions stood in a commit of their own, in the first generation.
    assert_eq!(lost, 0);
    // And with that gone, too.
    let (queue, mut time) = (directory.path().join("other"), Time::new());
    let written = build(&queue, &mut time);
    fs::remove_file(queue.join("opening")).unwrap();
    let all = generations(&queue);
    fs::remove_dir_all(&all[0]).unwrap();
    for generation in &all[1..] {
        let first: u64 = generation.file_name().unwrap().to_str().unwrap()[2..22]
            .parse()
            .unwrap();
        wipe(generation, |frame| frame.number == first);
    }
    assert_eq!(check(&queue, &written, "no definition"), written.len() as u64);
}

#[test]
fn a_commit_that_a_power_cut_tore_is_as_if_it_had_not_been() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, mut time) = (directory.path().join("queue"), Time::new());
    let mut written = build(&queue, &mut time);
    let before = fs::read(queue.join("tail")).unwrap();
    let mut open = open_at(&queue, &settings(1 << 30, 7), &time).unwrap();
    let torn = open.spools[0].tail();
    commit(&mut open, &[SensorNo(0), SensorNo(1)], 400, &mut time);
    let end = open.spools[0].tail();
    assert!(end > torn + 2, "a commit of several rows");
    drop(open);
    fs::write(queue.join("tail"), before).unwrap();
    fs::remove_file(queue.join("opening")).unwrap();
    let newest = generations(&queue).pop().unwrap();
    assert!(wipe(&newest, |frame| frame.number == torn + 1) > 0);
    let mut open = open_at(&queue, &settings(1 << 30, 99), &time).unwrap();
    assert!(
        open.findings
            .iter()
            .all(|finding| matches!(finding, Finding::Opened { .. })),
        "{:?}",
        open.findings
    );
    assert_eq!(read(&open), written);
    // Its numbers go to other readings.
    let values = commit(&mut open, &[SensorNo(0)], 400, &mut time);
    drop(open);
    let open = open_at(&queue, &settings(1 << 30, 99), &time).unwrap();
    let now = read(&open);
    written.retain(|identity, value| now.get(identity) != Some(&*value));
    assert!(written.is_empty(), "{} readings are gone", written.len());
    assert!(
        values
            .iter()
            .all(|value| now.values().any(|found| found == value))
    );
}

#[test]
fn a_copy_draws_a_new_epoch_and_the_original_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (queue, copied, mut time) = (
        directory.path().join("queue"),
        directory.path().join("copy"),
        Time::new(),
    );
    let written = build(&queue, &mut time);
    copy(&queue, &copied);
    fs::copy(queue.join("opening"), copied.join("opening")).unwrap();
    let all: Vec<_> = (0..SENSORS).map(SensorNo).collect();
    let findings = |directory: &Path, machine: u64, epoch: u64, time: &Time| {
        let store = SledStore::open(directory).unwrap().of_machine(machine);
        let mut opened = open(Arc::new(store), &settings(1 << 30, epoch), time.stamp()).unwrap();
        (std::mem::take(&mut opened.findings), opened)
    };
    let (found, mut opened) = findings(&copied, 0, 99, &time);
    assert!(found.contains(&Finding::Moved), "{found:?}");
    commit(&mut opened, &all, 4, &mut time);
    let outcomes = drain(&mut opened, &mut time);
    drop(opened);
    assert_eq!(outcomes.delivered.len(), written.len() + 12);
    let new = outcomes.delivered.keys().filter(|(epoch, ..)| *epoch == 99);
    assert_eq!(new.count(), 12, "new readings are of the new epoch");
    assert_eq!(outcomes.ledger().queued, 0);
    for (directory, machine, moved) in [
        (&copied, 5, false),
        (&copied, 6, true),
        (&copied, 6, false),
        (&queue, 0, false),
    ] {
        let (found, _) = findings(directory, machine, 100 + machine, &time);
        assert_eq!(found.contains(&Finding::Moved), moved, "{machine}: {found:?}");
    }
}
