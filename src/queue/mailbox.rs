//! Progress on its way into the log: what the forwarder posts rides in the next commit's rows.
//!
//! Owns releases, drops, dead letters, heads and parkings that are not in a row yet. Promises that what concerns one lane
//! keeps its order, and that a row is never freed (a head raised) before the releases that allow it. Pure.

use std::collections::{BTreeMap, HashMap};

use super::types::{Entry, OutputNo, Release, RowNo};
use crate::reading::SensorNo;

/// What an output did since it last said so.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Progress {
    /// Releases, dead letters and drops, in the order in which they happened in each lane.
    pub entries: Vec<Entry>,
    /// Where the output would start to read after a restart.
    pub head: Option<RowNo>,
    /// Lanes that were parked (where they resume) or joined the others again (0).
    pub parks: Vec<(SensorNo, RowNo)>,
}

/// Collects progress between two commits.
#[derive(Debug, Default)]
pub struct Mailbox {
    entries: Vec<Entry>,
    last: HashMap<(OutputNo, SensorNo), usize>,
    heads: BTreeMap<OutputNo, RowNo>,
    parks: BTreeMap<(OutputNo, SensorNo), RowNo>,
}

impl Mailbox {
    /// Adds an output's progress. True when nothing waited before: then somebody must see to a commit.
    pub fn post(&mut self, output: OutputNo, progress: Progress) -> bool {
        let first = self.is_empty();
        progress
            .entries
            .into_iter()
            .for_each(|entry| self.add(output, entry));
        if let Some(row) = progress.head {
            let head = self.heads.entry(output).or_default();
            *head = row.max(*head);
        }
        self.parks.extend(
            progress
                .parks
                .into_iter()
                .map(|(sensor, row)| ((output, sensor), row)),
        );
        first && !self.is_empty()
    }

    fn add(&mut self, output: OutputNo, entry: Entry) {
        if let Entry::Release(release) = &entry {
            let lane = (release.output, release.sensor);
            let last = self
                .last
                .get(&lane)
                .and_then(|index| self.entries.get_mut(*index));
            if let Some(Entry::Release(Release { epoch, through, .. })) = last
                && *epoch == release.epoch
            {
                *through = release.through.max(*through);
                return;
            }
            self.last.insert(lane, self.entries.len());
        } else if let Entry::Drop { sensor, .. } | Entry::Dead { sensor, .. } = &entry {
            self.last.remove(&(output, *sensor));
        }
        self.entries.push(entry);
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.heads.is_empty() && self.parks.is_empty()
    }

    /// How many entries wait, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.heads.len() + self.parks.len()
    }

    /// How many of them give readings up.
    #[must_use]
    pub fn drops(&self) -> usize {
        let drops = self.entries.iter();
        drops.filter(|entry| matches!(entry, Entry::Drop { .. })).count()
    }

    /// All that waits, as entries for a row.
    pub fn take(&mut self) -> Vec<Entry> {
        self.last.clear();
        let mut entries = std::mem::take(&mut self.entries);
        let parks = std::mem::take(&mut self.parks).into_iter();
        entries.extend(parks.map(|((output, sensor), row)| Entry::Park { output, sensor, row }));
        let heads = std::mem::take(&mut self.heads).into_iter();
        entries.extend(heads.map(|(output, row)| Entry::Head { output, row }));
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::types::DropReason;
    use crate::reading::Epoch;

    const OUT: OutputNo = OutputNo(0);

    fn release(sensor: u32, through: u64) -> Entry {
        Entry::Release(Release {
            output: OUT,
            sensor: SensorNo(sensor),
            epoch: Epoch(1),
            through,
        })
    }

    fn drop_entry(sensor: u32, from: u64, through: u64) -> Entry {
        Entry::Drop {
            sensor: SensorNo(sensor),
            epoch: Epoch(1),
            from,
            through,
            reason: DropReason::Damaged,
        }
    }

    #[test]
    fn releases_of_a_lane_become_one_but_not_across_a_drop() {
        let mut mailbox = Mailbox::default();
        let post = |mailbox: &mut Mailbox, entries| {
            mailbox.post(
                OUT,
                Progress {
                    entries,
                    ..Progress::default()
                },
            )
        };
        assert!(post(&mut mailbox, vec![release(1, 5), release(2, 9)]));
        assert!(!post(&mut mailbox, vec![release(1, 7), drop_entry(1, 8, 9)]));
        assert!(!post(
            &mut mailbox,
            vec![release(1, 12), release(1, 20), release(2, 3)]
        ));
        let expect = [release(1, 7), release(2, 9), drop_entry(1, 8, 9), release(1, 20)];
        assert_eq!(mailbox.take(), expect);
        assert!(mailbox.is_empty());
        assert!(
            !mailbox.post(OUT, Progress::default()),
            "nothing is no reason for a commit"
        );
    }

    #[test]
    fn heads_come_last_and_parkings_replace_each_other() {
        let mut mailbox = Mailbox::default();
        let parks = vec![(SensorNo(1), 40)];
        assert!(mailbox.post(
            OUT,
            Progress {
                entries: vec![release(1, 5)],
                head: Some(80),
                parks
            }
        ));
        let parks = vec![(SensorNo(1), 0)];
        mailbox.post(
            OUT,
            Progress {
                entries: vec![],
                head: Some(70),
                parks,
            },
        );
        let park = Entry::Park {
            output: OUT,
            sensor: SensorNo(1),
            row: 0,
        };
        assert_eq!(
            mailbox.take(),
            [release(1, 5), park, Entry::Head { output: OUT, row: 80 }]
        );
    }
}
