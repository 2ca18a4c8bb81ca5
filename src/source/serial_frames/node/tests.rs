//! One node, message by message.

use edgespool_wire::{Batch as WireBatch, Lost, Measurement, Measurements};

use super::*;
use crate::reading::TimeQuality;
use crate::source::Quantity;

const HERE: PortNo = PortNo(0);
const THERE: PortNo = PortNo(1);

fn id() -> NodeId {
    NodeId::new(b"n").unwrap()
}

fn at(seconds: u64) -> Stamp {
    let mono = (1000 + seconds) * 1_000_000_000;
    Stamp {
        wall: i64::try_from(mono).unwrap(),
        mono,
        quality: TimeQuality::Synchronized,
    }
}

/// A node, and what was handed in of it.
struct Bench {
    node: Node,
    batches: Vec<Batch>,
    registered: Vec<(String, usize)>,
    seconds: u64,
}

impl Bench {
    fn new(position: Option<Position>) -> Self {
        let mut node = Node::new(id(), position);
        assert!(node.hold(HERE, Mono(at(0).mono)));
        Self {
            node,
            batches: Vec::new(),
            registered: Vec::new(),
            seconds: 0,
        }
    }

    fn offer(&mut self, message: &Message<'_>) -> Step {
        let registered = &mut self.registered;
        self.node.offer(
            message,
            at(self.seconds),
            &mut |sensor: &str, quantities: &[Quantity<'_>]| {
                registered.push((sensor.to_owned(), quantities.len()));
                Ok(SensorNo(u32::try_from(registered.len()).unwrap()))
            },
        )
    }

    /// Offers and hands in; how many readings were new.
    fn take(&mut self, message: &Message<'_>) -> Option<usize> {
        let batch = self.offer(message).batch?;
        let readings = batch.readings.len();
        self.batches.push(batch);
        self.node.handed_in();
        Some(readings)
    }

    fn data(&mut self, boot: u32, first: u64, count: u64) -> Option<usize> {
        with_data(&["t"], boot, first, count, |data| self.take(data))
    }

    fn hello(&mut self, boot: u32, first: u64, window: u16) -> Option<usize> {
        self.take(&hello(boot, first, window))
    }

    /// All that was handed in becomes durable.
    fn commit(&mut self) {
        for batch in self.batches.drain(..) {
            let (receipts, through) = batch.receipt.unwrap();
            receipts.raise_in_test(through);
        }
    }

    fn ack(&mut self) -> Option<(u32, u64)> {
        self.node.take_ack().map(|ack| (ack.boot, ack.through))
    }
}

fn hello(boot: u32, first: u64, window: u16) -> Message<'static> {
    Message::Hello(Hello {
        node: id(),
        boot,
        versions: Versions::OURS,
        window,
        first,
        uptime_ms: 500,
    })
}

fn with_data<T>(
    names: &[&str],
    boot: u32,
    first: u64,
    count: u64,
    then: impl FnOnce(&Message<'_>) -> T,
) -> T {
    let mut batch = WireBatch::new();
    let values = vec![1.5.into(); names.len()];
    (0..count).for_each(|uptime| batch.push(uptime, &values).unwrap());
    let mut measurements = Measurements::new();
    names
        .iter()
        .for_each(|name| measurements.push(Measurement { name, unit: None }).unwrap());
    let readings = batch.readings();
    then(&Message::Data(Data {
        node: id(),
        boot,
        first,
        sensor: "s",
        measurements,
        readings,
    }))
}

#[test]
fn acknowledgements_follow_what_is_durable() {
    let mut bench = Bench::new(None);
    assert_eq!(
        (bench.hello(1, 1, 64), bench.ack(), bench.ack()),
        (None, Some((1, 0)), None)
    );
    assert_eq!((bench.data(1, 1, 3), bench.ack()), (Some(3), None));
    assert_eq!(
        (bench.data(1, 1, 3), bench.ack()),
        (None, None),
        "the acknowledgement is to come"
    );
    assert_eq!((bench.data(1, 2, 4), bench.ack()), (Some(2), None));
    assert_eq!((bench.data(1, 9, 1), bench.ack()), (None, Some((1, 0))), "a gap");
    bench.commit();
    assert_eq!((bench.ack(), bench.ack()), (Some((1, 5)), None));
    assert_eq!(
        (bench.data(1, 1, 3), bench.ack()),
        (None, Some((1, 5))),
        "it may have been lost"
    );
    assert_eq!((bench.hello(1, 6, 64), bench.ack()), (None, Some((1, 5))));
    assert_eq!(
        (bench.data(2, 7, 1), bench.ack()),
        (None, Some((2, 0))),
        "an unknown boot is asked"
    );
}

#[test]
fn what_was_not_handed_in_was_not_accepted() {
    let mut bench = Bench::new(None);
    bench.hello(1, 1, 64);
    bench.data(1, 1, 2);
    assert!(
        with_data(&["t"], 1, 3, 2, |data| bench.offer(data))
            .batch
            .is_some()
    );
    assert!(
        !bench.node.hold(THERE, Mono(at(99).mono)),
        "it is being handed in"
    );
    bench.node.release(HERE);
    assert!(bench.node.hold(THERE, Mono(at(99).mono)));
    assert_eq!(bench.data(1, 3, 2), Some(2), "it comes again");
    bench.commit();
    assert_eq!(bench.ack(), Some((1, 4)));
}

#[test]
fn after_an_aborted_hand_in_what_is_under_way_is_still_acknowledged() {
    let mut bench = Bench::new(None);
    bench.hello(1, 1, 2);
    bench.data(1, 1, 2);
    // The window changes, and the batch that would raise the new receipts gets lost on the way to the inbox.
    assert!(bench.offer(&hello(1, 1, 9)).batch.is_some());
    bench.node.release(HERE);
    assert!(bench.node.hold(HERE, Mono(at(0).mono)));
    assert_eq!(
        bench.data(1, 1, 2),
        Some(0),
        "so with the next message another follows"
    );
    bench.ack();
    bench.commit();
    assert_eq!(bench.ack(), Some((1, 2)));
}

#[test]
fn a_node_moves_to_another_port_when_it_was_silent_and_keeps_its_acknowledgements() {
    let mut bench = Bench::new(None);
    bench.hello(1, 1, 64);
    bench.data(1, 1, 2);
    bench.ack();
    for (seconds, expect) in [(0, false), (29, false), (30, true)] {
        assert_eq!(
            bench.node.hold(THERE, Mono(at(seconds).mono)),
            expect,
            "{seconds}"
        );
    }
    assert!(!bench.node.hold(HERE, Mono(at(31).mono)), "now it belongs there");
    let watched = bench.node.receipts().clone();
    assert_eq!(bench.data(1, 1, 2), Some(0));
    bench.commit();
    assert_eq!(
        watched.through(),
        2,
        "the receipts that the new port watches are raised"
    );
}

#[test]
fn without_a_hello_data_waits_for_the_time_but_not_for_ever() {
    let known = Position { boot: 1, through: 10 };
    let mut bench = Bench::new(Some(known));
    assert_eq!(
        (bench.data(1, 11, 2), bench.ack()),
        (None, Some((1, 0))),
        "it is asked for a Hello"
    );
    bench.seconds = 11;
    assert_eq!((bench.data(1, 11, 2), bench.ack()), (None, Some((1, 0))));
    bench.seconds = 12;
    assert_eq!(bench.data(1, 11, 2), Some(2));
    let qualities: Vec<_> = bench.batches[0]
        .readings
        .iter()
        .map(|reading| reading.time.quality)
        .collect();
    assert_eq!(qualities, [TimeQuality::Estimated; 2]);

    let mut bench = Bench::new(Some(known));
    bench.data(1, 11, 2);
    bench.data(1, 13, 2);
    assert_eq!(
        (bench.ack(), bench.ack()),
        (Some((1, 0)), None),
        "what follows is a gap, and yet the Hello is not called off"
    );
    assert_eq!(
        (bench.hello(1, 11, 64), bench.ack()),
        (None, Some((1, 10))),
        "no more need to ask"
    );
    assert_eq!(bench.data(1, 11, 2), Some(2));
    assert_eq!(
        bench.batches[0].readings[0].time.quality,
        TimeQuality::Synchronized
    );
}

#[test]
fn a_new_description_waits_until_nothing_waits_under_the_old_one() {
    let change =
        |bench: &mut Bench, boot, first| with_data(&["t", "h"], boot, first, 1, |data| bench.take(data));
    let mut bench = Bench::new(None);
    bench.hello(1, 1, 64);
    bench.data(1, 1, 1);
    assert_eq!(change(&mut bench, 1, 2), None);
    bench.commit();
    assert_eq!(change(&mut bench, 1, 2), Some(1));
    // Also over a reboot, and over one in which nothing was said.
    bench.hello(2, 1, 64);
    bench.hello(3, 1, 64);
    assert_eq!(bench.data(3, 1, 1), None);
    bench.commit();
    assert_eq!(bench.data(3, 1, 1), Some(1));
    assert_eq!(
        bench.registered,
        [("s".to_owned(), 1), ("s".to_owned(), 2), ("s".to_owned(), 1)]
    );
}

#[test]
fn batches_carry_the_position_and_the_loss() {
    let mut bench = Bench::new(None);
    bench.hello(3, 1, 64);
    bench.data(3, 1, 2);
    bench.take(&Message::Lost(Lost {
        node: id(),
        boot: 3,
        from: 3,
        through: 9,
        uptime_ms: 1,
    }));
    // The node gave up what was accepted, and more: only what is new of it is lost.
    bench.take(&Message::Lost(Lost {
        node: id(),
        boot: 3,
        from: 5,
        through: 12,
        uptime_ms: 1,
    }));
    bench.hello(3, 20, 64);
    let positions = bench.batches.iter().map(|batch| {
        let position = batch.position.clone().unwrap();
        (
            position.boot,
            position.sequence,
            position.lost,
            batch.receipt.as_ref().unwrap().1,
        )
    });
    let expect = [(3, 2, 0, 2), (3, 9, 7, 9), (3, 12, 3, 12), (3, 19, 7, 19)];
    assert_eq!(positions.collect::<Vec<_>>(), expect);
}

#[test]
fn a_version_that_is_not_ours_changes_nothing() {
    let mut bench = Bench::new(None);
    let strange = Hello {
        node: id(),
        boot: 1,
        versions: Versions { min: 200, max: 201 },
        window: 1,
        first: 7,
        uptime_ms: 0,
    };
    assert!(matches!(
        bench.offer(&Message::Hello(strange)).versions,
        Some(Err(_))
    ));
    assert_eq!(bench.ack(), None);
    assert_eq!(bench.data(1, 1, 1), Some(1));
}
