//! What the quick start runs: a small web server, without dependencies that a reader would have to know.
//!
//! `GET /` greets with the variable `GREETING`, `GET /healthz` says that it serves, on the port that `PORT` names. SIGTERM
//! and SIGINT end it in order: it says that it is no longer ready, answers what it has taken, and exits with 0. As the
//! first process of its container it has no default handler for either, so it must have one of its own.

mod request;

use request::{Request, Response};
use std::io::{self, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Most connections that are answered at once; more are told to come back.
const CONNECTIONS: usize = 256;
/// How long a client may take over its request, and an answer over its way.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it still answers after it was asked to end: who balances over several of it needs a moment to hear of it.
const DRAIN: Duration = Duration::from_secs(2);

/// What the connections share.
#[derive(Default)]
struct Shared {
    ending: AtomicBool,
    open: AtomicUsize,
    closed: Mutex<()>,
    changed: Condvar,
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let port = match std::env::var("PORT").map(|port| port.parse::<u16>()) {
        Err(_) => 8080,
        Ok(Ok(port)) => port,
        Ok(Err(_)) => return Err(io::Error::other("PORT is no port: a number from 0 to 65535 is expected")),
    };
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
    let listener = bind(port)?;
    println!("hello: listening on {}", listener.local_addr()?);
    let shared = Arc::new(Shared::default());
    let accepting = Arc::clone(&shared);
    std::thread::spawn(move || accept(&listener, &accepting));
    if let Some(signal) = signals.forever().next() {
        println!("hello: signal {signal}, ending");
    }
    shared.ending.store(true, Ordering::SeqCst);
    std::thread::sleep(DRAIN);
    drain(&shared);
    Ok(())
}

/// Both families where the kernel has IPv6, else IPv4.
fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        .or_else(|_| TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of files: those that are open end soon.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        if shared.open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            let _ = write(&stream, &Response::busy());
            leave(shared);
            continue;
        }
        let own = Arc::clone(shared);
        if std::thread::Builder::new().stack_size(64 * 1024).spawn(move || answer(&stream, &own)).is_err() {
            leave(shared);
        }
    }
}

fn answer(stream: &TcpStream, shared: &Shared) {
    let outcome = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| Request::read(stream));
    match outcome {
        Ok(Some(request)) => {
            let response = request.answer(shared.ending.load(Ordering::SeqCst));
            println!("{} {} {}", request.method, request.path, response.status);
            let _ = write(stream, &response);
        }
        Ok(None) => {}
        Err(_) => {
            let _ = write(stream, &Response::bad());
        }
    }
    leave(shared);
}

fn write(mut stream: &TcpStream, response: &Response) -> io::Result<()> {
    stream.write_all(response.text().as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)
}

fn leave(shared: &Shared) {
    let _guard = shared.closed.lock().unwrap_or_else(PoisonError::into_inner);
    shared.open.fetch_sub(1, Ordering::SeqCst);
    shared.changed.notify_all();
}

/// Waits until all connections have had their answer, or their patience has ended.
fn drain(shared: &Shared) {
    let guard = shared.closed.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = shared.changed.wait_timeout_while(guard, PATIENCE, |()| shared.open.load(Ordering::SeqCst) > 0);
}
