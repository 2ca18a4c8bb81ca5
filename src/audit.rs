//! `edgespool audit`: is every reading in the topic, once, and in order?
//!
//! Owns the question and the answer: what records say of themselves (`identity`), what was heard of each sensor in little
//! memory (`ranges`, `tally`), and the verdict (`report`), all pure; and a driver (`run`) that reads topics as any
//! consumer does. Promises that nothing is called fine that was not seen, and nothing missing that retention may have
//! removed. Must not know the agent, its queue or its configuration.

mod identity;
mod ranges;
mod report;
mod run;
mod tally;
#[cfg(test)]
mod tests;

pub use identity::{Heard, Identity};
pub use ranges::Ranges;
pub use report::{Report, Row, SplitKey, Strictness, Verdict};
pub use run::{Answer, AuditError, Options, run};
pub(crate) use run::{hear, heard};
pub use tally::{Late, PartNo, Records, Tally};
