//! What is wrong with a certificate or key in PEM (RFC 7468), in words that say what was expected and what to do.
//!
//! Nothing of the text is repeated but the names of its blocks: the rest may be a key.

use rustls_pki_types::pem::Error;

/// What reading a text without a block comes to.
pub(crate) const NOTHING: Error = Error::NoItemsFound;

/// What a text in PEM is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One or several certificates.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A public key.
    PublicKey,
}

impl Wanted {
    fn block(self) -> &'static str {
        match self {
            Self::Certificate => "-----BEGIN CERTIFICATE-----",
            Self::PrivateKey => "-----BEGIN PRIVATE KEY-----",
            Self::PublicKey => "-----BEGIN PUBLIC KEY-----",
        }
    }
}

/// Told of a text whose line breaks were lost. The line itself is not shown: a key may stand in it.
const JOINED: &str =
    "a line goes on behind -----BEGIN …-----: its line breaks were lost; the lines BEGIN and END stand alone";

/// Why `text` is none of what is wanted, given what reading it came to.
pub fn fault(text: &[u8], wanted: Wanted, error: &Error) -> String {
    match error {
        Error::NoItemsFound => nothing(text, wanted),
        Error::MissingSectionEnd { end_marker } => match name(end_marker) {
            Some(name) => format!(
                "it is cut off: the line -----END {name}----- is missing at its end; take it anew from where it came from"
            ),
            None => JOINED.to_owned(),
        },
        Error::IllegalSectionStart { .. } => JOINED.to_owned(),
        Error::Base64Decode(_) => {
            "what stands between its lines BEGIN and END is no base64: it is damaged, or was pasted in part; take it anew \
             from where it came from"
                .to_owned()
        }
        Error::SectionTooLarge => "it is larger than any key or certificate".to_owned(),
        Error::Io(error) => format!("it cannot be read: {error}"),
        other => format!("it is no PEM: {other}"),
    }
}

/// A text without a block of the kind that is wanted.
fn nothing(text: &[u8], wanted: Wanted) -> String {
    let expected = format!("{} was expected", wanted.block());
    let found = blocks(text);
    if found.iter().any(|block| block == "ENCRYPTED PRIVATE KEY")
        || text.windows(9).any(|part| part == b"ENCRYPTED")
    {
        return "its key is locked by a password, which cannot be asked for here: `openssl pkey -in FILE -out PLAIN` writes \
                one without"
            .to_owned();
    }
    if found.iter().any(|block| block == "OPENSSH PRIVATE KEY") {
        return "its key is in OpenSSH's form: `ssh-keygen -p -m PKCS8 -f FILE` makes it PEM".to_owned();
    }
    if !found.is_empty() {
        return format!("it holds {}, and {expected}", found.join(" and "));
    }
    match text {
        [] => format!("it is empty; {expected}"),
        // An ASN.1 sequence longer than 127 bytes, or a key of Ed25519.
        [0x30, 0x81..=0x84 | 0x20..=0x7f, ..] if std::str::from_utf8(text).is_err() => {
            let verb = if wanted == Wanted::Certificate { "x509" } else { "pkey" };
            format!("it is DER, and {expected}: `openssl {verb} -inform der -in FILE -out PEM` makes it PEM")
        }
        _ => format!("it is no PEM: {expected}"),
    }
}

/// The names of the blocks that a text begins.
fn blocks(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let begun =
        text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    let mut names: Vec<String> = begun.filter(|name| is_name(name)).map(str::to_owned).collect();
    names.dedup();
    names.truncate(4);
    names
}

/// `CERTIFICATE`, of which the end is missing.
fn name(label: &[u8]) -> Option<&str> {
    std::str::from_utf8(label).ok().filter(|name| is_name(name))
}

/// Whether a text is what blocks are called, and not a part of what stands in one.
fn is_name(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|b| b == b' ' || b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    fn key(text: &str) -> String {
        let error = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap_err();
        fault(text.as_bytes(), Wanted::PrivateKey, &error)
    }

    #[test]
    fn each_way_of_being_no_key_is_told_with_the_next_step() {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let secret = pem.lines().nth(1).unwrap().to_owned();
        let cut = pem.split("-----END").next().unwrap();
        let joined = pem.replace(['\r', '\n'], "");
        let spoilt = pem.replace(&secret, "!!!");
        let told = [
            key(cut),
            key(&joined),
            key(&spoilt),
            key(""),
            key("secret"),
            key("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            key("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            key("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
        ]
        .join("\n");
        assert!(!told.contains(&secret) && !told.contains("secret"), "{told}");
        insta::assert_snapshot!(told, @"
        it is cut off: the line -----END PRIVATE KEY----- is missing at its end; take it anew from where it came from
        a line goes on behind -----BEGIN …-----: its line breaks were lost; the lines BEGIN and END stand alone
        what stands between its lines BEGIN and END is no base64: it is damaged, or was pasted in part; take it anew from where it came from
        it is empty; -----BEGIN PRIVATE KEY----- was expected
        it is no PEM: -----BEGIN PRIVATE KEY----- was expected
        it holds CERTIFICATE, and -----BEGIN PRIVATE KEY----- was expected
        its key is locked by a password, which cannot be asked for here: `openssl pkey -in FILE -out PLAIN` writes one without
        its key is in OpenSSH's form: `ssh-keygen -p -m PKCS8 -f FILE` makes it PEM
        ");
    }

    #[test]
    fn der_is_recognized() {
        let der = rcgen::KeyPair::generate().unwrap().serialize_der();
        let told = fault(&der, Wanted::PrivateKey, &Error::NoItemsFound);
        assert!(told.contains("it is DER") && told.contains("openssl pkey -inform der"), "{told}");
        let error = CertificateDer::from_pem_slice(b"").unwrap_err();
        assert_eq!(
            fault(b"", Wanted::Certificate, &error),
            "it is empty; -----BEGIN CERTIFICATE----- was expected"
        );
    }
}
