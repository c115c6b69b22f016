//! A server that says over which protocol it was asked, on TCP, UDP, both or neither of one port.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hypermesh_client::{BoxError, Config, Material, Server as Url, Transport, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stoq::http3::{Http3, HttpLimits};
use stoq::{Endpoint, Identity, Router};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

type Reply = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>;

/// A server; it ends with the test.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    authority: String,
    router: Option<Router>,
    accepting: Option<JoinHandle<()>>,
    silent: Option<std::net::UdpSocket>,
    fails: Arc<Notify>,
}

impl Server {
    /// Starts one on UDP, TCP, both or neither.
    pub async fn start(udp: bool, tcp: bool) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap().pem();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fails = Arc::new(Notify::new());
        let router = udp.then(|| serve_udp(address, &certificate, &key.serialize_pem(), &fails));
        let accepting = tcp.then(|| serve_tcp(listener, &certificate, &key.serialize_pem(), &fails));
        Self { address, authority: authority.pem(), router, accepting, silent: None, fails }
    }

    /// A configuration that trusts it.
    pub fn config(&self, transport: Transport) -> Config {
        let mut config = Config::new(Url::parse(&format!("https://{}", self.address)).unwrap());
        let pem = self.authority.clone().into_bytes();
        config.trust = Trust::Authorities(Material { pem, origin: "ca".to_owned() });
        config.transport = transport;
        config
    }

    /// The authority's certificate, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Breaks off one reply of `/breaks`.
    pub fn break_off(&self) {
        self.fails.notify_one();
    }

    /// What the UDP side counts.
    pub fn quic(&self) -> &stoq::Metrics {
        self.router.as_ref().unwrap().endpoint().metrics()
    }

    /// Waits until no connection over UDP is left, and the client knows.
    pub async fn idle(&self) {
        self.router.as_ref().unwrap().endpoint().idle().await;
    }

    /// Takes what comes over UDP and says nothing, as a firewall does.
    pub async fn ignore_udp(&mut self) {
        let router = self.router.take().unwrap();
        let endpoint = router.endpoint().clone();
        router.shutdown(Duration::ZERO).await;
        endpoint.close(0, "").await;
        drop(endpoint);
        while self.silent.is_none() {
            self.silent = std::net::UdpSocket::bind(self.address).ok();
            tokio::task::yield_now().await;
        }
    }

    /// Answers over UDP no more.
    pub async fn shut_udp(&mut self) {
        if let Some(router) = self.router.take() {
            router.shutdown(Duration::ZERO).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

fn serve_udp(address: SocketAddr, certificate: &str, key: &str, fails: &Arc<Notify>) -> Router {
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let endpoint = Endpoint::server(identity).address(address).bind().unwrap();
    let fails = Arc::clone(fails);
    let service = tower::service_fn(move |request| answer::<stoq::http3::Body>(request, Arc::clone(&fails)));
    // Clients find out soon what a connection costs that has to be dialled anew.
    let limits = HttpLimits { idle: Duration::from_millis(100), ..HttpLimits::default() };
    Router::builder(endpoint).accept(stoq::http3::ALPN, Http3::new(service).limits(limits)).spawn().unwrap()
}

fn serve_tcp(listener: TcpListener, certificate: &str, key: &str, fails: &Arc<Notify>) -> JoinHandle<()> {
    let fails = Arc::clone(fails);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, fails) = (acceptor.clone(), Arc::clone(&fails));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(move |request| {
                    answer::<hyper::body::Incoming>(request, Arc::clone(&fails))
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

async fn answer<B>(request: Request<B>, fails: Arc<Notify>) -> Result<Reply, BoxError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let full = |bytes: Bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    let known = request.headers().get("authorization").is_some_and(|token| token == "Bearer new");
    if request.uri().path() == "/known" && !known {
        let refused = full(Bytes::new());
        return Ok(Response::builder().status(401).body(refused)?);
    }
    Ok(Response::new(match request.uri().path() {
        "/echo" => full(request.into_body().collect().await.map_err(Into::into)?.to_bytes()),
        "/breaks" => {
            let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"so far")))]);
            let then = futures_util::stream::once(async move {
                fails.notified().await;
                Err::<Frame<Bytes>, BoxError>("the service failed".into())
            });
            StreamBody::new(first.chain(then)).boxed_unsync()
        }
        path => full(format!("{:?} {} {path}", request.version(), request.method()).into()),
    }))
}
