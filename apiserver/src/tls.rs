//! What the server shows of itself and whom it takes by their certificates, over TCP and over QUIC.
//!
//! Both follow the keys and certificates of the data folder. TCP is given another configuration each time, so that no
//! session outlives what it was begun under; QUIC keeps one for good, which asks here in every handshake.

use crate::server::ServerError;
use arc_swap::ArcSwap;
use hypermesh_pki::Pki;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ConfigBuilder, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme, WantsVerifier,
};
use std::sync::Arc;

/// TLS as it is at one time.
#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    takes: Arc<dyn ClientCertVerifier>,
}

/// The TLS of a running server.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<ArcSwap<State>>);

fn failed(error: impl std::fmt::Display) -> ServerError {
    ServerError::Tls(error.to_string())
}

impl Tls {
    /// With what a folder holds.
    pub fn of(pki: &Pki) -> Result<Self, ServerError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(state(pki)?))))
    }

    /// From here on with what the folder holds by now.
    pub fn follow(&self, pki: &Pki) -> Result<(), ServerError> {
        self.0.store(Arc::new(state(pki)?));
        Ok(())
    }

    /// For one connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().config)
    }

    /// For who keeps it for good: it follows by itself.
    pub fn lasting(&self) -> Result<ServerConfig, ServerError> {
        let takes = Arc::new(Takes { tls: self.clone(), hints: Vec::new() });
        let shows = Arc::new(Shows(self.clone()));
        Ok(finished(builder()?.with_client_cert_verifier(takes).with_cert_resolver(shows)))
    }
}

/// TLS 1.3 and nothing older.
fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, ServerError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(failed)
}

fn finished(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.max_early_data_size = 0;
    config
}

/// Clients may show a certificate, and one that is shown must be good.
fn state(pki: &Pki) -> Result<State, ServerError> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in pki.client_authorities() {
        roots.add(authority.der.clone()).map_err(failed)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let takes = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(failed)?;
    let key = PrivateKeyDer::try_from(pki.server_key.der()).map_err(failed)?;
    let config = builder()?
        .with_client_cert_verifier(Arc::clone(&takes))
        .with_single_cert(vec![pki.server.der.clone()], key)
        .map_err(failed)?;
    Ok(State { config: Arc::new(finished(config)), takes })
}

/// Shows the certificate that the server has now.
#[derive(Debug)]
struct Shows(Tls);

impl ResolvesServerCert for Shows {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.config().cert_resolver.resolve(hello)
    }
}

/// Takes whom the authorities signed that count now.
#[derive(Debug)]
struct Takes {
    tls: Tls,
    /// None: authorities change, and a client that is told of none shows what it has.
    hints: Vec<DistinguishedName>,
}

impl Takes {
    fn now(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.tls.0.load().takes)
    }
}

impl ClientCertVerifier for Takes {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.now().verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.now().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.now().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.now().supported_verify_schemes()
    }
}
