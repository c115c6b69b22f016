//! Private keys in PKCS#8 PEM files.

use crate::error::PkiError;
use crate::files;
use crate::legible;
use hypermesh_chain::SigningKey;
use rcgen::{KeyPair, PublicKeyData as _};
use std::path::{Path, PathBuf};

/// PKCS#8 v1 (RFC 8410, section 7) up to the seed of an Ed25519 key.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4) up to the key.
const ED25519_PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The Ed25519 key that a SubjectPublicKeyInfo in DER holds; `None` for one of another algorithm.
pub fn ed25519_key(info: &[u8]) -> Option<[u8; 32]> {
    info.strip_prefix(&ED25519_PUBLIC[..])?.try_into().ok()
}

/// A private key and where it is kept.
pub struct KeyFile {
    path: PathBuf,
    pem: String,
    pair: KeyPair,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyFile {
    /// Reads the Ed25519 key at `path`, or makes it.
    pub(crate) fn ed25519(path: PathBuf) -> Result<Self, PkiError> {
        if let Some(pem) = files::read(&path)? {
            return Self::parse(path, pem);
        }
        let made = Self::fresh(path)?;
        files::replace(&made.path, &made.pem, 0o600)?;
        Ok(made)
    }

    /// A new Ed25519 key, which is kept nowhere.
    pub(crate) fn fresh(path: PathBuf) -> Result<Self, PkiError> {
        let mut der = ED25519_PKCS8.to_vec();
        let mut seed = [0_u8; 32];
        getrandom::fill(&mut seed).map_err(PkiError::Random)?;
        der.extend_from_slice(&seed);
        Self::parse(path, pem::encode(&pem::Pem::new("PRIVATE KEY", der)))
    }

    /// Reads the ECDSA P-256 key at `path`, or makes it: what every TLS client, browsers included, can verify.
    pub(crate) fn p256(path: PathBuf) -> Result<Self, PkiError> {
        if let Some(pem) = files::read(&path)? {
            return Self::parse(path, pem);
        }
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|source| PkiError::Issue { subject: path.display().to_string(), source })?;
        let pem = pair.serialize_pem();
        files::replace(&path, &pem, 0o600)?;
        Self::parse(path, pem)
    }

    pub(crate) fn parse(path: PathBuf, pem: String) -> Result<Self, PkiError> {
        match KeyPair::from_pem(&pem) {
            Ok(pair) => Ok(Self { path, pem, pair }),
            Err(_) => {
                let why = match pem::parse(&pem) {
                    Err(error) => legible::pem(&pem, &error),
                    Ok(block) => format!("it holds {} in PEM, which cannot be read as a key", block.tag()),
                };
                Err(PkiError::Damaged { path, what: "private key", why })
            }
        }
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The key in DER (PKCS#8).
    pub fn der(&self) -> Vec<u8> {
        self.pair.serialize_der()
    }

    /// The public key in DER (SubjectPublicKeyInfo).
    pub(crate) fn public(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The public key in PEM.
    pub(crate) fn public_pem(&self) -> String {
        pem::encode(&pem::Pem::new("PUBLIC KEY", self.public()))
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// The key as the chain signs with it; only Ed25519 keys can.
    pub fn signing_key(&self) -> Result<SigningKey, PkiError> {
        let damaged = |why: &str| PkiError::Damaged {
            path: self.path.clone(),
            what: "Ed25519 key",
            why: why.to_owned(),
        };
        let der =
            pem::parse(&self.pem).map_err(|error| damaged(&legible::pem(&self.pem, &error)))?.into_contents();
        let prefix = der.get(..16).unwrap_or_default();
        // Version 2 of the structure differs in length and version alone.
        let same_algorithm = prefix.get(5..) == ED25519_PKCS8.get(5..);
        let seed: Option<&[u8; 32]> = der.get(16..48).and_then(|seed| seed.try_into().ok());
        match seed {
            Some(seed) if same_algorithm => Ok(SigningKey::from_seed(seed)),
            _ => Err(damaged("it is of another algorithm")),
        }
    }
}
