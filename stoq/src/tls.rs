//! TLS 1.3 as both ends use it: post-quantum key exchange first, sessions that are resumed once, early data.
//!
//! A server keeps its sessions in memory and gives each ticket out once (RFC 8446 §8.1), which is what makes a
//! replay of early data fail: the ticket is gone. Sessions end with the process, with their age, and when the
//! identity is replaced.

use crate::error::TlsError;
use crate::identity::{Identity, Shown};
use crate::trust::{ClientAuth, Recording, Trust, Verdicts};
use parking_lot::Mutex;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ProducesTickets, StoresServerSessions};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::Instant;

/// Sessions that a server remembers: some 2 KiB each with a client's certificate.
const MOST_SESSIONS: usize = 16_384;
/// How long a session may be resumed. Who was judged is not judged again until then.
const SESSION_AGE: Duration = Duration::from_secs(60 * 60);
/// Servers that a client remembers sessions of.
const REMEMBERED_SERVERS: usize = 256;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    Arc::new(provider)
});

/// The cryptography that endpoints use: aws-lc, X25519MLKEM768 preferred.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// How a server shows itself and judges its clients.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: rustls::ServerConfig,
    sessions: Arc<Sessions>,
    reset_key: Option<[u8; 32]>,
}

impl ServerTls {
    /// An identity, and whether clients show theirs.
    pub fn new(identity: Identity, clients: &ClientAuth) -> Result<Self, TlsError> {
        Self::shown(&Shown::new(identity), clients)
    }

    pub(crate) fn shown(identity: &Arc<Shown>, clients: &ClientAuth) -> Result<Self, TlsError> {
        let reset_key = identity.identity().reset_key();
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Identity)?
            .with_client_cert_verifier(clients.verifier()?)
            .with_cert_resolver(Arc::clone(identity) as _);
        let mut tls = Self::from_rustls(config);
        tls.reset_key = Some(reset_key);
        Ok(tls)
    }

    /// A configuration of the caller's: its certificates and its verifier of clients. ALPN, sessions, tickets and
    /// early data are set by the endpoint.
    #[must_use]
    pub fn from_rustls(mut config: rustls::ServerConfig) -> Self {
        let sessions = Arc::new(Sessions::default());
        config.session_storage = Arc::clone(&sessions) as _;
        config.ticketer = Arc::new(NoTickets);
        Self { config, sessions, reset_key: None }
    }

    pub(crate) fn reset_key(&self) -> Option<[u8; 32]> {
        self.reset_key
    }

    pub(crate) fn forget_sessions(&self) {
        self.sessions.clear();
    }

    pub(crate) fn quic(&self, alpns: &[Vec<u8>], early_data: bool) -> Result<QuicServerConfig, TlsError> {
        let mut config = self.config.clone();
        config.alpn_protocols = alpns.to_vec();
        // QUIC knows all or nothing (RFC 9001 §4.6.1).
        config.max_early_data_size = if early_data { u32::MAX } else { 0 };
        QuicServerConfig::try_from(config).map_err(|_| TlsError::NotTls13)
    }
}

/// How a client judges servers and shows itself.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: rustls::ClientConfig,
}

impl ClientTls {
    pub(crate) fn shown(
        trust: &Trust,
        identity: Option<&Arc<Shown>>,
        verdicts: &Arc<Verdicts>,
    ) -> Result<Self, TlsError> {
        let verifier = Recording { inner: trust.for_servers()?, verdicts: Arc::clone(verdicts) };
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Identity)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        Ok(Self {
            config: match identity {
                Some(identity) => builder.with_client_cert_resolver(Arc::clone(identity) as _),
                None => builder.with_no_client_auth(),
            },
        })
    }

    /// A configuration of the caller's: its trust and its certificates. ALPN, sessions and early data are set by
    /// the endpoint.
    #[must_use]
    pub fn from_rustls(config: rustls::ClientConfig) -> Self {
        Self { config }
    }

    /// With sessions of its own: one protocol's sessions are no use to another's.
    pub(crate) fn quic(&self, alpn: &[u8], early_data: bool) -> Result<QuicClientConfig, TlsError> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.enable_early_data = early_data;
        config.resumption = Resumption::in_memory_sessions(REMEMBERED_SERVERS);
        QuicClientConfig::try_from(config).map_err(|_| TlsError::NotTls13)
    }
}

/// Sessions of a server: bounded in number and age, each given out once.
#[derive(Default)]
struct Sessions(Mutex<Held>);

#[derive(Default)]
struct Held {
    by_ticket: HashMap<Vec<u8>, (Vec<u8>, Instant)>,
    oldest_first: VecDeque<Vec<u8>>,
}

impl Sessions {
    fn clear(&self) {
        *self.0.lock() = Held::default();
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions", self.0.lock().by_ticket.len())
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut held = self.0.lock();
        while held.oldest_first.len() >= MOST_SESSIONS {
            let Some(oldest) = held.oldest_first.pop_front() else { break };
            held.by_ticket.remove(&oldest);
        }
        held.oldest_first.push_back(key.clone());
        held.by_ticket.insert(key, (value, Instant::now()));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let held = self.0.lock();
        let (value, since) = held.by_ticket.get(key)?;
        (since.elapsed() < SESSION_AGE).then(|| value.clone())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let (value, since) = self.0.lock().by_ticket.remove(key)?;
        (since.elapsed() < SESSION_AGE).then_some(value)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// No session leaves the server's memory: a ticket that a client holds could be used twice.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_age() {
        let sessions = Sessions::default();
        let key = |n: u8| vec![n];
        sessions.put(key(1), vec![7]);
        tokio::time::advance(Duration::from_secs(1)).await;
        sessions.put(key(2), vec![8]);
        tokio::time::advance(SESSION_AGE - Duration::from_millis(1001)).await;
        assert_eq!(sessions.get(&key(1)), Some(vec![7]));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((sessions.get(&key(1)), sessions.take(&key(1))), (None, None));
        assert_eq!(sessions.take(&key(2)), Some(vec![8]), "a younger one stays");
        sessions.put(key(3), vec![9]);
        tokio::time::advance(SESSION_AGE).await;
        assert_eq!(sessions.take(&key(3)), None);
    }

    #[test]
    fn a_session_is_given_out_once_and_their_number_is_bounded() {
        let sessions = Sessions::default();
        for n in 0..=MOST_SESSIONS {
            sessions.put(n.to_be_bytes().to_vec(), vec![1]);
        }
        assert_eq!(sessions.0.lock().by_ticket.len(), MOST_SESSIONS);
        assert_eq!(sessions.take(&0usize.to_be_bytes()), None, "the oldest made room");
        assert_eq!(sessions.take(&1usize.to_be_bytes()), Some(vec![1]));
        assert_eq!(sessions.take(&1usize.to_be_bytes()), None);
        sessions.clear();
        assert_eq!(sessions.take(&2usize.to_be_bytes()), None);
    }
}
