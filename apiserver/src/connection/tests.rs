//! Connections end in time, whoever says nothing on them; clocks are paused.

use super::*;
use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// A connection whose requests are answered with `ok`, and how long it lasts.
fn connected(
    multiplexed: bool,
    closing: watch::Receiver<bool>,
) -> (DuplexStream, tokio::task::JoinHandle<Duration>) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let driven = tokio::spawn(async move {
        let begun = Instant::now();
        let activity = Activity::new();
        let bounds = io::Bounds { head: (!multiplexed).then_some(PATIENCE), stall: Duration::from_secs(60) };
        let stream = TokioIo::new(io::Watched::new(server, Arc::clone(&activity), bounds));
        let streams = Streams { bound: Duration::from_secs(60), metrics: Arc::new(Metrics::default()) };
        let builder = builder(multiplexed, streams);
        let requests = Arc::clone(&activity);
        let service = service_fn(move |_: http::Request<Incoming>| {
            let mut progress = requests.begin();
            progress.finish();
            async move {
                let _progress = progress;
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"ok"))))
            }
        });
        let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(stream, service));
        let ended = until_closed(connection.as_mut(), &activity, closing).await;
        assert!(matches!(ended, Ended::Itself(_)));
        begun.elapsed()
    });
    (client, driven)
}

async fn request(client: &mut DuplexStream) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut reply = [0; 1024];
    let length = client.read(&mut reply).await.unwrap();
    assert!(reply[..length].ends_with(b"ok"), "{:?}", String::from_utf8_lossy(&reply[..length]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_ends_soon_on_both_protocols() {
    for multiplexed in [false, true] {
        let (_closing, closed) = watch::channel(false);
        let (_client, driven) = connected(multiplexed, closed);
        let lasted = driven.await.unwrap();
        assert!(lasted >= UNUSED && lasted <= UNUSED + PATIENCE, "{multiplexed}: {lasted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_between_requests_longer_than_clients_keep_it() {
    let (_closing, closed) = watch::channel(false);
    let (mut client, driven) = connected(false, closed);
    for _ in 0..5 {
        request(&mut client).await;
        tokio::time::sleep(Duration::from_secs(90)).await;
    }
    let lasted = driven.await.unwrap();
    assert!(lasted >= Duration::from_secs(4 * 90) + IDLE, "{lasted:?}");
    assert!(lasted <= Duration::from_secs(4 * 90) + IDLE + PATIENCE, "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn half_a_head_ends_a_connection_however_good_it_was() {
    let (_closing, closed) = watch::channel(false);
    let (mut client, driven) = connected(false, closed);
    request(&mut client).await;
    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(driven.await.unwrap(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_at_once_when_the_server_closes() {
    let (closing, closed) = watch::channel(false);
    let (mut client, driven) = connected(false, closed);
    request(&mut client).await;
    closing.send_replace(true);
    assert!(driven.await.unwrap() < Duration::from_secs(1));
}
