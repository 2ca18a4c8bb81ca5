//! How many bytes the files of a queue have, all together.
//!
//! Owns that sum. Files come and go seldom, so it walks the directory only after that was said; between two walks it adds
//! up what is reserved. Promises lengths, not blocks: what a quota is told in.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Meter {
    bytes: AtomicU64,
    stale: AtomicBool,
    /// What is being made, and not there yet.
    promised: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            stale: AtomicBool::new(true),
            promised: AtomicU64::new(0),
        }
    }

    /// Files were made, removed or opened.
    pub(super) fn forget(&self) {
        self.stale.store(true, Ordering::Release);
    }

    pub(super) fn grew(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// So many bytes are about to be written, or (0) all of that is done.
    pub(super) fn promise(&self, bytes: u64) {
        self.promised.store(bytes, Ordering::Release);
        self.forget();
    }

    pub(super) fn bytes(&self, directory: &Path) -> u64 {
        if self.stale.swap(false, Ordering::AcqRel) {
            self.bytes
                .store(walk(directory).unwrap_or(u64::MAX / 2), Ordering::Release);
        }
        self.bytes.load(Ordering::Acquire) + self.promised.load(Ordering::Acquire)
    }
}

/// What disappears meanwhile counts as nothing.
fn walk(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)?.flatten() {
        sum += match entry.metadata() {
            Ok(about) if about.is_dir() => walk(&entry.path()).unwrap_or(0),
            Ok(about) => about.len(),
            Err(_) => 0,
        };
    }
    Ok(sum)
}
