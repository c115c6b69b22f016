//! The kubeconfig that lets an administrator in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hypermesh_chain::ClusterId;

/// The extension of a cluster's entry that names the cluster's id; other clients keep it and do not look at it.
const CLUSTER_EXTENSION: &str = "hypermesh.online/cluster";

/// The extension of a user's entry that has our clients send no write unsigned.
pub(crate) const SIGNING_EXTENSION: &str = "hypermesh.online/signing";

/// What a kubeconfig holds; PEM throughout.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// URL of the server.
    pub server: &'a str,
    /// The authority that signed the server.
    pub authority: &'a str,
    /// The client's certificate.
    pub certificate: &'a str,
    /// The client's key.
    pub key: &'a str,
    /// The client's name.
    pub user: &'a str,
    /// Whether the cluster has registered the key, so that writes go out signed or not at all, whatever one server says.
    pub registered: bool,
    /// The cluster's id: requests are signed for it, so a client that is told here need not believe a server.
    pub cluster: Option<ClusterId>,
}

/// A kubeconfig with everything embedded, so that the file alone is enough.
pub fn kubeconfig(access: &Access<'_>) -> String {
    let extensions = access.cluster.map_or_else(String::new, |id| {
        format!("    extensions:\n    - name: {CLUSTER_EXTENSION}\n      extension:\n        id: \"{id}\"\n")
    });
    let signing = if access.registered {
        format!(
            "    extensions:\n    - name: {SIGNING_EXTENSION}\n      extension:\n        required: true\n"
        )
    } else {
        String::new()
    };
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: hypermesh\n  cluster:\n    server: {}\n    \
         certificate-authority-data: {}\n{extensions}users:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    \
         client-key-data: {}\n{signing}contexts:\n- name: hypermesh\n  context:\n    cluster: hypermesh\n    user: {user}\n    \
         namespace: default\ncurrent-context: hypermesh\n",
        access.server,
        STANDARD.encode(access.authority),
        STANDARD.encode(access.certificate),
        STANDARD.encode(access.key),
        user = access.user,
    )
}
