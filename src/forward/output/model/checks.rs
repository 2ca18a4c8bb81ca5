//! What must hold, of everything the output does.

use super::*;

impl World {
    pub(super) fn check_gate(&self, ticket: &Ticket) {
        let hold = self.output.settings.hold;
        let waited = self
            .reached_since
            .is_some_and(|since| self.now.since(since) >= hold);
        let unsynced =
            ticket.spans.iter().flat_map(|span| &span.pieces).any(|piece| {
                (piece.from..piece.to).any(|at| piece.run.marks.at(at).1 == TimeQuality::Unsynced)
            });
        assert!(
            !unsynced || self.clock_was_good || waited || hold.is_zero(),
            "a reading of an unsynchronized clock went too early"
        );
    }

    /// Watermarks rise without a hole, and over nothing that was not acknowledged or lost.
    pub(super) fn check_progress(&mut self, entry: &Entry) {
        let (sensor, epoch, through, is_drop) = match entry {
            Entry::Release(release) => (release.sensor, release.epoch, release.through, None),
            Entry::Drop {
                sensor,
                epoch,
                from,
                through,
                ..
            } => (*sensor, *epoch, *through, Some(*from)),
            other => panic!("{other:?}"),
        };
        let epoch = self.order(epoch);
        let after = match self.marks.get(&sensor) {
            Some((known, through)) if *known == epoch => *through + 1,
            Some((known, _)) => {
                assert!(*known < epoch, "watermarks never go back");
                1
            }
            None => 1,
        };
        assert!(
            through >= after && is_drop.is_none_or(|from| from == after),
            "{entry:?} after {after}"
        );
        for sequence in after..=through {
            let name = (sensor, (epoch, sequence));
            if is_drop.is_some() {
                assert!(
                    self.lost.contains(&name),
                    "{name:?} was given up, but it could be read"
                );
                self.dropped.insert(name);
            } else {
                assert!(
                    self.acknowledged.contains(&name),
                    "{name:?} was released, but not acknowledged"
                );
            }
        }
        self.marks.insert(sensor, (epoch, through));
    }

    /// Readings that can be read and were not acknowledged.
    pub(super) fn missing(&self) -> impl Iterator<Item = (SensorNo, Name)> {
        let rows = self.rows.iter().flatten();
        let runs = rows.flat_map(|row| row.runs.iter().map(|run| (self.order(row.epoch), run)));
        let names = runs.flat_map(|(epoch, run)| {
            (run.first..=run.last()).map(move |sequence| (run.sensor, (epoch, sequence)))
        });
        names.filter(|name| !self.acknowledged.contains(name))
    }

    /// All readings that can be read, sensor by sensor, arrived in their order.
    pub(super) fn check_arrivals(&self) {
        let mut expect: BTreeMap<SensorNo, Vec<Name>> = BTreeMap::new();
        for row in self.rows.iter().flatten() {
            for run in &row.runs {
                let list = expect.entry(run.sensor).or_default();
                list.extend((run.first..=run.last()).map(|sequence| (self.order(row.epoch), sequence)));
            }
        }
        for (sensor, expect) in expect {
            let arrived: BTreeSet<_> = self.arrived[&sensor].iter().collect();
            let missing: Vec<_> = expect.iter().filter(|name| !arrived.contains(name)).collect();
            assert!(
                missing.is_empty(),
                "{sensor:?} misses {missing:?} or got them out of order"
            );
        }
    }

    /// When all is delivered, nothing is parked any more, and hardly a row is needed.
    pub(super) fn check_rest(&mut self) {
        self.commit(vec![]);
        let output = &self.fold.outputs[0];
        assert!(output.parked.is_empty(), "still parked: {:?}", output.parked);
        let rows = self.rows.len() as RowNo;
        assert!(
            self.fold.floor() + 10 > rows,
            "floor {} of {rows}",
            self.fold.floor()
        );
        assert_eq!(self.output.memory(), 0);
    }
}
