//! What became durable, row by row: identities, order, watermarks, and the ledger that follows from them.

use std::sync::Arc;

use edgespool::queue::fold::SensorState;
use edgespool::queue::row::{Depth, decode};
use edgespool::queue::types::{Entry, OutputStanding, Release, Row, RowNo, Run, SensorStanding};
use edgespool::reading::{Epoch, SensorNo, Value};

use super::{Loss, Oracle, Place, Way};

impl Oracle {
    /// These rows are durable now.
    pub(in super::super) fn stored<'r>(&mut self, rows: impl IntoIterator<Item = (RowNo, &'r [u8])>) {
        for (number, bytes) in rows {
            let row = decode(bytes, number, Depth::All).expect("the agent writes rows that can be read");
            self.row(&row);
        }
    }

    fn row(&mut self, row: &Row) {
        // A checkpoint begins with all epochs.
        let first = self.epochs.first().copied().map(Entry::Epoch);
        self.checkpoint |= first.is_some() && row.entries.first() == first.as_ref();
        for entry in &row.entries {
            match entry {
                Entry::Epoch(epoch) => self.begin(*epoch),
                Entry::Define { sensor, def } => {
                    let index = self.index(def.id.as_str());
                    let before = self.numbers.insert(*sensor, index);
                    assert!(
                        before.is_none_or(|before| before == index) || self.lossy,
                        "{sensor:?} is two sensors"
                    );
                }
                Entry::Release(Release {
                    sensor,
                    epoch,
                    through,
                    ..
                }) => self.released(*sensor, *epoch, *through, Way::Delivered),
                Entry::Drop {
                    sensor,
                    epoch,
                    through,
                    ..
                } => self.released(*sensor, *epoch, *through, Way::Dropped),
                Entry::Dead {
                    sensor,
                    epoch,
                    through,
                    ..
                } => self.released(*sensor, *epoch, *through, Way::Dead),
                Entry::CheckpointEnd => self.checkpoint = false,
                Entry::Node(position) => {
                    let lost = self.lost_upstream.entry(position.node.clone()).or_default();
                    if self.checkpoint {
                        let same = position.lost == *lost || self.lossy;
                        assert!(
                            same,
                            "I6: {:?} lost {lost} readings, not {}",
                            position.node, position.lost
                        );
                    } else {
                        *lost += position.lost;
                    }
                }
                Entry::Park { row: 1.., .. } => self.counts.parked += 1,
                Entry::Sensor(standing) => self.check_sensor(standing),
                Entry::Standing(standing) => self.check_standing(standing),
                _ => {}
            }
        }
        for run in &row.runs {
            self.run(row.epoch, run);
        }
    }

    fn begin(&mut self, epoch: Epoch) {
        if !self.epochs.contains(&epoch) {
            self.epochs.push(epoch);
            self.counts.epochs += 1;
        }
    }

    fn run(&mut self, epoch: Epoch, run: &Run) {
        self.begin(epoch);
        let epoch = self.epochs.iter().position(|known| *known == epoch).unwrap();
        assert_eq!(epoch + 1, self.epochs.len(), "I5: a row of an epoch that is over");
        let index = self.numbers[&run.sensor];
        for at in 0..run.len() {
            let Some(Value::Number(number)) = run.columns.first().map(|column| column.at(at)) else {
                panic!("a value that nobody made")
            };
            let value = number as u64;
            let made = *self.of(value);
            assert_eq!(made.sensor, index, "{value} is a reading of another sensor");
            assert!(!made.durable, "{value} is stored twice");
            let sensor = &mut self.sensors[index];
            let place = (epoch, run.first + at as u64);
            assert!(
                made.order > sensor.last_stored,
                "order: {} stores reading {} after {}",
                sensor.name,
                made.order,
                sensor.last_stored
            );
            sensor.last_stored = made.order;
            if sensor.stored.len() <= epoch {
                sensor.stored.resize(epoch + 1, Vec::new());
            }
            let list = &mut sensor.stored[epoch];
            assert_eq!(
                place.1,
                list.len() as u64 + 1,
                "I5: {} gives this number in epoch {epoch}, but the next is the right one",
                sensor.name
            );
            list.push(value);
            sensor.accepted += 1;
            sensor.spans.stored(place, run.wall[at]);
            let made = self.of(value);
            (made.durable, made.lost) = (true, Loss::None);
            self.counts.stored += 1;
        }
    }

    fn released(&mut self, number: SensorNo, epoch: Epoch, through: u64, way: Way) {
        let index = self.numbers[&number];
        let Some(epoch) = self.epochs.iter().position(|known| *known == epoch) else {
            panic!("a release in an epoch that no durable row has");
        };
        let from = self.sensors[index].released;
        let to = (epoch, through);
        if from.is_some_and(|from| to <= from) {
            return;
        }
        for (place, value) in self.between(index, from, to) {
            let made = *self.of(value);
            let name = &self.sensors[index].name;
            if self.sensors[index].gone.contains(&place) {
                continue;
            }
            // A release or a dead letter's entry that went with a lost tail is not known any more, nor what it covered.
            let forgotten = self.lossy && (made.acknowledged || made.rejected);
            let (right, wrong) = match way {
                Way::Delivered => (made.acknowledged, "released before it was acknowledged"),
                Way::Dropped => (made.lost == Loss::Row || forgotten, "dropped, and could be read"),
                Way::Dead => (made.rejected, "given up as dead, and was not rejected"),
            };
            assert!(
                right,
                "I4, I6: {name} {place:?} (reading {value}) was {wrong}, up to {to:?}"
            );
            // Its letter stands, though the entry that said so is lost.
            self.of(value).dead = way == Way::Dead || (forgotten && made.rejected);
            let sensor = &mut self.sensors[index];
            let (count, sum) = match way {
                Way::Delivered => (&mut sensor.delivered, &mut self.counts.released),
                Way::Dropped => (&mut sensor.dropped, &mut self.counts.dropped),
                Way::Dead => (&mut sensor.dead, &mut self.counts.dead),
            };
            *count += 1;
            *sum += 1;
        }
        self.sensors[index].released = Some(to);
    }

    /// The readings after `from` up to `to`.
    fn between(&self, index: usize, from: Option<Place>, to: Place) -> Vec<(Place, u64)> {
        let stored = &self.sensors[index].stored;
        let after = from.unwrap_or((0, 0));
        let mut found = Vec::new();
        for epoch in after.0..=to.0 {
            let list = stored.get(epoch).map(Vec::as_slice).unwrap_or_default();
            let first = if epoch == after.0 { after.1 } else { 0 };
            let last = if epoch == to.0 { to.1 } else { list.len() as u64 };
            assert!(
                epoch != to.0 || last <= list.len() as u64,
                "I4: released what was never stored: {to:?}"
            );
            for sequence in first + 1..=last {
                found.push(((epoch, sequence), list[sequence as usize - 1]));
            }
        }
        found
    }

    fn check_sensor(&mut self, standing: &SensorStanding) {
        self.counts.checkpoints += 1;
        if self.adrift {
            return;
        }
        let Some(expect) = self.figures().get(&SensorNo(standing.sensor)).copied() else {
            return;
        };
        let epoch_is_new = expect.0 == 1;
        assert!(
            epoch_is_new || (standing.next, standing.accepted) == (expect.0, expect.1),
            "I6: a checkpoint says {standing:?}, not {expect:?}"
        );
    }

    fn check_standing(&self, standing: &OutputStanding) {
        let Some(index) = self
            .numbers
            .get(&SensorNo(standing.sensor))
            .filter(|_| !self.adrift)
        else {
            return;
        };
        let sensor = &self.sensors[*index];
        let epoch = self.epochs.iter().position(|known| known.0 == standing.epoch);
        let released = epoch.map(|epoch| (epoch, standing.through));
        assert_eq!(
            released, sensor.released,
            "I4: a checkpoint has another watermark of {}",
            sensor.name
        );
        let dropped: u64 = standing.dropped.iter().sum();
        assert_eq!(
            (standing.delivered, dropped, standing.dead),
            (sensor.delivered, sensor.dropped, sensor.dead),
            "I6: a checkpoint has other counters of {}",
            sensor.name
        );
    }

    /// The queue's own word on each sensor, after a commit or an opening.
    pub(in super::super) fn check_ledger(&self, sensors: &[SensorState]) {
        for (number, expect) in self.figures() {
            let Some(state) = sensors.get(number.index()) else {
                panic!("I6: the queue has forgotten {number:?}")
            };
            let at = state.outputs.first().cloned().unwrap_or_default();
            let dropped = at.dropped.iter().sum();
            let found = (state.next, state.accepted, at.delivered, dropped, at.dead);
            assert_eq!(
                found, expect,
                "I5, I6: next, accepted, delivered, dropped, dead of {number:?}"
            );
        }
    }

    /// Damage has taken these rows, the newest ones, out of the store.
    pub(in super::super) fn lost_tail(&mut self, rows: &[(RowNo, Arc<[u8]>)]) {
        self.lossy = true;
        self.adrift |= !rows.is_empty();
        for (number, bytes) in rows {
            for value in values(*number, bytes) {
                let made = self.of(value);
                (made.durable, made.lost) = (false, Loss::Tail);
            }
            let row = decode(bytes, *number, Depth::All).expect("it could be read before");
            let Some(epoch) = self.epochs.iter().position(|known| *known == row.epoch) else {
                continue;
            };
            for run in &row.runs {
                let index = self.numbers[&run.sensor];
                let places = (run.first..=run.last()).map(|sequence| (epoch, sequence));
                self.sensors[index].gone.extend(places);
            }
        }
        // Who was defined there has no number any more.
        for (number, bytes) in rows {
            let row = decode(bytes, *number, Depth::Entries).expect("it could be read before");
            for entry in &row.entries {
                if let Entry::Define { sensor, .. } = entry {
                    self.numbers.remove(sensor);
                }
            }
        }
        for index in 0..self.sensors.len() {
            let stored = self.sensors[index].stored.iter().flatten();
            let kept = stored
                .map(|value| self.made[*value as usize - 1])
                .filter(|made| made.durable);
            self.sensors[index].last_stored = kept.map(|made| made.order).max().unwrap_or(0);
        }
    }

    /// Damage has taken this row; false when it must not, since nobody would know what was in it.
    pub(in super::super) fn lost_row(&mut self, number: RowNo, bytes: &[u8]) -> bool {
        let row = decode(bytes, number, Depth::All).expect("it could be read before");
        let epoch = self.epochs.iter().position(|known| *known == row.epoch);
        let goes_on = |run: &Run| {
            let list = epoch.and_then(|epoch| self.sensors[self.numbers[&run.sensor]].stored.get(epoch));
            list.is_some_and(|list| list.len() as u64 > run.last())
        };
        let plain = |entry: &Entry| {
            matches!(
                entry,
                Entry::Release(_) | Entry::Head { .. } | Entry::Park { .. } | Entry::Node(_)
            )
        };
        if !row.entries.iter().all(plain) || !row.runs.iter().all(goes_on) {
            return false;
        }
        for value in values(number, bytes) {
            self.of(value).lost = Loss::Row;
        }
        true
    }

    /// After damage: the counters go on from what the queue could read.
    pub(in super::super) fn rebase(&mut self, sensors: &[SensorState]) {
        self.adrift = false;
        for sensor in &mut self.sensors {
            // Those whose definition is lost begin anew.
            (sensor.accepted, sensor.delivered, sensor.dropped, sensor.dead) = (0, 0, 0, 0);
            sensor.released = None;
        }
        for (number, index) in self.numbers.clone() {
            let sensor = &mut self.sensors[index];
            let state = sensors.get(number.index()).cloned().unwrap_or_default();
            let at = state.outputs.first().cloned().unwrap_or_default();
            sensor.accepted = state.accepted;
            sensor.delivered = at.delivered;
            sensor.dead = at.dead;
            sensor.dropped = at.dropped.iter().sum();
            let place =
                |(epoch, through)| Some((self.epochs.iter().position(|known| *known == epoch)?, through));
            sensor.released = at.released.and_then(place);
        }
    }
}

/// The values in a row.
fn values(number: RowNo, bytes: &[u8]) -> Vec<u64> {
    let row = decode(bytes, number, Depth::All).expect("it could be read before");
    let columns = row
        .runs
        .iter()
        .flat_map(|run| (0..run.len()).map(|at| run.columns[0].at(at)));
    columns
        .filter_map(|value| {
            if let Value::Number(value) = value {
                Some(value as u64)
            } else {
                None
            }
        })
        .collect()
}

/// A row, to be read by people.
pub(in super::super) fn told(number: RowNo, bytes: &[u8]) -> String {
    let row = decode(bytes, number, Depth::All).expect("it was written just now");
    let mut words = format!("  row {number}:");
    for entry in &row.entries {
        let told = match entry {
            Entry::Release(release) => {
                format!(
                    " release {} of {} in {}",
                    release.through, release.sensor.0, release.epoch
                )
            }
            Entry::Sensor(_) | Entry::Standing(_) | Entry::Define { .. } => continue,
            other => format!(" {other:?}"),
        };
        words.push_str(&told);
    }
    for run in &row.runs {
        words.push_str(&format!(" [{}: {} to {}]", run.sensor.0, run.first, run.last()));
    }
    words
}
