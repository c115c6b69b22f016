//! What a small request costs the server, which is a process of its own, so that its CPU time can be read.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stoq::http3::{ALPN, Body, Client, Http3};
use stoq::{Endpoint, Identity, Router, Trust};

type Failure = Box<dyn Error + Send + Sync>;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const SEED: [u8; 32] = [42; 32];
const STREAMS: usize = 64;
const WARM: usize = 20_000;
const REQUESTS: usize = 200_000;
/// What a small object is.
const ANSWER: &[u8] = &[b'x'; 512];

fn main() -> Result<(), Failure> {
    let serve = std::env::args().any(|argument| argument == "serve");
    let workers = if serve { 1 } else { 2 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    if serve {
        return runtime.block_on(serve_until_told());
    }
    runtime.block_on(cost_of_a_request())
}

async fn answer(_: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(ANSWER))))
}

fn server() -> Result<Router, Failure> {
    let endpoint = Endpoint::server(Identity::from_seed(&SEED)?).address(LOOPBACK).bind()?;
    Ok(Router::builder(endpoint).accept(ALPN, Http3::new(tower::service_fn(answer))).spawn()?)
}

fn client() -> Result<Client, Failure> {
    let key = Identity::from_seed(&SEED)?.public_key().ok_or("no key")?;
    Ok(Client::new(Endpoint::client(Trust::key(key)).address(LOOPBACK).bind()?))
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
    let client = client()?;
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
                    ask(&client, &uri).await?;
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

async fn ask(client: &Client, uri: &str) -> Result<(), Failure> {
    let request = Request::get(uri).body(Empty::<Bytes>::new())?;
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
