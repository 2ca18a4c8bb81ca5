//! Damage of any kind anywhere: it always starts, never delivers a wrong reading, never uses a number twice, and what is
//! lost is counted.

use std::fs;
use std::path::{Path, PathBuf};

use super::world::*;
use edgespool::queue::open::Finding;
use edgespool::reading::SensorNo;

/// xorshift: the same damage in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.metadata().unwrap().is_dir() {
            all.append(&mut files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

/// A place in a file that holds something.
fn place(bytes: &[u8], dice: &mut Dice) -> Option<usize> {
    (0..400)
        .map(|_| dice.roll(bytes.len()))
        .find(|at| bytes.get(*at).is_some_and(|byte| *byte != 0))
}

/// Does some damage, and says what.
fn damage(directory: &Path, kind: usize, dice: &mut Dice) -> String {
    let all: Vec<_> = files(directory)
        .into_iter()
        .filter(|path| !path.ends_with("lock") && fs::metadata(path).unwrap().len() > 0)
        .collect();
    // The logs are what there is most of.
    let logs: Vec<_> = all.iter().filter(|path| path.ends_with("db")).cloned().collect();
    let from = if dice.roll(3) == 0 { &all } else { &logs };
    let path = &from[dice.roll(from.len())];
    let name = path.strip_prefix(directory).unwrap().display().to_string();
    let mut bytes = fs::read(path).unwrap();
    let Some(at) = place(&bytes, dice) else {
        return format!("nothing: {name} holds only zeroes");
    };
    match kind % 5 {
        0 | 1 => {
            let bit = dice.roll(8);
            bytes[at] ^= 1 << bit;
            fs::write(path, bytes).unwrap();
            format!("bit {bit} of byte {at} of {name}")
        }
        2 => {
            let start = at / 4096 * 4096;
            let end = (start + 4096).min(bytes.len());
            bytes[start..end].fill(0);
            fs::write(path, bytes).unwrap();
            format!("zeroes from byte {start} of {name}")
        }
        3 => {
            bytes.truncate(at);
            fs::write(path, bytes).unwrap();
            format!("{name} cut at byte {at}")
        }
        _ if dice.roll(4) == 0 => {
            let generation = path.parent().unwrap();
            if generation == directory {
                fs::remove_file(path).unwrap();
            } else {
                fs::remove_dir_all(generation).unwrap();
            }
            format!("the directory of {name} removed")
        }
        _ => {
            fs::remove_file(path).unwrap();
            format!("{name} removed")
        }
    }
}

/// Opens a damaged queue, uses it, and holds it to what is promised.
pub(super) fn check(directory: &Path, written: &Readings, what: &str) -> u64 {
    let mut time = Time::new();
    time.pass(1_000_000);
    let mut queue = open_at(directory, &settings(1 << 30, 99), &time)
        .unwrap_or_else(|error| panic!("{what}: it does not start: {error:?}"));
    // Two new sensors, and each old one that is still known: nobody may get another's number.
    let fresh = [queue.sensors.len() as u32, queue.sensors.len() as u32 + 1];
    let definitions = fresh.iter().map(|number| {
        let (_, mut def) = def(*number);
        std::sync::Arc::make_mut(&mut def).id =
            edgespool::reading::SensorId::new(&format!("new{number}")).unwrap();
        (SensorNo(*number), def)
    });
    let definitions = edgespool::queue::appender::Commit {
        definitions: definitions.collect(),
        ..Default::default()
    };
    queue.appender.commit(definitions, time.stamp()).unwrap();
    let known = queue.sensors.iter().zip(0..).filter(|(def, _)| def.is_some());
    let writers: Vec<_> = known
        .map(|(_, number)| SensorNo(number))
        .chain(fresh.map(SensorNo))
        .collect();
    let values = commit(&mut queue, &writers, 5, &mut time);
    let outcomes = drain(&mut queue, &mut time);
    let (mut old, mut new) = (0, 0);
    for (identity, value) in &outcomes.delivered {
        match written.get(identity) {
            Some(right) => {
                assert_eq!(value, right, "{what}: a wrong value for {identity:?}");
                old += 1;
            }
            None => {
                assert!(values.contains(value), "{what}: {identity:?} was never written");
                new += 1;
            }
        }
    }
    assert_eq!(
        new,
        values.len(),
        "{what}: new readings are all delivered, under numbers of their own"
    );
    for (number, sensor) in outcomes.sensors.iter().enumerate() {
        let ledger = sensor.ledger(edgespool::queue::types::OutputNo(0));
        assert_eq!(
            ledger.queued, 0,
            "{what}: sensor {number} has readings queued for ever: {ledger:?}"
        );
    }
    let ledger = outcomes.ledger();
    assert_eq!(ledger.accepted, ledger.delivered + ledger.dropped, "{what}");
    let lost = written.len() as u64 - old;
    let told = outcomes
        .findings
        .iter()
        .any(|finding| !matches!(finding, Finding::Opened { .. } | Finding::Created { .. }));
    assert!(
        lost == 0 || told || ledger.dropped > 0,
        "{what}: {lost} readings lost in silence"
    );
    // And again: what was found is mended.
    drop(queue);
    let mut queue = open_at(directory, &settings(1 << 30, 100), &time)
        .unwrap_or_else(|error| panic!("{what}: it does not start again: {error:?}"));
    let again = drain(&mut queue, &mut time);
    assert_eq!(
        again.ledger(),
        ledger,
        "{what}: the ledger is the same after another start"
    );
    assert!(
        again.delivered.is_empty(),
        "{what}: {:?} again",
        again.delivered.len()
    );
    let quiet = |finding: &Finding| matches!(finding, Finding::Opened { .. });
    assert!(
        again.findings.iter().all(quiet),
        "{what}: found again: {:?}",
        again.findings
    );
    lost
}

#[test]
fn damage_anywhere_costs_what_it_hits_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (template, mut time) = (directory.path().join("template"), Time::new());
    let written = build(&template, &mut time);
    assert!(written.len() > 4000, "{}", written.len());
    let undamaged = directory.path().join("undamaged");
    copy(&template, &undamaged);
    assert_eq!(check(&undamaged, &written, "no damage"), 0);
    let queue = open_at(&undamaged, &settings(1 << 30, 7), &time).unwrap();
    let row = most_in_a_row(&queue) as u64;
    drop(queue);
    let rounds: usize = std::env::var("EDGESPOOL_DAMAGE").map_or(60, |count| count.parse().unwrap());
    let (mut hit, mut lost) = (0, 0);
    for round in 0..rounds {
        let place = directory.path().join(format!("round-{round}"));
        copy(&template, &place);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (round as u64 + 1) << 20);
        for _ in 0..20 {
            dice.roll(2);
        }
        let what = format!("round {round}: {}", damage(&place, round, &mut dice));
        let cost = check(&place, &written, &what);
        eprintln!("{what}: {cost} of {} readings", written.len());
        assert!(
            !what.contains("bit") || cost <= row,
            "{what}: it costs more than its row"
        );
        hit += usize::from(cost > 0);
        lost += cost;
        fs::remove_dir_all(&place).unwrap();
    }
    eprintln!("{rounds} times damaged: {hit} times readings were lost, {lost} in all");
}
