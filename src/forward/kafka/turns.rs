//! One batch of a partition at a time.
//!
//! An idempotent librdkafka has one request of a partition under way at a time, whatever its settings say. While records
//! wait behind it that are older than `linger.ms`, its thread for the broker polls without a pause: a whole core for
//! nothing, for as long as the broker takes to answer. So what would have to wait there waits here.
//!
//! Owns what is known of the partitions that lanes go to (the broker's own word, from the last acknowledgement) and the
//! tickets that wait for their turn. Promises that a lane of which nothing is known yet is not held up, that nobody waits
//! for a partition that has nothing under way, and that whoever waits is told once. Must not know the client library.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::clock::Mono;
use crate::reading::SensorNo;

/// Records of one batch. The client sends it when there are so many (`batch.num.messages`).
pub(super) const RECORDS: usize = 2048;
/// Bytes of keys and values in one batch, so that one request holds them with their headers (`batch.size`).
const BYTES: usize = 450_000;
/// How long a batch is joined. Then the client has waited `linger.ms`, or is about to have: it sends what it has.
const JOIN: Duration = Duration::from_millis(10);
/// Of a partition of which nothing is known.
const UNKNOWN: i32 = -1;

/// Where a lane's records go.
#[derive(Debug)]
pub(super) struct Way {
    topic: Box<str>,
    partition: AtomicI32,
}

impl Way {
    /// A record of the lane has arrived in that partition.
    pub(super) fn learn(&self, partition: i32) {
        self.partition.store(partition, Ordering::Relaxed);
    }
}

/// The records of one partition that the client has: one batch, for all that is known.
#[derive(Debug, Default)]
pub(super) struct Partition {
    under_way: AtomicUsize,
    wanted: AtomicBool,
    /// Of the batch: when it began, its records, their bytes. Written by the one thread that hands over.
    began: AtomicU64,
    records: AtomicUsize,
    bytes: AtomicUsize,
}

impl Partition {
    /// Whether one more record of that size may join the batch, or begin one. When not, [`Partition::done`] will say when.
    pub(super) fn admits(&self, bytes: usize, now: Mono) -> bool {
        let records = self.records.load(Ordering::Relaxed) + 1;
        let sum = self.bytes.load(Ordering::Relaxed) + bytes;
        let began = Mono(self.began.load(Ordering::Relaxed));
        let joins = records <= RECORDS && sum <= BYTES && now.since(began) <= JOIN;
        if joins && !self.is_free() {
            self.records.store(records, Ordering::Relaxed);
            self.bytes.store(sum, Ordering::Relaxed);
            return true;
        }
        if !self.is_free_or_wanted() {
            return false;
        }
        self.began.store(now.0, Ordering::Relaxed);
        self.records.store(1, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        true
    }

    /// One record more.
    pub(super) fn add(&self) {
        self.under_way.fetch_add(1, Ordering::SeqCst);
    }

    /// A record that was added was not handed over. Nobody is told.
    pub(super) fn cancel(&self) {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }

    /// One record less; true when that was the last one and somebody waits.
    pub(super) fn done(&self) -> bool {
        self.under_way.fetch_sub(1, Ordering::SeqCst) == 1 && self.wanted.swap(false, Ordering::SeqCst)
    }

    fn is_free(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) == 0
    }

    fn is_free_or_wanted(&self) -> bool {
        if self.is_free() {
            return true;
        }
        self.wanted.store(true, Ordering::SeqCst);
        // It may have become free between the two looks; then nobody else would say so.
        if self.is_free() {
            self.wanted.store(false, Ordering::SeqCst);
            return true;
        }
        false
    }
}

/// What one ticket has to do with it.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    /// Where its lane's records go.
    pub(super) way: Arc<Way>,
    /// Its partition, where that is known.
    pub(super) partition: Option<Arc<Partition>>,
}

/// All lanes and partitions, and the tickets that wait.
#[derive(Debug)]
pub(super) struct Turns<T> {
    ways: HashMap<SensorNo, Arc<Way>>,
    partitions: HashMap<Box<str>, HashMap<i32, Arc<Partition>>>,
    waiting: Vec<(Arc<Partition>, VecDeque<T>)>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            ways: HashMap::new(),
            partitions: HashMap::new(),
            waiting: Vec::new(),
        }
    }
}

impl<T> Turns<T> {
    /// For a ticket of that lane.
    pub(super) fn turn(&mut self, sensor: SensorNo, topic: &str) -> Turn {
        let way = self.ways.get(&sensor).filter(|way| *way.topic == *topic);
        let way = way.cloned().unwrap_or_else(|| {
            let way = Arc::new(Way {
                topic: topic.into(),
                partition: AtomicI32::new(UNKNOWN),
            });
            self.ways.insert(sensor, way.clone());
            way
        });
        let known = Some(way.partition.load(Ordering::Relaxed)).filter(|partition| *partition != UNKNOWN);
        let partition = known.map(|partition| self.partition(topic, partition));
        Turn { way, partition }
    }

    fn partition(&mut self, topic: &str, partition: i32) -> Arc<Partition> {
        if !self.partitions.contains_key(topic) {
            self.partitions.insert(topic.into(), HashMap::new());
        }
        let of_topic = self.partitions.get_mut(topic);
        of_topic.map_or_else(Arc::default, |of_topic| {
            of_topic.entry(partition).or_default().clone()
        })
    }

    /// Keeps what its partition did not admit.
    pub(super) fn hold(&mut self, partition: Arc<Partition>, item: T) {
        let queue = (self.waiting.iter_mut()).find(|(other, _)| Arc::ptr_eq(other, &partition));
        match queue {
            Some((_, queue)) => queue.push_back(item),
            None => self.waiting.push((partition, VecDeque::from([item]))),
        }
    }

    /// What waited for partitions that have nothing under way now.
    pub(super) fn free(&mut self) -> Vec<T> {
        let mut free = Vec::new();
        self.waiting.retain_mut(|(partition, queue)| {
            let is_free = partition.is_free_or_wanted();
            if is_free {
                free.extend(queue.drain(..));
            }
            !is_free
        });
        free
    }

    /// Whether something waits for a partition that has nothing under way.
    pub(super) fn has_free(&self) -> bool {
        self.waiting.iter().any(|(partition, _)| partition.is_free())
    }

    /// How many wait.
    pub(super) fn held(&self) -> usize {
        self.waiting.iter().map(|(_, queue)| queue.len()).sum()
    }

    /// The client is another one: all that waited, and nothing is under way any more.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.partitions.clear();
        std::mem::take(&mut self.waiting)
            .into_iter()
            .flat_map(|(_, queue)| queue)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(1_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn a_batch_is_joined_for_a_moment_and_the_next_one_waits_for_its_last_record() {
        let partition = Partition::default();
        for (ms, admitted) in [(0, true), (1, true), (10, true), (11, false), (500, false)] {
            assert_eq!(partition.admits(100, at(ms)), admitted, "after {ms} ms");
            if admitted {
                partition.add();
            }
        }
        assert!(!partition.done() && !partition.done(), "one is left");
        assert!(partition.done(), "whoever was refused is told");
        assert!(partition.admits(100, at(500)));
        partition.add();
        assert!(!partition.done(), "nobody waits");
    }

    #[test]
    fn a_batch_is_bounded_in_records_and_in_bytes() {
        for (bytes, most) in [(100, RECORDS), (1000, 450), (BYTES + 1, 1)] {
            let partition = Partition::default();
            let mut records = 0;
            while partition.admits(bytes, at(1)) {
                partition.add();
                records += 1;
            }
            assert_eq!(records, most, "{bytes} bytes each");
        }
    }

    #[test]
    fn only_lanes_of_one_partition_wait_for_each_other() {
        let mut turns = Turns::default();
        let first = turns.turn(SensorNo(1), "a");
        assert!(first.partition.is_none(), "nothing is known yet");
        for (sensor, topic, partition) in [(1, "a", 0), (2, "a", 0), (3, "a", 1), (4, "b", 0)] {
            turns.turn(SensorNo(sensor), topic).way.learn(partition);
        }
        let mut known = |sensor, topic| turns.turn(SensorNo(sensor), topic).partition.unwrap();
        let (one, two, three, four) = (known(1, "a"), known(2, "a"), known(3, "a"), known(4, "b"));
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &three) && !Arc::ptr_eq(&one, &four));
        assert!(
            turns.turn(SensorNo(1), "c").partition.is_none(),
            "its definition changed"
        );
        for partition in [&one, &three] {
            assert!(partition.admits(1, at(0)));
            partition.add();
            assert!(!partition.admits(1, at(20)));
        }
        turns.hold(one.clone(), 1);
        turns.hold(two, 2);
        turns.hold(three, 3);
        assert_eq!((turns.held(), turns.free()), (3, vec![]));
        assert!(one.done(), "somebody waits for it");
        assert_eq!((turns.free(), turns.held()), (vec![1, 2], 1));
        assert_eq!((turns.clear(), turns.held()), (vec![3], 0));
    }
}
