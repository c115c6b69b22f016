//! What the state holds beside objects of kinds: kind definitions, endorsement grants, work in progress.
//!
//! They are records like any other, in collections of a group (`~`) that no kind can have, so they are hashed into the
//! state root, encrypted, snapshotted and proved by the same means.

use hypermesh_chain::{KeyRange, ObjectKey};
use serde::{Deserialize, Serialize};

/// Kind definitions: `~/kinds`, named `plural.group`.
pub const KINDS: &str = "~/kinds";
/// Endorsement grants: `~/grants`, named by the replica's key in hexadecimal.
pub const GRANTS: &str = "~/grants";
/// Work that goes on after a block: `~/work`, named so that the name tells the job and its subject.
pub const WORK: &str = "~/work";
/// Work that waits for a write: `~/waiting`, by the names that it has in `~/work`.
pub const WAITING: &str = "~/waiting";
/// Work that waits for a height, too: `~/retries`, named by height and job.
pub const RETRIES: &str = "~/retries";
/// The cluster's own settings: `~/cluster`, with the record `config`, and [`LAST_TURN`] while there is much to do.
pub const CLUSTER: &str = "~/cluster";
/// Names the job that had the last turn.
pub const LAST_TURN: &str = "last-turn";

/// The key of a system record. `None` when `name` holds a zero byte.
pub fn key(collection: &'static str, name: &str) -> Option<ObjectKey> {
    ObjectKey::new(collection, "", name)
}

/// All records of a system collection.
pub fn range(collection: &'static str) -> KeyRange {
    KeyRange { collection: collection.to_owned(), namespace: None }
}

/// Whether `collection` belongs to the system.
pub fn is_system(collection: &str) -> bool {
    collection.starts_with("~/")
}

/// What a replica may endorse on behalf of clients that cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// The rights, in RBAC's own form; a request must be covered by one of them, beside the user's own rights.
    pub rules: Vec<crate::authz::PolicyRule>,
}

/// The cluster's settings; all of them influence outcomes, so all of them are state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterConfig {
    /// Version of the pipeline that executes blocks from here on.
    pub pipeline_version: u16,
    /// For how long a request stays valid after it was made, in seconds of block time.
    pub request_validity_seconds: u32,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { pipeline_version: crate::PIPELINE_VERSION, request_validity_seconds: 60 }
    }
}
