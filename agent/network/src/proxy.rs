//! Leads connections to published ports in this process: those to the node's loopback addresses, which no rule of the
//! kernel may lead away from the node's own (RFC 1122, section 3.2.1.3), and all of them where the node has no `nft`.
//!
//! A backend that refuses or does not answer costs the client nothing but time: the next one is tried before a byte was
//! taken from it. Connections that exist stay with their backend until either side ends them.

use crate::balance::Turns;
use crate::crowd::Crowd;
use crate::host::Host;
use crate::service::{Backend, Protocol};
use crate::silence::{Heard, Limits};
use crate::udp;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// How long a backend may take to answer a connection.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most backends that are tried for one connection.
const TRIES: usize = 4;
/// Most connections of one published port at once: each costs two buffers and two files.
const CONNECTIONS: usize = 4096;
/// How long may be silent who asks the API server: they are programs of instances, which nothing else limits there, and
/// speak TLS, in which the client begins. Clients that watch are told something more often than that.
const API_SILENCE: Limits = Limits { first: Duration::from_secs(30), later: Duration::from_secs(15 * 60) };
/// Bytes of the buffer of each direction.
const BUFFER: usize = 16 * 1024;
/// After how much silence a peer is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// How long accepting rests when the process is out of files.
const REST: Duration = Duration::from_millis(50);

/// One published port, led by this process.
#[derive(Debug)]
pub struct Proxy {
    targets: Targets,
    wanted: Vec<IpAddr>,
    listeners: JoinSet<()>,
}

impl Proxy {
    /// Listens on `port` of all `addresses`, or on none of them.
    pub fn listen(
        host: &Host,
        addresses: &[IpAddr],
        port: u16,
        protocol: Protocol,
        targets: Targets,
    ) -> io::Result<Self> {
        let mut listeners = JoinSet::new();
        let mut bound = 0_usize;
        for address in addresses {
            let at = SocketAddr::new(*address, port);
            let way = Way { host: host.clone(), targets: targets.clone() };
            let listening = match protocol {
                Protocol::Tcp => {
                    let shared = matches!(targets, Targets::Fixed(_));
                    host.enter(|| tcp(at, shared))
                        .map(|listener| drop(listeners.spawn(accept(listener, way))))
                }
                Protocol::Udp => {
                    host.enter(|| datagrams(at)).map(|socket| drop(listeners.spawn(udp::relay(socket, way))))
                }
            };
            match listening {
                Ok(()) => bound += 1,
                // A node without IPv6 has no ::1 to listen on, and an address may just have gone.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(error) => return Err(error),
            }
        }
        if bound == 0 {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        Ok(Self { targets, wanted: addresses.to_vec(), listeners })
    }

    /// Takes no new connections any more: when this returns, the port is free.
    pub async fn close(mut self) {
        self.listeners.shutdown().await;
    }

    /// Where it was to listen.
    pub fn wanted(&self) -> &[IpAddr] {
        &self.wanted
    }

    /// Takes over who is behind the port, where that changes.
    pub fn set(&self, backends: &[Backend]) {
        if let Targets::Balanced(turns) = &self.targets {
            turns.lock().unwrap_or_else(PoisonError::into_inner).set(backends);
        }
    }
}

/// Who is behind a port.
#[derive(Clone, Debug)]
pub enum Targets {
    /// The backends of a published port, in turns.
    Balanced(Arc<Mutex<Turns>>),
    /// These, the first that answers.
    Fixed(Arc<[SocketAddr]>),
}

impl Targets {
    /// No backends yet.
    pub fn balanced() -> Self {
        Self::Balanced(Arc::new(Mutex::new(Turns::default())))
    }

    /// Whom the next connection tries, in this order.
    fn next(&self) -> Vec<SocketAddr> {
        match self {
            Self::Fixed(targets) => targets.to_vec(),
            Self::Balanced(turns) => {
                let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
                turns.next(TRIES).into_iter().map(|backend| (backend.ipv6, backend.port).into()).collect()
            }
        }
    }
}

/// How a connection gets to who is behind a port.
#[derive(Clone, Debug)]
pub struct Way {
    host: Host,
    targets: Targets,
}

impl Way {
    /// A socket on the node's network for datagrams to the next target. None: there is nobody.
    pub async fn datagrams(&self) -> Option<UdpSocket> {
        let target = *self.targets.next().first()?;
        let any = SocketAddr::new(
            if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() },
            0,
        );
        let socket = self.host.enter(|| datagrams(any)).ok()?;
        socket.connect(target).await.ok()?;
        Some(socket)
    }

    async fn connect(&self) -> Option<TcpStream> {
        for target in self.targets.next() {
            let new = if target.is_ipv4() { TcpSocket::new_v4 } else { TcpSocket::new_v6 };
            let Ok(socket) = self.host.enter(new) else { continue };
            let connecting = socket.connect(target);
            if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, connecting).await {
                return Some(stream);
            }
        }
        None
    }
}

/// `shared`: with other agents of the node, which lead to the same.
fn tcp(at: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    if at.is_ipv6() {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.bind(at)?;
    socket.listen(1024)
}

fn datagrams(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::DGRAM, None)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

async fn accept(listener: TcpListener, way: Way) {
    let crowd = Crowd::new(CONNECTIONS);
    loop {
        match listener.accept().await {
            Ok((client, source)) => {
                let Some(place) = crowd.enter(source.ip()) else {
                    tracing::debug!(%source, "it has as many connections to a published port as it may");
                    refuse(&client);
                    continue;
                };
                let way = way.clone();
                tokio::spawn(async move {
                    lead(client, &way).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection to a published port");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// A reset says at once that nobody is there; an orderly end would look like an empty answer.
fn refuse(client: &TcpStream) {
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
}

async fn lead(mut client: TcpStream, way: &Way) {
    let Some(mut backend) = way.connect().await else {
        refuse(&client);
        return;
    };
    let alive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 4).with_retries(3);
    for stream in [&client, &backend] {
        let _ = SockRef::from(stream).set_tcp_keepalive(&alive);
        let _ = stream.set_nodelay(true);
    }
    if matches!(way.targets, Targets::Balanced(_)) {
        let _ = copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await;
        return;
    }
    let (mut client, last) = Heard::new(client);
    tokio::select! {
        _ = copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER) => {}
        () = last.silence(API_SILENCE) => {}
    }
}
