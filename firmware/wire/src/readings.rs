//! The readings of a Data message: encoded bytes that are read one reading at a time, without a copy.

use crate::codec::{self, encode_reading};
use crate::{EncodeError, MAX_PAYLOAD, Value, Values};

/// One reading: values of one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading<'a> {
    /// When it was taken, in milliseconds since the node's boot.
    pub uptime_ms: u64,
    /// One value for each measurement of the sensor.
    pub values: Values<'a>,
}

/// Readings in their encoded form, checked when they were decoded; iterate over them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings<'a> {
    pub(crate) count: u16,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Readings<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether there are none; never so in a message that was decoded.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The readings, in order.
    pub fn iter(&self) -> ReadingsIter<'a> {
        ReadingsIter {
            left: self.count,
            rest: self.bytes,
        }
    }
}

impl<'a> IntoIterator for &Readings<'a> {
    type Item = Reading<'a>;
    type IntoIter = ReadingsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Decodes one reading after the other.
#[derive(Clone, Debug)]
pub struct ReadingsIter<'a> {
    left: u16,
    rest: &'a [u8],
}

impl<'a> Iterator for ReadingsIter<'a> {
    type Item = Reading<'a>;

    fn next(&mut self) -> Option<Reading<'a>> {
        self.left = self.left.checked_sub(1)?;
        codec::decode_reading(&mut self.rest).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for ReadingsIter<'_> {}

/// Gathers readings for a Data message that is to be sent.
///
/// Add readings by their values, or bytes that [`encode_reading`] made earlier.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: [u8; MAX_PAYLOAD],
    len: usize,
    count: u16,
}

impl Batch {
    /// Without readings.
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_PAYLOAD],
            len: 0,
            count: 0,
        }
    }

    /// Adds one reading.
    ///
    /// # Errors
    /// [`EncodeError`] if it does not fit, or a value exceeds its limit; the batch stays as it was.
    pub fn push(&mut self, uptime_ms: u64, values: &[Value<'_>]) -> Result<(), EncodeError> {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        self.len += encode_reading(uptime_ms, values, room)?;
        self.count += 1;
        Ok(())
    }

    /// Adds one reading that [`encode_reading`] has encoded, given in pieces (as a ring keeps it).
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] if it does not fit; the batch stays as it was.
    pub fn push_encoded(&mut self, pieces: [&[u8]; 2]) -> Result<(), EncodeError> {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let room = self
            .bytes
            .get_mut(self.len..)
            .and_then(|room| room.get_mut(..len));
        let (left, right) = room
            .and_then(|room| room.split_at_mut_checked(pieces[0].len()))
            .ok_or(EncodeError::TooLong)?;
        left.copy_from_slice(pieces[0]);
        right.copy_from_slice(pieces[1]);
        self.len += len;
        self.count += 1;
        Ok(())
    }

    /// The readings so far.
    pub fn readings(&self) -> Readings<'_> {
        Readings {
            count: self.count,
            bytes: self.bytes.get(..self.len).unwrap_or_default(),
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}
