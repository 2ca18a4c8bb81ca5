//! Nodes as they are flashed.

use std::sync::Arc;

use edgespool::queue::memory_store::MemoryStore;
use edgespool::source::State;
use edgespool::source::serial_frames::Roster;

use super::{end, start, start_with};
use crate::support::board::{Board, Dice};
use crate::support::intake::{Intake, until};
use crate::support::pty::Socket;

fn up_to(count: u32) -> Vec<f64> {
    (0..count).map(f64::from).collect()
}

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
    let (mut next, mut unheard, mut dice) = (0, 0, Dice(1));
    for _ in 0..12 {
        let intake = Intake::start(&store);
        let mut source = start(&intake, &socket);
        let turns = 60 + dice.below(120);
        for turn in 0..turns {
            // The last acknowledgements never arrive.
            board.deaf = turn + 50 > turns;
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
        line.read_now();
        let after = Intake::start(&store);
        let durable = after.numbers("a").len();
        assert!(durable >= told, "what was acknowledged is durable");
        unheard += u32::from(durable > told);
        after.stop();
    }
    assert!(unheard > 6, "the test was one: {unheard}");
    board.deaf = false;
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
