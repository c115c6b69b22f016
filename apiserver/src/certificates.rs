//! The certificates of a data folder, for who looks after it without a running server.

use crate::store_key::{self, StoreKeyError};
use hypermesh_chain::{Genesis, Timestamp};
use hypermesh_pipeline::clock;
pub use hypermesh_pki::make_request;
pub use hypermesh_pki::request::{CertificateRequest, KeyKind};
pub use hypermesh_pki::signer::Signer;
use hypermesh_pki::{Held, Pki, PkiError, Renewal, Settings};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// The certificates cannot be shown or renewed.
#[derive(Debug, Error)]
pub enum CertificatesError {
    /// Keys and certificates.
    #[error("the keys and certificates cannot be used")]
    Pki(#[from] PkiError),
    /// The genesis, whose id the kubeconfig names.
    #[error("the cluster's genesis cannot be read")]
    Genesis(#[from] hypermesh_machine::OpenError),
    /// There is no cluster in the folder.
    #[error("{0} holds no cluster; `nexusctl up` makes one")]
    Empty(PathBuf),
    /// The key that seals the store.
    #[error("the key that seals the store cannot be shown")]
    StoreKey(#[from] StoreKeyError),
    /// The kubeconfig names no server.
    #[error("{0} names no server; start the cluster once, and it is written anew")]
    Kubeconfig(PathBuf),
    /// The kubeconfigs, which are written together, name different servers: one of them is damaged.
    #[error("{0} and {1} name different servers; start the cluster once, and both are written anew")]
    Servers(PathBuf, PathBuf),
}

/// One certificate, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// `ca`, `client-ca`, `server`, `admin` or `controllers`; `store-key` for the key that seals the store.
    pub name: String,
    /// Whom it names.
    pub subject: String,
    /// Until when it is valid (RFC 3339).
    pub expires: String,
    /// When it is renewed by itself (RFC 3339), or `never`.
    pub renews: String,
    /// Serial number.
    pub serial: String,
}

/// The certificates of a data folder, and the key that seals its store.
pub fn status(dir: &Path) -> Result<Vec<Certificate>, CertificatesError> {
    let held = Pki::list(dir)?;
    let mut all: Vec<Certificate> = held.into_iter().map(|(name, held)| shown(name, &held)).collect();
    if let Some(key) = store_key::status(dir)? {
        let made =
            key.made.map_or_else(|| "of the operator's own making".to_owned(), |made| format!("made {made}"));
        let renews = if key.asked { "now, as asked" } else { "by age (--key-rotation)" };
        all.push(Certificate {
            name: "store-key".to_owned(),
            subject: made,
            expires: "never".to_owned(),
            renews: renews.to_owned(),
            serial: "<none>".to_owned(),
        });
    }
    Ok(all)
}

/// Renews the server's and the administrator's certificate. A running server takes them up by itself.
pub fn rotate(dir: &Path) -> Result<(), CertificatesError> {
    let held = Pki::list(dir)?;
    let Some((_, server)) = held.iter().find(|(name, _)| *name == "server") else {
        return Err(CertificatesError::Empty(dir.to_owned()));
    };
    let [kubeconfig, second] = ["admin.kubeconfig", "controllers.kubeconfig"].map(|name| dir.join(name));
    let server_of = |path: &Path| {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.trim().strip_prefix("server: ").map(str::to_owned))
    };
    let Some(url) = server_of(&kubeconfig) else { return Err(CertificatesError::Kubeconfig(kubeconfig)) };
    if server_of(&second).is_some_and(|other| other != url) {
        return Err(CertificatesError::Servers(kubeconfig, second));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut settings = Settings::new(url, server.names.clone());
    settings.cluster = hypermesh_machine::read_genesis(dir)?.as_ref().map(Genesis::cluster_id);
    let mut pki = Pki::open(dir, settings, now)?;
    pki.reissue(Renewal { server: true, admin: true }, now)?;
    Ok(())
}

fn shown(name: &str, held: &Held) -> Certificate {
    let time = |seconds: i64| {
        clock::rfc3339(Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000)))
    };
    Certificate {
        name: name.to_owned(),
        subject: held.subject.clone(),
        expires: time(held.not_after),
        renews: if name.ends_with("ca") { "never".to_owned() } else { time(held.renew_at()) },
        serial: held.serial.clone(),
    }
}
