//! Requests for certificates (PKCS#10), as strangers send them. The request is made and signed here: the input says what its
//! subject is, and how it is damaged, in its DER and in its PEM; and is read as a request itself.

use crate::input::{damaged, parts};
use hypermesh_pki::request::{
    CertificateRequest, KeyKind, LARGEST_REQUEST, LONGEST_NAME, MOST_ORGANIZATIONS,
};
use hypermesh_pki::signer::{Signer, node};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};

/// PKCS #8 (RFC 8410) around the seed of an Ed25519 key that signs nothing else.
const KEY_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

fn key() -> KeyPair {
    let der = [KEY_PREFIX.as_slice(), &[9; 32]].concat();
    KeyPair::try_from(der.as_slice()).expect("a key")
}

fn request(name: &str, group: &str) -> Option<Vec<u8>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.serialize_request(&key()).ok().map(|request| request.der().to_vec())
}

/// What holds of everything that is taken.
fn check(request: &CertificateRequest) {
    let names = || request.organizations.iter().chain([&request.common_name]);
    assert!(names().all(|name| (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control)));
    assert!(request.organizations.len() <= MOST_ORGANIZATIONS);
    let usages = ["client auth".to_owned()];
    let client = Signer::Client.check(request, &usages).is_ok();
    let as_node = Signer::Node.check(request, &usages).is_ok();
    assert!(!(client && as_node), "nobody is a node and a client at once");
    assert_eq!(as_node, node(request).is_ok());
    if client {
        let groups = &request.organizations;
        assert!(!groups.iter().any(|group| group == "system:masters" || group == "system:nodes"));
        assert!(!request.common_name.starts_with("system:node:"));
    }
    for wrong in ["server auth", "cert sign", ""] {
        let usages = ["client auth".to_owned(), wrong.to_owned()];
        assert!(
            Signer::Client.check(request, &usages).is_err() && Signer::Node.check(request, &usages).is_err()
        );
    }
}

/// Reads requests as the signer and the controllers do.
pub fn target(data: &[u8]) {
    for read in [CertificateRequest::of_der(data), CertificateRequest::parse(data)].into_iter().flatten() {
        check(&read);
    }
    let [der, pem, name, group] = parts(data);
    let (Ok(name), Ok(group)) = (std::str::from_utf8(name), std::str::from_utf8(group)) else { return };
    let Some(good) = request(name, group) else { return };
    let whole = CertificateRequest::of_der(&good);
    if let Ok(read) = &whole {
        check(read);
        assert_eq!(read.common_name, name);
        assert_eq!(read.organizations.first().map(String::as_str).unwrap_or_default(), group);
        let KeyKind::Ed25519(found) = read.key else { panic!("another key") };
        assert_eq!(found.as_slice(), key().der_bytes());
    }
    let broken = damaged(&good, der);
    let text = damaged(pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", broken.clone())).as_bytes(), pem);
    for read in [CertificateRequest::of_der(&broken), CertificateRequest::parse(&text)].into_iter().flatten()
    {
        // What is around the signature may differ, what is asked for may not: nobody else has the key.
        assert_eq!(Ok(&read), whole.as_ref(), "a request that the key did not sign");
    }
    assert!(text.len() <= LARGEST_REQUEST || CertificateRequest::parse(&text).is_err());
}
