//! What a client is made from: a server, whom to trust, who calls, and how patient to be.

use crate::error::Error;
use crate::metrics::Metrics;
use crate::sign::Clock;
use hypermesh_chain::ClusterId;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A client's configuration. [`Config::from_kubeconfig`] and [`Config::new`] fill it with what daemons want.
#[derive(Clone, Debug)]
pub struct Config {
    /// The API server.
    pub server: Server,
    /// The name that the server's certificate must carry, if it is not the host.
    pub server_name: Option<String>,
    /// Who says `server_name`, for error messages: a field of a file, or a flag.
    pub server_name_origin: Option<String>,
    /// Whose word is taken for who the server is.
    pub trust: Trust,
    /// Who calls.
    pub identity: Identity,
    /// The cluster that requests are signed for. `None`: the server is asked, once it has shown a certificate that
    /// `trust` vouches for.
    pub cluster: Option<ClusterId>,
    /// Who is told of the cluster that a server names, where `cluster` is `None`.
    pub acquaintance: Option<Acquaintance>,
    /// The namespace that is meant where none is named.
    pub namespace: String,
    /// `User-Agent`; what stands before its first `/` is the field manager of writes that name none.
    pub agent: String,
    /// What carries requests.
    pub transport: Transport,
    /// How long the beginning of a reply may take.
    pub timeout: Duration,
    /// How long a signed write whose fate is unknown is asked about again. Requests are valid for 60 s.
    pub patience: Duration,
    /// How long a peer that is gone without a word may go unnoticed.
    pub silence: Duration,
    /// What signatures are dated by.
    pub clock: Clock,
    /// Where to look for a newer configuration.
    pub source: Option<Source>,
    /// When the identity is worth nothing any more. A source that hands out identities is asked for the next one.
    pub expires: Option<SystemTime>,
    /// Where the client counts.
    pub metrics: Arc<Metrics>,
}

/// What carries requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/3 where UDP gets through, else TCP; which it is is remembered for each server.
    #[default]
    Auto,
    /// HTTP/3 alone.
    Http3,
    /// HTTP/1.1 and HTTP/2 over TCP alone.
    Tcp,
}

impl std::str::FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "http3" => Ok(Self::Http3),
            "tcp" => Ok(Self::Tcp),
            other => Err(format!("there is no transport {other:?}; there are auto, http3 and tcp")),
        }
    }
}

/// The URL of an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    url: String,
    host: String,
    port: u16,
    tls: bool,
    prefix: String,
}

/// Whose word is taken for who a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// These authorities (PEM).
    Authorities(Material),
    /// The authorities of this machine, or those of a bundle.
    System {
        /// A file (PEM) in place of the machine's own.
        bundle: Option<PathBuf>,
    },
    /// Anyone: whoever is in between can read and change everything. Nothing is signed for a cluster that only such
    /// a server names.
    Anyone,
}

/// Who calls.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Certificate chain and key, in PEM. An Ed25519 key signs writes too.
    pub certificate: Option<(Material, Material)>,
    /// Bearer token. Whoever shows one is the token's user and signs nothing.
    pub token: Option<String>,
    /// `Impersonate-User`
    pub impersonate: Option<String>,
    /// `Impersonate-Group`
    pub impersonate_groups: Vec<String>,
    /// Whether writes are signed or not sent: the cluster is known to have registered the key, whatever one of its
    /// servers says. Whoever impersonates signs nothing, this or not.
    pub must_sign: bool,
}

/// Bytes of PEM and who named them: a field of a file, or a flag.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// PEM.
    pub pem: Vec<u8>,
    /// For error messages.
    pub origin: String,
}

/// Who is told, before anything is signed for it, of the cluster that a server names, and may object: a program that
/// remembers which cluster it met there.
#[derive(Clone)]
pub struct Acquaintance(pub Arc<Meet>);

/// What is done about a cluster that a server names; an error, and nothing is signed for it.
pub type Meet = dyn Fn(&ClusterId) -> Result<(), Error> + Send + Sync;

/// Files from which a configuration was read, and how to read it again.
#[derive(Clone)]
pub struct Source {
    /// The files; a change of any is a reason to read again.
    pub files: Vec<PathBuf>,
    /// Reads the configuration again. Trust and identity are taken from it; one for another server, or for another
    /// cluster than is pinned, is not taken up.
    pub read: Arc<dyn Fn() -> Result<Config, Error> + Send + Sync>,
    /// Whether reading hands out another identity though no file has changed, as a program does that is asked for one.
    /// It may take its time then: it is read where it blocks nobody, when the identity expires or is refused.
    pub hands_out: bool,
}

/// The public half of a private key in PEM, in hexadecimal; `None` for one of another algorithm than Ed25519.
///
/// # Errors
/// What is no private key.
pub fn public_key(key: &Material) -> Result<Option<String>, Error> {
    Ok(crate::sign::signing_key(key)?.map(|key| key.public().to_string()))
}

impl Config {
    /// A client of `server` that trusts the machine's authorities and shows nothing.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            server_name: None,
            server_name_origin: None,
            trust: Trust::System { bundle: None },
            identity: Identity::default(),
            cluster: None,
            acquaintance: None,
            namespace: "default".to_owned(),
            agent: concat!("hypermesh/", env!("CARGO_PKG_VERSION")).to_owned(),
            transport: Transport::default(),
            timeout: Duration::from_secs(60),
            patience: Duration::from_secs(50),
            silence: Duration::from_secs(20),
            clock: Clock::default(),
            source: None,
            expires: None,
            metrics: Arc::default(),
        }
    }

    /// The current context of a kubeconfig. The file is looked at again while the client lives, so that a certificate
    /// or token that is renewed there is taken up.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, Error> {
        crate::kubeconfig::read(path)
    }

    /// The key that signs writes, in hexadecimal: the name of the Identity that registers it. `None` where writes go out
    /// unsigned, because there is no Ed25519 key, or because a token or somebody else is acted as.
    ///
    /// # Errors
    /// A key that cannot be read.
    pub fn public_key(&self) -> Result<Option<String>, Error> {
        let Some((_, key)) = &self.identity.certificate else { return Ok(None) };
        if self.identity.token.is_some() || self.identity.impersonate.is_some() {
            return Ok(None);
        }
        public_key(key)
    }

    /// Sets `User-Agent`.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }
}

impl Server {
    /// Reads `https://host[:port][/prefix]`; a text without a scheme is `https`. Plain `http` is for loopback alone.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let uri: http::Uri = with_scheme.parse().map_err(|e| format!("{text:?} is not a URL: {e}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => {
                return Err(format!("{text:?}: the scheme {:?} is not https", other.unwrap_or_default()));
            }
        };
        let authority = uri.authority().ok_or_else(|| format!("{text:?} names no host"))?;
        if authority.as_str().contains('@') {
            return Err(
                "credentials do not belong in a URL: give them to a user (token, or client-certificate)"
                    .into(),
            );
        }
        if uri.query().is_some() {
            return Err(format!("{text:?}: a server's URL has no query"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(format!("{text:?} names no host"));
        }
        crate::material::host(&host).map_err(|why| format!("{text:?}: {why}"))?;
        let port = match authority.as_str().rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|port: &u16| *port > 0);
                port.ok_or_else(|| format!("{text:?} has no port from 1 to 65535"))?
            }
            _ if tls => 443,
            _ => 80,
        };
        let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if !tls && !loopback {
            return Err(format!("{text:?}: plain http would show credentials to whoever listens: use https"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://{authority}{prefix}");
        Ok(Self { url, host, port, tls, prefix })
    }

    /// `https://host:port/prefix`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The path before `/api`; empty for none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Trust {
    /// Whether a server that it vouches for is a member of the cluster, and not just someone's.
    pub(crate) fn is_of_the_cluster(&self) -> bool {
        matches!(self, Self::Authorities(_))
    }
}

impl Identity {
    /// The identity in the place of another. What is known of a key (`known`: the cluster has taken a signature of it)
    /// holds for it with another certificate too, and who says nothing of it takes nothing back.
    pub(crate) fn following(mut self, other: &Self, known: bool) -> Self {
        let key = |identity: &Self| identity.certificate.as_ref().map(|(_, key)| key.pem.clone());
        if self.certificate.is_some() && self.token.is_none() && key(&self) == key(other) {
            self.must_sign |= other.must_sign || known;
        }
        self
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate.as_ref().map(|(certificate, _)| certificate))
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("impersonate", &self.impersonate)
            .field("impersonate_groups", &self.impersonate_groups)
            .field("must_sign", &self.must_sign)
            .finish()
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({} bytes from {})", self.pem.len(), self.origin)
    }
}

impl fmt::Debug for Acquaintance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquaintance").finish_non_exhaustive()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_one_url() {
        let server = Server::parse("[::1]:7443/a/b/").unwrap();
        assert_eq!((server.url(), server.host(), server.port()), ("https://[::1]:7443/a/b", "::1", 7443));
        assert_eq!((server.prefix(), server.tls()), ("/a/b", true));
        for (text, why) in [
            ("http://10.0.0.1", "plain http"),
            ("ftp://x", "not https"),
            ("https://a@b", "credentials"),
            ("https://x:99999", "no port from 1"),
            ("https://x:0", "no port from 1"),
            ("https://x?y", "no query"),
            ("https://", "not a URL"),
        ] {
            let error = Server::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(Server::parse("http://localhost:1").is_ok());
    }

    #[test]
    fn what_is_known_of_a_key_outlives_its_certificate() {
        let material = |text: &str| Material { pem: text.as_bytes().to_vec(), origin: "o".to_owned() };
        let identity = |certificate: &str, key: &str| Identity {
            certificate: Some((material(certificate), material(key))),
            ..Identity::default()
        };
        let before = identity("old", "key");
        assert!(!identity("new", "key").following(&before, false).must_sign);
        assert!(identity("new", "key").following(&before, true).must_sign);
        assert!(!identity("new", "another").following(&before, true).must_sign);
        let must = Identity { must_sign: true, ..before };
        assert!(identity("new", "key").following(&must, false).must_sign);
        assert!(!Identity::default().following(&Identity::default(), true).must_sign);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let material = |text: &str| Material { pem: text.as_bytes().to_vec(), origin: "o".to_owned() };
        let identity = Identity {
            certificate: Some((material("certificate"), material("secret"))),
            token: Some("secret".to_owned()),
            ..Identity::default()
        };
        assert!(!format!("{identity:?}").contains("secret"));
    }
}
