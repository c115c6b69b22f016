//! How soon the client, told nothing but where the server is, has its first reply on a connection that it has to dial
//! again, at 50 ms of round trip, beside TCP and resumed TLS 1.3.

#[path = "../../../stoq/benches/first_request/network.rs"]
mod network;
#[path = "../../../stoq/benches/first_request/tcp.rs"]
mod tcp;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hypermesh_client::{Body, Client, Config, Material, Server, Trust};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use stoq::http3::{ALPN, Http3, HttpLimits};
use stoq::{Endpoint, Identity, Metrics, Router};

type Failure = Box<dyn Error + Send + Sync>;

const HALF_ROUND_TRIP: Duration = Duration::from_millis(25);
const TRIES: usize = 21;
const AT: SocketAddr = SocketAddr::new(network::SERVER, 443);
/// What a small object is.
const ANSWER: &[u8] = &[b'x'; 512];

/// What the server counts over QUIC.
static SERVED: OnceLock<Arc<Metrics>> = OnceLock::new();

fn main() -> Result<(), Failure> {
    let pair = rcgen::generate_simple_self_signed(vec![AT.ip().to_string()])?;
    let (certificate, pem) = (pair.cert.der().clone(), pair.cert.pem());
    let (shown, key) = (certificate.clone(), pair.signing_key.serialize_der());
    let apart = network::apart(HALF_ROUND_TRIP, move || async move {
        let key = PrivatePkcs8KeyDer::from(key);
        tcp::serve(AT, shown.clone(), key.clone_key()).await?;
        serve(Identity::issued(vec![shown], key.into())?)
    });
    println!("first request of the client at {:?} of round trip, median of {TRIES}:", HALF_ROUND_TRIP * 2);
    if let Err(error) = apart {
        println!("  left out: two network namespaces cannot be made here: {error}");
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(certificate, pem))
}

fn serve(identity: Identity) -> Result<Router, Failure> {
    async fn answer(_: Request<stoq::http3::Body>) -> Result<Response<Full<Bytes>>, Infallible> {
        Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
    }
    let endpoint = Endpoint::server(identity).address(AT).bind()?;
    let _ = SERVED.set(Arc::clone(endpoint.metrics()));
    // Connections end soon, so that the next request has to dial.
    let limits = HttpLimits { idle: Duration::from_millis(300), ..HttpLimits::default() };
    Ok(Router::builder(endpoint)
        .accept(ALPN, Http3::new(tower::service_fn(answer)).limits(limits))
        .spawn()?)
}

async fn measure(certificate: CertificateDer<'static>, pem: String) -> Result<(), Failure> {
    let peer = tcp::Client::new(certificate, true)?;
    peer.ask(AT, true).await?;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        times.push(peer.ask(AT, false).await?.1);
    }
    let tcp = median(times);

    let mut config = Config::new(Server::parse(&format!("https://{AT}"))?);
    config.trust = Trust::Authorities(Material { pem: pem.into_bytes(), origin: "the bench".to_owned() });
    let client = Client::new(&config)?;
    ask(&client).await?;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let served = SERVED.get().ok_or("nothing is served")?;
        while served.connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What the server sent last is on its way.
        tokio::time::sleep(HALF_ROUND_TRIP * 4).await;
        let begun = Instant::now();
        ask(&client).await?;
        times.push(begun.elapsed());
    }
    let early = SERVED.get().map_or(0, |served| served.early_requests.get());
    if early != TRIES as u64 {
        return Err(format!("{early} requests of {TRIES} went early").into());
    }
    let took = median(times);
    let sooner = 100.0 * (1.0 - took.as_secs_f64() / tcp.as_secs_f64());
    println!("  TCP, resumed TLS 1.3, HTTP/1.1   {tcp:>7.1?}");
    println!("  the client, by itself            {took:>7.1?}, {sooner:.1} % sooner");
    Ok(())
}

async fn ask(client: &Client) -> Result<(), Failure> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/version");
    let body = client.send(request).await?.into_body().collect(1 << 20).await?;
    if body == ANSWER { Ok(()) } else { Err("another answer".into()) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
