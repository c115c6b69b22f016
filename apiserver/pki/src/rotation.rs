//! New authorities in place of old ones, in two steps, so that nobody is locked out.
//!
//! | step | the server shows | clients are told to trust | of clients is taken |
//! |---|---|---|---|
//! | before | a certificate of the old authority | the old one | what the old one signed |
//! | begun | the same | both | what either signed; the folder's own clients have new certificates |
//! | finished | a certificate of the new authority | the new one | what the new one signed |
//!
//! So a kubeconfig of before works until the end, and one that is written in between works after it. Between two steps the
//! order keeps everybody in: a server that runs takes what an authority signs before anybody is given such a certificate, so
//! it is the server itself that gives the folder's own clients theirs ([`Pki::take_along`](crate::Pki::take_along)); and it
//! shows a certificate of the new authority before anybody is told to trust nothing else ([`Seen::shows`]). `ca.old.crt` is the mark
//! of a rotation that is under way; `*.new.*` are drafts. Every step is a rename of a whole file, and [`recover`] brings what a
//! crash has cut short to its end, or back.
//!
//! Practice: Kubernetes' manual rotation of CA certificates, step-ca's federated roots.

use crate::certificate::{Held, Signer, Subject, issue};
use crate::error::PkiError;
use crate::files;
use crate::keys::KeyFile;
use crate::pki::{CLIENT_CA, CLUSTER_CA};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the server tells which clients still use the old authority.
const CLIENTS: &str = "rotation.json";
/// Both authorities.
const NAMES: [&str; 2] = ["ca", "client-ca"];
/// What is left of the old ones: without the first, the rotation is ending; the last is the mark.
const OLD: [&str; 3] = ["ca.old.key", "client-ca.old.crt", "ca.old.crt"];

/// The authorities of before, while they still count.
#[derive(Debug)]
pub struct Old {
    /// Signed the server.
    pub ca: Held,
    /// Signed clients.
    pub client_ca: Held,
    pub(crate) ca_key: KeyFile,
}

impl Old {
    /// Those of a folder, while a rotation is under way.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, PkiError> {
        let at = |name: &str| folder.join(name);
        let (ca, client_ca) = (Held::read(&at("ca.old.crt"))?, Held::read(&at("client-ca.old.crt"))?);
        let key = files::read(&at("ca.old.key"))?;
        match (ca, client_ca, key) {
            (Some(ca), Some(client_ca), Some(key)) => {
                Ok(Some(Self { ca, client_ca, ca_key: KeyFile::parse(at("ca.old.key"), key)? }))
            }
            _ => Ok(None),
        }
    }
}

/// Clients that were seen with a certificate of the old authority and not with one of the new one since: who and when, in
/// seconds since the epoch. The clocks of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The serial number of the old authority that this is about.
    pub authority: String,
    /// Since when a server has looked.
    #[serde(default)]
    pub since: i64,
    /// When the server last looked.
    pub looked: i64,
    /// The serial number of the certificate that the server shows.
    #[serde(default)]
    pub shows: String,
    /// By client: its user, and the beginning of its key.
    pub clients: BTreeMap<String, i64>,
    /// Keys, in hexadecimal, that were seen with a certificate of the new authority, or without any.
    #[serde(default)]
    pub keys: BTreeSet<String>,
    /// What the server found in the cluster when it last looked.
    #[serde(default)]
    pub left: Left,
}

/// What the end of a rotation would leave behind, as far as the state of the cluster tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// By namespace whose ConfigMap of authorities lacks one: which.
    pub bundles: BTreeMap<String, String>,
    /// Registered keys, with their users, that were not seen since the rotation began.
    pub unseen: Vec<String>,
    /// How many there are beyond those that are listed here.
    pub more: usize,
}

/// Keeps what was seen of clients in the data folder `dir`.
///
/// # Errors
/// When the file cannot be written.
pub fn tell(dir: &Path, seen: &Seen) -> Result<(), PkiError> {
    let text = serde_json::to_string(seen).unwrap_or_default();
    files::replace(&dir.join("pki").join(CLIENTS), &text, 0o600)
}

/// What the server told last of clients that use the old authority; `None` where no server has looked since the rotation
/// began.
///
/// # Errors
/// When the file cannot be read.
pub fn seen(dir: &Path) -> Result<Option<Seen>, PkiError> {
    let folder = dir.join("pki");
    let Some(old) = Held::read(&folder.join("ca.old.crt"))? else { return Ok(None) };
    let text = files::read(&folder.join(CLIENTS))?;
    let seen: Option<Seen> = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(seen.filter(|seen| seen.authority == old.serial))
}

/// Whether a rotation of the data folder `dir` is under way.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn under_way(dir: &Path) -> Result<bool, PkiError> {
    Ok(files::mode(&dir.join("pki/ca.old.crt"))?.is_some())
}

/// Brings a step that was cut short to its end, or back to where it began. To be called before anything else looks at the
/// data folder `dir`.
///
/// # Errors
/// When a file cannot be moved or removed.
pub fn recover(dir: &Path) -> Result<(), PkiError> {
    let folder = dir.join("pki");
    let at = |name: String| folder.join(name);
    let marked = files::mode(&at("ca.old.crt".to_owned()))?.is_some();
    let ending = marked && files::mode(&at("ca.old.key".to_owned()))?.is_none();
    if marked && !ending {
        return switch(&folder);
    }
    for name in NAMES {
        for kind in ["crt", "key"] {
            files::remove(&at(format!("{name}.new.{kind}")))?;
        }
    }
    remove_old(&folder)
}

/// Puts the new authorities, which lie ready, in place of the old ones, of which copies lie beside them.
fn switch(folder: &Path) -> Result<(), PkiError> {
    for name in NAMES {
        for kind in ["key", "crt"] {
            files::rename(
                &folder.join(format!("{name}.new.{kind}")),
                &folder.join(format!("{name}.{kind}")),
            )?;
        }
    }
    Ok(())
}

pub(crate) fn remove_old(folder: &Path) -> Result<(), PkiError> {
    OLD.iter().try_for_each(|name| files::remove(&folder.join(name)))?;
    files::remove(&folder.join(CLIENTS))
}

/// Whether a rotation was cut short, so that keys and certificates may not belong together until [`recover`] has run.
pub(crate) fn is_cut_short(folder: &Path) -> Result<bool, PkiError> {
    let there = |name: &str| Ok::<_, PkiError>(files::mode(&folder.join(name))?.is_some());
    for name in ["ca.new.key", "ca.new.crt", "client-ca.new.key", "client-ca.new.crt"] {
        if there(name)? {
            return Ok(true);
        }
    }
    Ok(there("ca.old.crt")? && !(there("ca.old.key")? && there("client-ca.old.crt")?))
}

/// Makes new authorities and keeps the old ones beside them.
pub(crate) fn begin(folder: &Path, life: Duration, now: i64) -> Result<(), PkiError> {
    let at = |name: String| folder.join(name);
    for (name, title) in NAMES.into_iter().zip([CLUSTER_CA, CLIENT_CA]) {
        let (key, certificate) = (at(format!("{name}.new.key")), at(format!("{name}.new.crt")));
        files::remove(&key)?;
        let key = KeyFile::p256(key)?;
        issue(&certificate, &Subject::Authority(title.to_owned()), &key, &Signer::Itself, now, life)?;
    }
    let copy = |from: &str, to: &str, mode: u32| -> Result<(), PkiError> {
        let path: PathBuf = folder.join(from);
        let text = files::read(&path)?.ok_or_else(|| PkiError::Damaged {
            path,
            what: "authority",
            why: "it is missing".to_owned(),
        })?;
        files::replace(&folder.join(to), &text, mode)
    };
    files::remove(&folder.join(CLIENTS))?;
    copy("client-ca.crt", "client-ca.old.crt", 0o644)?;
    copy("ca.key", "ca.old.key", 0o600)?;
    // From here on it is brought to its end.
    copy("ca.crt", "ca.old.crt", 0o644)?;
    switch(folder)
}
