//! The keys and certificates of a running server, shared by all that use or look after them.

use crate::own_writes::{self, Author};
use hypermesh_machine::Replica;
use hypermesh_pki::{NODES, Pki, PkiError, node_user};
use parking_lot::Mutex;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// What the server cannot do with its keys and certificates.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A name that no Node can have.
    #[error("{name:?} cannot be the name of a node: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        why: String,
    },
    /// The files.
    #[error("the keys and certificates cannot be used")]
    Pki(#[from] PkiError),
    /// The cluster does not take the key.
    #[error("the key of the node {node:?} cannot be registered: {why}")]
    Register {
        /// The node.
        node: String,
        /// What the server answered.
        why: String,
    },
}

/// The keys and certificates of a running server.
#[derive(Clone)]
pub struct Credentials {
    pki: Arc<Mutex<Pki>>,
    replica: Arc<Replica>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    pub(crate) fn new(pki: Arc<Mutex<Pki>>, replica: Arc<Replica>) -> Self {
        Self { pki, replica }
    }

    #[cfg(test)]
    pub(crate) fn with_pki<T>(&self, work: impl FnOnce(&mut Pki) -> T) -> T {
        work(&mut self.pki.lock())
    }

    /// Makes an agent in this process, or of this machine, the node `node`: its key (Ed25519, kept in the data folder, the
    /// same one at every start) is registered as an Identity of `system:node:NODE`, group `system:nodes`; its certificate
    /// names the same user and group, and is renewed as the others are. Returns the path of a kubeconfig (0600) that
    /// holds both and by which every write is signed.
    ///
    /// # Errors
    /// A name that is no DNS subdomain, files that cannot be written, a cluster that does not take the key.
    pub async fn admit_node(&self, node: &str) -> Result<PathBuf, CredentialsError> {
        if let Some(why) = hypermesh_api::name::dns1123_subdomain(node).into_iter().next() {
            return Err(CredentialsError::Name { name: node.to_owned(), why });
        }
        let now = crate::server::unix_now();
        let (pki, name) = (Arc::clone(&self.pki), node.to_owned());
        let key = blocking(move || pki.lock().agent_key(&name, now)).await?;
        let identity = json!({
            "apiVersion": "hypermesh.online/v1",
            "kind": "Identity",
            "metadata": {"name": key.to_string()},
            "spec": {"user": node_user(node), "groups": [NODES]},
        });
        let path = format!("/apis/hypermesh.online/v1/identities/{key}");
        let author = Author::operator(&self.replica, &self.pki.lock())?;
        own_writes::apply(&self.replica, author, &path, &identity)
            .await
            .map_err(|status| CredentialsError::Register { node: node.to_owned(), why: status.message })?;
        let pki = Arc::clone(&self.pki);
        blocking(move || pki.lock().write_agent_kubeconfig().map(ToOwned::to_owned)).await
    }

    /// Marks the controllers' kubeconfig: from here on they send no write unsigned, whatever a server says. To be called
    /// once their key is registered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn controllers_sign(&self) -> Result<(), CredentialsError> {
        let pki = Arc::clone(&self.pki);
        blocking(move || pki.lock().controllers_sign()).await
    }
}

/// Files are written on a thread that serves nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PkiError> + Send + 'static,
) -> Result<T, CredentialsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Server};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_of_this_process_is_known_by_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
        let server = Server::start(config).await.unwrap();
        let refused = server.credentials().admit_node("Not a name").await.unwrap_err();
        assert!(matches!(refused, CredentialsError::Name { .. }), "{refused}");
        let kubeconfig = server.credentials().admit_node("n1").await.unwrap();
        assert_eq!(kubeconfig, dir.path().join("agent.kubeconfig"));
        let key = server.credentials().pki.lock().agent_key("n1", 0).unwrap();
        let known = Arc::clone(&server.credentials().replica.reading().derived.identities);
        assert_eq!(known.name(&key.0), Some("system:node:n1"));
        let before = server.revision();
        server.credentials().admit_node("n1").await.unwrap();
        assert_eq!(server.revision(), before, "what is so already is not written");
        server.stop().await;
    }
}
