//! Generations whose rows are written anew: the newest one after a restart, and one that is damaged.
//!
//! ```text
//! g-5                      as it was left, or damaged
//! g-5, tmp-5               the rows that are found in it are written to a new one
//! g-5, g-5.1               that one is whole: from here on it counts
//! g-5.1, del-5             the old one goes, or, where rows are missing,
//! g-5.1, damaged-5-…       it is set aside
//! ```
//!
//! A power cut between any two steps leaves one of these, and the next opening goes on from there: the highest revision
//! counts, lower ones go, temporary ones are removed. Nothing of a damaged one is changed, ever; some of them are kept for
//! whoever wants to look. sled never opens what another process wrote: when it meets damage it cuts off all that follows,
//! also what is whole, and it may panic or go in circles. Must not know what stands in a row.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};

use super::{SledGeneration, SledStore, failed, sync_directory};
use crate::clock;
use crate::queue::names::{self, Kind, Name};
use crate::queue::raw::{self, RawGeneration};
use crate::queue::store::{Generation, Replaced, StoreError};
use crate::queue::types::RowNo;

/// So many generations that were set aside are kept; the oldest go first.
pub const KEPT: usize = 4;
/// Rows that are written at once.
const BATCH: usize = 512;
const COPY: &str = raw::FILES[1];

/// Writes a second copy of a generation's first rows, the checkpoint, into its directory. Where there is no room, the queue
/// goes on without it.
pub(super) fn write_copy(directory: &Path, rows: &[(RowNo, Vec<u8>)]) -> Result<(), StoreError> {
    let bytes: Vec<u8> = rows.iter().flat_map(|(_, row)| row.iter().copied()).collect();
    match write_synced(&directory.join(COPY), &bytes) {
        Err(error) if error.is_full() => {
            tracing::warn!(%error, "no second copy of the checkpoint is written");
            Ok(())
        }
        other => other,
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    fs::write(path, bytes).map_err(failed("write", path))?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(failed("sync", path))
}

impl SledStore {
    /// The generations in their latest revision, ascending. Lets go of what a later revision has replaced.
    pub(super) fn names(&self) -> Result<Vec<Name>, StoreError> {
        let mut found = Vec::new();
        for name in self.entries()? {
            if let Kind::Generation(name) = names::kind(&name) {
                found.push(name);
            }
        }
        found.sort_unstable();
        let mut latest: Vec<Name> = Vec::new();
        for name in found {
            if let Some(older) = latest.pop_if(|last| last.first == name.first) {
                self.let_go(older, name)?;
            }
            latest.push(name);
        }
        *self.revisions() = latest.iter().map(|name| (name.first, name.revision)).collect();
        Ok(latest)
    }

    /// Where a generation is.
    pub(super) fn path_of(&self, name: Name) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// A generation's name in its latest revision.
    pub(super) fn name_of(&self, first: RowNo) -> Name {
        let revision = self.revisions().get(&first).copied().unwrap_or(0);
        Name { first, revision }
    }

    pub(super) fn revisions(&self) -> MutexGuard<'_, BTreeMap<RowNo, u32>> {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the rows of a generation, up to where the next one begins.
    pub(super) fn scan(&self, first: RowNo) -> Result<RawGeneration, StoreError> {
        let next = self.revisions().range(first + 1..).next().map(|(next, _)| *next);
        let path = self.path_of(self.name_of(first));
        let found = RawGeneration::scan(&path, first..next.unwrap_or(RowNo::MAX))?;
        match found.newer() {
            None => Ok(found),
            Some(version) => Err(StoreError::Refused {
                what: format!("{} has rows of format {version}", path.display()),
                hint: "run the version that wrote it, or a newer one; nothing was changed".into(),
            }),
        }
    }

    /// Writes the rows before `end` anew, and opens what they stand in to write on.
    pub(super) fn write_anew(&self, first: RowNo, end: RowNo) -> Result<Arc<dyn Generation>, StoreError> {
        let (old, found) = (self.name_of(first), self.scan(first)?);
        let (new, made) = self.write_found(old, &found, end, false)?;
        self.let_go(old, new)?;
        Ok(Arc::new(made))
    }

    /// Writes what is found of a damaged generation to a new one, and sets the damaged one aside.
    pub(super) fn put_in_place(&self, first: RowNo) -> Result<Replaced, StoreError> {
        let (old, found) = (self.name_of(first), self.scan(first)?);
        let (new, made) = self.write_found(old, &found, RowNo::MAX, true)?;
        drop(made);
        let directory = self.set_aside(old)?;
        self.keep_few()?;
        self.revisions().insert(first, new.revision);
        Ok(Replaced {
            generation: Arc::new(self.scan(first)?),
            directory,
            rows: found.len() as u64,
        })
    }

    /// Writes what was found of a generation to its next revision.
    pub(super) fn write_found(
        &self,
        old: Name,
        found: &RawGeneration,
        end: RowNo,
        is_salvage: bool,
    ) -> Result<(Name, SledGeneration), StoreError> {
        let new = Name {
            revision: old.revision + 1,
            ..old
        };
        let temporary = self.path("tmp", old.first);
        let mut made = Self::make(&temporary, &self.meter, 0)?;
        let (mut batch, mut copy) = (Vec::new(), Vec::new());
        for number in found.numbers().take_while(|number| *number < end) {
            // A row that cannot be read a second time is missing.
            let Ok(Some(row)) = found.read(number) else {
                continue;
            };
            if found.copied() >= Some(number) {
                copy.push((number, row.clone()));
            }
            batch.push((number, row));
            if batch.len() >= BATCH {
                made.append(&batch)?;
                batch.clear();
            }
        }
        if !batch.is_empty() {
            made.append(&batch)?;
        }
        // The second copy of the checkpoint goes along: this generation may be damaged, too.
        write_copy(&temporary, &copy)?;
        if is_salvage {
            write_synced(&temporary.join(names::SALVAGED), b"")?;
        }
        self.put_to(&mut made, old.first, self.path_of(new))?;
        Ok((new, made))
    }

    /// An older revision is no more needed: it is set aside where it is damaged.
    fn let_go(&self, old: Name, new: Name) -> Result<(), StoreError> {
        if names::is_salvaged(&self.path_of(new)) && !names::is_salvaged(&self.path_of(old)) {
            self.set_aside(old)?;
        } else {
            let (path, doomed) = (self.path_of(old), self.path("del", old.first));
            fs::rename(&path, &doomed).map_err(failed("rename", &path))?;
            sync_directory(&self.directory)?;
            fs::remove_dir_all(&doomed).map_err(failed("remove", &doomed))?;
        }
        self.revisions().insert(new.first, new.revision);
        self.meter.forget();
        Ok(())
    }

    fn set_aside(&self, name: Name) -> Result<String, StoreError> {
        let path = self.path_of(name);
        let mut aside = names::aside(name.first, clock::wall());
        for again in 1.. {
            if !self.directory.join(&aside).try_exists().unwrap_or(false) {
                break;
            }
            aside = format!("{}-{again}", names::aside(name.first, clock::wall()));
        }
        fs::rename(&path, self.directory.join(&aside)).map_err(failed("rename", &path))?;
        sync_directory(&self.directory)?;
        Ok(aside)
    }

    /// By the time of their setting aside, which is the end of their names.
    fn keep_few(&self) -> Result<(), StoreError> {
        let mut aside: Vec<_> = self.entries()?.into_iter().collect();
        aside.retain(|name| names::kind(name) == Kind::Aside);
        aside.sort_by_cached_key(|name| name.splitn(3, '-').nth(2).map(str::to_owned));
        for name in aside.iter().take(aside.len().saturating_sub(KEPT)) {
            let (path, doomed) = (
                self.directory.join(name),
                self.directory.join(format!("del-{name}")),
            );
            fs::rename(&path, &doomed).map_err(failed("rename", &path))?;
            fs::remove_dir_all(&doomed).map_err(failed("remove", &doomed))?;
        }
        Ok(())
    }
}
