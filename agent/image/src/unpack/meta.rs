//! Owners, modes, times and attributes of what a layer makes.

use crate::tarball::Entry;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// Whose the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    /// As the layer says. Takes the right to give files away.
    Kept,
    /// The user's who unpacks, since it cannot give files away.
    Mine,
}

/// Whether devices of layers are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// They are refused: containers get theirs from the runtime.
    #[default]
    Refused,
    /// They are made, but for 0:0.
    Allowed,
}

/// An entry's owner as Linux stores it, none if it cannot.
pub(super) fn owner(entry: &Entry) -> Option<(Uid, Gid)> {
    // The highest number means "leave it" to chown.
    let fits = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
    Some((Uid::from_raw(fits(entry.uid)?), Gid::from_raw(fits(entry.gid)?)))
}

/// An entry's time, for both of a file's.
pub(super) fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    // What file systems store: 1901 to 2446.
    let tv_sec = seconds.clamp(-(1 << 31), 15_032_385_535);
    let both = Timespec { tv_sec, tv_nsec: nanos.min(999_999_999).into() };
    Timestamps { last_access: both, last_modification: both }
}

/// Gives an open file or folder its owner, mode and attributes. Giving away clears setuid and capabilities, so it comes
/// first. Gives back what was left out.
pub(super) fn set_open(fd: impl AsFd, entry: &Entry, owners: Owners) -> Result<Vec<String>, Errno> {
    let mut left_out = Vec::new();
    if let (Owners::Kept, Some((uid, gid))) = (owners, owner(entry)) {
        left_out.extend(given(entry, rustix::fs::fchown(&fd, Some(uid), Some(gid)))?);
    }
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        if !wanted(name) || !set_xattr(&fd, name, value)? {
            left_out.push(format!("the attribute {}", String::from_utf8_lossy(name)));
        }
    }
    Ok(left_out)
}

/// Gives a link, device or pipe its owner, and all but links their mode.
pub(super) fn set_named(
    dir: impl AsFd,
    name: &[u8],
    entry: &Entry,
    owners: Owners,
    link: bool,
) -> Result<Vec<String>, Errno> {
    let mut left_out = Vec::new();
    if let (Owners::Kept, Some((uid, gid))) = (owners, owner(entry)) {
        let result = rustix::fs::chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        left_out.extend(given(entry, result)?);
    }
    if !link {
        // It was made a moment ago in a folder that is nobody else's; a link in its place would stay within the store.
        rustix::fs::chmodat(&dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    rustix::fs::utimensat(&dir, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(left_out)
}

/// An owner that this user namespace has no number for is left out: the file stays with who unpacks.
fn given(entry: &Entry, result: Result<(), Errno>) -> Result<Option<String>, Errno> {
    match result {
        Ok(()) => Ok(None),
        Err(Errno::INVAL) => Ok(Some(format!("the owner {}:{}", entry.uid, entry.gid))),
        Err(error) => Err(error),
    }
}

/// What an image may bring. Labels and signatures of another machine's policy mean nothing here.
fn wanted(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.")
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

/// Sets an attribute; false if the file system has none of this kind, or this user may not set it.
pub(crate) fn set_xattr(fd: impl AsFd, name: &[u8], value: &[u8]) -> Result<bool, Errno> {
    match rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::INVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The attribute's name if it is one by which overlayfs is steered.
pub(super) fn steering(entry: &Entry) -> Option<String> {
    let steers = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let found = entry.xattrs.iter().find(|(name, _)| steers(name));
    found.map(|(name, _)| String::from_utf8_lossy(name).into_owned())
}
