//! Verifies the kubeconfigs of a data folder: each is made again from the files that it is made of, and compared.
//!
//! All but one line follow from keys, certificates and the genesis. The server's address follows from how the server was
//! started, so the kubeconfigs, which are written with the same one, vouch for each other.

use super::{Check, Finding};
use crate::certificate::Held;
use crate::error::PkiError;
use crate::files;
use crate::kubeconfig::{Access, kubeconfig};
use hypermesh_chain::ClusterId;
use std::path::{Path, PathBuf};

/// Whom a kubeconfig lets in.
pub(super) struct Client<'a> {
    /// What its files are called.
    pub(super) name: &'static str,
    /// Its certificate, if that can be read.
    pub(super) held: Option<&'a Held>,
    /// Whether the cluster has registered its key; `None` where the kubeconfig alone tells.
    pub(super) registered: Option<bool>,
}

impl Check {
    /// `NAME.kubeconfig` of each client, in `dir`.
    pub(super) fn kubeconfigs(
        &mut self,
        dir: &Path,
        cluster: ClusterId,
        authority: Option<&str>,
        clients: &[Client<'_>],
    ) -> Result<(), PkiError> {
        let mut servers = Vec::new();
        for client in clients {
            let path = dir.join(format!("{}.kubeconfig", client.name));
            self.private(&path, 0o600)?;
            let Some(bytes) = files::read_bytes(&path)? else { continue };
            let Some(server) = server_of(&bytes) else {
                self.mending(path, "it names no server".to_owned());
                continue;
            };
            match self.wanted(client, server, cluster, authority)? {
                Some(wanted) if wanted.iter().all(|wanted| wanted.as_bytes() != bytes) => {
                    let line = wanted.iter().map(|wanted| first_difference(&bytes, wanted.as_bytes())).max();
                    let what = format!(
                        "line {} is not what keys, certificates and genesis make of it",
                        line.unwrap_or(1)
                    );
                    self.mending(path, what);
                }
                // What it is made of is told by its own name where it cannot be read.
                _ => servers.push((path, server.to_owned())),
            }
        }
        self.one_server(&servers);
        Ok(())
    }

    /// The kubeconfigs that a client may have; `None` where what they are made of cannot be read.
    fn wanted(
        &self,
        client: &Client<'_>,
        server: &str,
        cluster: ClusterId,
        authority: Option<&str>,
    ) -> Result<Option<Vec<String>>, PkiError> {
        let key = files::read_bytes(&self.at(&format!("{}.key", client.name)))?;
        let key = key.and_then(|bytes| String::from_utf8(bytes).ok());
        let (Some(authority), Some(held), Some(key)) = (authority, client.held, key) else { return Ok(None) };
        let user = held.common_name().unwrap_or_default();
        let variants = client.registered.map_or_else(|| vec![false, true], |registered| vec![registered]);
        let made = variants.into_iter().map(|registered| {
            kubeconfig(&Access {
                server,
                authority,
                certificate: &held.pem,
                key: &key,
                user: &user,
                registered,
                cluster: Some(cluster),
            })
        });
        Ok(Some(made.collect()))
    }

    /// All name the same server; one that names another than most do is the damaged one.
    fn one_server(&mut self, servers: &[(PathBuf, String)]) {
        let agree = |server: &str| servers.iter().filter(|(_, other)| other == server).count();
        let most = servers.iter().map(|(_, server)| agree(server)).max().unwrap_or(0);
        let all = servers.iter().all(|(_, server)| agree(server) == most);
        for (path, server) in servers {
            let other = servers.iter().find(|(_, other)| other != server && agree(other) == most);
            let Some((other, theirs)) = other.filter(|_| all || agree(server) < most) else { continue };
            let verdict = if all { ": one of the two is damaged" } else { "" };
            let what = format!("it names the server {server}, and {} {theirs}{verdict}", other.display());
            self.mending(path.clone(), what);
        }
    }

    fn mending(&mut self, path: PathBuf, what: String) {
        let remedy = "the next start writes it anew".to_owned();
        self.push(Finding { path, what, remedy, mends: true });
    }
}

/// The server that a kubeconfig of ours names.
fn server_of(bytes: &[u8]) -> Option<&str> {
    let line = bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"    server: "))?;
    std::str::from_utf8(line).ok()
}

/// The number of the first line that differs, counted from one.
fn first_difference(a: &[u8], b: &[u8]) -> usize {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b);
    1 + same.filter(|(byte, _)| **byte == b'\n').count()
}
