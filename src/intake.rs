//! Taking custody: bounded inbox, group commit, receipts.
//!
//! Owns the way from a source to the durable queue and the receipt back. Promises that a receipt is given only after the
//! readings it covers are synced to the medium. Must not know how sources work or what the forwarder does.

pub mod catalog;
pub mod committer;
pub mod events;
pub mod inbox;
pub mod offers;
pub mod pacer;
pub mod receipt;
