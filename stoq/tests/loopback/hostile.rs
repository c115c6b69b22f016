//! Clients that mean harm, or are broken: what they get, and that others are served on.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use crate::pair::*;
use crate::proxy::Proxy;
use http::StatusCode;
use http_body_util::BodyExt;
use proptest::prelude::*;
use std::time::Duration;
use stoq::http3::{ALPN, HttpLimits};
use stoq::{ClientTls, Closed, Connection, Endpoint, Limits, Settings, Target};
use tokio::sync::mpsc;

/// POST / with authority "a", all of the static table (RFC 9204, appendix A).
const POST: [u8; 10] = [0x01, 0x08, 0, 0, 0xd4, 0xd7, 0xc1, 0x50, 0x01, b'a'];

fn patient(patience: u64) -> HttpLimits {
    HttpLimits {
        field_patience: Duration::from_millis(patience),
        body_patience: Duration::from_millis(patience),
        abandoned: 20,
        ..HttpLimits::default()
    }
}

/// Tells how the body went.
fn server(http: HttpLimits) -> Server {
    server_that_tells(http).0
}

/// And, beside, how much of it there is at a time.
fn server_that_tells(http: HttpLimits) -> (Server, mpsc::UnboundedReceiver<usize>) {
    let (tell, told) = mpsc::unbounded_channel();
    let answer = move |request: http::Request<stoq::http3::Body>| {
        let tell = tell.clone();
        async move {
            let (mut body, mut length) = (request.into_body(), 0);
            Ok(loop {
                match body.frame().await {
                    Some(Ok(frame)) => length += frame.data_ref().map_or(0, bytes::Bytes::len),
                    Some(Err(error)) => break text(StatusCode::BAD_REQUEST, error.to_string()),
                    None => break text(StatusCode::OK, format!("whole: {length}")),
                }
                let _ = tell.send(length);
            })
        }
    };
    (serve_within(answer, Settings::default(), Limits::default(), http), told)
}

/// A connection on which anything can be written.
async fn raw(server: &Server) -> Connection {
    let endpoint = server.client_endpoint().bind().unwrap();
    endpoint.connect(&Target::named("127.0.0.1", [server.address]), ALPN).await.unwrap()
}

async fn answer(recv: &mut stoq::RecvStream) -> String {
    String::from_utf8_lossy(&recv.read_to_end(1 << 20).await.unwrap()).into_owned()
}

async fn serves_others(server: &Server) {
    let answer = server.client().send(post(server.uri("/"), "four")).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "whole: 4");
}

#[tokio::test]
async fn streams_on_which_nothing_comes_end_and_then_the_connection() {
    let server = server(patient(500));
    let connection = raw(&server).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&[0x01]).await.unwrap();
        held.push((send, recv));
    }
    let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    let expected = Closed::ByPeer { code: 0x107, reason: "too many requests were abandoned".to_owned() };
    assert_eq!(closed, expected);
    assert_eq!(server.router.endpoint().metrics().abusive.get(), 1);
    serves_others(&server).await;
}

#[tokio::test]
async fn requests_given_up_as_fast_as_they_are_made_end_the_connection() {
    let server = server(patient(60_000));
    let connection = raw(&server).await;
    let flood = async {
        while let Ok((mut send, mut recv)) = connection.open_bi().await {
            let _ = send.write_all(&POST).await;
            let _ = send.reset(0x10cu32.into());
            let _ = recv.stop(0x10cu32.into());
        }
    };
    tokio::time::timeout(PATIENCE, flood).await.unwrap();
    assert!(matches!(connection.close_reason(), Some(Closed::ByPeer { code: 0x107, .. })));
    serves_others(&server).await;
}

#[tokio::test]
async fn fields_without_end_are_cut_at_their_announcement() {
    let server = server(patient(60_000));
    let connection = raw(&server).await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    // HEADERS of a gibibyte.
    send.write_all(&[0x01, 0xc0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0]).await.unwrap();
    let error = recv.read_to_end(1).await.unwrap_err();
    assert!(error.to_string().contains("263") || format!("{error:?}").contains("263"), "{error:?}");
    // The connection goes on.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&POST).await.unwrap();
    send.finish().unwrap();
    assert!(answer(&mut recv).await.contains("whole: 0"));
    // A little too many are answered: `x-a: aaa…` of 70,000 bytes, spelled out.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let mut block = POST[2..].to_vec();
    block.extend_from_slice(&[0x23, b'x', b'-', b'a', 0x7f, 0xf1, 0xa1, 0x04]);
    block.extend(std::iter::repeat_n(b'a', 70_000));
    let mut frame = vec![0x01, 0x80];
    frame.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes()[1..]);
    frame.extend_from_slice(&block);
    send.write_all(&frame).await.unwrap();
    let answer = recv.read_to_end(1000).await.unwrap();
    // 431 in the Huffman code of RFC 7541.
    assert!(answer.windows(3).any(|window| window == [0x69, 0x90, 0xff]), "{answer:?}");
}

#[tokio::test]
async fn fields_that_are_begun_and_not_ended_are_counted_together() {
    let server = server(patient(60_000));
    let connection = raw(&server).await;
    // 10 KB of 100 KB, on twenty streams.
    let begun = [&[0x01, 0x80, 0x01, 0x86, 0xa0][..], &[0; 10_000]].concat();
    let mut held = Vec::new();
    let mut refused = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&begun).await.unwrap();
        held.push(send);
        refused.spawn(async move { recv.read_to_end(1).await });
    }
    let first = tokio::time::timeout(PATIENCE, refused.join_next()).await.unwrap();
    let error = first.unwrap().unwrap().unwrap_err();
    assert!(format!("{error:?}").contains("263"), "{error:?}");
    // Others are served meanwhile, and on this connection, too, once they are given up.
    serves_others(&server).await;
    refused.shutdown().await;
    for mut send in held {
        let _ = send.reset(0x10cu32.into());
    }
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    for byte in POST {
        send.write_all(&[byte]).await.unwrap();
    }
    send.finish().unwrap();
    assert!(answer(&mut recv).await.contains("whole: 0"));
}

#[tokio::test]
async fn a_body_that_stalls_breaks_off_or_lies_about_its_length_is_no_whole_body() {
    let (server, mut told) = server_that_tells(patient(200));
    let connection = raw(&server).await;
    // It stalls.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[&POST[..], &[0x00, 0x04, b'a', b'b']].concat()).await.unwrap();
    assert!(answer(&mut recv).await.contains("nothing of the body came for 200ms"));
    // It is reset.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[&POST[..], &[0x00, 0x04, b'a', b'b']].concat()).await.unwrap();
    send.reset(0x10cu32.into()).unwrap();
    let said = recv.read_to_end(1000).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(
        said.as_ref().is_ok_and(|said| said.contains("H3_REQUEST_CANCELLED")) || said.is_err(),
        "{said:?}"
    );
    // Its last frame is cut off by the end of the stream.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[&POST[..], &[0x00, 0x04, b'a', b'b']].concat()).await.unwrap();
    send.finish().unwrap();
    let said = recv.read_to_end(1000).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(!said.as_ref().is_ok_and(|said| said.contains("whole")), "{said:?}");
    // It is shorter than announced: content-length is number 4 of the static table.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let mut head = POST.to_vec();
    head[1] += 3;
    head.extend_from_slice(&[0x54, 0x01, b'9', 0x00, 0x02, b'a', b'b']);
    while told.try_recv().is_ok() {}
    send.write_all(&head).await.unwrap();
    assert_eq!(told.recv().await, Some(2), "what came is read before the end comes");
    send.finish().unwrap();
    assert!(answer(&mut recv).await.contains("does not have the 9 bytes"));
    // An empty DATA frame is not the end.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[&POST[..], &[0x00, 0x02, b'a', b'b', 0x00, 0x00, 0x00, 0x01, b'c']].concat())
        .await
        .unwrap();
    send.finish().unwrap();
    assert!(answer(&mut recv).await.contains("whole: 3"));
    serves_others(&server).await;
}

#[tokio::test]
async fn half_open_connections_hold_no_more_than_the_limits() {
    let limits = Limits { connections: 200, handshakes: 100, retry_from: 20, ..Limits::default() };
    let server = serve_within(
        |_| async { Ok(text(StatusCode::OK, "whole: 4")) },
        Settings { handshake_timeout: Duration::from_secs(4), ..Settings::default() },
        limits,
        HttpLimits::default(),
    );
    // Clients that never hear the server, so that no handshake is ever over.
    let proxy = Proxy::to(server.address).await;
    proxy.lose_answers();
    // The cheapest that is a client: the cost of the attack is not what is measured.
    let mut provider = rustls::crypto::CryptoProvider::clone(&stoq::provider());
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let endpoint =
        Endpoint::with_tls(None, Some(ClientTls::from_rustls(config))).address(LOOPBACK).bind().unwrap();
    let target = Target::named("127.0.0.1", [proxy.address]);
    let metrics = std::sync::Arc::clone(server.router.endpoint().metrics());
    let mut dials = tokio::task::JoinSet::new();
    let mut most = 0;
    for _ in 0..2_000 {
        let (endpoint, target) = (endpoint.clone(), target.clone());
        dials.spawn(async move { endpoint.connect(&target, ALPN).await });
        tokio::task::yield_now().await;
        most = most.max(metrics.handshakes.get());
    }
    while metrics.retries.get() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        most = most.max(metrics.handshakes.get());
    }
    drop(dials);
    assert!((1..=100).contains(&most), "{most} at a time");
    serves_others(&server).await;
}

#[tokio::test]
async fn handshakes_of_proven_addresses_that_never_end_keep_nobody_out() {
    let server = serve_within(
        |_| async { Ok(text(StatusCode::OK, "whole: 4")) },
        Settings { handshake_timeout: Duration::from_secs(60), ..Settings::default() },
        Limits { handshakes: 4, retry_from: 0, ..Limits::default() },
        HttpLimits::default(),
    );
    let proxy = Proxy::to(server.address).await;
    proxy.lose_long_answers();
    let endpoint = server.client_endpoint().bind().unwrap();
    let target = Target::named("127.0.0.1", [proxy.address]);
    let mut dials = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (endpoint, target) = (endpoint.clone(), target.clone());
        dials.spawn(async move { endpoint.connect(&target, ALPN).await });
    }
    let metrics = std::sync::Arc::clone(server.router.endpoint().metrics());
    let displaced = async {
        while metrics.handshakes_failed.get() < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, displaced).await.unwrap();
    assert!(metrics.handshakes.get() <= 4 && metrics.refused.get() == 0);
    serves_others(&server).await;
}

#[tokio::test]
async fn a_connection_that_is_not_used_ends_however_many_requests_are_given_up() {
    let http = HttpLimits { unused: Duration::from_secs(3), abandoned: 1_000, ..patient(60_000) };
    let server = server(http);
    let began = std::time::Instant::now();
    let (silent, busy, used) = (raw(&server).await, raw(&server).await, raw(&server).await);
    let (mut send, mut recv) = used.open_bi().await.unwrap();
    send.write_all(&POST).await.unwrap();
    send.finish().unwrap();
    assert!(answer(&mut recv).await.contains("whole: 0"));
    let giving_up = async {
        while let Ok((mut send, _recv)) = busy.open_bi().await {
            let _ = send.write_all(&POST[..4]).await;
            let _ = send.reset(0x10cu32.into());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, giving_up).await.unwrap();
    tokio::time::timeout(PATIENCE, silent.closed()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(3));
    for connection in [&silent, &busy] {
        assert!(matches!(connection.close_reason(), Some(Closed::ByPeer { code: 0x100, .. })));
    }
    assert_eq!(used.close_reason(), None);
}

/// Long before QUIC's own idle timeout, which is half a minute.
#[tokio::test]
async fn a_handshake_that_comes_to_no_end_is_given_up() {
    // The client's first flight takes two datagrams: one alone tells no protocol.
    for heard in [1, usize::MAX] {
        let settings = Settings { handshake_timeout: Duration::from_secs(2), ..Settings::default() };
        let answer = |_| async { Ok(text(StatusCode::OK, "whole: 4")) };
        let server = serve_within(answer, settings, Limits::default(), HttpLimits::default());
        let proxy = Proxy::to(server.address).await;
        proxy.lose_answers();
        proxy.pass(heard);
        let endpoint = server.client_endpoint().bind().unwrap();
        let target = Target::named("127.0.0.1", [proxy.address]);
        let dialling = tokio::spawn(async move { endpoint.connect(&target, ALPN).await });
        let metrics = std::sync::Arc::clone(server.router.endpoint().metrics());
        let given_up = async {
            while metrics.handshakes_failed.get() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, given_up).await.unwrap();
        assert_eq!((metrics.handshakes.get(), metrics.accepted.get()), (0, u64::from(heard > 1)), "{heard}");
        dialling.abort();
        serves_others(&server).await;
    }
}

#[tokio::test]
async fn a_connection_that_rests_is_closed_by_either_end() {
    let rest = Duration::from_millis(1500);
    let lazy = server(HttpLimits { idle: rest, ..patient(60_000) });
    let connection = raw(&lazy).await;
    let mut last = std::time::Instant::now();
    // Together these take longer than it may rest.
    for _ in 0..4 {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&POST).await.unwrap();
        send.finish().unwrap();
        last = std::time::Instant::now();
        assert!(answer(&mut recv).await.contains("whole: 0"));
        tokio::time::sleep(rest / 3).await;
    }
    let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
    assert!(matches!(closed, Closed::ByPeer { code: 0x100, .. }), "{closed:?}");
    assert!(last.elapsed() >= rest, "{:?}", last.elapsed());
    let patient = server(patient(60_000));
    let client = stoq::http3::Client::builder(patient.client_endpoint().bind().unwrap()).idle(rest).build();
    let answer = client.send(post(patient.uri("/"), "four")).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "whole: 4");
    let over = tokio::time::timeout(PATIENCE, patient.over.acquire()).await;
    over.unwrap().unwrap().forget();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever comes on a stream, the server serves the next client.
    #[test]
    fn no_bytes_harm_the_server(
        streams in prop::collection::vec(
            (any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = server(patient(300));
            let connection = raw(&server).await;
            for (one_way, framed, bytes) in streams {
                if one_way {
                    let Ok(mut send) = connection.open_uni().await else { break };
                    let _ = send.write_all(&bytes).await;
                    let _ = send.finish();
                    continue;
                }
                let Ok((mut send, mut recv)) = connection.open_bi().await else { break };
                if framed {
                    // As a header section, so that the decoder sees it.
                    let _ = send.write_all(&[0x01, 0x40 | (bytes.len() >> 8) as u8, bytes.len() as u8]).await;
                }
                let _ = send.write_all(&bytes).await;
                let _ = send.finish();
                let _ = tokio::time::timeout(PATIENCE, recv.read_to_end(1 << 16)).await;
            }
            serves_others(&server).await;
        });
    }
}
