//! The sampler: which sensor is due when.
//!
//! Pure: a function of the time it is told. A sensor is due at its first moment and then once every period; what was
//! missed meanwhile is counted and not made up for, so that a node that was held up does not sample in bursts.

use edgespool_wire::{Measurements, Values};

/// Something that is sampled.
pub trait Sensor {
    /// Its ID: 1 to 128 bytes without control characters; always the same.
    fn id(&self) -> &str;

    /// What it measures; always the same.
    fn measurements(&self) -> Measurements<'_>;

    /// How often it is sampled, in milliseconds; 0 if only [`Node::record`](crate::Node::record) gives its readings.
    fn period_ms(&self) -> u32;

    /// Takes one sample: one value for each measurement.
    ///
    /// # Errors
    /// [`Fault`] if there is none; it is counted, and the sensor is due again after its period.
    fn sample(&mut self) -> Result<Values<'_>, Fault>;
}

impl<S: Sensor + ?Sized> Sensor for &mut S {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn measurements(&self) -> Measurements<'_> {
        (**self).measurements()
    }

    fn period_ms(&self) -> u32 {
        (**self).period_ms()
    }

    fn sample(&mut self) -> Result<Values<'_>, Fault> {
        (**self).sample()
    }
}

/// Why there is no sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The sensor has no new value yet.
    #[error("sensor is not ready")]
    NotReady,
    /// The sensor cannot be reached.
    #[error("bus error")]
    Bus,
    /// It answered something that cannot be.
    #[error("answer is garbled")]
    Garbled,
}

/// When each of `N` sensors is due.
#[derive(Clone, Debug)]
pub struct Sampler<const N: usize> {
    clocks: [Clock; N],
    missed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    period_ms: u32,
    /// `None` for a sensor that is never due.
    due_ms: Option<u64>,
}

impl<const N: usize> Sampler<N> {
    /// For sensors of these periods, all due at `start_ms`. A period of 0 is never due.
    pub fn new(periods_ms: [u32; N], start_ms: u64) -> Self {
        let clock = |period_ms| Clock {
            period_ms,
            due_ms: (period_ms > 0).then_some(start_ms),
        };
        Self {
            clocks: periods_ms.map(clock),
            missed: 0,
        }
    }

    /// A sensor that is due, which then is due again a period later; `None` if none is.
    pub fn take_due(&mut self, now_ms: u64) -> Option<usize> {
        let is_due = |clock: &Clock| clock.due_ms.is_some_and(|due| due <= now_ms);
        let (index, clock) = self
            .clocks
            .iter_mut()
            .enumerate()
            .find(|(_, clock)| is_due(clock))?;
        let (due, period) = (clock.due_ms?, u64::from(clock.period_ms));
        let missed = (now_ms - due) / period;
        self.missed += missed;
        clock.due_ms = Some(due + (missed + 1) * period);
        Some(index)
    }

    /// When the next sensor is due, in milliseconds since the boot.
    pub fn next_deadline(&self) -> Option<u64> {
        self.clocks.iter().filter_map(|clock| clock.due_ms).min()
    }

    /// How many samples were never taken because the node came too late.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn due(sampler: &mut Sampler<3>, now_ms: u64) -> Vec<usize> {
        core::iter::from_fn(|| sampler.take_due(now_ms)).collect()
    }

    #[test]
    fn each_sensor_is_due_once_a_period() {
        let mut sampler = Sampler::new([100, 250, 0], 1000);
        let expect: [(u64, &[usize]); 9] = [
            (0, &[]),
            (999, &[]),
            (1000, &[0, 1]),
            (1000, &[]),
            (1100, &[0]),
            (1249, &[0]),
            (1250, &[1]),
            (1300, &[0]),
            (1500, &[0, 1]),
        ];
        for (now, indexes) in expect {
            assert_eq!(due(&mut sampler, now), indexes, "{now}");
        }
        assert_eq!((sampler.next_deadline(), sampler.missed()), (Some(1600), 1));
    }

    #[test]
    fn what_was_missed_is_counted_and_not_made_up_for() {
        let mut sampler = Sampler::new([100, 0, 0], 0);
        assert_eq!(due(&mut sampler, 1_000_050), [0]);
        assert_eq!(
            (sampler.missed(), sampler.next_deadline()),
            (10_000, Some(1_000_100))
        );
    }

    #[test]
    fn without_periods_nothing_is_due() {
        let mut sampler = Sampler::new([0; 3], 0);
        assert_eq!(
            (sampler.take_due(u64::MAX), sampler.next_deadline()),
            (None, None)
        );
    }
}
