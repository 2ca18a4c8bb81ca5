//! The link: the node's half of the protocol, as a state machine of (event, now) without a port and without a clock.
//!
//! ```text
//!            ┌────────── nothing acknowledged (GONE_AFTER waits), idle, or the gateway knows less ───────┐
//!            ▼                                                                                          │
//!        Knocking ── an Ack of this boot: go back to the oldest that is not acknowledged ────────▶  Talking
//!   Hello with backoff                                               Data and Lost in order, within the window
//! ```
//!
//! Promises: what is sent is in order, never beyond the window, and is sent again from the oldest unacknowledged on
//! until it is acknowledged (go-back-N: the receiver keeps nothing out of order, so a hole costs the rest anyway).
//! An Ack that repeats the last one while something is under way means that the receiver misses something, and is
//! a reason to go back at once. Only Acks of this node and boot count. What was released is never asked for again:
//! to an Ack below it the answer is a Hello, whose `first` says where the node stands.

use edgespool_wire::{
    Ack, Batch, Data, Decoder, EncodeError, Hello, Lost, MAX_ENCODED, Measurements, Message, NodeId,
    OLDEST_VERSION, VERSION, Versions, encode, room_for_readings,
};

use crate::outbox::{Entry, Mark, Outbox};
use crate::times::{GONE_AFTER, HELLO_FIRST, HELLO_MAX, IDLE_HELLO, RESEND_FIRST, RESEND_MAX, REWIND_GUARD};

/// The most that one [`Link::poll`] writes, in bytes: a frame, and a zero before it that ends whatever noise the
/// line has gathered.
pub const MAX_WRITE: usize = MAX_ENCODED + 1;

/// The longest frame that a node must understand: an Ack, with room for fields to come.
const MAX_HEARD: usize = 64;

/// How many sequence numbers are under way without an acknowledgement, unless told otherwise: about two frames of
/// one busy sensor, and 1,280 readings a second at the 20 commits a second that a gateway makes at most.
pub const WINDOW: u16 = 64;

/// Who the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its ID, which no other node of the gateway has.
    pub node: NodeId,
    /// Drawn at every boot: a random number, or a boot counter that outlives the boot.
    pub boot: u32,
}

/// A sensor as it is described in each frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Description<'a> {
    /// Its ID.
    pub id: &'a str,
    /// What it measures.
    pub measurements: Measurements<'a>,
}

/// Describes the sensors whose readings are in the outbox.
pub trait Catalog {
    /// The sensor with this index.
    fn describe(&self, sensor: u8) -> Option<Description<'_>>;
}

/// What the link has done, since the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Hellos sent.
    pub hellos: u64,
    /// Data and Lost frames sent, repetitions included.
    pub frames: u64,
    /// How often it went back to the oldest unacknowledged entry while something was under way.
    pub rewinds: u64,
    /// Acks that released something.
    pub acks: u64,
    /// Acks for this node that were not used: of another boot, of what was never sent, of a strange version.
    pub strange_acks: u64,
    /// Frames that were no messages.
    pub line_errors: u64,
    /// Readings that fit no frame and were declared lost.
    pub unsendable: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Knocking { attempts: u32, hello_at: u64 },
    Talking { idle_at: u64 },
}

/// The protocol, of one node and one boot.
#[derive(Clone, Debug)]
pub struct Link {
    identity: Identity,
    window: u16,
    phase: Phase,
    /// What is sent next.
    cursor: Mark,
    /// When to send again what is under way; `None` if nothing is.
    resend_at: Option<u64>,
    resend_after: u64,
    /// Waits without progress, one after the other.
    silent_waits: u8,
    rewound_at: Option<u64>,
    hello_sent_at: Option<u64>,
    /// The receiver knows less than was released and was not told yet: no Ack makes that Hello needless.
    owes_hello: bool,
    /// Whether a zero goes before the next frame.
    clear_line: bool,
    decoder: Decoder<MAX_HEARD>,
    counters: LinkCounters,
}

impl Link {
    /// At boot; the first thing it says is a Hello. `window` is how many sequence numbers are under way at most.
    pub fn new<const BYTES: usize>(identity: Identity, window: u16, outbox: &Outbox<BYTES>) -> Self {
        Self {
            identity,
            window: window.max(1),
            phase: Phase::Knocking {
                attempts: 0,
                hello_at: 0,
            },
            cursor: outbox.start(),
            resend_at: None,
            resend_after: RESEND_FIRST,
            silent_waits: 0,
            rewound_at: None,
            hello_sent_at: None,
            owes_hello: false,
            clear_line: true,
            decoder: Decoder::new(),
            counters: LinkCounters::default(),
        }
    }

    /// What it has done.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Whether the gateway answers.
    pub fn is_talking(&self) -> bool {
        matches!(self.phase, Phase::Talking { .. })
    }

    /// Takes bytes from the line, any bytes, in any pieces.
    pub fn receive<const BYTES: usize>(&mut self, mut bytes: &[u8], now_ms: u64, outbox: &mut Outbox<BYTES>) {
        while let Some(result) = self.decoder.next(&mut bytes) {
            match result {
                Ok(Message::Ack(ack)) if ack.node == self.identity.node => {
                    self.acknowledged(ack, now_ms, outbox)
                }
                // Other nodes, and what they are told, on a line that is shared.
                Ok(_) => {}
                Err(_) => self.counters.line_errors += 1,
            }
        }
    }

    /// The next bytes to write, if any are due. Call it until there are none, each time that the last were written.
    ///
    /// `out` needs [`MAX_WRITE`] bytes; what does not fit is not sent.
    pub fn poll<const BYTES: usize>(
        &mut self,
        now_ms: u64,
        outbox: &Outbox<BYTES>,
        catalog: &impl Catalog,
        out: &mut [u8],
    ) -> Option<usize> {
        self.check_time(now_ms, outbox);
        match self.phase {
            Phase::Knocking { hello_at, .. } if now_ms < hello_at => None,
            Phase::Knocking { attempts, .. } => self.knock(attempts, now_ms, outbox, out),
            Phase::Talking { .. } => self.send_next(now_ms, outbox, catalog, out),
        }
    }

    /// When [`poll`](Self::poll) has something to do, if nothing is received and inserted before; `now_ms` if it
    /// has at once.
    pub fn next_deadline<const BYTES: usize>(&self, now_ms: u64, outbox: &Outbox<BYTES>) -> u64 {
        match self.phase {
            Phase::Knocking { hello_at, .. } => hello_at.max(now_ms),
            Phase::Talking { .. } if self.sendable(outbox) > 0 => now_ms,
            Phase::Talking { idle_at } => self.resend_at.unwrap_or(idle_at).max(now_ms),
        }
    }

    fn acknowledged<const BYTES: usize>(&mut self, ack: Ack, now_ms: u64, outbox: &mut Outbox<BYTES>) {
        let known_version = (OLDEST_VERSION..=VERSION).contains(&ack.version);
        if ack.boot != self.identity.boot || ack.through >= outbox.next_sequence() || !known_version {
            self.counters.strange_acks += 1;
            return;
        }
        if ack.through + 1 < outbox.oldest() {
            return self.say_where_we_stand(now_ms);
        }
        let was_talking = self.is_talking();
        if !self.owes_hello {
            self.phase = Phase::Talking {
                idle_at: now_ms + IDLE_HELLO,
            };
        }
        let progress = outbox.acknowledge(ack.through);
        if progress {
            self.counters.acks += 1;
            self.silent_waits = 0;
            self.resend_after = (self.resend_after / 2).max(RESEND_FIRST);
            self.resend_at = self.is_under_way(outbox).then_some(now_ms + self.resend_after);
        }
        let guarded = self.rewound_at.is_some_and(|at| now_ms < at + REWIND_GUARD);
        if !was_talking || (!progress && !guarded) {
            self.rewind(now_ms, outbox);
        }
    }

    /// The receiver knows less than was released: a Hello says so, though not one for each of many such Acks.
    fn say_where_we_stand(&mut self, now_ms: u64) {
        let soonest = self
            .hello_sent_at
            .map_or(now_ms, |at| at + HELLO_FIRST)
            .max(now_ms);
        if self.is_talking() {
            self.owes_hello = true;
            self.phase = Phase::Knocking {
                attempts: 0,
                hello_at: soonest,
            };
        }
    }

    /// Whether something was sent and is not acknowledged.
    fn is_under_way<const BYTES: usize>(&self, outbox: &Outbox<BYTES>) -> bool {
        self.cursor.sequence() > outbox.oldest()
    }

    /// Goes back to the oldest entry that is not acknowledged.
    fn rewind<const BYTES: usize>(&mut self, now_ms: u64, outbox: &Outbox<BYTES>) {
        if self.is_under_way(outbox) {
            self.counters.rewinds += 1;
            self.rewound_at = Some(now_ms);
            self.clear_line = true;
        }
        self.cursor = outbox.start();
        self.resend_at = None;
    }

    fn check_time<const BYTES: usize>(&mut self, now_ms: u64, outbox: &Outbox<BYTES>) {
        let Phase::Talking { idle_at } = self.phase else {
            return;
        };
        if self.resend_at.is_some_and(|at| at <= now_ms) {
            self.silent_waits = self.silent_waits.saturating_add(1);
            self.resend_after = (self.resend_after * 2).min(RESEND_MAX);
            self.rewind(now_ms, outbox);
            if self.silent_waits >= GONE_AFTER {
                self.silent_waits = 0;
                self.phase = Phase::Knocking {
                    attempts: 0,
                    hello_at: now_ms,
                };
            }
        } else if self.resend_at.is_none() && idle_at <= now_ms && self.sendable(outbox) == 0 {
            self.phase = Phase::Knocking {
                attempts: 0,
                hello_at: now_ms,
            };
        }
    }

    fn knock<const BYTES: usize>(
        &mut self,
        attempts: u32,
        now_ms: u64,
        outbox: &Outbox<BYTES>,
        out: &mut [u8],
    ) -> Option<usize> {
        let wait = HELLO_MAX.min(HELLO_FIRST << attempts.min(8));
        let hello_at = now_ms + wait + self.spread(attempts, wait / 4);
        self.phase = Phase::Knocking {
            attempts: attempts.saturating_add(1),
            hello_at,
        };
        self.hello_sent_at = Some(now_ms);
        self.owes_hello = false;
        self.counters.hellos += 1;
        self.clear_line = true;
        let Identity { node, boot } = self.identity;
        let first = outbox.oldest();
        let hello = Hello {
            node,
            boot,
            versions: Versions::OURS,
            window: self.window,
            first,
            uptime_ms: now_ms,
        };
        self.write(&Message::Hello(hello), out).ok()
    }

    /// Up to `limit` milliseconds that differ between nodes and attempts, so that nodes that were switched on
    /// together, or lost the gateway together, do not all speak at once for ever.
    fn spread(&self, attempts: u32, limit: u64) -> u64 {
        let id = self.identity.node.as_bytes().iter().copied();
        let all = id
            .chain(self.identity.boot.to_le_bytes())
            .chain(attempts.to_le_bytes());
        // FNV-1a.
        let hash = all.fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        u64::from(hash) % (limit + 1)
    }

    /// How many sequence numbers may be sent now.
    fn sendable<const BYTES: usize>(&self, outbox: &Outbox<BYTES>) -> u64 {
        let sent = self.cursor.sequence().max(outbox.oldest());
        let under_way = sent - outbox.oldest();
        u64::from(self.window)
            .saturating_sub(under_way)
            .min(outbox.next_sequence() - sent)
    }

    fn send_next<const BYTES: usize>(
        &mut self,
        now_ms: u64,
        outbox: &Outbox<BYTES>,
        catalog: &impl Catalog,
        out: &mut [u8],
    ) -> Option<usize> {
        let limit = self.sendable(outbox);
        if limit == 0 {
            return None;
        }
        let mut batch = Batch::new();
        let (message, cursor) = self.next_message(limit, outbox, catalog, &mut batch)?;
        let (len, cursor) = match self.write(&message, out) {
            Ok(len) => (len, cursor),
            Err(EncodeError::TooLong) => return None,
            Err(EncodeError::Invalid(_)) => self.give_up_one(now_ms, outbox, out)?,
        };
        self.cursor = cursor;
        self.counters.frames += 1;
        self.resend_at.get_or_insert(now_ms + self.resend_after);
        Some(len)
    }

    /// The message that comes next, and where to go on after it. Data without readings, which cannot be written, if
    /// the sensor is not known or its description fills the frame.
    fn next_message<'a, const BYTES: usize>(
        &self,
        limit: u64,
        outbox: &'a Outbox<BYTES>,
        catalog: &'a impl Catalog,
        batch: &'a mut Batch,
    ) -> Option<(Message<'a>, Mark)> {
        let Identity { node, boot } = self.identity;
        let mut entries = outbox.read_from(self.cursor);
        let (first, sensor) = match entries.next()? {
            Entry::Lost {
                from,
                through,
                uptime_ms,
            } => {
                return Some((
                    Message::Lost(Lost {
                        node,
                        boot,
                        from,
                        through,
                        uptime_ms,
                    }),
                    entries.mark(),
                ));
            }
            Entry::Reading { sequence, sensor, .. } => (sequence, sensor),
        };
        let Description { id, measurements } = catalog.describe(sensor).unwrap_or_default();
        let room = room_for_readings(&node, id, &measurements);
        let end = fill(batch, limit, room, outbox, self.cursor);
        let readings = batch.readings();
        Some((
            Message::Data(Data {
                node,
                boot,
                first,
                sensor: id,
                measurements,
                readings,
            }),
            end,
        ))
    }

    /// Declares the next reading lost, since no frame can be made of it: else it would be in the way for ever.
    fn give_up_one<const BYTES: usize>(
        &mut self,
        now_ms: u64,
        outbox: &Outbox<BYTES>,
        out: &mut [u8],
    ) -> Option<(usize, Mark)> {
        let Identity { node, boot } = self.identity;
        let mut entries = outbox.read_from(self.cursor);
        let through = entries.next()?.through();
        let lost = Lost {
            node,
            boot,
            from: through,
            through,
            uptime_ms: now_ms,
        };
        let len = self.write(&Message::Lost(lost), out).ok()?;
        self.counters.unsendable += 1;
        Some((len, entries.mark()))
    }

    fn write(&mut self, message: &Message<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
        let zeros = usize::from(self.clear_line);
        let (zero, rest) = out.split_at_mut_checked(zeros).ok_or(EncodeError::TooLong)?;
        zero.fill(0);
        let len = encode(message, rest)?;
        self.clear_line = false;
        Ok(zeros + len)
    }
}

/// Puts consecutive readings of one sensor into a batch, at most `limit` of them and `room` bytes; where to go on
/// after them.
fn fill<const BYTES: usize>(
    batch: &mut Batch,
    limit: u64,
    mut room: usize,
    outbox: &Outbox<BYTES>,
    from: Mark,
) -> Mark {
    let mut entries = outbox.read_from(from);
    let (mut only, mut end) = (None, from);
    for _ in 0..limit {
        let Some(Entry::Reading { sensor, pieces, .. }) = entries.next() else {
            break;
        };
        let len = pieces[0].len() + pieces[1].len();
        if *only.get_or_insert(sensor) != sensor || len > room || batch.push_encoded(pieces).is_err() {
            break;
        }
        room -= len;
        end = entries.mark();
    }
    end
}
