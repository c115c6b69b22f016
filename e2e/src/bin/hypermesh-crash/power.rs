//! A disk whose power can be cut: a FUSE file system in memory that knows what was synced.
//!
//! The kernel is told to write through, so what a program has written is known here, and what it has synced survives
//! [`PowerDisk::cut`]; see [`image`] for what exactly is lost.

mod file_system;
mod image;

use crate::random::Random;
use anyhow::{Context as _, Result};
use file_system::FileSystem;
use fuser::{BackgroundSession, Config, MountOption};
use image::Image;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A mounted disk.
pub struct PowerDisk {
    point: PathBuf,
    image: Arc<Mutex<Image>>,
    session: Option<BackgroundSession>,
}

impl PowerDisk {
    /// Mounts an empty disk on a folder, which is made.
    pub fn mount(point: &Path) -> Result<Self> {
        Self::mount_image(point, Image::empty())
    }

    fn mount_image(point: &Path, image: Image) -> Result<Self> {
        std::fs::create_dir_all(point).with_context(|| format!("making {}", point.display()))?;
        let image = Arc::new(Mutex::new(image));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("hypermesh-crash".into()), MountOption::NoAtime];
        let session = fuser::spawn_mount(FileSystem::new(image.clone()), point, &config)
            .with_context(|| format!("mounting on {}", point.display()))?;
        Ok(Self { point: point.to_owned(), image, session: Some(session) })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Cuts its power: from now on every operation fails, and nothing that comes is kept.
    pub fn cut(&self) {
        self.image.lock().unwrap_or_else(PoisonError::into_inner).cut();
    }

    /// Takes the dead disk off and mounts what has survived; nobody may use it any more.
    pub fn restore(mut self, random: &mut Random) -> Result<Self> {
        if let Some(session) = self.session.take() {
            session.umount_and_join().context("unmounting")?;
        }
        let image = self.image.lock().unwrap_or_else(PoisonError::into_inner).survivor(random);
        Self::mount_image(&self.point, image)
    }
}

impl Drop for PowerDisk {
    /// A run that failed leaves a server that is still dying: the disk comes off once that is gone.
    fn drop(&mut self) {
        if self.session.is_some() {
            let _ = nix::mount::umount2(&self.point, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}
