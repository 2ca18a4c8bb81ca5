//! Serial adapters that can be unplugged: a pseudo-terminal behind a symbolic link.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tempfile::TempDir;

/// A place in /dev: the link that a device file names.
pub(crate) struct Socket {
    _directory: TempDir,
    link: PathBuf,
}

impl Socket {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("usb-adapter");
        Self {
            _directory: directory,
            link,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.link
    }

    /// Plugs a new adapter in; dropping it unplugs it.
    pub(crate) fn plug(&self) -> Adapter {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        // A real line does not echo either, also before anybody opens it.
        let mut mode = tcgetattr(&master).unwrap();
        mode.make_raw();
        tcsetattr(&master, OptionalActions::Now, &mode).unwrap();
        let flags = fcntl_getfl(&master).unwrap();
        fcntl_setfl(&master, flags | OFlags::NONBLOCK).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        std::os::unix::fs::symlink(name.to_str().unwrap(), &self.link).unwrap();
        Adapter {
            master,
            link: self.link.clone(),
        }
    }
}

/// The device's end of the line.
pub(crate) struct Adapter {
    master: OwnedFd,
    link: PathBuf,
}

impl Drop for Adapter {
    fn drop(&mut self) {
        std::fs::remove_file(&self.link).unwrap();
    }
}

impl Adapter {
    /// Writes all of it; waits while the line is full.
    pub(crate) async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(&self.master, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(rustix::io::Errno::AGAIN) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Writes what the line takes now; how many bytes.
    pub(crate) fn write_now(&self, bytes: &[u8]) -> usize {
        match rustix::io::write(&self.master, bytes) {
            Ok(written) => written,
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// How many bytes the agent has written that nobody has read.
    pub(crate) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.master).unwrap()
    }

    /// Reads what the agent has written, without waiting for anything.
    pub(crate) fn read_now(&self) -> Vec<u8> {
        let mut buffer = [0; 4096];
        // EIO: nobody has the other end open.
        let read = rustix::io::read(&self.master, &mut buffer).unwrap_or(0);
        buffer[..read].to_vec()
    }
}
