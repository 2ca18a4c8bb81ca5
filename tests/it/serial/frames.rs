//! `serial-frames`: real nodes over lines that break, agents that are killed, and what may be acknowledged when.

use std::sync::Arc;

use edgespool::intake::inbox::NodePosition;
use edgespool::queue::memory_store::MemoryStore;
use edgespool::source::serial_frames::{Roster, Settings, spawn};
use edgespool::source::{Knowledge, Running, State, port};
use edgespool_wire::{
    Ack, Batch, Data, Decoder, Hello, Lost, MAX_ENCODED, Measurement, Measurements, Message, NodeId,
    Versions, encode,
};

use crate::support::board::{Board, Dice};
use crate::support::intake::{Intake, until};
use crate::support::pty::{Adapter, Socket};

fn start_with(intake: &Intake, socket: &Socket, label: &str, roster: &Arc<Roster>) -> Running {
    let context = intake.context(label, Knowledge::default());
    let port = port::Settings {
        path: socket.path().into(),
        baud: 115_200,
    };
    spawn(
        context,
        Settings {
            port,
            roster: roster.clone(),
        },
    )
}

fn start(intake: &Intake, socket: &Socket) -> Running {
    start_with(
        intake,
        socket,
        "source[0] serial-frames",
        &Arc::new(Roster::new(intake.nodes())),
    )
}

async fn end(mut source: Running, intake: Intake) {
    source.stop();
    source.ended().await;
    intake.stop();
}

fn up_to(count: u32) -> Vec<f64> {
    (0..count).map(f64::from).collect()
}

// --- real nodes ----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "current_thread")]
async fn two_nodes_readings_arrive_once_and_in_order() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let line = socket.plug();
    let source = start(&intake, &socket);
    let mut boards = [Board::new("one", 1, ["a", "b"]), Board::new("two", 9, ["c", "d"])];
    for value in 0..300 {
        for board in &mut boards {
            board.record(usize::from(value % 7 < 3), f64::from(value));
        }
        boards[0].turn(&line).await;
    }
    // One line, and each hears what is meant for the other: so only one may listen to it at a time.
    for board in &mut boards {
        assert!(board.drain(&line).await, "{:?}", board.node.counters());
    }
    for (sensor, is_second) in [("a", false), ("b", true), ("c", false), ("d", true)] {
        let expect: Vec<f64> = (0..300)
            .filter(|value| (value % 7 < 3) == is_second)
            .map(f64::from)
            .collect();
        assert_eq!(intake.numbers(sensor), expect, "{sensor}");
    }
    let counters = source.health().snapshot().counters;
    assert_eq!((counters.readings, counters.crc_errors), (600, 0));
    assert_eq!(source.health().state(), State::Ok);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_line_that_spoils_one_byte_in_200_costs_time_but_no_reading() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let line = socket.plug();
    let source = start(&intake, &socket);
    let mut board = Board::new("n", 1, ["a", "b"]);
    board.noise = Some((200, Dice(4)));
    for value in 0..500 {
        board.record(0, f64::from(value));
        board.turn(&line).await;
    }
    assert!(board.drain(&line).await, "{:?}", board.node.counters());
    assert_eq!(intake.numbers("a"), up_to(500));
    let counters = source.health().snapshot().counters;
    assert!(
        counters.crc_errors + counters.frame_errors > 0 && counters.resyncs > 0,
        "{counters:?}"
    );
    assert!(board.node.counters().link.rewinds > 0, "the test was one");
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_node_that_reboots_starts_a_new_numbering_and_nothing_is_taken_for_old() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let line = socket.plug();
    let source = start(&intake, &socket);
    let mut next = 0;
    for boot in [7, 3, 8] {
        let mut board = Board::new("n", boot, ["a", "b"]);
        for _ in 0..40 {
            board.record(0, f64::from(next));
            next += 1;
            board.turn(&line).await;
        }
        assert!(board.drain(&line).await, "{:?}", board.node.counters());
    }
    assert_eq!(intake.numbers("a"), up_to(120));
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_agent_that_is_killed_again_and_again_stores_nothing_twice_and_skips_nothing() {
    let (socket, store) = (Socket::new(), MemoryStore::new());
    let line = socket.plug();
    let mut board = Board::new("n", 1, ["a", "b"]);
    let (mut next, mut dice) = (0, Dice(1));
    for _ in 0..12 {
        let intake = Intake::start(&store);
        let mut source = start(&intake, &socket);
        for _ in 0..10 + dice.below(120) {
            if board.node.depth() < 300 {
                board.record(0, f64::from(next));
                next += 1;
            }
            board.turn(&line).await;
        }
        let told = usize::try_from(board.node.acknowledged_through()).unwrap();
        intake.kill();
        source.stop();
        source.ended().await;
        let after = Intake::start(&store);
        assert!(
            after.numbers("a").len() >= told,
            "what was acknowledged is durable"
        );
        after.stop();
    }
    let intake = Intake::start(&store);
    let source = start(&intake, &socket);
    assert!(board.drain(&line).await, "{:?}", board.node.counters());
    assert_eq!(intake.numbers("a"), up_to(next));
    assert!(next > 300, "the test was one: {next}");
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_adapter_that_is_pulled_out_and_put_back_costs_nothing() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let source = start(&intake, &socket);
    let mut board = Board::new("n", 1, ["a", "b"]);
    for round in 0..4 {
        let line = socket.plug();
        for value in round * 50..(round + 1) * 50 {
            board.record(0, f64::from(value));
            board.turn(&line).await;
        }
        until("the open port", || source.health().state() == State::Ok).await;
        if round == 3 {
            assert!(board.drain(&line).await, "{:?}", board.node.counters());
        }
    }
    assert_eq!(intake.numbers("a"), up_to(200));
    assert_eq!(source.health().snapshot().counters.reopenings, 3);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_source_that_is_replaced_while_its_readings_wait_stores_nothing_twice() {
    let (socket, mut intake) = (Socket::new(), Intake::held(&MemoryStore::new(), 10));
    let line = socket.plug();
    let roster = Arc::new(Roster::new(intake.nodes()));
    let mut board = Board::new("n", 1, ["a", "b"]);
    (0..64).for_each(|value| board.record(0, f64::from(value)));
    let mut taken = 0;
    for round in 0..3 {
        let mut source = start_with(&intake, &socket, &format!("source[{round}]"), &roster);
        while taken + source.health().snapshot().counters.readings < 16 + round {
            board.turn(&line).await;
        }
        source.stop();
        source.ended().await;
        taken += source.health().snapshot().counters.readings;
    }
    // Nothing was durable all the while; now it becomes so.
    assert_eq!(board.node.acknowledged_through(), 0);
    intake.go();
    let source = start_with(&intake, &socket, "source[4]", &roster);
    (64..100).for_each(|value| board.record(0, f64::from(value)));
    assert!(board.drain(&line).await, "{:?}", board.node.counters());
    assert_eq!(intake.numbers("a"), up_to(100));
    end(source, intake).await;
}

// --- frames by hand ------------------------------------------------------------------------------------------------

/// What a node would say, and what it is told.
struct Hand {
    line: Adapter,
    decoder: Decoder,
    acks: Vec<(u32, u64)>,
}

impl Hand {
    fn new(line: Adapter) -> Self {
        Self {
            line,
            decoder: Decoder::new(),
            acks: Vec::new(),
        }
    }

    async fn say(&self, message: Message<'_>) {
        let mut frame = [0; MAX_ENCODED];
        let len = encode(&message, &mut frame).unwrap();
        self.line.write(&frame[..len]).await;
    }

    async fn hello(&self, boot: u32, first: u64, uptime_ms: u64) {
        let (versions, window) = (Versions::OURS, 64);
        self.say(Message::Hello(Hello {
            node: id(),
            boot,
            versions,
            window,
            first,
            uptime_ms,
        }))
        .await;
    }

    /// Readings of the sensor `a` with these uptimes, from a sequence number on.
    async fn data(&self, boot: u32, first: u64, uptimes: &[u64]) {
        self.data_of("a", "t", boot, first, uptimes).await;
    }

    async fn data_of(&self, sensor: &str, name: &str, boot: u32, first: u64, uptimes: &[u64]) {
        let mut batch = Batch::new();
        for (at, uptime) in uptimes.iter().enumerate() {
            batch.push(*uptime, &[(first as f64 + at as f64).into()]).unwrap();
        }
        let measurements = Measurements::from_slice(&[Measurement { name, unit: None }]).unwrap();
        let readings = batch.readings();
        self.say(Message::Data(Data {
            node: id(),
            boot,
            first,
            sensor,
            measurements,
            readings,
        }))
        .await;
    }

    /// What the agent has written so far.
    fn acks(&mut self) -> &[(u32, u64)] {
        let bytes = self.line.read_now();
        let mut bytes = &bytes[..];
        while let Some(frame) = self.decoder.next(&mut bytes) {
            match frame.unwrap() {
                Message::Ack(Ack {
                    node, boot, through, ..
                }) if node == id() => self.acks.push((boot, through)),
                other => panic!("{other:?}"),
            }
        }
        &self.acks
    }

    async fn until_acked(&mut self, ack: (u32, u64)) {
        until(&format!("the acknowledgement {ack:?}"), || {
            self.acks().last() == Some(&ack)
        })
        .await;
    }
}

fn id() -> NodeId {
    NodeId::new(b"hand").unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let (socket, mut intake) = (Socket::new(), Intake::held(&MemoryStore::new(), 10));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    hand.hello(1, 1, 1000).await;
    hand.until_acked((1, 0)).await;
    hand.data(1, 1, &[900, 950, 1000]).await;
    hand.data(1, 1, &[900, 950, 1000]).await;
    hand.data(1, 9, &[1000]).await;
    until("the readings", || {
        source.health().snapshot().counters.readings == 3
    })
    .await;
    // Hello is answered at once: what comes back then was written after all of the above was understood.
    hand.hello(1, 1, 1500).await;
    until("an answer to the gap and to Hello", || hand.acks().len() >= 2).await;
    let duplicates = source.health().snapshot().counters.duplicates;
    assert!(hand.acks().iter().all(|ack| *ack == (1, 0)), "{:?}", hand.acks);
    assert_eq!((duplicates, intake.stored()), (3, vec![]));
    intake.go();
    hand.until_acked((1, 3)).await;
    assert_eq!(intake.numbers("a"), [1.0, 2.0, 3.0]);
    // What came again is acknowledged again, for the acknowledgement may have been lost.
    let before = hand.acks().len();
    hand.data(1, 2, &[950, 1000]).await;
    until("another acknowledgement", || hand.acks().len() > before).await;
    assert_eq!(hand.acks().last(), Some(&(1, 3)));
    hand.data(1, 3, &[1000, 1100]).await;
    hand.until_acked((1, 4)).await;
    assert_eq!(intake.numbers("a"), [1.0, 2.0, 3.0, 4.0]);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn lost_records_are_counted_and_passed() {
    let store = MemoryStore::new();
    let (socket, intake) = (Socket::new(), Intake::start(&store));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    hand.hello(1, 1, 1000).await;
    hand.data(1, 1, &[900]).await;
    let lost = |from, through| {
        Message::Lost(Lost {
            node: id(),
            boot: 1,
            from,
            through,
            uptime_ms: 950,
        })
    };
    hand.say(lost(2, 11)).await;
    hand.data(1, 12, &[1000]).await;
    hand.until_acked((1, 12)).await;
    hand.say(lost(2, 11)).await;
    hand.hello(1, 20, 1100).await;
    hand.until_acked((1, 19)).await;
    assert_eq!(intake.numbers("a"), [1.0, 12.0]);
    assert_eq!(source.health().snapshot().counters.lost_upstream, 10 + 7);
    end(source, intake).await;
    let after = Intake::start(&store);
    assert!(
        matches!(
            &after.nodes()[..],
            [NodePosition {
                boot: 1,
                sequence: 19,
                ..
            }]
        ),
        "{:?}",
        after.nodes()
    );
    after.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn an_agent_that_starts_anew_asks_for_the_nodes_time_before_it_takes_data() {
    let store = MemoryStore::new();
    let socket = Socket::new();
    let mut hand = Hand::new(socket.plug());
    let intake = Intake::start(&store);
    let source = start(&intake, &socket);
    hand.hello(5, 1, 1000).await;
    hand.data(5, 1, &[900, 950]).await;
    hand.until_acked((5, 2)).await;
    end(source, intake).await;
    let intake = Intake::start(&store);
    let source = start(&intake, &socket);
    // An hour of backlog: without a Hello its readings would look an hour younger.
    hand.data(5, 3, &[60_000]).await;
    hand.until_acked((5, 0)).await;
    hand.hello(5, 3, 3_660_000).await;
    hand.until_acked((5, 2)).await;
    hand.data(5, 3, &[60_000]).await;
    hand.data(5, 4, &[3_660_000]).await;
    hand.until_acked((5, 4)).await;
    let walls: Vec<_> = intake.stored().iter().map(|stored| stored.wall).collect();
    assert_eq!(walls[3] - walls[2], 3_600_000_000_000, "{walls:?}");
    assert_eq!(intake.numbers("a"), [1.0, 2.0, 3.0, 4.0]);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn times_of_a_node_become_times_of_ours() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    let before = edgespool::clock::wall();
    hand.hello(1, 1, 100_000).await;
    hand.data(1, 1, &[40_000, 70_000, 100_000]).await;
    hand.until_acked((1, 3)).await;
    let after = edgespool::clock::wall();
    let walls: Vec<_> = intake.stored().iter().map(|stored| stored.wall).collect();
    assert_eq!(
        (walls[1] - walls[0], walls[2] - walls[1]),
        (30_000_000_000, 30_000_000_000)
    );
    assert!(
        before - 1_000_000 <= walls[2] && walls[2] <= after,
        "{before} {walls:?} {after}"
    );
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_node_of_an_unknown_boot_in_the_middle_is_asked_and_its_hole_is_no_loss_of_ours() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    hand.data(4, 500, &[1000]).await;
    hand.until_acked((4, 0)).await;
    hand.hello(4, 500, 1000).await;
    hand.until_acked((4, 499)).await;
    hand.data(4, 500, &[1000]).await;
    hand.until_acked((4, 500)).await;
    hand.hello(6, 1, 10).await;
    hand.until_acked((6, 0)).await;
    hand.data(4, 501, &[1000]).await;
    hand.data(6, 1, &[10]).await;
    hand.until_acked((6, 1)).await;
    assert_eq!(
        intake.numbers("a"),
        [500.0, 1.0],
        "a late frame of the old boot changes nothing"
    );
    assert_eq!(source.health().snapshot().counters.lost_upstream, 0);
    assert!(
        source
            .health()
            .snapshot()
            .why
            .unwrap()
            .contains("two nodes have this ID")
    );
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_stored_is_counted_and_holds_up_nothing() {
    let (socket, mut intake) = (Socket::new(), Intake::held(&MemoryStore::new(), 1));
    intake.go();
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    hand.hello(1, 1, 1000).await;
    hand.data(1, 1, &[900]).await;
    hand.data_of("one-too-many", "t", 1, 2, &[900, 901]).await;
    hand.data_of("a", "quality", 1, 4, &[902, 903, 904]).await;
    hand.data(1, 7, &[905]).await;
    // A description that changes waits until what came before is durable; then the node sends it again.
    hand.until_acked((1, 3)).await;
    hand.data_of("a", "quality", 1, 4, &[902, 903, 904]).await;
    hand.data(1, 7, &[905]).await;
    hand.until_acked((1, 7)).await;
    assert_eq!(intake.numbers("a"), [1.0, 7.0]);
    let refused = source.health().snapshot().counters.refused;
    assert_eq!((refused.max_sensors, refused.invalid, refused.inbox), (2, 3, 0));
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_node_that_speaks_another_version_is_a_named_fault() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    let hello = Hello {
        node: id(),
        boot: 1,
        versions: Versions { min: 7, max: 9 },
        window: 64,
        first: 1,
        uptime_ms: 0,
    };
    hand.say(Message::Hello(hello)).await;
    until("the fault", || source.health().state() == State::Degraded).await;
    let why = source.health().snapshot().why.unwrap();
    assert!(
        why.starts_with("node hand: it speaks versions 7 to 9 of the protocol, this agent 1 to 1"),
        "{why}"
    );
    hand.hello(2, 1, 0).await;
    hand.until_acked((2, 0)).await;
    assert_eq!(source.health().state(), State::Ok, "it was updated");
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_node_that_is_heard_on_two_ports_is_stored_once_and_may_move() {
    let (first, second) = (Socket::new(), Socket::new());
    let intake = Intake::start(&MemoryStore::new());
    let roster = Arc::new(Roster::new(intake.nodes()));
    let (mut here, mut there) = (Hand::new(first.plug()), Hand::new(second.plug()));
    let one = start_with(&intake, &first, "source[0]", &roster);
    let two = start_with(&intake, &second, "source[1]", &roster);
    here.hello(1, 1, 1000).await;
    here.until_acked((1, 0)).await;
    there.data(1, 1, &[900]).await;
    until("the fault", || two.health().state() == State::Degraded).await;
    assert!(two.health().snapshot().why.unwrap().contains("another port"));
    here.data(1, 1, &[900]).await;
    here.until_acked((1, 1)).await;
    assert_eq!((there.acks().len(), intake.numbers("a")), (0, vec![1.0]));
    // The adapter is moved.
    drop(here);
    until("the loss", || one.health().state() == State::Failed).await;
    there.data(1, 1, &[900, 950]).await;
    there.until_acked((1, 2)).await;
    assert_eq!(intake.numbers("a"), [1.0, 2.0]);
    end(one, Intake::start(&MemoryStore::new())).await;
    end(two, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_window_that_changes_while_readings_wait_still_gets_its_acknowledgement() {
    let (socket, mut intake) = (Socket::new(), Intake::held(&MemoryStore::new(), 10));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    // No Hello yet: data from the first on is taken all the same.
    hand.data(1, 1, &[900, 950]).await;
    until("the readings", || {
        source.health().snapshot().counters.readings == 2
    })
    .await;
    let hello = Hello {
        node: id(),
        boot: 1,
        versions: Versions::OURS,
        window: 200,
        first: 1,
        uptime_ms: 1000,
    };
    hand.say(Message::Hello(hello)).await;
    hand.until_acked((1, 0)).await;
    intake.go();
    hand.until_acked((1, 2)).await;
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn any_bytes_at_all_leave_the_source_working() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let mut hand = Hand::new(socket.plug());
    let source = start(&intake, &socket);
    let mut dice = Dice(99);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..dice.below(2000))
            .map(|_| u8::try_from(dice.below(256)).unwrap())
            .collect();
        hand.line.write(&noise).await;
    }
    hand.line.write(&[0]).await;
    hand.hello(1, 1, 1000).await;
    hand.until_acked((1, 0)).await;
    hand.data(1, 1, &[1000]).await;
    hand.until_acked((1, 1)).await;
    let counters = source.health().snapshot().counters;
    assert!(
        counters.frame_errors + counters.crc_errors > 100 && counters.resyncs == 1,
        "{counters:?}"
    );
    end(source, intake).await;
}
