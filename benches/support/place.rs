//! A directory on a real disk: syncs to memory measure nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Failure;

/// An own directory below `EDGESPOOL_BENCH_DIR` (default: `target/bench`), emptied first.
///
/// # Errors
/// When it is in memory, or cannot be made.
pub fn directory(name: &str) -> Result<PathBuf, Failure> {
    let root = root();
    fs::create_dir_all(&root)?;
    let (magic, kind) = file_system(&root)?;
    if IN_MEMORY.contains(&magic) {
        return Err(format!(
            "{} is on {kind}, where a sync costs nothing (hint: set EDGESPOOL_BENCH_DIR to a directory on a disk)",
            root.display()
        )
        .into());
    }
    let directory = root.join(name);
    empty(&directory)?;
    Ok(directory)
}

/// The kind of file system that the bench directory is on.
///
/// # Errors
/// When it cannot be made.
pub fn kind() -> Result<String, Failure> {
    let root = root();
    fs::create_dir_all(&root)?;
    Ok(file_system(&root)?.1)
}

fn root() -> PathBuf {
    let default = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    std::env::var_os("EDGESPOOL_BENCH_DIR").map_or_else(default, PathBuf::from)
}

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const IN_MEMORY: [u64; 2] = [TMPFS, RAMFS];

fn file_system(path: &Path) -> Result<(u64, String), Failure> {
    let magic = u64::try_from(rustix::fs::statfs(path)?.f_type)?;
    let name = match magic {
        0xef53 => "ext4",
        TMPFS => "tmpfs",
        RAMFS => "ramfs",
        0x9123_683e => "btrfs",
        0x5846_5342 => "xfs",
        0x794c_7630 => "overlayfs",
        _ => return Ok((magic, format!("file system {magic:#x}"))),
    };
    Ok((magic, name.into()))
}

/// Takes a directory away, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn empty(directory: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// What files below a directory take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// How many files.
    pub files: u64,
    /// Their lengths.
    pub length: u64,
    /// The blocks that they take on the disk, in bytes.
    pub allocated: u64,
}

/// Counts the files below a directory; what goes while it is counted is not counted.
#[must_use]
pub fn extent(directory: &Path) -> Extent {
    let mut sum = Extent::default();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            let inner = extent(&entry.path());
            sum.files += inner.files;
            sum.length += inner.length;
            sum.allocated += inner.allocated;
        } else {
            sum.files += 1;
            sum.length += metadata.len();
            sum.allocated += metadata.blocks() * 512;
        }
    }
    sum
}
