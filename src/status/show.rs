//! The status answer as text for people.
//!
//! Owns the layout of `edgespool status`. Pure.

use std::fmt::Write as _;

use std::time::Duration;

use super::{Events, Intake, Sensor, Snapshot};

/// How many sensors are shown unless all are asked for.
const SENSORS: usize = 20;

/// The text, lines with ends.
#[must_use]
pub fn text(status: &Snapshot, all: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    if write(&mut out, status, all).is_err() {
        out.clear();
    }
    out
}

fn write(out: &mut String, s: &Snapshot, all: bool) -> std::fmt::Result {
    let (ledger, queue) = (&s.ledger, &s.queue);
    writeln!(
        out,
        "{}  edgespool {}  up {}",
        s.device,
        s.version,
        span(s.uptime_ms)
    )?;
    writeln!(
        out,
        "ledger   accepted {} = delivered {} + queued {} + dead {} + dropped {}",
        ledger.accepted, ledger.delivered, ledger.queued, ledger.dead, ledger.dropped
    )?;
    losses(out, s)?;
    writeln!(out, "offered  {}", offered(s.intake))?;
    writeln!(
        out,
        "queue    {} rows, {} in {} generation(s), {} commits, epoch {}  {}",
        queue.rows,
        bytesize::ByteSize(queue.bytes),
        queue.generations,
        queue.commits,
        queue.epoch,
        queue.directory
    )?;
    if let Some(oldest) = queue.oldest.and_then(|nanos| u64::try_from(nanos).ok()) {
        let since = std::time::UNIX_EPOCH + Duration::from_nanos(oldest);
        writeln!(
            out,
            "         the oldest row that waits is of {}",
            humantime::format_rfc3339_seconds(since)
        )?;
    }
    writeln!(out, "clock    {}", clock(s))?;
    writeln!(out, "kafka    {}", kafka(s))?;
    for lane in &s.kafka.waiting {
        let why = lane.why.as_deref().unwrap_or("");
        writeln!(
            out,
            "  {} {} for {}: {why}",
            lane.sensor,
            lane.state,
            span(lane.for_ms)
        )?;
    }
    if s.dead_letters.kept > 0 {
        let (kept, bytes) = (s.dead_letters.kept, bytesize::ByteSize(s.dead_letters.bytes));
        let directory = &s.dead_letters.directory;
        writeln!(out, "dead     {kept} letters kept, {bytes} in {directory}")?;
    }
    s.sources.iter().try_for_each(|found| source(out, found))?;
    events(out, &s.events)?;
    let shown = if all {
        s.sensors.len()
    } else {
        s.sensors.len().min(SENSORS)
    };
    s.sensors
        .iter()
        .take(shown)
        .try_for_each(|found| sensor(out, found))?;
    if shown < s.sensors.len() {
        writeln!(
            out,
            "         and {} more sensors (--all shows them)",
            s.sensors.len() - shown
        )?;
    }
    s.warnings
        .iter()
        .try_for_each(|warning| writeln!(out, "warning  {warning}"))
}

/// Why readings were given up, and what never arrived: only where there is something.
fn losses(out: &mut String, s: &Snapshot) -> std::fmt::Result {
    let by = s.ledger.dropped_by;
    let dropped = reasons(&[
        ("size", by.size),
        ("age", by.age),
        ("free", by.free),
        ("damaged", by.damaged),
    ]);
    if !dropped.is_empty() {
        writeln!(out, "         dropped: {dropped}")?;
    }
    match s.lost_upstream.node_overflow {
        0 => Ok(()),
        lost => writeln!(out, "         beside these, nodes had no room for {lost}"),
    }
}

/// The first line of the ledger.
fn offered(intake: Intake) -> String {
    let refused = [
        ("full", intake.refused.full),
        ("inbox", intake.refused.inbox),
        ("invalid", intake.refused.invalid),
        ("max-sensors", intake.refused.max_sensors),
    ];
    let suppressed = [
        ("deadband", intake.suppressed.deadband),
        ("duplicate", intake.suppressed.duplicate),
    ];
    let part = |name: &str, by: &[(&str, u64)]| match by.iter().map(|(_, count)| count).sum::<u64>() {
        0 => format!("{name} 0"),
        sum => format!("{name} {sum} ({})", reasons(by)),
    };
    let waiting = match intake.waiting {
        0 => String::new(),
        waiting => format!(" + in the inbox {waiting}"),
    };
    let (offered, accepted) = (intake.offered, intake.accepted);
    let (suppressed, refused) = (part("suppressed", &suppressed), part("refused", &refused));
    format!("{offered} = accepted {accepted} + {suppressed} + {refused}{waiting}  since the start")
}

fn reasons(by: &[(&str, u64)]) -> String {
    let some = by.iter().filter(|(_, count)| *count > 0);
    let some: Vec<String> = some.map(|(name, count)| format!("{name} {count}")).collect();
    some.join(", ")
}

/// The agent's own events: the last three, newest first.
fn events(out: &mut String, events: &Events) -> std::fmt::Result {
    let counts: Vec<_> = events
        .counts
        .iter()
        .map(|(kind, count)| (kind.as_str(), *count))
        .collect();
    if counts.is_empty() {
        return Ok(());
    }
    let ledger = events.ledger;
    let place = events
        .topic
        .as_ref()
        .map_or("not sent anywhere".to_owned(), |topic| {
            let dropped = reasons(&[("dropped", ledger.dropped)]);
            format!(
                "to {topic}: delivered {}  queued {}  {dropped}",
                ledger.delivered, ledger.queued
            )
        });
    writeln!(out, "events   {}; {}", reasons(&counts), place.trim_end())?;
    events.last.iter().rev().take(3).try_for_each(|event| {
        let since = Duration::from_millis(u64::try_from(event.at).unwrap_or(0));
        let at = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + since);
        writeln!(out, "  {at} {} {}", event.event, event.what)
    })
}

fn sensor(out: &mut String, sensor: &Sensor) -> std::fmt::Result {
    let (ledger, refused) = (&sensor.ledger, sensor.intake.refused);
    let more = reasons(&[
        ("dead", ledger.dead),
        ("dropped", ledger.dropped),
        (
            "refused",
            refused.full + refused.inbox + refused.invalid + refused.max_sensors,
        ),
    ]);
    let gap = if more.is_empty() { "" } else { "  " };
    writeln!(
        out,
        "sensor   {}  seq {}  delivered {}  queued {}{gap}{more}",
        sensor.id, sensor.sequence, ledger.delivered, ledger.queued
    )
}

fn clock(s: &Snapshot) -> String {
    let state = if s.clock.synchronized {
        "synchronized"
    } else {
        "not synchronized"
    };
    match (s.clock.held, s.clock.held_for_ms) {
        (0, _) => state.into(),
        (held, None) => format!("{state}; {held} readings wait for it until Kafka can be reached"),
        (held, Some(left)) => format!(
            "{state}; {held} readings wait for it, {} more at most",
            span(left)
        ),
    }
}

fn kafka(s: &Snapshot) -> String {
    let state = match s.kafka.reachable {
        Some(true) => "connected",
        Some(false) => "not reachable",
        None => "not known yet",
    };
    let lanes: Vec<String> = s
        .kafka
        .lanes
        .iter()
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let error = s
        .kafka
        .last_error
        .as_deref()
        .map_or(String::new(), |error| format!("; last error: {error}"));
    let twice = match s.kafka.possible_duplicates {
        0 => String::new(),
        count => format!("; {count} records may have come twice"),
    };
    format!(
        "{state}, {} readings under way, lanes: {}{twice}{error}",
        s.kafka.in_flight,
        lanes.join(", ")
    )
}

fn source(out: &mut String, found: &serde_json::Value) -> std::fmt::Result {
    let text = |key: &str| found.get(key).and_then(serde_json::Value::as_str).unwrap_or("");
    let readings = found
        .pointer("/counters/readings")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or(0);
    let why = match text("why") {
        "" => String::new(),
        why => format!(": {why}"),
    };
    writeln!(
        out,
        "{}  {}{why}  {readings} readings",
        text("label"),
        text("state")
    )?;
    match text("last_bad_line") {
        "" => Ok(()),
        line => writeln!(out, "  last line that fits no pattern: {line}"),
    }
}

fn span(ms: u64) -> String {
    let shown = if ms < 10_000 { ms } else { ms / 1000 * 1000 };
    humantime::format_duration(Duration::from_millis(shown)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{
        Clock, DroppedBy, Kafka, Lane, Ledger, LostUpstream, Queue, Refused, ShownEvent, Suppressed,
    };

    #[test]
    fn what_a_person_wants_to_know_is_there() {
        let ledger = Ledger {
            accepted: 33,
            delivered: 20,
            queued: 10,
            dead: 0,
            dropped: 3,
            dropped_by: DroppedBy {
                age: 2,
                damaged: 1,
                ..DroppedBy::default()
            },
        };
        let lane = Lane {
            sensor: "attic".into(),
            state: "halted".into(),
            why: Some("unknown topic".into()),
            for_ms: 61_000,
        };
        let status = Snapshot {
            version: "0.1.0".into(),
            device: "greenhouse-7".into(),
            uptime_ms: 3_723_000,
            ledger,
            intake: Intake {
                offered: 17,
                accepted: 4,
                waiting: 2,
                suppressed: Suppressed {
                    duplicate: 5,
                    ..Suppressed::default()
                },
                refused: Refused {
                    inbox: 6,
                    ..Refused::default()
                },
            },
            lost_upstream: LostUpstream { node_overflow: 17 },
            events: Events {
                topic: Some("edge-events".into()),
                counts: [("gap".into(), 2), ("started".into(), 1)].into(),
                ledger: Ledger {
                    delivered: 2,
                    queued: 1,
                    ..Ledger::default()
                },
                last: vec![ShownEvent {
                    event: "gap".into(),
                    at: 1_782_482_400_000,
                    what: "attic 3-9 epoch 7 size".into(),
                }],
            },
            clock: Clock {
                synchronized: false,
                held: 7,
                held_for_ms: Some(42_000),
            },
            queue: Queue {
                directory: "/q".into(),
                rows: 3,
                oldest: Some(1_782_482_400_000_000_000),
                ..Queue::default()
            },
            kafka: Kafka {
                reachable: Some(true),
                waiting: vec![lane],
                ..Kafka::default()
            },
            sensors: (0..25)
                .map(|n| Sensor {
                    id: format!("s{n}"),
                    sequence: n,
                    ledger,
                    ..Sensor::default()
                })
                .collect(),
            ..Snapshot::default()
        };
        let shown = text(&status, false);
        for expect in [
            "greenhouse-7  edgespool 0.1.0  up 1h 2m 3s\n",
            "accepted 33 = delivered 20 + queued 10 + dead 0 + dropped 3\n         dropped: age 2, damaged 1\n",
            "         beside these, nodes had no room for 17\n",
            "offered  17 = accepted 4 + suppressed 5 (duplicate 5) + refused 6 (inbox 6) + in the inbox 2  since",
            "sensor   s1  seq 1  delivered 20  queued 10  dropped 3\n",
            "the oldest row that waits is of 2026-06-26T14:00:00Z\n",
            "clock    not synchronized; 7 readings wait for it, 42s more at most\n",
            "events   gap 2, started 1; to edge-events: delivered 2  queued 1\n  2026-06-26T14:00:00Z gap attic 3-9 epoch 7 size\n",
            "  attic halted for 1m 1s: unknown topic\n",
            "sensor   s19  seq 19",
            "and 5 more sensors (--all shows them)\n",
        ] {
            assert!(shown.contains(expect), "{expect:?} is missing in\n{shown}");
        }
        assert!(text(&status, true).contains("sensor   s24"));
    }
}
