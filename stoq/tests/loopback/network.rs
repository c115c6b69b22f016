//! What networks do: addresses change, peers vanish and restart, datagrams get lost. And protocols other than HTTP.

use crate::pair::*;
use crate::proxy::Proxy;
use bytes::Bytes;
use futures_util::StreamExt;
use http::StatusCode;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::time::{Duration, Instant};
use stoq::http3::{BodyError, Client, HttpLimits, RequestError};
use stoq::{Closed, Closing, Connection, Endpoint, Identity, Limits, Router, Settings, Target, Trust};

fn hasty() -> Settings {
    Settings {
        idle_timeout: Duration::from_secs(3),
        keep_alive: Some(Duration::from_millis(500)),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_connection_outlives_a_nat_that_forgets_it() {
    let server = serve(|request| async move {
        let caller = request.extensions().get::<stoq::http3::Caller>().unwrap();
        Ok(text(StatusCode::OK, caller.address.to_string()))
    });
    let proxy = Proxy::to(server.address).await;
    let client = server.client();
    let mut seen = Vec::new();
    for _ in 0..3 {
        // The first after a change may still be answered at the old address.
        for _ in 0..2 {
            let answer = client.send(get(at(proxy.address, "/"))).await.unwrap();
            seen.push(read(answer.into_body()).await);
        }
        proxy.rename();
    }
    seen.dedup();
    assert!(seen.len() >= 3, "{seen:?}");
    assert_eq!(client.endpoint().metrics().dialled.get(), 1);
    // And one that moves by itself.
    client.endpoint().rebind(LOOPBACK).unwrap();
    let answer = client.send(get(at(proxy.address, "/"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(client.endpoint().metrics().dialled.get(), 1);
}

/// In the middle of an answer: nothing of it is lost, comes twice or out of order.
#[tokio::test]
async fn an_answer_goes_on_while_the_client_moves() {
    const CHUNKS: u32 = 400;
    let server = serve(|_| async {
        let chunks = futures_util::stream::iter(0..CHUNKS).then(|number| async move {
            // So that there is a middle.
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, std::io::Error>(Frame::data(Bytes::from(format!("{number:04} {}\n", "x".repeat(1000)))))
        });
        Ok(streamed(StreamBody::new(chunks)))
    });
    let proxy = Proxy::to(server.address).await;
    let client = server.client();
    let mut body = client.send(get(at(proxy.address, "/"))).await.unwrap().into_body();
    let (mut text, mut moves) = (Vec::new(), 0);
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap() {
        text.extend_from_slice(&frame.unwrap().into_data().unwrap());
        // A NAT that forgets it, and a machine that changes its address, by turns.
        if text.len() / 100_000 > moves {
            moves += 1;
            if moves % 2 == 1 { proxy.rename() } else { client.endpoint().rebind(LOOPBACK).unwrap() }
        }
    }
    let expected: String = (0..CHUNKS).map(|number| format!("{number:04} {}\n", "x".repeat(1000))).collect();
    assert!(text == expected.as_bytes(), "{} bytes of {}", text.len(), expected.len());
    assert!(moves >= 3, "{moves}");
    assert_eq!(client.endpoint().metrics().dialled.get(), 1);
}

#[tokio::test]
async fn keep_alive_keeps_a_silent_watch_and_a_vanished_server_ends_it() {
    let server = serve_within(
        |_| async {
            let body = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"{}\n"))) })
                .chain(futures_util::stream::pending::<Result<_, std::io::Error>>());
            Ok(streamed(StreamBody::new(body)))
        },
        hasty(),
        Limits::default(),
        HttpLimits::default(),
    );
    let proxy = Proxy::to(server.address).await;
    let client = Client::new(server.client_endpoint().settings(hasty()).bind().unwrap());
    let mut watch = client.send(get(at(proxy.address, "/watch"))).await.unwrap().into_body();
    watch.frame().await.unwrap().unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(4500), watch.frame()).await;
    assert!(quiet.is_err(), "it outlives the idle timeout: {quiet:?}");
    proxy.vanish();
    let begun = Instant::now();
    let error = watch.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, BodyError::Closed(Closed::TimedOut)), "{error:?}");
    // By the idle timeout, which begins with what was heard last, and no other.
    assert!(begun.elapsed() < PATIENCE);
    // The server has let go as well.
    let over = tokio::time::timeout(PATIENCE, server.over.acquire()).await;
    over.unwrap().unwrap().forget();
    assert_eq!(server.router.endpoint().metrics().requests_active.get(), 0);
}

#[tokio::test]
async fn a_server_that_was_killed_says_so_when_it_is_back() {
    let start = || {
        let endpoint =
            Endpoint::server(Identity::from_seed(&[9; 32]).unwrap()).address(LOOPBACK).bind().unwrap();
        let http3 = stoq::http3::Http3::new(service(|_| async { Ok(text(StatusCode::OK, "here")) }));
        Router::builder(endpoint).accept(stoq::http3::ALPN, http3).spawn().unwrap()
    };
    let address = |router: &Router| router.endpoint().local_addr().unwrap();
    let (before, after) = (start(), start());
    let proxy = Proxy::to(address(&before)).await;
    let key = before.endpoint().public_key().unwrap();
    let client = Client::new(Endpoint::client(Trust::key(key)).address(LOOPBACK).bind().unwrap());
    client.send(get(at(proxy.address, "/"))).await.unwrap();
    // What comes now knows nothing of the connection. What may have been processed is told.
    proxy.lead_to(address(&after));
    let error = client.send(post(at(proxy.address, "/"), "write")).await.unwrap_err();
    assert!(matches!(error, RequestError::Closed(Closed::Reset)), "{error:?}");
    // What is safe is sent again.
    client.send(get(at(proxy.address, "/"))).await.unwrap();
    proxy.lead_to(address(&before));
    let answer = client.send(get(at(proxy.address, "/"))).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "here");
    assert_eq!(client.endpoint().metrics().sent_again.get(), 1);
    // A write is not, though it has no body.
    proxy.lead_to(address(&after));
    let delete =
        http::Request::delete(at(proxy.address, "/")).body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let error = client.send(delete).await.unwrap_err();
    assert!(matches!(error, RequestError::Closed(Closed::Reset)), "{error:?}");
    assert_eq!(client.endpoint().metrics().sent_again.get(), 1);
}

#[tokio::test]
async fn a_name_with_several_addresses_is_reached_at_the_one_that_answers() {
    let server = serve(|_| async { Ok(text(StatusCode::OK, "here")) });
    let silent = tokio::net::UdpSocket::bind(LOOPBACK).await.unwrap();
    let addresses = vec![silent.local_addr().unwrap(), server.address];
    // The certificate's name is of no matter with a pinned key.
    // The silent one is not waited for to its end.
    let patient = Settings { handshake_timeout: PATIENCE, ..Settings::default() };
    let client = Client::builder(server.client_endpoint().settings(patient.clone()).bind().unwrap())
        .resolver(move |host, _| {
            let addresses = addresses.clone();
            async move {
                assert_eq!(host, "api.example");
                Ok(addresses)
            }
        })
        .build();
    let begun = Instant::now();
    let answer = client.send(get("https://api.example/".parse().unwrap())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(begun.elapsed() < patient.handshake_timeout, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn streams_and_datagrams_of_other_protocols() {
    async fn echo(connection: Connection, mut closing: Closing) -> Result<(), stoq::ProtocolError> {
        loop {
            tokio::select! {
                stream = connection.accept_bi() => {
                    let (mut send, mut recv) = stream?;
                    let bytes = recv.read_to_end(1 << 20).await?;
                    send.write_all(&bytes).await?;
                    send.finish()?;
                }
                datagram = connection.read_datagram() => connection.send_datagram(datagram?).await?,
                () = closing.wait() => return Ok(()),
            }
        }
    }
    let identity = Identity::generate().unwrap();
    let key = identity.public_key().unwrap();
    let endpoint = Endpoint::server(identity).address(LOOPBACK).bind().unwrap();
    let target = Target::named("echo", [endpoint.local_addr().unwrap()]);
    let router = Router::builder(endpoint).accept("echo/1", echo).spawn().unwrap();
    let client = Endpoint::client(Trust::key(key)).address(LOOPBACK).bind().unwrap();
    let connection = client.connect(&target, b"echo/1").await.unwrap();
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[5; 100_000]).await.unwrap();
    send.finish().unwrap();
    assert_eq!(recv.read_to_end(1 << 20).await.unwrap(), vec![5; 100_000]);
    connection.send_datagram(Bytes::from_static(b"ping")).await.unwrap();
    assert_eq!(connection.read_datagram().await.unwrap(), "ping");
    let long = Bytes::from(vec![0; 70_000]);
    assert!(matches!(connection.send_datagram(long).await, Err(stoq::DatagramError::TooLarge { .. })));
    assert!(router.shutdown(Duration::from_secs(5)).await);
    assert_eq!(connection.closed().await, Closed::ByPeer { code: 0x100, reason: String::new() });
}

#[cfg(feature = "qlog")]
#[tokio::test]
async fn qlog_files_are_written_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(|_| async { Ok(text(StatusCode::OK, "")) });
    let endpoint = server.client_endpoint().qlog(folder.path().join("q")).bind().unwrap();
    let client = Client::new(endpoint.clone());
    client.send(get(server.uri("/"))).await.unwrap();
    drop(client);
    endpoint.close(0, "").await;
    drop(endpoint);
    let file = std::fs::read_dir(folder.path().join("q")).unwrap().next().unwrap().unwrap().path();
    assert!(file.to_str().unwrap().ends_with("-client.sqlog"), "{file:?}");
    // What is buffered is written when the connection's last task, which runs on this thread, is gone.
    while !std::fs::read_to_string(&file).unwrap().contains("transport:packet_sent") {
        tokio::task::yield_now().await;
    }
}
