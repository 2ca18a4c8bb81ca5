//! Frames by hand: what is answered to what, and when.

use std::sync::Arc;

use edgespool::intake::inbox::NodePosition;
use edgespool::queue::memory_store::MemoryStore;
use edgespool::source::serial_frames::Roster;
use edgespool::source::{State, Suppression};
use edgespool_wire::{
    Ack, Batch, Data, Decoder, Hello, Lost, MAX_ENCODED, Measurement, Measurements, Message, NodeId,
    Versions, encode,
};

use super::{end, start, start_with};
use crate::support::board::Dice;
use crate::support::intake::{Intake, until};
use crate::support::pty::{Adapter, Socket};

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
    let duplicates = intake.inbox().offers().all().suppressed[Suppression::Duplicate as usize];
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
    let gaps = intake.inbox().events().told().last;
    let gaps: Vec<_> = gaps
        .iter()
        .map(|(_, gap)| (gap.from, gap.through, gap.reason.clone().unwrap()))
        .collect();
    let reason = format!("node-overflow: node {}, boot 1", id());
    let expect = [(Some(2), Some(11), reason.clone()), (Some(13), Some(19), reason)];
    assert_eq!(gaps, expect, "what the node said, each once");
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
    let line = intake.inbox().offers().all();
    assert_eq!(
        (line.offered, line.accepted, line.refused),
        (7, 2, [0, 0, 3, 2]),
        "{line:?}"
    );
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
