//! Who an endpoint is: a key, and the certificates that carry it.
//!
//! The secret key leaves this module only inside rustls' signer. An identity can be replaced while connections
//! are open; those keep what they were made with.

mod signer;

use crate::error::TlsError;
use arc_swap::ArcSwap;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use signer::Elsewhere;
use std::fmt;
use std::sync::Arc;

/// The DER of an Ed25519 key up to the 32 bytes of the key itself (RFC 8410 §4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The DER of an Ed25519 secret up to the 32 bytes of its seed (RFC 8410 §7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Names that stand for keys end so; `invalid` is never resolved (RFC 6761 §6.4).
const KEY_NAME_SUFFIX: &str = ".key.invalid";
/// What a signer signs, once, for the key of stateless resets.
const RESET_SECRET: &[u8] = b"stoq: the secret of stateless resets, version 1";
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// An Ed25519 public key: 32 bytes, shown as hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key of its bytes. Whether they are a point on the curve shows when a signature is checked.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that a certificate carries, if it is an Ed25519 key.
    #[must_use]
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        let spki = parsed.subject_public_key_info();
        let key = spki.strip_prefix(&SPKI_PREFIX)?;
        Some(Self(key.try_into().ok()?))
    }

    /// The server name under which a peer with this key is dialled: it keeps sessions with different keys apart,
    /// and resolves to nothing.
    #[must_use]
    pub fn server_name(&self) -> String {
        let mut name = String::with_capacity(52 + KEY_NAME_SUFFIX.len());
        let (mut bits, mut held) = (0u32, 0u32);
        for byte in self.0 {
            bits = (bits << 8) | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                name.push(char::from(BASE32[((bits >> held) & 31) as usize]));
            }
        }
        name.push(char::from(BASE32[((bits << (5 - held)) & 31) as usize]));
        name.push_str(KEY_NAME_SUFFIX);
        name
    }

    /// The key that a server name stands for.
    #[must_use]
    pub fn from_server_name(name: &str) -> Option<Self> {
        let text = name.strip_suffix(KEY_NAME_SUFFIX)?.as_bytes();
        if text.len() != 52 {
            return None;
        }
        let mut key = [0u8; 32];
        let (mut bits, mut held, mut at) = (0u32, 0u32, 0);
        for letter in text {
            let value = BASE32.iter().position(|l| *l == letter.to_ascii_lowercase())?;
            bits = (bits << 5) | u32::try_from(value).ok()?;
            held += 5;
            if held >= 8 {
                held -= 8;
                *key.get_mut(at)? = ((bits >> held) & 0xff) as u8;
                at += 1;
            }
        }
        // Spare bits are zero, so that a key has one name only.
        (bits & ((1 << held) - 1) == 0).then_some(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A key with the certificates that carry it. Cheap to clone; `Debug` shows no secret.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    reset_key: [u8; 32],
}

impl Identity {
    /// A new Ed25519 key with a certificate that it signs itself.
    pub fn generate() -> Result<Self, TlsError> {
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(TlsError::Issue)?;
        Self::self_signed(&pair)
    }

    /// The Ed25519 key of a seed (RFC 8032 §5.1.5), with a certificate that it signs itself.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, TlsError> {
        let der = [&PKCS8_PREFIX[..], seed].concat();
        let der = PrivatePkcs8KeyDer::from(der);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(TlsError::Issue)?;
        Self::self_signed(&pair)
    }

    /// The Ed25519 key of a signer that keeps its secret to itself, with a certificate that it signs. What it signs are
    /// handshakes (RFC 8446 §4.4.3), the certificate (RFC 5280), and one text that begins with the library's name.
    pub fn of_signer(
        key: PublicKey,
        sign: impl Fn(&[u8]) -> [u8; 64] + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        // An Ed25519 signature is the same each time (RFC 8032 §5.1.6), and nobody else can make it.
        let reset_key = reset_key(&sign(RESET_SECRET));
        let signer = Elsewhere { public: key, sign: Arc::new(sign) };
        let params = CertificateParams::new(vec![key.server_name()]).map_err(TlsError::Issue)?;
        let certificate = params.self_signed(&signer).map_err(TlsError::Issue)?;
        let certified = CertifiedKey::new(vec![certificate.der().clone()], Arc::new(signer));
        certified.keys_match().map_err(TlsError::Identity)?;
        Ok(Self { certified: Arc::new(certified), reset_key })
    }

    /// A key with the certificates issued for it, the key's own first.
    pub fn issued(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        if chain.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let reset_key = reset_key(key.secret_der());
        let certified =
            CertifiedKey::from_der(chain, key, &crate::tls::provider()).map_err(TlsError::Identity)?;
        Ok(Self { certified: Arc::new(certified), reset_key })
    }

    /// The same, of PEM text.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain =
            CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(TlsError::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Pem)?;
        Self::issued(chain, key)
    }

    /// The certificates, the key's own first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The key, where it is an Ed25519 key.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        PublicKey::of_certificate(self.certified.cert.first()?)
    }

    /// From the secret, so that a restarted endpoint can still tell old peers that it forgot them (RFC 9000 §10.3).
    pub(crate) fn reset_key(&self) -> [u8; 32] {
        self.reset_key
    }

    fn self_signed(pair: &KeyPair) -> Result<Self, TlsError> {
        let raw: [u8; 32] = pair.public_key_raw().try_into().unwrap_or_default();
        let name = PublicKey(raw).server_name();
        let params = CertificateParams::new(vec![name]).map_err(TlsError::Issue)?;
        let certificate = params.self_signed(pair).map_err(TlsError::Issue)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        Self::issued(vec![certificate.der().clone()], key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// What a stateless reset is signed with: nothing of the secret can be told from it.
pub(crate) fn reset_key(secret: &[u8]) -> [u8; 32] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, b"stoq: stateless reset, version 1");
    tag.as_ref().try_into().unwrap_or_default()
}

/// The identity that an endpoint shows now.
pub(crate) struct Shown(ArcSwap<Identity>);

impl Shown {
    pub(crate) fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(identity)))
    }

    pub(crate) fn replace(&self, identity: Identity) {
        self.0.store(Arc::new(identity));
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        self.0.load_full()
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load().fmt(f)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certified = Arc::clone(&self.0.load().certified);
        certified.key.choose_scheme(schemes).is_some().then_some(certified)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_keys_name_is_a_host_name_and_stands_for_it_alone(bytes in any::<[u8; 32]>()) {
            let name = PublicKey(bytes).server_name();
            prop_assert!(rustls_pki_types::DnsName::try_from(name.as_str()).is_ok());
            prop_assert_eq!(PublicKey::from_server_name(&name), Some(PublicKey(bytes)));
        }

        #[test]
        fn other_names_stand_for_no_key_or_for_exactly_one(name in "[a-z2-7]{52}\\.key\\.invalid") {
            if let Some(key) = PublicKey::from_server_name(&name) {
                prop_assert_eq!(key.server_name(), name);
            }
        }
    }

    #[test]
    fn a_seed_always_makes_the_same_key() {
        // RFC 8032 §7.1, test 1.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
            0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let identity = Identity::from_seed(&seed).unwrap();
        assert_eq!(
            identity.public_key().unwrap().to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert!(!format!("{identity:?}").contains("9d61"));
    }

    #[test]
    fn a_signer_that_keeps_its_secret_has_the_identity_of_its_key() {
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = PublicKey(aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().try_into().unwrap());
        let sign = move |message: &[u8]| pair.sign(message).as_ref().try_into().unwrap();
        let identity = Identity::of_signer(key, sign).unwrap();
        assert_eq!(identity.public_key(), Some(key));
        assert_eq!(identity.public_key(), Identity::from_seed(&[7; 32]).unwrap().public_key());
    }

    #[test]
    fn a_key_and_the_certificate_of_another_are_refused() {
        let one = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(other.signing_key.serialize_der()));
        assert!(matches!(Identity::issued(vec![one.cert.der().clone()], key), Err(TlsError::Identity(_))));
    }
}
