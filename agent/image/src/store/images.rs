//! Images: names that lead to manifests, and who needs them.

use super::index::{ImageRecord, LeaseRecord};
use super::{LayerRecord, Store, StoreError, check_id, now};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Document, Manifest};
use crate::platform::Platform;
use crate::reference::Reference;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// An image that is here, read from its blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Its names, in full.
    pub names: Vec<String>,
    /// Its manifest's digest, by which it is leased.
    pub manifest_digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its configuration, whose digest is what Docker calls the image's id.
    pub config: ImageConfig,
    /// Which platform it was chosen for.
    pub platform: Platform,
    /// Bytes of its blobs.
    pub bytes: u64,
    /// What of it is here.
    pub status: ImageStatus,
    /// What its names say.
    pub record: ImageRecord,
}

impl Image {
    /// What Docker and kubelet call its id.
    #[must_use]
    pub const fn id(&self) -> &Digest {
        &self.manifest.config.digest
    }
}

/// What of an image is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageStatus {
    /// Every layer is unpacked: it can run.
    Ready,
    /// These layers are neither unpacked nor here as blobs.
    Missing(Vec<Digest>),
    /// Every layer is here, and these have to be unpacked before it runs.
    Packed(Vec<Digest>),
}

impl Store {
    /// Gives an image a name, replacing what had it.
    ///
    /// # Errors
    /// If the manifest or configuration is missing, damaged or not for this platform, or the disk would not.
    pub fn name(
        &self,
        name: &Reference,
        target: &Descriptor,
        manifest: &Digest,
        platform: &Platform,
    ) -> Result<(), StoreError> {
        self.read_image(manifest)?;
        let time = now();
        self.change(|index| {
            let pinned = index.images.get(&name.to_string()).is_some_and(|old| old.pinned);
            let record = ImageRecord {
                target: target.clone(),
                manifest: manifest.clone(),
                platform: platform.clone(),
                since: time,
                last_used: time,
                pinned,
            };
            index.images.insert(name.to_string(), record);
        })
    }

    /// Takes a name away. What nothing else leads to is collected later.
    ///
    /// # Errors
    /// If there is no such name, or the disk would not.
    pub fn unname(&self, name: &Reference) -> Result<ImageRecord, StoreError> {
        let missing = || StoreError::NoImage(name.familiar());
        self.change(|index| index.images.remove(&name.to_string()))?.ok_or_else(missing)
    }

    /// Takes names away that still lead to this manifest, unless somebody leased it. True if none is left.
    pub(crate) fn unname_all(&self, manifest: &Digest, names: &[String]) -> Result<bool, StoreError> {
        self.change(|index| {
            if index.leases.values().any(|lease| lease.manifest == *manifest) {
                return false;
            }
            for name in names {
                if index.images.get(name).is_some_and(|record| record.manifest == *manifest && !record.pinned)
                {
                    index.images.remove(name);
                }
            }
            !index.images.values().any(|record| record.manifest == *manifest)
        })
    }

    /// Keeps a name's image from ever being collected, or no longer.
    ///
    /// # Errors
    /// If there is no such name, or the disk would not.
    pub fn pin(&self, name: &Reference, pinned: bool) -> Result<(), StoreError> {
        let known = self
            .change(|index| index.images.get_mut(&name.to_string()).map(|record| record.pinned = pinned))?;
        known.ok_or_else(|| StoreError::NoImage(name.familiar()))
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, ImageRecord> {
        self.state().index.images.clone()
    }

    /// What a name stands for.
    #[must_use]
    pub fn named(&self, name: &Reference) -> Option<ImageRecord> {
        self.state().index.images.get(&name.to_string()).cloned()
    }

    /// An image by its name, by its manifest's or its configuration's digest, or by the beginning of its id.
    ///
    /// # Errors
    /// If there is none or several, or it is damaged.
    pub fn find(&self, text: &str) -> Result<Image, StoreError> {
        if let Ok(reference) = text.parse::<Reference>() {
            if let Some(record) = self.named(&reference) {
                return self.image(&record.manifest);
            }
            // `name:tag@digest` and `name@digest` are satisfied by any name of the repository with that digest.
            if let Some(digest) = reference.digest() {
                let names = self.names();
                let fits = |(name, record): &(&String, &ImageRecord)| {
                    let same = name.parse::<Reference>().is_ok_and(|other| {
                        other.registry() == reference.registry()
                            && other.repository() == reference.repository()
                    });
                    same && (record.target.digest == *digest || record.manifest == *digest)
                };
                if let Some((_, record)) = names.iter().find(fits) {
                    return self.image(&record.manifest);
                }
            }
        }
        self.find_by_id(text)
    }

    fn find_by_id(&self, text: &str) -> Result<Image, StoreError> {
        let wanted = text.strip_prefix("sha256:").unwrap_or(text);
        let hex = wanted.len() >= 4 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut found = BTreeSet::new();
        if hex {
            let manifests: BTreeSet<Digest> =
                self.names().into_values().map(|record| record.manifest).collect();
            for manifest in manifests {
                let config = self.read_image(&manifest).map(|(read, _)| read.config.digest);
                if manifest.hex().starts_with(wanted) || config.is_ok_and(|id| id.hex().starts_with(wanted)) {
                    found.insert(manifest);
                }
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(manifest), None) => self.image(&manifest),
            (None, _) => Err(StoreError::NoImage(text.chars().take(300).collect())),
            (Some(_), Some(_)) => Err(StoreError::Several(text.to_owned())),
        }
    }

    /// An image by its manifest.
    ///
    /// # Errors
    /// If no name leads to it, or its manifest or configuration is missing or damaged.
    pub fn image(&self, manifest: &Digest) -> Result<Image, StoreError> {
        let names: Vec<(String, ImageRecord)> =
            self.names().into_iter().filter(|(_, record)| record.manifest == *manifest).collect();
        let Some((_, record)) = names.first().cloned() else {
            return Err(StoreError::NoImage(manifest.to_string()));
        };
        let (read, config) = self.read_image(manifest)?;
        let status = self.status(&read, &config);
        let sizes: BTreeMap<&Digest, u64> =
            read.layers.iter().chain([&read.config]).map(|blob| (&blob.digest, blob.size)).collect();
        let bytes = sizes.values().sum();
        Ok(Image {
            names: names.into_iter().map(|(name, _)| name).collect(),
            manifest_digest: manifest.clone(),
            platform: record.platform.clone(),
            manifest: read,
            config,
            bytes,
            status,
            record,
        })
    }

    /// All images that can be read, and those that cannot with their reasons.
    #[must_use]
    pub fn images(&self) -> (Vec<Image>, Vec<(Digest, StoreError)>) {
        let manifests: BTreeSet<Digest> = self.names().into_values().map(|record| record.manifest).collect();
        let (mut images, mut broken) = (Vec::new(), Vec::new());
        for manifest in manifests {
            match self.image(&manifest) {
                Ok(image) => images.push(image),
                Err(error) => broken.push((manifest, error)),
            }
        }
        (images, broken)
    }

    /// Reads a manifest and its configuration, both verified, and checks that they fit each other.
    pub(crate) fn read_image(&self, manifest: &Digest) -> Result<(Manifest, ImageConfig), StoreError> {
        let bytes = self.read_blob(manifest, self.limits.manifest_bytes)?;
        let told = |source| StoreError::Manifest(manifest.clone(), source);
        let document = Document::read(&bytes, None, &self.limits).map_err(told)?;
        let Document::Manifest(read) = document else {
            return Err(told(crate::manifest::ManifestError::MediaType("index".to_owned())));
        };
        let bytes = self.read_blob(&read.config.digest, self.limits.config_bytes)?;
        let told = |source| StoreError::Config(read.config.digest.clone(), source);
        let config = ImageConfig::read(&bytes, &self.limits).map_err(told)?;
        let diff_ids = config.rootfs.diff_ids.len();
        if diff_ids != read.layers.len() {
            let layers = read.layers.len();
            return Err(told(crate::config::ConfigError::Layers { layers, diff_ids }));
        }
        Ok((read, config))
    }

    fn status(&self, manifest: &Manifest, config: &ImageConfig) -> ImageStatus {
        let (mut missing, mut packed) = (Vec::new(), Vec::new());
        for (blob, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            if self.layer(diff_id).is_some() {
                continue;
            }
            let list = if self.blob_size(&blob.digest).is_some() { &mut packed } else { &mut missing };
            list.push(blob.digest.clone());
        }
        match (missing.is_empty(), packed.is_empty()) {
            (true, true) => ImageStatus::Ready,
            (true, false) => ImageStatus::Packed(packed),
            (false, _) => ImageStatus::Missing(missing),
        }
    }

    /// Unpacks whatever of an image is not unpacked yet. Gives its layers, lowest first.
    ///
    /// # Errors
    /// The first layer that could not be unpacked.
    pub fn unpack_image(&self, manifest: &Digest) -> Result<Vec<LayerRecord>, StoreError> {
        let (read, config) = self.read_image(manifest)?;
        let pairs = read.layers.iter().zip(&config.rootfs.diff_ids);
        pairs.map(|(blob, diff_id)| self.unpack_layer(&blob.digest, diff_id)).collect()
    }

    /// Says that somebody needs an image: it is not collected until [`Store::release`]. A lease is replaced by a newer
    /// one of the same holder.
    ///
    /// # Errors
    /// If the image is not here, or the disk would not.
    pub fn lease(&self, holder: &str, manifest: &Digest) -> Result<(), StoreError> {
        check_id(holder)?;
        let time = now();
        let known = self.change(|index| {
            let mut known = false;
            for record in index.images.values_mut().filter(|record| record.manifest == *manifest) {
                record.last_used = time;
                known = true;
            }
            known = known || index.leases.values().any(|lease| lease.manifest == *manifest);
            if known {
                let lease = LeaseRecord { manifest: manifest.clone(), since: time };
                index.leases.insert(holder.to_owned(), lease);
            }
            known
        })?;
        if known { Ok(()) } else { Err(StoreError::NoImage(manifest.to_string())) }
    }

    /// Who needs an image: leases and root file systems, by their holders.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn users(&self, manifest: &Digest) -> Result<Vec<String>, StoreError> {
        Ok(self.holders()?.remove(manifest).unwrap_or_default())
    }

    /// Ends a lease; that there is none is no error. The image counts as used until now.
    ///
    /// # Errors
    /// If the disk would not.
    pub fn release(&self, holder: &str) -> Result<(), StoreError> {
        let time = now();
        self.change(|index| {
            if let Some(lease) = index.leases.remove(holder) {
                for record in index.images.values_mut().filter(|record| record.manifest == lease.manifest) {
                    record.last_used = time;
                }
            }
        })
    }

    /// All leases, by their holders.
    #[must_use]
    pub fn leases(&self) -> BTreeMap<String, LeaseRecord> {
        self.state().index.leases.clone()
    }

    /// What is held in memory, and what is being made, right now.
    pub(crate) fn held(&self) -> BTreeSet<Digest> {
        let state = self.state();
        state.held.keys().chain(&state.busy).cloned().collect()
    }
}
