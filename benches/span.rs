//! Cutting spans: nanoseconds of CPU for a reading, by how many readings of a sensor come in one piece.
//!
//! Owns one stream of readings, a sensor at 10 Hz whose clock jitters, cut by the default rules (10 s of time in the data,
//! 1,000 readings). The spans that come out are counted against those of plain arithmetic. `cargo bench --bench span`
//! prints a table and ends with a line of JSON.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::time::Duration;

use edgespool::clock::Mono;
use edgespool::span::{Cutter, Rules};

use support::{Failure, Outcome, SMALL, machine, median, real};

const READINGS: usize = if SMALL { 10_000 } else { 5_000_000 };
const RUNS: usize = if SMALL { 1 } else { 5 };
/// Nanoseconds between two readings, but for the jitter.
const PERIOD: i64 = 100_000_000;
const JITTER: i64 = 2_000_000;
/// What a reading takes in the queue's encoding.
const BYTES: u64 = 6;
const RULES: Rules = Rules {
    time_span: Duration::from_secs(10),
    packet_size: 1000,
    idle_timeout: Duration::from_secs(5),
    max_delay: Duration::from_secs(30),
};

fn main() -> Outcome {
    println!("span: {}", machine::description());
    println!("  readings   ns of CPU   spans");
    println!("  a piece    a reading");
    let times = times();
    let expected = spans(&times);
    let mut lines = Vec::new();
    for piece in [1, 4, 40] {
        let mut figures = Vec::new();
        for _ in 0..RUNS {
            let start = machine::cpu();
            let cut = cut(&times, piece);
            figures.push((machine::cpu() - start).as_secs_f64());
            if cut != expected {
                return Err(Failure::from(format!("{cut} spans, not {expected}")));
            }
        }
        let each = median(figures) * 1e9 / real(READINGS as u64);
        println!("  {piece:>8} {each:>11.1} {expected:>7}");
        lines.push(serde_json::json!({ "piece": piece, "ns_per_reading": each, "spans": expected }));
    }
    println!(
        "{}",
        serde_json::json!({ "bench": "span", "debug": SMALL, "runs": RUNS, "readings": READINGS, "pieces": lines })
    );
    Ok(())
}

/// Recorded times that rise, the same in every run.
fn times() -> Vec<i64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = 0;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        next += PERIOD;
        next + i64::try_from(state % JITTER.unsigned_abs()).unwrap_or(0)
    };
    (0..READINGS).map(step).collect()
}

/// How many spans there are: one more whenever a reading lies ten seconds after the first of its span.
fn spans(times: &[i64]) -> usize {
    let (mut spans, mut first) = (0, None);
    for time in times {
        if first.is_none_or(|first| time - first >= 10_000_000_000) {
            first = Some(*time);
            spans += 1;
        }
    }
    spans
}

fn cut(times: &[i64], piece: usize) -> usize {
    let (mut cutter, mut closed) = (Cutter::new(RULES), 0);
    for mut piece in times.chunks(piece) {
        while !piece.is_empty() {
            let cut = cutter.offer(piece, BYTES, Mono(1));
            closed += usize::from(cut.closed);
            piece = piece.get(cut.taken..).unwrap_or_default();
        }
    }
    closed + usize::from(cutter.opened().is_some())
}
