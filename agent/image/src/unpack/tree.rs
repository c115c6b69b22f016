//! A folder that nothing made here can leave.
//!
//! The way to an entry is resolved by the kernel with the folder as its root (openat2, `RESOLVE_IN_ROOT`), atomically,
//! so that no link and no race leads out of it. Kernels before 5.6 have no openat2: there each step is opened without
//! following links, and a link on the way is refused. The last component is never followed in either.

use super::entry_path::EntryPath;
use super::refusal::Refusal;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

const WAY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Why a way could not be gone.
#[derive(Debug)]
pub(crate) enum TreeError {
    /// Something that is not done.
    Refused(Refusal),
    /// The kernel's word.
    Os(Errno),
}

impl From<Errno> for TreeError {
    fn from(errno: Errno) -> Self {
        Self::Os(errno)
    }
}

/// How ways are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// By openat2.
    Kernel,
    /// Step by step, without following links.
    Steps,
}

/// The folder, and the parent that was used last.
pub(crate) struct Tree {
    root: Rc<OwnedFd>,
    resolver: Resolver,
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl Tree {
    /// Takes an open folder for a root.
    pub(crate) fn new(root: OwnedFd) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let probe = rustix::fs::openat2(&root, ".", flags, Mode::empty(), ResolveFlags::IN_ROOT);
        // Seccomp profiles of old answer EPERM for calls they do not know.
        let resolver = match probe {
            Err(Errno::NOSYS | Errno::PERM) => Resolver::Steps,
            _ => Resolver::Kernel,
        };
        Self::with_resolver(root, resolver)
    }

    /// With a resolver that tests choose.
    pub(crate) fn with_resolver(root: OwnedFd, resolver: Resolver) -> Self {
        Self { root: Rc::new(root), resolver, last: None }
    }

    /// The folder in which an entry lies; made if it is missing and `make` says so.
    pub(crate) fn parent(&mut self, parent: &[u8], make: bool) -> Result<Rc<OwnedFd>, TreeError> {
        if parent.is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((path, fd)) = &self.last
            && path == parent
        {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(match self.open(parent) {
            Err(TreeError::Os(Errno::NOENT)) if make => self.make_way(parent)?,
            other => other?,
        });
        self.last = Some((parent.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Forgets the parent that was used last: something on the way may be another now.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// Opens a folder's way, following links within the root.
    fn open(&self, path: &[u8]) -> Result<OwnedFd, TreeError> {
        match self.resolver {
            Resolver::Kernel => loop {
                let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                match rustix::fs::openat2(&*self.root, path, WAY, Mode::empty(), flags) {
                    // A rename elsewhere on the machine made the kernel unsure.
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                        return Err(TreeError::Refused(Refusal::Way));
                    }
                    other => return Ok(other?),
                }
            },
            Resolver::Steps => {
                let mut at: Option<OwnedFd> = None;
                for part in path.split(|byte| *byte == b'/') {
                    let from = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
                    let next = rustix::fs::openat(from, part, WAY | OFlags::NOFOLLOW, Mode::empty());
                    at = Some(match next {
                        Err(Errno::NOTDIR | Errno::LOOP) => {
                            let found = rustix::fs::statat(from, part, AtFlags::SYMLINK_NOFOLLOW)?;
                            let link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
                            let why = if link { Refusal::LinkOnTheWay } else { Refusal::Way };
                            return Err(TreeError::Refused(why));
                        }
                        other => other?,
                    });
                }
                at.ok_or(TreeError::Os(Errno::NOENT))
            }
        }
    }

    /// Makes the folders that are missing on a way, as those that an archive forgot to name.
    fn make_way(&self, path: &[u8]) -> Result<OwnedFd, TreeError> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let way = &path[..end];
            match self.open(way) {
                Err(TreeError::Os(Errno::NOENT)) => {
                    let (parent, name) = match way.iter().rposition(|byte| *byte == b'/') {
                        Some(at) => (Some(self.open(&way[..at])?), &way[at + 1..]),
                        None => (None, way),
                    };
                    let parent = parent.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
                    let mode = Mode::from_raw_mode(0o755);
                    match rustix::fs::mkdirat(parent, name, mode) {
                        Ok(()) => {}
                        // It is there and could not be opened: a link that leads nowhere.
                        Err(Errno::EXIST) => return Err(TreeError::Refused(Refusal::Way)),
                        Err(error) => return Err(error.into()),
                    }
                }
                other => drop(other?),
            }
        }
        self.open(path)
    }

    /// Opens a folder for reading, its last link not followed.
    pub(crate) fn open_dir(&mut self, path: &EntryPath) -> Result<OwnedFd, TreeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match path.split() {
            None => rustix::fs::openat(&*self.root, ".", flags, Mode::empty())?,
            Some((parent, name)) => {
                let parent = self.parent(parent, false)?;
                rustix::fs::openat(&parent, name, flags, Mode::empty())?
            }
        };
        Ok(fd)
    }
}

/// What lies in a folder under a name, not followed.
pub(crate) fn stat_in(dir: impl AsFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The type of what was looked at.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether it is overlayfs' mark of something deleted.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}
