//! What a kubeconfig with embedded data says about its one cluster and one user.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::Path;

/// The parts of a kubeconfig that a client needs, in PEM.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// Who signs the server.
    pub authority: Vec<u8>,
    /// The user's certificate.
    pub certificate: Vec<u8>,
    /// The user's key.
    pub key: Vec<u8>,
}

impl Kubeconfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let config: Value = serde_saphyr::from_str(&text).context("parsing the kubeconfig")?;
        let part = |pointer: &str| -> Result<Vec<u8>> {
            let text = config.pointer(pointer).and_then(Value::as_str);
            let text = text.with_context(|| format!("the kubeconfig has no {pointer}"))?;
            STANDARD.decode(text).with_context(|| format!("{pointer} is not Base64"))
        };
        Ok(Self {
            authority: part("/clusters/0/cluster/certificate-authority-data")?,
            certificate: part("/users/0/user/client-certificate-data")?,
            key: part("/users/0/user/client-key-data")?,
        })
    }
}
