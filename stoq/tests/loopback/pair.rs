//! A server and a client on loopback, and services to ask.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stoq::http3::{Body, BoxError, Client, Http3, HttpLimits};
use stoq::{
    Closing, Connection, Endpoint, EndpointBuilder, Identity, Limits, Protocol, ProtocolError, PublicKey,
    Router, Settings, Trust,
};
use tokio::sync::Semaphore;

pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// What is waited for comes within it, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).map_err(|never: Infallible| match never {});
    Response::builder().status(status).body(UnsyncBoxBody::new(body)).unwrap()
}

pub fn streamed<B>(body: B) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Response::new(UnsyncBoxBody::new(body.map_err(Into::into)))
}

/// A service of a function.
pub fn service<F, R>(
    answer: F,
) -> impl tower::Service<
    Request<Body>,
    Response = Answer,
    Error = BoxError,
    Future = BoxFuture<'static, Result<Answer, BoxError>>,
> + Clone
+ Send
+ Sync
+ 'static
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    tower::service_fn(move |request| -> BoxFuture<'static, Result<Answer, BoxError>> {
        Box::pin(answer(request))
    })
}

/// A protocol that counts the connections that are over, what was begun on them too.
struct Counted<P>(Arc<P>, Arc<Semaphore>);

impl<P: Protocol> Protocol for Counted<P> {
    fn accept(
        self: Arc<Self>,
        connection: Connection,
        closing: Closing,
    ) -> BoxFuture<'static, Result<(), ProtocolError>> {
        Box::pin(async move {
            let spoken = Arc::clone(&self.0).accept(connection, closing).await;
            self.1.add_permits(1);
            spoken
        })
    }

    fn takes_early(&self) -> bool {
        self.0.takes_early()
    }
}

pub struct Server {
    pub router: Router,
    pub identity: Identity,
    pub key: PublicKey,
    pub address: SocketAddr,
    /// A permit for each connection that is over.
    pub over: Arc<Semaphore>,
}

/// Serves HTTP/3 with a new key.
pub fn serve<F, R>(answer: F) -> Server
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    serve_within(answer, Settings::default(), Limits::default(), HttpLimits::default())
}

pub fn serve_within<F, R>(answer: F, settings: Settings, limits: Limits, http: HttpLimits) -> Server
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    let identity = Identity::generate().unwrap();
    let key = identity.public_key().unwrap();
    let endpoint = Endpoint::server(identity.clone()).settings(settings).address(LOOPBACK).bind().unwrap();
    let address = endpoint.local_addr().unwrap();
    let over = Arc::new(Semaphore::new(0));
    let http3 = Http3::new(service(answer)).limits(http);
    let router = Router::builder(endpoint)
        .accept(stoq::http3::ALPN, Counted(Arc::new(http3), Arc::clone(&over)))
        .limits(limits)
        .spawn()
        .unwrap();
    Server { router, identity, key, address, over }
}

impl Server {
    pub fn uri(&self, path: &str) -> Uri {
        at(self.address, path)
    }

    pub fn client_endpoint(&self) -> EndpointBuilder {
        Endpoint::client(Trust::key(self.key)).address(LOOPBACK)
    }

    pub fn client(&self) -> Client {
        Client::new(self.client_endpoint().bind().unwrap())
    }
}

pub fn at(address: SocketAddr, path: &str) -> Uri {
    format!("https://{address}{path}").parse().unwrap()
}

pub fn get(uri: Uri) -> Request<http_body_util::Empty<Bytes>> {
    Request::get(uri).body(http_body_util::Empty::new()).unwrap()
}

pub fn post(uri: Uri, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::new(body.into())).unwrap()
}

pub async fn read<B>(body: B) -> Bytes
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    body.collect().await.unwrap().to_bytes()
}

/// The whole chain of an error, as people see it.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
