//! What a queue has to hold, and what was found in it: the words between the rig and its children.
//!
//! Owns both as plain data that goes through JSON. A child opens the queue in a process of its own, since what sled does
//! with a damaged file may end the process. Must not know devices.

use serde::{Deserialize, Serialize};

use crate::queue::Size;

/// What is known of a queue from outside.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The seed of its readings.
    pub seed: u64,
    /// The epoch that it was made with.
    pub epoch: u64,
    /// Each sensor's number of readings after each commit; the first entry is before all commits.
    pub after: Vec<Vec<u64>>,
    /// How many commits have a receipt.
    pub receipted: usize,
    /// How many were handed in.
    pub handed: usize,
    /// Through which sequence number each sensor's readings were read.
    pub read: Vec<u64>,
    /// Through which each sensor's readings were released, at most.
    pub released: Vec<u64>,
    /// How large it may become.
    pub size: Size,
    /// True when something may be gone, as long as it is said: the files were damaged, not only cut off.
    pub damaged: bool,
    /// True when all that can be read is released before it is written on.
    pub release: bool,
    /// A bug to plant before it is opened.
    pub bug: Option<String>,
}

/// What a child found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// What broke a promise, in words. Empty: all is well.
    pub faults: Vec<String>,
    /// What the queue said when it was opened, but for the ordinary.
    pub findings: Vec<String>,
    /// Readings that were read back and are right.
    pub right: u64,
    /// Readings that have a receipt and are not there any more.
    pub lost: u64,
    /// Of those, the ones that the queue's ledger counts as dropped.
    pub counted: u64,
    /// What the ledger does not say as it is, in words.
    pub miscounted: Vec<String>,
    /// True when the process that opened it died or hung.
    pub died: bool,
    /// Commits without a receipt that are there all the same.
    pub beyond: u64,
}
