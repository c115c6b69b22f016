//! TLS as a configuration asks for it: whom to trust, and which certificate to show. TLS 1.3 and nothing older.

use crate::config::{Config, Material, Trust};
use crate::error::Error;
use crate::pem::{self, Wanted};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the certificates that they trust.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// The TLS configuration of a client, without protocols (ALPN), which are the transport's.
pub(crate) fn configuration(config: &Config) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| Error::setup("TLS", e.to_string()))?;
    let builder = match &config.trust {
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(any_certificate(provider)),
        Trust::Authorities(material) => builder.with_root_certificates(authorities(material)?),
        Trust::System { bundle } => builder.with_root_certificates(system_roots(bundle.as_deref())),
    };
    let Some((certificate, key)) = &config.identity.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, private) = (certificates(certificate)?, private_key(key)?);
    builder.with_client_auth_cert(chain, private).map_err(|e| unusable(e, certificate, key))
}

/// The certificates and the key that are shown to the server.
pub(crate) fn pair(
    certificate: &Material,
    key: &Material,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    Ok((certificates(certificate)?, private_key(key)?))
}

/// Why certificate and key cannot be shown.
pub(crate) fn unusable(error: rustls::Error, certificate: &Material, key: &Material) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            Error::setup(&key.origin, format!("is not the key of the certificate in {}", certificate.origin))
        }
        rustls::Error::InvalidCertificate(_) => Error::setup(&certificate.origin, NO_CERTIFICATE.to_owned()),
        // What the library says of a key that it cannot read.
        rustls::Error::General(_) => Error::setup(&key.origin, NO_KEY.to_owned()),
        other => Error::setup(
            &key.origin,
            format!(
                "cannot be used as the client's key ({other}): a key of Ed25519, ECDSA or RSA was expected"
            ),
        ),
    }
}

/// Told where PEM is well formed and what it holds is not.
const NO_CERTIFICATE: &str = "holds a block CERTIFICATE that is no X.509 certificate in DER: it is damaged; take it anew from \
    whoever issued it";

/// Told of a key likewise.
const NO_KEY: &str = "holds a block of a private key in which there is no key of Ed25519, ECDSA or RSA: it is damaged, or of \
    another algorithm; take it anew from where it came from, or have a new one made by `nexusctl certs request`";

/// The private key of a text in PEM.
pub(crate) fn private_key(key: &Material) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&key.pem).map_err(|error| {
        let why = pem::fault(&key.pem, Wanted::PrivateKey, &error);
        Error::setup(&key.origin, format!("holds no usable private key: {why}"))
    })
}

/// The same trust for QUIC.
pub(crate) fn quic_trust(config: &Config) -> Result<stoq::Trust, Error> {
    match &config.trust {
        Trust::Anyone => Ok(stoq::Trust::server_verifier(any_certificate(stoq::provider()))),
        Trust::Authorities(material) => stoq::Trust::authorities(certificates(material)?)
            .map_err(|_| Error::setup(&material.origin, NO_CERTIFICATE.to_owned())),
        Trust::System { bundle } => {
            let roots = Arc::new(system_roots(bundle.as_deref()));
            if roots.is_empty() {
                // A machine without certificates trusts nobody.
                return Ok(stoq::Trust::server_verifier(Arc::new(Alike {
                    provider: stoq::provider(),
                    believed: false,
                })));
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, stoq::provider()).build();
            verifier
                .map(|verifier| stoq::Trust::server_verifier(verifier))
                .map_err(|e| Error::setup("the certificates of this machine", e.to_string()))
        }
    }
}

/// The name that the server's certificate must carry.
pub(crate) fn server_name(config: &Config, host: &str) -> Result<ServerName<'static>, Error> {
    let (name, origin) = match (&config.server_name, &config.server_name_origin) {
        (Some(name), Some(origin)) => (name.as_str(), origin.as_str()),
        (name, _) => (name.as_deref().unwrap_or(host), config.server.url()),
    };
    crate::material::host(name).map_err(|why| Error::setup(origin, why))
}

fn certificates(material: &Material) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&material.pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        found => {
            let error = found.err().unwrap_or(pem::NOTHING);
            let why = pem::fault(&material.pem, Wanted::Certificate, &error);
            Err(Error::setup(&material.origin, format!("holds no certificate: {why}")))
        }
    }
}

fn authorities(material: &Material) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(material)? {
        store.add(certificate).map_err(|_| Error::setup(&material.origin, NO_CERTIFICATE.to_owned()))?;
    }
    Ok(store)
}

/// The certificates that this machine trusts, or those of a bundle (PEM); none where there is neither.
pub fn system_roots(bundle: Option<&Path>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let usual = SYSTEM_BUNDLES.iter().map(PathBuf::from);
    let found = bundle.map(Path::to_owned).into_iter().chain(usual).find_map(|path| std::fs::read(path).ok());
    if let Some(pem) = found {
        // A system's bundle may hold what this library does not read; the rest of it is still good.
        store.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    }
    store
}

/// Takes every certificate of a server: whoever is in between can read and change everything.
pub fn any_certificate(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Alike { provider, believed: true })
}

/// Judges all servers alike: takes every certificate, as `insecure-skip-tls-verify` asks, or none, where nobody is trusted.
/// Signatures are still checked.
#[derive(Debug)]
struct Alike {
    provider: Arc<CryptoProvider>,
    believed: bool,
}

impl ServerCertVerifier for Alike {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.believed {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
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
