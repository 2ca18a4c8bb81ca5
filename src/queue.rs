//! The durable queue: a log of rows and the fold over it.

mod bytes;
mod columns;
mod entries;
pub mod fold;
pub mod row;
pub mod types;
