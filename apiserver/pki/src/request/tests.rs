//! Requests, good and hostile, and what is signed of them.

use super::*;
use crate::pki::{Pki, Settings};
use crate::signer::{Signer, node};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyPair, SanType};

const NOW: i64 = 1_800_000_000;

fn request(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ann");
    params.distinguished_name.push(DnType::OrganizationName, "developers");
    change(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn parse(
    key: &KeyPair,
    change: impl FnOnce(&mut CertificateParams),
) -> Result<CertificateRequest, RequestError> {
    CertificateRequest::parse(request(key, change).as_bytes())
}

fn ed25519() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn usages(usages: &[&str]) -> Vec<String> {
    usages.iter().map(|usage| (*usage).to_owned()).collect()
}

#[test]
fn keys_that_are_taken() {
    let key = ed25519();
    let asked = parse(&key, |_| ()).unwrap();
    assert_eq!(
        (asked.common_name.as_str(), asked.organizations.as_slice()),
        ("ann", &["developers".to_owned()][..])
    );
    assert!(matches!(asked.key, KeyKind::Ed25519(_)));
    let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    assert_eq!(parse(&p256, |_| ()).unwrap().key, KeyKind::P256);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert!(matches!(parse(&p384, |_| ()), Err(RequestError::Key(_))));
}

#[test]
fn a_request_is_signed_by_the_key_that_it_names() {
    let der = pem::parse(request(&ed25519(), |_| ())).unwrap().into_contents();
    let asked = CertificateRequest::of_der(&der).unwrap();
    for at in 0..der.len() {
        let mut flipped = der.clone();
        flipped[at] ^= 1;
        // What is around the signature is not signed, and says nothing of what is asked.
        let read = CertificateRequest::of_der(&flipped);
        assert!(read.as_ref().is_err() || read.as_ref() == Ok(&asked), "byte {at}");
    }
    for length in 0..der.len() {
        assert!(CertificateRequest::of_der(&der[..length]).is_err());
    }
    let longer = [&der[..], &[0]].concat();
    assert_eq!(CertificateRequest::of_der(&longer), Err(RequestError::Malformed("bytes follow it".into())));
}

/// Bytes that look like randomness, and are the same in every run (Marsaglia 2003).
fn numbers() -> impl FnMut() -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    }
}

#[test]
fn whatever_is_done_to_a_request_it_is_refused_or_the_same() {
    let der = pem::parse(request(&ed25519(), |_| ())).unwrap().into_contents();
    let asked = CertificateRequest::of_der(&der).unwrap();
    let mut next = numbers();
    for _ in 0..3000 {
        let mut bytes = der.clone();
        for _ in 0..=next() % 4 {
            let at = next() % bytes.len().max(1);
            match next() % 5 {
                0 => bytes[at] = next() as u8,
                1 => bytes.insert(at, next() as u8),
                2 => drop(bytes.remove(at)),
                3 => bytes.truncate(at.max(1)),
                _ => {
                    let again = bytes[at..].to_vec();
                    bytes.extend(again);
                }
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        let read = CertificateRequest::of_der(&bytes);
        assert!(read.as_ref().is_err() || read.as_ref() == Ok(&asked), "{bytes:02x?}");
    }
    // Deep and wide.
    for (inner, times) in [(&[0x30, 0x80][..], 10_000), (&[0xa0, 0x84, 0, 0, 0x20, 0][..], 2_000)] {
        assert!(CertificateRequest::of_der(&inner.repeat(times)).is_err());
    }
}

#[test]
fn what_is_asked_for_beside_a_name_is_refused() {
    let key = ed25519();
    let extension =
        |error: Result<CertificateRequest, RequestError>| matches!(error, Err(RequestError::Extension(_)));
    assert!(extension(parse(&key, |p| p
        .subject_alt_names
        .push(SanType::DnsName("a.example".try_into().unwrap())))));
    assert!(extension(parse(&key, |p| p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained))));
    assert!(extension(parse(&key, |p| {
        p.custom_extensions.push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]));
    })));
    assert!(extension(parse(&key, |p| p.key_usages.push(rcgen::KeyUsagePurpose::KeyCertSign))));
    parse(&key, |p| p.key_usages.push(rcgen::KeyUsagePurpose::DigitalSignature)).unwrap();
    let subject =
        |change: fn(&mut DistinguishedName)| parse(&key, |p| change(&mut p.distinguished_name)).unwrap_err();
    for (change, why) in [
        ((|name| name.push(DnType::CountryName, "DE")) as fn(&mut DistinguishedName), "2.5.4.6"),
        (
            |name| {
                name.remove(DnType::CommonName);
            },
            "0 common names",
        ),
        (|name| name.push(DnType::CommonName, ""), "empty"),
        (|name| name.push(DnType::CommonName, "a".repeat(257)), "longer"),
        (|name| name.push(DnType::CommonName, "ann\u{202e}nimda"), "not seen"),
        (|name| name.push(DnType::OrganizationName, "dev\nops"), "not seen"),
        (|name| name.push(DnType::CommonName, " ann"), "not seen"),
    ] {
        let told = subject(change).to_string();
        assert!(told.contains(why), "{told}");
    }
}

#[test]
fn what_is_no_request_is_told() {
    let good = request(&ed25519(), |_| ());
    for (text, wanted) in [
        (String::new(), RequestError::Pem),
        ("hello".to_owned(), RequestError::Pem),
        (good.repeat(2), RequestError::Pem),
        (good.replace("CERTIFICATE REQUEST", "CERTIFICATE"), RequestError::Pem),
        ("x".repeat(LARGEST_REQUEST + 1), RequestError::TooLarge(LARGEST_REQUEST + 1)),
    ] {
        assert_eq!(CertificateRequest::parse(text.as_bytes()), Err(wanted));
    }
}

#[test]
fn what_is_made_here_is_read_here() {
    let groups = ["developers".to_owned(), "ops".to_owned()];
    let (key, made) = crate::make_request("ann", &groups, None).unwrap();
    let read = CertificateRequest::parse(made.as_bytes()).unwrap();
    assert_eq!((read.common_name.as_str(), read.organizations.as_slice()), ("ann", &groups[..]));
    let (again, other) = crate::make_request("bob", &[], Some(key.clone())).unwrap();
    assert_eq!(again, key);
    assert_eq!(CertificateRequest::parse(other.as_bytes()).unwrap().key, read.key);
    assert!(crate::make_request("ann", &[], Some("hello".to_owned())).is_err());
}

#[test]
fn signers_sign_whom_they_are_for() {
    let client_auth = usages(&["client auth", "digital signature", "key encipherment"]);
    let named = |name: &str, group: &str| {
        parse(&ed25519(), |p| {
            p.distinguished_name.push(DnType::CommonName, name);
            p.distinguished_name.push(DnType::OrganizationName, group);
        })
        .unwrap()
    };
    let ann = named("ann", "developers");
    Signer::Client.check(&ann, &client_auth).unwrap();
    assert_eq!(Signer::Node.check(&ann, &client_auth).unwrap_err().reason, "UnsupportedSubject");
    for (wrong, reason) in [
        (usages(&["server auth", "client auth"]), "UnsupportedUsage"),
        (usages(&["digital signature"]), "UnsupportedUsage"),
        (usages(&["client auth", "cert sign"]), "UnsupportedUsage"),
    ] {
        assert_eq!(Signer::Client.check(&ann, &wrong).unwrap_err().reason, reason);
    }
    for (name, group) in [
        ("ann", "system:masters"),
        ("ann", "system:bootstrappers"),
        ("system:nexus-controllers", "developers"),
        ("system:certificate-signer", "developers"),
        ("ann", "system:nodes"),
        ("system:node:n1", "developers"),
        ("system:serviceaccount:a:b", "developers"),
        ("system:anonymous", "developers"),
    ] {
        Signer::Client.check(&named(name, group), &client_auth).unwrap_err();
    }
    let n1 = named("system:node:n1.example", "system:nodes");
    Signer::Node.check(&n1, &client_auth).unwrap();
    assert_eq!(node(&n1).unwrap().0, "n1.example");
    for name in
        ["system:node:", "system:node:N1", "system:node:a_b", "system:node:a..b", "system:node:-a", "n1"]
    {
        Signer::Node.check(&named(name, "system:nodes"), &client_auth).unwrap_err();
    }
    Signer::Node.check(&named("system:node:n1", "system:masters"), &client_auth).unwrap_err();
    let p256 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let other = parse(&p256, |p| {
        p.distinguished_name.push(DnType::CommonName, "system:node:n1");
        p.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    });
    assert_eq!(Signer::Node.check(&other.unwrap(), &client_auth).unwrap_err().reason, "UnsupportedKey");
}

#[test]
fn what_is_signed_says_what_was_asked_and_holds() {
    let dir = tempfile::tempdir().unwrap();
    let pki =
        Pki::open(dir.path(), Settings::new("https://x:1".to_owned(), vec!["x".to_owned()]), NOW).unwrap();
    let mut asked = parse(&ed25519(), |_| ()).unwrap();
    asked.organizations = vec!["developers".to_owned(), "ops".to_owned(), "\u{fc}bung".to_owned()];
    for (life, wanted) in
        [(None, 90 * 86_400), (Some(3600), 3600), (Some(1), 600), (Some(i64::MAX), 90 * 86_400)]
    {
        let pem = pki.sign_client(&asked, life, NOW).unwrap();
        let der = pem::parse(&pem).unwrap().into_contents();
        let (rest, made) = x509_parser::certificate::X509Certificate::from_der(&der).unwrap();
        assert!(rest.is_empty());
        let (_, authority) = x509_parser::parse_x509_certificate(&pki.client_ca.der).unwrap();
        made.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(made.subject().to_string(), "O=developers, O=ops, O=\u{fc}bung, CN=ann");
        assert_eq!(made.public_key().raw, asked.info);
        assert_eq!(made.validity().not_after.timestamp() - NOW, wanted);
        assert_eq!(NOW - made.validity().not_before.timestamp(), 300);
        assert!(!made.is_ca() && made.version() == X509Version::V3);
        let purposes = made.extended_key_usage().unwrap().unwrap().value;
        assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
        let usage = made.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_encipherment());
        assert!(made.raw_serial().len() == 16);
    }
    // A certificate does not outlive its authority.
    let late = pki.client_ca.not_after - 1000;
    let pem = pki.sign_client(&asked, None, late).unwrap();
    let der = pem::parse(&pem).unwrap().into_contents();
    let (_, made) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(made.validity().not_after.timestamp(), pki.client_ca.not_after);
}
