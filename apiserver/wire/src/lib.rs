//! The documents of the wire: discovery, OpenAPI, tables, media types, protobuf and YAML bodies.
//!
//! Pure: from [`hypermesh_schemas::KindDefinition`]s, encoded objects and request bytes to reply bytes. It opens no
//! connection, reads no clock (ages take the time as an argument) and knows no kind beyond its definition and, for
//! protobuf, its message. Hostile bytes cost at most a small multiple of the largest body.

pub mod age;
pub mod body;
pub mod catalog;
pub mod discovery;
pub mod gnostic;
pub mod jsonpath;
pub mod list;
pub mod media;
pub mod openapi;
pub mod openapi2;
pub mod partial;
pub mod pretty;
pub mod project;
pub mod protobuf;
pub mod raw;
pub mod refusal;
pub mod spdy;
pub mod table;
pub mod watch;
pub mod yaml;

#[cfg(test)]
mod fixtures;

pub use body::{MAX_BODY, transcode};
pub use catalog::{Catalog, VirtualResource};
pub use discovery::{Root, aggregated, api_group, api_group_list, api_resource_list, api_versions, etag};
pub use jsonpath::JsonPath;
pub use list::{ContinueToken, PARTIAL_PREFIX, api_version, list_id, list_prefix, list_suffix, meta_suffix};
pub use media::{Accepted, BodyFormat, Encoding, Offer, PatchType, View};
pub use partial::{partial, write_partial};
pub use pretty::{Indenter, indent};
pub use project::Projection;
pub use refusal::refusal;
pub use table::{IncludeObject, TableFormat};
pub use watch::{EventType, bookmark, error, frame_parts, write_frame};
