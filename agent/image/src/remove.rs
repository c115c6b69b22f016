//! Trees walked and removed as containers may have left them: any depth, any modes, links everywhere.
//!
//! One folder is open at a time, however deep: going up is by `..`, which has to be the folder that was left. No link
//! is followed and no other mount entered, so nothing outside is ever touched.

use crate::unpack::{file_type, stat_in};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Entries that are looked at together.
const BATCH: usize = 1024;
/// Somebody who goes on making files does not keep a removal busy for ever.
const ROUNDS: usize = 8;

/// A folder that was left for one below it.
struct Above {
    /// Folders in it that are still to be entered.
    pending: Vec<Vec<u8>>,
    /// The name of the one that was entered.
    entered: Vec<u8>,
    device: u64,
    inode: u64,
}

/// What is done on a walk.
trait Visit {
    /// With what is no folder.
    fn leaf(&mut self, dir: &OwnedFd, name: &[u8], stat: &Stat) -> Result<(), Errno>;
    /// Before a folder is entered.
    fn enter(&mut self, dir: &OwnedFd, name: &[u8], stat: &Stat) -> Result<(), Errno>;
    /// After all in it was visited.
    fn leave(&mut self, dir: &OwnedFd, name: &[u8]) -> Result<(), Errno>;
}

/// Removes what is called `name` in a folder, whatever it is; nothing there is no error.
pub(crate) fn remove_in(dir: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    let Some(stat) = stat_in(&dir, name)? else { return Ok(()) };
    if file_type(&stat) != FileType::Directory {
        return rustix::fs::unlinkat(&dir, name, AtFlags::empty());
    }
    let top = open(dir.as_fd(), name)?;
    if rustix::fs::fstat(&top)?.st_dev != rustix::fs::fstat(&dir)?.st_dev {
        return Err(Errno::XDEV);
    }
    drop(top);
    let mut rounds = 0;
    loop {
        walk(open(dir.as_fd(), name)?, &mut Remover)?;
        rounds += 1;
        match rustix::fs::unlinkat(&dir, name, AtFlags::REMOVEDIR) {
            // Reading a folder while it shrinks may pass over entries.
            Err(Errno::NOTEMPTY) if rounds < ROUNDS => {}
            result => return result,
        }
    }
}

struct Remover;

impl Visit for Remover {
    fn leaf(&mut self, dir: &OwnedFd, name: &[u8], _: &Stat) -> Result<(), Errno> {
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn enter(&mut self, _: &OwnedFd, _: &[u8], _: &Stat) -> Result<(), Errno> {
        Ok(())
    }

    fn leave(&mut self, dir: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
            // Those above are not empty then either, and all of it is gone through once more.
            Ok(()) | Err(Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What a tree takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of blocks, each file counted once however many names it has.
    pub bytes: u64,
    /// Files, folders and links.
    pub inodes: u64,
}

/// Measures a tree. It may change meanwhile: what is gone when it is looked at does not count.
pub(crate) fn usage(dir: OwnedFd) -> Result<Usage, Errno> {
    let mut meter = Meter::default();
    meter.count(&rustix::fs::fstat(&dir)?);
    walk(dir, &mut meter)?;
    Ok(meter.usage)
}

#[derive(Default)]
struct Meter {
    usage: Usage,
    /// Files of several names that were counted.
    linked: BTreeSet<(u64, u64)>,
}

impl Meter {
    fn count(&mut self, stat: &Stat) {
        let many = stat.st_nlink > 1 && file_type(stat) != FileType::Directory;
        if many && !self.linked.insert((stat.st_dev, stat.st_ino)) {
            return;
        }
        self.usage.inodes += 1;
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        self.usage.bytes = self.usage.bytes.saturating_add(blocks.saturating_mul(512));
    }
}

impl Visit for Meter {
    fn leaf(&mut self, _: &OwnedFd, _: &[u8], stat: &Stat) -> Result<(), Errno> {
        self.count(stat);
        Ok(())
    }

    fn enter(&mut self, _: &OwnedFd, _: &[u8], stat: &Stat) -> Result<(), Errno> {
        self.count(stat);
        Ok(())
    }

    fn leave(&mut self, _: &OwnedFd, _: &[u8]) -> Result<(), Errno> {
        Ok(())
    }
}

fn walk(top: OwnedFd, visit: &mut impl Visit) -> Result<(), Errno> {
    let device = rustix::fs::fstat(&top)?.st_dev;
    let mut above: Vec<Above> = Vec::new();
    let mut pending = leaves(&top, visit)?;
    let mut here = top;
    loop {
        if let Some(name) = pending.pop() {
            let Some(stat) = stat_in(&here, &name)? else { continue };
            if file_type(&stat) != FileType::Directory {
                visit.leaf(&here, &name, &stat)?;
                continue;
            }
            if stat.st_dev != device {
                return Err(Errno::XDEV);
            }
            visit.enter(&here, &name, &stat)?;
            let below = match open(here.as_fd(), &name) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            let of_here = rustix::fs::fstat(&here)?;
            let within = leaves(&below, visit)?;
            above.push(Above {
                pending: std::mem::replace(&mut pending, within),
                entered: name,
                device: of_here.st_dev,
                inode: of_here.st_ino,
            });
            here = below;
            continue;
        }
        let Some(up) = above.pop() else { return Ok(()) };
        let parent = rustix::fs::openat(&here, "..", FOLDER, Mode::empty())?;
        let found = rustix::fs::fstat(&parent)?;
        if (found.st_dev, found.st_ino) != (up.device, up.inode) {
            // Somebody moved the folder: `..` is not where this walk came from.
            return Err(Errno::STALE);
        }
        here = parent;
        pending = up.pending;
        visit.leave(&here, &up.entered)?;
    }
}

/// Visits what is no folder, and gives the names of those that are. A folder may have any number of entries: those
/// that are no folders are looked at some at a time.
fn leaves(dir: &OwnedFd, visit: &mut impl Visit) -> Result<Vec<Vec<u8>>, Errno> {
    let (mut folders, mut some) = (Vec::new(), Vec::with_capacity(BATCH));
    let mut entries = Dir::read_from(dir)?;
    loop {
        let entry = entries.read().transpose()?;
        let last = entry.is_none();
        if let Some(entry) = entry {
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                some.push(name.to_vec());
            }
        }
        if last || some.len() == BATCH {
            for name in some.drain(..) {
                match stat_in(dir, &name)? {
                    Some(stat) if file_type(&stat) == FileType::Directory => folders.push(name),
                    Some(stat) => visit.leaf(dir, &name, &stat)?,
                    None => {}
                }
            }
        }
        if last {
            return Ok(folders);
        }
    }
}

/// Opens a folder of the same mount, giving its owner the right to first where a container took it away.
fn open(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let dir = dir.as_fd();
    match enter(dir, name, FOLDER) {
        Err(Errno::ACCESS) => {
            let path = enter(dir, name, FOLDER | OFlags::PATH)?;
            let way = format!("/proc/self/fd/{}", path.as_raw_fd());
            rustix::fs::chmod(way, Mode::RWXU)?;
            enter(dir, name, FOLDER)
        }
        other => other,
    }
}

/// What is mounted on a folder, be it of the same file system, is somebody else's. Kernels before 5.6 do not tell; there
/// the device that was compared has to do.
fn enter(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    loop {
        match rustix::fs::openat2(dir, name, flags, Mode::empty(), within) {
            Err(Errno::NOSYS | Errno::PERM) => return rustix::fs::openat(dir, name, flags, Mode::empty()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn fd(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, FOLDER, Mode::empty()).unwrap()
    }

    #[test]
    fn trees_go_whole_and_nothing_that_they_point_to() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        symlink(&outside, tree.join("a/out")).unwrap();
        symlink("..", tree.join("a/b/up")).unwrap();
        fs::hard_link(outside.join("kept"), tree.join("a/same")).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o0)).unwrap();
        remove_in(fd(dir.path()), b"tree").unwrap();
        assert!(!tree.exists());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        remove_in(fd(dir.path()), b"tree").unwrap();
    }

    #[test]
    fn depth_beyond_any_path_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let mut at = fd(dir.path());
        for _ in 0..1500 {
            rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, name.as_str(), FOLDER, Mode::empty()).unwrap();
        }
        drop(at);
        assert_eq!(usage(fd(dir.path())).unwrap().inodes, 1501);
        remove_in(fd(dir.path()), name.as_bytes()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_of_two_names_count_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), vec![1; 8192]).unwrap();
        let one = usage(fd(dir.path())).unwrap();
        fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_eq!(usage(fd(dir.path())).unwrap(), one);
        assert!(one.bytes >= 8192);
    }
}
