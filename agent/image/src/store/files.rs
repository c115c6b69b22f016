//! Files replaced whole, and folders read.

use super::{StoreError, errno_error, io_error, open_dir};
use rustix::fs::Dir;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Writes a file so that a reader, and a machine after a crash, sees the old or the new one and never a part.
/// `temporary` is where it is made, in the same file system.
pub(crate) fn write_atomically(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write_synced(temporary, bytes)?;
    std::fs::rename(temporary, path).map_err(io_error("replacing", path))?;
    sync_parent(path)
}

/// Writes a file that is in a folder nobody knows yet.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = File::create(path).map_err(io_error("making", path))?;
    file.write_all(bytes).map_err(io_error("writing", path))?;
    file.sync_all().map_err(io_error("syncing", path))
}

/// Makes a rename last.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let dir = open_dir(parent)?;
    rustix::fs::fsync(&dir).map_err(|errno| errno_error("syncing", parent, errno))
}

/// The names in a folder.
pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

pub(super) fn path_of(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name))
}
