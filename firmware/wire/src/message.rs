//! What is said on the wire: the four messages and the values in them.
//!
//! Owns the vocabulary and its limits; must not know how it is put into bytes (`codec`, `frame`).

use crate::{Few, NodeId, OLDEST_VERSION, Readings, VERSION};

/// A message. It borrows from the frame that it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nothing to box it with; it lives on the stack for one frame"
)]
pub enum Message<'a> {
    /// Node to agent: here I am, and this is what I hold.
    Hello(Hello),
    /// Node to agent: consecutive readings of one sensor.
    Data(Data<'a>),
    /// Node to agent: these readings never will arrive.
    Lost(Lost),
    /// Agent to node: this is durable.
    Ack(Ack),
}

impl Message<'_> {
    /// The node that it comes from or goes to.
    pub fn node(&self) -> NodeId {
        match self {
            Message::Hello(Hello { node, .. })
            | Message::Data(Data { node, .. })
            | Message::Lost(Lost { node, .. })
            | Message::Ack(Ack { node, .. }) => *node,
        }
    }

    /// The boot of that node that it speaks of.
    pub fn boot(&self) -> u32 {
        match self {
            Message::Hello(Hello { boot, .. })
            | Message::Data(Data { boot, .. })
            | Message::Lost(Lost { boot, .. })
            | Message::Ack(Ack { boot, .. }) => *boot,
        }
    }
}

/// Sent at boot, and again when nothing was acknowledged for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who speaks.
    pub node: NodeId,
    /// Drawn at every boot, so that a counter that starts again is not taken for a duplicate.
    pub boot: u32,
    /// The versions of the protocol that the node speaks.
    pub versions: Versions,
    /// How many sequence numbers the node lets be under way without an acknowledgement.
    pub window: u16,
    /// The oldest sequence number that it still holds, or the next one that it will give if it holds none.
    pub first: u64,
    /// Milliseconds since that boot.
    pub uptime_ms: u64,
}

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The oldest.
    pub min: u8,
    /// The newest.
    pub max: u8,
}

impl Versions {
    /// What this crate speaks.
    pub const OURS: Self = Self {
        min: OLDEST_VERSION,
        max: VERSION,
    };

    /// The newest version that both sides speak, if there is one.
    pub fn common(self, other: Self) -> Option<u8> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

/// Consecutive readings of one sensor, complete in itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Data<'a> {
    /// Who speaks.
    pub node: NodeId,
    /// Its boot.
    pub boot: u32,
    /// The sequence number of the first reading, from 1; each further one is one higher, without a hole.
    pub first: u64,
    /// The sensor's ID: 1 to [`MAX_SENSOR`](crate::MAX_SENSOR) bytes without control characters.
    pub sensor: &'a str,
    /// What it measures; every reading has one value for each.
    pub measurements: Measurements<'a>,
    /// The readings, at least one.
    pub readings: Readings<'a>,
}

impl Data<'_> {
    /// The sequence number of the last reading.
    pub fn through(&self) -> u64 {
        // Holds for what was decoded; else it saturates.
        self.first
            .saturating_add((self.readings.len() as u64).saturating_sub(1))
    }
}

/// What a sensor measures, in the order of the values.
pub type Measurements<'a> = Few<Measurement<'a>>;

/// One quantity that a sensor measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measurement<'a> {
    /// Its name: 1 to [`MAX_NAME`](crate::MAX_NAME) bytes without control characters.
    pub name: &'a str,
    /// Its unit, at most [`MAX_UNIT`](crate::MAX_UNIT) bytes without control characters.
    pub unit: Option<&'a str>,
}

/// The values of one reading, one for each measurement.
pub type Values<'a> = Few<Value<'a>>;

/// One value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// There is no value for this measurement in this reading.
    #[default]
    Absent,
    /// A number. Every NaN arrives as the one quiet NaN; all else bit for bit.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// Text of at most [`MAX_TEXT`](crate::MAX_TEXT) bytes.
    Text(&'a str),
    /// At most [`MAX_TEXT`](crate::MAX_TEXT) bytes.
    Bytes(&'a [u8]),
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<f32> for Value<'_> {
    fn from(number: f32) -> Self {
        Self::Number(f64::from(number))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

/// These sequence numbers were given and their readings dropped, for want of room; travels in order like data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Who speaks.
    pub node: NodeId,
    /// Its boot.
    pub boot: u32,
    /// The first sequence number that is lost.
    pub from: u64,
    /// The last one.
    pub through: u64,
    /// When the first of them was dropped, in milliseconds since the boot.
    pub uptime_ms: u64,
}

/// All sequence numbers through this one are durable; cumulative, and harmless to repeat. Also answers a Hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Whom it is for.
    pub node: NodeId,
    /// The boot that it speaks of.
    pub boot: u32,
    /// The last sequence number that is durable, with all before it; 0 if none is.
    pub through: u64,
    /// The version of the protocol that the agent wants to hear.
    pub version: u8,
}
