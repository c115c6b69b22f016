//! Sealing of what is kept beside the store: the log of the replication engine is a file of its own, and no less private.
//!
//! `nonce (12) ‖ ciphertext ‖ tag (16)`: AES-256-GCM under a key for the purpose alone, with the purpose's name as
//! associated data. The key is derived from one that the key-encryption key wraps, and nonces are drawn as those of values
//! are.

use crate::error::StoreError;
use crate::store::{Inner, Store};
use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use std::sync::Arc;

const TAG: usize = 16;

/// Seals and opens for one purpose. It keeps the store open.
pub struct Sealer {
    inner: Arc<Inner>,
    cipher: LessSafeKey,
    domain: &'static str,
}

impl Store {
    /// A sealer for the purpose `domain`: what one purpose has sealed, another does not open.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn sealer(&self, domain: &'static str) -> Result<Sealer, StoreError> {
        let cipher = self.0.keys.beside(domain)?;
        Ok(Sealer { inner: Arc::clone(&self.0), cipher, domain })
    }
}

impl Sealer {
    /// Bytes that sealing adds.
    pub const OVERHEAD: usize = NONCE_LEN + TAG;

    /// Seals `plain`.
    ///
    /// # Errors
    /// When no nonce can be drawn.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce = self.inner.keys.nonce()?;
        let mut sealed = Vec::with_capacity(plain.len() + Self::OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = sealed.get_mut(NONCE_LEN..).unwrap_or_default();
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(self.domain.as_bytes()));
        let tag = self.cipher.seal_in_place_separate_tag(nonce, aad, body);
        let tag = tag.map_err(|_| StoreError::Crypto { doing: "seal a value" })?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// When it is not what was sealed, or was sealed under another key.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let bad = StoreError::Crypto { doing: "open what was sealed beside the store" };
        let Some((nonce, body)) = sealed.split_first_chunk::<NONCE_LEN>() else { return Err(bad) };
        let mut plain = body.to_vec();
        let (nonce, aad) = (Nonce::assume_unique_for_key(*nonce), Aad::from(self.domain.as_bytes()));
        let Ok(opened) = self.cipher.open_in_place(nonce, aad, &mut plain) else { return Err(bad) };
        let length = opened.len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("domain", &self.domain).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn store(dir: &std::path::Path) -> Store {
        Store::open(dir, Options { reserve_bytes: 1 << 20, ..Options::default() }).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_store_for_the_same_purpose() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = store(dir.path());
        let sealer = first.sealer("wal").unwrap();
        let sealed = sealer.seal(b"entry").unwrap();
        assert_eq!(sealed.len(), 5 + Sealer::OVERHEAD);
        assert_ne!(sealer.seal(b"entry").unwrap(), sealed);
        assert_eq!(sealer.open(&sealed).unwrap(), b"entry");
        assert!(first.sealer("other").unwrap().open(&sealed).is_err());
        assert!(store(other.path()).sealer("wal").unwrap().open(&sealed).is_err());
        for place in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[place] ^= 1;
            assert!(sealer.open(&bad).is_err());
            assert!(sealer.open(&sealed[..place]).is_err());
        }
        // It outlives rotations of the data keys, and the process.
        first.rotate_key().unwrap();
        first.reseal().unwrap();
        drop((sealer, first));
        assert_eq!(store(dir.path()).sealer("wal").unwrap().open(&sealed).unwrap(), b"entry");
    }
}
