//! The client: the layers, stacked, and exchanged whole when the credentials they were made of are renewed.

use crate::body::Body;
use crate::config::{Config, Source};
use crate::error::Error;
use crate::layer::Below as _;
use crate::metrics::Metrics;
use crate::redirect::{Members, Redirect};
use crate::retry::{Again, Retry};
use crate::sign::{Sign, Signing};
use crate::wire::{ReplyFuture, Wire};
use arc_swap::{ArcSwap, ArcSwapOption};
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long before an identity expires the next one is asked for, at most.
const EARLY: Duration = Duration::from_secs(10);
/// How long after one identity was asked for the next one is, at least.
const REST: Duration = Duration::from_secs(1);

/// signing → sending again → redirects → connections
type Layers = Sign<Retry<Redirect<Wire>>>;

/// A client of one cluster. Cheap to clone; connections are opened when first needed, and shared.
///
/// A tower service of requests for paths (`/api/v1/…`). The reply is whatever the server said, refusals too; an error
/// means that it said nothing. Bodies of replies stream; what breaks them off is an [`Error`].
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    server: String,
    metrics: Arc<Metrics>,
    stack: ArcSwap<Stack>,
    files: Option<Mutex<Files>>,
    /// When the identity of the stack is worth nothing any more.
    expires: ArcSwapOption<SystemTime>,
}

struct Stack {
    layers: Layers,
    config: Config,
    made: Instant,
}

impl Stack {
    fn new(config: Config) -> Result<Self, Error> {
        let redirect = Redirect::over(Wire::new(&config)?, Members::new(&config));
        let again = Again::new(config.server.url(), Arc::clone(&config.metrics));
        let layers = Sign::over(Retry::over(redirect, again), Signing::new(&config)?);
        Ok(Self { layers, config, made: Instant::now() })
    }
}

/// The files that a configuration came from, as they were when it was read.
struct Files {
    source: Source,
    looked: Instant,
    /// When it was last read.
    read: Instant,
    /// Whether the server has refused the identity since.
    refused: bool,
    seen: Vec<Option<Stamp>>,
}

/// What changes when a file does.
type Stamp = (u64, u64, i64, i64);

impl Files {
    fn new(source: Source) -> Self {
        let seen = stamps(&source.files);
        let now = Instant::now();
        Self { source, looked: now, read: now, refused: false, seen }
    }

    /// Whether the configuration is to be read again: a file has changed since it was last read, or the identity that
    /// was handed out is of no use any more. `left` is how long it will be, where that is known.
    fn is_due(&mut self, now: Instant, left: Option<Duration>) -> bool {
        let of_no_use = self.refused || left.is_some_and(|left| left <= EARLY);
        let asked_for = self.source.hands_out && of_no_use && now.duration_since(self.read) >= REST;
        if asked_for || now.duration_since(self.looked) >= LOOK {
            self.looked = now;
            let seen = stamps(&self.source.files);
            if asked_for || seen != self.seen {
                (self.seen, self.read, self.refused) = (seen, now, false);
                return true;
            }
        }
        false
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

impl Client {
    /// A client. Nothing is dialled.
    ///
    /// # Errors
    /// What of the configuration cannot be used, by the field that names it.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let shared = Shared {
            server: config.server.url().to_owned(),
            metrics: Arc::clone(&config.metrics),
            stack: ArcSwap::from_pointee(Stack::new(config.clone())?),
            files: config.source.clone().map(|source| Mutex::new(Files::new(source))),
            expires: ArcSwapOption::from(config.expires.map(Arc::new)),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.0.server
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// Sends a request for a path.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let stack = self.0.current().await;
        let reply = stack.layers.send(request).await;
        match &reply {
            Ok(reply) if reply.status() == StatusCode::UNAUTHORIZED => self.0.refused(),
            Err(error) => self.0.refuse(&stack, error),
            Ok(_) => {}
        }
        reply
    }
}

impl Shared {
    /// The layers, made anew if the credentials on disk have changed.
    async fn current(&self) -> Arc<Stack> {
        let Some(files) = &self.files else { return self.stack.load_full() };
        // While somebody asks for the next identity, the others go on with this one as long as it is of use.
        let held = match files.try_lock() {
            Ok(held) => Some(held),
            Err(_) if self.left() == Some(Duration::ZERO) => Some(files.lock().await),
            Err(_) => None,
        };
        if let Some(mut files) = held
            && files.is_due(Instant::now(), self.left())
        {
            let read = Arc::clone(&files.source.read);
            let read = match files.source.hands_out {
                true => tokio::task::spawn_blocking(move || read()).await,
                false => Ok(read()),
            };
            match read {
                Ok(Ok(config)) => self.take_up(config),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the kubeconfig has changed and cannot be used: going on with what was read before");
                }
                Err(error) => tracing::warn!(%error, "reading the kubeconfig again came to no end"),
            }
        }
        self.stack.load_full()
    }

    /// How long the identity is of use, where that is known.
    fn left(&self) -> Option<Duration> {
        let expires = self.expires.load_full()?;
        Some(expires.duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn take_up(&self, read: Config) {
        let current = self.stack.load_full();
        let mut config = current.config.clone();
        // What is renewed are credentials. Another server or cluster is another destination, for which nobody started
        // this program: a context that was switched must not send its writes elsewhere.
        if read.server != config.server || (config.cluster.is_some() && read.cluster != config.cluster) {
            tracing::warn!(
                server = config.server.url(),
                "the kubeconfig names another server or cluster now: going on with this one until restarted"
            );
            return;
        }
        self.expires.store(read.expires.map(Arc::new));
        let identity = read.identity.following(&config.identity, current.layers.policy().is_known());
        let renewed = (&identity, &read.trust, &read.server_name, &read.cluster);
        if renewed == (&config.identity, &config.trust, &config.server_name, &config.cluster) {
            return;
        }
        (config.server_name, config.server_name_origin) = (read.server_name, read.server_name_origin);
        (config.identity, config.trust, config.cluster) = (identity, read.trust, read.cluster);
        match Stack::new(config) {
            Ok(stack) => {
                self.metrics.reloaded();
                tracing::info!("renewed credentials were taken up");
                self.stack.store(Arc::new(stack));
            }
            Err(error) => {
                tracing::warn!(%error, "the new credentials cannot be used: going on with the old ones");
            }
        }
    }

    /// Takes notice of a request that came to no reply.
    fn refuse(&self, stack: &Arc<Stack>, error: &Error) {
        if error.refuses_who_calls() {
            self.refused();
            self.begin_anew(stack);
        }
    }

    /// Drops connections, and tickets to resume them by: they are of a certificate that the server takes no more, or stem
    /// from before it changed its own. Once for each stack, so that many that are refused at a time do not do it in turn.
    fn begin_anew(&self, refused: &Arc<Stack>) {
        if refused.made.elapsed() < REST || !Arc::ptr_eq(&self.stack.load(), refused) {
            return;
        }
        match Stack::new(refused.config.clone()) {
            Ok(stack) => self.stack.store(Arc::new(stack)),
            Err(error) => tracing::warn!(%error, "connections cannot be made anew"),
        }
    }

    /// A server that does not know the client any more is a reason to look at the files now.
    fn refused(&self) {
        let Some(mut files) = self.files.as_ref().and_then(|files| files.try_lock().ok()) else { return };
        files.refused = true;
        if let Some(before) = Instant::now().checked_sub(LOOK) {
            files.looked = before;
        }
    }
}

impl tower::Service<Request<Body>> for Client {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ReplyFuture {
        let client = self.clone();
        Box::pin(async move { client.send(request).await })
    }
}

impl tower::Service<Request<kube::client::Body>> for Client {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> ReplyFuture {
        tower::Service::call(self, request.map(of_kube))
    }
}

/// kube's bodies are bytes that are there, nearly always: those can be sent twice.
fn of_kube(body: kube::client::Body) -> Body {
    match body.try_clone().and_then(|copy| copy.collect_bytes().now_or_never()) {
        Some(Ok(bytes)) => bytes.into(),
        _ => Body::stream(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(hands_out: bool) -> Files {
        let read = || Err(Error::setup("test", "nobody reads this".to_owned()));
        Files::new(Source { files: Vec::new(), read: Arc::new(read), hands_out })
    }

    #[test]
    fn the_next_identity_is_asked_for_before_the_last_one_expires() {
        let mut files = files(true);
        let at = |seconds: u64| files.read + Duration::from_secs(seconds);
        let (later, much_later) = (at(20), at(40));
        assert!(!files.is_due(later, Some(Duration::from_secs(11))));
        assert!(files.is_due(later, Some(Duration::from_secs(10))));
        // Who hands out what is hardly of use is not asked for ever.
        assert!(!files.is_due(later, Some(Duration::ZERO)));
        assert!(files.is_due(much_later, Some(Duration::ZERO)));
        assert!(!files.is_due(much_later + LOOK, None));
    }

    #[test]
    fn a_refused_identity_is_a_reason_to_ask_for_another_once() {
        let mut files = files(true);
        let now = files.read + REST;
        files.refused = true;
        assert!(files.is_due(now, None));
        assert!(!files.is_due(now + REST, None));
    }

    #[test]
    fn files_that_have_not_changed_are_not_read_again() {
        let mut files = files(false);
        files.refused = true;
        assert!(!files.is_due(files.read + LOOK, Some(Duration::ZERO)));
    }

    #[test]
    fn who_is_refused_by_tls_begins_with_new_connections_and_looks_at_its_files() {
        use crate::config::Server;
        use crate::wire::ConnectError;
        let mut config = Config::new(Server::parse("https://127.0.0.1:1").unwrap());
        let read = || Err(Error::setup("test", "nobody reads this".to_owned()));
        config.source = Some(Source { files: Vec::new(), read: Arc::new(read), hands_out: false });
        let client = Client::new(&config).unwrap();
        let first = client.0.stack.load_full();
        client.0.begin_anew(&first);
        assert!(Arc::ptr_eq(&first, &client.0.stack.load_full()), "it was made this moment");
        let mut old = Stack::new(config).unwrap();
        old.made -= REST;
        let old = Arc::new(old);
        client.0.stack.store(Arc::clone(&old));
        client.0.refuse(&old, &Error::Timeout { server: String::new(), after: REST });
        assert!(Arc::ptr_eq(&old, &client.0.stack.load_full()), "silence is no refusal");
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::DecryptError);
        for cause in [ConnectError::Tls(alert), ConnectError::Dropped] {
            let error = Error::Connect { server: String::new(), cause };
            client.0.refuse(&old, &error);
            let new = client.0.stack.load_full();
            assert!(!Arc::ptr_eq(&old, &new), "{error}");
            // Others that were refused with it find it done.
            client.0.refuse(&old, &error);
            assert!(Arc::ptr_eq(&new, &client.0.stack.load_full()));
            let looked = client.0.files.as_ref().unwrap().try_lock().unwrap().looked;
            assert!(looked.elapsed() >= LOOK, "{error}");
            client.0.stack.store(Arc::clone(&old));
        }
    }
}
