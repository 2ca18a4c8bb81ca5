//! Tables of a lane: events and what comes of them.

use std::time::Duration;

use super::*;
use crate::forward::backoff::Dice;
use crate::queue::types::{Column, Marks, MonoColumn, Run};
use crate::reading::{Measurement, Quality, SensorDef, SensorId, TimeQuality, ValueKind};
use crate::ticket::{DeadRecord, Fault, Outcome};

const EPOCHS: [Epoch; 2] = [Epoch(70), Epoch(80)];
const MS: i64 = 1_000_000;

struct Bench {
    lane: Lane,
    needs: Needs,
    dice: Dice,
    def: Arc<SensorDef>,
    entries: Vec<Entry>,
    now: Mono,
    next_id: u64,
    row: RowNo,
}

fn def(unit: &str) -> Arc<SensorDef> {
    let measurement = Measurement {
        name: "t".into(),
        kind: ValueKind::Number,
        unit: Some(unit.into()),
    };
    let id = SensorId::new("s").unwrap();
    Arc::new(SensorDef {
        id,
        measurements: vec![measurement],
        tags: vec![],
    })
}

impl Bench {
    fn new(packet_size: usize, released: Option<(Epoch, u64)>) -> Self {
        let rules = Rules {
            time_span: Duration::from_secs(10),
            packet_size,
            idle_timeout: Duration::from_secs(5),
            max_delay: Duration::from_secs(30),
        };
        Self {
            lane: Lane::new(OutputNo(0), SensorNo(0), rules, released),
            needs: Needs::default(),
            dice: Dice::new(5),
            def: def("C"),
            entries: Vec::new(),
            now: Mono(0),
            next_id: 1,
            row: 1,
        }
    }

    fn feed_marked(&mut self, epoch: Epoch, first: u64, count: usize, time: TimeQuality) {
        let run = Arc::new(Run {
            sensor: SensorNo(0),
            first,
            wall: (0..count as i64).map(|i| (first as i64 + i) * 100 * MS).collect(),
            mono: MonoColumn::Offset(0),
            marks: Marks::All(Quality::Good, time),
            columns: vec![Column::Numbers(vec![1.0; count])],
            encoded: 8 * count as u32,
        });
        let stored = Stored {
            row: self.row,
            epoch,
            run: &run,
            def: &self.def,
        };
        self.lane.feed(stored, &EPOCHS, self.now, &mut self.needs);
        self.row += 1;
    }

    fn feed(&mut self, epoch: Epoch, first: u64, count: usize) {
        self.feed_marked(epoch, first, count, TimeQuality::Synchronized);
    }

    /// The next ticket as "from-through", spans divided by a bar.
    fn ticket(&mut self, gate: bool) -> String {
        let id = TicketId(self.next_id);
        self.next_id += 1;
        let ticket = self.lane.ticket(id, gate, &mut self.entries);
        ticket.map_or("-".into(), |ticket| {
            let spans: Vec<_> = ticket
                .spans
                .iter()
                .map(|s| format!("{}-{}", s.first(), s.last()))
                .collect();
            spans.join("|")
        })
    }

    fn report(&mut self, outcome: Outcome) {
        self.lane.report(
            outcome,
            self.now,
            &mut self.dice,
            &mut self.needs,
            &mut self.entries,
        );
    }

    fn state(&self) -> &'static str {
        match self.lane.state {
            State::Idle => "idle",
            State::InFlight(_) => "in-flight",
            State::Backoff { .. } => "backoff",
            State::Halted { .. } => "halted",
        }
    }

    fn said(&mut self) -> Vec<String> {
        let show = |entry: Entry| match entry {
            Entry::Release(r) => format!("release {} {}", r.epoch, r.through),
            Entry::Drop {
                epoch,
                from,
                through,
                reason,
                ..
            } => format!("drop {epoch} {from}-{through} {}", reason.name()),
            Entry::Dead {
                epoch, from, through, ..
            } => format!("dead {epoch} {from}-{through}"),
            other => format!("{other:?}"),
        };
        std::mem::take(&mut self.entries).into_iter().map(show).collect()
    }
}

#[test]
fn closed_spans_go_together_and_are_released_together() {
    let mut bench = Bench::new(3, None);
    bench.feed(EPOCHS[0], 1, 8);
    assert_eq!(bench.ticket(true), "1-3|4-6", "7 and 8 are still open");
    assert_eq!(
        (bench.ticket(true).as_str(), bench.state()),
        ("-", "in-flight"),
        "one ticket at a time"
    );
    bench.report(Outcome::Delivered);
    assert_eq!(
        (bench.said(), bench.state()),
        (vec!["release 70 6".to_owned()], "idle")
    );
    bench.lane.close();
    assert_eq!(bench.ticket(true), "7-8");
    bench.report(Outcome::Delivered);
    assert_eq!(
        (bench.needs.memory(), bench.needs.lowest()),
        (0, None),
        "nothing is held any more"
    );
}

#[test]
fn an_equal_definition_is_the_same_one_whoever_read_it() {
    let mut bench = Bench::new(3, None);
    bench.feed(EPOCHS[0], 1, 2);
    bench.def = def("C");
    bench.feed(EPOCHS[0], 3, 3);
    bench.def = def("C");
    bench.feed(EPOCHS[0], 6, 1);
    assert_eq!(bench.ticket(true), "1-3|4-6");
}

#[test]
fn a_lane_without_a_word_sheds_all_but_what_is_under_way() {
    let mut bench = Bench::new(3, None);
    bench.row = 7;
    bench.feed(EPOCHS[0], 1, 5);
    bench.ticket(true);
    bench.feed(EPOCHS[0], 6, 4);
    assert_eq!(
        bench.lane.shed(&mut bench.needs),
        Some(7),
        "4 and 5 stand in row 7"
    );
    assert_eq!((bench.lane.first_row(), bench.needs.lowest()), (Some(7), None));
    bench.report(Outcome::Delivered);
    assert_eq!(
        (bench.said(), bench.needs.memory()),
        (vec!["release 70 3".to_owned()], 0)
    );
    bench.feed(EPOCHS[0], 1, 5);
    bench.feed(EPOCHS[0], 6, 4);
    assert_eq!(bench.ticket(true), "4-6|7-9", "where it left off");
}

#[test]
fn failing_counts_from_the_first_failure() {
    let mut bench = Bench::new(3, None);
    bench.feed(EPOCHS[0], 1, 3);
    bench.ticket(true);
    for second in [5, 40, 90] {
        bench.now = Mono(second * 1_000_000_000);
        let _ = bench.lane.retry(bench.now);
        bench.report(Outcome::Misconfigured("no such topic".into()));
        let State::Halted { since, .. } = &bench.lane.state else {
            panic!("{:?}", bench.lane.state)
        };
        assert_eq!(*since, Mono(5_000_000_000));
    }
}

#[test]
fn a_ticket_is_bounded_in_bytes_and_readings() {
    let mut bench = Bench::new(1000, None);
    for chunk in 0..4 {
        bench.feed(EPOCHS[0], chunk * 1000 + 1, 1000);
    }
    assert_eq!(
        bench.ticket(true).matches('|').count() + 1,
        20,
        "2048 readings at most, 100 a span"
    );
}

#[test]
fn what_is_released_or_read_already_is_skipped() {
    for (released, feeds, expect) in [
        (Some((EPOCHS[0], 5)), vec![(EPOCHS[0], 1, 4)], "-"),
        (Some((EPOCHS[0], 5)), vec![(EPOCHS[0], 1, 8)], "6-8"),
        (
            Some((EPOCHS[1], 5)),
            vec![(EPOCHS[0], 1, 8), (EPOCHS[1], 4, 4)],
            "6-7",
        ),
        (Some((EPOCHS[0], 5)), vec![(EPOCHS[1], 1, 2)], "1-2"),
        (None, vec![(EPOCHS[0], 1, 4), (EPOCHS[0], 1, 6)], "1-6"),
    ] {
        let mut bench = Bench::new(1000, released);
        for (epoch, first, count) in &feeds {
            bench.feed(*epoch, *first, *count);
        }
        bench.lane.close();
        assert_eq!(bench.ticket(true), expect, "{released:?} {feeds:?}");
        assert_eq!(bench.said(), Vec::<String>::new());
    }
}

#[test]
fn a_gap_is_given_up_in_its_place() {
    let mut bench = Bench::new(1000, None);
    bench.feed(EPOCHS[0], 1, 3);
    bench.feed(EPOCHS[0], 10, 2);
    bench.lane.close();
    assert_eq!(
        (bench.ticket(true).as_str(), bench.said().len()),
        ("1-3", 0),
        "not before what comes before it"
    );
    bench.report(Outcome::Delivered);
    assert_eq!(bench.ticket(true), "10-11");
    assert_eq!(bench.said(), ["release 70 3", "drop 70 4-9 damaged"]);
}

#[test]
fn another_epoch_or_definition_begins_another_span_and_ticket() {
    let mut bench = Bench::new(1000, None);
    bench.feed(EPOCHS[0], 1, 3);
    bench.def = def("F");
    bench.feed(EPOCHS[0], 4, 2);
    bench.feed(EPOCHS[1], 1, 2);
    bench.lane.close();
    for expect in ["1-3", "4-5", "1-2"] {
        assert_eq!(bench.ticket(true), expect);
        bench.report(Outcome::Delivered);
    }
    assert_eq!(bench.said(), ["release 70 3", "release 70 5", "release 80 2"]);
}

fn dead(first: u64, last: u64) -> Arc<DeadRecord> {
    Arc::new(DeadRecord {
        sensor: SensorId::new("s").unwrap(),
        epoch: EPOCHS[0],
        first,
        last,
        fault: Fault::TooLarge,
        why: "why".into(),
        topic: "t".into(),
        key: vec![],
        value: vec![],
        timestamp_ms: 0,
    })
}

#[test]
fn dead_records_are_released_as_such_and_the_others_around_them_as_delivered() {
    for (found, expect) in [
        (vec![dead(1, 1)], vec!["dead 70 1-1", "release 70 9"]),
        (
            vec![dead(3, 3), dead(4, 4), dead(7, 7)],
            vec![
                "release 70 2",
                "dead 70 3-3",
                "dead 70 4-4",
                "release 70 6",
                "dead 70 7-7",
                "release 70 9",
            ],
        ),
        (vec![dead(8, 9)], vec!["release 70 7", "dead 70 8-9"]),
    ] {
        let mut bench = Bench::new(9, None);
        bench.feed(EPOCHS[0], 1, 12);
        assert_eq!(bench.ticket(true), "1-9");
        bench.report(Outcome::RecordAtFault(found));
        assert_eq!(bench.said(), expect);
        bench.lane.close();
        assert_eq!(bench.ticket(true), "10-12", "the sensor goes on");
    }
}

#[test]
fn every_outcome_has_its_state_and_only_delivery_releases() {
    let why = || -> Arc<str> { "why".into() };
    for (outcome, state) in [
        (Outcome::Delivered, "idle"),
        (Outcome::GivenUp(why()), "backoff"),
        (Outcome::ClientLost(why()), "backoff"),
        (Outcome::Misconfigured(why()), "halted"),
        (Outcome::RecordAtFault(vec![dead(2, 2)]), "idle"),
        (Outcome::TooLarge(why()), "idle"),
    ] {
        let mut bench = Bench::new(3, None);
        bench.feed(EPOCHS[0], 1, 3);
        assert_eq!(bench.ticket(true), "1-3");
        let delivered = matches!(outcome, Outcome::Delivered | Outcome::RecordAtFault(_));
        bench.report(outcome.clone());
        assert_eq!(bench.state(), state, "{outcome:?}");
        assert_eq!(bench.said().is_empty(), !delivered, "{outcome:?}");
        assert_eq!(bench.needs.memory() == 0, delivered, "{outcome:?}");
    }
}

#[test]
fn what_was_given_up_is_sent_again_as_it_was_whatever_came_since() {
    let mut bench = Bench::new(3, None);
    bench.feed(EPOCHS[0], 1, 3);
    bench.ticket(true);
    bench.report(Outcome::GivenUp("timed out".into()));
    bench.feed(EPOCHS[0], 4, 3);
    assert_eq!(bench.ticket(true), "-", "its turn is not over");
    bench.now = bench.now.after(Duration::from_secs(20));
    let again = bench.lane.retry(bench.now).unwrap();
    assert_eq!((again.first(), again.last(), again.id), (1, 3, TicketId(1)));
    assert_eq!(bench.lane.retry(bench.now), None);
}

#[test]
fn what_is_too_large_is_halved_down_to_the_one_reading() {
    let mut bench = Bench::new(4, None);
    bench.feed(EPOCHS[0], 1, 4);
    let too_large = || Outcome::TooLarge("too large".into());
    for (ticket, outcome) in [
        ("1-4", too_large()),
        ("1-2", Outcome::Delivered),
        ("3-4", too_large()),
        ("3-3", Outcome::Delivered),
        ("4-4", too_large()),
    ] {
        assert_eq!(bench.ticket(true), ticket);
        bench.report(outcome);
    }
    assert_eq!(bench.state(), "halted");
    assert_eq!(bench.said(), ["release 70 2", "release 70 3"]);
}

#[test]
fn readings_of_an_unsynchronized_clock_wait_and_what_is_behind_them_too() {
    let mut bench = Bench::new(2, None);
    bench.feed(EPOCHS[0], 1, 2);
    bench.feed_marked(EPOCHS[0], 3, 2, TimeQuality::Unsynced);
    bench.feed(EPOCHS[0], 5, 2);
    assert_eq!(
        (bench.ticket(false).as_str(), bench.lane.held()),
        ("1-2", Some(2))
    );
    bench.report(Outcome::Delivered);
    assert_eq!(bench.ticket(false), "-");
    assert_eq!(bench.ticket(true), "3-4|5-6");
}

#[test]
fn parking_forgets_all_and_says_where_to_resume() {
    let mut bench = Bench::new(3, None);
    bench.row = 7;
    bench.feed(EPOCHS[0], 1, 3);
    bench.feed(EPOCHS[0], 4, 2);
    bench.ticket(true);
    assert_eq!(
        bench.lane.park(&mut bench.needs),
        None,
        "never with a ticket under way"
    );
    bench.report(Outcome::Misconfigured("no such topic".into()));
    assert_eq!(bench.lane.park(&mut bench.needs), Some(7));
    assert_eq!(
        (bench.needs.memory(), bench.state(), bench.lane.deadline(true)),
        (0, "idle", None)
    );
    bench.feed(EPOCHS[0], 1, 3);
    assert_eq!(
        (bench.ticket(true).as_str(), bench.said().len()),
        ("1-3", 0),
        "read again, without a gap"
    );
}
