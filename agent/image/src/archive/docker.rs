//! What `docker save` and `podman save` write: a list of images, their configurations and plain layers.

use super::parts::{Parts, clean, shown};
use super::{ArchiveError, Taken};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::limits::{ARCHIVE_IMAGES, ARCHIVE_NAMES};
use crate::manifest::{Descriptor, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::store::{Hold, Store};
use crate::unpack::Compression;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    names: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Option<Vec<String>>,
}

/// A manifest as it is written here: always the same bytes for the same parts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written<'a> {
    schema_version: u32,
    media_type: &'static str,
    config: &'a Descriptor,
    layers: &'a [Descriptor],
}

/// An OCI manifest's bytes.
pub(crate) fn manifest_bytes(config: &Descriptor, layers: &[Descriptor]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Written { schema_version: 2, media_type: OCI_MANIFEST, config, layers })
}

pub(super) fn take(
    store: &Store,
    parts: &Parts,
    name: Option<&Reference>,
    platform: &Platform,
    hold: &mut Hold<'_>,
) -> Result<Vec<Taken>, ArchiveError> {
    let form = |name: &str| {
        let name = name.to_owned();
        move |source| ArchiveError::Form { name, source }
    };
    let bytes = parts.read("manifest.json", store.limits().archive_json_bytes)?;
    let list: Vec<Listed> = serde_json::from_slice(&bytes).map_err(form("manifest.json"))?;
    match (list.len(), name) {
        (0, _) => return Err(ArchiveError::Empty("manifest.json")),
        (several, Some(_)) if several > 1 => return Err(ArchiveError::Several(several)),
        (several, _) if several > ARCHIVE_IMAGES => {
            return Err(ArchiveError::TooMany { what: "images", limit: ARCHIVE_IMAGES as u64 });
        }
        _ => {}
    }
    // Layers that images share come once.
    let mut known: BTreeMap<String, Descriptor> = BTreeMap::new();
    let mut images = Vec::new();
    for listed in list {
        let names = names(&listed, name)?;
        let bytes = parts.read(&name_of(&listed.config)?, store.limits().config_bytes)?;
        let config = ImageConfig::read(&bytes, store.limits()).map_err(ArchiveError::Config)?;
        let layers = listed.layers.unwrap_or_default();
        config.check(layers.len(), platform).map_err(ArchiveError::Config)?;
        if layers.len() > store.limits().layers {
            return Err(ArchiveError::TooMany { what: "layers", limit: store.limits().layers as u64 });
        }
        let digest = Digest::of(&bytes);
        hold.add(&digest);
        store.put(&digest, &bytes)?;
        let config_blob = Descriptor::new(OCI_CONFIG, digest, bytes.len() as u64);
        let mut blobs = Vec::new();
        for (layer, diff_id) in layers.iter().zip(&config.rootfs.diff_ids) {
            hold.add(diff_id);
            let layer = name_of(layer)?;
            let blob = match known.get(&layer) {
                Some(blob) => blob.clone(),
                None => layer_into(store, parts, &layer, hold)?,
            };
            known.insert(layer, blob.clone());
            blobs.push(blob);
        }
        let manifest = manifest_bytes(&config_blob, &blobs).map_err(form("manifest"))?;
        let digest = Digest::of(&manifest);
        hold.add(&digest);
        store.put(&digest, &manifest)?;
        let target = Descriptor::new(OCI_MANIFEST, digest.clone(), manifest.len() as u64);
        images.push(Taken { names, target, manifest: digest, id: config_blob.digest });
    }
    Ok(images)
}

fn name_of(text: &str) -> Result<String, ArchiveError> {
    clean("", text).ok_or_else(|| ArchiveError::Missing(shown(text)))
}

fn names(listed: &Listed, name: Option<&Reference>) -> Result<Vec<Reference>, ArchiveError> {
    if let Some(name) = name {
        return Ok(vec![name.clone()]);
    }
    let given = listed.names.as_deref().unwrap_or_default();
    if given.len() > ARCHIVE_NAMES {
        return Err(ArchiveError::TooMany { what: "names of an image", limit: ARCHIVE_NAMES as u64 });
    }
    let read = given.iter().map(|text| {
        text.parse::<Reference>().map_err(|source| ArchiveError::Name { name: shown(text), source })
    });
    let names: Vec<Reference> = read.collect::<Result<_, _>>()?;
    if names.is_empty() { Err(ArchiveError::Unnamed) } else { Ok(names) }
}

/// Copies a layer into the store under the digest it turns out to have.
fn layer_into(
    store: &Store,
    parts: &Parts,
    name: &str,
    hold: &mut Hold<'_>,
) -> Result<Descriptor, ArchiveError> {
    let mut part = parts.get(name)?;
    let limit = store.limits().blob_bytes;
    if part.size() > limit {
        return Err(ArchiveError::TooLarge { name: shown(name), found: part.size(), limit });
    }
    let io = |source| ArchiveError::Io { doing: "copying", path: PathBuf::from(name), source };
    let mut blob = store.new_blob()?;
    let mut buffer = vec![0; 256 * 1024];
    let mut media_type = None;
    loop {
        let read = part.read(&mut buffer).map_err(io)?;
        if media_type.is_none() {
            let plain = |source| ArchiveError::Plain { path: PathBuf::from(name), source };
            media_type = Some(match Compression::of(&buffer[..read]).map_err(plain)? {
                Compression::None => OCI_LAYER,
                Compression::Gzip => OCI_LAYER_GZIP,
                Compression::Zstd => OCI_LAYER_ZSTD,
            });
        }
        if read == 0 {
            break;
        }
        blob.write_all(&buffer[..read]).map_err(io)?;
    }
    let (digest, size) = blob.commit_held(hold)?;
    Ok(Descriptor::new(media_type.unwrap_or(OCI_LAYER), digest, size))
}
