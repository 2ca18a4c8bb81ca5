//! The block file: served by a FUSE daemon in this process, so that nothing reaches it unseen.
//!
//! Owns the daemon. A loop device stands on the file; every write of its file system comes here as a write, every flush as
//! an fsync, one at a time and in order, and is put down in the log. Promises that a write is in the log before anybody is
//! told that it is done. Must not know file systems or queues.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, WriteFlags,
};

use crate::Failure;
use crate::log::{Event, Log};

const NAME: &str = "block";
const TTL: Duration = Duration::from_secs(3600);
const FILE: INodeNo = INodeNo(2);

/// A mounted block file.
#[derive(Debug)]
pub struct Device {
    session: Option<BackgroundSession>,
    /// The file.
    pub path: PathBuf,
}

impl Device {
    /// Serves `image` below the directory `at`.
    pub fn serve(image: Vec<u8>, at: &Path, log: Log) -> Result<Self, Failure> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RW, MountOption::FSName("powercut".into())];
        let block = Block {
            length: image.len() as u64,
            bytes: Mutex::new(image),
            log,
        };
        Ok(Self {
            session: Some(fuser::spawn_mount(block, at, &config)?),
            path: at.join(NAME),
        })
    }

    /// Takes it away.
    pub fn end(mut self) -> Result<(), Failure> {
        let session = self.session.take().ok_or("ended already")?;
        Ok(session.umount_and_join()?)
    }
}

#[derive(Debug)]
struct Block {
    bytes: Mutex<Vec<u8>>,
    length: u64,
    log: Log,
}

impl Block {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let file = inode == FILE;
        FileAttr {
            ino: inode,
            size: if file { self.length } else { 0 },
            blocks: self.length / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if file {
                FileType::RegularFile
            } else {
                FileType::Directory
            },
            perm: if file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }

    /// The place of `length` bytes from `offset` on, if the file has them.
    fn range(&self, offset: u64, length: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(length)?;
        (end as u64 <= self.length).then_some(start..end)
    }
}

impl Filesystem for Block {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&TTL, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes(inode));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing is kept between the loop device and us.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(0);
        let wanted = rest.min(size as usize);
        match self.range(offset, wanted).and_then(|range| bytes.get(range)) {
            Some(found) => reply.data(found),
            None => reply.data(&[]),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self
            .range(offset, data.len())
            .and_then(|range| bytes.get_mut(range));
        let (Some(place), Ok(length)) = (place, u32::try_from(data.len())) else {
            return reply.error(Errno::ENOSPC);
        };
        place.copy_from_slice(data);
        self.log.add(Event::Write {
            offset,
            data: data.into(),
        });
        reply.written(length);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.log.add(Event::Flush);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A close of the file, which makes nothing durable.
        reply.ok();
    }
}
