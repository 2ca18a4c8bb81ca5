//! A model that keeps every record, beside the tally that keeps ranges.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Keeps everything, and judges by definition.
#[derive(Default)]
struct Model {
    /// What each sensor heard in each partition, in order: a reading, or that records were removed before it.
    heard: BTreeMap<(u8, i32), Vec<(u64, u64)>>,
    removals: BTreeMap<i32, u64>,
    keys: BTreeMap<u8, BTreeSet<i32>>,
}

/// What the model says of a sensor: heard, missing, inconclusive, duplicates, disorder.
type Judged = (BTreeSet<u64>, BTreeSet<u64>, BTreeSet<u64>, u64, u64);

impl Model {
    fn event(&mut self, event: Event) {
        match event {
            Event::Removed { part, offsets } => {
                *self.removals.entry(part).or_default() += u64::from(offsets > 0)
            }
            Event::Record {
                part,
                sensor,
                from,
                through,
            } => {
                let removals = self.removals.get(&part).copied().unwrap_or(0);
                self.keys.entry(sensor).or_default().insert(part);
                let list = self.heard.entry((sensor, part)).or_default();
                list.extend((from..=through).map(|sequence| (sequence, removals)));
            }
        }
    }

    fn judge(&self, sensor: u8) -> Judged {
        let (mut seen, mut excused) = (BTreeSet::new(), BTreeSet::new());
        let (mut all, mut disorder) = (0, 0);
        for (_, list) in self.heard.iter().filter(|((of, _), _)| *of == sensor) {
            let (mut highest, mut removals, mut here) = (0, 0, BTreeSet::new());
            let mut pardoned = BTreeSet::new();
            for (sequence, now) in list {
                if removals != *now {
                    pardoned.extend(highest + 1..*sequence);
                    removals = *now;
                }
                let is_late = *sequence < highest && !here.contains(sequence) && !pardoned.contains(sequence);
                disorder += u64::from(is_late);
                here.insert(*sequence);
                highest = highest.max(*sequence);
                all += 1;
            }
            seen.extend(here);
            excused.extend(pardoned);
        }
        let last = seen.last().copied().unwrap_or(0);
        let absent: BTreeSet<u64> = (1..=last).filter(|sequence| !seen.contains(sequence)).collect();
        let missing = absent.difference(&excused).copied().collect();
        let inconclusive = absent.intersection(&excused).copied().collect();
        let duplicates = all - seen.len() as u64;
        (seen, missing, inconclusive, duplicates, disorder)
    }
}

fn event() -> impl Strategy<Value = Event> {
    let record =
        (0..2_i32, 0..3_u8, 1..40_u64, 0..4_u64).prop_map(|(part, sensor, from, length)| Event::Record {
            part,
            sensor,
            from,
            through: from + length,
        });
    prop_oneof![9 => record, 1 => (0..2_i32, 0..3_i64).prop_map(|(part, offsets)| Event::Removed { part, offsets })]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_tally_says_what_a_model_says_that_keeps_every_record(events in prop::collection::vec(event(), 0..80)) {
        let (mut feed, mut model) = (Feed::new(), Model::default());
        for event in &events {
            feed.event(*event);
            model.event(*event);
        }
        let report = feed.report();
        prop_assert_eq!(report.rows.len(), model.keys.len());
        for row in &report.rows {
            let sensor = row.sensor[1..].parse().unwrap();
            let (seen, missing, inconclusive, duplicates, disorder) = model.judge(sensor);
            let members = |ranges: &Ranges| ranges.iter().flat_map(|(a, b)| a..=b).collect::<BTreeSet<_>>();
            prop_assert_eq!((row.count, row.first, row.last), (seen.len() as u64, *seen.first().unwrap(), *seen.last().unwrap()));
            prop_assert_eq!(members(&row.missing), missing);
            prop_assert_eq!(members(&row.inconclusive), inconclusive);
            prop_assert_eq!((row.duplicates, row.disorder), (duplicates, disorder));
        }
        let split = model.keys.values().filter(|parts| parts.len() > 1).count();
        prop_assert_eq!(report.split_keys.len(), split);
    }
}
