//! The device file on the disk, and the process around it.
//!
//! Owns opening and reading the file and asking the system what the checks need. Promises never to go on with
//! defaults because a file could not be read, never to hang on something that is no file, and an exit code for
//! every way it can fail. Must not know what is in the file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Config, Env, FileSystem, Problems, parse};

/// The most bytes that a device file may have: ten thousand sensors fit.
const MAX_FILE: u64 = 1 << 20;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// This user may not read it.
    #[error("{} cannot be read by this user", .0.display())]
    NotPermitted(PathBuf, #[source] io::Error),
    /// It could not be opened or read for another reason.
    #[error("{} cannot be read", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// It is a directory, a device or the like.
    #[error("{} is {}", .0.display(), .1)]
    NoFile(PathBuf, &'static str),
    /// Everybody on this machine may change it.
    #[error("{} can be written by everybody", .0.display())]
    WorldWritable(PathBuf),
    /// It has more than 1 MiB.
    #[error("{} is larger than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
    /// It is no text in UTF-8; the line with the first byte that is not.
    #[error("{} is not UTF-8 in line {}", .0.display(), .1)]
    NotText(PathBuf, usize),
    /// There is nothing in it.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// What is in it is refused.
    #[error("{}", .0.summary())]
    Problems(Problems),
}

impl LoadError {
    /// The process's exit code for it, one of sysexits: 77 no permission, 74 I/O, 78 configuration.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotPermitted(..) => 77,
            Self::Io(..) => 74,
            _ => 78,
        }
    }

    /// What helps, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(_) => Some("say where it is with --config FILE".into()),
            Self::NotPermitted(path, _) => Some(format!(
                "sudo, or a user in the file's group: ls -l {}",
                path.display()
            )),
            Self::WorldWritable(path) => Some(format!("chmod o-w {}", path.display())),
            Self::NotText(..) => Some("save it as UTF-8 in the editor".into()),
            Self::NoFile(path, "a directory") => {
                Some(format!("--config {}", path.join("device.toml").display()))
            }
            Self::TooLarge(_) => Some("is it the right file?".into()),
            Self::Empty(_) => Some("it needs at least [kafka] brokers and one [[source]]".into()),
            Self::Io(..) | Self::NoFile(..) | Self::Problems(_) => None,
        }
    }
}

/// Reads and checks a device file.
///
/// # Errors
/// When it cannot be read, when others could have changed it, or when something in it is refused.
pub fn load(path: &Path, env: &Env) -> Result<Config, LoadError> {
    let text = read(path)?;
    parse(&text, &path.to_string_lossy(), env).map_err(LoadError::Problems)
}

fn read(path: &Path) -> Result<String, LoadError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => LoadError::NotFound(path.into()),
        io::ErrorKind::PermissionDenied => LoadError::NotPermitted(path.into(), error),
        _ => LoadError::Io(path.into(), error),
    };
    // Without O_NONBLOCK, opening a pipe would wait for somebody to write into it.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        let what = if about.is_dir() {
            "a directory"
        } else {
            "no regular file"
        };
        return Err(LoadError::NoFile(path.into(), what));
    }
    if about.mode() & 0o002 != 0 {
        return Err(LoadError::WorldWritable(path.into()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE) {
        return Err(LoadError::TooLarge(path.into()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        LoadError::NotText(path.into(), before.filter(|byte| **byte == b'\n').count() + 1)
    })?;
    if text.trim().is_empty() {
        return Err(LoadError::Empty(path.into()));
    }
    Ok(text)
}

impl Env {
    /// What this process and this machine say.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            kafka_broker_address: std::env::var("KAFKA_BROKER_ADDRESS").ok(),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            file_system: FileSystem::of,
        }
    }
}

impl FileSystem {
    /// The file system of a path, or of the nearest directory above it that exists.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let found = path
            .ancestors()
            .find_map(|ancestor| rustix::fs::statfs(ancestor).ok());
        // The type of the number differs between machines; all kinds fit into 32 bits.
        match found.map(|found| i128::from(found.f_type) & 0xffff_ffff) {
            Some(0x0102_1994) => Self::Tmpfs,
            Some(0x8584_58f6) => Self::Ramfs,
            Some(0x794c_7630) => Self::Overlayfs,
            _ => Self::Lasting,
        }
    }
}
