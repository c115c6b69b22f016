//! The kernel's requests, answered from an [`Image`].

use super::image::{File, Folder, Image, Node, Outcome};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the kernel may keep what it was told: only it changes anything.
const TTL: Duration = Duration::from_secs(60);
/// Blocks that are said to be free, of 4 KiB: 64 GiB.
const FREE: u64 = 1 << 24;

/// An image under a mount point.
pub struct FileSystem {
    image: Arc<Mutex<Image>>,
}

impl FileSystem {
    /// Serves an image.
    pub fn new(image: Arc<Mutex<Image>>) -> Self {
        Self { image }
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        // An image is whole between two statements that change it.
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attributes(image: &mut Image, number: u64) -> Outcome<FileAttr> {
    let (kind, perm, size, nlink) = match image.node(number)? {
        Node::File(file) => (FileType::RegularFile, file.mode, file.now.len() as u64, 1),
        Node::Folder(folder) => (FileType::Directory, folder.mode, 0, 2),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink,
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn permissions(mode: u32, umask: u32) -> u16 {
    (mode & !umask & 0o7777) as u16
}

fn done(outcome: Outcome<()>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(Errno::from_i32(error)),
    }
}

fn entry(outcome: Outcome<FileAttr>, reply: ReplyEntry) {
    match outcome {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(Errno::from_i32(error)),
    }
}

impl Filesystem for FileSystem {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut image = self.image();
        entry(image.lookup(parent.0, name).and_then(|number| attributes(&mut image, number)), reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&mut self.image(), number.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut image = self.image();
        let mut change = || -> Outcome<FileAttr> {
            if let Some(size) = size {
                image.file(number.0)?.set_length(size as usize);
            }
            if let Some(mode) = mode {
                match image.node(number.0)? {
                    Node::File(file) => file.mode = permissions(mode, 0),
                    Node::Folder(folder) => folder.mode = permissions(mode, 0),
                }
            }
            attributes(&mut image, number.0)
        };
        match change() {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let folder = Folder::new(permissions(mode, umask));
        let mut image = self.image();
        let made = image.make(parent.0, name, Node::Folder(folder));
        entry(made.and_then(|number| attributes(&mut image, number)), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.image().remove(parent.0, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.image().remove(parent.0, name, true), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let outcome = if flags.is_empty() {
            self.image().rename((parent.0, name), (new_parent.0, new_name))
        } else {
            Err(libc::EINVAL)
        };
        done(outcome, reply);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let file = File::new(permissions(mode, umask));
        let mut image = self.image();
        let made = image.make(parent.0, name, Node::File(file));
        match made.and_then(|number| attributes(&mut image, number)) {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let mut image = self.image();
        let outcome = image.file(number.0).map(|file| {
            if flags.0 & libc::O_TRUNC != 0 {
                file.set_length(0);
            }
        });
        match outcome {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.image().file(number.0) {
            Ok(file) => {
                let rest = file.now.get(offset as usize..).unwrap_or_default();
                reply.data(&rest[..rest.len().min(size as usize)]);
            }
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.image().file(number.0) {
            Ok(file) => {
                file.write(offset as usize, data);
                reply.written(data.len() as u32);
            }
            Err(error) => reply.error(Errno::from_i32(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.image().file(number.0).map(File::sync), reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.image().folder(number.0).map(Folder::sync), reply);
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut image = self.image();
        let entries: Vec<_> = match image.folder(number.0) {
            Ok(folder) => folder.now.iter().map(|(name, number)| (name.clone(), *number)).collect(),
            Err(error) => return reply.error(Errno::from_i32(error)),
        };
        for (at, (name, number)) in entries.into_iter().enumerate().skip(offset as usize) {
            let kind = match image.node(number) {
                Ok(Node::Folder(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(number), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let outcome = match mode {
            libc::FALLOC_FL_KEEP_SIZE => self.image().file(number.0).map(|_| ()),
            0 => self.image().file(number.0).map(|file| {
                let end = (offset + length) as usize;
                if end > file.now.len() {
                    file.set_length(end);
                }
            }),
            _ => Err(libc::EOPNOTSUPP),
        };
        done(outcome, reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(FREE, FREE, FREE, FREE, FREE, 4096, 255, 4096);
    }
}
