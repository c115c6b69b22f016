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
    /// What is answered before anything is looked at.
    busy: bool,
    /// Seconds by which its clock is ahead.
    ahead: i64,
    /// Whether each write that came was signed.
    seen: Arc<Mutex<Vec<bool>>>,
}

impl Replica {
    fn new() -> Self {
        Self { cluster: HERE, registered: true, busy: false, ahead: 0, seen: Arc::default() }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        if request.uri().path() == "/version" {
            return self.reply(200, serde_json::json!({"clusterId": self.cluster.to_string()}).to_string());
        }
        if self.busy {
            return self.reply(429, String::new());
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
        // What opens a stream is signed without its body.
        let form = match parts.uri.path().ends_with("/exec") {
            true => Form::without_body(&parts).unwrap(),
            false => Form::of(&mut parts, &body, "never used").unwrap().unwrap(),
        };
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
        let now = Clock::default().now().saturating_add_signed(self.ahead);
        match signatures[0].created.abs_diff(now) <= 60 {
            true => self.reply(201, String::new()),
            false => refused("the request is too old".to_owned()),
        }
    }

    fn reply(&self, code: u16, body: String) -> Response<Body> {
        let mut reply = Response::new(Body::from(body));
        *reply.status_mut() = StatusCode::from_u16(code).unwrap();
        let now = Clock::default().now().saturating_add_signed(self.ahead);
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(now));
        reply.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).unwrap());
        reply
    }
}

/// The layer over a replica, which may become another.
fn over(replica: &Arc<Mutex<Replica>>, config: &Config) -> Sign<impl Below> {
    let replica = Arc::clone(replica);
    let below = tower::service_fn(move |request| {
        let now = replica.lock().unwrap().clone();
        async move { Ok(now.answer(request).await) }
    });
    Sign::over(below, Signing::new(config).unwrap())
}

fn write(path: &str) -> Request<Body> {
    let mut request = Request::new(Body::from("{}".to_owned()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    request
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
    let sign = over(&Arc::new(Mutex::new(replica.clone())), config);
    let reply = sign.send(write(path)).await?;
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
    let replica = Arc::new(Mutex::new(Replica::new()));
    let sign = over(&replica, &config(Some(HERE)));
    assert_eq!(sign.send(write(MAPS)).await.unwrap().status(), 201);
    replica.lock().unwrap().registered = false;
    let reply = sign.send(write(MAPS)).await.unwrap();
    assert_eq!(reply.status(), 401);
    let body = reply.into_body().collect(1 << 20).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("nothing is sent unsigned"), "{body:?}");
    assert_eq!(*replica.lock().unwrap().seen.lock().unwrap(), [true, true]);
}

/// A server of another cluster, which knows other keys.
#[tokio::test]
async fn another_cluster_gets_nothing_unsigned() {
    let replica = Replica { cluster: ELSEWHERE, registered: false, ..Replica::new() };
    let error = post(&replica, &config(Some(HERE)), MAPS).await.unwrap_err();
    assert!(matches!(error, Error::Cluster { found: ELSEWHERE, expected: HERE, .. }), "{error}");
    assert_eq!(*replica.seen.lock().unwrap(), [true]);
}

/// Who keeps what servers said is asked before anything is signed.
#[tokio::test]
async fn an_acquaintance_may_object() {
    let met = Arc::new(Mutex::new(Vec::new()));
    let (told, mut first) = (Arc::clone(&met), config(None));
    first.acquaintance = Some(crate::Acquaintance(Arc::new(move |id| {
        told.lock().unwrap().push(*id);
        Ok(())
    })));
    let replica = Replica::new();
    assert_eq!(post(&replica, &first, MAPS).await.unwrap().0, 201);
    assert_eq!(*met.lock().unwrap(), [HERE]);
    first.acquaintance = Some(crate::Acquaintance(Arc::new(|_| Err(Error::setup("known", "no".to_owned())))));
    let error = post(&replica, &first, MAPS).await.unwrap_err();
    assert_eq!(error.to_string(), "known: no");
    assert_eq!(*replica.seen.lock().unwrap(), [true]);
}

/// Who is busy looks at no signature: nothing follows for the key.
#[tokio::test]
async fn a_refusal_for_another_reason_does_not_make_a_key_known() {
    let replica = Arc::new(Mutex::new(Replica { busy: true, registered: false, ..Replica::new() }));
    let sign = over(&replica, &config(Some(HERE)));
    assert_eq!(sign.send(write(MAPS)).await.unwrap().status(), 429);
    assert!(!sign.policy().is_known());
    replica.lock().unwrap().busy = false;
    assert_eq!(sign.send(write(MAPS)).await.unwrap().status(), 201);
    assert_eq!(*replica.lock().unwrap().seen.lock().unwrap(), [true, false]);
}

/// The first word of a replica that lies is not believed either.
#[tokio::test]
async fn a_key_that_is_known_to_be_registered_never_leaves_it_to_the_replica() {
    let replica = Replica { registered: false, ..Replica::new() };
    let mut must = config(Some(HERE));
    must.identity.must_sign = true;
    let (code, text) = post(&replica, &must, MAPS).await.unwrap();
    assert_eq!((code, replica.seen.lock().unwrap().as_slice()), (401, &[true][..]));
    assert!(text.contains("not registered in this cluster; the kubeconfig says that it is"), "{text}");
    // Nor one that does not say of which cluster it is, or that nobody vouches for.
    must.cluster = None;
    for (trust, asked) in [(must.trust.clone(), &["/version"][..]), (Trust::Anyone, &[])] {
        must.trust = trust;
        // Answers 404 to everything, and keeps the paths.
        let paths = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&paths);
        let silent = tower::service_fn(move |request: Request<Body>| {
            kept.lock().unwrap().push(request.uri().path().to_owned());
            let mut reply = Response::new(Body::empty());
            *reply.status_mut() = StatusCode::NOT_FOUND;
            std::future::ready(Ok(reply))
        });
        let sign = Sign::over(silent, Signing::new(&must).unwrap());
        let error = sign.send(write(MAPS)).await.unwrap_err();
        assert!(error.to_string().contains("pin the cluster's id"), "{error}");
        assert_eq!(*paths.lock().unwrap(), asked);
    }
}

#[tokio::test]
async fn who_must_sign_and_cannot_is_told_before_anything_is_sent() {
    type Change = fn(&mut Config);
    let faults: [(&str, Change); 3] = [
        ("a token's user is another", |config| config.identity.token = Some("t".to_owned())),
        ("there is no client key", |config| config.identity.certificate = None),
        ("no Ed25519 key", |config| {
            let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
            let key = Material { pem: pair.serialize_pem().into_bytes(), origin: "key".to_owned() };
            config.identity.certificate.as_mut().unwrap().1 = key;
        }),
    ];
    for (why, change) in faults {
        let mut config = config(Some(HERE));
        config.identity.must_sign = true;
        change(&mut config);
        let error = Signing::new(&config).err().unwrap().to_string();
        assert!(
            error.starts_with("hypermesh.online/signing: writes have to be signed") && error.contains(why),
            "{error}"
        );
    }
    let mut config = config(Some(HERE));
    (config.identity.must_sign, config.identity.impersonate) = (true, Some("jane".to_owned()));
    assert_eq!(post(&Replica::new(), &config, MAPS).await.unwrap().0, 201);
}

/// Opens a stream, as exec does, by a layer of its own process.
async fn stream(sign: Sign<impl Below>) -> u16 {
    let path = "/apis/hypermesh.online/v1/namespaces/default/instances/i/exec?command=true";
    let mut request = Request::post(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(Streamed);
    sign.send(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_stream_is_asked_about_only_where_it_is_not_known_what_becomes_of_it() {
    let asked = |ahead: i64, must_sign: bool, reads: bool| async move {
        let replica = Replica { ahead, ..Replica::new() };
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let (server, noted) = (replica.clone(), Arc::clone(&paths));
        let below = tower::service_fn(move |request: Request<Body>| {
            noted.lock().unwrap().push(request.uri().path().to_owned());
            let server = server.clone();
            async move { Ok::<_, Error>(server.answer(request).await) }
        });
        let mut config = config(Some(HERE));
        config.identity.must_sign = must_sign;
        let sign = Sign::over(below, Signing::new(&config).unwrap());
        if reads {
            sign.clone().send(Request::get("/version").body(Body::empty()).unwrap()).await.unwrap();
        }
        let code = stream(sign).await;
        let questions = paths.lock().unwrap().iter().filter(|path| *path == WHO_AM_I).count();
        (code, questions)
    };
    // The kubeconfig says that the key is known: there is nothing to ask.
    assert_eq!(asked(0, true, false).await, (201, 0));
    assert_eq!(asked(0, true, true).await, (201, 0));
    assert_eq!(asked(0, false, false).await, (201, 1));
    // A reply before told that the clocks are apart: the question corrects that.
    assert_eq!(asked(100, true, true).await, (201, 2));
    assert_eq!(asked(100, true, false).await, (401, 0), "who heard nothing before is told of both clocks");
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
