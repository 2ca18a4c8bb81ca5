//! The only reader of the clocks.
//!
//! Owns the wall clock, the monotonic clock, the kernel's word on synchronization and the boot ID. Promises that the
//! difference of wall and monotonic time in stamps changes only when somebody sets the clock, not by the jitter of two
//! calls: so the queue stores one of the two columns as a constant. Must not know who asks.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::reading::{Stamp, TimeQuality};
use crate::sys;
use hands::Hands;

pub mod hands;

/// A moment on the monotonic clock, in nanoseconds since this machine started. What timers and policies count with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// That much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` to here; zero when that lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Identifies one run of the operating system: monotonic times of two boots cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BootId(pub [u8; 16]);

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Differences of wall and monotonic time that differ by less are one difference: two clock reads are not atomic.
const JITTER: i64 = 200_000;
/// How long the kernel's word on synchronization is believed.
const RECHECK: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
struct View {
    offset: i64,
    synchronized: bool,
    checked: Mono,
    /// When the clock was last read.
    read: Mono,
}

/// A jump of the wall clock against the monotonic one that no slewing explains: 500 ms, and 1 ms for each second since the
/// clock was last read (adjtime slews by half of that).
const STEP: i64 = 500_000_000;

/// Somebody set the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// By how much, nanoseconds; of several steps, all together.
    pub by: i64,
    /// How often.
    pub count: u32,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.by < 0 { "back" } else { "forward" };
        // To the millisecond, in words.
        let millis = self.by.unsigned_abs() / 1_000_000;
        let span = humantime::format_duration(Duration::from_millis(millis));
        write!(f, "the wall clock was set {direction} by {span}")?;
        match self.count {
            1 => Ok(()),
            count => write!(f, " in {count} steps"),
        }
    }
}

/// Reads the clocks. One for the whole agent, shared.
#[derive(Debug)]
pub struct Clock {
    view: Mutex<Option<View>>,
    step: Mutex<Option<Step>>,
    /// What is read instead of the kernel's clocks.
    hands: Option<Hands>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// A clock that has not been read yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            view: Mutex::new(None),
            step: Mutex::new(None),
            hands: None,
        }
    }

    /// A clock that shows what these hands show.
    #[must_use]
    pub fn by_hand(hands: &Hands) -> Self {
        Self {
            view: Mutex::new(None),
            step: Mutex::new(None),
            hands: Some(hands.clone()),
        }
    }

    /// The monotonic time.
    #[must_use]
    pub fn mono(&self) -> Mono {
        self.hands.as_ref().map_or_else(mono, Hands::mono)
    }

    fn wall(&self) -> i64 {
        self.hands.as_ref().map_or_else(wall, Hands::wall)
    }

    fn kernel(&self) -> bool {
        self.hands
            .as_ref()
            .map_or_else(sys::clock_is_synchronized, Hands::synchronized)
    }

    /// Both clocks at this moment.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        let mut guard = self
            .view
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = self.mono();
        let measured = self.wall().saturating_sub(signed(now.0));
        let view = match *guard {
            Some(view) => {
                self.note_step(view, measured, now);
                next_view(view, measured, now, || self.kernel())
            }
            None => View {
                offset: measured,
                synchronized: self.kernel(),
                checked: now,
                read: now,
            },
        };
        *guard = Some(view);
        let quality = if view.synchronized {
            TimeQuality::Synchronized
        } else {
            TimeQuality::Unsynced
        };
        Stamp {
            wall: signed(now.0).saturating_add(view.offset),
            mono: now.0,
            quality,
        }
    }

    /// How somebody has set the wall clock since this was last asked.
    #[must_use]
    pub fn take_step(&self) -> Option<Step> {
        self.step
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }

    fn note_step(&self, view: View, measured: i64, now: Mono) {
        let by = measured.saturating_sub(view.offset);
        if is_step(by, now.since(view.read)) {
            let mut step = self
                .step
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let before = step.unwrap_or(Step { by: 0, count: 0 });
            *step = Some(Step {
                by: before.by.saturating_add(by),
                count: before.count.saturating_add(1),
            });
        }
    }

    /// What the kernel says now, at most a second old.
    #[must_use]
    pub fn is_synchronized(&self) -> bool {
        self.stamp().quality == TimeQuality::Synchronized
    }
}

/// The view after one more measurement: the offset moves only on steps and slow drift beyond the jitter of reading.
fn next_view(view: View, measured: i64, now: Mono, kernel: impl Fn() -> bool) -> View {
    let stepped = measured.abs_diff(view.offset) > JITTER.unsigned_abs();
    let stale = now.since(view.checked) >= RECHECK;
    View {
        offset: if stepped { measured } else { view.offset },
        synchronized: if stepped || stale {
            kernel()
        } else {
            view.synchronized
        },
        checked: if stepped || stale { now } else { view.checked },
        read: now,
    }
}

/// Whether the wall clock was set, and not only slewed, if it moved so far against the monotonic one in that time.
fn is_step(by: i64, elapsed: Duration) -> bool {
    let slewed = i64::try_from(elapsed.as_millis())
        .unwrap_or(i64::MAX)
        .saturating_mul(1000);
    by.unsigned_abs() > STEP.saturating_add(slewed).unsigned_abs()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The monotonic time, for code that has no [`Clock`] at hand.
#[must_use]
pub fn mono() -> Mono {
    Mono(u64::try_from(nanos(ClockId::Monotonic)).unwrap_or(0))
}

/// The wall time in nanoseconds since 1970 UTC, without the care that [`Clock::stamp`] takes.
#[must_use]
pub fn wall() -> i64 {
    nanos(ClockId::Realtime)
}

fn nanos(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

/// This boot's ID, as the kernel gives it, or, where that is hidden, the service manager; all zeroes where there is none.
#[must_use]
pub fn boot_id() -> BootId {
    let kernels = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let text = kernels.or_else(|| std::env::var("EDGESPOOL_BOOT_ID").ok());
    parse_boot_id(&text.unwrap_or_default()).unwrap_or_default()
}

fn parse_boot_id(text: &str) -> Option<BootId> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let number = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(BootId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View {
        offset: 1_000_000_000,
        synchronized: false,
        checked: Mono(0),
        read: Mono(0),
    };

    #[test]
    fn jitter_keeps_the_offset_and_a_step_moves_it() {
        for (measured, expect) in [
            (1_000_000_000, 1_000_000_000),
            (1_000_150_000, 1_000_000_000),
            (999_900_000, 1_000_000_000),
            (1_000_300_000, 1_000_300_000),
            (-5, -5),
        ] {
            assert_eq!(
                next_view(VIEW, measured, Mono(5), || false).offset,
                expect,
                "{measured}"
            );
        }
    }

    #[test]
    fn the_kernel_is_asked_after_a_second_and_after_a_step() {
        assert!(!next_view(VIEW, VIEW.offset, Mono(5), || true).synchronized);
        assert!(next_view(VIEW, VIEW.offset, Mono(1_000_000_000), || true).synchronized);
        assert!(next_view(VIEW, 77, Mono(5), || true).synchronized);
    }

    #[test]
    fn a_step_is_told_once_and_slewing_is_none() {
        const SECOND: i64 = 1_000_000_000;
        for (by, elapsed, expect) in [
            (0, 1, false),
            (SECOND / 2, 0, false),
            (SECOND / 2 + 1, 0, true),
            (-SECOND, 0, true),
            // 500 ppm over an hour are 1.8 s.
            (18 * SECOND / 10, 3600, false),
            (5 * SECOND, 3600, true),
            (i64::MIN, 0, true),
        ] {
            assert_eq!(
                is_step(by, Duration::from_secs(elapsed)),
                expect,
                "{by} in {elapsed} s"
            );
        }
        let hands = Hands::default();
        let clock = Clock::by_hand(&hands);
        let at = |mono: i64, wall: i64| {
            hands.set(Mono(mono.unsigned_abs() * 1_000_000_000), wall * SECOND, true);
            assert_eq!(clock.stamp().mono, mono.unsigned_abs() * 1_000_000_000);
            clock.take_step().map(|step| step.to_string())
        };
        assert_eq!(at(5, 100), None);
        assert_eq!(at(6, 101), None);
        assert_eq!(at(7, 3702).unwrap(), "the wall clock was set forward by 1h");
        assert_eq!(at(8, 3703), None);
        assert_eq!(at(9, 3701).unwrap(), "the wall clock was set back by 3s");
    }

    #[test]
    fn stamps_agree_with_the_clocks() {
        let clock = Clock::new();
        let (before, stamp, after) = (mono(), clock.stamp(), mono());
        assert!(before.0 <= stamp.mono && stamp.mono <= after.0);
        assert!(stamp.wall.abs_diff(wall()) < 1_000_000_000);
    }

    #[test]
    fn boot_ids_parse() {
        let id = parse_boot_id("01234567-89ab-cdef-0123-456789abcdef\n").unwrap();
        assert_eq!(format!("{id:?}"), "0123456789abcdef0123456789abcdef");
        assert_eq!(parse_boot_id("nonsense"), None);
    }
}
