//! An agent that runs nothing: it speaks the protocol over stoq, shows its node's key, believes the cluster's authority, and
//! answers as a node would.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hypermesh_stream::stats::{ContainerStats, CpuStats, MemoryStats, NodeStats, PodRef, PodStats, Summary};
use hypermesh_stream::{
    Caller, Channel, Decoder, Frame, IDLE, Instance, LogOptions, Resize, Route, Terminal, data_frames, exited,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use stoq::http3::{ALPN, Body, Http3, HttpLimits};
use stoq::{ClientAuth, Endpoint, Identity, Router, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

type Answer = StreamBody<futures_util::stream::BoxStream<'static, io::Result<http_body::Frame<Bytes>>>>;
type Out = mpsc::Sender<io::Result<Bytes>>;

/// A running agent.
pub struct Agent {
    router: Option<Router>,
    /// Its key, in hexadecimal.
    pub key: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Who asked for what.
    pub asked: Asked,
}

/// Who asked for what.
pub type Asked = Arc<Mutex<Vec<(Caller, Route)>>>;

impl Agent {
    /// Starts one that believes whoever shows a certificate of the authority in PEM. Within a runtime.
    pub fn start(authority: &[u8], seed: u8) -> Result<Self> {
        let identity = Identity::from_seed(&[seed; 32])?;
        let key = identity.public_key().context("an Ed25519 key")?.to_string();
        let roots = CertificateDer::pem_slice_iter(authority).collect::<Result<Vec<_>, _>>()?;
        let endpoint = Endpoint::server(identity)
            .clients(ClientAuth::Required(Trust::authorities(roots)?))
            .address(SocketAddr::from(([127, 0, 0, 1], 0)))
            .bind()?;
        let address = endpoint.local_addr()?;
        let asked = Asked::default();
        let log = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let log = Arc::clone(&log);
            async move { Ok::<_, Infallible>(answer(&log, request).await) }
        });
        let http = Http3::new(service).limits(HttpLimits { body_patience: IDLE, ..HttpLimits::default() });
        let router = Router::builder(endpoint).accept(ALPN, http).spawn()?;
        Ok(Self { router: Some(router), key, address, asked })
    }

    /// Ends it, as a machine that loses its power does.
    pub fn vanish(&mut self) {
        drop(self.router.take());
    }
}

async fn answer(log: &Asked, request: Request<Body>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let (caller, route) = match (Caller::parse(header), Route::parse(head.method.as_str(), target)) {
        (Ok(caller), Ok(route)) => (caller, route),
        (Err(error), _) => return refuse(&hypermesh_api::Status::bad_request(error.to_string())),
        (_, Err(status)) => return refuse(&status),
    };
    log.lock().unwrap().push((caller, route.clone()));
    let (out, parts) = mpsc::channel(4);
    match route {
        Route::Log(instance, options) => drop(tokio::spawn(tell_log(instance, options, out))),
        Route::Exec(_, terminal) if terminal.command == ["missing"] => {
            return refuse(&hypermesh_api::Status::bad_request("no such program in the image: missing"));
        }
        Route::Exec(_, terminal) | Route::Attach(_, terminal) => drop(tokio::spawn(run(terminal, body, out))),
        Route::PortForward(_, port) => match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => drop(tokio::spawn(connect(stream, body, out))),
            Err(error) => {
                let words = format!("nothing listens on port {port} of the instance: {error}");
                return refuse(&hypermesh_api::Status::failure(502, "BadGateway", words));
            }
        },
        Route::Stats => {
            let _ = out.send(Ok(serde_json::to_vec(&stats()).unwrap().into())).await;
        }
        Route::Images(_) | Route::Metrics => return refuse(&hypermesh_api::Status::unknown_path()),
    }
    Response::new(streamed(parts))
}

fn streamed(parts: mpsc::Receiver<io::Result<Bytes>>) -> Answer {
    let stream = futures_util::stream::unfold(parts, |mut parts| async move {
        let part = parts.recv().await?;
        Some((part.map(http_body::Frame::data), parts))
    });
    StreamBody::new(Box::pin(stream))
}

fn refuse(status: &hypermesh_api::Status) -> Response<Answer> {
    let (out, parts) = mpsc::channel(1);
    let _ = out.try_send(Ok(serde_json::to_vec(status).unwrap().into()));
    let mut response = Response::new(streamed(parts));
    *response.status_mut() = http::StatusCode::from_u16(status.code).unwrap();
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// Three lines, and, for who follows, one more a little later; then it goes on without end.
async fn tell_log(instance: Instance, options: LogOptions, out: Out) {
    let container = options.container.unwrap_or_default();
    let lines: Vec<String> = (1..=3).map(|n| format!("{}/{container} line {n}\n", instance.name)).collect();
    let skip = options.tail_lines.map_or(0, |tail| lines.len().saturating_sub(tail as usize));
    for line in lines.into_iter().skip(skip) {
        let _ = out.send(Ok(line.into())).await;
    }
    if options.follow {
        let _ = out.send(Ok("and it goes on\n".into())).await;
        out.closed().await;
    }
}

async fn say(out: &Out, frame: Frame) {
    let _ = out.send(Ok(frame.encode())).await;
}

/// A few commands: echo, exit, cat, size, complain, vanish.
async fn run(terminal: Terminal, body: Body, out: Out) {
    let mut frames = Frames { body, decoder: Decoder::default() };
    let mut words = terminal.command.iter().map(String::as_str);
    let mut code = 0;
    match words.next().unwrap_or("cat") {
        "echo" => {
            let line = words.collect::<Vec<_>>().join(" ") + "\n";
            say(&out, Frame::Data(Channel::Stdout, line.into())).await;
        }
        "exit" => code = words.next().and_then(|word| word.parse().ok()).unwrap_or(1),
        "complain" => say(&out, Frame::Data(Channel::Stderr, "no!\n".into())).await,
        "vanish" => return,
        "cat" => {
            while let Some(frame) = frames.next().await {
                match frame {
                    Frame::Data(Channel::Stdin, bytes) => {
                        for part in data_frames(Channel::Stdout, bytes) {
                            say(&out, part).await;
                        }
                    }
                    Frame::Close(Channel::Stdin) => break,
                    _ => {}
                }
            }
        }
        "size" => {
            while let Some(frame) = frames.next().await {
                let Frame::Data(Channel::Resize, size) = frame else { continue };
                if let Some(Resize { width, height }) = Resize::parse(&size) {
                    let line = format!("{width} by {height}, tty {}\r\n", terminal.tty);
                    say(&out, Frame::Data(Channel::Stdout, line.into())).await;
                    break;
                }
            }
        }
        _ => code = 127,
    }
    let status = serde_json::to_vec(&exited(code)).unwrap();
    say(&out, Frame::Data(Channel::Error, status.into())).await;
}

/// The frames of a client.
struct Frames {
    body: Body,
    decoder: Decoder,
}

impl Frames {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().ok()? {
                return Some(frame);
            }
            let part = self.body.frame().await?.ok()?;
            self.decoder.push(&part.into_data().ok()?);
        }
    }
}

async fn connect(stream: tokio::net::TcpStream, mut body: Body, out: Out) {
    let (mut reading, mut writing) = stream.into_split();
    let up = tokio::spawn(async move {
        while let Some(Ok(part)) = body.frame().await {
            if writing.write_all(&part.into_data().unwrap_or_default()).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = reading.read(&mut buffer).await {
        if out.send(Ok(Bytes::copy_from_slice(&buffer[..read]))).await.is_err() {
            break;
        }
    }
    up.abort();
}

fn stats() -> Summary {
    let time = "2026-11-21T09:18:03Z".to_owned();
    let cpu = |cores| CpuStats {
        time: time.clone(),
        window_millis: 10_000,
        usage_nano_cores: Some(cores),
        ..CpuStats::default()
    };
    let memory =
        |bytes| MemoryStats { time: time.clone(), working_set_bytes: Some(bytes), ..MemoryStats::default() };
    let container = ContainerStats {
        name: "web".into(),
        cpu: Some(cpu(25_000_000)),
        memory: Some(memory(48 << 20)),
        ..ContainerStats::default()
    };
    let uid = UID.lock().unwrap().clone();
    Summary {
        node: NodeStats {
            node_name: "node-1".into(),
            cpu: Some(cpu(500_000_000)),
            memory: Some(memory(1 << 30)),
            ..NodeStats::default()
        },
        pods: vec![PodStats {
            pod_ref: PodRef { name: "web-1".into(), namespace: "default".into(), uid },
            containers: vec![container],
            network: None,
        }],
    }
}

/// The uid of the instance that runs.
pub static UID: Mutex<String> = Mutex::new(String::new());
