//! What people and programs see of a running agent.
//!
//! Owns the shape of the status answer and its way over a local socket. Promises figures as of the last commit, the ledger
//! exact (I6). Must not change anything.

use serde::{Deserialize, Serialize};

pub mod mqtt;
pub mod show;
pub mod socket;

/// Totals of the ledger: accepted = delivered + queued + dead + dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Readings committed since the queue was made.
    pub accepted: u64,
    /// Readings that Kafka acknowledged.
    pub delivered: u64,
    /// Readings that wait.
    pub queued: u64,
    /// Readings that Kafka will never take.
    pub dead: u64,
    /// Readings that the queue gave up.
    pub dropped: u64,
    /// The same by reason.
    #[serde(default)]
    pub dropped_by: DroppedBy,
}

/// Readings that the queue gave up, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DroppedBy {
    /// `max-size` was reached.
    pub size: u64,
    /// `max-age` was reached.
    pub age: u64,
    /// `min-free` was undercut.
    pub free: u64,
    /// They could not be read back.
    pub damaged: u64,
}

impl From<crate::queue::fold::Ledger> for Ledger {
    fn from(ledger: crate::queue::fold::Ledger) -> Self {
        let crate::queue::fold::Ledger {
            accepted,
            delivered,
            queued,
            dead,
            dropped,
            dropped_by: [size, age, free, damaged],
        } = ledger;
        Self {
            accepted,
            delivered,
            queued,
            dead,
            dropped,
            dropped_by: DroppedBy {
                size,
                age,
                free,
                damaged,
            },
        }
    }
}

/// The clock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clock {
    /// What the kernel says.
    pub synchronized: bool,
    /// Readings that wait for the clock to be synchronized.
    #[serde(default)]
    pub held: u64,
    /// How long they still wait at most once Kafka can be reached, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_for_ms: Option<u64>,
}

/// The queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Queue {
    /// Where it is.
    pub directory: String,
    /// The current epoch.
    pub epoch: u64,
    /// Rows that are still needed.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Generations.
    pub generations: u64,
    /// When the oldest row that is still needed was committed, nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<i64>,
    /// Commits since the start.
    pub commits: u64,
}

/// What was offered since the start: offered = accepted + suppressed + refused, and what waits in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intake {
    /// Readings that sources handed in, or could not hand in.
    pub offered: u64,
    /// Readings committed.
    pub accepted: u64,
    /// Readings in the inbox.
    pub waiting: u64,
    /// Readings left out though nothing is wrong with them.
    pub suppressed: Suppressed,
    /// Readings not taken.
    pub refused: Refused,
}

/// Readings left out, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Suppressed {
    /// They hardly differ from the one before.
    pub deadband: u64,
    /// They came again.
    pub duplicate: u64,
}

/// Readings not taken, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Refused {
    /// The queue takes nothing: full, or its disk is.
    pub full: u64,
    /// For want of room in the inbox.
    pub inbox: u64,
    /// For a rule that they break.
    pub invalid: u64,
    /// Of sensors beyond `max-sensors`.
    pub max_sensors: u64,
}

impl From<crate::intake::offers::Line> for Intake {
    fn from(line: crate::intake::offers::Line) -> Self {
        let ([deadband, duplicate], [full, inbox, invalid, max_sensors]) = (line.suppressed, line.refused);
        Self {
            offered: line.offered,
            accepted: line.accepted,
            waiting: line.waiting(),
            suppressed: Suppressed { deadband, duplicate },
            refused: Refused {
                full,
                inbox,
                invalid,
                max_sensors,
            },
        }
    }
}

impl Intake {
    /// One sensor's: the queue knows what it has accepted, the inbox does not know what of whom waits in it.
    #[must_use]
    pub fn of(mut line: crate::intake::offers::Line, accepted: u64) -> Self {
        line.accepted = accepted;
        line.offered = accepted + line.suppressed.iter().chain(&line.refused).sum::<u64>();
        line.into()
    }
}

/// The agent's own events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Events {
    /// Where they go; `null` when nobody wants them as records.
    pub topic: Option<String>,
    /// How many of each kind since the start.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// Their own ledger, since the queue was made: they are not among the readings.
    pub ledger: Ledger,
    /// The last ones, oldest first.
    pub last: Vec<ShownEvent>,
}

/// An event, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShownEvent {
    /// Its kind.
    pub event: String,
    /// When, milliseconds since 1970.
    pub at: i64,
    /// Which sensor and readings, and why.
    pub what: String,
}

/// Readings that never arrived here, as those say who had them; since the queue was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LostUpstream {
    /// A node had no more room for them.
    pub node_overflow: u64,
}

/// Dead letters: readings that Kafka will never take, kept to be sent again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeadLetters {
    /// How many are kept now; the ledger counts all since the queue was made.
    pub kept: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Where they are.
    pub directory: String,
}
/// A sensor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sensor {
    /// Its name.
    pub id: String,
    /// The sequence number of its last reading in the current epoch.
    pub sequence: u64,
    /// Its own ledger.
    pub ledger: Ledger,
    /// What was offered of it since the start.
    #[serde(default)]
    pub intake: Intake,
}

/// A lane that is not simply going on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Lane {
    /// Whose.
    pub sensor: String,
    /// What it does: "backoff", "halted", "parked", …
    pub state: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For how long, milliseconds.
    pub for_ms: u64,
}

/// Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kafka {
    /// Whether a broker is connected; `null` before that is known.
    pub reachable: Option<bool>,
    /// Records that were sent and not acknowledged yet.
    pub in_flight: u64,
    /// Records that arrived, or may have, and were sent again since the start: at most so many came twice.
    #[serde(default)]
    pub possible_duplicates: u64,
    /// The last error that the client reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Lanes by state.
    pub lanes: std::collections::BTreeMap<String, u64>,
    /// Lanes that wait for something, at most 100 of them.
    pub waiting: Vec<Lane>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// The agent's version.
    pub version: String,
    /// The gateway's name.
    pub device: String,
    /// How long the agent has been running, milliseconds.
    pub uptime_ms: u64,
    /// The ledger, all sensors together.
    pub ledger: Ledger,
    /// The clock.
    pub clock: Clock,
    /// The queue.
    pub queue: Queue,
    /// What was offered since the start.
    #[serde(default)]
    pub intake: Intake,
    /// Readings that never arrived.
    #[serde(default)]
    pub lost_upstream: LostUpstream,
    /// Dead letters.
    #[serde(default)]
    pub dead_letters: DeadLetters,
    /// The agent's own events.
    #[serde(default)]
    pub events: Events,
    /// Kafka.
    pub kafka: Kafka,
    /// The sources, as they describe themselves.
    pub sources: Vec<serde_json::Value>,
    /// The sensors.
    pub sensors: Vec<Sensor>,
    /// What the agent warns of.
    pub warnings: Vec<String>,
}
