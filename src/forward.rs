//! Giving custody away: from the durable queue to acknowledged in Kafka.
//!
//! Owns lanes, spans under way, retries and the client. Promises that only an acknowledgement releases readings, and that
//! memory is bounded by budgets, never by the backlog. Must not know sources or the intake.

pub mod backoff;
pub mod broker;
pub mod burial;
pub mod core;
pub mod driver;
pub mod gate;
pub mod kafka;
pub mod lane;
pub mod needs;
pub mod output;
pub mod rate;
pub mod trace;
