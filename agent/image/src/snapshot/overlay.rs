//! Overlayfs: what is mounted over what, as a value, and its mounting.
//!
//! By the new mount API each lower folder is one `lowerdir+` (Linux 6.7), so that neither the page that options have to
//! fit in nor colons in paths matter. Older kernels get the classic options; where those do not fit, folders are named
//! by way of a descriptor of the store (`/proc/self/fd/N/…`), which is shorter, and changes no process's folder.

use super::mounts::bytes;
use crate::store::{Store, StoreError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::fmt;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// The kernel takes one page of options, with a NUL at its end.
const PAGE: usize = 4095;
/// A single value of the new API has 255 bytes at most.
const VALUE: usize = 255;

/// What overlayfs merges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Read-only folders, the topmost first.
    pub lowers: Vec<PathBuf>,
    /// The writable folder, and the one overlayfs works in; none for a root that is only read.
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Whether attributes are `user.overlay.*`, as without root.
    pub user_xattr: bool,
}

/// Whether overlayfs works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It does, by this API.
    Works(&'static str),
    /// It does not, and why: a clause that goes on after "since".
    Not(String),
}

impl fmt::Display for Overlay {
    /// As `mount -t overlay -o` takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.options(|path| bytes(path).to_vec())))
    }
}

impl Overlay {
    /// The classic options, in which backslashes, commas and colons of paths are escaped.
    fn options(&self, name: impl Fn(&Path) -> Vec<u8>) -> Vec<u8> {
        let escaped = |path: &Path, special: &[u8]| {
            let mut text = Vec::new();
            for byte in name(path) {
                if special.contains(&byte) {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text
        };
        let lowers: Vec<Vec<u8>> = self.lowers.iter().map(|lower| escaped(lower, b"\\:,")).collect();
        let mut options = b"lowerdir=".to_vec();
        options.extend(lowers.join(&b':'));
        if let Some((upper, work)) = &self.upper {
            for (key, path) in [(&b",upperdir="[..], upper), (b",workdir=", work)] {
                options.extend(key);
                options.extend(escaped(path, b"\\,"));
            }
        }
        if self.user_xattr {
            options.extend(b",userxattr");
        }
        options
    }

    /// Mounts it.
    pub(super) fn mount(&self, target: &Path) -> Result<(), StoreError> {
        let told = |errno: Errno| StoreError::Mount {
            what: format!("overlay ({self})"),
            target: target.to_owned(),
            source: errno.into(),
        };
        match self.detached() {
            Ok(mount) => {
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                rustix::mount::move_mount(&mount, c"", rustix::fs::CWD, target, flags).map_err(told)
            }
            // No such calls, or no `lowerdir+`: what both know is tried, and its error is the one that tells.
            Err(_) => self.classic(target).map_err(told),
        }
    }

    /// A mount that is nowhere yet, and vanishes with its descriptor.
    fn detached(&self) -> Result<OwnedFd, Errno> {
        let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for lower in &self.lowers {
            set(&context, "lowerdir+", lower)?;
        }
        if let Some((upper, work)) = &self.upper {
            set(&context, "upperdir", upper)?;
            set(&context, "workdir", work)?;
        }
        if self.user_xattr {
            rustix::mount::fsconfig_set_flag(&context, c"userxattr")?;
        }
        rustix::mount::fsconfig_create(&context)?;
        let mut attributes = MountAttrFlags::empty();
        if self.upper.is_none() {
            attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
        }
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    }

    /// By the way of older kernels alone.
    #[cfg(test)]
    pub(super) fn mount_classic(&self, target: &Path) -> Result<(), Errno> {
        self.classic(target)
    }

    fn classic(&self, target: &Path) -> Result<(), Errno> {
        let mut options = self.options(|path| bytes(path).to_vec());
        let mut kept = Vec::new();
        if options.len() > PAGE {
            // `layers` is two above each lower folder.
            let common =
                self.lowers.first().and_then(|lower| lower.parent()?.parent()).ok_or(Errno::TOOBIG)?;
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(common, flags, Mode::empty())?;
            let short = format!("/proc/self/fd/{}/", dir.as_raw_fd());
            options = self.options(|path| match path.strip_prefix(common) {
                Ok(rest) => [short.as_bytes(), bytes(rest)].concat(),
                Err(_) => bytes(path).to_vec(),
            });
            kept.push(dir);
            if options.len() > PAGE {
                return Err(Errno::TOOBIG);
            }
        }
        let flags = if self.upper.is_none() { MountFlags::RDONLY } else { MountFlags::empty() };
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        let mounted = rustix::mount::mount(c"overlay", target, c"overlay", flags, options.as_c_str());
        drop(kept);
        mounted
    }
}

fn set(context: &OwnedFd, key: &str, path: &Path) -> Result<(), Errno> {
    if bytes(path).len() > VALUE {
        return Err(Errno::NAMETOOLONG);
    }
    rustix::mount::fsconfig_set_string(context, key, path)
}

/// Tries it, on folders in the store's `tmp`.
pub(super) fn probe(store: &Store) -> Probe {
    let Some(user_xattr) = store.whiteouts().overlay() else {
        return Probe::Not(
            "this user may make neither of the marks by which overlayfs reads deletions in the store's file system"
                .to_owned(),
        );
    };
    let dir = store.temporary("probe");
    let result = try_in(&dir, user_xattr);
    // A leftover is cleared at the next opening.
    drop(store.remove_temporary(&dir));
    match result {
        Ok(how) => Probe::Works(how),
        Err(error) => Probe::Not(format!("the kernel would not mount overlayfs over the store ({error})")),
    }
}

fn try_in(dir: &Path, user_xattr: bool) -> std::io::Result<&'static str> {
    let [below, other, upper, work, target] =
        ["below", "other", "upper", "work", "target"].map(|name| dir.join(name));
    for folder in [&below, &other, &upper, &work, &target] {
        fs::create_dir_all(folder)?;
    }
    let overlay = Overlay { lowers: vec![below, other], upper: Some((upper, work)), user_xattr };
    if overlay.detached().is_ok() {
        return Ok("each layer by lowerdir+");
    }
    overlay.classic(&target)?;
    super::unmount_below(&target)?;
    Ok("by classic mount options")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_as_mount_takes_them() {
        let overlay = Overlay {
            lowers: vec!["/s/layers/2/fs".into(), "/s/a:b,c\\d".into()],
            upper: Some(("/s/u,p".into(), "/s/w".into())),
            user_xattr: true,
        };
        assert_eq!(
            overlay.to_string(),
            r"lowerdir=/s/layers/2/fs:/s/a\:b\,c\\d,upperdir=/s/u\,p,workdir=/s/w,userxattr"
        );
        let read = Overlay { lowers: vec!["/a".into(), "/b".into()], upper: None, user_xattr: false };
        assert_eq!(read.to_string(), "lowerdir=/a:/b");
    }
}
