//! The client: the layers, stacked, and exchanged whole when the credentials they were made of are renewed.

use crate::body::Body;
use crate::config::{Config, Source};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::redirect::Redirect;
use crate::retry::Retry;
use crate::sign::Sign;
use crate::wire::{ReplyFuture, Wire};
use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(5);

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
}

struct Stack {
    layers: Layers,
    config: Config,
}

impl Stack {
    fn new(config: Config) -> Result<Self, Error> {
        let wire = Redirect::new(Wire::new(&config)?, &config);
        let retry = Retry::new(wire, config.server.url(), Arc::clone(&config.metrics));
        Ok(Self { layers: Sign::new(retry, &config)?, config })
    }
}

/// The files that a configuration came from, as they were when it was read.
struct Files {
    source: Source,
    looked: Instant,
    seen: Vec<Option<Stamp>>,
}

/// What changes when a file does.
type Stamp = (u64, u64, i64, i64);

impl Files {
    fn new(source: Source) -> Self {
        let seen = stamps(&source.files);
        Self { source, looked: Instant::now(), seen }
    }

    /// The configuration, if a file has changed since it was last read.
    fn changed(&mut self) -> Option<Result<Config, Error>> {
        if self.looked.elapsed() < LOOK {
            return None;
        }
        self.looked = Instant::now();
        let seen = stamps(&self.source.files);
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some((self.source.read)())
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
        let stack = self.0.current();
        let reply = tower::Service::call(&mut stack.layers.clone(), request).await?;
        if reply.status() == StatusCode::UNAUTHORIZED {
            self.0.look_soon();
        }
        Ok(reply)
    }
}

impl Shared {
    /// The layers, made anew if the credentials on disk have changed.
    fn current(&self) -> Arc<Stack> {
        let changed = self.files.as_ref().and_then(|files| files.try_lock().ok()?.changed());
        match changed {
            None => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "the kubeconfig has changed and cannot be used: going on with what was read before");
            }
            Some(Ok(config)) => self.take_up(config),
        }
        self.stack.load_full()
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
        let identity = read.identity.following(&config.identity, current.layers.is_known());
        let renewed = (&identity, &read.trust, &read.server_name, &read.cluster);
        if renewed == (&config.identity, &config.trust, &config.server_name, &config.cluster) {
            return;
        }
        config.server_name = read.server_name;
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

    /// A server that does not know the client any more is a reason to look at the files now.
    fn look_soon(&self) {
        if let Some(mut files) = self.files.as_ref().and_then(|files| files.try_lock().ok())
            && let Some(before) = Instant::now().checked_sub(LOOK)
        {
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
