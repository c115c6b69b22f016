//! By what a peer's certificate is judged: a pinned key, a set of keys, authorities, or a verifier of the caller's.
//!
//! Keys are judged by the key alone: the dates and names of a certificate that pins a key say nothing, so a wrong
//! clock cannot lock anyone out. Possession is always proven by the handshake's signature.

use crate::error::{CertificateProblem, TlsError};
use crate::identity::PublicKey;
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Verdicts kept for dials that fail: more names than are dialled at a time.
const MOST_VERDICTS: usize = 256;
/// Names of a certificate that are told.
const MOST_NAMES: usize = 8;

/// By what a peer is judged.
#[derive(Clone, Debug)]
pub struct Trust(Kind);

#[derive(Clone)]
enum Kind {
    Dialled,
    Keys { told: String, holds: Arc<dyn Fn(&PublicKey) -> bool + Send + Sync> },
    Authorities(Arc<RootCertStore>),
    Servers(Arc<dyn ServerCertVerifier>),
}

impl Trust {
    /// The key that was dialled ([`PublicKey::server_name`]), whichever it is.
    #[must_use]
    pub fn dialled_key() -> Self {
        Self(Kind::Dialled)
    }

    /// One key.
    #[must_use]
    pub fn key(key: PublicKey) -> Self {
        Self(Kind::Keys { told: key.to_string(), holds: Arc::new(move |shown| *shown == key) })
    }

    /// Any of these keys.
    #[must_use]
    pub fn keys(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let keys: HashSet<_> = keys.into_iter().collect();
        Self::keys_that(format!("one of {} keys", keys.len()), move |key| keys.contains(key))
    }

    /// The keys for which `holds` is true when a handshake is made; `told` names the set in errors.
    #[must_use]
    pub fn keys_that(
        told: impl Into<String>,
        holds: impl Fn(&PublicKey) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Keys { told: told.into(), holds: Arc::new(holds) })
    }

    /// Certificates issued by one of these authorities, for the name that was dialled, and in their time.
    pub fn authorities<'a>(roots: impl IntoIterator<Item = CertificateDer<'a>>) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.into_owned()).map_err(TlsError::Authority)?;
        }
        Ok(Self(Kind::Authorities(Arc::new(store))))
    }

    /// What a verifier of the caller's says about servers.
    #[must_use]
    pub fn server_verifier(verifier: Arc<dyn ServerCertVerifier>) -> Self {
        Self(Kind::Servers(verifier))
    }

    pub(crate) fn for_servers(&self) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let provider = crate::tls::provider();
        Ok(match &self.0 {
            Kind::Authorities(roots) => {
                WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider)
                    .build()
                    .map_err(TlsError::Clients)?
            }
            Kind::Servers(verifier) => Arc::clone(verifier),
            Kind::Dialled => Arc::new(Keys { provider, pinned: None, required: true }),
            Kind::Keys { told, holds } => {
                Arc::new(Keys { provider, pinned: Some((told.clone(), Arc::clone(holds))), required: true })
            }
        })
    }

    fn for_clients(&self, required: bool) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let provider = crate::tls::provider();
        match &self.0 {
            Kind::Authorities(roots) => {
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider);
                let builder = if required { builder } else { builder.allow_unauthenticated() };
                builder.build().map_err(TlsError::Clients)
            }
            Kind::Keys { told, holds } => {
                Ok(Arc::new(Keys { provider, pinned: Some((told.clone(), Arc::clone(holds))), required }))
            }
            Kind::Dialled | Kind::Servers(_) => Err(TlsError::WrongSide),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dialled => f.write_str("the key dialled"),
            Self::Keys { told, .. } => f.write_str(told),
            Self::Authorities(roots) => write!(f, "{} authorities", roots.len()),
            Self::Servers(_) => f.write_str("a verifier of the caller's"),
        }
    }
}

/// Whether a server asks its clients for certificates.
#[derive(Clone, Debug, Default)]
pub enum ClientAuth {
    /// It does not.
    #[default]
    None,
    /// It asks; who shows one must show a good one, and who shows none is served without an identity.
    Optional(Trust),
    /// Who shows none is refused.
    Required(Trust),
    /// As a verifier of the caller's says.
    Verifier(Arc<dyn ClientCertVerifier>),
}

impl ClientAuth {
    pub(crate) fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        match self {
            Self::None => Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Optional(trust) => trust.for_clients(false),
            Self::Required(trust) => trust.for_clients(true),
            Self::Verifier(verifier) => Ok(Arc::clone(verifier)),
        }
    }
}

type Holds = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// Judges by the key alone.
struct Keys {
    provider: Arc<CryptoProvider>,
    /// What is trusted; without it, the key that the server name stands for.
    pinned: Option<(String, Holds)>,
    required: bool,
}

impl Keys {
    fn judge(&self, certificate: &CertificateDer<'_>, dialled: Option<&ServerName<'_>>) -> Result<(), Error> {
        let shown = PublicKey::of_certificate(certificate);
        let expected = match &self.pinned {
            Some((told, holds)) => {
                if shown.as_ref().is_some_and(|key| holds(key)) {
                    return Ok(());
                }
                told.clone()
            }
            None => {
                let dialled = dialled.and_then(|name| PublicKey::from_server_name(&name.to_str()));
                if dialled.is_some() && dialled == shown {
                    return Ok(());
                }
                dialled.map_or_else(|| "a key as the name".to_owned(), |key| key.to_string())
            }
        };
        let found = shown.map_or_else(|| "no Ed25519 key".to_owned(), |key| key.to_string());
        let problem = CertificateProblem::WrongKey { expected, found };
        Err(Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(problem)))))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("pinned", &self.pinned.as_ref().map(|(told, _)| told))
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Keys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, Some(server_name)).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Keys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, None).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// What was wrong with the last certificate refused, by the name dialled: QUIC's own errors carry text alone.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<HashMap<String, CertificateProblem>>);

impl Verdicts {
    pub(crate) fn of(&self, name: &str) -> Option<CertificateProblem> {
        self.0.lock().get(name).cloned()
    }

    fn record(&self, name: String, problem: CertificateProblem) {
        let mut held = self.0.lock();
        if held.len() >= MOST_VERDICTS {
            held.clear();
        }
        held.insert(name, problem);
    }
}

/// A verifier whose refusals can be asked for afterwards.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) inner: Arc<dyn ServerCertVerifier>,
    pub(crate) verdicts: Arc<Verdicts>,
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).inspect_err(
            |error| self.verdicts.record(server_name.to_str().into_owned(), problem(error, server_name)),
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn problem(error: &Error, name: &ServerName<'_>) -> CertificateProblem {
    let Error::InvalidCertificate(error) = error else {
        return CertificateProblem::Other(error.to_string());
    };
    let between = |later: &UnixTime, earlier: &UnixTime| {
        Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
    };
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            CertificateProblem::Expired { ago: between(time, not_after) }
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            CertificateProblem::NotYetValid { ahead: between(not_before, time) }
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => CertificateProblem::UnknownIssuer,
        CertificateError::NotValidForNameContext { expected, presented } => CertificateProblem::NotForName {
            expected: expected.to_str().into_owned(),
            presented: presented.iter().take(MOST_NAMES).map(|name| bare(name)).collect(),
        },
        CertificateError::NotValidForName => {
            CertificateProblem::NotForName { expected: name.to_str().into_owned(), presented: Vec::new() }
        }
        CertificateError::Revoked => CertificateProblem::Revoked,
        CertificateError::Other(other) => other
            .0
            .downcast_ref::<CertificateProblem>()
            .cloned()
            .unwrap_or_else(|| CertificateProblem::Other(other.to_string())),
        other => CertificateProblem::Other(other.to_string()),
    }
}

/// `DnsName("api.example.com")` is `api.example.com`, and `IpAddress(0::1)` is `::1`.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let inner = inner.trim_matches('"');
    inner.parse::<std::net::IpAddr>().map_or_else(|_| inner.to_owned(), |address| address.to_string())
}
