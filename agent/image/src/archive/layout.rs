//! OCI layouts: an index whose blobs lie beside it.

use super::parts::{Parts, shown};
use super::{ArchiveError, Taken};
use crate::config::ImageConfig;
use crate::limits::NESTING;
use crate::manifest::{Descriptor, Document, Index, Manifest};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Hold, Store};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

/// Annotations that name images, the better one first.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

pub(super) fn take(
    store: &Store,
    parts: &Parts,
    name: Option<&Reference>,
    platform: &Platform,
    hold: &mut Hold<'_>,
) -> Result<Vec<Taken>, ArchiveError> {
    let limits = store.limits();
    let bytes = parts.read("index.json", limits.archive_json_bytes.min(limits.manifest_bytes))?;
    let Document::Index(index) = Document::read(&bytes, None, limits).map_err(ArchiveError::Manifest)? else {
        return Err(ArchiveError::Empty("index.json"));
    };
    let mut images = Vec::new();
    for (names, entries) in named(index, name)? {
        let found = Index { manifests: entries };
        let target = match &found.manifests[..] {
            [only] => only.clone(),
            _ => found.select(platform).map_err(ArchiveError::Manifest)?.clone(),
        };
        let (descriptor, manifest) = choose(store, parts, &target, platform, hold)?;
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            hold.add(&blob.digest);
            blob_into(store, parts, blob)?;
        }
        let config = store.read_blob(&manifest.config.digest, limits.config_bytes)?;
        let config = ImageConfig::read(&config, limits).map_err(ArchiveError::Config)?;
        config.check(manifest.layers.len(), platform).map_err(ArchiveError::Config)?;
        for diff_id in &config.rootfs.diff_ids {
            hold.add(diff_id);
        }
        let target = Descriptor::new(&target.media_type, target.digest, target.size);
        images.push(Taken { names, target, manifest: descriptor.digest, id: manifest.config.digest });
    }
    Ok(images)
}

type Named = Vec<(Vec<Reference>, Vec<Descriptor>)>;

/// Entries by the images they are of: those of one name are one image for several platforms.
fn named(index: Index, name: Option<&Reference>) -> Result<Named, ArchiveError> {
    let mut groups: BTreeMap<Option<String>, Vec<Descriptor>> = BTreeMap::new();
    for entry in index.manifests {
        let given = entry.annotations.get(FULL_NAME).or_else(|| entry.annotations.get(REF_NAME)).cloned();
        groups.entry(given).or_default().push(entry);
    }
    if let Some(name) = name {
        return match groups.len() {
            0 => Err(ArchiveError::Empty("index.json")),
            1 => Ok(groups.into_values().map(|entries| (vec![name.clone()], entries)).collect()),
            several => Err(ArchiveError::Several(several)),
        };
    }
    let mut named = Vec::new();
    for (given, entries) in groups {
        // A tag alone, as skopeo writes it, does not say of what.
        let given = given.filter(|given| given.contains(['/', ':'])).ok_or(ArchiveError::Unnamed)?;
        let reference = given.parse().map_err(|source| ArchiveError::Name { name: shown(&given), source })?;
        named.push((vec![reference], entries));
    }
    if named.is_empty() { Err(ArchiveError::Empty("index.json")) } else { Ok(named) }
}

/// Goes down to the manifest for a platform, keeping every document on the way.
fn choose(
    store: &Store,
    parts: &Parts,
    target: &Descriptor,
    platform: &Platform,
    hold: &mut Hold<'_>,
) -> Result<(Descriptor, Manifest), ArchiveError> {
    let limits = store.limits();
    let mut at = target.clone();
    for _ in 0..=NESTING {
        hold.add(&at.digest);
        if at.size > limits.manifest_bytes {
            let (name, limit) = (at.digest.to_string(), limits.manifest_bytes);
            return Err(ArchiveError::TooLarge { name, found: at.size, limit });
        }
        blob_into(store, parts, &at)?;
        let bytes = store.read_blob(&at.digest, limits.manifest_bytes)?;
        match Document::read(&bytes, Some(&at.media_type), limits).map_err(ArchiveError::Manifest)? {
            Document::Manifest(manifest) => return Ok((at, manifest)),
            Document::Index(index) => {
                at = index.select(platform).map_err(ArchiveError::Manifest)?.clone();
            }
        }
    }
    Err(ArchiveError::TooMany { what: "indexes in indexes", limit: NESTING as u64 })
}

/// Copies a blob into the store, which verifies it.
fn blob_into(store: &Store, parts: &Parts, blob: &Descriptor) -> Result<(), ArchiveError> {
    let Some(mut ingest) = store.ingest(&blob.digest, Some(blob.size))? else { return Ok(()) };
    // What another try left is not worth going on from: the whole is at hand.
    ingest.restart()?;
    let name = format!("blobs/{}/{}", blob.digest.algorithm().name(), blob.digest.hex());
    let mut part = parts.get(&name)?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = part.read(&mut buffer).map_err(|source| ArchiveError::Io {
            doing: "reading",
            path: PathBuf::from(&name),
            source,
        })?;
        if read == 0 {
            return Ok(ingest.commit()?);
        }
        ingest.write(&buffer[..read])?;
    }
}
