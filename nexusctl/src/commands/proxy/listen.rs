//! The endpoint: an address or a socket, connections up to a bound, and a clean end.

use crate::{commands::proxy::forward::Forward, error::Error};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{
    convert::Infallible,
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
};

/// Connections at a time; more wait.
const MOST_CONNECTIONS: usize = 1024;
/// How long the head of a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the proxy listens.
pub(super) enum Listener {
    /// An address.
    Tcp(TcpListener, SocketAddr),
    /// A socket; the file goes with it.
    Unix(UnixListener, SocketFile),
}

/// A socket's file, removed at the end.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(_, address) => write!(f, "{address}"),
            Self::Unix(_, file) => write!(f, "{}", file.0.display()),
        }
    }
}

impl Listener {
    /// Listens on an address: loopback, unless `remote` allows another.
    pub async fn tcp(address: SocketAddr, remote: bool) -> Result<Self, Error> {
        if !address.ip().is_loopback() && !remote {
            return Err(Error::Message(format!(
                "--address {address}: other machines could reach it, and whoever does acts as you: listen on 127.0.0.1, \
                 or say --allow-remote if that is meant"
            )));
        }
        let failed = |e: io::Error| {
            let hint = match e.kind() {
                ErrorKind::AddrInUse => ": another program uses that port; choose another with --address",
                ErrorKind::PermissionDenied => ": ports below 1024 need root; choose another with --address",
                ErrorKind::AddrNotAvailable => ": this machine has no such address",
                _ => "",
            };
            Error::Message(format!("cannot listen on {address} ({e}){hint}"))
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self::Tcp(listener, address))
    }

    /// Listens on a socket that only its owner may open. A socket that nobody listens on any more is replaced.
    pub fn unix(path: &Path) -> Result<Self, Error> {
        let failed = |e: io::Error| Error::Message(format!("cannot listen on {}: {e}", path.display()));
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(Error::Message(format!(
                    "{} exists and is no socket: choose another path",
                    path.display()
                )));
            }
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(Error::Message(format!(
                    "{} is in use by another program: choose another path",
                    path.display()
                )));
            }
            Ok(_) => std::fs::remove_file(path).map_err(failed)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        // Made unreachable for others before anyone can connect.
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        nix::sys::stat::umask(before);
        let listener = listener.map_err(failed)?;
        let file = SocketFile(path.to_owned());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self::Unix(listener, file))
    }

    /// The address; none for a socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(..) => None,
        }
    }

    /// Serves until `end`; requests that are under way get `farewell` to finish.
    pub async fn serve(self, forward: Arc<Forward>, end: impl Future<Output = ()>, farewell: Duration) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let mut end = std::pin::pin!(end);
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = &mut end => break,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = &mut end => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: others have to close first.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = graceful.watch(connection(stream, Arc::clone(&forward)));
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
        // Watches never finish: what is left then is cut.
        let _ = tokio::time::timeout(farewell, graceful.shutdown()).await;
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// A connection of any kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

fn connection(
    stream: Box<dyn Stream>,
    forward: Arc<Forward>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hypermesh_client::BoxError> {
    let service = service_fn(move |request| {
        let forward = Arc::clone(&forward);
        async move { Ok::<_, Infallible>(forward.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new()).max_header_list_size(64 * 1024);
    builder.serve_connection(TokioIo::new(stream), service).into_owned()
}
