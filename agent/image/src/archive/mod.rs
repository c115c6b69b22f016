//! Images in files: OCI layouts as folders or tars, and what `docker save` and `podman save` write.
//!
//! An archive is read in place, by way of its index; compressed ones are unpacked aside first. Nothing is written where
//! an archive says: its names are looked up and never made. Every blob is verified on its way into the store.

mod docker;
mod export;
mod layout;
mod parts;

#[cfg(test)]
mod tests;

pub use export::ExportTo;

pub(crate) use docker::manifest_bytes;

use crate::config::ConfigError;
use crate::digest::Digest;
use crate::manifest::{Descriptor, ManifestError};
use crate::platform::Platform;
use crate::reference::{Reference, ReferenceError};
use crate::store::{Hold, Store, StoreError};
use crate::tarball::TarError;
use crate::unpack::PlainError;
use parts::Parts;
use std::io;
use std::path::{Path, PathBuf};

/// How an archive is taken in.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The image's name, instead of what the archive says. There has to be one image then.
    pub name: Option<Reference>,
    /// For which platform; none is this machine's.
    pub platform: Option<Platform>,
    /// Whether layers are unpacked at once. Else they are when the image is first used.
    pub unpack: bool,
}

/// An image that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its names.
    pub names: Vec<Reference>,
    /// Its manifest.
    pub manifest: Digest,
    /// Docker's id of it.
    pub id: Digest,
}

/// Why an archive was not taken in, or not written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It could not be read or written.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, as in `reading`.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is no tar.
    #[error("{} is no tar archive that can be read", path.display())]
    Tar {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TarError,
    },
    /// It could not be decompressed.
    #[error("{} cannot be decompressed", path.display())]
    Plain {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PlainError,
    },
    /// It holds no image.
    #[error(
        "{} holds no image: it has neither oci-layout with index.json nor manifest.json, as OCI layouts and `docker save` have", .0.display()
    )]
    NoImage(PathBuf),
    /// Its list is empty.
    #[error("{0} in the archive lists no image")]
    Empty(&'static str),
    /// A document in it is not of its form.
    #[error("{name} in the archive is not of its form")]
    Form {
        /// Which document.
        name: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// It lacks a part.
    #[error("the archive has no {0:?}, which it refers to")]
    Missing(String),
    /// A part is larger than is taken.
    #[error("{name} in the archive has {found} bytes, and {limit} is the most")]
    TooLarge {
        /// Which part.
        name: String,
        /// Its bytes.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// More of something than is taken.
    #[error("the archive has {what} beyond the limit of {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Links in links.
    #[error("{0:?} in the archive is a link that leads nowhere or in a circle")]
    Link(String),
    /// An image without a name.
    #[error("the archive does not say what its image is called; give it a name")]
    Unnamed,
    /// A name for several images.
    #[error("the archive has {0} images, and one name was given; leave the name out to take theirs")]
    Several(usize),
    /// A name that is none.
    #[error("the archive calls an image {name:?}")]
    Name {
        /// What it calls it.
        name: String,
        /// Why that is no name.
        #[source]
        source: ReferenceError,
    },
    /// A manifest is not used.
    #[error("a manifest in the archive")]
    Manifest(#[source] ManifestError),
    /// A configuration is not used.
    #[error("a configuration in the archive")]
    Config(#[source] ConfigError),
    /// The store would not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image that is in the store, and has no name yet.
struct Taken {
    names: Vec<Reference>,
    target: Descriptor,
    manifest: Digest,
    id: Digest,
}

impl Store {
    /// Takes images in: from a folder that is an OCI layout, or from a tar that is one or was written by `docker save`
    /// or `podman save`, plain or compressed.
    ///
    /// # Errors
    /// What is wrong with the archive, or what the store could not do. Nothing is named then.
    pub fn import(&self, path: &Path, options: &ImportOptions) -> Result<Vec<Imported>, ArchiveError> {
        let platform = options.platform.clone().unwrap_or_else(Platform::node);
        let mut hold = self.hold();
        let taken = self.take(path, options.name.as_ref(), &platform, &mut hold)?;
        let mut imported = Vec::new();
        for image in taken {
            if options.unpack {
                self.unpack_image(&image.manifest)?;
            }
            for name in &image.names {
                self.name(name, &image.target, &image.manifest, &platform)?;
            }
            let Taken { names, manifest, id, .. } = image;
            imported.push(Imported { names, manifest, id });
        }
        Ok(imported)
    }

    fn take(
        &self,
        path: &Path,
        name: Option<&Reference>,
        platform: &Platform,
        hold: &mut Hold<'_>,
    ) -> Result<Vec<Taken>, ArchiveError> {
        let parts = Parts::open(self, path)?;
        // Newer `docker save` writes both; the layout has digests for everything.
        if parts.has("oci-layout") && parts.has("index.json") {
            layout::take(self, &parts, name, platform, hold)
        } else if parts.has("manifest.json") {
            docker::take(self, &parts, name, platform, hold)
        } else {
            Err(ArchiveError::NoImage(path.to_owned()))
        }
    }
}
