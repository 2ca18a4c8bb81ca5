//! The real queue, opened as the agent opens it.
//!
//! Owns its settings here, and a look at its directory from outside. Must not know what is done with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use edgespool::clock::BootId;
use edgespool::queue::open::{Queue, Settings, open};
use edgespool::queue::retention::Limits;
use edgespool::queue::sled_store::SledStore;
use edgespool::reading::Epoch;
use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::readings::moment;

/// How large a queue may become.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Size {
    /// The size at which a generation is followed by the next one.
    pub generation: u64,
    /// The size at which the oldest one is given up; `None`: never.
    pub most: Option<u64>,
}

/// Opens the queue in a directory, or makes one. `life` is the boot, `epoch` the one to draw if one is needed.
pub fn open_queue(directory: &Path, size: Size, life: u64, epoch: u64) -> Result<Queue, Failure> {
    let store = Arc::new(SledStore::open(directory).map_err(told)?);
    let mut boot = [0; 16];
    boot[..8].copy_from_slice(&life.to_le_bytes());
    let settings = Settings {
        generation_bytes: size.generation,
        limits: Limits {
            max_size: size.most.unwrap_or(u64::MAX),
            ..Limits::default()
        },
        outputs: 1,
        boot: BootId(boot),
        fresh_epoch: Epoch(epoch),
    };
    open(store, &settings, moment(0)).map_err(told)
}

/// An error with its causes.
pub fn told(error: impl std::error::Error) -> Failure {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words.into()
}

/// A queue's directory, as it can be seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The generations and the length of their files.
    pub generations: BTreeMap<u64, u64>,
    /// Snapshots, by their names.
    pub snapshots: Vec<String>,
}

impl Look {
    /// Looks.
    pub fn at(directory: &Path) -> Self {
        let mut look = Self::default();
        for (name, path) in list(directory) {
            let number = name.strip_prefix("g-").and_then(|rest| rest.split('.').next());
            let Some(first) = number.and_then(|digits| digits.parse().ok()) else {
                continue;
            };
            let length = fs::metadata(path.join("db")).map_or(0, |found| found.len());
            look.generations.insert(first, length);
            let inner = list(&path).into_iter().map(|(inner, _)| inner);
            let snapshots = inner.filter(|inner| inner.starts_with("snap."));
            look.snapshots
                .extend(snapshots.map(|inner| format!("{name}/{inner}")));
        }
        look.snapshots.sort_unstable();
        look
    }
}

/// What is in a directory: names and paths.
pub fn list(directory: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect()
}
