//! A public key, as people have one: in hexadecimal, in a file of any of the usual forms, or in a kubeconfig.

use crate::{
    error::{Error, chain},
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hypermesh_client::{Config, Material, pem};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use std::path::Path;

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4) up to the key.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The largest file that is looked at for a key, in bytes.
const LARGEST: u64 = 1 << 20;

/// Whether a text is a key in hexadecimal.
pub fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The key by which this program signs for the session's user.
pub fn own(session: &Session) -> Result<Option<String>, Error> {
    let identity = session.target()?.identity;
    let Some((_, key)) = identity.certificate.filter(|_| identity.token.is_none()) else { return Ok(None) };
    hypermesh_client::public_key(&key).map_err(|error| Error::Message(chain(&error)))
}

/// The key that `text` is or that the file of this name holds, in hexadecimal.
pub fn read(text: &str) -> Result<String, Error> {
    let lower = text.to_ascii_lowercase();
    if is_key(&lower) {
        return Ok(lower);
    }
    let path = Path::new(text);
    let failed = |error: std::io::Error| {
        Error::Message(format!("--key: {text:?} is no key of 64 hexadecimal digits, and no file: {error}"))
    };
    if std::fs::metadata(path).map_err(failed)?.len() > LARGEST {
        return Err(Error::Message(format!("--key: {text} is too large to be a key")));
    }
    let content = std::fs::read_to_string(path).map_err(failed)?;
    of_file(path, &content)
}

fn of_file(path: &Path, content: &str) -> Result<String, Error> {
    let shown = path.display();
    let other = || Error::Message(format!("--key: the key in {shown} is of another algorithm than Ed25519"));
    if let Some(line) = content.lines().map(str::trim).find(|line| line.starts_with("ssh-")) {
        return of_ssh(line).ok_or_else(other);
    }
    if content.contains("-----BEGIN PUBLIC KEY-----") {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(content.as_bytes()).map_err(|error| {
            let why = pem::fault(content.as_bytes(), pem::Wanted::PublicKey, &error);
            Error::Message(format!("--key: {shown} holds no public key: {why}"))
        })?;
        let key = info.strip_prefix(&ED25519[..]).and_then(|key| <[u8; 32]>::try_from(key).ok());
        return key.map(|key| hex(&key)).ok_or_else(other);
    }
    if content.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        let public = format!("{shown}.pub");
        return Err(Error::Message(format!(
            "--key: {shown} is an OpenSSH private key: give the public one, which lies in {public}"
        )));
    }
    if content.contains("PRIVATE KEY-----") {
        let material = Material { pem: content.as_bytes().to_vec(), origin: shown.to_string() };
        let key = hypermesh_client::public_key(&material).map_err(|error| Error::Message(chain(&error)))?;
        return key.ok_or_else(other);
    }
    let key = Config::from_kubeconfig(path).and_then(|config| config.public_key());
    match key {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(Error::Message(format!("--key: the user of {shown} has no Ed25519 key"))),
        Err(error) => Err(Error::Message(format!(
            "--key: {shown} is neither a key in PEM or OpenSSH's form nor a kubeconfig: {}",
            chain(&error)
        ))),
    }
}

/// `ssh-ed25519 BASE64 comment` (RFC 8709, section 4).
fn of_ssh(line: &str) -> Option<String> {
    let blob = STANDARD.decode(line.split_whitespace().nth(1)?).ok()?;
    let key = blob.strip_prefix(b"\0\0\0\x0bssh-ed25519\0\0\0\x20")?;
    Some(hex(&<[u8; 32]>::try_from(key).ok()?))
}

fn hex(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};

    fn of(content: &str) -> Result<String, String> {
        of_file(Path::new("a.key"), content).map_err(|error| error.to_string())
    }

    #[test]
    fn one_key_in_all_its_forms() {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let wanted = hex(&<[u8; 32]>::try_from(pair.der_bytes()).unwrap());
        assert_eq!(of(&pair.public_key_pem()).unwrap(), wanted);
        assert_eq!(of(&pair.serialize_pem()).unwrap(), wanted);
        let blob = [&b"\0\0\0\x0bssh-ed25519\0\0\0\x20"[..], pair.der_bytes()].concat();
        assert_eq!(of(&format!("ssh-ed25519 {} me@here\n", STANDARD.encode(blob))).unwrap(), wanted);
        assert_eq!(read(&wanted.to_uppercase()).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_key_is_told() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        for other in [pair.public_key_pem(), pair.serialize_pem(), "ssh-rsa AAAA me".to_owned()] {
            assert!(of(&other).unwrap_err().contains("another algorithm"), "{other}");
        }
        let private =
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n";
        assert!(of(private).unwrap_err().contains("give the public one, which lies in a.key.pub"));
        assert!(of("nonsense").unwrap_err().contains("neither a key"));
        assert!(read("/nowhere/at/all").unwrap_err().to_string().contains("no file"));
    }
}
