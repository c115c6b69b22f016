//! PKCS#10 requests (RFC 2986) from whoever sends one: what is asked for, or why that is not to be had.
//!
//! Everything here is said by a stranger. Sizes are bounded before anything is parsed, what is not understood is refused
//! and not left out, and nothing of a request is believed before its own signature holds: who asks has the key.

use crate::keys::ed25519_key;
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_SHA1WITHRSA,
    OID_SHA1_WITH_RSA, OID_SIG_ED25519, OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME,
};
use x509_parser::prelude::{FromDer as _, ParsedCriAttribute};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Version};

/// The largest request, in bytes of PEM.
pub const LARGEST_REQUEST: usize = 24 << 10;
/// The most organisations of a subject.
pub const MOST_ORGANIZATIONS: usize = 64;
/// The longest name, in bytes.
pub const LONGEST_NAME: usize = 256;

const LABEL: &str = "CERTIFICATE REQUEST";

/// Why a request is none, or is not to be had.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// Larger than [`LARGEST_REQUEST`].
    #[error("it has {0} bytes, the limit is {LARGEST_REQUEST}")]
    TooLarge(usize),
    /// Not one PEM block.
    #[error("it is not one PEM block of type {LABEL}")]
    Pem,
    /// The block holds no PKCS#10 request, or more than one.
    #[error("it is no PKCS#10 request: {0}")]
    Malformed(String),
    /// The key did not sign it.
    #[error("its signature does not hold: {0}")]
    Signature(String),
    /// A key that is not taken.
    #[error("its key is not taken: {0}")]
    Key(&'static str),
    /// A subject that is not taken.
    #[error("its subject is not taken: {0}")]
    Subject(String),
    /// Something is asked for beside a subject and a key.
    #[error("it asks for more than a client's certificate has: {0}")]
    Extension(String),
}

/// Which key a certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519: it may sign requests to the cluster too.
    Ed25519([u8; 32]),
    /// ECDSA on P-256.
    P256,
    /// RSA, of so many bits.
    Rsa(usize),
}

/// What a request asks for. Its signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The common name: the user.
    pub common_name: String,
    /// Organisations, as they stand there: the groups.
    pub organizations: Vec<String>,
    /// The key.
    pub key: KeyKind,
    /// The key in DER (SubjectPublicKeyInfo).
    pub(crate) info: Vec<u8>,
}

impl CertificateRequest {
    /// Reads a request in PEM.
    ///
    /// # Errors
    /// What is wrong with it, for whoever sent it.
    pub fn parse(text: &[u8]) -> Result<Self, RequestError> {
        if text.len() > LARGEST_REQUEST {
            return Err(RequestError::TooLarge(text.len()));
        }
        let text = std::str::from_utf8(text).map_err(|_| RequestError::Pem)?;
        let blocks = pem::parse_many(text).map_err(|_| RequestError::Pem)?;
        match blocks.as_slice() {
            [block] if block.tag() == LABEL => Self::of_der(block.contents()),
            _ => Err(RequestError::Pem),
        }
    }

    /// Reads a request in DER. [`Self::parse`] for requests.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > LARGEST_REQUEST {
            return Err(RequestError::TooLarge(der.len()));
        }
        let malformed = |error: &dyn std::fmt::Display| RequestError::Malformed(error.to_string());
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed("bytes follow it".to_owned()));
        }
        let info = &request.certification_request_info;
        if info.version != X509Version::V1 {
            return Err(RequestError::Malformed("its version is not 1".to_owned()));
        }
        let key = key(&info.subject_pki)?;
        let algorithm = &request.signature_algorithm.algorithm;
        if [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(algorithm) {
            return Err(RequestError::Signature("it is by SHA-1".to_owned()));
        }
        request.verify_signature().map_err(|error| RequestError::Signature(error.to_string()))?;
        for attribute in info.iter_attributes() {
            match attribute.parsed_attribute() {
                // Nobody here knows the password; requests of OpenSSL carry an empty one.
                ParsedCriAttribute::ChallengePassword(_) => {}
                ParsedCriAttribute::ExtensionRequest(asked) => {
                    for extension in &asked.extensions {
                        known(&extension.oid.to_id_string(), extension.parsed_extension())?;
                    }
                }
                ParsedCriAttribute::UnsupportedAttribute => {
                    return Err(RequestError::Extension(format!("the attribute {}", attribute.oid)));
                }
            }
        }
        let (mut names, mut organizations) = (Vec::new(), Vec::new());
        for attribute in info.subject.iter_attributes() {
            let kind = attribute.attr_type();
            if *kind == OID_X509_COMMON_NAME {
                names.push(text(attribute)?);
            } else if *kind == OID_X509_ORGANIZATION_NAME {
                organizations.push(text(attribute)?);
            } else {
                return Err(RequestError::Subject(format!(
                    "it holds {kind}, and a client has CN and O alone"
                )));
            }
        }
        if organizations.len() > MOST_ORGANIZATIONS {
            let words =
                format!("it has {} organisations, the limit is {MOST_ORGANIZATIONS}", organizations.len());
            return Err(RequestError::Subject(words));
        }
        match <[String; 1]>::try_from(names) {
            Ok([common_name]) => {
                Ok(Self { common_name, organizations, key, info: info.subject_pki.raw.to_vec() })
            }
            Err(names) => {
                Err(RequestError::Subject(format!("it has {} common names, and needs one", names.len())))
            }
        }
    }
}

/// A name of the subject: text of one line, of which nothing is hidden from whoever approves it.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Result<String, RequestError> {
    let bad = |why: &str| RequestError::Subject(why.to_owned());
    let text = attribute.as_str().map_err(|_| bad("a name is not UTF-8 or printable text"))?;
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(bad("a name is empty, or longer than 256 bytes"));
    }
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if text.chars().any(hidden) || text.trim() != text {
        return Err(bad("a name holds characters that are not seen"));
    }
    Ok(text.to_owned())
}

/// What requests ask for out of habit, and every certificate of a client has or goes without.
fn known(oid: &str, extension: &ParsedExtension<'_>) -> Result<(), RequestError> {
    match extension {
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(RequestError::Extension("key usages of an authority".to_owned()))
        }
        ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
            Err(RequestError::Extension("to be an authority".to_owned()))
        }
        ParsedExtension::KeyUsage(_)
        | ParsedExtension::BasicConstraints(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectKeyIdentifier(_) => Ok(()),
        ParsedExtension::SubjectAlternativeName(_) => {
            Err(RequestError::Extension("alternative names, which a client does not have".to_owned()))
        }
        _ => Err(RequestError::Extension(format!("the extension {oid}"))),
    }
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> Result<KeyKind, RequestError> {
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        let key = ed25519_key(info.raw).ok_or(RequestError::Key("it is no Ed25519 key of 32 bytes"))?;
        if !hypermesh_chain::PublicKey(key).is_sound() {
            return Err(RequestError::Key("it is no Ed25519 key that one holder alone could sign with"));
        }
        return Ok(KeyKind::Ed25519(key));
    }
    let curve = || info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve() == Some(OID_EC_P256) {
        return Ok(KeyKind::P256);
    }
    if *algorithm == OID_PKCS1_RSAENCRYPTION
        && let Ok(Parsed::RSA(key)) = info.parsed()
    {
        return match key.key_size() {
            bits @ 2048..=8192 => Ok(KeyKind::Rsa(bits)),
            _ => Err(RequestError::Key("an RSA key has 2048 to 8192 bits")),
        };
    }
    Err(RequestError::Key("Ed25519, ECDSA on P-256 and RSA are"))
}

#[cfg(test)]
mod tests;
