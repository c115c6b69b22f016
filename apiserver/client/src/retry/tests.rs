//! What is sent again, and what is not.

use super::*;
use http::HeaderValue;
use std::collections::VecDeque;
use std::sync::Mutex;

/// What a server does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answers(u16),
    /// Answers so, and asks for another try after so many seconds.
    Asks(u16, u64),
    Breaks,
    Refuses,
    Hangs,
    Drops,
}

/// A request as it came: how long its reply may take, and the length of its body.
type Seen = (Option<Duration>, usize);

/// A server that does what it was told to, and notes what it got.
#[derive(Clone)]
struct Server {
    script: Arc<Mutex<VecDeque<Does>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Error> {
        let bound = request.extensions().get::<Bound>().map(|bound| bound.0);
        let length = request.into_body().collect(1 << 20).await.unwrap().len();
        self.seen.lock().unwrap().push((bound, length));
        let does = self.script.lock().unwrap().pop_front().unwrap_or(Does::Answers(200));
        let server = "https://a".to_owned();
        match does {
            Does::Answers(code) => Ok(reply(code, None)),
            Does::Asks(code, seconds) => Ok(reply(code, Some(seconds))),
            Does::Breaks => Err(Error::Broken { server, message: "reset".to_owned() }),
            Does::Drops => Err(Error::Connect { server, cause: ConnectError::Dropped }),
            Does::Refuses => {
                let cause = ConnectError::Tcp(std::io::ErrorKind::ConnectionRefused, String::new());
                Err(Error::Connect { server, cause })
            }
            Does::Hangs => {
                let after = bound.unwrap_or(Duration::from_secs(60));
                tokio::time::sleep(after).await;
                Err(Error::Timeout { server, after })
            }
        }
    }
}

fn reply(code: u16, asks: Option<u64>) -> Response<Body> {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::from_u16(code).unwrap();
    if let Some(seconds) = asks {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// Sends a request to a server with a script: the code or the error, and how often it was sent.
async fn sent(method: Method, signed: bool, body: Body, script: &[Does]) -> (Result<u16, Error>, usize) {
    let server = Server { script: Arc::new(Mutex::new(script.to_vec().into())), seen: Arc::default() };
    let told = server.clone();
    let below = tower::service_fn(move |request| told.clone().answer(request));
    let retry = Retry::over(below, Again::new("https://a", Arc::default()));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = "/api/v1/things?x=y".parse().unwrap();
    if signed {
        request.extensions_mut().insert(Repeatable { within: Duration::from_secs(50) });
    }
    let outcome = retry.send(request).await.map(|reply| reply.status().as_u16());
    let seen = server.seen.lock().unwrap();
    assert!(seen.iter().all(|(_, length)| *length == seen[0].1), "a repetition has the same body");
    (outcome, seen.len())
}

fn body() -> Body {
    Body::from("{}".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_signed_write_is_sent_until_its_fate_is_known() {
    let script = [Does::Breaks, Does::Refuses, Does::Answers(502), Does::Hangs, Does::Answers(201)];
    let (outcome, times) = sent(Method::POST, true, body(), &script).await;
    assert_eq!((outcome.unwrap(), times), (201, 5));
}

#[tokio::test(start_paused = true)]
async fn a_signed_write_that_was_never_sent_fails_at_once() {
    let (outcome, times) = sent(Method::POST, true, body(), &[Does::Refuses]).await;
    assert!(matches!(outcome, Err(Error::Connect { .. })));
    assert_eq!(times, 1);
}

#[tokio::test(start_paused = true)]
async fn a_signed_write_is_given_up_before_its_signature_ends() {
    let begun = Instant::now();
    let (outcome, times) = sent(Method::PUT, true, body(), &[Does::Hangs; 9]).await;
    assert!(begun.elapsed() < Duration::from_secs(52), "{:?}", begun.elapsed());
    assert_eq!(times, 3);
    insta::assert_snapshot!(outcome.unwrap_err(), @"it is not known whether PUT /api/v1/things was carried out: the same request was sent 3 times within 50 s and https://a gave no final answer; look at the object before you repeat it");
    let (outcome, times) = sent(Method::PUT, true, body(), &[Does::Drops; 9]).await;
    assert!(matches!(outcome, Err(Error::Unknown { tries: 3, .. })));
    assert_eq!(times, 3);
}

#[tokio::test(start_paused = true)]
async fn an_unsigned_write_is_sent_once() {
    for does in [Does::Breaks, Does::Hangs, Does::Drops] {
        let (outcome, times) = sent(Method::POST, false, body(), &[does]).await;
        assert!(matches!(outcome, Err(Error::Unknown { tries: 1, .. })), "{outcome:?}");
        assert_eq!(times, 1);
    }
    let (outcome, _) = sent(Method::POST, false, body(), &[Does::Breaks]).await;
    insta::assert_snapshot!(outcome.unwrap_err(), @"it is not known whether POST /api/v1/things was carried out: https://a gave no answer to it; look at the object before you repeat it");
    let (outcome, times) = sent(Method::POST, false, body(), &[Does::Answers(502)]).await;
    assert_eq!((outcome.unwrap(), times), (502, 1));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_sent_again_when_its_connection_breaks() {
    let (outcome, times) = sent(Method::GET, false, Body::empty(), &[Does::Breaks, Does::Breaks]).await;
    assert_eq!((outcome.unwrap(), times), (200, 3));
    let (outcome, times) = sent(Method::GET, false, Body::empty(), &[Does::Breaks; 3]).await;
    assert!(matches!(outcome, Err(Error::Broken { .. })));
    assert_eq!(times, 3);
    let (outcome, times) = sent(Method::GET, false, Body::empty(), &[Does::Hangs]).await;
    assert!(matches!(outcome, Err(Error::Timeout { .. })));
    assert_eq!(times, 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_to_wait_waits() {
    let begun = Instant::now();
    let (outcome, times) = sent(Method::POST, false, body(), &[Does::Asks(429, 3), Does::Asks(503, 2)]).await;
    assert_eq!((outcome.unwrap(), times), (200, 3));
    assert_eq!(begun.elapsed().as_secs(), 5);
    let (outcome, times) = sent(Method::POST, false, body(), &[Does::Asks(429, 1); 9]).await;
    assert_eq!((outcome.unwrap(), times), (429, 5));
    let (outcome, times) = sent(Method::POST, false, body(), &[Does::Asks(409, 1)]).await;
    assert_eq!((outcome.unwrap(), times), (409, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_never_sent_twice() {
    let stream = Body::stream(http_body_util::Full::new(bytes::Bytes::from_static(b"x")));
    let (outcome, times) = sent(Method::GET, false, stream, &[Does::Breaks]).await;
    assert!(outcome.is_err());
    assert_eq!(times, 1);
}
