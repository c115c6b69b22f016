//! A registry in this process, on loopback: right where it is not told to be wrong.

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hypermesh_image::Digest;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What goes wrong, once each.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with this `Retry-After`.
    Status(u16, Option<&'static str>),
    /// So many bytes of the body, and then the connection breaks.
    Cut(usize),
    /// Other bytes than there should be, as many.
    Lie,
    /// Headers, and then nothing.
    Stall,
    /// A body without an end.
    Endless,
    /// Elsewhere.
    Redirect(String),
    /// The whole, though a part was asked for.
    NoRange,
}

/// How it wants to know who asks.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// It does not.
    #[default]
    Open,
    /// By `me:secret`.
    Basic,
    /// By a token that it gives for `me:secret`.
    Token,
    /// By a token that no header can hold.
    BadToken,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub query: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

#[derive(Default)]
pub struct State {
    pub auth: Auth,
    /// By tag or digest.
    pub manifests: BTreeMap<String, (String, Bytes)>,
    pub blobs: BTreeMap<Digest, Bytes>,
    /// By a part of the path.
    pub faults: Vec<(String, VecDeque<Fault>)>,
    pub seen: Vec<Seen>,
}

/// A running registry; it ends with the runtime.
#[derive(Clone)]
pub struct Registry {
    pub state: Arc<Mutex<State>>,
    pub host: String,
}

type Body = BoxBody<Bytes, io::Error>;

impl Registry {
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// Over TLS with this certificate.
    pub async fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::serve(Some(Arc::new(config))).await
    }

    async fn serve(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let host = format!("{}:{}", if tls.is_some() { "localhost" } else { "127.0.0.1" }, address.port());
        let registry = Self { state: Arc::default(), host: host.clone() };
        let state = Arc::clone(&registry.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, base, tls) = (Arc::clone(&state), format!("{scheme}://{host}"), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let response = answer(&state, &base, &request);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    match tls {
                        None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else {
                                return;
                            };
                            drop(server.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        registry
    }

    pub fn blob(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.state.lock().unwrap().blobs.insert(digest.clone(), bytes.into());
        digest
    }

    pub fn manifest(&self, tag: &str, media_type: &str, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        let mut state = self.state.lock().unwrap();
        for name in [tag.to_owned(), digest.to_string()] {
            state.manifests.insert(name, (media_type.to_owned(), bytes.clone().into()));
        }
        digest
    }

    pub fn fault(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.push((path.to_owned(), faults.into_iter().collect()));
    }

    pub fn auth(&self, auth: Auth) {
        self.state.lock().unwrap().auth = auth;
    }

    /// What was asked for with this in its path, in order.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        self.state.lock().unwrap().seen.iter().filter(|seen| seen.path.contains(path)).cloned().collect()
    }

    pub fn forget(&self) {
        self.state.lock().unwrap().seen.clear();
    }
}

fn full(status: u16, bytes: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// So much of a body, and then an error, or nothing for ever.
fn broken(bytes: &Bytes, length: usize, then_error: bool) -> Response<Body> {
    let chunks: VecDeque<Bytes> = bytes.chunks(16 * 1024).map(Bytes::copy_from_slice).collect();
    let body = stream::unfold(chunks, move |mut chunks| async move {
        // What was handed over before is sent while this waits for its turn.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        match chunks.pop_front() {
            Some(chunk) => Some((Ok(Frame::data(chunk)), chunks)),
            None if then_error => Some((Err(io::Error::other("cut")), chunks)),
            None => std::future::pending().await,
        }
    });
    let body = StreamBody::new(body).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

fn answer(state: &Mutex<State>, base: &str, request: &Request<Incoming>) -> Response<Body> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let seen = Seen {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        range: text(header::RANGE),
        authorization: text(header::AUTHORIZATION),
    };
    let mut state = state.lock().unwrap();
    state.seen.push(seen.clone());
    let mut faults = state.faults.iter_mut().filter(|(path, _)| seen.path.contains(path.as_str()));
    let fault = faults.find_map(|(_, faults)| faults.pop_front());
    // base64 of me:secret
    let basic = seen.authorization.as_deref() == Some("Basic bWU6c2VjcmV0");
    if seen.path == "/token" {
        return match (&state.auth, basic) {
            (Auth::BadToken, _) => full(200, r#"{"token":"a\nb"}"#),
            (_, true) => full(200, r#"{"token":"good","expires_in":300}"#),
            _ => full(401, r#"{"details":"incorrect username or password"}"#),
        };
    }
    let allowed = match state.auth {
        Auth::Open => true,
        Auth::Basic => basic,
        Auth::Token | Auth::BadToken => seen.authorization.as_deref() == Some("Bearer good"),
    };
    if !allowed {
        let challenge = match state.auth {
            Auth::Basic => "Basic realm=\"test\"".to_owned(),
            _ => format!(r#"Bearer realm="{base}/token",service="test",scope="repository:team/app:pull""#),
        };
        let mut response = full(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        return response;
    }
    match fault {
        Some(Fault::Status(status, after)) => {
            let mut response = full(status, r#"{"errors":[{"code":"X","message":"told to"}]}"#);
            if let Some(after) = after {
                response.headers_mut().insert(header::RETRY_AFTER, after.parse().unwrap());
            }
            return response;
        }
        Some(Fault::Redirect(to)) => {
            let mut response = full(307, "");
            response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
            return response;
        }
        Some(Fault::Endless) => {
            let endless = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b' '; 65536]))));
            return Response::new(StreamBody::new(endless).boxed());
        }
        _ => {}
    }
    assert_eq!(request.method(), Method::GET);
    let name = seen.path.rsplit('/').next().unwrap();
    let (media_type, bytes) = if seen.path.contains("/manifests/") {
        match state.manifests.get(name) {
            Some(found) => found.clone(),
            None => return full(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"unknown"}]}"#),
        }
    } else {
        match name.parse().ok().and_then(|digest: Digest| state.blobs.get(&digest)) {
            Some(bytes) => ("application/octet-stream".to_owned(), bytes.clone()),
            None => return full(404, ""),
        }
    };
    let from = match (&fault, &seen.range) {
        (Some(Fault::NoRange), _) | (_, None) => 0,
        (_, Some(range)) => range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap(),
    };
    if from > bytes.len() {
        return full(416, "");
    }
    let part = bytes.slice(from..);
    let mut response = match fault {
        Some(Fault::Cut(at)) => broken(&part.slice(..at.min(part.len())), part.len(), true),
        Some(Fault::Stall) => broken(&Bytes::new(), part.len(), false),
        Some(Fault::Lie) => full(200, part.iter().map(|byte| byte ^ 1).collect::<Vec<u8>>()),
        _ => full(200, part),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, media_type.parse().unwrap());
    if from > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        response.headers_mut().insert(header::CONTENT_RANGE, range.parse().unwrap());
    }
    response
}
