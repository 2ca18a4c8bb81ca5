//! The receiver's rules as a table: what was accepted, what comes, what to do, what is accepted then.

mod support;

use edgespool_wire::{Position, Receiver, Verdict};
use support::{AIR, ack, data, hello, lost, numbers};

const OLD: u32 = 6;
const NOW: u32 = 7;

/// `position` and the expected position are (boot, through).
struct Case(Option<(u32, u64)>, Offer, Verdict, Option<(u32, u64)>);

#[derive(Clone, Copy, Debug)]
enum Offer {
    Hello(u64),
    Data(u64, usize),
    Lost(u64, u64),
    Ack,
}

fn check(case: Case) {
    let Case(before, offer, expect, after) = case;
    let position = |(boot, through)| Position { boot, through };
    let mut receiver = before.map(position).map_or_else(Receiver::new, Receiver::resume);
    let readings = numbers(if let Offer::Data(_, count) = offer {
        count
    } else {
        1
    });
    let message = match offer {
        Offer::Hello(first) => hello(NOW, first),
        Offer::Data(first, _) => data(NOW, first, &AIR[..1], &readings),
        Offer::Lost(from, through) => lost(NOW, from, through),
        Offer::Ack => ack(NOW, 3),
    };
    assert_eq!(receiver.judge(&message), expect, "{before:?} {offer:?}");
    assert_eq!(
        receiver.position(),
        before.map(position),
        "judging changes nothing"
    );
    assert_eq!(receiver.offer(&message), expect, "{before:?} {offer:?}");
    assert_eq!(receiver.position(), after.map(position), "{before:?} {offer:?}");
}

#[test]
fn the_rules() {
    use Offer::{Ack, Data, Hello, Lost};
    let accept = |skip| Verdict::Accept {
        skip,
        new_boot: false,
    };
    let first = Verdict::Accept {
        skip: 0,
        new_boot: true,
    };
    let gone = |from, through| Verdict::Lost {
        from,
        through,
        new_boot: false,
    };
    let greeting = |new_boot| Verdict::Greeting { new_boot };
    let ten = Some((NOW, 10));
    for case in [
        // In order, again, partly again, and too far.
        Case(ten, Data(11, 3), accept(0), Some((NOW, 13))),
        Case(ten, Data(9, 2), Verdict::Duplicate, ten),
        Case(ten, Data(8, 3), Verdict::Duplicate, ten),
        Case(ten, Data(8, 5), accept(3), Some((NOW, 12))),
        Case(ten, Data(12, 1), Verdict::Gap, ten),
        Case(Some((NOW, 0)), Data(1, 1), accept(0), Some((NOW, 1))),
        Case(Some((NOW, 0)), Data(2, 1), Verdict::Gap, Some((NOW, 0))),
        Case(ten, Lost(11, 20), gone(11, 20), Some((NOW, 20))),
        Case(ten, Lost(5, 10), Verdict::Duplicate, ten),
        Case(ten, Lost(5, 12), gone(11, 12), Some((NOW, 12))),
        Case(ten, Lost(12, 12), Verdict::Gap, ten),
        // A Hello of the same boot.
        Case(ten, Hello(1), greeting(false), ten),
        Case(ten, Hello(11), greeting(false), ten),
        Case(ten, Hello(12), gone(11, 11), Some((NOW, 11))),
        Case(ten, Hello(100), gone(11, 99), Some((NOW, 99))),
        // A node that was never heard.
        Case(None, Hello(1), greeting(true), Some((NOW, 0))),
        Case(None, Hello(50), greeting(true), Some((NOW, 49))),
        Case(None, Data(1, 2), first, Some((NOW, 2))),
        Case(
            None,
            Lost(1, 2),
            Verdict::Lost {
                from: 1,
                through: 2,
                new_boot: true,
            },
            Some((NOW, 2)),
        ),
        Case(None, Data(2, 2), Verdict::Unknown, None),
        Case(None, Lost(2, 2), Verdict::Unknown, None),
        // A node that has started again.
        Case(Some((OLD, 10)), Hello(1), greeting(true), Some((NOW, 0))),
        Case(Some((OLD, 10)), Hello(5), greeting(true), Some((NOW, 4))),
        Case(Some((OLD, 10)), Data(1, 2), first, Some((NOW, 2))),
        Case(Some((OLD, 10)), Data(11, 2), Verdict::Unknown, Some((OLD, 10))),
        // Not for us, and the end of the numbers.
        Case(ten, Ack, Verdict::NotForReceivers, ten),
        Case(None, Ack, Verdict::NotForReceivers, None),
        Case(
            Some((NOW, u64::MAX)),
            Data(5, 1),
            Verdict::Duplicate,
            Some((NOW, u64::MAX)),
        ),
        Case(
            Some((NOW, u64::MAX)),
            Hello(5),
            greeting(false),
            Some((NOW, u64::MAX)),
        ),
    ] {
        check(case);
    }
}

#[test]
fn a_late_frame_of_the_boot_before_does_not_bring_it_back() {
    let two = numbers(2);
    let mut receiver = Receiver::resume(Position {
        boot: OLD,
        through: 10,
    });
    assert_eq!(
        receiver.offer(&hello(NOW, 1)),
        Verdict::Greeting { new_boot: true }
    );
    for late in [
        hello(OLD, 11),
        data(OLD, 1, &AIR[..1], &two),
        data(OLD, 11, &AIR[..1], &two),
        lost(OLD, 11, 11),
    ] {
        assert_eq!(receiver.offer(&late), Verdict::Stale, "{late:?}");
    }
    assert_eq!(
        receiver.position(),
        Some(Position {
            boot: NOW,
            through: 0
        })
    );
    assert_eq!(receiver.offer(&hello(8, 1)), Verdict::Greeting { new_boot: true });
    assert_eq!(receiver.offer(&data(NOW, 1, &AIR[..1], &two)), Verdict::Stale);
}

#[test]
fn a_copy_that_is_put_back_takes_the_same_again() {
    let two = numbers(2);
    let mut receiver = Receiver::new();
    let kept = receiver;
    let message = data(NOW, 1, &AIR[..1], &two);
    let first = receiver.offer(&message);
    assert_eq!(receiver.offer(&message), Verdict::Duplicate);
    receiver = kept;
    assert_eq!(receiver.offer(&message), first);
}
