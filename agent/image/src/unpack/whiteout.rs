//! How a layer says what it deletes: `.wh.NAME` in its tar, and one of three forms on disk.

use super::entry_path::EntryPath;
use super::refusal::Refusal;
use super::tree::stat_in;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

/// What begins a whiteout's name in a tar.
const PREFIX: &[u8] = b".wh.";
/// The one that hides all that lower layers have in its folder.
pub(crate) const OPAQUE_FILE: &[u8] = b".wh..wh..opq";

/// The form in which a store keeps whiteouts: the best that its file system and its user may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whiteouts {
    /// A character device 0:0, and `trusted.overlay.opaque`: overlayfs as root mounts it.
    Trusted,
    /// A character device 0:0, and `user.overlay.opaque`: overlayfs with `userxattr`, without root.
    User,
    /// As in the tar. Overlayfs does not read it: root file systems are copied then.
    Files,
}

impl fmt::Display for Whiteouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trusted => "devices and trusted.overlay attributes",
            Self::User => "devices and user.overlay attributes",
            Self::Files => ".wh. files",
        })
    }
}

impl Whiteouts {
    /// The attribute that makes a folder opaque, if this form has one.
    pub(crate) const fn opaque_attribute(self) -> Option<&'static str> {
        match self {
            Self::Trusted => Some("trusted.overlay.opaque"),
            Self::User => Some("user.overlay.opaque"),
            Self::Files => None,
        }
    }

    /// Whether overlayfs reads this form by `user.overlay.*`.
    pub(crate) const fn is_user(self) -> bool {
        matches!(self, Self::User)
    }

    /// Whether overlayfs has to be told `userxattr` to read this form; none if it cannot read it.
    pub(crate) const fn overlay(self) -> Option<bool> {
        match self {
            Self::Trusted => Some(false),
            Self::User => Some(true),
            Self::Files => None,
        }
    }

    /// Tries in a folder which form can be made there.
    pub(crate) fn probe(dir: &OwnedFd) -> Result<Self, Errno> {
        let name = b".whiteout-probe".as_slice();
        let made = rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0);
        let devices = match made {
            Ok(()) => {
                rustix::fs::unlinkat(dir, name, AtFlags::empty())?;
                true
            }
            Err(Errno::EXIST) => true,
            Err(_) => false,
        };
        match rustix::fs::mkdirat(dir, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let probe = rustix::fs::openat(dir, name, flags, Mode::empty())?;
        let takes = |form: &Self| {
            form.opaque_attribute()
                .is_some_and(|name| rustix::fs::fsetxattr(&probe, name, b"y", XattrFlags::empty()).is_ok())
        };
        let form = [Self::Trusted, Self::User].into_iter().find(|form| devices && takes(form));
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?;
        Ok(form.unwrap_or(Self::Files))
    }

    /// Marks an open folder as hiding all that lies below it.
    pub(crate) fn make_opaque(self, dir: impl AsFd) -> Result<(), Errno> {
        match self.opaque_attribute() {
            Some(name) => rustix::fs::fsetxattr(&dir, name, b"y", XattrFlags::empty()),
            None => touch(&dir, OPAQUE_FILE),
        }
    }

    /// Whether an open folder hides all that lies below it.
    pub(crate) fn is_opaque(self, dir: impl AsFd) -> Result<bool, Errno> {
        let Some(name) = self.opaque_attribute() else {
            return Ok(stat_in(&dir, OPAQUE_FILE)?.is_some());
        };
        match rustix::fs::fgetxattr(&dir, name, &mut [0_u8; 8][..]) {
            Ok(_) => Ok(true),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Marks a name in a folder as deleted.
    pub(crate) fn delete(self, dir: impl AsFd, name: &[u8]) -> Result<(), Errno> {
        match self {
            Self::Trusted | Self::User => {
                rustix::fs::mknodat(&dir, name, FileType::CharacterDevice, Mode::empty(), 0)
            }
            Self::Files => touch(&dir, &[PREFIX, name].concat()),
        }
    }
}

fn touch(dir: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&dir, name, flags, Mode::empty()).map(drop)
}

/// What an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What it says.
    Entry,
    /// The named sibling is deleted.
    Deleted(Vec<u8>),
    /// All that lower layers have in the parent is deleted.
    Opaque,
    /// Something of AUFS that means nothing here.
    Nothing,
}

impl Meaning {
    pub(super) fn of(path: &EntryPath) -> Result<Self, Refusal> {
        let Some((parent, name)) = path.split() else { return Ok(Self::Entry) };
        // A whiteout cannot have anything in it: `.wh.x/y` would be read in two ways.
        if parent.split(|byte| *byte == b'/').any(|part| part.starts_with(PREFIX)) {
            return Err(Refusal::Whiteout);
        }
        let Some(target) = name.strip_prefix(PREFIX) else { return Ok(Self::Entry) };
        match target {
            b".wh..opq" => Ok(Self::Opaque),
            b"" | b"." | b".." => Err(Refusal::Whiteout),
            _ if target.starts_with(PREFIX) => Ok(Self::Nothing),
            _ => Ok(Self::Deleted(target.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn names_mean_what_the_specification_says() {
        let meaning = |name: &[u8]| Meaning::of(&EntryPath::parse(name, &Limits::default()).unwrap());
        assert_eq!(meaning(b"a/b"), Ok(Meaning::Entry));
        assert_eq!(meaning(b"a/.wh.b"), Ok(Meaning::Deleted(b"b".to_vec())));
        assert_eq!(meaning(b"a/.wh..wh..opq"), Ok(Meaning::Opaque));
        assert_eq!(meaning(b".wh..wh.plnk"), Ok(Meaning::Nothing));
        for refused in [&b".wh."[..], b".wh..", b".wh...", b"x/.wh.a/b"] {
            assert_eq!(meaning(refused), Err(Refusal::Whiteout), "{refused:?}");
        }
    }
}
