//! Root file systems of containers: layers below, one writable folder on top.
//!
//! By overlayfs where it works in the store's file system for this user, else by copying the layers into one folder;
//! which, and why, is part of the value. What is to be mounted is a value as well ([`RootFs`]): it is made without
//! mounting anything, so that a process in another mount namespace can mount it.

mod copy;
mod mapped;
mod mounts;
mod overlay;

#[cfg(test)]
mod tests;

pub use overlay::{Overlay, Probe};

pub(crate) use mounts::unmount_below;

use crate::digest::Digest;
use crate::remove::{Usage, usage};
use crate::store::{Store, StoreError, check_id, errno_error, io_error, open_dir};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Which form a root file system is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Overlayfs where it works, else a copy.
    #[default]
    Best,
    /// Overlayfs or nothing.
    Overlay,
    /// A copy.
    Copy,
}

/// How a root file system is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootFsOptions {
    /// Which form.
    pub form: Wanted,
    /// Whether nothing may be written to it.
    pub read_only: bool,
}

/// A container's root file system, ready to be mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// The container's id.
    pub id: String,
    /// Where the store is.
    pub store: PathBuf,
    /// Which image it is of, by its manifest.
    pub manifest: Digest,
    /// How it is made.
    pub form: Form,
    /// Why in this way.
    pub reason: String,
    /// Whether nothing may be written to it.
    pub read_only: bool,
}

/// How a root file system is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Mounted.
    Overlay(Overlay),
    /// All of it lies in this folder.
    Copy(PathBuf),
}

impl RootFs {
    /// Where what the container writes lies; none if it writes nothing.
    #[must_use]
    pub fn writable(&self) -> Option<&Path> {
        match &self.form {
            Form::Overlay(overlay) => overlay.upper.as_ref().map(|(upper, _)| upper.as_path()),
            Form::Copy(path) => (!self.read_only).then_some(path.as_path()),
        }
    }

    /// Mounts it at a folder, in the mount namespace of the calling thread.
    ///
    /// # Errors
    /// With the options, the place, and the kernel's reason.
    pub fn mount(&self, target: &Path) -> Result<(), StoreError> {
        match &self.form {
            Form::Overlay(overlay) => overlay.mount(target),
            Form::Copy(path) => mounts::bind(path, target, self.read_only),
        }
    }
}

impl Store {
    fn snapshot_path(&self, id: &str) -> PathBuf {
        self.root().join("snapshots").join(id)
    }

    /// Makes a container's root file system of an image whose layers are unpacked (they are, if not). One that is there
    /// already, of the same image and form, is given back: asking twice is harmless.
    ///
    /// # Errors
    /// If the image is not whole, the id is none, overlayfs was insisted on in vain, or the disk would not.
    pub fn prepare(&self, id: &str, manifest: &Digest, options: RootFsOptions) -> Result<RootFs, StoreError> {
        check_id(id)?;
        let there = match self.snapshot(id) {
            // The machine crashed when it had just been made: nothing ran in it.
            Err(StoreError::Damaged(_)) => {
                self.remove_snapshot(id)?;
                None
            }
            Ok(None) if self.snapshot_path(id).exists() => {
                self.remove_snapshot(id)?;
                None
            }
            there => there?,
        };
        if let Some(there) = there {
            let form = match options.form {
                Wanted::Best => true,
                Wanted::Overlay => matches!(there.form, Form::Overlay(_)),
                Wanted::Copy => matches!(there.form, Form::Copy(_)),
            };
            if there.manifest == *manifest && there.read_only == options.read_only && form {
                return Ok(there);
            }
            return Err(StoreError::SnapshotExists(id.to_owned()));
        }
        let mut hold = self.hold();
        hold.add(manifest);
        let layers = self.unpack_image(manifest)?;
        let lowers: Vec<PathBuf> = layers.iter().map(|layer| self.layer_path(layer)).collect();
        let (overlay, reason) = if lowers.is_empty() && options.read_only {
            (
                false,
                "the image has no layers, and nothing is to be written: there is nothing to merge".to_owned(),
            )
        } else {
            self.choose(options.form)?
        };
        let making = self.temporary("snapshot");
        let place = self.snapshot_path(id);
        let made = self.fill(&making, &place, &lowers, overlay, options.read_only).and_then(|form| {
            let (id, store, read_only) = (id.to_owned(), self.root().to_owned(), options.read_only);
            let rootfs = RootFs { id, store, manifest: manifest.clone(), form, reason, read_only };
            let json = serde_json::to_vec_pretty(&rootfs)
                .map_err(|error| io_error("writing", &making)(error.into()))?;
            // Not synced: after a crash of the machine nobody runs in it, and every start would wait for the disk.
            let file = making.join("rootfs.json");
            fs::write(&file, json).map_err(io_error("writing", &file))?;
            fs::rename(&making, &place).map_err(io_error("placing", &place))?;
            Ok(rootfs)
        });
        if made.is_err() {
            drop(self.remove_temporary(&making));
        }
        made
    }

    /// Whether overlayfs is taken, and why.
    fn choose(&self, wanted: Wanted) -> Result<(bool, String), StoreError> {
        if wanted == Wanted::Copy {
            return Ok((false, "a copy was asked for".to_owned()));
        }
        match (self.overlay(), wanted) {
            (Probe::Works(how), _) => Ok((true, format!("overlayfs works here ({how})"))),
            (Probe::Not(why), Wanted::Overlay) => Err(StoreError::NoOverlay(why.clone())),
            (Probe::Not(why), _) => Ok((false, format!("copied, since {why}"))),
        }
    }

    /// Whether overlayfs can be mounted over this store by this process: tried once, by who asks first. Nothing is left
    /// mounted.
    #[must_use]
    pub fn overlay(&self) -> &Probe {
        self.probed().get_or_init(|| overlay::probe(self))
    }

    fn fill(
        &self,
        making: &Path,
        place: &Path,
        lowers: &[PathBuf],
        overlay: bool,
        read_only: bool,
    ) -> Result<Form, StoreError> {
        fs::create_dir(making).map_err(io_error("making", making))?;
        if !overlay {
            let tree = making.join("rootfs");
            fs::create_dir(&tree).map_err(io_error("making", &tree))?;
            let into = open_dir(&tree)?;
            for lower in lowers {
                copy::apply(&open_dir(lower)?, &into, self.whiteouts())
                    .map_err(|errno| errno_error("copying", lower, errno))?;
            }
            return Ok(Form::Copy(place.join("rootfs")));
        }
        let mut below = self.stack(lowers)?;
        let upper = if read_only {
            // Overlayfs wants two folders below where it has none on top.
            below.push(self.root().join("empty"));
            None
        } else {
            let (upper, work) = (making.join("upper"), making.join("work"));
            for folder in [&upper, &work] {
                fs::create_dir(folder).map_err(io_error("making", folder))?;
            }
            if let Some(top) = below.first() {
                // The merged root looks as the folder on top does.
                copy::like(&open_dir(top)?, &open_dir(&upper)?)
                    .map_err(|errno| errno_error("making", &upper, errno))?;
            }
            Some((place.join("upper"), place.join("work")))
        };
        if below.is_empty() {
            below.push(self.root().join("empty"));
        }
        Ok(Form::Overlay(Overlay { lowers: below, upper, user_xattr: self.whiteouts().is_user() }))
    }

    /// Layers as overlayfs takes them, the topmost first.
    fn stack(&self, lowers: &[PathBuf]) -> Result<Vec<PathBuf>, StoreError> {
        let mut stack: Vec<PathBuf> = Vec::new();
        for lower in lowers.iter().rev() {
            // An image may have a layer twice, empty ones above all. Overlayfs refuses that, and the upper one has all
            // that the lower one has.
            if stack.contains(lower) {
                continue;
            }
            stack.push(lower.clone());
            // Overlayfs does not ask the roots of layers whether they hide what is below.
            let dir = open_dir(lower)?;
            if self.whiteouts().is_opaque(&dir).map_err(|errno| errno_error("looking at", lower, errno))? {
                break;
            }
        }
        Ok(stack)
    }

    /// A container's root file system, if it has one.
    ///
    /// # Errors
    /// If the disk would not, or what is there is not whole ([`StoreError::Damaged`]).
    pub fn snapshot(&self, id: &str) -> Result<Option<RootFs>, StoreError> {
        check_id(id)?;
        let path = self.snapshot_path(id).join("rootfs.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io_error("reading", &path))?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| StoreError::Damaged(path))
    }

    /// The ids of all root file systems.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn snapshots(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.root().join("snapshots");
        let mut ids = Vec::new();
        for entry in fs::read_dir(&folder).map_err(io_error("reading", &folder))? {
            ids.push(entry.map_err(io_error("reading", &folder))?.file_name().to_string_lossy().into_owned());
        }
        ids.sort();
        Ok(ids)
    }

    /// What a container has written: bytes and inodes of its writable folder. A copy counts whole.
    ///
    /// # Errors
    /// If there is none, or the disk would not. `ESTALE` if folders were moved meanwhile: measure again.
    pub fn snapshot_usage(&self, id: &str) -> Result<Usage, StoreError> {
        let rootfs = self.snapshot(id)?.ok_or_else(|| StoreError::NoSnapshot(id.to_owned()))?;
        let Some(path) = rootfs.writable() else { return Ok(Usage::default()) };
        usage(open_dir(path)?).map_err(|errno| errno_error("measuring", path, errno))
    }

    /// Removes a root file system and all that the container wrote, whatever it made there. What of it is mounted in
    /// this mount namespace is unmounted first. That there is none is no error.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn remove_snapshot(&self, id: &str) -> Result<(), StoreError> {
        check_id(id)?;
        let path = self.snapshot_path(id);
        unmount_below(&path).map_err(io_error("unmounting what is below", &path))?;
        self.discard(&path)
    }
}
