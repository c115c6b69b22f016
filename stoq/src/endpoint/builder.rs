//! What an endpoint is made of, and its making.

use super::{Client, Endpoint, Inner, Server};
use crate::error::BindError;
use crate::identity::{Identity, Shown};
use crate::metrics::Metrics;
#[cfg(feature = "qlog")]
use crate::qlog::Qlog;
use crate::settings::Settings;
use crate::tls::{ClientTls, ServerTls};
use crate::trust::{ClientAuth, Trust, Verdicts};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
#[cfg(feature = "qlog")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an endpoint is made of.
#[derive(Debug)]
#[must_use = "nothing is bound until `bind` is called"]
pub struct EndpointBuilder {
    pub(super) address: Option<SocketAddr>,
    pub(super) identity: Option<Identity>,
    pub(super) accepts: bool,
    pub(super) trust: Option<Trust>,
    pub(super) clients: ClientAuth,
    pub(super) server_tls: Option<ServerTls>,
    pub(super) client_tls: Option<ClientTls>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    #[cfg(feature = "qlog")]
    pub(super) qlog: Option<PathBuf>,
    pub(super) reset_key: Option<[u8; 32]>,
}

impl EndpointBuilder {
    pub(super) fn new() -> Self {
        Self {
            address: None,
            identity: None,
            accepts: false,
            trust: None,
            clients: ClientAuth::None,
            server_tls: None,
            client_tls: None,
            settings: Settings::default(),
            metrics: Arc::default(),
            #[cfg(feature = "qlog")]
            qlog: None,
            reset_key: None,
        }
    }

    /// The UDP address to bind; any port of all addresses by default.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// What is shown to servers that ask (and to clients, if the endpoint accepts).
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// By what servers are judged; without it the endpoint cannot dial.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Whether clients show an identity.
    pub fn clients(mut self, clients: ClientAuth) -> Self {
        self.clients = clients;
        self
    }

    /// Times and windows.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Counts into these, which several endpoints may share.
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Writes a qlog file for each connection into this folder, which is made if need be.
    #[cfg(feature = "qlog")]
    pub fn qlog(mut self, folder: impl Into<PathBuf>) -> Self {
        self.qlog = Some(folder.into());
        self
    }

    /// A secret that stays the same over restarts: from it is made what tells peers that their connection is
    /// forgotten (RFC 9000 §10.3). The identity's key, unless told otherwise; with TLS of the caller's, new each time.
    pub fn reset_secret(mut self, secret: &[u8]) -> Self {
        self.reset_key = Some(crate::identity::reset_key(secret));
        self
    }

    /// Binds the socket. Must be called within a tokio runtime.
    pub fn bind(self) -> Result<Endpoint, BindError> {
        let identity = self.identity.map(Shown::new);
        let verdicts = Arc::<Verdicts>::default();
        let server_tls = match (self.server_tls, &identity) {
            (Some(tls), _) => Some(tls),
            (None, Some(identity)) if self.accepts => Some(ServerTls::shown(identity, &self.clients)?),
            (None, _) => None,
        };
        let client_tls = match (self.client_tls, &self.trust) {
            (Some(tls), _) => Some(tls),
            (None, Some(trust)) => Some(ClientTls::shown(trust, identity.as_ref(), &verdicts)?),
            (None, None) => None,
        };
        let reset_key = self
            .reset_key
            .or_else(|| server_tls.as_ref().and_then(ServerTls::reset_key))
            .or_else(|| identity.as_ref().map(|shown| shown.identity().reset_key()));
        let config = match reset_key {
            Some(key) => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
                let mut config = quinn::EndpointConfig::new(Arc::new(key));
                config.cid_generator(|| Box::new(RandomIds));
                config
            }
            None => quinn::EndpointConfig::default(),
        };
        let socket = socket(self.address)?;
        let address = socket.local_addr().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let quinn = quinn::Endpoint::new(config, None, socket, Arc::new(quinn::TokioRuntime))
            .map_err(|source| BindError::Socket { address, source })?;
        Ok(Endpoint(Arc::new(Inner {
            quinn,
            settings: self.settings,
            metrics: self.metrics,
            #[cfg(feature = "qlog")]
            qlog: self.qlog.as_deref().map(Qlog::new).transpose()?,
            identity,
            verdicts,
            server: Mutex::new(Server {
                tls: server_tls,
                alpns: Vec::new(),
                #[cfg(feature = "qlog")]
                config: None,
            }),
            client: Mutex::new(Client { tls: client_tls, configs: HashMap::new() }),
            reached: Default::default(),
        })))
    }
}

/// Connection ids that any process takes for its own: quinn's name the process that made them, and a packet with
/// another's is dropped without the stateless reset that a restarted endpoint owes its peers.
#[derive(Debug)]
struct RandomIds;

impl quinn::ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        let mut id = [0; 8];
        // It fails only where the system has no randomness at all, and then no handshake succeeds either.
        let _ = aws_lc_rs::rand::fill(&mut id);
        quinn::ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Both families where the machine has both.
fn socket(address: Option<SocketAddr>) -> Result<UdpSocket, BindError> {
    let bind = |address: SocketAddr| {
        UdpSocket::bind(address).map_err(|source| BindError::Socket { address, source })
    };
    match address {
        Some(address) => bind(address),
        None => bind((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|_| bind((Ipv4Addr::UNSPECIFIED, 0).into())),
    }
}
