//! Liveness: an agent tells an API server that it is there, without anything being ordered or stored.
//!
//! `POST /apis/hypermesh.online/v1/nodes/NAME/liveness`, as `system:node:NAME`, is a request that lasts: its body is a
//! [`Beat`] a line, one every [`EVERY`], and its answer begins at the first and ends when the server stops. An agent keeps
//! one such request open to each replica, and begins a new one when it ends. `GET` of the same path answers what that
//! replica knows: [`Liveness`]. 404 until it has heard of the node.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often an agent says that it is there.
pub const EVERY: Duration = Duration::from_secs(5);
/// A node that said nothing for so long is not connected, whatever its connection looks like.
pub const SILENT: Duration = Duration::from_secs(20);
/// The longest line, in bytes.
pub const MAX_LINE: usize = 4096;

/// One line: the agent is there. Further fields may come; who reads ignores what it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beat {
    /// The boot that the host is in (`NodeInfo.bootID`), which tells a host that was restarted.
    #[serde(default, rename = "bootID")]
    pub boot_id: String,
    /// How many instances run there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
}

/// What one API server knows of a node's liveness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Liveness {
    /// When the agent was last heard of, RFC 3339.
    pub last_seen: String,
    /// Since when `connected` is what it is, RFC 3339.
    pub since: String,
    /// Whether the agent is heard of.
    pub connected: bool,
    /// What it last said.
    #[serde(flatten)]
    pub beat: Beat,
}
