//! Who is believed, and what is told to who is not.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use crate::pair::*;
use http::StatusCode;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stoq::http3::{ALPN, Client, RequestError};
use stoq::{
    CertificateProblem, ClientAuth, ClientTls, Closed, Closing, ConnectError, Connection, Endpoint, Identity,
    Limits, PublicKey, Router, ServerTls, Settings, Target, Trust,
};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

/// An authority, which signs for the loopback address or any other name.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn trust(&self) -> Trust {
        Trust::authorities([self.root()]).unwrap()
    }

    fn issue(&self, name: &str, years: (i32, i32)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Identity::issued(vec![certificate.der().clone()], key).unwrap()
    }
}

async fn quiet(connection: Connection, _: Closing) -> Result<(), stoq::ProtocolError> {
    connection.closed().await;
    Ok(())
}

fn quiet_server(identity: Identity, clients: ClientAuth) -> Router {
    let endpoint = Endpoint::server(identity).clients(clients).address(LOOPBACK).bind().unwrap();
    Router::builder(endpoint).accept("quiet", quiet).spawn().unwrap()
}

fn target(router: &Router) -> Target {
    Target::named("127.0.0.1", [router.endpoint().local_addr().unwrap()])
}

fn dialler(trust: Trust) -> Endpoint {
    Endpoint::client(trust).address(LOOPBACK).bind().unwrap()
}

#[tokio::test]
async fn each_fault_of_a_certificate_is_told() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let refused = async |identity: Identity| {
        let router = quiet_server(identity, ClientAuth::None);
        match dialler(ours.trust()).connect(&target(&router), b"quiet").await {
            Err(ConnectError::Certificate { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    };
    let now = (2020, 2090);
    let router = quiet_server(ours.issue("127.0.0.1", now), ClientAuth::None);
    let connection = dialler(ours.trust()).connect(&target(&router), b"quiet").await.unwrap();
    assert_eq!(connection.peer().certificates.len(), 1);

    let problem = refused(theirs.issue("127.0.0.1", now)).await;
    assert_eq!(problem, CertificateProblem::UnknownIssuer);
    assert!(problem.to_string().contains("another cluster"));
    let problem = refused(ours.issue("127.0.0.1", (2020, 2021))).await;
    assert!(matches!(problem, CertificateProblem::Expired { .. }), "{problem:?}");
    let problem = refused(ours.issue("127.0.0.1", (2089, 2090))).await;
    assert!(matches!(problem, CertificateProblem::NotYetValid { .. }), "{problem:?}");
    assert!(problem.to_string().contains("compare the clocks"), "{problem}");
    let problem = refused(ours.issue("elsewhere.example", now)).await;
    let expected = CertificateProblem::NotForName {
        expected: "127.0.0.1".to_owned(),
        presented: vec!["elsewhere.example".to_owned()],
    };
    assert_eq!(problem, expected);
    let problem = refused(ours.issue("::1", now)).await;
    assert_eq!(problem.to_string(), "it is not valid for 127.0.0.1; it is for ::1");
}

#[tokio::test]
async fn keys_are_judged_by_the_key_alone() {
    let identity = Identity::generate().unwrap();
    let (key, other) = (identity.public_key().unwrap(), Identity::generate().unwrap().public_key().unwrap());
    let router = quiet_server(identity, ClientAuth::None);
    let address = router.endpoint().local_addr().unwrap();
    for trust in [Trust::key(key), Trust::keys([other, key]), Trust::keys_that("any", |_| true)] {
        dialler(trust).connect(&target(&router), b"quiet").await.unwrap();
    }
    dialler(Trust::dialled_key()).connect(&Target::key(&key, address), b"quiet").await.unwrap();
    for (trust, target) in
        [(Trust::key(other), target(&router)), (Trust::dialled_key(), Target::key(&other, address))]
    {
        let error = dialler(trust).connect(&target, b"quiet").await.unwrap_err();
        let ConnectError::Certificate { problem, .. } = &error else { panic!("{error:?}") };
        let expected = CertificateProblem::WrongKey { expected: other.to_string(), found: key.to_string() };
        assert_eq!(*problem, expected, "{}", told(&error));
    }
}

#[tokio::test]
async fn a_client_is_told_why_its_certificate_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ours.issue("127.0.0.1", (2020, 2090));
    let router = quiet_server(server, ClientAuth::Required(ours.trust()));
    let refused = async |identity: Option<Identity>| {
        let mut endpoint = Endpoint::client(ours.trust()).address(LOOPBACK);
        if let Some(identity) = identity {
            endpoint = endpoint.identity(identity);
        }
        // In TLS 1.3 the client is through before the server has judged it.
        match endpoint.bind().unwrap().connect(&target(&router), b"quiet").await {
            Ok(connection) => connection.closed().await,
            Err(ConnectError::Handshake { closed, .. }) => closed,
            Err(other) => panic!("{other:?}"),
        }
    };
    let none = refused(None).await;
    assert!(matches!(none, Closed::CertificateRefused { alert: 116, .. }), "{none:?}");
    let other = refused(Some(theirs.issue("a", (2020, 2090)))).await;
    assert!(other.to_string().contains("its issuer is not trusted by the peer"), "{other}");
    let old = refused(Some(ours.issue("a", (2020, 2021)))).await;
    assert!(old.to_string().contains("expired"), "{old}");
}

#[tokio::test]
async fn another_protocol_and_another_version_are_told() {
    let identity = Identity::generate().unwrap();
    let trust = Trust::key(identity.public_key().unwrap());
    let router = quiet_server(identity, ClientAuth::None);
    let error = dialler(trust.clone()).connect(&target(&router), b"loud").await.unwrap_err();
    assert!(error.to_string().contains("does not speak loud"), "{error}");
    // One that speaks a version of the future: it answers with Version Negotiation (RFC 9000 §17.2.1).
    let socket = UdpSocket::bind(LOOPBACK).await.unwrap();
    let future = Target::named("127.0.0.1", [socket.local_addr().unwrap()]);
    let answering = tokio::spawn(async move {
        let mut packet = [0; 2048];
        let (_, from) = socket.recv_from(&mut packet).await.unwrap();
        let destination = &packet[6..6 + usize::from(packet[5])];
        let rest = &packet[6 + destination.len()..];
        let source = &rest[1..1 + usize::from(rest[0])];
        let mut answer = vec![0x80, 0, 0, 0, 0];
        for id in [source, destination] {
            answer.push(u8::try_from(id.len()).unwrap());
            answer.extend_from_slice(id);
        }
        answer.extend_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
        socket.send_to(&answer, from).await.unwrap();
    });
    let error = dialler(trust).connect(&future, b"quiet").await.unwrap_err();
    assert!(matches!(error, ConnectError::Version { .. }), "{error:?}");
    assert!(error.is_unreachable());
    answering.await.unwrap();
}

#[tokio::test]
async fn a_busy_server_refuses_and_says_so() {
    let limits = Limits { connections: 0, ..Limits::default() };
    let identity = Identity::generate().unwrap();
    let trust = Trust::key(identity.public_key().unwrap());
    let endpoint = Endpoint::server(identity).address(LOOPBACK).bind().unwrap();
    let router = Router::builder(endpoint).accept("quiet", quiet).limits(limits).spawn().unwrap();
    let error = dialler(trust).connect(&target(&router), b"quiet").await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert_eq!(router.endpoint().metrics().refused.get(), 1);
}

#[tokio::test]
async fn all_who_wait_for_a_silent_server_hear_of_it_at_once() {
    let silent = UdpSocket::bind(LOOPBACK).await.unwrap();
    let settings = Settings { handshake_timeout: Duration::from_secs(1), ..Settings::default() };
    let key = Identity::generate().unwrap().public_key().unwrap();
    let endpoint = Endpoint::client(Trust::key(key)).settings(settings).address(LOOPBACK).bind().unwrap();
    let client = Client::new(endpoint);
    let uri = at(silent.local_addr().unwrap(), "/");
    let begun = Instant::now();
    let asking = (0..20).map(|_| client.send(get(uri.clone())));
    for answer in futures_util::future::join_all(asking).await {
        let error = answer.unwrap_err();
        assert!(error.is_unprocessed());
        let RequestError::Connect(error) = error else { panic!("{error:?}") };
        assert!(error.is_unreachable());
        assert!(error.to_string().contains("no firewall or VPN drops UDP"), "{error}");
    }
    // One after the other they would take twenty times as long.
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(client.endpoint().metrics().dialled.get(), 1, "one dial for all");
}

#[tokio::test]
async fn an_identity_can_be_replaced_while_connections_stay() {
    let (first, second) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let keys = [first.public_key().unwrap(), second.public_key().unwrap()];
    let router = quiet_server(first, ClientAuth::None);
    let endpoint = dialler(Trust::keys(keys));
    let before = endpoint.connect(&target(&router), b"quiet").await.unwrap();
    assert!(router.endpoint().replace_identity(second));
    let after = endpoint.connect(&target(&router), b"quiet").await.unwrap();
    assert_eq!((before.peer().key, after.peer().key), (Some(keys[0]), Some(keys[1])));
    assert_eq!(before.close_reason(), None);
}

/// A server that offers nothing but X25519MLKEM768 is reached at the first try: it is what the client offers first.
#[tokio::test]
async fn the_post_quantum_exchange_is_what_is_offered_first() {
    let mut provider = rustls::crypto::CryptoProvider::clone(&stoq::provider());
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let endpoint =
        Endpoint::with_tls(Some(ServerTls::from_rustls(config)), None).address(LOOPBACK).bind().unwrap();
    let router = Router::builder(endpoint).accept("quiet", quiet).spawn().unwrap();
    let key = PublicKey::of_certificate(certificate.der()).unwrap();
    dialler(Trust::key(key)).connect(&target(&router), b"quiet").await.unwrap();
    assert_eq!(stoq::provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn peers_show_themselves_to_each_other() {
    let (one, two) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let (one_key, two_key) = (one.public_key().unwrap(), two.public_key().unwrap());
    let one = Endpoint::peer(one, Trust::key(two_key)).address(LOOPBACK).bind().unwrap();
    let two = Endpoint::peer(two, Trust::key(one_key)).address(LOOPBACK).bind().unwrap();
    let answer = move |request: http::Request<stoq::http3::Body>| async move {
        let caller = request.extensions().get::<stoq::http3::Caller>().unwrap();
        assert_eq!(caller.peer.key, Some(one_key));
        Ok(text(StatusCode::OK, "met"))
    };
    let uri = at(two.local_addr().unwrap(), "/");
    let http3 = stoq::http3::Http3::new(service(answer));
    let _router = Router::builder(two).accept(ALPN, http3).spawn().unwrap();
    let answer = Client::new(one).send(get(uri)).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "met");
}

/// An Ed25519 certificate, and a key that may be its own or not.
struct Forged(Arc<CertifiedKey>);

impl Forged {
    /// The certificate of one, shown by who has another key.
    fn new(shown: &KeyPair, held: &KeyPair) -> (Self, PublicKey) {
        let certificate = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(shown).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(held.serialize_der()));
        let key = stoq::provider().key_provider.load_private_key(key).unwrap();
        let public = PublicKey::of_certificate(certificate.der()).unwrap();
        (Self(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))), public)
    }
}

impl std::fmt::Debug for Forged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forged")
    }
}

impl ResolvesServerCert for Forged {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Forged {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn ed25519() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

#[tokio::test]
async fn a_certificate_is_nothing_without_its_key() {
    let (one, other) = (ed25519(), ed25519());
    // A server that shows another's; with its own it is believed.
    for (held, believed) in [(&one, true), (&other, false)] {
        let (forged, key) = Forged::new(&one, held);
        let config = rustls::ServerConfig::builder_with_provider(stoq::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(forged));
        let tls = ServerTls::from_rustls(config);
        let endpoint = Endpoint::with_tls(Some(tls), None).address(LOOPBACK).bind().unwrap();
        let router = Router::builder(endpoint).accept("quiet", quiet).spawn().unwrap();
        let dialled = dialler(Trust::key(key)).connect(&target(&router), b"quiet").await;
        assert_eq!(dialled.is_ok(), believed, "{dialled:?}");
    }
    // And a client, with whom nothing is spoken before that is known.
    let ours = Authority::new();
    for (held, believed) in [(&one, true), (&other, false)] {
        let (forged, key) = Forged::new(&one, held);
        let (router, spoken) = speaking(ours.issue("127.0.0.1", (2020, 2090)), Trust::key(key));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ours.root()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(stoq::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(forged));
        let tls = ClientTls::from_rustls(config);
        let endpoint = Endpoint::with_tls(None, Some(tls)).address(LOOPBACK).bind().unwrap();
        judged(&endpoint, &router, &spoken, believed).await;
    }
}

#[tokio::test]
async fn a_client_that_shows_nothing_is_not_spoken_with_where_keys_are_required() {
    let (server, trusted) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let key = server.public_key().unwrap();
    let (router, spoken) = speaking(server, Trust::key(trusted.public_key().unwrap()));
    judged(&dialler(Trust::key(key)), &router, &spoken, false).await;
    let known = Endpoint::client(Trust::key(key)).identity(trusted).address(LOOPBACK).bind().unwrap();
    judged(&known, &router, &spoken, true).await;
}

/// Sessions are of who began them.
#[tokio::test]
async fn a_client_with_another_identity_resumes_nothing_of_the_old_one() {
    let (server, first, second) =
        (Identity::generate().unwrap(), Identity::generate().unwrap(), Identity::generate().unwrap());
    let keys = [first.public_key().unwrap(), second.public_key().unwrap()];
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tells = move |connection: Connection, _: Closing| {
        let _ = tell.send(connection.peer().key);
        async { Ok::<_, stoq::ProtocolError>(()) }
    };
    let trust = Trust::key(server.public_key().unwrap());
    let endpoint = Endpoint::server(server)
        .clients(ClientAuth::Required(Trust::keys(keys)))
        .address(LOOPBACK)
        .bind()
        .unwrap();
    let router = Router::builder(endpoint).accept("tells", tells).spawn().unwrap();
    let client = Endpoint::client(trust).identity(first).address(LOOPBACK).bind().unwrap();
    for key in keys {
        // The session is there by the end.
        client.connect(&target(&router), b"tells").await.unwrap().closed().await;
        assert_eq!(told.recv().await.unwrap(), Some(key));
        client.replace_identity(second.clone());
    }
}

/// A server that counts the clients it speaks with.
fn speaking(identity: Identity, clients: Trust) -> (Router, Arc<Semaphore>) {
    let spoken = Arc::new(Semaphore::new(0));
    let counted = Arc::clone(&spoken);
    let speak = move |connection: Connection, _: Closing| {
        counted.add_permits(1);
        async move {
            connection.closed().await;
            Ok(())
        }
    };
    let endpoint =
        Endpoint::server(identity).clients(ClientAuth::Required(clients)).address(LOOPBACK).bind().unwrap();
    (Router::builder(endpoint).accept("speaks", speak).spawn().unwrap(), spoken)
}

/// Waits until the server has judged a client, which may be through before, and sees whether it is spoken with.
async fn judged(client: &Endpoint, router: &Router, spoken: &Semaphore, believed: bool) {
    let connected = client.connect(&target(router), b"speaks").await;
    if believed {
        let _open = connected.unwrap();
        spoken.acquire().await.unwrap().forget();
        return;
    }
    if let Ok(connection) = connected {
        let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        assert!(
            matches!(closed, Closed::CertificateRefused { .. } | Closed::PeerTransport { .. }),
            "{closed:?}"
        );
    }
    assert_eq!(spoken.available_permits(), 0);
}
