//! Layers copied one over the other, where overlayfs is not to be had.
//!
//! Both trees are gone down together by descriptors, and no link is followed in either. Contents are shared by reflink
//! where the file system can, and copied with their holes where it cannot.

use crate::limits::COPY_DEPTH;
use crate::remove::remove_in;
use crate::unpack::{OPAQUE_FILE, Whiteouts, file_type, is_whiteout, stat_in};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Applies a layer to a tree, as overlayfs would show it on top.
pub(super) fn apply(layer: &OwnedFd, tree: &OwnedFd, whiteouts: Whiteouts) -> Result<(), Errno> {
    let owners = rustix::process::geteuid().is_root();
    let root = tree.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let mut copier =
        Copier { whiteouts, owners, reflink: true, root, way: Vec::new(), linked: BTreeMap::new() };
    copier.folder(layer, tree, 0)?;
    like_with(layer, tree, owners)
}

/// Gives a folder another's owner, mode and times, and what attributes it has besides overlayfs'.
pub(super) fn like(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    like_with(from, to, rustix::process::geteuid().is_root())
}

struct Copier {
    whiteouts: Whiteouts,
    owners: bool,
    /// Whether the file system shares contents; it is asked until it refuses.
    reflink: bool,
    root: OwnedFd,
    /// From the root to the folder that is being made.
    way: Vec<u8>,
    /// Files of several names, and what the first of them is called, from the root.
    linked: BTreeMap<(u64, u64), Vec<u8>>,
}

impl Copier {
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, depth: usize) -> Result<(), Errno> {
        if depth > COPY_DEPTH {
            return Err(Errno::NAMETOOLONG);
        }
        let names = names(from)?;
        if self.whiteouts.is_opaque(from)? {
            for name in self::names(to)? {
                remove_in(to, &name)?;
            }
        }
        for name in &names {
            if self.whiteouts == Whiteouts::Files && name == OPAQUE_FILE {
                continue;
            }
            if let (Whiteouts::Files, Some(deleted)) = (self.whiteouts, name.strip_prefix(b".wh.")) {
                // What the layer itself has under that name comes after, or came before and stays.
                if stat_in(from, deleted)?.is_none_or(|stat| file_type(&stat) == FileType::Directory) {
                    remove_in(to, deleted)?;
                }
            }
        }
        for name in &names {
            if self.whiteouts == Whiteouts::Files && name.starts_with(b".wh.") {
                continue;
            }
            let Some(stat) = stat_in(from, name)? else { continue };
            self.entry(from, to, name, &stat, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        depth: usize,
    ) -> Result<(), Errno> {
        if self.whiteouts != Whiteouts::Files && is_whiteout(stat) {
            return remove_in(to, name);
        }
        let there = stat_in(to, name)?;
        if file_type(stat) == FileType::Directory {
            match there.map(|there| file_type(&there)) {
                Some(FileType::Directory) => {}
                found => {
                    if found.is_some() {
                        remove_in(to, name)?;
                    }
                    rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                }
            }
            let below = rustix::fs::openat(from, name, FOLDER, Mode::empty())?;
            let into = rustix::fs::openat(to, name, FOLDER, Mode::empty())?;
            let length = self.way.len();
            self.way.extend(if length == 0 { &b""[..] } else { b"/" });
            self.way.extend(name);
            self.folder(&below, &into, depth + 1)?;
            self.way.truncate(length);
            return like_with(&below, &into, self.owners);
        }
        if there.is_some() {
            remove_in(to, name)?;
        }
        if stat.st_nlink > 1 {
            let key = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.linked.get(&key) {
                match rustix::fs::linkat(&self.root, first.as_slice(), to, name, AtFlags::empty()) {
                    // Deeper than a path can name: it becomes a file of its own.
                    Err(Errno::NAMETOOLONG) => {}
                    linked => return linked,
                }
            }
            let first = [self.way.as_slice(), name].join(&b'/');
            self.linked.entry(key).or_insert_with(|| first.strip_prefix(b"/").unwrap_or(&first).to_vec());
        }
        match file_type(stat) {
            FileType::RegularFile => self.file(from, to, name, stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target.as_c_str(), to, name)?;
                self.named(to, name, stat, true)
            }
            kind => {
                rustix::fs::mknodat(to, name, kind, Mode::RUSR | Mode::WUSR, stat.st_rdev)?;
                self.named(to, name, stat, false)
            }
        }
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &[u8], stat: &Stat) -> Result<(), Errno> {
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = rustix::fs::openat(from, name, read, Mode::empty())?;
        let make = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = rustix::fs::openat(to, name, make, Mode::RUSR | Mode::WUSR)?;
        self.reflink = self.reflink && rustix::fs::ioctl_ficlone(&target, &source).is_ok();
        if !self.reflink {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            contents(&source, &target, size)?;
        }
        like_with(&source, &target, self.owners)
    }

    fn named(&self, dir: &OwnedFd, name: &[u8], stat: &Stat, link: bool) -> Result<(), Errno> {
        if self.owners {
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            mapped(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))?;
        }
        if !link {
            rustix::fs::chmodat(dir, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
        }
        rustix::fs::utimensat(dir, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Owner, mode, attributes and times of an open file or folder.
fn like_with(from: &OwnedFd, to: &OwnedFd, owners: bool) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(from)?;
    if owners {
        mapped(rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))))?;
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for name in attributes(from)? {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::fgetxattr(from, name.as_slice(), &mut value[..])?;
        match rustix::fs::fsetxattr(to, name.as_slice(), &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) => {}
            Err(error) => return Err(error),
        }
    }
    rustix::fs::futimens(to, &times(&stat))
}

/// An owner that this user namespace has no number for stays as it is.
fn mapped(given: Result<(), Errno>) -> Result<(), Errno> {
    if given == Err(Errno::INVAL) { Ok(()) } else { given }
}

fn times(stat: &Stat) -> Timestamps {
    let time =
        |seconds: i64, nanos: u64| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanos).unwrap_or(0) };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn names(dir: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Names of a file's attributes, without overlayfs' own.
fn attributes(fd: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut list = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(fd, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let all = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let own = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    Ok(all.filter(|name| !own(name)).map(<[u8]>::to_vec).collect())
}

/// Copies what is data and leaves what is a hole.
fn contents(from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(()),
            // A file system that does not know its holes.
            Err(Errno::INVAL) => at,
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start)).unwrap_or(size).min(size);
        range(from, to, start, end)?;
        at = end.max(start + 1);
    }
    Ok(())
}

fn range(from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = Vec::new();
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
        if buffer.is_empty() {
            let (mut source, mut target) = (at, at);
            match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), most) {
                Ok(0) => return Ok(()),
                Ok(copied) => {
                    at += copied as u64;
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                    buffer = vec![0; 256 * 1024]
                }
                Err(error) => return Err(error),
            }
        }
        let most = most.min(buffer.len());
        let read = rustix::io::pread(from, &mut buffer[..most], at)?;
        if read == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < read {
            written += rustix::io::pwrite(to, &buffer[written..read], at + written as u64)?;
        }
        at += read as u64;
    }
    Ok(())
}
