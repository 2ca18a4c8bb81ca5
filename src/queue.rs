//! The durable queue: a log of rows and the fold over it.

pub mod types;
