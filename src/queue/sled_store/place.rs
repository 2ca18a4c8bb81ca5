//! Taking a directory: locking it, and making sure that it is a queue of ours.
//!
//! Promises that a foreign directory and one of another version are left as they are. A damaged or missing format file in a
//! directory with generations is written anew: generations have names that nothing else has.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{failed, sync_directory};
use crate::queue::names::{self, Format, Kind};
use crate::queue::store::StoreError;

/// Locks the directory for as long as the file is open.
///
/// # Errors
/// When somebody else has it.
pub(super) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed("open", &path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse {
            directory: directory.display().to_string(),
        }),
        Err(error) => Err(failed("lock", &path)(error.into())),
    }
}

/// Makes sure that the directory is a queue of ours, or empty: then it becomes one.
///
/// # Errors
/// When it is neither.
pub(super) fn claim(directory: &Path) -> Result<(), StoreError> {
    let path = directory.join("format");
    let refused = |what: String, hint: &str| {
        let hint = format!("{hint}; nothing was changed");
        Err(StoreError::Refused { what, hint })
    };
    match fs::read(&path).map(|bytes| names::format(&bytes)) {
        Ok(Format::Ours) => return Ok(()),
        Ok(Format::Other(version)) => {
            let (directory, ours) = (directory.display(), names::VERSION);
            return refused(
                format!("the queue {directory} has the format {version}, this agent knows {ours}"),
                "run the version that wrote it, or a newer one",
            );
        }
        Ok(Format::Damaged) => tracing::error!(path = %path.display(), "the format file is damaged"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read", &path)(error)),
    }
    let (mut generations, mut foreign) = (0, 0);
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let entry = entry.map_err(failed("list", directory))?;
        match names::kind(&entry.file_name().to_string_lossy()) {
            Kind::Generation(_) => generations += 1,
            Kind::Foreign => foreign += 1,
            Kind::Aside | Kind::Leftover | Kind::Own => {}
        }
    }
    if foreign > 0 && generations == 0 {
        return refused(
            format!("{} holds files that are not a queue's", directory.display()),
            "give queue.directory a directory of its own",
        );
    }
    let new = directory.join("format.new");
    fs::write(&new, names::format_text(names::VERSION)).map_err(failed("write", &new))?;
    File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(failed("sync", &new))?;
    fs::rename(&new, &path).map_err(failed("rename", &new))?;
    sync_directory(directory)
}
