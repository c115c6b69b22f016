//! Roots for containers in user namespaces: the store's files seen through a mapping of owners.
//!
//! Layers keep their owners on disk and are shared by everyone; the kernel shifts them on the way (idmapped mounts, Linux
//! 5.12; below overlayfs, 5.19). On overlayfs the writable folder is not shifted, since overlayfs works in it with the
//! rights of who mounts: what a container writes there as its root belongs on disk to whom its root is. In a copy,
//! it belongs to root again.

use super::overlay::Overlay;
use super::{Form, RootFs};
use crate::store::{StoreError, io_error};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

impl RootFs {
    /// Mounts it as [`RootFs::mount`] does, its owners shifted by a user namespace's mapping: what belongs to root on disk
    /// belongs to the namespace's root there. Takes the rights of root over the store's file system.
    ///
    /// # Errors
    /// With what was to be mounted, the place, and the kernel's reason; `EINVAL` is what it answers where the file system
    /// or the kernel shifts no owners.
    pub fn mount_mapped(&self, target: &Path, namespace: BorrowedFd<'_>) -> Result<(), StoreError> {
        let told = |what: String| {
            move |errno: Errno| StoreError::Mount { what, target: target.to_owned(), source: errno.into() }
        };
        match &self.form {
            Form::Copy(path) => {
                let what = format!("bind of {} with shifted owners", path.display());
                let attributes =
                    if self.read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
                clone_mapped(path, namespace, attributes)
                    .and_then(|mount| attach(&mount, target))
                    .map_err(told(what))
            }
            Form::Overlay(overlay) => {
                // Overlayfs shifts nothing itself; what it merges is looked at through a shifted view of the store.
                let view = self.store.join("snapshots").join(&self.id).join("mapped");
                match fs::create_dir(&view) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(io_error("making", &view)(error));
                    }
                    _ => {}
                }
                let shifted = through(overlay, &self.store, &view);
                let here = |doing, path: &Path| {
                    let path = path.to_owned();
                    move |source| StoreError::Io { doing, path, source }
                };
                clone_mapped(&self.store, namespace, MountAttrFlags::empty())
                    .and_then(|mount| attach(&mount, &view))
                    .map_err(told(format!("view of {} with shifted owners", self.store.display())))?;
                // The merged root is the namespace's root's, as what lies below it.
                let owned = match (&shifted.upper, shifted.lowers.first()) {
                    (Some((upper, _)), Some(top)) => fs::metadata(top)
                        .and_then(|seen| chown(upper, Some(seen.uid()), Some(seen.gid())))
                        .map_err(here("giving away", upper)),
                    _ => Ok(()),
                };
                let mounted = owned.and_then(|()| shifted.mount(target));
                // Overlayfs holds what it merges; the view itself is nobody's business.
                let gone = rustix::mount::unmount(&view, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
                mounted?;
                gone.map_err(told(format!("end of the view {}", view.display())))
            }
        }
    }
}

/// The same layers, seen through another mount of the store.
fn through(overlay: &Overlay, store: &Path, view: &Path) -> Overlay {
    let there =
        |path: &PathBuf| path.strip_prefix(store).map_or_else(|_| path.clone(), |rest| view.join(rest));
    Overlay {
        lowers: overlay.lowers.iter().map(there).collect(),
        upper: overlay.upper.clone(),
        user_xattr: overlay.user_xattr,
    }
}

fn attach(mount: &OwnedFd, target: &Path) -> Result<(), Errno> {
    rustix::mount::move_mount(mount, c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// A folder's mount a second time, nowhere yet, its owners shifted.
fn clone_mapped(
    path: &Path,
    namespace: BorrowedFd<'_>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, path, flags)?;
    let set = MountAttrFlags::MOUNT_ATTR_IDMAP | attributes;
    let attr = libc::mount_attr {
        attr_set: set.bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(namespace.as_raw_fd().unsigned_abs()),
    };
    #[expect(unsafe_code, reason = "neither rustix nor nix has mount_setattr")]
    // SAFETY: both descriptors are open as long as their owners live, the path is a literal, and the kernel reads no more
    // of the structure than the size that is given with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(tree);
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}
