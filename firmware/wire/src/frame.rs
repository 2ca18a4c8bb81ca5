//! Frames: a message with version, kind and CRC, stuffed; and the decoder that finds them in any bytes.
//!
//! Promises that whatever stands before a zero, the frame after it is found; that an over-long frame is skipped to
//! the next zero; that nothing panics. Counting the errors is the caller's part.

use crc::{CRC_32_ISO_HDLC, Crc};

use crate::cobs::{self, Unstuff, Unstuffed};
use crate::{HEADER, MAX_FRAME, MAX_PAYLOAD, Message, OLDEST_VERSION, TRAILER, VERSION, codec};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Where a frame is put together in the caller's buffer, so that it can be stuffed in place.
const GAP: usize = cobs::stuffed_len(MAX_FRAME) - MAX_FRAME;

/// Why a message cannot be put into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It does not fit a frame, or the buffer that was given.
    #[error("the message does not fit")]
    TooLong,
    /// It breaks a rule of the protocol that a receiver would refuse.
    #[error("the message has no valid {0}")]
    Invalid(&'static str),
}

/// Why the bytes between two zeros are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The stuffing is broken: bytes are missing.
    #[error("frame is cut off")]
    Cobs,
    /// More bytes than the decoder's buffer holds.
    #[error("frame is too long")]
    TooLong,
    /// Fewer bytes than version, kind and CRC take.
    #[error("frame is too short")]
    TooShort,
    /// The CRC does not match.
    #[error("CRC does not match")]
    Crc,
    /// A sound frame of a version that is newer than ours.
    #[error("version {seen} is newer than {VERSION}")]
    NewerVersion {
        /// That version.
        seen: u8,
    },
    /// A sound frame of a version that never was, or is not spoken any more.
    #[error("version {seen} is not known")]
    UnknownVersion {
        /// That version.
        seen: u8,
    },
    /// A sound frame of a kind that this version does not have.
    #[error("message kind {seen} is not known")]
    UnknownKind {
        /// That kind.
        seen: u8,
    },
    /// A sound frame whose payload is not what its kind asks for.
    #[error("payload has no valid {0}")]
    Malformed(&'static str),
}

impl DecodeError {
    /// All [`names`](Self::name), in the order of the enum.
    pub const NAMES: [&'static str; 8] = [
        "cobs",
        "too-long",
        "too-short",
        "crc",
        "newer-version",
        "unknown-version",
        "unknown-kind",
        "malformed",
    ];

    /// The name of its kind, for counters.
    pub const fn name(&self) -> &'static str {
        let [
            cobs,
            too_long,
            too_short,
            crc,
            newer,
            unknown_version,
            unknown_kind,
            malformed,
        ] = Self::NAMES;
        match self {
            Self::Cobs => cobs,
            Self::TooLong => too_long,
            Self::TooShort => too_short,
            Self::Crc => crc,
            Self::NewerVersion { .. } => newer,
            Self::UnknownVersion { .. } => unknown_version,
            Self::UnknownKind { .. } => unknown_kind,
            Self::Malformed(_) => malformed,
        }
    }
}

/// Puts a message into `out` as it goes on the line, with its closing zero; how many bytes that are.
///
/// [`MAX_ENCODED`](crate::MAX_ENCODED) bytes are room enough for any message.
///
/// # Errors
/// [`EncodeError`] if it does not fit a frame or `out`, or a receiver would refuse it.
pub fn encode(message: &Message<'_>, out: &mut [u8]) -> Result<usize, EncodeError> {
    let frame = out.get_mut(GAP..).ok_or(EncodeError::TooLong)?;
    let (head, room) = frame.split_at_mut_checked(HEADER).ok_or(EncodeError::TooLong)?;
    head.copy_from_slice(&[VERSION, codec::kind(message)]);
    let limit = room.len().min(MAX_PAYLOAD);
    let payload = codec::encode_payload(message, room.get_mut(..limit).unwrap_or_default())?;
    let checked = HEADER + payload;
    let crc = CRC.checksum(frame.get(..checked).unwrap_or_default());
    let trailer = frame
        .get_mut(checked..checked + TRAILER)
        .ok_or(EncodeError::TooLong)?;
    trailer.copy_from_slice(&crc.to_le_bytes());
    let end = cobs::stuff(out, GAP, checked + TRAILER).ok_or(EncodeError::TooLong)?;
    *out.get_mut(end).ok_or(EncodeError::TooLong)? = 0;
    Ok(end + 1)
}

/// Reads one frame that is already unstuffed and lies whole in `frame`.
///
/// # Errors
/// [`DecodeError`] if it is no message that this version knows.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (checked, crc) = frame.split_last_chunk::<TRAILER>().ok_or(DecodeError::TooShort)?;
    let (&[version, kind], payload) = checked
        .split_first_chunk::<HEADER>()
        .ok_or(DecodeError::TooShort)?;
    if CRC.checksum(checked) != u32::from_le_bytes(*crc) {
        return Err(DecodeError::Crc);
    }
    match version {
        OLDEST_VERSION..=VERSION => codec::decode_payload(kind, payload),
        seen if seen > VERSION => Err(DecodeError::NewerVersion { seen }),
        seen => Err(DecodeError::UnknownVersion { seen }),
    }
}

/// Finds messages in a stream of bytes. `N` is the longest frame it takes, before stuffing.
///
/// ```
/// use edgespool_wire::{Decoder, Message};
///
/// let mut decoder: Decoder = Decoder::new();
/// let mut input: &[u8] = b"\x07noise\0more noise\0";
/// let mut errors = 0;
/// while let Some(result) = decoder.next(&mut input) {
///     match result {
///         Ok(Message::Data(data)) => for _reading in &data.readings {},
///         Ok(_) => {}
///         Err(_) => errors += 1,
///     }
/// }
/// assert_eq!(errors, 2);
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<const N: usize = MAX_FRAME> {
    unstuff: Unstuff,
    buffer: [u8; N],
}

impl<const N: usize> Decoder<N> {
    /// At the start of a line.
    pub const fn new() -> Self {
        Self {
            unstuff: Unstuff::new(),
            buffer: [0; N],
        }
    }

    /// The next message, or what is wrong with the next frame; `input` is moved past what was read.
    ///
    /// `None` once all of `input` is read; a frame that has begun is kept for the bytes to come.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<Message<'_>, DecodeError>> {
        Some(match self.unstuff.advance(input, &mut self.buffer)? {
            Unstuffed::Frame(len) => decode(self.buffer.get(..len).unwrap_or_default()),
            Unstuffed::Cut => Err(DecodeError::Cobs),
            Unstuffed::TooLong => Err(DecodeError::TooLong),
        })
    }

    /// Forgets a frame that has begun, as when the line was opened again.
    pub fn reset(&mut self) {
        self.unstuff = Unstuff::new();
    }
}

impl<const N: usize> Default for Decoder<N> {
    fn default() -> Self {
        Self::new()
    }
}
