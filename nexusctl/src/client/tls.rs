//! TLS as a kubeconfig asks for it: whom to trust, and which certificate to show.

use crate::{
    client::Error,
    environment::Environment,
    kubeconfig::{Material, Target},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use std::{path::PathBuf, sync::Arc};

/// Where systems keep the certificates that they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// The TLS configuration for a target.
pub(super) fn configuration(target: &Target, environment: &Environment) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| setup("TLS", e.to_string()))?;
    let builder = if target.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
    } else {
        builder.with_root_certificates(roots(target, environment)?)
    };
    let mut configuration = match &target.authentication.certificate {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let private = PrivateKeyDer::from_pem_slice(&key.pem)
                .map_err(|e| setup(&key.origin, format!("holds no usable private key ({e})")))?;
            builder.with_client_auth_cert(chain, private).map_err(|e| match e {
                rustls::Error::InconsistentKeys(_) => {
                    setup(&key.origin, format!("is not the key of the certificate in {}", certificate.origin))
                }
                other => setup(&key.origin, format!("cannot be used as the client's key ({other})")),
            })?
        }
        None => builder.with_no_client_auth(),
    };
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(configuration)
}

/// The name that the server's certificate must carry.
pub(super) fn server_name(target: &Target) -> Result<ServerName<'static>, Error> {
    let name = target.tls_server_name.as_ref().unwrap_or(&target.host);
    ServerName::try_from(name.clone())
        .map_err(|_| setup(&target.server, format!("{name:?} is no name of a host")))
}

fn setup(origin: &str, message: String) -> Error {
    Error::Setup { origin: origin.to_owned(), message }
}

fn certificates(material: &Material) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&material.pem).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(setup(&material.origin, "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into()))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(setup(&material.origin, format!("is damaged PEM ({error})"))),
    }
}

fn roots(target: &Target, environment: &Environment) -> Result<RootCertStore, Error> {
    if let Some(authorities) = &target.authorities {
        let mut store = RootCertStore::empty();
        for certificate in certificates(authorities)? {
            store.add(certificate).map_err(|e| {
                setup(&authorities.origin, format!("holds a certificate that cannot be read ({e})"))
            })?;
        }
        return Ok(store);
    }
    Ok(system_roots(environment))
}

/// The certificates that this machine trusts; none where it has no bundle.
pub(crate) fn system_roots(environment: &Environment) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let system = SYSTEM_BUNDLES.iter().map(PathBuf::from);
    let bundle =
        environment.ssl_cert_file.iter().cloned().chain(system).find_map(|path| std::fs::read(path).ok());
    if let Some(pem) = bundle {
        // A system's bundle may hold what this library does not read; the rest of it is still good.
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    }
    store
}

/// Takes every certificate.
pub(crate) fn any_certificate(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyCertificate { provider })
}

/// Takes every certificate, as `--insecure-skip-tls-verify` asks; signatures are still checked.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
