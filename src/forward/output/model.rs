//! The output against a plain log: rows that get lost, epochs, definitions that change, unsynchronized clocks, brokers that
//! refuse, give up or say nothing for ever, restarts from what was persisted. Told only what the driver tells: the time when
//! a deadline is over, the tail when a cursor met it.
//!
//! The oracle knows the rows and what the broker was given; nothing of the output's own bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::queue::fold::State as Fold;
use crate::queue::mailbox::Mailbox;
use crate::queue::types::{Column, Marks, MonoColumn, Run, Session};
use crate::reading::{Measurement, Quality, SensorId, TimeQuality, ValueKind};

mod checks;
mod seeds;
mod stories;

const OUT: OutputNo = OutputNo(0);
const MS: i64 = 1_000_000;

/// One reading: which epoch (by its place), which number.
type Name = (usize, u64);

/// How the broker treats a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    /// Gives up, says that records are too large or that the client is lost, now and then.
    Moody,
    /// Topic or credentials at fault.
    Refuses,
    /// Takes tickets and never says what became of them.
    Silent,
}

struct World {
    rows: Vec<Option<Row>>,
    units: BTreeMap<SensorNo, Vec<(RowNo, String)>>,
    fold: Fold,
    mailbox: Mailbox,
    output: Output,
    settings: fn(u64) -> Settings,
    main: RowNo,
    at_tail: bool,
    dice: Dice,
    now: Mono,
    /// When the output was last told something: what its deadlines are asked with.
    told: Mono,
    synchronized: bool,
    reachable: bool,
    under_way: Vec<Arc<Ticket>>,
    moods: BTreeMap<SensorNo, Mood>,
    /// Readings in rows that are lost.
    lost: BTreeSet<(SensorNo, Name)>,
    /// What the broker took, in the order of first arrival.
    arrived: BTreeMap<SensorNo, Vec<Name>>,
    /// What it acknowledged.
    acknowledged: BTreeSet<(SensorNo, Name)>,
    /// What was given up as damaged.
    dropped: BTreeSet<(SensorNo, Name)>,
    /// The output's own watermarks, as it said.
    marks: BTreeMap<SensorNo, Name>,
    /// The spans of first arrivals.
    spans: BTreeMap<SensorNo, Vec<(usize, u64, u64)>>,
    /// Sends of what was held back for the clock, before it was time.
    walls: BTreeMap<SensorNo, i64>,
    reached_since: Option<Mono>,
    clock_was_good: bool,
    parked: usize,
    caught_up: usize,
    row_memory: usize,
}

fn def(sensor: SensorNo, unit: &str) -> Arc<SensorDef> {
    let measurement = Measurement {
        name: "t".into(),
        kind: ValueKind::Number,
        unit: Some(unit.into()),
    };
    Arc::new(SensorDef {
        id: SensorId::new(&format!("s{}", sensor.0)).unwrap(),
        measurements: vec![measurement],
        tags: vec![],
    })
}

fn start(fold: &Fold) -> OutputStart {
    let released = (0..).map(SensorNo).zip(&fold.sensors);
    OutputStart {
        head: fold.outputs[0].head.max(1),
        parked: fold.outputs[0].parked.iter().map(|(s, r)| (*s, *r)).collect(),
        released: released
            .filter_map(|(number, sensor)| {
                let (epoch, through) = sensor.outputs.first()?.released?;
                Some((number, epoch, through))
            })
            .collect(),
        epochs: fold.epochs.clone(),
    }
}

impl World {
    fn new(seed: u64, settings: fn(u64) -> Settings) -> Self {
        let fold = Fold::new(Epoch(900), 1);
        let mut output = Output::new(settings(seed));
        output.begin(&start(&fold));
        Self {
            rows: Vec::new(),
            units: BTreeMap::new(),
            fold,
            mailbox: Mailbox::default(),
            output,
            settings,
            main: 1,
            at_tail: false,
            dice: Dice::new(seed ^ 0xF00D),
            now: Mono(1_000_000_000),
            told: Mono(0),
            synchronized: true,
            reachable: false,
            under_way: Vec::new(),
            moods: BTreeMap::new(),
            lost: BTreeSet::new(),
            arrived: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            dropped: BTreeSet::new(),
            marks: BTreeMap::new(),
            spans: BTreeMap::new(),
            walls: BTreeMap::new(),
            reached_since: None,
            clock_was_good: false,
            parked: 0,
            caught_up: 0,
            row_memory: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.dice.roll() % bound
    }

    fn mood(&self, sensor: SensorNo) -> Mood {
        self.moods.get(&sensor).copied().unwrap_or(Mood::Good)
    }

    /// A run of a sensor's next readings, this far apart in their recorded time.
    fn run(&mut self, sensor: SensorNo, count: usize, apart_ms: i64) -> Run {
        let first = self
            .fold
            .sensors
            .get(sensor.index())
            .map_or(1, |state| state.next);
        let wall = self.walls.entry(sensor).or_insert(1_700_000_000_000 * MS);
        let times = (0..count).map(|_| {
            *wall += apart_ms * MS;
            *wall
        });
        let time = if self.synchronized {
            TimeQuality::Synchronized
        } else {
            TimeQuality::Unsynced
        };
        Run {
            sensor,
            first,
            wall: times.collect(),
            mono: MonoColumn::Offset(0),
            marks: Marks::All(Quality::Good, time),
            columns: vec![Column::Numbers(vec![1.0; count])],
            encoded: 8 * u32::try_from(count).unwrap(),
        }
    }

    /// One commit: what waits in the mailbox, and a row of these runs.
    fn commit(&mut self, runs: Vec<Run>) {
        let number = self.rows.len() as RowNo + 1;
        for entry in self.mailbox.take() {
            self.fold.entry(&entry);
        }
        let row = Row {
            number,
            epoch: self.fold.epoch(),
            session: Session::default(),
            committed: 0,
            mono: 0,
            synchronized: true,
            boot: 1,
            entries: vec![],
            runs,
        };
        let memory = row.runs.iter().map(|run| run.memory() + 64 * run.len()).sum();
        self.row_memory = self.row_memory.max(memory);
        self.fold.apply(&row);
        self.rows.push(Some(row));
        self.at_tail = false;
    }

    fn def_at(&self, sensor: SensorNo, row: RowNo) -> Arc<SensorDef> {
        let mut units = self.units.get(&sensor).into_iter().flatten();
        let unit = units.rfind(|(from, _)| *from <= row);
        // Always a new one: every generation's checkpoint is read anew, by each cursor for itself.
        def(sensor, unit.map_or("C", |(_, unit)| unit))
    }

    fn order(&self, epoch: Epoch) -> usize {
        self.fold.epochs.iter().position(|known| *known == epoch).unwrap()
    }

    /// Reads one row, as the driver would; false when there was nothing to read.
    fn read(&mut self) -> bool {
        self.output.note_tail(self.at_tail);
        let (side, number) = match self.output.wants() {
            Want::Nothing => return false,
            Want::Main => (Side::Main, self.main),
            Want::CatchUp(row) => {
                self.caught_up += 1;
                assert!(row < self.main, "the catch-up cursor stays behind the main one");
                (Side::CatchUp, row)
            }
        };
        self.told = self.now;
        if number > self.rows.len() as RowNo {
            assert_eq!(side, Side::Main);
            self.at_tail = true;
            self.output.at_tail(true, self.now);
            return true;
        }
        if number < self.fold.floor() {
            // Removed: nobody needs it any more, or the checks will say so.
            let through = self.fold.floor() - 1;
            self.output.damaged(side, through);
            self.main = if side == Side::Main {
                through + 1
            } else {
                self.main
            };
            return true;
        }
        match self.rows[number as usize - 1].clone() {
            Some(row) => {
                let defs: Vec<_> = row
                    .runs
                    .iter()
                    .map(|run| (run.sensor, self.def_at(run.sensor, number)))
                    .collect();
                let def = |sensor| {
                    defs.iter()
                        .find(|(other, _)| *other == sensor)
                        .map(|(_, def)| def)
                };
                self.output.row(side, row, def, self.now);
            }
            None => self.output.damaged(side, number),
        }
        if side == Side::Main {
            self.main = number + 1;
        }
        let limit = self.output.settings.memory + self.row_memory;
        assert!(self.output.memory() <= limit, "one row beyond the budget at most");
        true
    }

    /// Time passes; the output is told when it asked to be.
    fn pass(&mut self, ms: u64) {
        self.now = self.now.after(Duration::from_millis(ms));
        if self.output.next_deadline().is_some_and(|due| due <= self.now) {
            self.told = self.now;
            self.clock_was_good |= self.synchronized;
            self.output.observe(self.synchronized, self.reachable, self.now);
            self.output.tick(self.now);
        }
    }

    fn link(&mut self, up: bool) {
        self.told = self.now;
        self.reachable = up;
        self.reached_since = self.reached_since.or(up.then_some(self.now));
        self.clock_was_good |= self.synchronized;
        self.output.observe(self.synchronized, up, self.now);
    }

    /// Takes what the output wants done.
    fn take(&mut self) {
        for ticket in self.output.take_sends() {
            let same = self.under_way.iter().any(|other| other.sensor == ticket.sensor);
            assert!(!same, "one ticket under way per lane");
            self.check_gate(&ticket);
            self.under_way.push(ticket);
        }
        let Some(progress) = self.output.take_progress() else {
            return;
        };
        for entry in &progress.entries {
            self.check_progress(entry);
        }
        self.parked += progress.parks.iter().filter(|(_, row)| *row > 0).count();
        self.mailbox.post(OUT, progress);
    }

    /// The broker has these readings.
    fn arrive(&mut self, ticket: &Ticket, acknowledged: bool) {
        let epoch = self.order(ticket.epoch);
        let list = self.arrived.entry(ticket.sensor).or_default();
        for span in &ticket.spans {
            if list.last().is_none_or(|last| *last < (epoch, span.first())) {
                let spans = self.spans.entry(ticket.sensor).or_default();
                spans.push((epoch, span.first(), span.last()));
            }
            for sequence in span.first()..=span.last() {
                if list.last().is_none_or(|last| *last < (epoch, sequence)) {
                    list.push((epoch, sequence));
                }
                if acknowledged {
                    self.acknowledged.insert((ticket.sensor, (epoch, sequence)));
                }
            }
        }
    }

    /// A report on one of the tickets, unless the broker has nothing to say of it.
    fn report(&mut self, index: usize) -> bool {
        let ticket = self.under_way[index].clone();
        let mood = self.mood(ticket.sensor);
        let roll = self.below(10);
        let outcome = match mood {
            Mood::Silent => return false,
            Mood::Refuses => Outcome::Misconfigured("no such topic".into()),
            Mood::Moody if roll == 0 => Outcome::ClientLost("fatal".into()),
            Mood::Moody if roll == 1 && ticket.len() > 1 => Outcome::TooLarge("too large".into()),
            Mood::Moody if roll < 7 => {
                if roll < 4 {
                    self.arrive(&ticket, false);
                }
                Outcome::GivenUp("timed out".into())
            }
            Mood::Moody | Mood::Good => {
                self.arrive(&ticket, true);
                Outcome::Delivered
            }
        };
        self.under_way.swap_remove(index);
        self.told = self.now;
        self.output.report(
            Report {
                ticket: ticket.id,
                outcome,
            },
            self.now,
        );
        true
    }

    /// Reports what can be reported; how many.
    fn report_all(&mut self) -> usize {
        let mut reported = 0;
        for index in (0..self.under_way.len()).rev() {
            reported += usize::from(self.report(index));
            self.take();
        }
        reported
    }

    /// The process ends, with what is in the mailbox or without it, and goes on from what the queue knows.
    fn restart(&mut self, seed: u64) {
        for ticket in std::mem::take(&mut self.under_way) {
            if self.mood(ticket.sensor) != Mood::Refuses && self.below(2) == 0 {
                self.arrive(&ticket, false);
            }
        }
        let unsaved = self.mailbox.take();
        if self.below(2) == 0 {
            unsaved.iter().for_each(|entry| self.fold.entry(entry));
        }
        let start = start(&self.fold);
        self.marks = start
            .released
            .iter()
            .map(|(sensor, epoch, through)| (*sensor, (self.order(*epoch), *through)))
            .collect();
        self.output = Output::new((self.settings)(seed));
        self.output.begin(&start);
        self.main = self.output.main_row();
        self.at_tail = false;
        (self.reached_since, self.clock_was_good) = (None, false);
        self.link(self.reachable);
    }

    /// A row is lost.
    fn damage(&mut self, number: RowNo) {
        if let Some(row) = self.rows.get_mut(number as usize - 1).and_then(Option::take) {
            let epoch = self.order(row.epoch);
            for run in &row.runs {
                let names = (run.first..=run.last()).map(|sequence| (run.sensor, (epoch, sequence)));
                self.lost.extend(names);
            }
        }
    }

    /// Everything is mended: all that can be read must be acknowledged, in virtual time that is bounded.
    fn drain(&mut self) {
        self.moods.clear();
        self.link(true);
        for _ in 0..20_000 {
            let mut busy = false;
            while self.read() {
                self.take();
                busy = true;
            }
            self.take();
            busy |= self.report_all() > 0;
            if !busy {
                if self.missing().next().is_none() {
                    return;
                }
                let due = self.output.next_deadline();
                let due = due.unwrap_or_else(|| panic!("stuck: {:?}", self.output.view()));
                let wait = u64::try_from(due.since(self.now).as_millis()).unwrap_or(0);
                self.pass(wait + 1);
                self.take();
            }
        }
        panic!("never done: {:?}", self.output.view());
    }
}
