//! A key that signs elsewhere: in the caller's own type, an agent, a hardware module.

use super::PublicKey;
use rcgen::{PKCS_ED25519, PublicKeyData};
use rustls::pki_types::{AlgorithmIdentifier, SubjectPublicKeyInfoDer, alg_id};
use rustls::sign::{Signer, SigningKey, public_key_to_spki};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// Makes the Ed25519 signature (RFC 8032) of a message.
type Sign = Arc<dyn Fn(&[u8]) -> [u8; 64] + Send + Sync>;

/// An Ed25519 key of which only the public half is known here.
#[derive(Clone)]
pub(super) struct Elsewhere {
    pub(super) public: PublicKey,
    pub(super) sign: Sign,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("public", &self.public).finish_non_exhaustive()
    }
}

/// For the certificate.
impl PublicKeyData for Elsewhere {
    fn der_bytes(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Elsewhere {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok((self.sign)(message).to_vec())
    }
}

/// For handshakes.
impl SigningKey for Elsewhere {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        const ED25519: AlgorithmIdentifier = alg_id::ED25519;
        Some(public_key_to_spki(&ED25519, self.public.as_bytes()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Elsewhere {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok((self.sign)(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
