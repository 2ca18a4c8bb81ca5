//! Disks as the rig needs them: an ext4 image, a mounted one, a place for images that costs no disk.
//!
//! Owns mkfs, mount and umount, by their commands. Promises that what was mounted is unmounted again, also when the rig
//! fails. Must not know what is on a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::Failure;

/// The size of the block file.
pub const SIZE: u64 = 48 * 1024 * 1024;
const PATIENCE: u32 = 200;

/// A directory for images: in memory where there is some, since a cut writes a whole image.
pub fn workshop() -> Result<TempDir, Failure> {
    let memory = Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix("powercut-").to_owned();
    if fs::metadata(memory).is_ok_and(|found| found.is_dir()) {
        return Ok(builder().tempdir_in(memory)?);
    }
    Ok(builder().tempdir()?)
}

/// Runs a command; its output is the error when it fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", arguments.join(" "), told.trim()).into())
}

/// A new ext4 file system, as bytes.
pub fn fresh(place: &Path) -> Result<Vec<u8>, Failure> {
    let path = place.join("fresh");
    fs::File::create(&path)?.set_len(SIZE)?;
    // Everything is initialized now, so that the kernel does not do it behind a recording.
    let options = "lazy_itable_init=0,lazy_journal_init=0";
    run(
        "mkfs.ext4",
        &["-q", "-F", "-b", "4096", "-E", options, &text(&path)],
    )?;
    let bytes = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(bytes)
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A file system that is mounted over a loop device while this lives.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
    there: bool,
}

impl Mounted {
    /// Mounts the file system in `file` at the directory `at`.
    pub fn new(file: &Path, at: &Path) -> Result<Self, Failure> {
        run(
            "mount",
            &["-t", "ext4", "-o", "loop,noatime", &text(file), &text(at)],
        )?;
        Ok(Self {
            at: at.to_owned(),
            there: true,
        })
    }

    /// Unmounts it; waits while somebody still has it.
    pub fn end(mut self) -> Result<(), Failure> {
        self.there = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match run("umount", &[&text(&self.at)]) {
                Err(_) if attempt < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                result => return result,
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.there {
            drop(run("umount", &["-l", &text(&self.at)]));
        }
    }
}
