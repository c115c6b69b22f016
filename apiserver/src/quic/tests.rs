use super::*;
use crate::tls::Tls;
use crate::{Config, Server};
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hypermesh_pki::{Pki, Renewal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::path::Path;
use stoq::http3::Client as Http3Client;
use stoq::{Identity, Target, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn pem(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join("pki").join(name)).unwrap()
}

fn authority(dir: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&pem(dir, "ca.crt")).unwrap()
}

/// A client that trusts the cluster of `dir`, with the administrator's certificate if asked for.
fn client(dir: &Path, administrator: bool) -> Http3Client {
    let mut endpoint = Endpoint::client(Trust::authorities([authority(dir)]).unwrap()).address(ANY);
    if administrator {
        endpoint =
            endpoint.identity(Identity::from_pem(&pem(dir, "admin.crt"), &pem(dir, "admin.key")).unwrap());
    }
    Http3Client::new(endpoint.bind().unwrap())
}

async fn send(
    client: &Http3Client,
    method: Method,
    address: SocketAddr,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let response = ask(client, method, address, path, body).await;
    assert_eq!(response.version(), Version::HTTP_3);
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into()))
}

async fn ask(
    client: &Http3Client,
    method: Method,
    address: SocketAddr,
    path: &str,
    body: Option<Value>,
) -> Response<Body> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(format!("https://{address}{path}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    client.send(request).await.unwrap()
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

/// The head of what `GET /version` answers over TCP.
async fn over_tcp(dir: &Path, address: SocketAddr) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority(dir)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::from(address.ip());
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = b"GET /version HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_answers_over_http3_as_over_tcp() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config::new(dir.path().to_owned(), ANY)).await.unwrap();
    let address = server.address();
    let admin = client(dir.path(), true);

    // TCP names it.
    let head = over_tcp(dir.path(), address).await;
    assert!(head.contains(&format!("alt-svc: h3=\":{}\"; ma=3600\r\n", address.port())), "{head}");

    // A write, a read, and a watch that goes on.
    let maps = "/api/v1/namespaces/default/configmaps";
    let (status, made) = send(&admin, Method::POST, address, maps, Some(config_map("one", "1"))).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let (status, one) = send(&admin, Method::GET, address, &format!("{maps}/one"), None).await;
    assert_eq!((status, &one["data"]["key"]), (StatusCode::OK, &json!("1")));
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{maps}?watch=1&resourceVersion={version}");
    let mut watch = ask(&admin, Method::GET, address, &path, None).await.into_body();
    for n in 2..5 {
        let name = format!("map-{n}");
        send(&admin, Method::POST, address, maps, Some(config_map(&name, "x"))).await;
        let event = watch.frame().await.unwrap().unwrap().into_data().unwrap();
        let event: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
    }

    // Refusals are Statuses, and who shows nothing is nobody.
    let (status, refusal) = send(&admin, Method::GET, address, &format!("{maps}/none"), None).await;
    assert_eq!((status, &refusal["reason"]), (StatusCode::NOT_FOUND, &json!("NotFound")));
    let stranger = client(dir.path(), false);
    let (status, refusal) = send(&stranger, Method::GET, address, maps, None).await;
    assert_eq!((status, &refusal["reason"]), (StatusCode::UNAUTHORIZED, &json!("Unauthorized")));
    let large = config_map("large", &"x".repeat(4 << 20));
    let (status, _) = send(&admin, Method::POST, address, maps, Some(large)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);

    let (_, metrics) = send(&admin, Method::GET, address, "/metrics", None).await;
    let metrics = metrics.as_str().unwrap().to_owned();
    assert!(metrics.contains("\nstoq_connections_accepted_total 2\n"), "{metrics}");

    // The end: the watch ends in order, and nobody is served any more.
    let stopping = tokio::spawn(server.stop());
    while let Some(frame) = watch.frame().await {
        frame.unwrap();
    }
    stopping.await.unwrap();
}

/// One budget: what TCP takes is not there for QUIC, and the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_tcp_and_quic_are_counted_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().to_owned(), ANY);
    config.limits.connections = 2;
    let server = Server::start(config).await.unwrap();
    let address = server.address();
    let uri: http::Uri = format!("https://{address}/").parse().unwrap();
    let refused = |error: stoq::http3::RequestError| {
        matches!(error, stoq::http3::RequestError::Connect(stoq::ConnectError::Refused { .. }))
    };
    let admin = client(dir.path(), true);
    let kept = admin.connect(&uri).await.unwrap();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    // What the kernel has taken may not have been accepted yet.
    loop {
        let (_, metrics) = send(&admin, Method::GET, address, "/metrics", None).await;
        let metrics = metrics.as_str().unwrap();
        assert!(metrics.contains("hypermesh_apiserver_connections{transport=\"quic\"} 1\n"), "{metrics}");
        if metrics.contains("hypermesh_apiserver_connections{transport=\"tcp\"} 1\n") {
            break;
        }
    }

    // Both places are taken: neither side lets a third in.
    assert!(refused(client(dir.path(), false).connect(&uri).await.unwrap_err()));
    let mut third = TcpStream::connect(address).await.unwrap();
    assert!(matches!(third.read(&mut [0; 1]).await, Ok(0) | Err(_)));

    // A place that TCP gives back is there for QUIC.
    tcp.shutdown().await.unwrap();
    drop(tcp);
    let second = loop {
        match client(dir.path(), false).connect(&uri).await {
            Ok(second) => break second,
            Err(error) => assert!(refused(error)),
        }
    };
    // And one that QUIC gives back for TCP.
    second.close(0x100, "");
    let mut again = loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        // Who is let in hears what is wrong with it; who is not hears nothing.
        if let Ok(1..) = stream.read(&mut [0; 1]).await {
            break stream;
        }
    };
    again.shutdown().await.unwrap();
    drop(kept);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_udp_tcp_serves_and_names_nothing_else() {
    // A port of which UDP is taken.
    let (udp, address) = loop {
        let udp = UdpSocket::bind(ANY).unwrap();
        let address = udp.local_addr().unwrap();
        if std::net::TcpListener::bind(address).is_ok() {
            break (udp, address);
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(Config::new(dir.path().to_owned(), address)).await.unwrap();
    let head = over_tcp(dir.path(), server.address()).await;
    assert!(head.starts_with("HTTP/1.1 200") && !head.contains("alt-svc"), "{head}");
    server.stop().await;
    drop(udp);
}

/// Keys and certificates in a folder, and an endpoint that shows them.
fn shown_of(dir: &Path) -> (Pki, Tls, Endpoint) {
    let names = vec!["127.0.0.1".to_owned()];
    let settings = hypermesh_pki::Settings::new("https://127.0.0.1".to_owned(), names);
    let pki = Pki::open(dir, settings, crate::server::unix_now()).unwrap();
    let tls = Tls::of(&pki).unwrap();
    let tls_of_quic = ServerTls::from_rustls(tls.lasting().unwrap());
    let endpoint = Endpoint::with_tls(Some(tls_of_quic), None).address(ANY).bind().unwrap();
    (pki, tls, endpoint)
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let now = crate::server::unix_now();
    let (mut pki, tls, endpoint) = shown_of(dir.path());
    let target = Target::named("127.0.0.1", [endpoint.local_addr().unwrap()]);
    let quiet = |connection: stoq::Connection, _: stoq::Closing| async move {
        connection.closed().await;
        Ok(())
    };
    let _router = Router::builder(endpoint).accept("quiet", quiet).spawn().unwrap();
    let shown = async || {
        let trust = Trust::authorities([authority(dir.path())]).unwrap();
        let client = Endpoint::client(trust).address(ANY).bind().unwrap();
        client.connect(&target, b"quiet").await.unwrap().peer().certificates[0].clone()
    };
    assert_eq!(shown().await, pki.server.der);
    let before = pki.server.der.clone();
    pki.reissue(Renewal { server: true, admin: false }, now).unwrap();
    assert_ne!(before, pki.server.der);
    tls.follow(&pki).unwrap();
    assert_eq!(shown().await, pki.server.der);
}

#[tokio::test]
async fn clients_are_taken_by_the_authorities_that_count_now() {
    let dir = tempfile::tempdir().unwrap();
    let now = crate::server::unix_now();
    let (mut pki, tls, endpoint) = shown_of(dir.path());
    let target = Target::named("127.0.0.1", [endpoint.local_addr().unwrap()]);
    // Whom the client takes the server for is told by the first byte; whom it is taken for, by whether that comes.
    let greets = |connection: stoq::Connection, _: stoq::Closing| async move {
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(b"!").await.unwrap();
        let _ = stream.finish();
        connection.closed().await;
        Ok(())
    };
    let _router = Router::builder(endpoint).accept("greets", greets).spawn().unwrap();
    let taken = async |pki: &Pki| {
        let authorities = [pki.ca.der.clone()].into_iter().chain(pki.old().map(|old| old.ca.der.clone()));
        let trust = Trust::authorities(authorities.collect::<Vec<_>>()).unwrap();
        let identity = Identity::from_pem(pki.admin.pem.as_bytes(), pki.admin_key.pem().as_bytes()).unwrap();
        let client = Endpoint::client(trust).identity(identity).address(ANY).bind().unwrap();
        let Ok(connection) = client.connect(&target, b"greets").await else { return false };
        connection.accept_uni().await.is_ok()
    };
    assert!(taken(&pki).await);
    pki.begin_rotation(now).unwrap();
    assert!(taken(&pki).await, "of the former authority");
    pki.take_along(now).unwrap();
    assert!(!taken(&pki).await, "nobody has said that the new authority counts");
    tls.follow(&pki).unwrap();
    assert!(taken(&pki).await);
}
