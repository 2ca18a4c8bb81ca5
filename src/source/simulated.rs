//! Invented readings, for trying things out: temperatures that wander, the same ones at every start.
//!
//! Promises that sensor n gives the same values in the same order whenever it starts. Must not know other kinds.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Context, Quantity, Running, State};
use crate::clock::Mono;
use crate::intake::inbox::Batch;
use crate::reading::{Quality, Reading, SensorNo, Stamp, Value, Values};

/// What is to be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The number of the first sensor; they are called `sim-1` and so on.
    pub first: u32,
    /// How many sensors.
    pub sensors: u32,
    /// How often each gives a reading; more than zero.
    pub every: Duration,
}

/// Starts the source on the current runtime.
#[must_use]
pub fn spawn(context: Context, settings: Settings) -> Running {
    context.spawn_task(move |context| run(context, settings))
}

async fn run(context: Context, settings: Settings) {
    let mut sensors = register(&context, settings);
    let every = settings.every.max(Duration::from_millis(1));
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = None;
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            () = context.stop().stopped() => return,
        }
        let beat = context.clock().mono();
        let missed = missed(last.replace(beat), beat, every);
        if missed > 0 {
            context
                .health()
                .count(|counters| counters.missed += missed.saturating_mul(sensors.len() as u64));
        }
        let time = context.clock().stamp();
        let readings = sensors
            .iter_mut()
            .map(|(sensor, walk)| reading(*sensor, walk.step(), time))
            .collect();
        tokio::select! {
            taken = context.submit(Batch { readings, ..Batch::default() }) => if taken.is_err() { return },
            () = context.stop().stopped() => return,
        }
    }
}

fn register(context: &Context, settings: Settings) -> Vec<(SensorNo, Walk)> {
    let mut sensors = Vec::new();
    for number in settings.first..settings.first.saturating_add(settings.sensors) {
        let id = format!("sim-{number}");
        match context.register(&id, &[Quantity::number("temperature", "C")]) {
            Ok(sensor) => sensors.push((sensor, Walk::new(number))),
            Err(refused) => context.health().fault(&id, State::Degraded, refused.to_string()),
        }
    }
    sensors
}

fn reading(sensor: SensorNo, value: f64, time: Stamp) -> Reading {
    Reading {
        sensor,
        time,
        quality: Quality::Good,
        values: Values::One(Value::Number(value)),
    }
}

/// The beats that were left out between two that came.
fn missed(last: Option<Mono>, beat: Mono, every: Duration) -> u64 {
    let Some(last) = last else { return 0 };
    let beats = (beat.since(last) + every / 2).as_nanos() / every.as_nanos();
    u64::try_from(beats.saturating_sub(1)).unwrap_or(u64::MAX)
}

/// A temperature that wanders between 10 and 30 °C in steps of a sixteenth.
#[derive(Debug, Clone)]
struct Walk {
    sixteenths: i32,
    random: NonZeroU32,
}

impl Walk {
    fn new(number: u32) -> Self {
        // Neighbouring numbers must not give neighbouring walks.
        let seed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9);
        let random = NonZeroU32::new(seed).unwrap_or(NonZeroU32::MIN);
        Self {
            sixteenths: 21 * 16,
            random,
        }
    }

    fn step(&mut self) -> f64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.random = NonZeroU32::new(x).unwrap_or(NonZeroU32::MIN);
        let step = match (x >> 8) % 3 {
            0 => -1,
            1 => 0,
            _ => 1,
        };
        self.sixteenths = (self.sixteenths + step).clamp(10 * 16, 30 * 16);
        f64::from(self.sixteenths) / 16.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::intake::catalog::Catalog;
    use crate::intake::inbox::{Inbox, Wake};

    fn walk(number: u32) -> Vec<f64> {
        let mut walk = Walk::new(number);
        (0..10_000).map(|_| walk.step()).collect()
    }

    #[test]
    fn walks_are_the_same_at_every_start_and_different_among_sensors() {
        let first = walk(1);
        assert_eq!(first, walk(1));
        assert_ne!(first, walk(2));
        assert!(first.iter().all(|value| (10.0..=30.0).contains(value)));
        assert!(first.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 0.0625));
        let distinct = first
            .iter()
            .map(|value| value.to_bits())
            .collect::<std::collections::HashSet<_>>();
        assert!(distinct.len() > 20, "it wanders");
    }

    #[test]
    fn left_out_beats_are_counted() {
        let (start, second) = (Mono(5_000_000_000), Duration::from_secs(1));
        for (span, expect) in [(1000, 0), (1001, 0), (990, 0), (2000, 1), (5003, 4), (0, 0)] {
            assert_eq!(
                missed(Some(start), start.after(Duration::from_millis(span)), second),
                expect,
                "{span}"
            );
        }
        assert_eq!(missed(None, start, second), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn every_beat_gives_a_reading_of_each_sensor() {
        let inbox = Arc::new(Inbox::new(Duration::from_millis(1), Catalog::new(vec![], 10)));
        let context = Context::new(
            "source[0] simulated 1",
            inbox.clone(),
            Arc::new(Clock::new()),
            Arc::default(),
        );
        let mut running = spawn(
            context,
            Settings {
                first: 3,
                sensors: 2,
                every: Duration::from_millis(1),
            },
        );
        let mut readings = Vec::new();
        while readings.len() < 10 {
            let inbox = inbox.clone();
            match tokio::task::spawn_blocking(move || inbox.wait(None))
                .await
                .unwrap()
            {
                Wake::Commit(waiting) => {
                    readings.extend(waiting.batches.into_iter().flat_map(|b| b.readings))
                }
                other => panic!("{other:?}"),
            }
        }
        running.stop();
        running.ended().await;
        let (mut third, mut fourth) = (Walk::new(3), Walk::new(4));
        for (at, reading) in readings.iter().enumerate() {
            let expect = if at % 2 == 0 { third.step() } else { fourth.step() };
            assert_eq!(
                (reading.sensor.index(), &reading.values),
                (at % 2, &Values::One(Value::Number(expect)))
            );
        }
        assert!(running.health().snapshot().counters.readings >= readings.len() as u64);
    }
}
