//! The receiver's half of the protocol: which message is new, which is a repetition, and what is missing.
//!
//! Pure, one [`Receiver`] per node, shared by the agent and the tests. It judges order only: whoever uses it stores
//! what it accepts, and acknowledges nothing before that is durable (README, "The receiver's contract").

use crate::{Data, Hello, Lost, Message};

/// How far a node's readings have been accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The boot of the node.
    pub boot: u32,
    /// The last sequence number of that boot that was accepted; 0 if none was.
    pub through: u64,
}

/// What to do with a message.
///
/// `new_boot` says that the node has started again (or was never heard before): its sequence numbers and its uptime
/// have begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Data to store, from the reading with index `skip` on; those before are stored already. Acknowledge when
    /// durable.
    Accept {
        /// How many readings at the start were accepted before.
        skip: usize,
        /// Whether this is the first of a boot.
        new_boot: bool,
    },
    /// The node has lost these for good, both ends included. Record that, acknowledge when durable. If a Hello said
    /// so, answer it at once, with at least `first - 1`.
    Lost {
        /// The first sequence number that will not come.
        from: u64,
        /// The last one.
        through: u64,
        /// Whether this is the first of a boot.
        new_boot: bool,
    },
    /// A Hello that takes nothing away. Answer at once with what is durable, at least with `first - 1`.
    Greeting {
        /// Whether this is the first of a boot.
        new_boot: bool,
    },
    /// All of it was accepted before. Acknowledge again if all of it is durable; if not, keep silent, since the
    /// acknowledgement is to come and an earlier one would say "gap".
    Duplicate,
    /// Something before it is missing: ignore it, and acknowledge again at once what is durable, which makes the node
    /// go back.
    Gap,
    /// The node is in the middle of a boot of which nothing is known, so what it holds before this is not known
    /// either. Ignore it and acknowledge 0 for that boot, which makes the node say Hello.
    Unknown,
    /// From the boot before this one; a late frame, or two nodes that have one ID. Ignore it.
    Stale,
    /// An acknowledgement, which receivers do not receive (an echo on the line).
    NotForReceivers,
}

/// Judges what one node sends.
///
/// It is a small value: keep a copy before [`offer`](Self::offer), and put it back when what was accepted cannot be
/// stored; the node sends it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    position: Option<Position>,
    /// The boot before that of `position`, so that a late frame does not bring it back.
    before: Option<u32>,
}

impl Receiver {
    /// For a node that was never heard.
    pub const fn new() -> Self {
        Self {
            position: None,
            before: None,
        }
    }

    /// For a node of which this much is stored.
    pub const fn resume(position: Position) -> Self {
        Self {
            position: Some(position),
            before: None,
        }
    }

    /// What has been accepted. Not all of it need be durable yet.
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// Judges the next message from this node, and takes note of what is accepted.
    pub fn offer(&mut self, message: &Message<'_>) -> Verdict {
        let verdict = self.judge(message);
        let boot = message.boot();
        match (verdict, message) {
            (Verdict::Accept { .. }, Message::Data(data)) => self.advance(boot, data.through()),
            (Verdict::Lost { through, .. }, _) => self.advance(boot, through),
            (Verdict::Greeting { new_boot: true }, Message::Hello(hello)) => {
                self.advance(boot, hello.first.saturating_sub(1))
            }
            _ => {}
        }
        verdict
    }

    /// Judges a message without taking note.
    pub fn judge(&self, message: &Message<'_>) -> Verdict {
        let boot = message.boot();
        if matches!(message, Message::Ack(_)) {
            return Verdict::NotForReceivers;
        }
        if self.before == Some(boot) {
            return Verdict::Stale;
        }
        let through = self
            .position
            .filter(|position| position.boot == boot)
            .map(|position| position.through);
        match message {
            Message::Hello(hello) => greet(hello, through),
            Message::Data(data) => take(data, through),
            Message::Lost(lost) => lose(lost, through),
            Message::Ack(_) => Verdict::NotForReceivers,
        }
    }

    fn advance(&mut self, boot: u32, through: u64) {
        match self.position {
            Some(old) if old.boot != boot => self.before = Some(old.boot),
            _ => {}
        }
        self.position = Some(Position { boot, through });
    }
}

/// `through` is what was accepted of this boot; `None` if the boot is new.
fn greet(hello: &Hello, through: Option<u64>) -> Verdict {
    match through {
        None => Verdict::Greeting { new_boot: true },
        Some(through) if hello.first > through.saturating_add(1) => Verdict::Lost {
            from: through.saturating_add(1),
            through: hello.first - 1,
            new_boot: false,
        },
        Some(_) => Verdict::Greeting { new_boot: false },
    }
}

fn take(data: &Data<'_>, through: Option<u64>) -> Verdict {
    match place(data.first, data.through(), through) {
        Ok(from) => {
            // Fewer than the readings of one frame.
            let skip = usize::try_from(from - data.first).unwrap_or(usize::MAX);
            Verdict::Accept {
                skip,
                new_boot: through.is_none(),
            }
        }
        Err(verdict) => verdict,
    }
}

fn lose(lost: &Lost, through: Option<u64>) -> Verdict {
    match place(lost.from, lost.through, through) {
        Ok(from) => Verdict::Lost {
            from,
            through: lost.through,
            new_boot: through.is_none(),
        },
        Err(verdict) => verdict,
    }
}

/// The first sequence number of `first..=last` that is new, if they go on from what was accepted.
fn place(first: u64, last: u64, through: Option<u64>) -> Result<u64, Verdict> {
    match through {
        None if first == 1 => Ok(1),
        None => Err(Verdict::Unknown),
        Some(through) if last <= through => Err(Verdict::Duplicate),
        Some(through) if first > through.saturating_add(1) => Err(Verdict::Gap),
        Some(through) => Ok(through.saturating_add(1)),
    }
}
