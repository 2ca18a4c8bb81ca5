//! The tally: what was heard of each sensor, in little memory.
//!
//! ```text
//!  (device, epoch, sensor) ─▶ Series ─▶ Place per partition: seen {1-57, 60-99}, highest, excused {1-4}, counts
//! ```
//! Owns what counts as missing, duplicate, disorder and inconclusive:
//! - *duplicate*: a reading heard again. Consumers throw it away by its identity.
//! - *disorder*: a reading that is heard for the first time after a higher sequence number of its sensor was heard in the
//!   same partition. A consumer that throws away what does not rise loses it.
//! - *inconclusive*: not heard, and may have stood where retention has removed records. Where records were removed, a
//!   sensor's next record in that partition excuses every sequence number between the highest that was heard of it there
//!   (0 at first) and its own.
//! - *missing*: from 1 to the highest, neither heard nor inconclusive.
//!
//! Promises that memory grows with sensors, partitions and holes, never with records. Pure.

use std::collections::{BTreeSet, HashMap};

use super::identity::{Heard, Identity};
use super::ranges::Ranges;

/// A partition's number in one tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartNo(usize);

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    topic: Box<str>,
    partition: i32,
    /// How often records were found removed.
    removals: u32,
    /// The lowest offset that was not offered yet.
    next: i64,
}

/// A reading that came after a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    /// Its sequence number.
    pub sequence: u64,
    /// The higher one.
    pub after: u64,
    /// The offset of its record.
    pub offset: i64,
}

/// What was heard of one sensor in one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seen: Ranges,
    pub(super) excused: Ranges,
    pub(super) duplicates: u64,
    pub(super) disorder: u64,
    pub(super) first_late: Option<Late>,
    highest: u64,
    removals: u32,
}

/// A sensor in one epoch of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Series {
    pub(super) device: Box<str>,
    pub(super) epoch: u64,
    pub(super) sensor: Box<str>,
    pub(super) places: Vec<(PartNo, Place)>,
}

/// A key of a topic, and the partitions where it was heard; more than one is a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) topic: Box<str>,
    pub(super) key: Box<[u8]>,
    pub(super) parts: BTreeSet<i32>,
}

/// How many records were heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Records {
    /// All.
    pub heard: u64,
    /// Without sound headers of ours.
    pub foreign: u64,
    /// Of devices that nobody asked about.
    pub other_devices: u64,
}

/// Everything that was heard.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    device: Option<Box<str>>,
    parts: Vec<Part>,
    pub(super) series: Vec<Series>,
    pub(super) splits: Vec<Split>,
    pub(super) records: Records,
    by_topic: HashMap<Box<str>, HashMap<i32, PartNo>>,
    by_name: HashMap<Box<[u8]>, usize>,
    by_key: HashMap<Box<[u8]>, Home>,
    /// Where names for looking up are put together.
    name: Vec<u8>,
}

/// Where a key was heard first, and its split if it was heard elsewhere too.
#[derive(Debug, Clone, Copy)]
struct Home {
    part: PartNo,
    split: Option<usize>,
}

impl Tally {
    /// Of one device, or of all.
    #[must_use]
    pub fn new(device: Option<&str>) -> Self {
        Self {
            device: device.map(Box::from),
            ..Self::default()
        }
    }

    /// The number of a partition.
    pub fn part(&mut self, topic: &str, partition: i32) -> PartNo {
        let known = self.by_topic.get(topic).and_then(|parts| parts.get(&partition));
        if let Some(part) = known {
            return *part;
        }
        let part = PartNo(self.parts.len());
        self.parts.push(Part {
            topic: topic.into(),
            partition,
            removals: 0,
            next: 0,
        });
        self.by_topic
            .entry(topic.into())
            .or_default()
            .insert(partition, part);
        part
    }

    /// Takes note that what stood before `earliest`, and was not offered, has been removed by retention.
    pub fn removed(&mut self, part: PartNo, earliest: i64) {
        if let Some(part) = self.parts.get_mut(part.0)
            && part.next < earliest
        {
            part.removals += 1;
            part.next = earliest;
        }
    }

    /// Takes note of a record; those of a partition come in the order of their offsets, and what was offered before is
    /// passed over. Returns whose readings it holds, if they are asked for.
    pub fn record<'a>(&mut self, part: PartNo, heard: &Heard<'a>) -> Option<Identity<'a>> {
        let known = self.parts.get_mut(part.0)?;
        if heard.offset < known.next {
            return None;
        }
        known.next = heard.offset.saturating_add(1);
        let removals = known.removals;
        self.records.heard += 1;
        let Some(identity) = Identity::of(heard) else {
            self.records.foreign += 1;
            return None;
        };
        if self
            .device
            .as_deref()
            .is_some_and(|device| device != identity.device)
        {
            self.records.other_devices += 1;
            return None;
        }
        if let Some(key) = heard.key {
            self.keyed(part, key);
        }
        self.series_of(&identity)
            .place(part)
            .take(&identity, heard.offset, removals);
        Some(identity)
    }

    /// The topic and partition behind a number.
    pub(super) fn place_of(&self, part: PartNo) -> (&str, i32) {
        self.parts
            .get(part.0)
            .map_or(("", 0), |part| (&*part.topic, part.partition))
    }

    fn series_of(&mut self, identity: &Identity<'_>) -> &mut Series {
        name(
            &mut self.name,
            &[
                identity.device.as_bytes(),
                &identity.epoch.to_be_bytes(),
                identity.sensor.as_bytes(),
            ],
        );
        let index = match self.by_name.get(&*self.name) {
            Some(index) => *index,
            None => {
                self.by_name.insert((&*self.name).into(), self.series.len());
                self.series.push(Series {
                    device: identity.device.into(),
                    epoch: identity.epoch,
                    sensor: (&*identity.sensor).into(),
                    places: Vec::new(),
                });
                self.series.len() - 1
            }
        };
        &mut self.series[index]
    }

    /// Takes note of where a key was heard.
    fn keyed(&mut self, part: PartNo, key: &[u8]) {
        let Some(Part { topic, partition, .. }) = self.parts.get(part.0) else {
            return;
        };
        name(&mut self.name, &[topic.as_bytes(), key]);
        let Some(home) = self.by_key.get_mut(&*self.name) else {
            let home = Home { part, split: None };
            self.by_key.insert((&*self.name).into(), home);
            return;
        };
        if home.part == part {
            return;
        }
        let split = *home.split.get_or_insert(self.splits.len());
        if split == self.splits.len() {
            let first = self.parts.get(home.part.0).map(|part| part.partition);
            self.splits.push(Split {
                topic: topic.clone(),
                key: key.into(),
                parts: first.into_iter().collect(),
            });
        }
        if let Some(split) = self.splits.get_mut(split) {
            split.parts.insert(*partition);
        }
    }
}

/// Puts parts together so that no two lists of parts give the same bytes.
fn name(name: &mut Vec<u8>, parts: &[&[u8]]) {
    name.clear();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part);
    }
}

impl Series {
    fn place(&mut self, part: PartNo) -> &mut Place {
        let index = match self.places.iter().position(|(known, _)| *known == part) {
            Some(index) => index,
            None => {
                self.places.push((part, Place::default()));
                self.places.len() - 1
            }
        };
        &mut self.places[index].1
    }
}

impl Place {
    /// Takes readings that were heard in this partition, where records were found removed so often.
    fn take(&mut self, identity: &Identity<'_>, offset: i64, removals: u32) {
        let (from, through) = (identity.from, identity.through);
        if self.removals != removals {
            self.removals = removals;
            self.excused.insert(self.highest.saturating_add(1), from - 1);
        }
        if from <= self.highest {
            self.look_back(from, through.min(self.highest), offset);
        }
        let length = (through - from).saturating_add(1);
        self.duplicates = self
            .duplicates
            .saturating_add(length - self.seen.insert(from, through));
        self.highest = self.highest.max(through);
    }

    /// Counts what is new of `from..=through`, though something higher was heard before. What retention may have
    /// removed may have been heard in its turn.
    fn look_back(&mut self, from: u64, through: u64, offset: i64) {
        let late = self.seen.complement(from, through).minus(&self.excused);
        self.disorder = self.disorder.saturating_add(late.len());
        if let Some(sequence) = late.first() {
            self.first_late.get_or_insert(Late {
                sequence,
                after: self.highest,
                offset,
            });
        }
    }
}
