//! What is seen while the demo runs: one line that is rewritten on a terminal, a plain line now and then elsewhere.
//!
//! Owns the look and the rhythm; must not know where the numbers come from.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::clock::Mono;

/// Between two lines on a terminal, and elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(2);

/// What a line shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frame {
    /// Time since the start.
    pub elapsed: Duration,
    /// Readings that nodes took.
    pub sampled: u64,
    /// Readings that nodes were told are durable.
    pub acknowledged: u64,
    /// Readings in the queue that Kafka has not acknowledged.
    pub queued: u64,
    /// Readings that Kafka has acknowledged.
    pub delivered: u64,
    /// Readings that a consumer has read back.
    pub read_back: u64,
    /// Whether Kafka is taken away at the moment.
    pub outage: bool,
}

impl Frame {
    /// The line.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{:6.1} s  readings {:>6}  durable {:>6}  queue {:>5}  Kafka {:>6}  read back {:>6}  {}",
            self.elapsed.as_secs_f64(),
            self.sampled,
            self.acknowledged,
            self.queued,
            self.delivered,
            self.read_back,
            if self.outage { "KAFKA IS AWAY" } else { "" },
        )
        .trim_end()
        .to_owned()
    }
}

/// Writes to stderr.
#[derive(Debug)]
pub struct View {
    terminal: bool,
    next: Mono,
    /// A line stands there that may be written over.
    open: bool,
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

impl View {
    /// Looks at what stderr is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            next: Mono::default(),
            open: false,
        }
    }

    /// Shows the frame if it is time for one.
    pub fn show(&mut self, now: Mono, frame: &Frame) {
        if now < self.next {
            return;
        }
        self.next = now.after(if self.terminal { ON_TERMINAL } else { ELSEWHERE });
        self.open = self.terminal;
        if self.terminal {
            write(&format!("\r\x1b[2K{}", frame.line()));
        } else {
            write(&format!("{}\n", frame.line()));
        }
    }

    /// Writes a line that stays.
    pub fn say(&mut self, text: &str) {
        let over = if self.open { "\r\x1b[2K" } else { "" };
        self.open = false;
        write(&format!("{over}{text}\n"));
    }
}

impl Drop for View {
    /// What comes next begins on a line of its own.
    fn drop(&mut self) {
        if self.open {
            write("\n");
        }
    }
}

/// Nobody may be looking: a closed stderr is no reason to stop.
fn write(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_readings_are() {
        let frame = Frame {
            elapsed: Duration::from_millis(8_240),
            sampled: 328,
            acknowledged: 312,
            queued: 96,
            delivered: 216,
            read_back: 210,
            outage: true,
        };
        let calm = Frame {
            outage: false,
            ..frame
        };
        assert_eq!(
            frame.line(),
            "   8.2 s  readings    328  durable    312  queue    96  Kafka    216  read back    210  KAFKA IS AWAY"
        );
        assert!(calm.line().ends_with("read back    210"));
    }
}
