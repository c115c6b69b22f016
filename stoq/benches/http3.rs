//! What a small request costs the server, and how soon a first request is answered at 50 ms of round trip.
//!
//! The server is a process of its own, so that its CPU time can be read; the network of the second part is a relay in
//! this process, which holds back each datagram, and each piece of a TCP stream, for half a round trip. TCP's own
//! handshake with the relay takes no time, so what the client sends first is held back for one round trip more.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use rustls::pki_types::ServerName;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stoq::http3::{ALPN, Body, Client, EarlyData, Http3};
use stoq::{Endpoint, Identity, Router, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Failure = Box<dyn Error + Send + Sync>;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const SEED: [u8; 32] = [42; 32];
const STREAMS: usize = 64;
const WARM: usize = 20_000;
const REQUESTS: usize = 200_000;
const HALF_ROUND_TRIP: Duration = Duration::from_millis(25);
const TRIES: usize = 21;
/// What a small object is.
const ANSWER: &[u8] = &[b'x'; 512];

fn main() -> Result<(), Failure> {
    let serve = std::env::args().any(|argument| argument == "serve");
    let workers = if serve { 1 } else { 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    if serve {
        return runtime.block_on(serve_until_told());
    }
    runtime.block_on(async {
        cost_of_a_request().await?;
        first_request().await
    })
}

async fn answer(_: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
}

fn server() -> Result<Router, Failure> {
    let endpoint = Endpoint::server(Identity::from_seed(&SEED)?).address(LOOPBACK).bind()?;
    Ok(Router::builder(endpoint).accept(ALPN, Http3::new(tower::service_fn(answer))).spawn()?)
}

fn client(idle: Duration) -> Result<Client, Failure> {
    let key = Identity::from_seed(&SEED)?.public_key().ok_or("no key")?;
    Ok(Client::builder(Endpoint::client(Trust::key(key)).address(LOOPBACK).bind()?).idle(idle).build())
}

/// The child: tells its port, and ends with its standard input.
async fn serve_until_told() -> Result<(), Failure> {
    let router = server()?;
    println!("{}", router.endpoint().local_addr()?);
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn cost_of_a_request() -> Result<(), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut address)?;
    let uri = format!("https://{}/", address.trim());
    let client = client(Duration::from_secs(60))?;
    load(&client, &uri, WARM).await?;
    let (before, begun) = (cpu(child.id())?, Instant::now());
    load(&client, &uri, REQUESTS).await?;
    let (used, took) = (cpu(child.id())? - before, begun.elapsed());
    drop(child.stdin.take());
    child.wait()?;
    println!(
        "{REQUESTS} small requests, {STREAMS} at a time on one connection: {:.1} us CPU of the server each, {:.0} requests/s",
        used.as_secs_f64() * 1e6 / REQUESTS as f64,
        REQUESTS as f64 / took.as_secs_f64(),
    );
    Ok(())
}

async fn load(client: &Client, uri: &str, requests: usize) -> Result<(), Failure> {
    let tasks: Vec<_> = (0..STREAMS)
        .map(|_| {
            let (client, uri) = (client.clone(), uri.to_owned());
            tokio::spawn(async move {
                for _ in 0..requests / STREAMS {
                    ask(&client, &uri, false).await?;
                }
                Ok::<_, Failure>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn ask(client: &Client, uri: &str, early: bool) -> Result<(), Failure> {
    let mut request = Request::get(uri).body(Empty::<Bytes>::new())?;
    if early {
        request.extensions_mut().insert(EarlyData);
    }
    let body = client.send(request).await?.into_body().collect().await?.to_bytes();
    if body != ANSWER { Err("another answer".into()) } else { Ok(()) }
}

/// User and system time of a process.
fn cpu(process: u32) -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // USER_HZ is 100 on every architecture that Linux runs on here.
    Ok(Duration::from_millis(ticks * 10))
}

async fn first_request() -> Result<(), Failure> {
    let tcp = tcp_first_requests().await?;
    let router = server()?;
    let relay = udp_relay(router.endpoint().local_addr()?).await?;
    let uri = format!("https://{relay}/");
    let resumed = quic_first_requests(&uri, false).await?;
    let early = quic_first_requests(&uri, true).await?;
    let sooner = |time: Duration| 100.0 * (1.0 - time.as_secs_f64() / tcp.as_secs_f64());
    println!(
        "first request, with the server in the same process, at {:?} of round trip, median of {TRIES}:",
        HALF_ROUND_TRIP * 2
    );
    println!("  TCP and resumed TLS 1.3, HTTP/1.1: {tcp:.1?}");
    println!("  resumed QUIC, HTTP/3:              {resumed:.1?}, {:.1} % sooner", sooner(resumed));
    println!("  the same in early data:            {early:.1?}, {:.1} % sooner", sooner(early));
    Ok(())
}

async fn quic_first_requests(uri: &str, early: bool) -> Result<Duration, Failure> {
    let client = client(Duration::from_millis(300))?;
    let gone = async || {
        while client.endpoint().metrics().connections.get() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    ask(&client, uri, false).await?;
    let mut times = Vec::new();
    for _ in 0..TRIES {
        gone().await;
        let begun = Instant::now();
        ask(&client, uri, early).await?;
        times.push(begun.elapsed());
    }
    let metrics = client.endpoint().metrics();
    let (sent_early, again) = (metrics.sent_early.get(), metrics.sent_again.get());
    if early && (sent_early, again) != (TRIES as u64, 0) {
        return Err(format!("{sent_early} requests went early, of which {again} were sent again").into());
    }
    Ok(median(times))
}

async fn tcp_first_requests() -> Result<Duration, Failure> {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(stoq::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key.into())?;
    let listener = TcpListener::bind(LOOPBACK).await?;
    let address = listener.local_addr()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let mut stream = acceptor.accept(stream).await?;
                let mut head = [0; 1024];
                let _: usize = stream.read(&mut head).await?;
                let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 512\r\n\r\n".to_vec();
                answer.extend_from_slice(ANSWER);
                stream.write_all(&answer).await?;
                stream.flush().await?;
                stream.read(&mut head).await
            });
        }
    });
    let relay = tcp_relay(address).await?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone())?;
    let config = rustls::ClientConfig::builder_with_provider(stoq::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let mut times = Vec::new();
    for tried in 0..=TRIES {
        let begun = Instant::now();
        let stream = TcpStream::connect(relay).await?;
        stream.set_nodelay(true)?;
        let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(ANSWER) {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).await?;
            answer.extend_from_slice(&piece[..length]);
        }
        let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        // The first has nothing to resume.
        if tried > 0 {
            if !resumed {
                return Err("TLS did not resume".into());
            }
            times.push(begun.elapsed());
        }
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Holds back what passes for half a round trip.
async fn tcp_relay(to: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(LOOPBACK).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            tokio::spawn(hold_back(near_read, far_write, HALF_ROUND_TRIP * 2));
            tokio::spawn(hold_back(far_read, near_write, Duration::ZERO));
        }
    });
    Ok(address)
}

/// `further`: what the connection's own handshake takes, for what is sent first and all that follows until then.
async fn hold_back(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    further: Duration,
) {
    let open = Instant::now() + further;
    let (sender, mut held) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, piece)) = held.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut piece = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let due = Instant::now().max(open) + HALF_ROUND_TRIP;
        if sender.send((due, piece[..length].to_vec())).is_err() {
            return;
        }
    }
}

async fn udp_relay(to: SocketAddr) -> Result<SocketAddr, Failure> {
    let near = Arc::new(UdpSocket::bind(LOOPBACK).await?);
    let address = near.local_addr()?;
    tokio::spawn(async move {
        let mut ways: HashMap<SocketAddr, Held> = HashMap::new();
        let mut datagram = vec![0; 65_536];
        loop {
            let Ok((length, from)) = near.recv_from(&mut datagram).await else { continue };
            let way = match ways.entry(from) {
                Entry::Occupied(way) => way.into_mut(),
                Entry::Vacant(place) => {
                    let Ok(way) = UdpSocket::bind(LOOPBACK).await else { continue };
                    let way = Arc::new(way);
                    let back = held(Arc::clone(&near), from);
                    let place = place.insert(held(Arc::clone(&way), to));
                    tokio::spawn(async move {
                        let mut datagram = vec![0; 65_536];
                        while let Ok((length, _)) = way.recv_from(&mut datagram).await {
                            let _ =
                                back.send((Instant::now() + HALF_ROUND_TRIP, datagram[..length].to_vec()));
                        }
                    });
                    place
                }
            };
            let _ = way.send((Instant::now() + HALF_ROUND_TRIP, datagram[..length].to_vec()));
        }
    });
    Ok(address)
}

type Held = tokio::sync::mpsc::UnboundedSender<(Instant, Vec<u8>)>;

/// Sends each datagram when it is due, in the order in which they came: a network that reorders is another measurement.
fn held(socket: Arc<UdpSocket>, to: SocketAddr) -> Held {
    let (sender, mut held) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, datagram)) = held.recv().await {
            tokio::time::sleep_until(due.into()).await;
            let _ = socket.send_to(&datagram, to).await;
        }
    });
    sender
}
