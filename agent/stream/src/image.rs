//! Images of a node, as `/v1/images` tells them.
//!
//! `GET` answers a list of [`Image`]s, or with `reference` one, with its configuration and layers. `POST` with `reference` pulls, by the credentials that the
//! body has (Docker's `config.json`; empty: none); without it, it imports the archive (OCI layout or docker-archive, in
//! tar) that is the body. Both answer lines of [`Progress`] as JSON, the last of which has `image` or `error`. `DELETE` with `reference` removes a name, and 409 tells what still uses it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An image that a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// `sha256:…` of its manifest.
    pub digest: String,
    /// Its names.
    #[serde(default)]
    pub names: Vec<String>,
    /// What it takes on the node, in bytes; layers that images share are counted in each.
    pub size_bytes: u64,
    /// `linux/amd64`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// When it was last used, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
    /// Instances that use it, `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
    /// What its maker says should run: told of one image that is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// Its layers, lowest first: likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
}

/// How an image runs if nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// `sha256:…` of its bytes: what Docker calls the image's id.
    pub digest: String,
    /// When the image was made (RFC 3339), as its maker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command's beginning: what `command` of a container replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments: what `args` of a container replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Ports as `80/tcp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Paths that hold data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Who runs it: a name or number, perhaps with a group behind a colon.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The folder that it runs in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// The signal that ends it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// What its maker says about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A layer of an image, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// `sha256:…`
    pub digest: String,
    /// What it is: `application/vnd.oci.image.layer.v1.tar+gzip`.
    pub media_type: String,
    /// Bytes.
    pub size_bytes: u64,
}

/// All images of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// In the order of their first names.
    pub items: Vec<Image>,
}

/// How far a pull or an import is: one line of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The layer that it is about, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Bytes that are there.
    #[serde(default)]
    pub done_bytes: u64,
    /// Bytes in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// The image, once it is there: the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Why it is not: the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
