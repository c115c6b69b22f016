//! What goes out signed, what does not, and what a refusal leads to.

use super::*;
use crate::config::{Material, Server};
use hypermesh_chain::Hash;
use hypermesh_chain::signature::{Received, authenticate};
use rcgen::{KeyPair, PKCS_ED25519};
use std::sync::Mutex;

const HERE: ClusterId = ClusterId(Hash([7; 32]));
const ELSEWHERE: ClusterId = ClusterId(Hash([8; 32]));

/// A server of a cluster that verifies signatures as a replica does, with a clock of its own.
#[derive(Clone)]
struct Replica {
    cluster: ClusterId,
    registered: bool,
    /// Seconds by which its clock is ahead.
    ahead: i64,
    /// Whether each write that came was signed.
    seen: Arc<Mutex<Vec<bool>>>,
}

impl Replica {
    fn new() -> Self {
        Self { cluster: HERE, registered: true, ahead: 0, seen: Arc::default() }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        if request.uri().path() == "/version" {
            return self.reply(200, serde_json::json!({"clusterId": self.cluster.to_string()}).to_string());
        }
        let (mut parts, body) = request.into_parts();
        let body = body.collect(1 << 20).await.unwrap();
        let signed = parts.headers.contains_key("signature-input");
        self.seen.lock().unwrap().push(signed);
        if !signed {
            return self.reply(201, String::new());
        }
        let text = |name: &str| parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let received = (text("signature-input").unwrap(), text("signature").unwrap());
        let (digest, kind) = (text("content-digest"), text("content-type"));
        let received = Received {
            signature_input: &received.0,
            signature: &received.1,
            content_digest: digest.as_deref(),
            content_type: kind.as_deref(),
        };
        let form = Form::of(&mut parts, &body, "never used").unwrap().unwrap();
        let refused = |why: String| {
            let status = serde_json::json!({"kind": "Status", "code": 401, "message": why});
            self.reply(401, status.to_string())
        };
        let signatures = match authenticate(&self.cluster, &form.message(), &received) {
            Ok(signatures) => signatures,
            Err(error) => return refused(error.to_string()),
        };
        if !self.registered {
            return refused(format!("the key that signed the request is {UNREGISTERED}"));
        }
        let now = clock::now().saturating_add_signed(self.ahead);
        match signatures[0].created.abs_diff(now) <= 60 {
            true => self.reply(201, String::new()),
            false => refused("the request is too old".to_owned()),
        }
    }

    fn reply(&self, code: u16, body: String) -> Response<Body> {
        let mut reply = Response::new(Body::from(body));
        *reply.status_mut() = StatusCode::from_u16(code).unwrap();
        let now = clock::now().saturating_add_signed(self.ahead);
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(now));
        reply.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).unwrap());
        reply
    }
}

impl tower::Service<Request<Body>> for Replica {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ReplyFuture {
        let replica = self.clone();
        Box::pin(async move { Ok(replica.answer(request).await) })
    }
}

fn config(cluster: Option<ClusterId>) -> Config {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let material = |pem: String| Material { pem: pem.into_bytes(), origin: "key".to_owned() };
    let mut config = Config::new(Server::parse("https://a").unwrap());
    config.identity.certificate = Some((material(String::new()), material(pair.serialize_pem())));
    config.cluster = cluster;
    config
}

async fn post(replica: &Replica, config: &Config, path: &str) -> Result<(u16, String), Error> {
    let mut sign = Sign::new(replica.clone(), config).unwrap();
    let mut request = Request::new(Body::from("{}".to_owned()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    let reply = tower::Service::call(&mut sign, request).await?;
    let code = reply.status().as_u16();
    let body = reply.into_body().collect(1 << 20).await.unwrap();
    Ok((code, String::from_utf8(body.to_vec()).unwrap()))
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn writes_are_signed_for_the_cluster_that_is_pinned_or_learnt() {
    for pinned in [Some(HERE), None] {
        let replica = Replica::new();
        assert_eq!(post(&replica, &config(pinned), MAPS).await.unwrap().0, 201);
        assert_eq!(*replica.seen.lock().unwrap(), [true]);
    }
}

#[tokio::test]
async fn a_server_of_another_cluster_is_named() {
    let replica = Replica { cluster: ELSEWHERE, ..Replica::new() };
    let error = post(&replica, &config(Some(HERE)), MAPS).await.unwrap_err();
    assert!(matches!(error, Error::Cluster { found: ELSEWHERE, expected: HERE, .. }), "{error}");
}

#[tokio::test]
async fn who_is_not_the_author_signs_nothing() {
    let unsigned: [fn(&mut Config); 4] = [
        |config| config.identity.token = Some("t".to_owned()),
        |config| config.identity.impersonate = Some("jane".to_owned()),
        |config| config.identity.certificate = None,
        |config| config.trust = Trust::Anyone,
    ];
    for change in unsigned {
        let (replica, mut config) = (Replica::new(), config(None));
        change(&mut config);
        assert_eq!(post(&replica, &config, MAPS).await.unwrap().0, 201);
        assert_eq!(*replica.seen.lock().unwrap(), [false]);
    }
    let replica = Replica::new();
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    post(&replica, &config(Some(HERE)), review).await.unwrap();
    assert_eq!(*replica.seen.lock().unwrap(), [false]);
}

#[tokio::test]
async fn a_key_that_is_not_registered_leaves_it_to_the_replica() {
    let replica = Replica { registered: false, ..Replica::new() };
    assert_eq!(post(&replica, &config(Some(HERE)), MAPS).await.unwrap().0, 201);
    assert_eq!(*replica.seen.lock().unwrap(), [true, false]);
}

/// A replica that says so of a registered key would get a write that it can change before it endorses it.
#[tokio::test]
async fn nothing_goes_unsigned_once_signatures_were_taken() {
    let mut replica = Replica::new();
    let mut sign = Sign::new(replica.clone(), &config(Some(HERE))).unwrap();
    let request = || {
        let mut request = Request::new(Body::from("{}".to_owned()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = MAPS.parse().unwrap();
        request
    };
    assert_eq!(tower::Service::call(&mut sign, request()).await.unwrap().status(), 201);
    replica.registered = false;
    sign.inner = replica.clone();
    let reply = tower::Service::call(&mut sign, request()).await.unwrap();
    assert_eq!(reply.status(), 401);
    let body = reply.into_body().collect(1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("nothing is sent unsigned"), "{body:?}");
    assert_eq!(*replica.seen.lock().unwrap(), [true, true]);
}

#[tokio::test]
async fn clocks_a_little_apart_are_corrected_for_and_clocks_far_apart_are_told() {
    let replica = Replica { ahead: 100, ..Replica::new() };
    assert_eq!(post(&replica, &config(Some(HERE)), MAPS).await.unwrap().0, 201);
    assert_eq!(*replica.seen.lock().unwrap(), [true, true]);
    let replica = Replica { ahead: -600, ..Replica::new() };
    let (code, text) = post(&replica, &config(Some(HERE)), MAPS).await.unwrap();
    assert_eq!(*replica.seen.lock().unwrap(), [true]);
    assert_eq!(code, 401);
    assert!(text.contains("10 minutes apart") && text.contains("timedatectl"), "{text}");
}
