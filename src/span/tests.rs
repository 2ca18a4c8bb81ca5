//! Tables of spans: readings by their times, and where the boundaries fall.

use proptest::prelude::*;

use super::*;

const MS: i64 = 1_000_000;

fn rules(span_ms: u64, packet_size: usize) -> Rules {
    Rules {
        time_span: Duration::from_millis(span_ms),
        packet_size,
        idle_timeout: Duration::from_secs(5),
        max_delay: Duration::from_secs(30),
    }
}

/// Offers the times in chunks of that size; returns the spans, the open one last behind a `|`.
fn spans(rules: Rules, times: &[i64], chunk: usize, bytes: u64) -> String {
    let (mut cutter, mut text) = (Cutter::new(rules), String::new());
    for chunk in times.chunks(chunk) {
        let nanos: Vec<i64> = chunk.iter().map(|ms| ms * MS).collect();
        let mut rest = &nanos[..];
        while !rest.is_empty() {
            let cut = cutter.offer(rest, bytes, Mono(0));
            for time in &rest[..cut.taken] {
                text.push_str(&format!("{} ", time / MS));
            }
            if cut.closed {
                text.push_str("| ");
            }
            rest = &rest[cut.taken..];
        }
    }
    text.trim_end().to_owned()
}

#[test]
fn boundaries_fall_where_the_readings_say() {
    for (span, size, times, expect) in [
        (100, 1000, &[0, 50, 99][..], "0 50 99"),
        (100, 1000, &[0, 50, 99, 100, 150], "0 50 99 | 100 150"),
        (100, 1000, &[0, 100, 200], "0 | 100 | 200"),
        (100, 1000, &[100, 150, 250, 200, 99], "100 150 | 250 200 | 99"),
        (100, 1000, &[0, 0, 0, 100], "0 0 0 | 100"),
        (100, 1000, &[500, 450, 401, 400], "500 450 401 | 400"),
        (100, 1000, &[-50, 49, 50], "-50 49 | 50"),
        (
            100,
            3,
            &[0, 10, 20, 30, 95, 100, 110, 120],
            "0 10 20 | 30 95 100 | 110 120",
        ),
        (100, 3, &[0, 10, 20, 119, 120], "0 10 20 | 119 120"),
        (100, 1, &[0, 1, 2], "0 | 1 | 2 |"),
        (1, 1000, &[0, 1, 2], "0 | 1 | 2"),
    ] {
        for chunk in [1, 2, 100] {
            assert_eq!(
                spans(rules(span, size), times, chunk, 8),
                expect,
                "chunks of {chunk}"
            );
        }
    }
}

#[test]
fn a_span_has_at_most_so_many_bytes() {
    let times = [0, 1, 2, 3, 4];
    assert_eq!(
        spans(rules(1000, 1000), &times, 5, MAX_SPAN_BYTES / 2),
        "0 1 | 2 3 | 4"
    );
    assert_eq!(
        spans(rules(1000, 1000), &times, 5, MAX_SPAN_BYTES + 1),
        "0 | 1 | 2 | 3 | 4"
    );
}

#[test]
fn times_at_the_ends_of_the_scale_do_not_overflow() {
    let mut cutter = Cutter::new(rules(100, 1000));
    assert_eq!(
        cutter.offer(&[i64::MIN, i64::MAX], 8, Mono(0)),
        Cut {
            taken: 1,
            closed: true
        }
    );
}

#[test]
fn deadlines_count_from_the_last_and_from_the_first_reading() {
    let second = |seconds: u64| Mono(seconds * 1_000_000_000);
    let mut cutter = Cutter::new(rules(100_000, 1000));
    assert_eq!((cutter.deadline(true), cutter.opened()), (None, None));
    cutter.offer(&[0], 8, second(10));
    assert_eq!(cutter.deadline(true), Some(second(15)));
    cutter.offer(&[1], 8, second(14));
    assert_eq!(cutter.deadline(true), Some(second(19)));
    assert_eq!(
        cutter.deadline(false),
        Some(second(40)),
        "silence means nothing while a backlog is read"
    );
    cutter.offer(&[2], 8, second(39));
    assert_eq!(cutter.deadline(true), Some(second(40)));
    cutter.close();
    assert_eq!(cutter.deadline(true), None);
    cutter.offer(&[3], 8, second(50));
    assert_eq!(
        cutter.deadline(true),
        Some(second(55)),
        "nothing of the closed span is left"
    );
}

proptest! {
    #[test]
    fn chunking_changes_nothing_and_every_reading_is_in_one_span(
        times in proptest::collection::vec(0_i64..2000, 1..200), span in 1_u64..500, size in 1_usize..50, chunk in 1_usize..40,
    ) {
        let whole = spans(rules(span, size), &times, 1000, 40);
        prop_assert_eq!(&whole, &spans(rules(span, size), &times, chunk, 40));
        let back: Vec<i64> = whole.split_whitespace().filter(|word| *word != "|").map(|n| n.parse().unwrap()).collect();
        prop_assert_eq!(back, times);
        for part in whole.split('|') {
            let part: Vec<i64> = part.split_whitespace().map(|n| n.parse().unwrap()).collect();
            let width = part.iter().max().unwrap_or(&0) - part.iter().min().unwrap_or(&0);
            prop_assert!(part.len() <= size && (width as u64) < span || part.len() <= 1);
        }
    }
}
