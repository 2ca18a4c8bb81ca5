//! Where one span ends and the next begins.
//!
//! Owns the rules of time-span batching. Boundaries are a function of the readings in their order (invariant I3): the time
//! in the data, the count, the bytes. Two of the three named exceptions are here as deadlines: a span nobody has added to
//! for `idle-timeout`, and one that is open for `max-delay`. Late readings are not re-sorted and not dropped: one outside
//! the open span closes it and opens the next. All state resets when a span ends, whatever ended it.
//!
//! The deadlines count from when a reading came here, that is, from when it was read from the queue; its own time, and
//! that of its commit, play no part. Silence says that no more will come, and only at the durable tail can anybody say so:
//! away from it, the sensor's next reading may stand a few rows further on, and a reader that waits for a broker would
//! otherwise turn every pause into boundaries that the data do not have. So `idle-timeout` ends a span only while its
//! reader stands at the tail, counted from the last reading wherever that was read. `max-delay` promises a bound, and so
//! counts always. Where memory forces an end, the output says so: that is the third exception, and not known here.
//!
//! Pure: a function of readings and of the moments at which they came. Must not know lanes, queues or the clock.

use std::time::Duration;

use crate::clock::Mono;

/// A span has at most so many bytes in the queue's encoding: it fits a record of any format with room to spare.
pub const MAX_SPAN_BYTES: u64 = 32 * 1024;

/// How a sensor's readings are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Time in the data, newest minus oldest recorded time with the new reading; reached means closed before it.
    pub time_span: Duration,
    /// Readings; reached means closed after the reading.
    pub packet_size: usize,
    /// Clock time without a new reading.
    pub idle_timeout: Duration,
    /// Clock time since the span opened.
    pub max_delay: Duration,
}

/// What a stretch of readings does to the open span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// So many of them belong to it.
    pub taken: usize,
    /// It ends there; the rest belongs to the next one.
    pub closed: bool,
}

/// The extent of the open span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    oldest: i64,
    newest: i64,
    count: usize,
    bytes: u64,
    opened: Mono,
    touched: Mono,
}

/// Cuts one sensor's readings into spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cutter {
    rules: Rules,
    limit: u64,
    open: Option<Extent>,
}

impl Cutter {
    /// With nothing open.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let limit = u64::try_from(rules.time_span.as_nanos()).unwrap_or(u64::MAX);
        Self {
            rules,
            limit,
            open: None,
        }
    }

    /// Offers readings by their recorded times, all of them `bytes` long in the queue's encoding. Call again with the rest
    /// when it says `closed`.
    pub fn offer(&mut self, times: &[i64], bytes: u64, now: Mono) -> Cut {
        let Some((&first, _)) = times.split_first() else {
            return Cut {
                taken: 0,
                closed: false,
            };
        };
        let fresh = Extent {
            oldest: first,
            newest: first,
            count: 0,
            bytes: 0,
            opened: now,
            touched: now,
        };
        let mut extent = self.open.unwrap_or(fresh);
        for (taken, &time) in times.iter().enumerate() {
            let (oldest, newest) = (extent.oldest.min(time), extent.newest.max(time));
            let full = extent.bytes + bytes > MAX_SPAN_BYTES || newest.abs_diff(oldest) >= self.limit;
            if full && extent.count > 0 {
                self.open = None;
                return Cut { taken, closed: true };
            }
            extent = Extent {
                oldest,
                newest,
                count: extent.count + 1,
                bytes: extent.bytes + bytes,
                touched: now,
                ..extent
            };
            if extent.count >= self.rules.packet_size {
                self.open = None;
                return Cut {
                    taken: taken + 1,
                    closed: true,
                };
            }
        }
        self.open = Some(extent);
        Cut {
            taken: times.len(),
            closed: false,
        }
    }

    /// The open span was ended from outside: a gap, another epoch or definition, a deadline, the budget.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// When the open span opened; `None` when none is open.
    #[must_use]
    pub fn opened(&self) -> Option<Mono> {
        self.open.map(|extent| extent.opened)
    }

    /// When the open span ends at the latest. `idle` says whether silence counts: it does not while more readings of the
    /// backlog are still to be read.
    #[must_use]
    pub fn deadline(&self, idle: bool) -> Option<Mono> {
        let extent = self.open?;
        let late = extent.opened.after(self.rules.max_delay);
        Some(if idle {
            late.min(extent.touched.after(self.rules.idle_timeout))
        } else {
            late
        })
    }
}

#[cfg(test)]
#[path = "span/tests.rs"]
mod tests;
