//! Verifies the keys and certificates of a data folder against each other and against what the genesis names, without
//! changing anything.
//!
//! Every bit counts somewhere: certificates are signed, keys belong to a certificate, to a public key beside them or to
//! the genesis, and a file holds its PEM and nothing else; kubeconfigs are what these files make of them
//! (`check/kubeconfigs.rs`). What is missing is a finding where making it anew would make another cluster of this one; a
//! certificate that can be issued again, or a kubeconfig that is written again, is none.

mod kubeconfigs;

use crate::certificate::Held;
use crate::error::PkiError;
use crate::files;
use crate::keys::KeyFile;
use crate::rotation;
use hypermesh_chain::{ClusterId, PublicKey};
use kubeconfigs::Client;
use std::fmt;
use std::path::{Path, PathBuf};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// What the genesis of a cluster names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// The cluster that it founds, which kubeconfigs pin.
    pub cluster: ClusterId,
    /// The keys of its first replicas.
    pub replicas: Vec<PublicKey>,
    /// The keys of its first administrators.
    pub administrators: Vec<PublicKey>,
}

/// A file that is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
    /// Whether nothing is lost: it is made of files that are sound, and the next start writes it anew.
    pub mends: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.what, self.remedy)
    }
}

const RESTORE: &str = "restore it from a backup of this folder";
const RESTORE_ADMIN: &str = "restore it from a backup of this folder, or from client-key-data (base64) of the admin.kubeconfig \
                             beside it: no other key is the administrator's";
const RESTORE_PAIR: &str = "restore both files from a backup of this folder";

/// What becomes of a certificate that cannot be used.
#[derive(Clone, Copy)]
enum Loss {
    /// Clients or the store rely on it: it has to come back.
    Fatal,
    /// It is issued anew where it is not there.
    Reissued,
}

/// Verifies `dir/pki` of a cluster that exists. All findings, in the order of the files.
///
/// # Errors
/// When a file or folder cannot be read for another reason than not being there.
pub fn check(dir: &Path, pinned: &Pinned) -> Result<Vec<Finding>, PkiError> {
    let mut check = Check { folder: dir.join("pki"), findings: Vec::new() };
    check.private(&check.folder.clone(), 0o700)?;
    if rotation::is_cut_short(&check.folder)? {
        let what = "a change of the authorities was cut short".to_owned();
        let remedy = "the next start brings it to its end".to_owned();
        check.push(Finding { path: check.folder.clone(), what, remedy, mends: true });
        return Ok(check.findings);
    }
    let ca = check.pair("ca", Loss::Fatal)?;
    check.issued_by("ca", ca.as_ref(), "ca", ca.as_ref());
    let client_ca = check.pair("client-ca", Loss::Fatal)?;
    check.issued_by("client-ca", client_ca.as_ref(), "client-ca", client_ca.as_ref());
    let server = check.pair("server", Loss::Reissued)?;
    // While authorities are changed, the server shows what clients of before know.
    let old = Held::read(&check.at("ca.old.crt")).ok().flatten();
    let by_old = match (&server, &old) {
        (Some(server), Some(old)) => signed_by(&server.der, &old.der).is_ok(),
        _ => false,
    };
    if !by_old {
        check.issued_by("server", server.as_ref(), "ca", ca.as_ref());
    }
    let former = Held::read(&check.at("client-ca.old.crt")).ok().flatten();
    let admin = check.pair("admin", Loss::Reissued)?;
    check.client_of("admin", admin.as_ref(), client_ca.as_ref(), former.as_ref());
    let controllers = check.pair("controllers", Loss::Reissued)?;
    check.client_of("controllers", controllers.as_ref(), client_ca.as_ref(), former.as_ref());
    let agent = check.pair("agent", Loss::Reissued)?;
    check.client_of("agent", agent.as_ref(), client_ca.as_ref(), former.as_ref());
    check.named_by_genesis("admin", "administrator", &pinned.administrators)?;
    check.named_by_genesis("replica", "replica", &pinned.replicas)?;
    check.service_accounts()?;
    let clients = [
        Client { name: "admin", held: admin.as_ref(), registered: Some(true) },
        Client { name: "controllers", held: controllers.as_ref(), registered: None },
        Client { name: "agent", held: agent.as_ref(), registered: Some(true) },
    ];
    let bundle = ca.as_ref().map(|ca| format!("{}{}", ca.pem, old.map_or_else(String::new, |old| old.pem)));
    check.kubeconfigs(dir, pinned.cluster, bundle.as_deref(), &clients)?;
    Ok(check.findings)
}

struct Check {
    folder: PathBuf,
    findings: Vec<Finding>,
}

impl Check {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn find(&mut self, path: PathBuf, what: impl Into<String>, remedy: impl Into<String>) {
        self.push(Finding { path, what: what.into(), remedy: remedy.into(), mends: false });
    }

    fn push(&mut self, found: Finding) {
        // The first thing that is wrong with a file explains the rest.
        if self.findings.iter().all(|finding| finding.path != found.path) {
            self.findings.push(found);
        }
    }

    /// Keys are for their owner alone.
    fn private(&mut self, path: &Path, wanted: u32) -> Result<(), PkiError> {
        let Some(mode) = files::mode(path)? else { return Ok(()) };
        if mode & 0o077 != 0 {
            let what = format!("others than its owner may use it (mode {mode:04o})");
            self.find(path.to_owned(), what, format!("chmod {wanted:o} {}", path.display()));
        }
        Ok(())
    }

    /// A PEM file's text, if it is one block and nothing else.
    fn pem(&mut self, path: &Path, what: &'static str, remedy: &str) -> Result<Option<String>, PkiError> {
        let Some(bytes) = files::read_bytes(path)? else { return Ok(None) };
        let why = match String::from_utf8(bytes) {
            Err(_) => "it is not text".to_owned(),
            Ok(text) => match pem::parse(&text) {
                Err(error) => crate::legible::pem(&text, &error),
                Ok(parsed) if same_text(&pem::encode(&parsed), &text) => return Ok(Some(text)),
                Ok(_) => "it holds more or other than one block of PEM".to_owned(),
            },
        };
        self.find(path.to_owned(), format!("it is no {what}: {why}"), remedy);
        Ok(None)
    }

    fn key(&mut self, name: &str, remedy: &str) -> Result<Option<KeyFile>, PkiError> {
        let path = self.at(&format!("{name}.key"));
        self.private(&path, 0o600)?;
        let Some(pem) = self.pem(&path, "private key", remedy)? else { return Ok(None) };
        match KeyFile::parse(path.clone(), pem) {
            Ok(key) => Ok(Some(key)),
            Err(PkiError::Damaged { why, .. }) => {
                self.find(path, format!("it is no private key: {why}"), remedy);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// `NAME.crt` and `NAME.key`, which belong together.
    fn pair(&mut self, name: &str, loss: Loss) -> Result<Option<Held>, PkiError> {
        let (key_path, path) = (self.at(&format!("{name}.key")), self.at(&format!("{name}.crt")));
        let remedy = match loss {
            Loss::Fatal => RESTORE.to_owned(),
            // The administrator's key is named by the genesis: only its certificate can be made again.
            Loss::Reissued if name == "admin" => {
                format!("remove {} to have a new one issued", path.display())
            }
            Loss::Reissued => {
                format!("remove {} and {} to have new ones made", path.display(), key_path.display())
            }
        };
        let key_remedy = if name == "admin" { RESTORE_ADMIN } else { &*remedy };
        let there = (files::mode(&key_path)?.is_some(), files::mode(&path)?.is_some());
        let key = self.key(name, key_remedy)?;
        let held = match self.pem(&path, "certificate", &remedy)? {
            None => None,
            Some(pem) => match Held::parse(&path, pem) {
                Ok(held) => Some(held),
                Err(PkiError::Damaged { why, .. }) => {
                    self.find(path.clone(), format!("it is no certificate: {why}"), &*remedy);
                    None
                }
                Err(error) => return Err(error),
            },
        };
        match (there, loss) {
            ((false, _), Loss::Fatal) => self.find(key_path, "it is missing", RESTORE),
            ((_, false), Loss::Fatal) => self.find(path, "it is missing", RESTORE),
            ((false, true), Loss::Reissued) => self.find(key_path, "it is missing", key_remedy),
            _ => {
                if let (Some(key), Some(held)) = (&key, &held)
                    && public_of(&held.der).as_deref() != Some(key.public().as_slice())
                {
                    let what = format!("it is not the key of {}: one of the two is damaged", path.display());
                    self.find(key_path, what, key_remedy);
                }
            }
        }
        Ok(held)
    }

    /// `name`'s certificate carries a signature of the authority of clients; one of the former authority is what the
    /// beginning of a rotation left behind that was cut short.
    fn client_of(&mut self, name: &str, held: Option<&Held>, by: Option<&Held>, former: Option<&Held>) {
        if let (Some(held), Some(former)) = (held, former)
            && signed_by(&held.der, &former.der).is_ok()
        {
            let what = "it is of the former authority: a change of the authorities was cut short".to_owned();
            let remedy = "the next start issues a new one".to_owned();
            let path = self.at(&format!("{name}.crt"));
            return self.push(Finding { path, what, remedy, mends: true });
        }
        self.issued_by(name, held, "client-ca", by);
    }

    /// `name`'s certificate carries a signature of `authority`'s.
    fn issued_by(&mut self, name: &str, held: Option<&Held>, authority: &str, by: Option<&Held>) {
        let (Some(held), Some(by)) = (held, by) else { return };
        let Err(why) = signed_by(&held.der, &by.der) else { return };
        let path = self.at(&format!("{name}.crt"));
        let by = self.at(&format!("{authority}.crt"));
        if name == authority {
            self.find(path, format!("it does not bear its own signature: {why}"), RESTORE);
        } else {
            let what = format!("{} did not sign it: {why}", by.display());
            self.find(path.clone(), what, format!("remove {} to have a new one issued", path.display()));
        }
    }

    /// `NAME.key` is one that the genesis names.
    fn named_by_genesis(&mut self, name: &str, role: &str, keys: &[PublicKey]) -> Result<(), PkiError> {
        let path = self.at(&format!("{name}.key"));
        let restore = if name == "admin" { RESTORE_ADMIN } else { RESTORE };
        if files::mode(&path)?.is_none() {
            self.find(path, format!("it is missing, and the genesis names it as {role}"), restore);
            return Ok(());
        }
        let Some(key) = self.key(name, restore)? else { return Ok(()) };
        match key.signing_key() {
            Ok(key) if keys.contains(&key.public()) => {}
            Ok(key) => {
                let what = format!("the genesis does not name it as {role} (it is {})", key.public());
                self.find(path, what, restore);
            }
            Err(_) => self.find(path, "it is no Ed25519 key", restore),
        }
        Ok(())
    }

    /// Nothing but the public key beside it says which key signs tokens.
    fn service_accounts(&mut self) -> Result<(), PkiError> {
        let (key_path, path) = (self.at("service-accounts.key"), self.at("service-accounts.pub"));
        let remedy =
            format!("{RESTORE_PAIR}, or remove both to have new ones made: every token is void then");
        let key = self.key("service-accounts", &remedy)?;
        let there = (files::mode(&key_path)?.is_some(), files::mode(&path)?.is_some());
        if there == (false, true) {
            self.find(key_path, "it is missing", remedy);
            return Ok(());
        }
        let public = self.pem(&path, "public key", &remedy)?;
        if let (Some(key), Some(public)) = (key, public)
            && !same_text(&key.public_pem(), &public)
        {
            let what = format!("it is not the key of {}: one of the two is damaged", path.display());
            self.find(key_path, what, remedy);
        }
        Ok(())
    }
}

/// PEM that differs in its line ends alone is the same.
fn same_text(a: &str, b: &str) -> bool {
    a.replace("\r\n", "\n") == b.replace("\r\n", "\n")
}

/// The public key of a certificate, in DER.
fn public_of(der: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

fn signed_by(der: &[u8], authority: &[u8]) -> Result<(), String> {
    let parse = |der| X509Certificate::from_der(der).map_err(|error| error.to_string());
    let ((rest, certificate), (_, authority)) = (parse(der)?, parse(authority)?);
    if !rest.is_empty() {
        return Err("bytes follow the certificate".to_owned());
    }
    if !is_canonical(der, certificate.tbs_certificate.as_ref(), &certificate.signature_value.data) {
        return Err("what is around the signature is not what belongs there".to_owned());
    }
    certificate.verify_signature(Some(authority.public_key())).map_err(|error| error.to_string())
}

/// Whether a certificate is what was signed, the algorithm as it stands in there (RFC 5280, section 4.1.1.2), and the
/// signature, and not a bit else: neither is covered by the signature, and parsers take them for what they are.
fn is_canonical(der: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    let header = match der.get(1) {
        Some(length) if length & 0x80 != 0 => 2 + usize::from(length & 0x7f),
        _ => 2,
    };
    let Some(rest) = der.get(header + signed.len()..) else { return false };
    let length = rest.get(1).map_or(0, |length| 2 + usize::from(*length));
    let Some(algorithm) = rest.get(..length) else { return false };
    let bits = element(0x03, &[&[0], signature]);
    signed.windows(length).any(|window| window == algorithm)
        && element(0x30, &[signed, algorithm, &bits]) == der
}

/// An element of DER.
fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let significant = bytes.iter().skip_while(|byte| **byte == 0).copied();
    let mut out = vec![tag];
    if length < 0x80 {
        out.extend(significant.chain((length == 0).then_some(0)));
    } else {
        out.push(0x80 | significant.clone().count() as u8);
        out.extend(significant);
    }
    content.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests;
