//! Which reading has to stand where, and which were seen.
//!
//! Owns the table of lives (which epoch and sequence numbers each writer got) and the set of what was read back. Pure.

use std::collections::BTreeMap;

use edgespool::reading::Reading;

use crate::readings;

/// What one writer stored.
#[derive(Debug, Clone)]
pub struct Life {
    /// In which epoch.
    pub epoch: u64,
    /// Its number in [`readings::reading`].
    pub life: u64,
    /// The sequence number of its first reading, by sensor.
    pub first: Vec<u64>,
    /// How many, by sensor.
    pub count: Vec<u64>,
}

impl Life {
    /// The first one: from sequence number 1 on.
    pub fn first(epoch: u64, count: Vec<u64>) -> Self {
        Self {
            epoch,
            life: 0,
            first: vec![1; count.len()],
            count,
        }
    }

    fn place(&self, epoch: u64, sensor: u32, sequence: u64) -> Option<u64> {
        let (first, count) = (
            *self.first.get(sensor as usize)?,
            *self.count.get(sensor as usize)?,
        );
        let inside = self.epoch == epoch && sequence >= first && sequence < first + count;
        inside.then(|| sequence - first + 1)
    }
}

/// All writers.
#[derive(Debug, Default)]
pub struct Book(Vec<Life>);

impl Book {
    /// Adds one.
    pub fn add(&mut self, life: Life) {
        self.0.push(life);
    }

    /// The one that came last.
    pub fn last(&self) -> Option<&Life> {
        self.0.last()
    }

    /// What has to stand there; `None`: nothing was ever stored under that number.
    pub fn reading(&self, seed: u64, epoch: u64, sensor: u32, sequence: u64) -> Option<Reading> {
        // Later writers go first: a number that was never durable may have been given again.
        let mut lives = self.0.iter().rev();
        lives.find_map(|life| {
            let place = life.place(epoch, sensor, sequence)?;
            Some(readings::reading(seed, life.life, sensor, place))
        })
    }
}

/// The readings that were read back, as ranges in their order, by epoch and sensor.
#[derive(Debug, Clone, Default)]
pub struct Seen(BTreeMap<(u64, u32), Vec<(u64, u64)>>);

impl Seen {
    /// Adds a run; false when it does not come after all before it.
    pub fn add(&mut self, epoch: u64, sensor: u32, from: u64, through: u64) -> bool {
        let ranges = self.0.entry((epoch, sensor)).or_default();
        match ranges.last_mut() {
            Some((_, last)) if *last >= from => return false,
            Some((_, last)) if *last + 1 == from => *last = through,
            _ => ranges.push((from, through)),
        }
        true
    }

    /// How many of `from..=through` were not seen.
    pub fn missing(&self, epoch: u64, sensor: u32, from: u64, through: u64) -> u64 {
        let ranges = self.0.get(&(epoch, sensor)).map_or(&[][..], Vec::as_slice);
        let overlap = |(first, last): &(u64, u64)| (through.min(*last) + 1).saturating_sub(from.max(*first));
        let seen: u64 = ranges.iter().map(overlap).sum();
        (through + 1).saturating_sub(from).saturating_sub(seen)
    }

    /// The last number of each sensor in each epoch.
    pub fn ends(&self) -> impl Iterator<Item = (u64, u32, u64)> + '_ {
        self.0
            .iter()
            .filter_map(|((epoch, sensor), ranges)| Some((*epoch, *sensor, ranges.last()?.1)))
    }

    /// All ranges: epoch, sensor, from, through.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u32, u64, u64)> + '_ {
        self.0.iter().flat_map(|((epoch, sensor), ranges)| {
            ranges
                .iter()
                .map(|(from, through)| (*epoch, *sensor, *from, *through))
        })
    }
}
