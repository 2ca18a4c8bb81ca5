//! Looking into a queue directory: a stopped queue, or a copy of one. No byte of it changes.
//!
//! Owns the walk over all rows, in order, and what is made of it: figures and damage ([`survey`]), the readings of a sensor
//! ([`peek`]), everything as text ([`export`]). Promises to hold one generation's index and one row in memory, and that
//! what cannot be read is named. Must not know the agent; what it finds, the agent would find too.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::queue::fold::State;
use crate::queue::names::Name;
use crate::queue::raw::RawGeneration;
use crate::queue::raw_store::RawStore;
use crate::queue::row::{Depth, decode};
use crate::queue::store::{Generation, Store, StoreError};
use crate::queue::types::{Row, RowNo};

pub mod export;
pub mod peek;
mod sensors;
pub mod survey;
pub mod when;

pub use sensors::Sensors;

/// What stands next in the log.
#[derive(Debug)]
pub enum Seen {
    /// A generation begins.
    Begin {
        /// Its name.
        name: Name,
        /// The bytes of its log.
        bytes: u64,
    },
    /// A row.
    Row(Box<Row>),
    /// Rows that cannot be read.
    Damaged {
        /// The first of them.
        from: RowNo,
        /// The last of them.
        through: RowNo,
        /// Why.
        why: String,
    },
    /// Rows of a commit that a power cut tore: nobody was told that they are stored.
    Torn {
        /// How many.
        rows: u64,
    },
}

/// A directory that is looked at.
#[derive(Debug)]
pub struct Directory {
    store: RawStore,
    path: PathBuf,
    names: Vec<Name>,
}

impl Directory {
    /// Opens it, and keeps agents from writing to it meanwhile, where it has a lock.
    ///
    /// # Errors
    /// When it is not there, no queue, of a newer format, or in use.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = RawStore::open(path)?;
        let names = store.names()?;
        Ok(Self {
            store,
            path: path.to_owned(),
            names,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Generations that were set aside as damaged.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn set_aside(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.store.set_aside()
    }

    /// The rows that the generations hold, by their names: how much there is to walk.
    #[must_use]
    pub fn extent(&self) -> (RowNo, RowNo) {
        let first = self.names.first().map_or(0, |name| name.first);
        let newest = self.names.last().map_or(first, |name| name.first);
        let end = self.store.tail().map_or(newest, |tail| tail.next_row);
        (first, end.max(newest))
    }

    /// The queue's whole state, as an agent would find it; `None` when the newest generation's checkpoint is damaged.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let Some(name) = self.names.last() else {
            return Ok(None);
        };
        let mut state = State {
            next_row: name.first,
            ..State::default()
        };
        let all = self.generation(*name, None, &mut |seen| {
            if let Seen::Row(row) = seen {
                state.apply(&row);
            }
            ControlFlow::Continue(())
        })?;
        Ok((all.is_continue() && state.complete).then_some(state))
    }

    /// Hands everything to `each`, in the order of the log, until it breaks.
    ///
    /// # Errors
    /// When the files cannot be read, or were written by a newer version.
    pub fn walk(&self, each: &mut dyn FnMut(Seen) -> ControlFlow<()>) -> Result<(), StoreError> {
        let nexts = self
            .names
            .iter()
            .skip(1)
            .map(|name| Some(name.first))
            .chain([None]);
        for (name, next) in self.names.iter().zip(nexts) {
            let log = self.path.join(name.to_string()).join("db");
            let bytes = std::fs::metadata(log).map_or(0, |found| found.len());
            if each(Seen::Begin { name: *name, bytes }).is_break()
                || self.generation(*name, next, each)?.is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    fn generation(
        &self,
        name: Name,
        next: Option<RowNo>,
        each: &mut dyn FnMut(Seen) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let raw = self.store.scan(name.first)?;
        if let Some(version) = raw.newer() {
            return Err(StoreError::Refused {
                what: format!(
                    "generation {name} has rows of format {version}, which is newer than this program"
                ),
                hint: "use the version that wrote it, or a newer one".into(),
            });
        }
        let end = next.unwrap_or_else(|| self.end(&raw, name.first));
        let torn = raw.numbers().filter(|number| *number >= end).count() as u64;
        let mut expected = name.first;
        for number in raw.numbers().take_while(|number| *number < end).chain([end]) {
            if number > expected
                && each(Seen::Damaged {
                    from: expected,
                    through: number - 1,
                    why: missing(&raw, expected, number),
                })
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            if number < end && each(read(&raw, number)?).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            expected = number + 1;
        }
        if torn > 0 {
            return Ok(each(Seen::Torn { rows: torn }));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The number after the newest generation's last row: a last commit without its end was never acknowledged, unless the
    /// outside count says so.
    fn end(&self, raw: &RawGeneration, first: RowNo) -> RowNo {
        let is_end = |number: &RowNo| raw.frame(*number).is_some_and(|frame| frame.is_last);
        let whole = raw.numbers().filter(is_end).last().map_or(first, |last| last + 1);
        self.store.tail().map_or(whole, |tail| tail.next_row.max(whole))
    }
}

fn read(raw: &RawGeneration, number: RowNo) -> Result<Seen, StoreError> {
    let bytes = raw.read(number)?.unwrap_or_default();
    Ok(match decode(&bytes, number, Depth::All) {
        Ok(row) => Seen::Row(Box::new(row)),
        Err(error) => Seen::Damaged {
            from: number,
            through: number,
            why: error.to_string(),
        },
    })
}

fn missing(raw: &RawGeneration, from: RowNo, end: RowNo) -> String {
    if raw.ambiguous().range(from..end).next().is_some() {
        "two different rows with that number are whole".into()
    } else if raw.unreadable() > 0 {
        format!(
            "missing; the medium does not give back {} bytes",
            raw.unreadable()
        )
    } else {
        "missing, or its checksum is wrong".into()
    }
}

#[cfg(test)]
mod tests;
