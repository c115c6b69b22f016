//! The key of a client certificate as a key that signs requests.

use crate::config::Material;
use crate::error::Error;
use crate::wire::private_key;
use hypermesh_chain::SigningKey;
use rustls_pki_types::PrivateKeyDer;

/// PKCS#8 (RFC 5958) from the algorithm, Ed25519 (RFC 8410), up to the seed.
const ED25519: [u8; 11] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Bytes before it: a sequence of up to 127 bytes, and a version.
const BEFORE: usize = 5;

/// The key, if it is an Ed25519 one; another kind identifies its owner to the server, but signs nothing.
pub(crate) fn signing_key(material: &Material) -> Result<Option<SigningKey>, Error> {
    let der = private_key(material)?;
    let PrivateKeyDer::Pkcs8(der) = &der else { return Ok(None) };
    let der = der.secret_pkcs8_der();
    let algorithm = der.get(BEFORE..BEFORE + ED25519.len());
    let seed = der.get(BEFORE + ED25519.len()..).and_then(|rest| rest.first_chunk::<32>());
    Ok(seed.filter(|_| algorithm == Some(ED25519.as_slice())).map(SigningKey::from_seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};

    fn material(pem: String) -> Material {
        Material { pem: pem.into_bytes(), origin: "users[0].user.client-key-data".to_owned() }
    }

    #[test]
    fn only_ed25519_signs() {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let key = signing_key(&material(pair.serialize_pem())).unwrap().unwrap();
        assert_eq!(key.public().0.as_slice(), pair.der_bytes());
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        assert!(signing_key(&material(pair.serialize_pem())).unwrap().is_none());
        let error = signing_key(&material("nonsense".to_owned())).unwrap_err();
        assert!(error.to_string().starts_with("users[0].user.client-key-data: holds no usable"), "{error}");
    }
}
