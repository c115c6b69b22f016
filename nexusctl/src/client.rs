//! A client of the Kubernetes REST conventions: one server, one identity.
//!
//! Knows paths and bytes, statuses and streams; knows no kind. How a request gets there, who signs it and what is sent
//! again is `hypermesh-client`'s.

mod call;
mod error;
mod lines;
mod refused_patch;
mod upload;

pub use call::{Call, Reply, encode, path_segment};
pub use error::Error;
pub use hypermesh_client::ConnectError;
pub(crate) use hypermesh_client::any_certificate;
pub use lines::Lines;
pub use upload::Upload;

use crate::{
    cli::GlobalOptions,
    environment::Environment,
    error::chain,
    known_clusters::{self, KnownClusters, Met},
    kubeconfig::{self, Credential, Target},
    plugin,
    session::{Notes, Session},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hypermesh_client::{
    Acquaintance, Body, ClusterId, CollectError, Config, Server, Source, Streamed, Transport, Trust,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The largest reply that is kept in memory, in bytes.
const LARGEST_REPLY: usize = 1 << 30;
/// The largest refusal that is read, in bytes.
const LARGEST_REFUSAL: usize = 8 << 20;

/// A connection to one server as one identity. Cheap to share; connections are opened when first needed and kept.
pub struct Client {
    http: hypermesh_client::Client,
    timeout: Duration,
    /// What pinned the cluster, where that was no kubeconfig.
    known: Option<KnownClusters>,
    /// What the server is shown as who asks.
    credential: Credential,
}

impl Client {
    /// A client for `target`, as the flags and the environment ask for it. `screen`: how wide the terminal behind standard
    /// error is, if it is one.
    pub fn new(
        target: &Target,
        environment: &Environment,
        options: &GlobalOptions,
        notes: &Notes,
        screen: Option<usize>,
    ) -> Result<Self, crate::Error> {
        // One request or a few: a second handshake, should UDP be shut, costs more than HTTP/3 gains.
        let transport = options.transport(environment)?.unwrap_or(Transport::Tcp);
        let timeout = options.timeout();
        let mut config = configuration(target, environment, screen, timeout, transport)?;
        let known = pin(&mut config, environment, notes).map_err(Error::from)?;
        if target.plugin.is_some() {
            config.source = Some(source(&config, target, (environment, options), notes));
        }
        let http = hypermesh_client::Client::new(&config).map_err(Error::from)?;
        Ok(Self { http, timeout, known, credential: target.credential.clone() })
    }

    /// A client for a program that stays: it takes up credentials that are renewed in the session's kubeconfigs.
    pub fn renewed(target: &Target, session: &Session) -> Result<Self, crate::Error> {
        let timeout = session.options.timeout();
        let transport = session.options.transport(&session.environment)?.unwrap_or_default();
        let screen = session.streams.err_width;
        let mut config = configuration(target, &session.environment, screen, timeout, transport)?;
        let known = pin(&mut config, &session.environment, &session.notes).map_err(Error::from)?;
        let process = (&session.environment, &session.options);
        config.source = Some(source(&config, target, process, &session.notes));
        let http = hypermesh_client::Client::new(&config).map_err(Error::from)?;
        Ok(Self { http, timeout, known, credential: target.credential.clone() })
    }

    /// Sends a request as it is, and hands out the reply as it comes, a refusal too.
    pub async fn pass(&self, request: Request<Body>) -> Result<Response<Body>, hypermesh_client::Error> {
        self.http.send(request).await.map_err(|error| self.of_cluster(error))
    }

    /// Another cluster than was met there is told by the file that says so.
    fn of_cluster(&self, error: hypermesh_client::Error) -> hypermesh_client::Error {
        match (error, &self.known) {
            (hypermesh_client::Error::Cluster { server, found, expected }, Some(known)) => {
                let path = known.path().to_owned();
                known_clusters::Error::Changed { server, found, expected, path }.into()
            }
            (error, _) => error,
        }
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        self.http.server()
    }

    /// Sends a call and reads the whole reply. A refusal is an error.
    pub async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let response = self.begin(call).await?;
        let code = response.status().as_u16();
        let (parts, body) = response.into_parts();
        let limit = if (200..300).contains(&code) { LARGEST_REPLY } else { LARGEST_REFUSAL };
        let after = self.timeout.saturating_mul(5);
        let body = match tokio::time::timeout(after, body.collect(limit)).await {
            Ok(body) => body.map_err(|error| self.broken(error))?,
            Err(_) => {
                let server = self.server().to_owned();
                return Err(hypermesh_client::Error::Timeout { server, after }.into());
            }
        };
        tracing::trace!(body = %String::from_utf8_lossy(&body[..body.len().min(8192)]), "reply body");
        let unchanged = code == 304 && !call.unless.is_empty();
        if !(200..300).contains(&code) && !unchanged {
            return Err(self.refused(code, &parts.headers, &body));
        }
        let warnings = parts.headers.get_all(header::WARNING).iter().filter_map(error::warning).collect();
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let tag =
            parts.headers.get(header::ETAG).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Reply { code, tag, content_type: content_type.to_owned(), body, warnings })
    }

    /// Sends a call whose reply is a stream of lines, as watches are.
    pub async fn stream(&self, call: &Call) -> Result<Lines, Error> {
        let response = self.begin(call).await?;
        self.lines(response).await
    }

    async fn lines(&self, response: Response<Body>) -> Result<Lines, Error> {
        Ok(Lines::new(self.server().to_owned(), self.accepted(response).await?))
    }

    /// Opens a stream both ways, whose form `form` names. A refusal is an error.
    pub async fn open(&self, path: &str, form: &'static str, body: Body) -> Result<Body, Error> {
        let (mut parts, _) = request(&Call::with_body(Method::POST, path, ""))?.into_parts();
        parts.headers.insert(hypermesh_stream::STREAM, HeaderValue::from_static(form));
        parts.extensions.insert(Streamed);
        let request = Request::from_parts(parts, body);
        let response = self.http.send(request).await.map_err(|error| self.of_cluster(error))?;
        self.accepted(response).await
    }

    /// Sends a call, and hands out the body of the reply as it comes. A refusal is an error.
    pub async fn fetch(&self, call: &Call) -> Result<Body, Error> {
        let response = self.begin(call).await?;
        self.accepted(response).await
    }

    async fn accepted(&self, response: Response<Body>) -> Result<Body, Error> {
        let (parts, body) = response.into_parts();
        if parts.status.is_success() {
            return Ok(body);
        }
        let body = body.collect(LARGEST_REFUSAL).await.map_err(|error| self.broken(error))?;
        Err(self.refused(parts.status.as_u16(), &parts.headers, &body))
    }

    /// Sends a call with a body of any length, whose reply is a stream of lines.
    pub async fn upload(&self, call: &Call, upload: Upload) -> Result<Lines, Error> {
        let (mut parts, _) = request(call)?.into_parts();
        parts.extensions.insert(Streamed);
        let request = Request::from_parts(parts, Body::stream(upload));
        let response = self.http.send(request).await.map_err(|error| self.of_cluster(error))?;
        self.lines(response).await
    }

    /// A refusal, with what to do about it where the server knows nobody of that name.
    fn refused(&self, code: u16, headers: &HeaderMap, body: &[u8]) -> Error {
        match error::refusal(code, headers, body) {
            Error::Refused { status, .. } if error::knows_nobody(&status) => {
                Error::Unknown { status, server: self.server().to_owned(), advice: self.credential.refused() }
            }
            error => error,
        }
    }

    fn broken(&self, error: CollectError) -> Error {
        match error {
            CollectError::Broken(error) => Error::of_body(self.server(), error),
            CollectError::TooLong { .. } => {
                let message = error.to_string();
                hypermesh_client::Error::Broken { server: self.server().to_owned(), message }.into()
            }
        }
    }

    async fn begin(&self, call: &Call) -> Result<Response<Body>, Error> {
        let started = Instant::now();
        let sent = self.http.send(request(call)?).await;
        let response = sent.map_err(|error| self.of_cluster(error))?;
        tracing::debug!(
            method = %call.method,
            url = %format_args!("{}{}", self.server(), call.path),
            status = response.status().as_u16(),
            took = ?started.elapsed(),
            "request"
        );
        Ok(response)
    }
}

/// The certificates that this machine trusts; none where it has no bundle.
pub(crate) fn system_roots(environment: &Environment) -> rustls::RootCertStore {
    hypermesh_client::system_roots(environment.ssl_cert_file.as_deref())
}

/// How a configuration is read again: from the kubeconfigs, and from the plugin that they name.
fn source(
    config: &Config,
    target: &Target,
    (environment, options): (&Environment, &GlobalOptions),
    notes: &Notes,
) -> Source {
    let (environment, overrides, notes) = (environment.clone(), options.overrides(), notes.clone());
    let (timeout, transport) = (config.timeout, config.transport);
    let read = move || {
        let unusable = |error: kubeconfig::Error| hypermesh_client::Error::Setup {
            origin: "kubeconfig".into(),
            message: chain(&error),
        };
        let target = kubeconfig::load(&environment, &overrides).map_err(unusable)?;
        let mut config = configuration(&target, &environment, None, timeout, transport).map_err(unusable)?;
        pin(&mut config, &environment, &notes)?;
        Ok(config)
    };
    Source { files: target.files.clone(), read: Arc::new(read), hands_out: target.plugin.is_some() }
}

/// What a target, its plugin and the process say, as the client takes it.
fn configuration(
    target: &Target,
    environment: &Environment,
    screen: Option<usize>,
    timeout: Duration,
    transport: Transport,
) -> Result<Config, kubeconfig::Error> {
    let mut config = Config::new(target.server.clone());
    config.server_name.clone_from(&target.tls_server_name);
    config.server_name_origin.clone_from(&target.tls_server_name_origin);
    config.trust = match &target.authorities {
        _ if target.insecure => Trust::Anyone,
        Some(authorities) => Trust::Authorities(authorities.clone()),
        None => Trust::System { bundle: environment.ssl_cert_file.clone() },
    };
    config.identity = target.identity.clone();
    if let Some(plugin) = &target.plugin {
        let credential = plugin::run(plugin, environment.terminal, screen)?;
        (config.identity.token, config.identity.certificate) = (credential.token, credential.certificate);
        config.expires = credential.expires;
    }
    config.cluster = target.cluster;
    config.namespace.clone_from(&target.namespace);
    config.agent = concat!("nexusctl/", env!("CARGO_PKG_VERSION")).to_owned();
    config.transport = transport;
    config.timeout = timeout;
    // Who asks for a short wait means all of it.
    config.patience = config.patience.min(timeout);
    Ok(config)
}

/// Holds a server that no kubeconfig pins to the cluster that it was of when it was met; a server that was never met is
/// remembered by the first write that is signed for it.
fn pin(
    config: &mut Config,
    environment: &Environment,
    notes: &Notes,
) -> Result<Option<KnownClusters>, hypermesh_client::Error> {
    // Whom nobody vouches for is not believed, and who signs nothing has nothing to be held to.
    let vouched = config.trust != Trust::Anyone && config.server.tls();
    if config.cluster.is_some() || !vouched || config.identity.certificate.is_none() {
        return Ok(None);
    }
    let Some(known) = KnownClusters::of(environment) else {
        let (server, notes) = (config.server.clone(), notes.clone());
        config.acquaintance = Some(Acquaintance(Arc::new(move |id| {
            notes.add(unremembered(
                &server,
                id,
                "there is neither HOME nor XDG_STATE_HOME to remember it in",
            ));
            Ok(())
        })));
        return Ok(None);
    };
    config.cluster = known.find(&config.server)?;
    if config.cluster.is_some() {
        return Ok(Some(known));
    }
    let (file, server, notes) = (known, config.server.clone(), notes.clone());
    config.acquaintance = Some(Acquaintance(Arc::new(move |id| {
        let path = file.path().display();
        match file.meet(&server, id) {
            Ok(Met::Again) => {}
            Ok(Met::First) => notes.add(format!(
                "Warning: the kubeconfig does not say which cluster {} is of; it says {id}. That is remembered in {path}, \
                 and from now on nothing is signed for another",
                server.url()
            )),
            // A machine that can keep nothing can still write, as it would have before.
            Err(error @ known_clusters::Error::Unwritable { .. }) => {
                notes.add(unremembered(&server, id, &chain(&error)));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    })));
    Ok(None)
}

/// A server's word that is believed this once.
fn unremembered(server: &Server, id: &ClusterId, why: &str) -> String {
    format!(
        "Warning: the kubeconfig does not say which cluster {} is of; it says {id}, and that cannot be remembered: {why}",
        server.url()
    )
}

fn request(call: &Call) -> Result<Request<Body>, Error> {
    let mut builder =
        Request::builder().method(call.method.clone()).uri(&call.path).header(header::ACCEPT, call.accept);
    if !call.unless.is_empty() {
        builder = builder.header(header::IF_NONE_MATCH, call.unless.as_str());
    }
    if call.method != Method::GET && !call.body.is_empty() {
        builder = builder.header(header::CONTENT_TYPE, HeaderValue::from_static(call.content_type));
    }
    builder
        .body(call.body.clone().into())
        .map_err(|source| hypermesh_client::Error::Request { path: call.path.clone(), source }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_remembered_for_want_of_a_home_is_told() {
        let mut config = Config::new(Server::parse("https://a.example").unwrap());
        let nothing = || hypermesh_client::Material { pem: Vec::new(), origin: String::new() };
        config.identity.certificate = Some((nothing(), nothing()));
        let notes = Notes::default();
        assert!(pin(&mut config, &Environment::default(), &notes).unwrap().is_none());
        (config.acquaintance.unwrap().0)(&"7".repeat(64).parse().unwrap()).unwrap();
        let told = notes.take().join("\n");
        assert!(told.contains("https://a.example is of; it says 7777"), "{told}");
        assert!(told.ends_with("there is neither HOME nor XDG_STATE_HOME to remember it in"), "{told}");
    }
}
