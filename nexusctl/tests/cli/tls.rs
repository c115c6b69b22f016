//! Whom the client trusts, whom it says it is, and how it tells what went wrong.

use super::{run_in, server::Server};
use base64::Engine as _;
use insta::assert_snapshot;
use nexusctl::Environment;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ED25519, date_time_ymd,
};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{path::Path, sync::Arc};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ED25519).unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and key; `year` is when it expires.
    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, year: i32) -> (String, String) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn server(authority: &Authority, names: &[&str], year: i32) -> Server {
    let (certificate, key) = authority.issue(names, ExtendedKeyUsagePurpose::ServerAuth, year);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let mut configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Server::start_with(Some(tokio_rustls::TlsAcceptor::from(Arc::new(configuration))))
}

/// A server with a certificate for these names, and the authority that issued it, in PEM.
pub fn serving(names: &[&str]) -> (Server, String) {
    let authority = Authority::new();
    (server(&authority, names, 2100), authority.pem())
}

fn kubeconfig(folder: &Path, port: u16, ca: &str, certificate: &str, key: &str) -> Environment {
    let data = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    let text = format!(
        "apiVersion: v1
kind: Config
clusters:
- name: here
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority-data: {}
users:
- name: admin
  user:
    client-certificate-data: {}
    client-key-data: {}
contexts:
- name: here
  context: {{cluster: here, user: admin}}
current-context: here
",
        data(ca),
        data(certificate),
        data(key)
    );
    let path = folder.join("config");
    std::fs::write(&path, text).unwrap();
    Environment { kubeconfig: Some(path.into()), ..Environment::default() }
}

/// Runs `version` and hides what differs from run to run.
fn version(folder: &Path, environment: Environment, port: u16) -> (u8, String) {
    let ran = run_in(environment, "version", "");
    let text = ran.out + &ran.err;
    (ran.code, text.replace(&port.to_string(), "PORT").replace(&folder.display().to_string(), ""))
}

#[test]
fn ed25519_certificates_over_http2() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server = server(&authority, &["127.0.0.1"], 2100);
    let (certificate, key) = authority.issue(&["admin"], ExtendedKeyUsagePurpose::ClientAuth, 2100);
    let environment = kubeconfig(folder.path(), server.port(), &authority.pem(), &certificate, &key);
    let ran = run_in(environment, "version", "");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.contains("Server Version: v1.36.0+hypermesh"), "{}", ran.out);
}

#[test]
fn each_fault_has_its_own_words() {
    let (authority, other, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let (certificate, key) = authority.issue(&["admin"], ExtendedKeyUsagePurpose::ClientAuth, 2100);
    let (stranger, stranger_key) = other.issue(&["eve"], ExtendedKeyUsagePurpose::ClientAuth, 2100);
    let (path, ca) = (folder.path(), authority.pem());

    let good = server(&authority, &["127.0.0.1"], 2100);
    let port = good.port();
    let untrusted = version(path, kubeconfig(path, port, &other.pem(), &certificate, &key), port);
    assert_snapshot!(untrusted.1, @"
    Client Version: v0.1.0
    error: cannot reach https://127.0.0.1:PORT: its certificate was not issued by an authority that is trusted here (/config:7:33: clusters[0].cluster.certificate-authority-data): is this the cluster you mean? If its authorities were changed, take the kubeconfig that the cluster has written since
    ");
    let unknown_client = version(path, kubeconfig(path, port, &ca, &stranger, &stranger_key), port);
    // Whether the server's alert arrives before the end of the connection is a race that the network decides.
    assert_eq!(unknown_client.0, 1);
    assert!(unknown_client.1.contains("client certificate's authority"), "{}", unknown_client.1);
    let mismatched_key = version(path, kubeconfig(path, port, &ca, &certificate, &stranger_key), port);
    assert_snapshot!(mismatched_key.1, @"
    Client Version: v0.1.0
    error: /config:12:22: users[0].user.client-key-data: is not the key of the certificate in /config:11:30: users[0].user.client-certificate-data
    ");
    let no_ca = version(path, kubeconfig(path, port, "no certificate", &certificate, &key), port);
    assert_snapshot!(no_ca.1, @"
    Client Version: v0.1.0
    error: /config:7:33: clusters[0].cluster.certificate-authority-data: holds no certificate: it is no PEM: -----BEGIN CERTIFICATE----- was expected
    ");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let damaged = version(path, kubeconfig(path, port, &ca, empty, &key), port);
    assert_snapshot!(damaged.1, @"
    Client Version: v0.1.0
    error: /config:11:30: users[0].user.client-certificate-data: holds a block CERTIFICATE that is no X.509 certificate in DER: it is damaged; take it anew from whoever issued it
    ");
    let cut = key.split("-----END").next().unwrap();
    let cut_off = version(path, kubeconfig(path, port, &ca, &certificate, cut), port);
    assert_snapshot!(cut_off.1, @"
    Client Version: v0.1.0
    error: /config:12:22: users[0].user.client-key-data: holds no usable private key: it is cut off: the line -----END PRIVATE KEY----- is missing at its end; take it anew from where it came from
    ");

    let misnamed = server(&authority, &["api.example.com", "10.0.0.1"], 2100);
    let port = misnamed.port();
    let environment = kubeconfig(path, port, &ca, &certificate, &key);
    assert_snapshot!(version(path, environment.clone(), port).1, @"
    Client Version: v0.1.0
    error: cannot reach https://127.0.0.1:PORT: its certificate is for other names (api.example.com, 10.0.0.1), not for 127.0.0.1: use one of them as the server, or --tls-server-name; `nexusctl up --tls-san` adds a name
    ");
    let named = run_in(environment.clone(), "version --tls-server-name api.example.com", "");
    assert_eq!(named.code, 0, "{}", named.err);
    let blind = run_in(environment, "version --insecure-skip-tls-verify", "");
    assert_eq!(blind.code, 0, "{}", blind.err);

    let expired = server(&authority, &["127.0.0.1"], 2021);
    let port = expired.port();
    let (code, text) = version(path, kubeconfig(path, port, &ca, &certificate, &key), port);
    assert_eq!(code, 1);
    assert!(text.contains("its certificate expired ") && text.contains(" days ago"), "{text}");

    let plain = Server::start();
    let port = plain.port();
    let (_, text) = version(path, kubeconfig(path, port, &ca, &certificate, &key), port);
    assert_snapshot!(text, @"
    Client Version: v0.1.0
    error: cannot reach https://127.0.0.1:PORT: what answers there does not speak TLS: is it an API server, is https://127.0.0.1:PORT its URL?
    ");
}
