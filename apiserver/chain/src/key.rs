//! Ed25519 keys and signatures: the one identity and the one signature algorithm of what is replicated.
//!
//! Verification follows ZIP-215: every implementation and both modes, single and batch, accept the same signatures,
//! which RFC 8032 leaves open and replicas that must agree cannot. Batch verification needs coefficients that the
//! signer cannot foresee. They are derived from a digest of the whole batch (as in a Fiat–Shamir transform) instead of
//! being drawn: a forger who chooses the batch chooses its digest anew with every try, and each try passes with a
//! chance of 2^-128. So this module, like the crate, needs no randomness.

use crate::{codec::to_bytes, domain, ids::Hash, planted};
use base64::{Engine, engine::general_purpose::STANDARD};
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_consensus::{VerificationKey, VerificationKeyBytes, batch};
use ed25519_dalek::Signer;
use std::{fmt, str::FromStr};

/// An Ed25519 public key, shown as 64 hexadecimal digits. Any 32 bytes are a value; that they are a point of the
/// curve shows when a signature is verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct PublicKey(pub [u8; 32]);

/// An Ed25519 signature (RFC 8032: R, then s), shown in base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Signature(pub [u8; 64]);

/// An Ed25519 key pair; wiped from memory when dropped, and never shown.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The bytes are no point of the curve.
    #[error("public key {0} is not a point of the curve")]
    Key(PublicKey),
    /// Not made by this key over this message.
    #[error("the signature by {0} does not verify")]
    Mismatch(PublicKey),
}

/// The first signature of a batch that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature {index} of the batch is refused")]
pub struct BatchError {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub source: SignatureError,
}

/// Text that is no key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {bytes} bytes in hexadecimal or padded base64")]
pub struct ParseKeyError {
    /// How many bytes the text must stand for.
    pub bytes: usize,
}

impl PublicKey {
    /// Verifies `signature` over `message` under ZIP-215.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let key = VerificationKey::try_from(self.0).map_err(|_| SignatureError::Key(*self))?;
        let signature = ed25519_consensus::Signature::from(signature.0);
        key.verify(&signature, message).map_err(|_| SignatureError::Mismatch(*self))
    }

    /// Whether the key may stand for somebody: it is a point of the curve, and not one of the eight of small order, under
    /// which anybody can sign anything (ZIP-215 has to accept them).
    pub fn is_sound(&self) -> bool {
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| !key.is_weak())
    }

    /// Padded base64 of the 32 bytes.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl Signature {
    /// 128 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl SigningKey {
    /// The key pair of a 32-byte seed (RFC 8032's private key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`; the same message always gives the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// Verifies many signatures at about half the cost of one by one, with the same verdict: `Ok` exactly if each verifies
/// on its own, else the first that does not.
pub fn verify_batch(items: &[(PublicKey, &[u8], Signature)]) -> Result<(), BatchError> {
    let one_by_one = || {
        let verify = |(index, (key, message, signature)): (usize, &(PublicKey, &[u8], Signature))| {
            key.verify(message, signature).map_err(|source| BatchError { index, source })
        };
        items.iter().enumerate().try_for_each(verify)
    };
    if items.len() < 2 {
        return one_by_one();
    }
    let mut verifier = batch::Verifier::new();
    for (key, message, signature) in items {
        let signature = ed25519_consensus::Signature::from(signature.0);
        verifier.queue((VerificationKeyBytes::from(key.0), signature, *message));
    }
    let blind = planted::is(planted::Fault::BlindBatch);
    verifier.verify(Coefficients::of(items)).or_else(|_| if blind { Ok(()) } else { one_by_one() })
}

/// The coefficients of one batch: SHA-256 in counter mode, keyed by a digest of all keys, messages and signatures.
struct Coefficients {
    seed: Hash,
    counter: u64,
}

impl Coefficients {
    fn of(items: &[(PublicKey, &[u8], Signature)]) -> Self {
        let transcript: Vec<_> = items.iter().map(|(key, m, s)| (*key, Hash::of(&[m]), *s)).collect();
        Self { seed: domain::BATCH.hash(&[&to_bytes(&transcript)]), counter: 0 }
    }
}

impl rand_core::RngCore for Coefficients {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, target: &mut [u8]) {
        for chunk in target.chunks_mut(32) {
            let block = domain::BATCH.hash(&[&self.seed.0, &self.counter.to_le_bytes()]);
            self.counter += 1;
            chunk.copy_from_slice(&block.0[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(target);
        Ok(())
    }
}

impl rand_core::CryptoRng for Coefficients {}

/// Reads exactly `N` bytes of hexadecimal or padded base64.
fn parse<const N: usize>(text: &str) -> Result<[u8; N], ParseKeyError> {
    let bytes = if text.len() == 2 * N { hex::decode(text).ok() } else { STANDARD.decode(text).ok() };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(ParseKeyError { bytes: N })
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        parse(text).map(Self)
    }
}

impl FromStr for Signature {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", &hex::encode(self.0)[..12])
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", &hex::encode(self.0)[..12])
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {:?})", self.public())
    }
}

#[cfg(test)]
mod tests;
