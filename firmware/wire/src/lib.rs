//! The wire: frames between a sensor node and its gateway, over any byte stream.
//!
//! ```text
//!            ┌─────────┬──────┬──────────────────────┬──────────┐
//!  frame     │ version │ kind │ CBOR array, ≤ 506 B  │ CRC-32   │  ≤ MAX_FRAME (512 bytes)
//!            │   u8    │  u8  │ fields by position   │ LE       │
//!            └─────────┴──────┴──────────────────────┴──────────┘
//!                              │ COBS: no zero inside
//!  line      … 00 ┊ stuffed frame ┊ 00 ┊ stuffed frame ┊ 00 …
//! ```
//!
//! Owns the bytes of the protocol, in both directions, and the rules by which a receiver judges what it is
//! offered ([`Receiver`]). Promises: no allocation, no panic on any input, the next frame is always found after a
//! zero; the bytes of version 1 never change. Knows nothing of ports, clocks, queues and tasks.
//!
//! The first byte, the stuffing and the CRC are the same in every version, so that a version that is not known is
//! told from noise. Fields may be appended to an array within a version; a reader ignores what it does not know.

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

#[cfg(test)]
extern crate std;

mod cobs;
mod codec;
mod few;
mod frame;
mod message;
mod node_id;
mod readings;
mod receiver;
mod rules;

pub use codec::{encode_reading, room_for_readings};
pub use few::{Few, TooMany};
pub use frame::{DecodeError, Decoder, EncodeError, decode, encode};
pub use message::{Ack, Data, Hello, Lost, Measurement, Measurements, Message, Value, Values, Versions};
pub use node_id::{InvalidNodeId, NodeId};
pub use readings::{Batch, Reading, Readings, ReadingsIter};
pub use receiver::{Position, Receiver, Verdict};

/// The version of the protocol that this crate writes, and the newest it reads.
pub const VERSION: u8 = 1;
/// The oldest version that this crate reads.
pub const OLDEST_VERSION: u8 = 1;

/// The longest frame before stuffing, in bytes: version, kind, payload and CRC.
///
/// 512 bytes take 45 ms at 115,200 baud: that long one node holds a shared line, and that much a flipped bit costs.
/// One such buffer a direction fits the RAM of the smallest boards (8 KiB), and a common sensor's description
/// (about 60 bytes) with 30 readings fits in, so that what frames add is a fifth of the bytes.
pub const MAX_FRAME: usize = 512;
/// The longest CBOR payload, in bytes.
pub const MAX_PAYLOAD: usize = MAX_FRAME - HEADER - TRAILER;
/// The room that [`encode`] needs for any frame, in bytes: stuffed, with the closing zero.
pub const MAX_ENCODED: usize = cobs::stuffed_len(MAX_FRAME) + 1;

/// The longest sensor ID, in bytes of UTF-8.
pub const MAX_SENSOR: usize = 128;
/// The longest measurement name, in bytes of UTF-8.
pub const MAX_NAME: usize = 32;
/// The longest unit, in bytes of UTF-8.
pub const MAX_UNIT: usize = 16;
/// The most measurements of one sensor, and so the most values of one reading.
pub const MAX_MEASUREMENTS: usize = 8;
/// The longest text or byte string that is a value, in bytes.
pub const MAX_TEXT: usize = 255;
/// The highest sequence number; one less than the type holds, so that the next one always exists.
pub const MAX_SEQUENCE: u64 = u64::MAX - 1;

/// Version and kind.
const HEADER: usize = 2;
/// The CRC.
const TRAILER: usize = 4;
