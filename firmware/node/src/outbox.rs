//! The outbox: what a node keeps until the gateway says that it is durable there.
//!
//! A ring of bytes that holds readings in the order of their sequence numbers, which begin at 1 and have no hole.
//! It is released by an inclusive watermark and never otherwise.
//!
//! ```text
//!            acknowledged │ oldest                                              next │ not given yet
//!  sequence  … 4 5 6      │ 7       8       9        10..=31     32      33..=40     │ 41 …
//!  ring                   │ reading reading reading  lost(31)    reading (overflow)  │
//! ```
//!
//! When it is full, the **newest** reading is refused, still gets its sequence number, and the run of refused ones
//! becomes one Lost record in its place in the order: a field while the run grows (there is no room, after all), an
//! entry of the ring once readings fit again. The oldest is not dropped in its place, because it may be under way,
//! or durable already with its acknowledgement lost: to declare it lost would then be false, and the record would
//! have to overtake what was sent. So whatever was sent once stays as it was, and one watermark is enough.
//!
//! Knows nothing of the line: entries are bytes that [`edgespool_wire::encode_reading`] made, and a sensor's index.

/// A reading's entry: sensor index, length; then the encoded reading.
const HEADER: usize = 3;
/// The sensor index of a Lost entry, whose body is its last sequence number and the time of its first loss.
const LOST: u8 = u8::MAX;
const LOST_BODY: usize = 16;

/// The longest encoded reading; longer ones fit no frame.
const MAX_READING: usize = edgespool_wire::MAX_PAYLOAD;

/// The most sensors whose readings one outbox tells apart.
pub const MAX_SENSORS: usize = LOST as usize;

/// A bounded ring of `BYTES` bytes of readings. A common reading of one number takes 14 bytes.
#[derive(Clone, Debug)]
pub struct Outbox<const BYTES: usize> {
    ring: [u8; BYTES],
    /// Where the oldest entry begins, and where the next one will; counted over all that was ever written.
    head: u64,
    tail: u64,
    /// The oldest sequence number that is not acknowledged; `next` if there is none.
    oldest: u64,
    next: u64,
    /// When the first reading was refused of a run that goes on through `next - 1`.
    overflow: Option<u64>,
    refused: u64,
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// Its sequence number.
    pub sequence: u64,
    /// Whether it is held; if not, the outbox is full and it is part of a Lost record.
    pub kept: bool,
}

/// A place in the outbox from which to go on reading. It stays valid whatever is inserted or acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    sequence: u64,
    position: u64,
}

impl Mark {
    /// The sequence number that is read next.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// What the outbox holds for one sequence number, or for several that were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A reading.
    Reading {
        /// Its sequence number.
        sequence: u64,
        /// The index of its sensor.
        sensor: u8,
        /// Its encoded bytes, in two pieces where it crosses the end of the ring.
        pieces: [&'a [u8]; 2],
    },
    /// Readings that were refused.
    Lost {
        /// The first of them.
        from: u64,
        /// The last.
        through: u64,
        /// When the run of losses began, in milliseconds since the boot.
        uptime_ms: u64,
    },
}

impl<const BYTES: usize> Outbox<BYTES> {
    /// An empty outbox, which gives the sequence number 1 next.
    pub const fn new() -> Self {
        const {
            assert!(
                BYTES >= 2 * (HEADER + LOST_BODY),
                "an outbox must hold a Lost record and a reading"
            )
        };
        Self {
            ring: [0; BYTES],
            head: 0,
            tail: 0,
            oldest: 1,
            next: 1,
            overflow: None,
            refused: 0,
        }
    }

    /// Gives a reading its sequence number and keeps it, if there is room.
    ///
    /// `sensor` must be below [`MAX_SENSORS`]; `encoded` is what `encode_reading` made.
    pub fn insert(&mut self, sensor: u8, uptime_ms: u64, encoded: &[u8]) -> Inserted {
        let sequence = self.next;
        let kept = sensor != LOST && encoded.len() <= MAX_READING && self.make_room_for(encoded.len());
        if kept {
            self.push(sensor, encoded);
        } else {
            self.overflow.get_or_insert(uptime_ms);
            self.refused += 1;
        }
        self.next += 1;
        Inserted { sequence, kept }
    }

    /// Releases everything through this sequence number; whether that released anything.
    ///
    /// Harmless to repeat; what was never given is not released.
    pub fn acknowledge(&mut self, through: u64) -> bool {
        if through < self.oldest || through >= self.next {
            return false;
        }
        while let Some((entry, end)) = self.entry_at(self.head, self.oldest) {
            let last = entry.through();
            if last > through {
                break;
            }
            self.head = end;
            self.oldest = last + 1;
        }
        // What remains of a Lost record that was acknowledged in part keeps its place.
        self.oldest = self.oldest.max(through + 1);
        if self.oldest == self.next {
            self.overflow = None;
        }
        true
    }

    /// The place of the oldest entry.
    pub fn start(&self) -> Mark {
        Mark {
            sequence: self.oldest,
            position: self.head,
        }
    }

    /// The entries from a place on, or from the oldest if that was acknowledged meanwhile.
    pub fn read_from(&self, mark: Mark) -> Entries<'_, BYTES> {
        let mark = if mark.sequence <= self.oldest {
            self.start()
        } else {
            mark
        };
        Entries { outbox: self, mark }
    }

    /// The oldest sequence number that is not acknowledged, or the next one if none is held.
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// The sequence number that the next reading gets.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// How many sequence numbers are not acknowledged, lost ones included.
    pub fn depth(&self) -> u64 {
        self.next - self.oldest
    }

    /// How many bytes of the ring are taken.
    pub fn used_bytes(&self) -> usize {
        // Never more than BYTES.
        usize::try_from(self.tail - self.head).unwrap_or(BYTES)
    }

    /// How many readings were ever refused for want of room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether a reading of so many bytes fits, with the Lost record that must precede it; writes that record.
    fn make_room_for(&mut self, len: usize) -> bool {
        let lost = if self.overflow.is_some() {
            HEADER + LOST_BODY
        } else {
            0
        };
        if HEADER + len + lost > BYTES - self.used_bytes() {
            return false;
        }
        if let Some(uptime_ms) = self.overflow.take() {
            let mut body = [0; LOST_BODY];
            let (through, since) = body.split_at_mut(LOST_BODY / 2);
            through.copy_from_slice(&(self.next - 1).to_le_bytes());
            since.copy_from_slice(&uptime_ms.to_le_bytes());
            self.push(LOST, &body);
        }
        true
    }

    fn push(&mut self, sensor: u8, body: &[u8]) {
        // Two bytes hold it: no reading is longer than MAX_READING.
        let [low, high] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes();
        self.write(&[sensor, low, high]);
        self.write(body);
    }

    fn write(&mut self, bytes: &[u8]) {
        let start = Self::index(self.tail);
        let (before, from) = self.ring.split_at_mut(start);
        let first = bytes.len().min(from.len());
        let (left, right) = bytes.split_at(first);
        from[..first].copy_from_slice(left);
        before[..right.len()].copy_from_slice(right);
        self.tail += bytes.len() as u64;
    }

    fn index(position: u64) -> usize {
        usize::try_from(position % BYTES as u64).unwrap_or(0)
    }

    fn pieces(&self, position: u64, len: usize) -> [&[u8]; 2] {
        let (before, from) = self.ring.split_at(Self::index(position));
        let first = len.min(from.len());
        [&from[..first], &before[..len - first]]
    }

    fn array<const N: usize>(&self, position: u64) -> [u8; N] {
        let [left, right] = self.pieces(position, N);
        let mut bytes = [0; N];
        bytes[..left.len()].copy_from_slice(left);
        bytes[left.len()..].copy_from_slice(right);
        bytes
    }

    /// The entry at a position of the ring, whose first sequence number this is, and where it ends.
    fn entry_at(&self, position: u64, sequence: u64) -> Option<(Entry<'_>, u64)> {
        if position >= self.tail {
            return None;
        }
        let [sensor, low, high] = self.array(position);
        let len = usize::from(u16::from_le_bytes([low, high]));
        let body = position + HEADER as u64;
        let entry = if sensor == LOST {
            let through = u64::from_le_bytes(self.array(body));
            let uptime_ms = u64::from_le_bytes(self.array(body + LOST_BODY as u64 / 2));
            Entry::Lost {
                from: sequence,
                through,
                uptime_ms,
            }
        } else {
            Entry::Reading {
                sequence,
                sensor,
                pieces: self.pieces(body, len),
            }
        };
        Some((entry, body + len as u64))
    }
}

impl<const BYTES: usize> Default for Outbox<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl Entry<'_> {
    /// Its last sequence number.
    pub fn through(&self) -> u64 {
        match self {
            Entry::Reading { sequence, .. } => *sequence,
            Entry::Lost { through, .. } => *through,
        }
    }
}

/// Reads entries in order.
#[derive(Clone, Debug)]
pub struct Entries<'a, const BYTES: usize> {
    outbox: &'a Outbox<BYTES>,
    mark: Mark,
}

impl<const BYTES: usize> Entries<'_, BYTES> {
    /// The place of the entry that comes next.
    pub fn mark(&self) -> Mark {
        self.mark
    }
}

impl<'a, const BYTES: usize> Iterator for Entries<'a, BYTES> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        while let Some((entry, end)) = self.outbox.entry_at(self.mark.position, self.mark.sequence) {
            self.mark.position = end;
            // A Lost record that was read while it grew may since have become an entry, with nothing new in it.
            if entry.through() >= self.mark.sequence {
                self.mark.sequence = entry.through() + 1;
                return Some(entry);
            }
        }
        let uptime_ms = self.outbox.overflow?;
        let (from, through) = (self.mark.sequence, self.outbox.next - 1);
        self.mark.sequence = self.outbox.next;
        (from <= through).then_some(Entry::Lost {
            from,
            through,
            uptime_ms,
        })
    }
}
