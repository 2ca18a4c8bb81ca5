//! The outbox against a plain model of it.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

use std::collections::VecDeque;

use edgespool_node::outbox::{Entry, Inserted, Mark, Outbox};
use proptest::collection::vec;
use proptest::prelude::*;

const BYTES: usize = 128;

#[derive(Clone, Debug)]
enum Action {
    Insert {
        sensor: u8,
        len: usize,
    },
    /// A watermark somewhere between before the oldest and after the next.
    Acknowledge(prop::sample::Index),
    /// Read so many entries from the mark that was left by the last time.
    Read(usize),
    /// Read so many from the oldest.
    Rewind(usize),
}

fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (0..3u8, 0..40usize).prop_map(|(sensor, len)| Action::Insert { sensor, len }),
        2 => any::<prop::sample::Index>().prop_map(Action::Acknowledge),
        2 => (0..6usize).prop_map(Action::Read),
        1 => (0..6usize).prop_map(Action::Rewind),
    ]
}

/// What stands for one sequence number: sensor, uptime and bytes, or that it was refused.
#[derive(Clone, Debug, PartialEq)]
enum Slot {
    Held(u8, Vec<u8>),
    Refused(u64),
}

#[derive(Default)]
struct Model {
    /// From the oldest that is not acknowledged.
    slots: VecDeque<Slot>,
    acknowledged: u64,
    now: u64,
}

impl Model {
    fn next(&self) -> u64 {
        self.acknowledged + self.slots.len() as u64 + 1
    }

    fn bytes(&self) -> usize {
        self.slots
            .iter()
            .map(|slot| {
                if let Slot::Held(_, bytes) = slot {
                    bytes.len() + 3
                } else {
                    0
                }
            })
            .sum()
    }

    /// Sequence number and slot.
    fn from(&self, sequence: u64) -> impl Iterator<Item = (u64, &Slot)> {
        let first = self.acknowledged + 1;
        (first..).zip(&self.slots).filter(move |(at, _)| *at >= sequence)
    }
}

/// Each sequence number that these entries cover, as the model says it.
fn spelled<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<(u64, Slot)> {
    let mut spelled = Vec::new();
    for entry in entries {
        match entry {
            Entry::Reading {
                sequence,
                sensor,
                pieces,
            } => spelled.push((sequence, Slot::Held(sensor, pieces.concat()))),
            Entry::Lost {
                from,
                through,
                uptime_ms,
            } => {
                assert!(from <= through, "no Lost record is empty");
                spelled.extend((from..=through).map(|sequence| (sequence, Slot::Refused(uptime_ms))));
            }
        }
    }
    spelled
}

/// The model knows when each was refused; a Lost record says when the first of its run was.
fn same(real: &[(u64, Slot)], model: &[(u64, &Slot)]) {
    assert_eq!(real.len(), model.len(), "{real:?} {model:?}");
    for ((at, slot), (expect_at, expect)) in real.iter().zip(model) {
        assert_eq!(at, expect_at);
        match (slot, expect) {
            (Slot::Refused(since), Slot::Refused(when)) => assert!(since <= when),
            (slot, expect) => assert_eq!(&slot, expect),
        }
    }
}

fn step(outbox: &mut Outbox<BYTES>, model: &mut Model, mark: &mut Mark, action: &Action) {
    match action {
        Action::Insert { sensor, len } => insert(outbox, model, *sensor, *len),
        Action::Acknowledge(index) => {
            let through = (model.acknowledged + index.index(model.slots.len() + 4) as u64).saturating_sub(1);
            let held = through > model.acknowledged && through < model.next();
            assert_eq!(outbox.acknowledge(through), held);
            if held {
                model
                    .slots
                    .drain(..usize::try_from(through - model.acknowledged).unwrap());
                model.acknowledged = through;
            }
            assert!(!outbox.acknowledge(through), "the second time it is nothing new");
        }
        Action::Read(count) => read(outbox, model, mark, *count),
        Action::Rewind(count) => {
            *mark = outbox.start();
            read(outbox, model, mark, *count);
        }
    }
}

fn insert(outbox: &mut Outbox<BYTES>, model: &mut Model, sensor: u8, len: usize) {
    model.now += 1;
    let bytes: Vec<u8> = (0..len)
        .map(|at| (at as u64 + model.now).to_le_bytes()[0])
        .collect();
    let used = outbox.used_bytes();
    let Inserted { sequence, kept } = outbox.insert(sensor, model.now, &bytes);
    assert_eq!(sequence, model.next());
    let overflowing = matches!(model.slots.back(), Some(Slot::Refused(_)));
    let need = 3 + len + if overflowing { 19 } else { 0 };
    assert_eq!(kept, need <= BYTES - used, "refused only for want of room");
    model.slots.push_back(if kept {
        Slot::Held(sensor, bytes)
    } else {
        Slot::Refused(model.now)
    });
}

fn read(outbox: &Outbox<BYTES>, model: &Model, mark: &mut Mark, count: usize) {
    let from = mark.sequence().max(outbox.oldest());
    let mut entries = outbox.read_from(*mark);
    let real = spelled(entries.by_ref().take(count));
    same(&real, &model.from(from).take(real.len()).collect::<Vec<_>>());
    *mark = entries.mark();
    assert_eq!(mark.sequence().max(outbox.oldest()), from + real.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_as_its_model(actions in vec(actions(), 1..120)) {
        let (mut outbox, mut model) = (Outbox::<BYTES>::new(), Model::default());
        let mut mark = outbox.start();
        for action in &actions {
            step(&mut outbox, &mut model, &mut mark, action);
            prop_assert_eq!(outbox.oldest(), model.acknowledged + 1);
            prop_assert_eq!(outbox.next_sequence(), model.next());
            prop_assert_eq!(outbox.depth(), model.slots.len() as u64);
            prop_assert!(outbox.used_bytes() <= BYTES && outbox.used_bytes() >= model.bytes());
            same(&spelled(outbox.read_from(outbox.start())), &model.from(0).collect::<Vec<_>>());
        }
        let through = outbox.next_sequence() - 1;
        outbox.acknowledge(through);
        prop_assert_eq!((outbox.used_bytes(), outbox.depth(), outbox.oldest()), (0, 0, through + 1));
    }
}

fn shown<const N: usize>(outbox: &Outbox<N>, mark: Mark) -> String {
    let entries = outbox.read_from(mark).map(|entry| match entry {
        Entry::Reading { sequence, .. } => format!("{sequence}"),
        Entry::Lost {
            from,
            through,
            uptime_ms,
        } => format!("lost {from}-{through} at {uptime_ms}"),
    });
    entries.collect::<Vec<_>>().join(", ")
}

#[test]
fn overflow_becomes_one_lost_record_in_its_place() {
    let mut outbox = Outbox::<64>::new();
    let kept: Vec<bool> = (0..6)
        .map(|at| outbox.insert(0, 100 + at, &[0; 17]).kept)
        .collect();
    assert_eq!(kept, [true, true, true, false, false, false]);
    assert_eq!(shown(&outbox, outbox.start()), "1, 2, 3, lost 4-6 at 103");
    assert!(outbox.acknowledge(1));
    // Room for the reading alone is not enough: the record must precede it.
    assert!(!outbox.insert(0, 200, &[0; 17]).kept);
    assert!(outbox.acknowledge(2));
    assert!(outbox.insert(0, 300, &[0; 17]).kept);
    assert_eq!(shown(&outbox, outbox.start()), "3, lost 4-7 at 103, 8");
    assert_eq!(outbox.refused(), 4);
    assert!(outbox.acknowledge(5));
    assert_eq!(shown(&outbox, outbox.start()), "lost 6-7 at 103, 8");
    assert!(outbox.acknowledge(8));
    assert_eq!((outbox.used_bytes(), outbox.oldest()), (0, 9));
}

#[test]
fn a_lost_record_that_grows_after_it_was_read_goes_on_where_it_was() {
    let mut outbox = Outbox::<64>::new();
    let kept = (0..5).filter(|_| outbox.insert(0, 1, &[0; 17]).kept).count();
    assert_eq!(kept, 3);
    let mut entries = outbox.read_from(outbox.start());
    assert_eq!(entries.by_ref().count(), 4);
    let mark = entries.mark();
    assert_eq!(shown(&outbox, mark), "");
    outbox.insert(0, 2, &[0; 17]);
    assert_eq!(shown(&outbox, mark), "lost 6-6 at 1");
    assert!(outbox.acknowledge(3));
    outbox.insert(0, 3, &[0; 17]);
    assert_eq!(shown(&outbox, mark), "lost 6-6 at 1, 7");
}

#[test]
fn what_never_fits_is_lost_and_not_in_the_way() {
    let mut outbox = Outbox::<1024>::new();
    assert!(!outbox.insert(0, 1, &[0; 600]).kept);
    assert!(outbox.insert(0, 2, &[0; 10]).kept);
    assert_eq!(shown(&outbox, outbox.start()), "lost 1-1 at 1, 2");
}
