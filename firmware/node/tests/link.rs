//! What the node says when: its times, its window, its frames, and which acknowledgements it believes.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use edgespool_node::times::{HELLO_FIRST, HELLO_MAX, IDLE_HELLO, RESEND_FIRST};
use edgespool_node::{Config, Identity, MAX_WRITE, Node, NodeId, Value};
use edgespool_wire::{Ack, MAX_ENCODED, Message, encode};
use support::{Thermometer, ack, said};

const BOOT: u32 = 7;

type TestNode = Node<Thermometer, 2, 4096>;

fn node_of(id: &str, window: u16) -> TestNode {
    let identity = Identity {
        node: NodeId::new(id.as_bytes()).unwrap(),
        boot: BOOT,
    };
    Node::new(
        Config { identity, window },
        [Thermometer("a"), Thermometer("b")],
        0,
    )
    .unwrap()
}

/// A node that has said Hello and was answered, at time 0.
fn talking(window: u16) -> TestNode {
    let mut node = node_of("n1", window);
    assert_eq!(said(&mut node, 0), ["hello 1"]);
    node.receive(&ack(BOOT, 0), 0);
    node
}

fn record(node: &mut TestNode, sensor: usize, count: u64) {
    for _ in 0..count {
        assert!(node.record(sensor, 5, &[Value::Number(0.5)]).unwrap().kept);
    }
}

/// All that it says by itself until then: time and message.
fn monologue(node: &mut TestNode, from: u64, until: u64) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    let mut now = from;
    while now < until {
        all.extend(said(node, now).into_iter().map(|message| (now, message)));
        let next = node.next_deadline(now);
        assert!(next > now, "nothing is due at {now} any more");
        now = next;
    }
    all
}

#[test]
fn an_absent_gateway_hears_hellos_at_growing_and_differing_intervals() {
    let times = |id: &str| -> Vec<u64> {
        let mut node = node_of(id, 8);
        record(&mut node, 0, 20);
        let said = monologue(&mut node, 0, 60_000);
        assert!(
            said.iter().all(|(_, message)| message == "hello 1"),
            "and nothing else: {said:?}"
        );
        said.into_iter().map(|(at, _)| at).collect()
    };
    let first = times("n1");
    let mut wait = HELLO_FIRST;
    for pair in first.windows(2) {
        assert!(
            (wait..=wait + wait / 4).contains(&(pair[1] - pair[0])),
            "{first:?}"
        );
        wait = (2 * wait).min(HELLO_MAX);
    }
    assert_ne!(first, times("n2"));
    assert_eq!(first, times("n1"));
}

#[test]
fn the_window_is_kept_and_moves_with_acknowledgements() {
    let mut node = talking(10);
    record(&mut node, 0, 25);
    assert_eq!(said(&mut node, 0), ["a 1-10"]);
    assert_eq!(node.next_deadline(0), RESEND_FIRST);
    node.receive(&ack(BOOT, 4), 100);
    assert_eq!(said(&mut node, 100), ["a 11-14"]);
    node.receive(&ack(BOOT, 14), 200);
    assert_eq!(said(&mut node, 200), ["a 15-24"]);
    node.receive(&ack(BOOT, 24), 300);
    assert_eq!(said(&mut node, 300), ["a 25-25"]);
    node.receive(&ack(BOOT, 25), 400);
    assert_eq!(
        (node.depth(), node.acknowledged_through(), node.next_deadline(400)),
        (0, 25, 400 + IDLE_HELLO)
    );
}

#[test]
fn without_progress_all_is_sent_again_and_then_only_hellos() {
    let mut node = talking(10);
    record(&mut node, 0, 12);
    let said = monologue(&mut node, 0, 10_000);
    let expect = [
        (0, "a 1-10"),
        (RESEND_FIRST, "a 1-10"),
        (3 * RESEND_FIRST, "hello 1"),
    ];
    let said: Vec<(u64, &str)> = said.iter().map(|(at, message)| (*at, &message[..])).collect();
    assert_eq!(said[..3], expect);
    assert!(said[3..].iter().all(|(_, message)| *message == "hello 1"));
    node.receive(&ack(BOOT, 3), 10_000);
    assert_eq!(self::said(&mut node, 10_000), ["a 4-12"]);
}

#[test]
fn an_acknowledgement_that_repeats_the_last_makes_it_go_back_but_not_each_time() {
    let mut node = talking(10);
    record(&mut node, 0, 10);
    assert_eq!(said(&mut node, 0), ["a 1-10"]);
    for (now, expect) in [
        (50, &["a 1-10"][..]),
        (100, &[]),
        (249, &[]),
        (250, &["a 1-10"]),
        (300, &[]),
    ] {
        node.receive(&ack(BOOT, 0), now);
        assert_eq!(said(&mut node, now), expect, "{now}");
    }
    node.receive(&ack(BOOT, 10), 310);
    node.receive(&ack(BOOT, 10), 320);
    assert_eq!(
        said(&mut node, 330),
        [""; 0],
        "nothing is under way, so nothing is missing"
    );
}

#[test]
fn a_gateway_that_takes_long_is_given_longer() {
    let mut node = talking(10);
    record(&mut node, 0, 5);
    let (first, gone) = (RESEND_FIRST, 3 * RESEND_FIRST);
    let expect = [(0, "a 1-5"), (first, "a 1-5"), (gone, "hello 1")];
    assert_eq!(
        monologue(&mut node, 0, gone + 1),
        expect.map(|(at, said)| (at, said.to_owned()))
    );
    node.receive(&ack(BOOT, 0), gone);
    assert_eq!(said(&mut node, gone), ["a 1-5"]);
    node.receive(&ack(BOOT, 2), gone + 100);
    let again = gone + 100 + 2 * first;
    assert_eq!(
        monologue(&mut node, gone + 100, again + 1),
        [(again, "a 3-5".to_owned())]
    );
}

#[test]
fn consecutive_readings_of_one_sensor_share_a_frame() {
    let mut node = talking(200);
    for (sensor, count) in [(0, 3), (1, 1), (0, 1), (1, 100)] {
        record(&mut node, sensor, count);
    }
    let said = said(&mut node, 0);
    assert_eq!(said[..3], ["a 1-3", "b 4-4", "a 5-5"]);
    assert!(
        said[3].starts_with("b 6-") && said.len() == 5,
        "as many as a frame holds: {said:?}"
    );
    assert!(said[4].ends_with("-105"));
}

#[test]
fn lost_records_travel_in_order() {
    let identity = Identity {
        node: NodeId::new(b"n1").unwrap(),
        boot: BOOT,
    };
    let mut node: Node<Thermometer, 1, 64> = Node::new(Config::of(identity), [Thermometer("a")], 0).unwrap();
    let insert = |node: &mut Node<Thermometer, 1, 64>| node.record(0, 5, &[0.1.into()]).unwrap().kept;
    let kept = (0..9).filter(|_| insert(&mut node)).count();
    assert_eq!(kept, 4);
    assert_eq!(said(&mut node, 0), ["hello 1"]);
    node.receive(&ack(BOOT, 0), 0);
    assert_eq!(said(&mut node, 0), ["a 1-4", "lost 5-9"]);
    assert!(!insert(&mut node));
    assert_eq!(said(&mut node, 1), ["lost 10-10"]);
    node.receive(&ack(BOOT, 7), 2);
    assert!(insert(&mut node));
    assert_eq!(said(&mut node, 3), ["a 11-11"]);
    node.receive(&ack(BOOT, 11), 4);
    assert_eq!((node.depth(), node.counters().lost), (0, 6));
}

#[test]
fn only_acknowledgements_of_this_boot_and_of_what_was_given_count() {
    let frame = |id: &[u8], boot, through, version| {
        let ack = Ack {
            node: NodeId::new(id).unwrap(),
            boot,
            through,
            version,
        };
        let mut out = [0; MAX_ENCODED];
        let len = encode(&Message::Ack(ack), &mut out).unwrap();
        out[..len].to_vec()
    };
    let mut node = talking(10);
    record(&mut node, 0, 5);
    assert_eq!(said(&mut node, 0), ["a 1-5"]);
    let strange = [
        frame(b"n2", BOOT, 3, 1),
        frame(b"n1", BOOT + 1, 3, 1),
        frame(b"n1", BOOT, 6, 1),
        frame(b"n1", BOOT, u64::MAX - 1, 1),
        frame(b"n1", BOOT, 3, 0),
        frame(b"n1", BOOT, 3, 2),
        vec![1, 2, 3, 0, 0xff, 0],
        [&frame(b"n1", BOOT, 3, 1)[1..]].concat(),
    ];
    for bytes in strange {
        node.receive(&bytes, 10);
        assert_eq!(
            (node.acknowledged_through(), said(&mut node, 10)),
            (0, vec![]),
            "{bytes:02x?}"
        );
    }
    assert_eq!(node.counters().link.strange_acks, 5);
    for (byte, through) in [(frame(b"n1", BOOT, 3, 1), 3), (frame(b"n1", BOOT, 5, 1), 5)] {
        byte.iter().for_each(|byte| node.receive(&[*byte], 20));
        assert_eq!(node.acknowledged_through(), through, "byte by byte");
    }
}

#[test]
fn an_acknowledgement_below_what_was_released_is_answered_with_a_hello() {
    let mut node = talking(10);
    record(&mut node, 0, 10);
    assert_eq!(said(&mut node, 0), ["a 1-10"]);
    node.receive(&ack(BOOT, 8), 1000);
    assert_eq!(said(&mut node, 1000), [""; 0]);
    node.receive(&ack(BOOT, 2), 1001);
    node.receive(&ack(BOOT, 2), 1002);
    assert_eq!(said(&mut node, 1002), ["hello 9"]);
    (0..20).for_each(|at| node.receive(&ack(BOOT, 2), 1003 + at));
    assert_eq!(said(&mut node, 1100), [""; 0]);
    assert_eq!(node.acknowledged_through(), 8, "what is released stays so");
    node.receive(&ack(BOOT, 9), 1200);
    assert_eq!(
        said(&mut node, 1200),
        ["a 10-10"],
        "all that is left is sent again at once"
    );
}

/// A gateway that has just started asks for the time and sees a gap in one breath: it never got the Hello that it asked
/// for, and took readings with a guessed time 12 s later.
#[test]
fn the_hello_that_was_asked_for_is_said_although_another_acknowledgement_follows() {
    let mut node = talking(10);
    record(&mut node, 0, 10);
    assert_eq!(said(&mut node, 0), ["a 1-10"]);
    for (now, behind) in [(1000, 8), (2000, 9)] {
        node.receive(&ack(BOOT, 8), now);
        node.receive(&[ack(BOOT, 0), ack(BOOT, behind)].concat(), now);
        assert_eq!(said(&mut node, now), [format!("hello {}", behind + 1)]);
        assert_eq!(said(&mut node, now + 10), [""; 0], "it waits for the answer");
        node.receive(&ack(BOOT, behind), now + 10);
        assert_eq!(said(&mut node, now + 10), [format!("a {}-10", behind + 1)]);
    }
}

#[test]
fn sending_more_does_not_put_off_sending_again() {
    let mut node = talking(10);
    for now in [0, 1000, 2000, RESEND_FIRST - 1] {
        record(&mut node, 0, 1);
        assert_eq!(said(&mut node, now).len(), 1);
    }
    assert_eq!(said(&mut node, RESEND_FIRST), ["a 1-4"]);
}

#[test]
fn what_is_left_after_an_acknowledgement_has_its_own_time() {
    let mut node = talking(10);
    record(&mut node, 0, 5);
    assert_eq!(said(&mut node, 0), ["a 1-5"]);
    node.receive(&ack(BOOT, 2), 2000);
    assert_eq!(
        monologue(&mut node, 2000, 6000),
        [(2000 + RESEND_FIRST, "a 3-5".to_owned())]
    );
}

#[test]
fn a_node_with_nothing_to_send_says_now_and_then_that_it_is_there() {
    let mut node = talking(10);
    assert_eq!(monologue(&mut node, 0, IDLE_HELLO), []);
    assert_eq!(said(&mut node, IDLE_HELLO), ["hello 1"]);
    node.receive(&ack(BOOT, 0), IDLE_HELLO + 10);
    assert_eq!(node.next_deadline(IDLE_HELLO + 10), 2 * IDLE_HELLO + 10);
}

#[test]
fn a_zero_ends_what_noise_there_is_before_a_hello_and_before_what_is_sent_again() {
    let mut node = talking(10);
    record(&mut node, 0, 1);
    let mut out = [0xee; MAX_WRITE];
    assert!(node.poll(0, &mut out).is_some() && out[0] != 0);
    assert!(node.poll(RESEND_FIRST, &mut out).is_some() && out[0] == 0);
    assert!(node_of("n1", 1).poll(0, &mut out).is_some() && out[0] == 0);
}

#[test]
fn what_does_not_fit_the_drivers_buffer_is_tried_again() {
    let mut node = talking(10);
    record(&mut node, 0, 5);
    assert_eq!(node.poll(0, &mut [0; 20]), None);
    assert_eq!(said(&mut node, 0), ["a 1-5"]);
}
