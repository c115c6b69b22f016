//! Requests and answers of every shape, over loopback.

use crate::pair::*;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::sync::Arc;
use std::time::Duration;
use stoq::http3::{BodyError, Caller, HttpLimits, RequestError};
use stoq::{Limits, Settings};
use tokio::sync::{Notify, mpsc};

type Sent = Result<Frame<Bytes>, std::io::Error>;

/// A body that is what is sent.
fn channel() -> (mpsc::Sender<Sent>, StreamBody<BoxStream<'static, Sent>>) {
    let (sender, receiver) = mpsc::channel(1);
    let stream = futures_util::stream::unfold(receiver, |mut receiver: mpsc::Receiver<Sent>| async {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    (sender, StreamBody::new(stream.boxed()))
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let server = serve(|request| async move {
        assert_eq!(request.version(), http::Version::HTTP_3);
        assert!(http_body::Body::is_end_stream(request.body()), "a GET has no body");
        Ok(text(StatusCode::OK, request.uri().path().to_owned()))
    });
    let client = server.client();
    let asked = (0..200).map(|n| {
        let (client, uri) = (client.clone(), server.uri(&format!("/{n}")));
        async move {
            let answer = client.send(get(uri)).await.unwrap();
            assert!(answer.headers().contains_key("date"));
            (n, read(answer.into_body()).await)
        }
    });
    for (n, body) in futures_util::future::join_all(asked).await {
        assert_eq!(body, format!("/{n}"));
    }
    let metrics = server.router.endpoint().metrics();
    assert_eq!((metrics.accepted.get(), metrics.requests.get()), (1, 200));
    assert_eq!(client.endpoint().metrics().dialled.get(), 1);
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once_with_trailers() {
    let server = serve(|request| async move {
        // Each frame comes back as it is, trailers too.
        Ok(streamed(request.into_body()))
    });
    let (sender, body) = channel();
    let request = Request::builder().method(Method::PUT).uri(server.uri("/echo")).body(body).unwrap();
    let client = server.client();
    let answer = tokio::spawn(async move { client.send(request).await.unwrap() });
    sender.send(Ok(Frame::data(Bytes::from_static(b"one")))).await.unwrap();
    let mut body = answer.await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    for n in 0..50u32 {
        let long = Bytes::from(vec![n as u8; 40_000]);
        sender.send(Ok(Frame::data(long.clone()))).await.unwrap();
        let mut back = Vec::new();
        while back.len() < long.len() {
            back.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(back, long);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("checked", "yes".parse().unwrap());
    sender.send(Ok(Frame::trailers(trailers.clone()))).await.unwrap();
    drop(sender);
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_slow_reader_slows_the_sender() {
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let server = serve(move |_| {
        let counted = Arc::clone(&counted);
        async move {
            let endless = futures_util::stream::repeat_with(move || {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![0; 64 << 10])))
            });
            Ok(streamed(StreamBody::new(endless)))
        }
    });
    let answer = server.client().send(get(server.uri("/"))).await.unwrap();
    let mut before = usize::MAX;
    // Until it stands still.
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = sent.load(std::sync::atomic::Ordering::SeqCst);
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before * (64 << 10) < 4 << 20, "{before} chunks were made that nobody read");
    drop(answer);
}

#[tokio::test]
async fn dropping_an_answer_cancels_the_service() {
    struct Told(Arc<Notify>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let gone = Arc::new(Notify::new());
    let (gone2, began) = (Arc::clone(&gone), Arc::new(Notify::new()));
    let began2 = Arc::clone(&began);
    let server = serve(move |request| {
        let (told, began) = (Told(Arc::clone(&gone2)), Arc::clone(&began2));
        async move {
            if request.uri().path() == "/silent" {
                began.notify_one();
                let _told = told;
                return std::future::pending().await;
            }
            let body = futures_util::stream::once(async { Ok(Frame::data(Bytes::from_static(b"{}\n"))) })
                .chain(futures_util::stream::pending())
                .map(move |frame: Result<_, std::io::Error>| {
                    let _ = &told;
                    frame
                });
            Ok(streamed(StreamBody::new(body)))
        }
    });
    let client = server.client();
    // A watch that has begun.
    let mut answer = client.send(get(server.uri("/watch"))).await.unwrap();
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "{}\n");
    drop(answer);
    tokio::time::timeout(PATIENCE, gone.notified()).await.unwrap();
    // A request without an answer yet.
    let asking = tokio::spawn(async move { client.send(get(server.uri("/silent"))).await });
    began.notified().await;
    asking.abort();
    tokio::time::timeout(PATIENCE, gone.notified()).await.unwrap();
}

#[tokio::test]
async fn shutdown_ends_requests_in_progress_and_begins_none() {
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began2, go2) = (Arc::clone(&began), Arc::clone(&go));
    let server = serve(move |request| {
        let (began, go) = (Arc::clone(&began2), Arc::clone(&go2));
        async move {
            if request.uri().path() == "/slow" {
                began.notify_one();
                go.notified().await;
            }
            Ok(text(StatusCode::OK, vec![7; 300_000]))
        }
    });
    let client = server.client();
    let slow = {
        let (client, uri) = (client.clone(), server.uri("/slow"));
        tokio::spawn(async move { read(client.send(get(uri)).await.unwrap().into_body()).await })
    };
    began.notified().await;
    let uri = server.uri("/next");
    let shutdown = tokio::spawn(server.router.shutdown(Duration::from_secs(10)));
    // The client learns of the end; then a new request finds nobody, and the one in progress is undisturbed.
    let error = loop {
        match tokio::time::timeout(PATIENCE, client.send(get(uri.clone()))).await.unwrap() {
            Ok(answer) => drop(answer),
            Err(error) => break error,
        }
    };
    assert!(error.is_unprocessed(), "{}", told(&error));
    go.notify_one();
    assert_eq!(slow.await.unwrap().len(), 300_000);
    assert!(shutdown.await.unwrap(), "nothing had to be cut");
}

#[tokio::test]
async fn a_failing_service_and_a_failing_body_reset_the_stream() {
    let server = serve(|request| async move {
        if request.uri().path() == "/service" {
            return Err("no".into());
        }
        let broken = futures_util::stream::iter([
            Ok(Frame::data(Bytes::from_static(b"half"))),
            Err(std::io::Error::other("the disk is gone")),
        ]);
        Ok(streamed(StreamBody::new(broken)))
    });
    let client = server.client();
    let error = client.send(get(server.uri("/service"))).await.unwrap_err();
    assert!(matches!(error, RequestError::Reset { code: 0x102 }), "{error:?}");
    assert_eq!(error.to_string(), "the server gave the request up (H3_INTERNAL_ERROR)");
    let error = match client.send(get(server.uri("/body"))).await {
        Ok(answer) => answer.into_body().collect().await.map(|_| ()).unwrap_err(),
        Err(RequestError::Reset { code }) => BodyError::Reset { code },
        Err(other) => panic!("{other}"),
    };
    assert!(matches!(error, BodyError::Reset { code: 0x102 }), "{error:?}");
    // The connection goes on.
    assert_eq!(client.endpoint().metrics().dialled.get(), 1);
}

#[tokio::test]
async fn limits_are_answered_precisely() {
    let http = HttpLimits { field_bytes: 4096, body_bytes: Some(1000), ..HttpLimits::default() };
    let server = serve_within(
        |request| async move {
            match request.into_body().collect().await {
                Ok(body) => Ok(text(StatusCode::OK, body.to_bytes())),
                Err(error) => Ok(text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string())),
            }
        },
        Settings::default(),
        Limits::default(),
        http,
    );
    let client = server.client();
    // Announced.
    let answer = client.send(post(server.uri("/"), vec![0; 1001])).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Not announced.
    let (sender, body) = channel();
    let request = Request::post(server.uri("/")).body(body).unwrap();
    let answer = tokio::spawn({
        let client = client.clone();
        async move { client.send(request).await.unwrap() }
    });
    for _ in 0..2 {
        let _ = sender.send(Ok(Frame::data(Bytes::from(vec![0; 600])))).await;
    }
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(read(answer.into_body()).await, "the body is longer than the 1000 bytes that are taken");
    // The client knows the server's limit from its settings and does not send what is refused anyway.
    let request = |bytes: usize| {
        let mut request = get(server.uri("/"));
        request.headers_mut().insert("x-long", "a".repeat(bytes).parse().unwrap());
        request
    };
    assert_eq!(client.send(request(3000)).await.unwrap().status(), StatusCode::OK);
    let error = client.send(request(5000)).await.unwrap_err();
    assert!(matches!(error, RequestError::FieldsTooLarge { most: 4096, .. }), "{error:?}");
}

#[tokio::test]
async fn what_speaks_of_connections_does_not_cross() {
    let server = serve(|request| async move {
        assert!(!request.headers().contains_key("connection"));
        assert!(!request.headers().contains_key("host"));
        let mut answer = text(StatusCode::OK, "");
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer.headers_mut().insert("transfer-encoding", "chunked".parse().unwrap());
        Ok(answer)
    });
    let mut request = get(server.uri("/"));
    request.headers_mut().insert("connection", "keep-alive".parse().unwrap());
    request.headers_mut().insert("host", "elsewhere".parse().unwrap());
    let answer = server.client().send(request).await.unwrap();
    assert!(!answer.headers().contains_key("connection"));
    assert!(!answer.headers().contains_key("transfer-encoding"));
}

#[tokio::test]
async fn head_and_empty_answers_have_no_content() {
    let server = serve(|request| async move {
        Ok(match request.uri().path() {
            "/none" => text(StatusCode::NO_CONTENT, "ignored"),
            _ => text(StatusCode::OK, "twelve bytes"),
        })
    });
    let client = server.client();
    let head = Request::head(server.uri("/")).body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let answer = client.send(head).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "12");
    assert_eq!(read(answer.into_body()).await, "");
    let answer = client.send(get(server.uri("/none"))).await.unwrap();
    assert!(!answer.headers().contains_key("content-length"));
    assert_eq!(read(answer.into_body()).await, "");
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_given_up() {
    let server = serve(|_| std::future::pending());
    let client = stoq::http3::Client::builder(server.client_endpoint().bind().unwrap())
        .answer_patience(Some(Duration::from_millis(200)))
        .build();
    let error = client.send(get(server.uri("/"))).await.unwrap_err();
    assert!(matches!(error, RequestError::Timeout { .. }), "{error:?}");
    assert!(!error.is_unprocessed());
}

#[tokio::test]
async fn a_service_knows_its_caller() {
    use stoq::{ClientAuth, Endpoint, Identity, Trust};
    let (server_id, client_id) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let (server_key, client_key) = (server_id.public_key().unwrap(), client_id.public_key().unwrap());
    let endpoint = Endpoint::server(server_id)
        .clients(ClientAuth::Optional(Trust::key(client_key)))
        .address(LOOPBACK)
        .bind()
        .unwrap();
    let uri = at(endpoint.local_addr().unwrap(), "/");
    let answer = |request: Request<stoq::http3::Body>| async move {
        let caller = request.extensions().get::<Caller>().unwrap();
        let key = caller.peer.key.map_or_else(|| "nobody".to_owned(), |key| key.to_string());
        Ok(text(StatusCode::OK, key))
    };
    let http3 = stoq::http3::Http3::new(service(answer));
    let _router = stoq::Router::builder(endpoint).accept(stoq::http3::ALPN, http3).spawn().unwrap();
    let known =
        Endpoint::client(Trust::key(server_key)).identity(client_id).address(LOOPBACK).bind().unwrap();
    let answer = stoq::http3::Client::new(known).send(get(uri.clone())).await.unwrap();
    assert_eq!(read(answer.into_body()).await, client_key.to_string());
    let unknown = Endpoint::client(Trust::key(server_key)).address(LOOPBACK).bind().unwrap();
    let answer = stoq::http3::Client::new(unknown).send(get(uri.clone())).await.unwrap();
    assert_eq!(read(answer.into_body()).await, "nobody");
    // One who shows a wrong key is not served as nobody.
    let wrong = Identity::generate().unwrap();
    let wrong = Endpoint::client(Trust::key(server_key)).identity(wrong).address(LOOPBACK).bind().unwrap();
    let error = stoq::http3::Client::new(wrong).send(get(uri)).await.unwrap_err();
    assert!(told(&error).contains("certificate"), "{}", told(&error));
}
