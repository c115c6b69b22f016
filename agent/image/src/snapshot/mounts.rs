//! What is mounted, and taking it away.

use crate::store::StoreError;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Mount points at or below a path, deepest last, as the kernel lists them.
fn below(list: &[u8], path: &Path) -> Vec<PathBuf> {
    let points = list.split(|byte| *byte == b'\n').filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some(PathBuf::from(OsString::from_vec(unescape(field))))
    });
    points.filter(|point| point.starts_with(path)).collect()
}

/// `\040` and the like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, more)) = rest.split_first() {
        let octal = |digits: &[u8]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match (*first, more.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                text.push(byte);
                rest = &more[3..];
            }
            (byte, _) => {
                text.push(byte);
                rest = more;
            }
        }
    }
    text
}

/// Unmounts whatever this mount namespace has mounted at or below a path. No link is followed.
pub(crate) fn unmount_below(path: &Path) -> io::Result<()> {
    // The kernel lists paths as they are without links.
    let path = match std::fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let list = match std::fs::read("/proc/thread-self/mountinfo") {
        Ok(list) => list,
        // Without /proc nothing was mounted by way of it either.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for point in below(&list, &path).into_iter().rev() {
        match rustix::mount::unmount(&point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // Gone meanwhile, with what it lay on.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Mounts a folder a second time.
pub(super) fn bind(from: &Path, target: &Path, read_only: bool) -> Result<(), StoreError> {
    let told = |errno: Errno| StoreError::Mount {
        what: format!("bind of {}{}", from.display(), if read_only { ",ro" } else { "" }),
        target: target.to_owned(),
        source: errno.into(),
    };
    rustix::mount::mount_bind(from, target).map_err(told)?;
    if read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        if let Err(errno) = rustix::mount::mount_remount(target, flags, c"") {
            // Never leave it writable.
            let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
            return Err(told(errno));
        }
    }
    Ok(())
}

/// Whether a path can stand in mount options whatever it is: its bytes.
pub(super) fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_found_with_their_escapes() {
        let list = b"1 2 0:1 / / rw - ext4 a rw\n3 1 0:2 / /s/a\\040b rw - overlay o rw\n4 3 0:3 / /s/a\\040b/proc rw - proc p rw\n5 1 0:4 / /sa rw - proc p rw\n";
        let found = below(list, Path::new("/s"));
        assert_eq!(found, [PathBuf::from("/s/a b"), PathBuf::from("/s/a b/proc")]);
    }
}
