//! Certificates in PEM: of a file, of a kubeconfig. The certificate is made here; the input says how it is damaged, in
//! its DER and then, after a zero byte, in its PEM.

use crate::input::{damaged, parts};
use hypermesh_client::{Client, Config, Material, Server, Transport, Trust};
use hypermesh_pki::Held;
use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};
use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::LazyLock;

/// PKCS #8 (RFC 8410) around the seed of an Ed25519 key that signs nothing else.
const KEY_PREFIX: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

static CERTIFICATE: LazyLock<(Vec<u8>, String)> = LazyLock::new(|| {
    let der = [KEY_PREFIX.as_slice(), &[7; 32]].concat();
    let key = KeyPair::try_from(der.as_slice()).expect("a key");
    let mut params = CertificateParams::new(vec!["example.com".into(), "127.0.0.1".into()]).expect("names");
    params.serial_number = Some(SerialNumber::from_slice(&[1; 16]));
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.der().to_vec(), key.serialize_pem())
});

/// Reads a damaged certificate wherever certificates are read.
pub fn target(data: &[u8]) {
    let [der, pem] = parts(data);
    let (good, key) = &*CERTIFICATE;
    let found = damaged(good, der);
    let text = pem::encode(&pem::Pem::new("CERTIFICATE", found.clone()));
    let text = damaged(text.as_bytes(), pem);
    if let Some(held) = held(&text) {
        assert!(held.names.is_sorted());
        if held.not_before <= held.not_after {
            assert!((held.not_before..=held.not_after).contains(&held.renew_at()));
        }
        assert!(found != *good || !pem.is_empty() || held.names == ["127.0.0.1", "example.com"]);
    }
    let taken = client(&text, key);
    assert!(taken || !data.is_empty(), "the certificate as it was made is taken");
}

/// The server's reader reads files; this one has no name.
fn held(text: &[u8]) -> Option<Held> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(text).expect("written");
    file.rewind().expect("a file is rewound");
    Held::read(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))).ok().flatten()
}

/// As an authority, and as the client's own certificate.
fn client(text: &[u8], key: &str) -> bool {
    let material = |pem: &[u8]| Material { pem: pem.to_vec(), origin: "input".into() };
    let mut config = Config::new(Server::parse("https://127.0.0.1:6443").expect("a URL"));
    config.trust = Trust::Authorities(material(text));
    config.identity.certificate = Some((material(text), material(key.as_bytes())));
    config.transport = Transport::Tcp;
    Client::new(&config).is_ok()
}
