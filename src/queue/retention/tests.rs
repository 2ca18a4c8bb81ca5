//! Retention, figure by figure.

use super::*;

const MIB: u64 = 1 << 20;

fn limits(when_full: WhenFull) -> Limits {
    Limits {
        max_size: 16 * MIB,
        max_age: Duration::from_secs(3600),
        min_free: 4 * MIB,
        when_full,
    }
}

fn extent(used: u64, free: u64, growth: u64) -> Extent {
    Extent {
        used: used * MIB,
        free: free * MIB,
        growth: growth * MIB,
        has_older: true,
    }
}

#[test]
fn a_generation_is_an_eighth_within_reason() {
    for (max_size, expect) in [(16, 2), (64, 8), (512, 16), (100_000, 16)] {
        let limits = Limits {
            max_size: max_size * MIB,
            ..Limits::default()
        };
        assert_eq!(limits.generation_bytes(), expect * MIB, "{max_size}");
    }
    assert_eq!(Limits::default().generation_bytes(), 16 * MIB);
}

#[test]
fn limits_are_kept_by_dropping_or_by_refusing() {
    use DropReason::{Free, Size};
    use Verdict::{Drop, Go, Refuse};
    // (used, free, growth) in MiB -> drop-oldest, refuse-new
    for (figures, dropping, refusing) in [
        ((10, 100, 1), Go, Go),
        ((15, 100, 1), Go, Go),
        ((16, 100, 1), Drop(Size), Refuse(Size)),
        ((16, 100, 0), Go, Go),
        ((20, 100, 0), Drop(Size), Go),
        ((10, 5, 1), Go, Go),
        ((10, 4, 1), Drop(Free), Refuse(Free)),
        ((10, 0, 0), Go, Go),
        ((16, 0, 1), Drop(Size), Refuse(Size)),
    ] {
        let (used, free, growth) = figures;
        for (policy, expect) in [(WhenFull::DropOldest, dropping), (WhenFull::RefuseNew, refusing)] {
            let found = Retention::new(limits(policy)).decide(extent(used, free, growth));
            assert_eq!(found, expect, "{figures:?} {policy:?}");
        }
    }
}

#[test]
fn the_last_generation_is_never_dropped() {
    let alone = Extent {
        has_older: false,
        ..extent(16, 100, 1)
    };
    let mut retention = Retention::new(limits(WhenFull::DropOldest));
    assert_eq!(retention.decide(alone), Verdict::Refuse(DropReason::Size));
    assert_eq!(retention.decide(Extent { growth: 0, ..alone }), Verdict::Go);
}

/// Somebody else takes every byte at once that the queue gives up.
#[test]
fn a_disk_that_others_fill_costs_one_generation_and_not_all() {
    let mut retention = Retention::new(limits(WhenFull::DropOldest));
    assert_eq!(
        retention.decide(extent(14, 0, 1)),
        Verdict::Drop(DropReason::Free)
    );
    for _ in 0..100 {
        assert_eq!(
            retention.decide(extent(12, 0, 1)),
            Verdict::Go,
            "room for one more was made"
        );
    }
    assert_eq!(retention.decide(extent(13, 0, 1)), Verdict::Go);
    assert_eq!(
        retention.decide(extent(14, 0, 1)),
        Verdict::Drop(DropReason::Free)
    );
    assert_eq!(
        retention.decide(extent(12, 6, 1)),
        Verdict::Go,
        "and all is well again"
    );
    assert_eq!(
        retention.decide(extent(15, 0, 1)),
        Verdict::Drop(DropReason::Free)
    );
}

fn mark(boot: u32, wall: i64, mono: u64, synchronized: bool) -> Mark {
    let quality = if synchronized {
        TimeQuality::Synchronized
    } else {
        TimeQuality::Unsynced
    };
    let time = Stamp {
        wall: wall * 1_000_000_000,
        mono: mono * 1_000_000_000,
        quality,
    };
    Mark { boot, time }
}

#[test]
fn a_clock_that_steps_by_56_years_makes_nothing_old() {
    const IN_2026: i64 = 1_790_000_000;
    // stored, now -> seconds
    for (then, now, expect) in [
        (mark(1, 10, 10, false), mark(1, IN_2026, 70, true), Some(60)),
        (
            mark(1, IN_2026, 10, true),
            mark(1, IN_2026 + 1_767_225_600, 11, true),
            Some(1),
        ),
        (mark(1, IN_2026, 10, true), mark(1, 5, 12, false), Some(2)),
        (mark(1, 10, 10, false), mark(2, IN_2026, 5, true), None),
        (mark(1, IN_2026, 10, true), mark(2, 10, 5, false), None),
        (
            mark(1, IN_2026, 10, true),
            mark(2, IN_2026 + 86_400, 5, true),
            Some(86_400),
        ),
        (
            mark(1, IN_2026, 10, true),
            mark(2, IN_2026 - 86_400, 5, true),
            Some(0),
        ),
    ] {
        assert_eq!(
            age(then, now),
            expect.map(Duration::from_secs),
            "{then:?} {now:?}"
        );
    }
}
