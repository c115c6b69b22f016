//! The kubeconfig that lets an administrator in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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
}

/// A kubeconfig with everything embedded, so that the file alone is enough.
pub fn kubeconfig(access: &Access<'_>) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: hypermesh\n  cluster:\n    server: {}\n    \
         certificate-authority-data: {}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    \
         client-key-data: {}\ncontexts:\n- name: hypermesh\n  context:\n    cluster: hypermesh\n    user: {user}\n    \
         namespace: default\ncurrent-context: hypermesh\n",
        access.server,
        STANDARD.encode(access.authority),
        STANDARD.encode(access.certificate),
        STANDARD.encode(access.key),
        user = access.user,
    )
}
