//! The durable queue: a log of rows and the fold over it.
//!
//! One commit is one atomic batch of rows and one sync; state is a pure fold over the rows. The queue is a directory of
//! generations, small databases that are each named by their first row: only the newest is written, each is removed whole
//! when nobody needs it. The first rows of a generation are a checkpoint, so opening takes the same time for any backlog.
//!
//! ```text
//!  g-1                      g-9421                   g-18650  (newest)
//! ┌──────────┬──────────┐  ┌──────────┬──────────┐  ┌──────────┬─────────┐
//! │checkpoint│ rows …   │  │checkpoint│ rows …   │  │checkpoint│ rows …  │◀── Appender (one batch, one sync)
//! └──────────┴──────────┘  └──────────┴──────────┘  └──────────┴─────────┘
//!                 ▲ head: main cursor          ▲ resume row of a parked lane      ▲ durable tail: nobody reads beyond
//! ```
//!
//! The life of a reading: it waits in the inbox, is put into a row with its sensor's next sequence number ([`appender`]),
//! is durable when the batch is synced ([`sled_store`]), is read by its output's cursor ([`cursor`]), is released when the
//! broker has it (an entry in a later row, [`mailbox`]), and goes with its generation when all in it are released.
//!
//! Bytes: [`row`] (frame), `entries` and `columns` (content). Handles: [`appender::Appender`] cannot read,
//! [`spool::Spool`] cannot append, [`spool::Observer`] can do neither.

pub mod appender;
mod bytes;
mod columns;
pub mod cursor;
pub mod dead;
mod entries;
pub mod fold;
mod gaps;
mod given_up;
mod log;
pub mod mailbox;
pub mod memory_store;
pub mod names;
pub mod open;
pub mod opening;
pub mod raw;
pub mod raw_store;
mod recover;
pub mod retention;
pub mod row;
mod runs;
pub mod sled_store;
mod slots;
pub mod spool;
pub mod store;
mod tail_file;
pub mod types;
