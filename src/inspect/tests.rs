//! Real queues on disk, whole and damaged, looked at without a byte changing.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::export::{Choice, Form, export};
use super::peek::{End, peek};
use super::survey::{Lost, Report, survey};
use super::*;
use crate::queue::appender::Commit;
use crate::queue::mailbox::Progress;
use crate::queue::open::tests::settings;
use crate::queue::open::{Queue, open};
use crate::queue::sled_store::SledStore;
use crate::queue::types::{Entry, OutputNo, Release};
use crate::reading::{
    Epoch, Measurement, Quality, Reading, SensorDef, SensorId, SensorNo, Stamp, TimeQuality, Value,
    ValueKind, Values,
};

const SECOND: i64 = 1_000_000_000;
const BEGIN: i64 = 1_782_482_400 * SECOND;

fn stamp(second: i64) -> Stamp {
    Stamp {
        wall: BEGIN + second * SECOND,
        mono: 5,
        quality: TimeQuality::Synchronized,
    }
}

fn def(number: u32, id: &str) -> (SensorNo, Arc<SensorDef>) {
    let temperature = Measurement {
        name: "temperature".into(),
        kind: ValueKind::Number,
        unit: Some("C".into()),
    };
    let def = SensorDef {
        id: SensorId::new(id).unwrap(),
        measurements: vec![temperature],
        tags: vec![],
    };
    (SensorNo(number), Arc::new(def))
}

fn reading(sensor: u32, second: i64) -> Reading {
    Reading {
        sensor: SensorNo(sensor),
        time: stamp(second),
        quality: Quality::Good,
        values: Values::One(Value::Number(second as f64 / 4.0)),
    }
}

fn opened(directory: &Path) -> Queue {
    let store = SledStore::open(directory).unwrap();
    open(Arc::new(store), &settings(1, 7), stamp(0)).unwrap()
}

/// Sixty commits of 80 readings of two sensors, the first 100 of `a` delivered. Several generations: they are small.
fn filled() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut queue = opened(directory.path());
    for round in 0..60 {
        let definitions = if round == 0 {
            vec![def(0, "a"), def(1, "b")]
        } else {
            vec![]
        };
        let seconds = round * 40..(round + 1) * 40;
        let readings = seconds
            .flat_map(|second| [reading(0, second), reading(1, second)])
            .collect();
        let commit = Commit {
            definitions,
            readings,
            ..Commit::default()
        };
        queue.appender.commit(commit, stamp(round)).unwrap();
        // The next generation is made beside this; without it there is no other.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let release = Entry::Release(Release {
        output: OutputNo(0),
        sensor: SensorNo(0),
        epoch: Epoch(7),
        through: 100,
    });
    queue.spools[0].post(Progress {
        entries: vec![release],
        ..Progress::default()
    });
    queue.appender.commit(Commit::default(), stamp(60)).unwrap();
    drop(queue);
    copied(directory.path())
}

/// A copy without what is half made: that is still being made beside all this.
fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for (path, bytes) in bytes(from) {
        let name = path.strip_prefix(from).unwrap();
        if name.starts_with("tmp-next") {
            continue;
        }
        let place = to.path().join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
    to
}

/// Every file's bytes.
fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.metadata().unwrap().is_dir() {
            all.extend(bytes(&entry));
        } else {
            all.insert(entry.clone(), fs::read(&entry).unwrap());
        }
    }
    all
}

fn report(directory: &Path) -> Report {
    survey(&Directory::open(directory).unwrap(), &mut |_| {}).unwrap()
}

fn exported(directory: &Path, choice: &Choice, form: Form) -> (u64, Vec<String>) {
    let mut out = Vec::new();
    let directory = Directory::open(directory).unwrap();
    let done = export(&directory, choice, form, &mut out, &mut |_, _| {}).unwrap();
    let lines = String::from_utf8(out)
        .unwrap()
        .lines()
        .map(String::from)
        .collect();
    (done.damaged_rows, lines)
}

/// Spoils all copies of a row, and says in which files.
fn spoil(directory: &Path, number: RowNo) -> usize {
    let mut spoiled = 0;
    for (path, mut bytes) in bytes(directory) {
        let before = spoiled;
        for at in 0..bytes.len().saturating_sub(64) {
            if bytes[at..].starts_with(b"esRW") && bytes[at + 10..at + 18] == number.to_le_bytes() {
                bytes[at + 40] ^= 0x10;
                spoiled += 1;
            }
        }
        if spoiled > before {
            fs::write(path, bytes).unwrap();
        }
    }
    spoiled
}

#[test]
fn a_whole_queue_is_told_as_it_is_and_not_a_byte_changes() {
    let queue = filled();
    // A copy may have no lock.
    fs::remove_file(queue.path().join("lock")).unwrap();
    let before = bytes(queue.path());
    let report = report(queue.path());
    assert!(
        report.whole && report.generations.len() > 1,
        "{}",
        report.verdict()
    );
    assert_eq!((report.readings, report.epochs.as_slice()), (4800, &[7][..]));
    let ledger = report.ledger.unwrap();
    assert_eq!(
        (ledger.accepted, ledger.delivered, ledger.queued),
        (4800, 100, 4700)
    );
    let a = &report.sensors[0];
    assert_eq!(
        (a.id.as_str(), a.readings, a.ranges[0].first, a.ranges[0].last),
        ("a", 2400, 1, 2400)
    );
    assert_eq!(
        (a.from.as_str(), a.to.as_str()),
        ("2026-06-26T14:00:00.000Z", "2026-06-26T14:39:59.000Z")
    );
    assert_eq!(a.released, Some((7, 100)));
    assert!(
        report
            .stat()
            .contains("accepted 4800 = delivered 100 + queued 4700")
    );
    exported(queue.path(), &Choice::default(), Form::JsonLines);
    assert!(bytes(queue.path()) == before, "something was written");
}

#[test]
fn readings_are_shown_and_exported_as_they_were_stored() {
    let queue = filled();
    let directory = Directory::open(queue.path()).unwrap();
    let first = peek(&directory, "a", End::First(2)).unwrap().unwrap();
    let shown: Vec<_> = first
        .iter()
        .map(|line| (line.seq, line.values.as_str(), line.state))
        .collect();
    assert_eq!(
        shown,
        [
            (1, "temperature 0 C", "settled"),
            (2, "temperature 0.25 C", "settled")
        ]
    );
    let last = peek(&directory, "b", End::Last(2)).unwrap().unwrap();
    let shown: Vec<_> = last
        .iter()
        .map(|line| (line.seq, line.values.as_str(), line.state))
        .collect();
    assert_eq!(
        shown,
        [
            (2399, "temperature 599.5 C", "queued"),
            (2400, "temperature 599.75 C", "queued")
        ]
    );
    assert_eq!(peek(&directory, "c", End::Last(2)).unwrap(), None);

    let (damaged, lines) = exported(queue.path(), &Choice::default(), Form::JsonLines);
    assert_eq!((damaged, lines.len()), (0, 4800));
    let choice = Choice {
        sensors: ["a".to_owned()].into(),
        from: Some(BEGIN + 99 * SECOND),
        until: Some(BEGIN + 102 * SECOND),
        queued: true,
        device: Some("gw".into()),
    };
    let (_, lines) = exported(queue.path(), &choice, Form::JsonLines);
    assert_eq!(
        lines,
        [
            r#"{"sensorId":"a","temperature":25,"unit":"C","recordedAt":"2026-06-26T14:01:40.000Z","device":"gw","epoch":7,"seq":101}"#,
            r#"{"sensorId":"a","temperature":25.25,"unit":"C","recordedAt":"2026-06-26T14:01:41.000Z","device":"gw","epoch":7,"seq":102}"#,
        ]
    );
    let (_, lines) = exported(queue.path(), &choice, Form::Csv);
    assert_eq!(
        lines[..2],
        [
            "device,epoch,seq,sensorId,recordedAt,measurement,value,unit,quality,timeQuality",
            "gw,7,101,a,2026-06-26T14:01:40.000Z,temperature,25,C,good,synchronized",
        ]
    );
}

#[test]
fn a_damaged_row_costs_that_row_and_says_whose_readings_they_were() {
    let queue = filled();
    let directory = Directory::open(queue.path()).unwrap();
    let mut doomed = None;
    let mut number = 0;
    directory
        .walk(&mut |seen| {
            if let Seen::Row(row) = seen
                && row
                    .runs
                    .iter()
                    .any(|run| run.sensor == SensorNo(0) && run.first > 500)
            {
                number = row.number;
                doomed = Some(row);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    drop(directory);
    let doomed = doomed.unwrap();
    assert!(spoil(queue.path(), number) > 0);
    let report = report(queue.path());
    assert_eq!(
        (report.whole, report.damaged_rows),
        (false, 1),
        "{}",
        report.verdict()
    );
    let gone: u64 = doomed.runs.iter().map(|run| run.len() as u64).sum();
    assert_eq!((report.lost_readings, report.readings), (gone, 4800 - gone));
    let expect = |run: &crate::queue::types::Run| Lost {
        sensor: ["a", "b"][run.sensor.index()].into(),
        epoch: 7,
        from: run.first,
        through: run.last(),
    };
    for run in &doomed.runs {
        assert!(report.lost.contains(&expect(run)), "{:?}", report.lost);
    }
    assert_eq!(
        (report.damage[0].from, report.damage[0].through),
        (number, number)
    );
    assert!(
        report.verdict().contains("can be salvaged"),
        "{}",
        report.verdict()
    );
    let (damaged, lines) = exported(queue.path(), &Choice::default(), Form::JsonLines);
    assert_eq!((damaged, lines.len() as u64), (1, 4800 - gone));
}

#[test]
fn a_generation_that_is_gone_and_a_tail_that_is_cut_are_damage() {
    let queue = filled();
    let whole = report(queue.path());
    let second = queue.path().join(&whole.generations[1].name);
    let aside = tempfile::tempdir().unwrap();
    fs::rename(&second, aside.path().join("g")).unwrap();
    let without = report(queue.path());
    assert_eq!(
        (without.whole, without.damaged_rows),
        (false, whole.generations[1].rows),
        "{}",
        without.verdict()
    );
    fs::rename(aside.path().join("g"), &second).unwrap();
    assert!(report(queue.path()).whole);

    // The newest log is cut before its first row, and the other copy of its first batch is gone: the count outside of it
    // knows better.
    let newest = queue.path().join(&whole.generations.last().unwrap().name);
    let log = fs::read(newest.join("db")).unwrap();
    let first = log.windows(4).position(|bytes| bytes == b"esRW").unwrap();
    fs::write(newest.join("db"), &log[..first]).unwrap();
    fs::remove_file(newest.join("checkpoint")).unwrap();
    let cut = report(queue.path());
    assert!(!cut.whole && cut.damaged_rows > 0, "{}", cut.verdict());
}

#[test]
fn a_queue_in_use_and_a_directory_of_somebody_else_are_refused() {
    let queue = filled();
    let held = opened(queue.path());
    assert!(matches!(
        Directory::open(queue.path()),
        Err(StoreError::InUse { .. })
    ));
    drop(held);
    let other = tempfile::tempdir().unwrap();
    assert!(matches!(
        Directory::open(other.path()),
        Err(StoreError::Refused { .. })
    ));
    assert!(matches!(
        Directory::open(&other.path().join("none")),
        Err(StoreError::Io { .. })
    ));
}
