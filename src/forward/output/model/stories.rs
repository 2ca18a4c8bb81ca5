//! Single stories, each about something that once went wrong or must not.

use super::*;

fn roomy(seed: u64) -> Settings {
    let rules = Rules {
        time_span: Duration::from_millis(1000),
        packet_size: 50,
        idle_timeout: Duration::from_secs(3600),
        max_delay: Duration::from_secs(7200),
    };
    Settings {
        output: OUT,
        memory: 100_000,
        under_way: 400,
        hold: Duration::from_secs(60),
        rules: Box::new(move |_| rules),
        destination: Box::new(|_| "readings".into()),
        seed,
    }
}

/// A world with so many rows of ten readings of each of so many sensors.
fn backlog(rows: u64, sensors: u32) -> World {
    let mut world = World::new(1, roomy);
    world.link(true);
    for _ in 0..rows {
        let runs = (0..sensors)
            .map(|number| world.run(SensorNo(number), 10, 10))
            .collect();
        world.commit(runs);
    }
    world
}

impl World {
    /// Reads and reports until nothing moves, then lets a second pass; so many times.
    fn go_on(&mut self, seconds: u64) {
        for _ in 0..seconds {
            loop {
                let mut moved = false;
                while self.read() {
                    self.take();
                    moved = true;
                }
                self.take();
                self.pass(5);
                if self.report_all() == 0 && !moved {
                    break;
                }
            }
            self.pass(1000);
            self.take();
        }
    }

    fn acknowledged_of(&self, sensor: u32) -> usize {
        self.acknowledged
            .iter()
            .filter(|(other, _)| other.0 == sensor)
            .count()
    }
}

#[test]
fn a_lane_that_the_broker_says_nothing_of_does_not_stop_the_others() {
    let mut world = backlog(2_000, 4);
    world.moods.insert(SensorNo(2), Mood::Silent);
    world.go_on(30);
    for sensor in [0, 1, 3] {
        let acknowledged = world.acknowledged_of(sensor);
        assert!(acknowledged > 19_800, "sensor {sensor}: {acknowledged} of 20,000");
    }
    assert_eq!(world.acknowledged_of(2), 0);
    assert!(world.main > 1_990, "the main cursor stands at {}", world.main);
    world.drain();
    world.check_arrivals();
}

#[test]
fn lanes_without_a_word_do_not_stop_what_was_not_read_yet() {
    let mut world = World::new(1, roomy);
    world.link(true);
    for _ in 0..600 {
        let runs = (0..3).map(|number| world.run(SensorNo(number), 10, 10)).collect();
        world.commit(runs);
    }
    for _ in 0..20 {
        let runs = vec![world.run(SensorNo(9), 50, 10)];
        world.commit(runs);
    }
    for number in 0..3 {
        world.moods.insert(SensorNo(number), Mood::Silent);
    }
    world.go_on(200);
    assert!(world.acknowledged_of(9) > 900, "{}", world.acknowledged_of(9));
    world.drain();
    world.check_arrivals();
}

#[test]
fn while_nothing_can_be_reached_nobody_is_parked_and_nothing_more_is_read() {
    let mut world = backlog(2_000, 4);
    world.link(false);
    for number in 0..4 {
        world.moods.insert(SensorNo(number), Mood::Silent);
    }
    world.go_on(3);
    let main = world.main;
    world.go_on(600);
    assert_eq!((world.main, world.parked), (main, 0));
    assert_eq!(world.spans.len(), 0);
    world.drain();
    world.check_arrivals();
}

#[test]
fn a_refused_lane_reads_no_more_of_the_backlog_than_its_next_try_needs() {
    let mut world = backlog(3_000, 4);
    world.moods.insert(SensorNo(2), Mood::Refuses);
    world.go_on(20);
    assert!(world.acknowledged_of(1) > 29_800 && world.parked > 0);
    world.caught_up = 0;
    world.go_on(600);
    let tries = 600 / 15;
    assert!(
        world.caught_up <= tries * 60,
        "{} rows were read",
        world.caught_up
    );
    world.drain();
    world.check_arrivals();
}

#[test]
fn a_gate_opens_in_time_while_readings_keep_coming() {
    for synchronized_at in [None, Some(20)] {
        let mut world = World::new(1, roomy);
        world.output.settings.memory = 100_000_000;
        world.synchronized = false;
        world.link(true);
        for tenth in 0..700 {
            let runs = (0..3).map(|number| world.run(SensorNo(number), 50, 1)).collect();
            world.commit(runs);
            while world.read() {}
            world.take();
            world.report_all();
            world.pass(100);
            world.take();
            if synchronized_at == Some(tenth / 10) {
                world.synchronized = true;
            }
            let second = tenth / 10;
            let due = synchronized_at.unwrap_or(60);
            assert!(second >= due || world.acknowledged.is_empty());
            assert!(
                second < due + 3 || !world.acknowledged.is_empty(),
                "still closed at {second} s"
            );
        }
    }
}

/// The spans of a backlog, as they arrived first.
fn spans_of(chunk: usize, memory: usize, refused: bool) -> BTreeMap<SensorNo, Vec<(usize, u64, u64)>> {
    let mut world = World::new(1, roomy);
    world.output.settings.memory = memory;
    world.link(true);
    if refused {
        world.moods.insert(SensorNo(1), Mood::Refuses);
    }
    for _ in 0..12_000 / chunk {
        let runs = (0..3)
            .map(|number| world.run(SensorNo(number), chunk, 37))
            .collect();
        world.commit(runs);
        while world.read() {
            world.take();
        }
        world.take();
        world.report_all();
    }
    world.go_on(60);
    world.drain_but_open();
    world.spans
}

impl World {
    fn drain_but_open(&mut self) {
        self.moods.clear();
        self.go_on(120);
    }
}

#[test]
fn a_slow_link_parks_nobody() {
    // Tickets are acknowledged one at a time, in the order in which they were sent, each after eight seconds.
    let mut world = backlog(2_000, 12);
    for _ in 0..120 {
        while world.read() {
            world.take();
        }
        world.take();
        for _ in 0..8 {
            world.pass(1000);
            world.take();
            while world.read() {
                world.take();
            }
        }
        let ticket = world.under_way.remove(0);
        world.arrive(&ticket, true);
        let report = Report {
            ticket: ticket.id,
            outcome: Outcome::Delivered,
        };
        world.output.report(report, world.now);
        world.take();
    }
    assert_eq!(world.parked, 0);
}

#[test]
fn silence_ends_no_span_of_a_lane_that_catches_up() {
    let mut world = backlog(300, 2);
    let rules = Rules {
        idle_timeout: Duration::from_secs(1),
        ..(world.output.settings.rules)(&def(SensorNo(0), "C"))
    };
    world.output.settings.rules = Box::new(move |_| rules);
    world.output.settings.memory = 10_000;
    world.moods.insert(SensorNo(1), Mood::Refuses);
    world.go_on(20);
    assert!(world.main > 300 && world.parked > 0);
    world.moods.clear();
    // Read slowly, while the main cursor stands at the tail.
    for _ in 0..400 {
        world.read();
        world.take();
        world.pass(1500);
        world.take();
        world.report_all();
    }
    world.drain();
    let spans = &world.spans[&SensorNo(1)];
    let short = spans.iter().filter(|(_, first, last)| last - first != 49).count();
    assert_eq!((spans.len(), short), (60, 0), "fifty readings each: {spans:?}");
}

#[test]
fn boundaries_are_the_same_whatever_the_rows_the_budget_and_the_broker_do() {
    let expect = spans_of(1, 10_000_000, false);
    assert_eq!(
        expect[&SensorNo(0)][..2],
        [(0, 1, 28), (0, 29, 56)],
        "1000 ms, one each 37 ms"
    );
    for chunk in [1, 7, 40, 300] {
        for (memory, refused) in [
            (10_000_000, false),
            (100_000, false),
            (100_000, true),
            (30_000, true),
        ] {
            let found = spans_of(chunk, memory, refused);
            for (sensor, expect) in &expect {
                let found = &found[sensor];
                let same = expect.iter().zip(found).take_while(|(a, b)| a == b).count();
                assert!(
                    same + 2 >= expect.len().min(found.len()) && found.len() + 15 > expect.len(),
                    "rows of {chunk}, {memory} bytes, refused {refused}, {sensor:?}: {:?} instead of {:?}",
                    found.get(same),
                    expect.get(same)
                );
            }
        }
    }
}
