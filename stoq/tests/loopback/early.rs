//! Early data: what may be in it, what is told to whom, and what a replay does.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use crate::pair::*;
use crate::proxy::Proxy;
use http::{Request, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use stoq::http3::{ALPN, Client, EarlyData, HttpLimits};
use stoq::{Limits, Settings, Target};

fn early(uri: http::Uri) -> Request<http_body_util::Empty<bytes::Bytes>> {
    let mut request = get(uri);
    request.extensions_mut().insert(EarlyData);
    request
}

/// Answers "early" or "late", and counts.
fn counting() -> (Server, Arc<AtomicUsize>) {
    counting_within(Settings::default())
}

fn counting_within(settings: Settings) -> (Server, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let answer = move |request: Request<stoq::http3::Body>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let early = request.extensions().get::<EarlyData>().is_some();
            if early && request.uri().path() == "/picky" {
                return Ok(text(StatusCode::TOO_EARLY, ""));
            }
            Ok(text(StatusCode::OK, if early { "early" } else { "late" }))
        }
    };
    (serve_within(answer, settings, Limits::default(), HttpLimits::default()), count)
}

/// A client whose connections end at once when idle, so that each request dials.
fn forgetful(server: &Server) -> Client {
    let endpoint = server.client_endpoint().bind().unwrap();
    Client::builder(endpoint).idle(Duration::from_millis(10)).build()
}

/// Asks once, and waits until the connection is gone; the session's ticket is there by then.
async fn visit(client: &Client, uri: http::Uri) {
    let answer = client.send(early(uri)).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late", "there is nothing to resume");
    gone(client).await;
}

async fn gone(client: &Client) {
    let open = &client.endpoint().metrics().connections;
    while open.get() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_marked_get_goes_with_the_first_flight_of_a_resumed_connection() {
    let (server, _) = counting();
    let client = forgetful(&server);
    visit(&client, server.uri("/")).await;
    let answer = client.send(early(server.uri("/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "early");
    assert_eq!(client.endpoint().metrics().sent_early.get(), 1);
    assert_eq!(server.router.endpoint().metrics().early_requests.get(), 1);
    gone(&client).await;
    // Without the mark, or with a body, it waits for the handshake.
    let answer = client.send(get(server.uri("/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
    gone(&client).await;
    let mut write = post(server.uri("/"), "body");
    write.extensions_mut().insert(EarlyData);
    let answer = client.send(write).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
    assert_eq!(server.router.endpoint().metrics().early_requests.get(), 1);
}

/// A client of a name that has these addresses.
fn by_name(server: &Server, settings: Settings, addresses: Vec<std::net::SocketAddr>) -> Client {
    let endpoint = server.client_endpoint().settings(settings).bind().unwrap();
    Client::builder(endpoint)
        .idle(Duration::from_millis(10))
        .resolver(move |_, _| {
            let addresses = addresses.clone();
            async move { Ok(addresses) }
        })
        .build()
}

#[tokio::test]
async fn what_goes_early_goes_where_the_name_was_last_reached() {
    let (server, _) = counting();
    let silent = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let addresses = vec![silent.local_addr().unwrap(), server.address];
    let client = by_name(&server, Settings::default(), addresses);
    let uri = || "https://api.example/".parse().unwrap();
    visit(&client, uri()).await;
    // Half the time that a handshake may take: the address that never answers is not the one that was asked.
    let asked =
        tokio::time::timeout(Settings::default().handshake_timeout / 2, client.send(early(uri()))).await;
    assert_eq!(read(asked.unwrap().unwrap().into_body()).await, "early");
}

#[tokio::test]
async fn what_went_early_to_an_address_that_died_is_asked_for_at_the_others() {
    let (server, count) = counting();
    let (one, other) = (Proxy::to(server.address).await, Proxy::to(server.address).await);
    let hasty = Settings { handshake_timeout: Duration::from_secs(2), ..Settings::default() };
    let client = by_name(&server, hasty, vec![one.address, other.address]);
    let uri = || "https://api.example/".parse().unwrap();
    visit(&client, uri()).await;
    one.vanish();
    let answer = client.send(early(uri())).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    let metrics = client.endpoint().metrics();
    assert_eq!((metrics.sent_early.get(), metrics.sent_again.get()), (1, 1));
}

#[tokio::test]
async fn one_that_is_told_too_early_comes_again_after_the_handshake() {
    let (server, count) = counting();
    let client = forgetful(&server);
    visit(&client, server.uri("/")).await;
    let answer = client.send(early(server.uri("/picky"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_eq!(client.endpoint().metrics().sent_again.get(), 1);
    assert_eq!(server.router.endpoint().metrics().too_early.get(), 1);
}

#[tokio::test]
async fn early_data_that_the_server_forgot_how_to_read_is_sent_again() {
    let (server, count) = counting();
    let client = forgetful(&server);
    visit(&client, server.uri("/")).await;
    // The server forgets its sessions; its key stays.
    assert!(server.router.endpoint().replace_identity(server.identity.clone()));
    let answer = client.send(early(server.uri("/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
    assert_eq!(count.load(Ordering::SeqCst), 2, "nobody read what was sent early");
    let metrics = client.endpoint().metrics();
    assert_eq!((metrics.sent_early.get(), metrics.sent_again.get(), metrics.dialled.get()), (1, 1, 2));
    // And on the same connection all goes on.
    let answer = client.send(get(server.uri("/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
}

#[tokio::test]
async fn a_write_in_early_data_is_refused_without_asking_the_service() {
    let (server, count) = counting();
    let endpoint = server.client_endpoint().bind().unwrap();
    let client = Client::builder(endpoint.clone()).idle(Duration::from_millis(10)).build();
    visit(&client, server.uri("/")).await;
    // `Client` sends none such, so by hand: POST / (RFC 9204, static table).
    let target = Target::named("127.0.0.1", [server.address]);
    let connection = endpoint.connect_early(&target, ALPN).await.unwrap();
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[0x01, 0x08, 0, 0, 0xd4, 0xd7, 0xc1, 0x50, 0x01, b'a']).await.unwrap();
    send.finish().unwrap();
    let answer = recv.read_to_end(1000).await.unwrap();
    assert_eq!(answer[0], 0x01, "HEADERS");
    assert!(answer.windows(2).any(|pair| pair == [0xff, 0x07]), "425 is number 70 of the static table");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_eq!(server.router.endpoint().metrics().too_early.get(), 1);
}

#[tokio::test]
async fn a_replay_of_early_data_is_not_read() {
    let settings = Settings { handshake_timeout: Duration::from_secs(2), ..Settings::default() };
    let (server, count) = counting_within(settings);
    let proxy = Proxy::to(server.address).await;
    let client = forgetful(&server);
    visit(&client, at(proxy.address, "/")).await;
    proxy.forget_recorded();
    let answer = client.send(early(at(proxy.address, "/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "early");
    gone(&client).await;
    let metrics = Arc::clone(server.router.endpoint().metrics());
    assert_eq!((count.load(Ordering::SeqCst), metrics.early_requests.get()), (2, 1));
    while metrics.connections.get() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for again in 1..=2 {
        // For as long as the server knows the connection, it ignores them. Then it is taken for a new connection, whose
        // ticket was used, and whose client never finishes.
        while metrics.handshakes_failed.get() < again {
            assert!(proxy.replay().await >= 2);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let answer = client.send(get(server.uri("/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "late");
    assert_eq!((count.load(Ordering::SeqCst), metrics.early_requests.get()), (3, 1));
}
