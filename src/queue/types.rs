//! What stands in the queue, as values: rows, runs, entries.
//!
//! Owns the in-memory shape of what [`super::row`] puts into bytes. Pure data. Must not know bytes, files or threads.

use std::sync::Arc;

use crate::intake::inbox::NodePosition;
use crate::reading::{Epoch, Quality, SensorDef, SensorNo, TimeQuality, Value};

/// The number of a row in the whole life of a queue directory; dense from 1, never used twice.
pub type RowNo = u64;

/// An output's number (invariant: in the format from the first commit, though this version has one, number 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputNo(pub u16);

/// One opening of a queue: what it writes is told from what an earlier one left half written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Session {
    /// Counted from 1 in the life of a queue directory; never used twice.
    pub number: u64,
    /// The first row that it wrote.
    pub began: RowNo,
}

/// One row as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number.
    pub number: RowNo,
    /// The epoch of its readings.
    pub epoch: Epoch,
    /// The opening of the queue that wrote it.
    pub session: Session,
    /// The wall time of its commit, nanoseconds since 1970 in whole milliseconds.
    pub committed: i64,
    /// True when that time was synchronized.
    pub synchronized: bool,
    /// The monotonic time of its commit, in whole milliseconds.
    pub mono: u64,
    /// The boot in which its readings were taken (an index that a [`Entry::Boot`] defines).
    pub boot: u32,
    /// Everything but readings, to be applied before the readings.
    pub entries: Vec<Entry>,
    /// The readings, a run for each sensor that has any in this row.
    pub runs: Vec<Run>,
}

/// Consecutive readings of one sensor, in columns. All columns have the same length, at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which sensor.
    pub sensor: SensorNo,
    /// The sequence number of the first reading, in the row's epoch; the others follow by one.
    pub first: u64,
    /// The recorded times, nanoseconds since 1970.
    pub wall: Vec<i64>,
    /// The monotonic times.
    pub mono: MonoColumn,
    /// Quality of value and time.
    pub marks: Marks,
    /// A column for each measurement.
    pub columns: Vec<Column>,
    /// How many bytes the run takes in its row.
    pub encoded: u32,
}

/// About what the allocator adds to a block of memory.
const BLOCK: usize = 16;

impl Run {
    /// How many readings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wall.len()
    }

    /// Never: a run has at least one reading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wall.is_empty()
    }

    /// The sequence number of the last reading.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.first + (self.wall.len() as u64).saturating_sub(1)
    }

    /// About what this run takes in memory: what the forwarder's budget counts.
    #[must_use]
    pub fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::memory).sum();
        let mono = if let MonoColumn::Each(times) = &self.mono {
            times.len() * 8
        } else {
            0
        };
        let marks = if let Marks::Each(marks) = &self.marks {
            marks.len() * 2
        } else {
            0
        };
        size_of::<Self>() + BLOCK + self.wall.len() * 8 + mono + marks + BLOCK + columns
    }
}

/// Monotonic times of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonoColumn {
    /// Every one is the wall time less this difference: what the gateway's own clock gives.
    Offset(i64),
    /// One for each reading, in whole microseconds: where the recorded time came from elsewhere.
    Each(Vec<u64>),
}

/// Quality of value and of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marks {
    /// The same for the whole run.
    All(Quality, TimeQuality),
    /// One for each reading.
    Each(Vec<(Quality, TimeQuality)>),
}

impl Marks {
    /// The marks of one reading.
    #[must_use]
    pub fn at(&self, index: usize) -> (Quality, TimeQuality) {
        match self {
            Self::All(quality, time) => (*quality, *time),
            Self::Each(marks) => marks.get(index).copied().unwrap_or_default(),
        }
    }
}

/// The values of one measurement in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// All of them numbers.
    Numbers(Vec<f64>),
    /// Anything else.
    Mixed(Vec<Value>),
}

impl Column {
    /// One value; absent beyond the end.
    #[must_use]
    pub fn at(&self, index: usize) -> Value {
        match self {
            Self::Numbers(numbers) => numbers
                .get(index)
                .map_or(Value::Absent, |number| Value::Number(*number)),
            Self::Mixed(values) => values.get(index).cloned().unwrap_or(Value::Absent),
        }
    }

    fn memory(&self) -> usize {
        let values = match self {
            Self::Numbers(numbers) => numbers.len() * 8,
            Self::Mixed(values) => values
                .iter()
                .map(|value| {
                    size_of::<Value>()
                        + match value {
                            Value::Text(text) => text.len() + BLOCK,
                            Value::Bytes(bytes) => bytes.len() + BLOCK,
                            _ => 0,
                        }
                })
                .sum(),
        };
        size_of::<Self>() + BLOCK + values
    }
}

/// Why readings were given up by the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// `max-size` was reached.
    Size = 0,
    /// `max-age` was reached.
    Age = 1,
    /// `min-free` was undercut.
    Free = 2,
    /// They could not be read back.
    Damaged = 3,
}

impl DropReason {
    /// All reasons, by their code.
    pub const ALL: [Self; 4] = [Self::Size, Self::Age, Self::Free, Self::Damaged];

    /// The name in status and events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Age => "age",
            Self::Free => "free",
            Self::Damaged => "damaged",
        }
    }

    /// The limit that it stands for.
    #[must_use]
    pub fn limit(self) -> &'static str {
        match self {
            Self::Size => "max-size",
            Self::Age => "max-age",
            Self::Free => "min-free",
            Self::Damaged => "damage",
        }
    }
}

/// What a row holds beside readings. The fold over all entries and runs is the queue's whole state.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// From here on, readings are of this epoch. The first row of an epoch has it.
    Epoch(Epoch),
    /// From here on, this boot number stands for that boot ID.
    Boot {
        /// The number that rows carry.
        number: u32,
        /// The kernel's ID.
        id: [u8; 16],
    },
    /// From here on, this number stands for that sensor.
    Define {
        /// The number that runs carry.
        sensor: SensorNo,
        /// What it stands for.
        def: Arc<SensorDef>,
    },
    /// The output has this, and everything before it, acknowledged.
    Release(Release),
    /// The queue gave up readings, for all outputs that did not have them yet.
    Drop {
        /// Whose readings.
        sensor: SensorNo,
        /// In which epoch.
        epoch: Epoch,
        /// The first of them.
        from: u64,
        /// The last of them.
        through: u64,
        /// Why.
        reason: DropReason,
    },
    /// An output gave up readings that its broker will never take; they are kept as dead letters.
    Dead {
        /// Which output.
        output: OutputNo,
        /// Whose readings.
        sensor: SensorNo,
        /// In which epoch.
        epoch: Epoch,
        /// The first of them.
        from: u64,
        /// The last of them.
        through: u64,
        /// A code; see the forwarder's table.
        reason: u8,
    },
    /// How far a node's readings are stored, with this row's own.
    Node(NodePosition),
    /// Where an output would start to read after a restart: nothing before that row is still needed, parked lanes aside.
    Head {
        /// Which output.
        output: OutputNo,
        /// The row.
        row: RowNo,
    },
    /// A lane was parked, to resume at that row; row 0 means that it joined the others again.
    Park {
        /// Which output.
        output: OutputNo,
        /// Whose lane.
        sensor: SensorNo,
        /// Where to resume.
        row: RowNo,
    },
    /// Part of a checkpoint: one sensor's standing. See [`super::fold`].
    Sensor(Box<SensorStanding>),
    /// Part of a checkpoint: one sensor's standing at one output.
    Standing(Box<OutputStanding>),
    /// The checkpoint at the start of a generation is complete with this row.
    CheckpointEnd,
}

/// An inclusive watermark (invariant I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Which output.
    pub output: OutputNo,
    /// Whose readings.
    pub sensor: SensorNo,
    /// In which epoch.
    pub epoch: Epoch,
    /// Up to and including this sequence number.
    pub through: u64,
}

/// One sensor in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SensorStanding {
    /// Which sensor.
    pub sensor: u32,
    /// The sequence number that its next reading gets, in the current epoch.
    pub next: u64,
    /// Readings accepted since the queue was made, over all epochs.
    pub accepted: u64,
}

/// One sensor at one output in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutputStanding {
    /// Which output.
    pub output: u16,
    /// Which sensor.
    pub sensor: u32,
    /// The epoch of the watermark; 0 when nothing was released yet.
    pub epoch: u64,
    /// The watermark in that epoch.
    pub through: u64,
    /// Readings delivered since the queue was made.
    pub delivered: u64,
    /// Readings given up as dead letters.
    pub dead: u64,
    /// Readings dropped, by reason.
    pub dropped: [u64; DropReason::ALL.len()],
}
