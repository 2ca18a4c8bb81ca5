//! The fold against a plain map of readings: what a release, a drop or a checkpoint does is counted reading by reading.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const OUT: OutputNo = OutputNo(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Queued,
    Delivered,
    Dead,
    Dropped(DropReason),
}

#[derive(Debug, Clone)]
enum Action {
    Accept(u32, u64),
    Release(u32, u64),
    Stale(u32, u64),
    Dead(u32, u64),
    Drop(u32, u64, DropReason),
    NewEpoch,
    Reopen,
}

fn any_action() -> impl Strategy<Value = Action> {
    let (sensor, count) = (0_u32..4, 1_u64..20);
    prop_oneof![
        4 => (sensor.clone(), count.clone()).prop_map(|(s, n)| Action::Accept(s, n)),
        3 => (sensor.clone(), count.clone()).prop_map(|(s, n)| Action::Release(s, n)),
        1 => (sensor.clone(), count.clone()).prop_map(|(s, n)| Action::Stale(s, n)),
        1 => (sensor.clone(), count.clone()).prop_map(|(s, n)| Action::Dead(s, n)),
        1 => (sensor, count, 0_usize..4).prop_map(|(s, n, r)| Action::Drop(s, n, DropReason::ALL[r])),
        1 => Just(Action::NewEpoch),
        1 => Just(Action::Reopen),
    ]
}

/// Every reading by (sensor, epoch, sequence).
#[derive(Default)]
struct Model {
    readings: BTreeMap<(u32, u64, u64), Fate>,
}

impl Model {
    /// The next `count` queued readings of a sensor within its oldest epoch that has any.
    fn oldest(&self, sensor: u32, count: u64) -> Option<(u64, u64, u64)> {
        let mine = |((s, ..), fate): &(&(u32, u64, u64), &Fate)| *s == sensor && **fate == Fate::Queued;
        let mut queued = self
            .readings
            .iter()
            .filter(mine)
            .map(|((_, epoch, seq), _)| (*epoch, *seq));
        let (epoch, from) = queued.next()?;
        let last = queued
            .take_while(|(other, _)| *other == epoch)
            .map(|(_, seq)| seq)
            .last()
            .unwrap_or(from);
        Some((epoch, from, last.min(from + count - 1)))
    }

    fn set(&mut self, sensor: u32, (epoch, from, through): (u64, u64, u64), fate: Fate) {
        for seq in from..=through {
            self.readings.insert((sensor, epoch, seq), fate);
        }
    }

    fn count(&self, sensor: u32, wanted: impl Fn(Fate) -> bool) -> u64 {
        self.readings
            .iter()
            .filter(|((s, ..), fate)| *s == sensor && wanted(**fate))
            .count() as u64
    }
}

fn reopened(state: &State) -> State {
    let mut back = State {
        next_row: state.next_row,
        complete: state.complete,
        ..State::default()
    };
    state.checkpoint().iter().for_each(|entry| back.entry(entry));
    back
}

fn step(state: &mut State, model: &mut Model, action: &Action) {
    match *action {
        Action::Accept(sensor, count) => {
            let next = state.sensors.get(sensor as usize).map_or(1, |s| s.next);
            state.accept(SensorNo(sensor), next, count);
            model.set(sensor, (state.epoch().0, next, next + count - 1), Fate::Queued);
        }
        Action::Release(sensor, count) => {
            let Some(range) = model.oldest(sensor, count) else {
                return;
            };
            let release = Release {
                output: OUT,
                sensor: SensorNo(sensor),
                epoch: Epoch(range.0),
                through: range.2,
            };
            state.entry(&Entry::Release(release));
            model.set(sensor, range, Fate::Delivered);
        }
        Action::Stale(sensor, back) => {
            let Some((epoch, through)) = state
                .sensors
                .get(sensor as usize)
                .and_then(|s| s.outputs.first()?.released)
            else {
                return;
            };
            let through = through.saturating_sub(back);
            state.entry(&Entry::Release(Release {
                output: OUT,
                sensor: SensorNo(sensor),
                epoch,
                through,
            }));
        }
        Action::Dead(sensor, count) => {
            let Some(range) = model.oldest(sensor, count) else {
                return;
            };
            let (epoch, from, through) = (Epoch(range.0), range.1, range.2);
            state.entry(&Entry::Dead {
                output: OUT,
                sensor: SensorNo(sensor),
                epoch,
                from,
                through,
                reason: 1,
            });
            model.set(sensor, range, Fate::Dead);
        }
        Action::Drop(sensor, count, reason) => {
            let Some(range) = model.oldest(sensor, count) else {
                return;
            };
            let (epoch, from, through) = (Epoch(range.0), range.1, range.2);
            state.entry(&Entry::Drop {
                sensor: SensorNo(sensor),
                epoch,
                from,
                through,
                reason,
            });
            model.set(sensor, range, Fate::Dropped(reason));
        }
        Action::NewEpoch => {
            let epoch = Epoch(state.epoch().0 + 1);
            state.entry(&Entry::Epoch(epoch));
        }
        Action::Reopen => {
            let back = reopened(state);
            assert_eq!(&back, state, "a checkpoint is the state");
            *state = back;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_fold_agrees_with_a_plain_map(actions in proptest::collection::vec(any_action(), 1..80)) {
        let (mut state, mut model) = (State::new(Epoch(100), 1), Model::default());
        for action in &actions {
            step(&mut state, &mut model, action);
            for sensor in 0..4 {
                let Some(found) = state.sensors.get(sensor as usize) else { continue };
                let ledger = found.ledger(OUT);
                let dropped = |fate| matches!(fate, Fate::Dropped(_));
                prop_assert_eq!(ledger, Ledger {
                    accepted: model.count(sensor, |_| true),
                    delivered: model.count(sensor, |fate| fate == Fate::Delivered),
                    queued: model.count(sensor, |fate| fate == Fate::Queued),
                    dead: model.count(sensor, |fate| fate == Fate::Dead),
                    dropped: model.count(sensor, dropped),
                    dropped_by: DropReason::ALL.map(|reason| model.count(sensor, |fate| fate == Fate::Dropped(reason))),
                }, "sensor {} after {:?}", sensor, action);
            }
        }
    }
}

#[test]
fn sequences_start_at_one_in_every_epoch_and_never_go_back() {
    let mut state = State::new(Epoch(5), 1);
    state.accept(SensorNo(2), 1, 10);
    state.entry(&Entry::Epoch(Epoch(5)));
    assert_eq!(
        state.sensors[2].next, 11,
        "the epoch of a checkpoint begins nothing"
    );
    state.entry(&Entry::Epoch(Epoch(6)));
    assert_eq!((state.sensors[2].next, state.epoch()), (1, Epoch(6)));
}

#[test]
fn what_nodes_declare_lost_adds_up_and_a_checkpoint_keeps_the_sum() {
    let mut state = State::new(Epoch(5), 1);
    for (node, lost) in [(b"a", 3), (b"b", 4), (b"a", 0), (b"a", 2)] {
        state.entry(&Entry::Node(NodePosition {
            node: NodeKey(node.as_slice().into()),
            boot: 1,
            sequence: 9,
            lost,
        }));
    }
    assert_eq!(state.lost_upstream(), 9);
    assert_eq!(reopened(&state).lost_upstream(), 9);
}

#[test]
fn the_floor_is_the_lowest_row_that_anything_needs() {
    let mut state = State::new(Epoch(5), 2);
    for (output, row) in [(0, 90), (1, 70)] {
        state.entry(&Entry::Head {
            output: OutputNo(output),
            row,
        });
    }
    assert_eq!(state.floor(), 70);
    state.entry(&Entry::Park {
        output: OutputNo(0),
        sensor: SensorNo(1),
        row: 30,
    });
    assert_eq!(state.floor(), 30);
    state.entry(&Entry::Park {
        output: OutputNo(0),
        sensor: SensorNo(1),
        row: 0,
    });
    state.entry(&Entry::Head {
        output: OutputNo(1),
        row: 60,
    });
    assert_eq!(state.floor(), 70, "a head never goes back");
}
