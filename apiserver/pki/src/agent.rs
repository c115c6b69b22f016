//! The agent that runs as a node in the process of the server.

use crate::certificate::{Held, Signer, Subject, issue};
use crate::error::PkiError;
use crate::files;
use crate::keys::KeyFile;
use std::path::Path;
use std::time::Duration;

/// The group of every node.
pub const NODES: &str = "system:nodes";

/// What the name of a node's user begins with.
const PREFIX: &str = "system:node:";

/// The user that a node is.
pub fn node_user(node: &str) -> String {
    format!("{PREFIX}{node}")
}

/// A node's key and certificate.
#[derive(Debug)]
pub(crate) struct Agent {
    pub node: String,
    pub key: KeyFile,
    pub held: Held,
}

impl Agent {
    /// The agent of a folder, if there is one.
    pub fn read(folder: &Path) -> Result<Option<Self>, PkiError> {
        let key = folder.join("agent.key");
        let (Some(held), Some(pem)) = (Held::read(&folder.join("agent.crt"))?, files::read(&key)?) else {
            return Ok(None);
        };
        let Some(node) = held.common_name().and_then(|name| Some(name.strip_prefix(PREFIX)?.to_owned()))
        else {
            return Ok(None);
        };
        Ok(Some(Self { node, key: KeyFile::parse(key, pem)?, held }))
    }

    /// A new key and its certificate, in place of those that may be there: a key is one node's.
    pub fn make(
        folder: &Path,
        node: &str,
        signer: &Signer<'_>,
        now: i64,
        life: Duration,
    ) -> Result<Self, PkiError> {
        let path = folder.join("agent.key");
        files::remove(&folder.join("agent.crt"))?;
        files::remove(&path)?;
        let key = KeyFile::ed25519(path)?;
        let held = issue(&folder.join("agent.crt"), &subject(node), &key, signer, now, life)?;
        Ok(Self { node: node.to_owned(), key, held })
    }

    /// Has the certificate issued anew.
    pub fn reissue(&mut self, signer: &Signer<'_>, now: i64, life: Duration) -> Result<(), PkiError> {
        self.held = issue(&self.held.path.clone(), &subject(&self.node), &self.key, signer, now, life)?;
        Ok(())
    }

    /// Whom the certificate names.
    pub fn user(&self) -> String {
        node_user(&self.node)
    }
}

fn subject(node: &str) -> Subject {
    Subject::Client { user: node_user(node), groups: vec![NODES.to_owned()] }
}
