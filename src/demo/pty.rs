//! Pseudo-terminals: serial lines without hardware.
//!
//! Owns the pair of ends. Promises that the agent's end is raw, as a real port is after it was opened, and that it stays
//! there while the agent opens and closes it. Must not know what goes over the line.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// A line: this side is the node's, the other one is a file that the agent opens as a port.
#[derive(Debug)]
pub struct Pty {
    node: OwnedFd,
    /// Kept open, so that the node's end does not hang up when the agent closes the port.
    _agent: OwnedFd,
    path: PathBuf,
}

impl Pty {
    /// A new line.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn open() -> Result<Self, Errno> {
        let node = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&node)?;
        unlockpt(&node)?;
        let path = ptsname(&node, Vec::new())?;
        let path = PathBuf::from(path.into_string().map_err(|_| Errno::ILSEQ)?);
        let agent = rustix::fs::open(
            &path,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut settings = tcgetattr(&agent)?;
        settings.make_raw();
        tcsetattr(&agent, OptionalActions::Now, &settings)?;
        let flags = rustix::fs::fcntl_getfl(&node)?;
        rustix::fs::fcntl_setfl(&node, flags | OFlags::NONBLOCK)?;
        Ok(Self {
            node,
            _agent: agent,
            path,
        })
    }

    /// The port that the agent opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what is there; 0 if nothing is.
    ///
    /// # Errors
    /// When the line is of no more use.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        now(rustix::io::read(&self.node, buffer))
    }

    /// Writes as much as fits; 0 if nothing does.
    ///
    /// # Errors
    /// When the line is of no more use.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        now(rustix::io::write(&self.node, bytes))
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

fn now(result: Result<usize, Errno>) -> Result<usize, Errno> {
    match result {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn every_byte_crosses_the_line_as_it_is() {
        let line = Pty::open().unwrap();
        let mut agent = std::fs::File::options()
            .read(true)
            .write(true)
            .open(line.path())
            .unwrap();
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(line.write(&all).unwrap(), all.len());
        let mut heard = vec![0; all.len()];
        agent.read_exact(&mut heard).unwrap();
        assert_eq!(heard, all);
        assert_eq!(line.read(&mut [0; 16]).unwrap(), 0, "nothing is echoed");
        agent.write_all(&all).unwrap();
        let mut answer = Vec::new();
        while answer.len() < all.len() {
            let mut piece = [0; 64];
            let len = line.read(&mut piece).unwrap();
            answer.extend_from_slice(&piece[..len]);
        }
        assert_eq!(answer, all);
        drop(agent);
        assert_eq!(
            line.read(&mut [0; 16]).unwrap(),
            0,
            "the line outlives the agent's end"
        );
    }
}
