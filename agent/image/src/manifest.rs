//! Manifests and indexes, of OCI and of Docker's schema 2, read from bytes that a digest has vouched for.
//!
//! Reading is pure, and checks everything that can be known without fetching more: media types, counts, sizes. The bytes
//! themselves are what is kept; nothing is ever written back from what was read.

use crate::digest::Digest;
use crate::limits::Limits;
use crate::platform::Platform;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Media types that registries are asked for.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];
/// An OCI index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image's configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// A layer that is a plain tar.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A layer compressed by gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A layer compressed by zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const SCHEMA_1: [&str; 2] = [
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
];
const LAYERS: [&str; 7] = [
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.container.image.rootfs.diff+x-gtar",
];
const FOREIGN: [&str; 5] = [
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// A blob as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Which platform it is for, in an index.
    #[serde(default, deserialize_with = "platform", skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What its maker noted.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Of a blob that is no part of an index.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// Images for several platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
}

/// What a registry's manifest turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

/// Why a manifest is not used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not of the form.
    #[error("the manifest is not of the OCI image specification's form")]
    Form(#[source] serde_json::Error),
    /// Docker's first form.
    #[error(
        "the manifest is of Docker's schema 1, which names layers without telling what they unpack to and is not taken; push the image again with a tool of 2017 or later"
    )]
    Schema1,
    /// Another version.
    #[error("the manifest is of schema version {0}; 2 is the one there is")]
    SchemaVersion(u64),
    /// Something that is no image.
    #[error("the manifest is a {0:?}, which is no image")]
    MediaType(String),
    /// An artifact: its configuration is of another kind.
    #[error("the manifest's configuration is a {0:?}: this is an artifact and no container image")]
    Artifact(String),
    /// A layer that has to be fetched from elsewhere.
    #[error(
        "layer {index} is foreign ({media_type}): its bytes lie where the manifest points and not in the registry, and are not fetched from there"
    )]
    Foreign {
        /// Which layer, from 0.
        index: usize,
        /// Its type.
        media_type: String,
    },
    /// A layer that is no tar.
    #[error(
        "layer {index} is a {media_type:?}; layers are tar archives, plain or compressed by gzip or zstd"
    )]
    Layer {
        /// Which layer, from 0.
        index: usize,
        /// Its type.
        media_type: String,
    },
    /// Both an image's and an index's fields: two readers could see two things.
    #[error("the manifest has fields of an image and of an index, so that readers would disagree about it")]
    Ambiguous,
    /// Too much of something.
    #[error("the manifest has {found} {what}, and {limit} is the most that is taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// No manifest for the node.
    #[error("the image has no manifest for {wanted}; it is there for {}", list(.found))]
    NoPlatform {
        /// What was looked for.
        wanted: Platform,
        /// What there is.
        found: Vec<Platform>,
    },
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "no platform".to_owned();
    }
    let mut names: Vec<String> = platforms.iter().take(16).map(ToString::to_string).collect();
    names.dedup();
    names.join(", ")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads what a registry or an archive held. `media_type` is what it was announced as, if it was.
    ///
    /// # Errors
    /// Whatever makes it no image, or more than the limits take.
    pub fn read(bytes: &[u8], media_type: Option<&str>, limits: &Limits) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > limits.manifest_bytes {
            let (found, limit) = (bytes.len() as u64, limits.manifest_bytes);
            return Err(ManifestError::TooMany { what: "bytes", found, limit });
        }
        let raw: Raw = match serde_json::from_slice(bytes) {
            Ok(raw) => raw,
            Err(_) if media_type.is_some_and(|found| SCHEMA_1.contains(&found)) => {
                return Err(ManifestError::Schema1);
            }
            Err(error) => return Err(ManifestError::Form(error)),
        };
        let announced = raw.media_type.as_deref().or(media_type);
        if raw.fs_layers.is_some()
            || raw.schema_version == Some(1)
            || announced.is_some_and(|found| SCHEMA_1.contains(&found))
        {
            return Err(ManifestError::Schema1);
        }
        match raw.schema_version {
            Some(2) => {}
            other => return Err(ManifestError::SchemaVersion(other.unwrap_or(0))),
        }
        if let Some(other) = raw.media_type.as_deref().filter(|found| !ACCEPTED.contains(found)) {
            return Err(ManifestError::MediaType(shown(other)));
        }
        let says_index = raw.media_type.as_deref().map(|found| matches!(found, OCI_INDEX | DOCKER_LIST));
        match (raw.manifests, raw.config, raw.layers) {
            (Some(manifests), None, None) if says_index != Some(false) => Self::index(manifests, limits),
            (None, Some(config), layers) if says_index != Some(true) => {
                Self::manifest(config, layers.unwrap_or_default(), limits)
            }
            (None, None, _) => Err(ManifestError::MediaType(shown(
                announced.unwrap_or("document without config and manifests"),
            ))),
            _ => Err(ManifestError::Ambiguous),
        }
    }

    fn index(manifests: Vec<Descriptor>, limits: &Limits) -> Result<Self, ManifestError> {
        check("manifests", manifests.len() as u64, limits.index_entries as u64)?;
        Ok(Self::Index(Index { manifests }))
    }

    fn manifest(config: Descriptor, layers: Vec<Descriptor>, limits: &Limits) -> Result<Self, ManifestError> {
        if config.media_type != OCI_CONFIG && config.media_type != DOCKER_CONFIG {
            return Err(ManifestError::Artifact(shown(&config.media_type)));
        }
        check("bytes of configuration", config.size, limits.config_bytes)?;
        check("layers", layers.len() as u64, limits.layers as u64)?;
        for (index, layer) in layers.iter().enumerate() {
            let media_type = || shown(&layer.media_type);
            if FOREIGN.contains(&layer.media_type.as_str()) {
                return Err(ManifestError::Foreign { index, media_type: media_type() });
            }
            if !LAYERS.contains(&layer.media_type.as_str()) {
                return Err(ManifestError::Layer { index, media_type: media_type() });
            }
            check("bytes in a layer", layer.size, limits.blob_bytes)?;
        }
        Ok(Self::Manifest(Manifest { config, layers }))
    }
}

impl Index {
    /// The entry that a node of `node` runs best: the first of those that are nearest.
    ///
    /// # Errors
    /// If there is none, with what there is instead.
    pub fn select(&self, node: &Platform) -> Result<&Descriptor, ManifestError> {
        let images = || self.manifests.iter().filter(|entry| ACCEPTED.contains(&entry.media_type.as_str()));
        let best = images()
            .filter_map(|entry| Some((entry.platform.as_ref()?.distance(node)?, entry)))
            .min_by_key(|(distance, _)| *distance);
        if let Some((_, entry)) = best {
            return Ok(entry);
        }
        // Tools that pack for one platform leave it out; the configuration tells then.
        let mut unnamed = images().filter(|entry| entry.platform.is_none());
        match (unnamed.next(), unnamed.next(), images().count()) {
            (Some(only), None, 1) => Ok(only),
            _ => {
                let known = |platform: &&Platform| platform.os != "unknown";
                let found = images().filter_map(|entry| entry.platform.as_ref()).filter(known);
                Err(ManifestError::NoPlatform { wanted: node.clone(), found: found.cloned().collect() })
            }
        }
    }
}

fn check(what: &'static str, found: u64, limit: u64) -> Result<(), ManifestError> {
    if found > limit { Err(ManifestError::TooMany { what, found, limit }) } else { Ok(()) }
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

/// A field that may be missing, or `null` as Go writes what is empty.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A platform, none if its fields are empty (Docker's lists have such entries).
fn platform<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Platform>, D::Error> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        os: String,
        #[serde(default)]
        architecture: String,
        #[serde(default)]
        variant: Option<String>,
    }
    let fields = Option::<Fields>::deserialize(from)?;
    Ok(fields
        .filter(|fields| !fields.os.is_empty() || !fields.architecture.is_empty())
        .map(|fields| Platform::new(&fields.os, &fields.architecture, fields.variant.as_deref())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn descriptor(media_type: &str, platform: Value) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(platform.to_string().as_bytes()), "size": 7, "platform": platform})
    }

    fn read(document: &Value) -> Result<Document, ManifestError> {
        Document::read(document.to_string().as_bytes(), None, &Limits::default())
    }

    fn image(layer: &str) -> Value {
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
               "config": descriptor(OCI_CONFIG, Value::Null), "layers": [descriptor(layer, Value::Null)]})
    }

    #[test]
    fn images_of_oci_and_docker_are_read() {
        assert!(
            matches!(read(&image(OCI_LAYER_ZSTD)).unwrap(), Document::Manifest(m) if m.layers.len() == 1)
        );
        let mut docker = image("application/vnd.docker.image.rootfs.diff.tar.gzip");
        docker["mediaType"] = json!(DOCKER_MANIFEST);
        docker["config"]["mediaType"] = json!(DOCKER_CONFIG);
        docker["config"]["annotations"] = Value::Null;
        assert!(matches!(read(&docker).unwrap(), Document::Manifest(_)));
    }

    #[test]
    fn what_is_not_taken_is_named() {
        let mut artifact = image(OCI_LAYER);
        artifact["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
        let mut both = image(OCI_LAYER);
        both["manifests"] = json!([]);
        let mut large = image(OCI_LAYER);
        large["layers"][0]["size"] = json!(u64::MAX);
        let mut negative = image(OCI_LAYER);
        negative["layers"][0]["size"] = json!(-1);
        let mut many = image(OCI_LAYER);
        many["layers"] = json!(vec![descriptor(OCI_LAYER, Value::Null); 300]);
        let documents = [
            image(FOREIGN[1]),
            image("application/octet-stream"),
            artifact,
            both,
            large,
            negative,
            many,
            json!({"schemaVersion": 1, "fsLayers": []}),
            json!({"schemaVersion": 3}),
            json!({"schemaVersion": 2}),
            json!({"schemaVersion": 2, "mediaType": "text/html"}),
            json!([]),
        ];
        let lines = documents.iter().map(|document| read(document).unwrap_err().to_string());
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn an_index_gives_what_the_node_runs() {
        let of = |os: &str, architecture: &str, variant: &str| {
            descriptor(OCI_MANIFEST, json!({"os": os, "architecture": architecture, "variant": variant}))
        };
        let entries = json!([
            of("unknown", "unknown", ""),
            of("linux", "arm", "v5"),
            of("linux", "arm", "v7"),
            of("linux", "amd64", ""),
            of("linux", "arm64", "v8"),
            of("windows", "amd64", ""),
        ]);
        let document = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
        let Document::Index(index) = read(&document).unwrap() else { panic!("no index") };
        let chosen = |node: &str| {
            let node: Platform = node.parse().unwrap();
            index.select(&node).map(|entry| entry.platform.clone().unwrap().to_string())
        };
        assert_eq!(chosen("linux/arm64").unwrap(), "linux/arm64");
        assert_eq!(chosen("linux/amd64/v3").unwrap(), "linux/amd64");
        assert_eq!(chosen("linux/arm/v6").unwrap(), "linux/arm/v5");
        let error = chosen("linux/s390x").unwrap_err().to_string();
        assert_eq!(
            error,
            "the image has no manifest for linux/s390x; it is there for linux/arm/v5, linux/arm/v7, linux/amd64, linux/arm64, windows/amd64"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Document::read(&bytes, Some(OCI_INDEX), &Limits::default());
        }
    }
}
