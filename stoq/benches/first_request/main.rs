//! How soon a first request is answered at 50 ms of round trip: over TCP and TLS 1.3, and over QUIC.
//!
//! Server and client are threads in network namespaces of their own, between which packets take 25 ms.

mod network;
mod tcp;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use stoq::http3::{ALPN, Body, Client, EarlyData, Http3};
use stoq::{Endpoint, Identity, Router, Trust};

type Failure = Box<dyn Error + Send + Sync>;

const HALF_ROUND_TRIP: Duration = Duration::from_millis(25);
const TRIES: usize = 21;
const AT: SocketAddr = SocketAddr::new(network::SERVER, 443);
/// What a small object is.
const ANSWER: &[u8] = &[b'x'; 512];

/// What the server shows, on either side.
#[derive(Clone)]
struct Shown {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn main() -> Result<(), Failure> {
    let pair = rcgen::generate_simple_self_signed(vec![AT.ip().to_string()])?;
    let shown = Shown { certificate: pair.cert.der().clone(), key: pair.signing_key.serialize_der() };
    let theirs = shown.clone();
    let apart = network::apart(HALF_ROUND_TRIP, move || async move {
        let key = PrivatePkcs8KeyDer::from(theirs.key);
        tcp::serve(AT, theirs.certificate.clone(), key.clone_key()).await?;
        serve(Identity::issued(vec![theirs.certificate], key.into())?)
    });
    println!("first request at {:?} of round trip, median of {TRIES}:", HALF_ROUND_TRIP * 2);
    if let Err(error) = apart {
        println!("  left out: two network namespaces cannot be made here: {error}");
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&shown.certificate))
}

fn serve(identity: Identity) -> Result<Router, Failure> {
    async fn answer(_: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
    }
    let endpoint = Endpoint::server(identity).address(AT).bind()?;
    Ok(Router::builder(endpoint).accept(ALPN, Http3::new(tower::service_fn(answer))).spawn()?)
}

async fn measure(certificate: &CertificateDer<'static>) -> Result<(), Failure> {
    let (connect, full) = over_tcp(certificate, false).await?;
    println!("  TCP's handshake alone, which is one round trip:  {connect:>7.1?}");
    let (_, resumed) = over_tcp(certificate, true).await?;
    let told = |what: &str, took: Duration, peer: Duration| {
        let sooner = 100.0 * (1.0 - took.as_secs_f64() / peer.as_secs_f64());
        println!("  {what:<48} {took:>7.1?}, {sooner:.1} % sooner than {peer:.1?}");
    };
    println!("  {:<48} {full:>7.1?}", "TCP, TLS 1.3, HTTP/1.1");
    println!("  {:<48} {resumed:>7.1?}", "TCP, resumed TLS 1.3, HTTP/1.1");
    told("QUIC, HTTP/3", over_quic(certificate, Kind::Full).await?, full);
    told("resumed QUIC, HTTP/3", over_quic(certificate, Kind::Resumed).await?, resumed);
    told("resumed QUIC, HTTP/3, in early data", over_quic(certificate, Kind::Early).await?, resumed);
    Ok(())
}

/// The medians of TCP's handshake and of the whole.
async fn over_tcp(
    certificate: &CertificateDer<'static>,
    resumes: bool,
) -> Result<(Duration, Duration), Failure> {
    let client = tcp::Client::new(certificate.clone(), resumes)?;
    let (mut connects, mut times) = (Vec::new(), Vec::new());
    client.ask(AT, true).await?;
    for _ in 0..TRIES {
        let (connect, took) = client.ask(AT, false).await?;
        connects.push(connect);
        times.push(took);
    }
    Ok((median(connects), median(times)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Resumed,
    Early,
}

async fn over_quic(certificate: &CertificateDer<'static>, kind: Kind) -> Result<Duration, Failure> {
    let client = || -> Result<Client, Failure> {
        let trust = Trust::authorities([certificate.clone()])?;
        let endpoint = Endpoint::client(trust).address(SocketAddr::new(network::CLIENT, 0)).bind()?;
        Ok(Client::builder(endpoint).idle(Duration::from_millis(300)).build())
    };
    let mut one = client()?;
    ask(&one, false).await?;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        if kind == Kind::Full {
            one = client()?;
        }
        gone(&one).await;
        let begun = Instant::now();
        ask(&one, kind == Kind::Early).await?;
        times.push(begun.elapsed());
    }
    let metrics = one.endpoint().metrics();
    let (early, again) = (metrics.sent_early.get(), metrics.sent_again.get());
    if kind == Kind::Early && (early, again) != (TRIES as u64, 0) {
        return Err(format!("{early} requests went early, of which {again} were sent again").into());
    }
    Ok(median(times))
}

async fn ask(client: &Client, early: bool) -> Result<(), Failure> {
    let mut request = Request::get(format!("https://{AT}/")).body(Empty::<Bytes>::new())?;
    if early {
        request.extensions_mut().insert(EarlyData);
    }
    let body = client.send(request).await?.into_body().collect().await?.to_bytes();
    if body != ANSWER { Err("another answer".into()) } else { Ok(()) }
}

/// Waits until the next request has to dial.
async fn gone(client: &Client) {
    while client.endpoint().metrics().connections.get() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
