//! The status answer, put together from what every part says of itself.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::{View, forwarding};
use crate::event::Event;
use crate::format::millis;
use crate::queue::fold::Ledger;
use crate::queue::types::OutputNo;
use crate::reading::SensorNo;
use crate::status::{Clock, DeadLetters, Events, Intake, LostUpstream, Queue, Sensor, ShownEvent, Snapshot};

pub(super) fn snapshot(view: &View) -> Snapshot {
    let figures = view.sight.figures();
    let states = view.sight.sensors();
    let name = |number: usize| {
        states
            .get(number)
            .and_then(|s| s.def.as_ref())
            .map(|def| def.id.to_string())
    };
    let offers = view.inbox.offers();
    let readings = (0..)
        .map(SensorNo)
        .zip(&states)
        .filter(|(_, state)| !state.is_events());
    let sensors = readings.filter_map(|(number, state)| {
        let id = state.def.as_ref()?.id.to_string();
        let before = view.accepted_before.get(number.index()).copied().unwrap_or(0);
        Some(Sensor {
            id,
            sequence: state.next.saturating_sub(1),
            ledger: state.ledger(OutputNo(0)).into(),
            intake: Intake::of(offers.of(number), state.accepted.saturating_sub(before)),
        })
    });
    let forwarder = view.forwarder.lock().unwrap_or_else(PoisonError::into_inner);
    let (kafka, held) = forwarder
        .as_ref()
        .map(|f| forwarding::report(f, name))
        .unwrap_or_default();
    let healths = view.sources.lock().unwrap_or_else(PoisonError::into_inner);
    let shown: Vec<_> = healths.iter().map(|health| health.snapshot()).collect();
    let letters = view.letters.figures();
    Snapshot {
        version: env!("CARGO_PKG_VERSION").into(),
        device: view.device.clone(),
        uptime_ms: u64::try_from(view.clock.mono().since(view.started).as_millis()).unwrap_or(u64::MAX),
        ledger: figures.ledger.into(),
        clock: Clock {
            synchronized: view.clock.is_synchronized(),
            held: held.map_or(0, |(count, _)| count),
            held_for_ms: held.and_then(|(_, left)| left),
        },
        queue: Queue {
            directory: view.directory.clone(),
            epoch: figures.epoch.map_or(0, |epoch| epoch.0),
            rows: figures.rows,
            bytes: figures.bytes,
            generations: figures.generations as u64,
            oldest: view.sight.oldest(),
            commits: view.tally.commits.load(Ordering::Relaxed),
        },
        intake: offers.all().into(),
        lost_upstream: LostUpstream {
            node_overflow: figures.lost_upstream,
        },
        dead_letters: DeadLetters {
            kept: letters.letters,
            bytes: letters.bytes,
            directory: view.letters.folder().display().to_string(),
        },
        events: events(view, figures.events),
        kafka,
        sources: shown
            .iter()
            .filter_map(|source| serde_json::to_value(source).ok())
            .collect(),
        sensors: sensors.collect(),
        warnings: view
            .tally
            .troubles()
            .chain(view.warnings.iter().cloned())
            .collect(),
    }
}

fn events(view: &View, ledger: Ledger) -> Events {
    let told = view.inbox.events().told();
    let counts = told.counts.iter();
    Events {
        topic: view.events_topic.clone(),
        counts: counts
            .map(|(kind, count)| (kind.name().to_owned(), *count))
            .collect(),
        ledger: ledger.into(),
        last: told
            .last
            .iter()
            .map(|(time, event)| ShownEvent {
                event: event.kind.name().into(),
                at: millis(time.wall),
                what: what(event),
            })
            .collect(),
    }
}

/// An event in words.
fn what(event: &Event) -> String {
    let sensor = event.sensor.as_ref().map(|sensor| sensor.to_string());
    let range = event
        .from
        .zip(event.through)
        .map(|(from, through)| format!("{from}-{through}"));
    let epoch = event.epoch.map(|epoch| format!("epoch {epoch}"));
    let parts = [sensor, range, epoch, event.reason.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
