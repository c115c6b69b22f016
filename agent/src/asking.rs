//! Probes and hooks: what is asked of a container from inside its instance's network, and what it answers.

use crate::failure::chain;
use crate::images::blocking;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use hypermesh_network::netns;
use hypermesh_runtime::{Container as Running, ExecSpec, Sandbox};
use hypermesh_schemas::value::PortRef;
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::probe::{Exec, Handler, HttpGet, Probe, Scheme, TcpSocket};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpSocket as Socket, TcpStream};

/// What of an answer is read.
const MOST_OUTPUT: u64 = 10 << 10;

/// Where an instance is asked.
#[derive(Clone, Default)]
pub struct Place {
    /// The file that is its network namespace; none: the node's own.
    pub namespace: Option<PathBuf>,
    /// Its address; none: it only has its loopback interface.
    pub address: Option<IpAddr>,
    /// Who enters the namespace where this process may not: without root it may not.
    pub sandbox: Option<Arc<dyn Sandbox>>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, address, sandbox: _ } = self;
        f.debug_struct("Place")
            .field("namespace", namespace)
            .field("address", address)
            .finish_non_exhaustive()
    }
}

impl Place {
    /// A connection to a port of the instance, or to another host as the instance reaches it: its own loopback addresses
    /// are meant by `localhost`, and what listens on the node alone is not reached.
    ///
    /// # Errors
    /// In words: what refused.
    pub async fn dial(&self, host: Option<&str>, port: u16) -> Result<TcpStream, String> {
        let own = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let to = host.map_or_else(|| SocketAddr::new(own, port).to_string(), |host| format!("{host}:{port}"));
        let told = |why: String| format!("dial tcp {to}: {why}");
        let targets = match host {
            None => vec![SocketAddr::new(own, port)],
            Some(_) if self.namespace.is_none() => {
                return Err(told("it has no network of its own".to_owned()));
            }
            Some(host) => addresses(host, port).await.map_err(|error| told(error.to_string()))?,
        };
        let mut failure = "the name has no address".to_owned();
        for target in targets {
            match self.connect(target).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error.to_string(),
            }
        }
        Err(told(failure))
    }

    async fn connect(&self, target: SocketAddr) -> std::io::Result<TcpStream> {
        let Some(namespace) = self.namespace.clone() else { return TcpStream::connect(target).await };
        let domain = netns::Domain::for_address(target);
        let entered = blocking(move || netns::socket(&namespace, domain, netns::Type::STREAM)).await;
        let socket = match (entered, &self.sandbox) {
            (Ok(socket), _) => socket.into(),
            (Err(error), Some(sandbox)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let asked = sandbox.socket(target.is_ipv6()).await;
                asked.map_err(|error| std::io::Error::other(chain(&error)))?.into()
            }
            (Err(error), _) => return Err(error),
        };
        Socket::from_std_stream(socket).connect(target).await
    }
}

/// The addresses of a host. Names are the node's resolvers' to say, which are the instance's too; those of loopback are
/// the instance's own.
async fn addresses(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// Asks a probe. `Ok` is a success; an error is what the failure says.
pub(crate) async fn ask(
    probe: &Probe,
    container: &Container,
    place: &Place,
    running: &Arc<dyn Running>,
) -> Result<(), String> {
    let limit = hypermesh_planner::probe::timeout(probe);
    let asked = async {
        if let Some(get) = &probe.http_get {
            return http(get, container, place).await;
        }
        if let Some(TcpSocket { port, host }) = &probe.tcp_socket {
            let port = number(port, container)?;
            return place.dial(host.as_deref(), port).await.map(drop);
        }
        match &probe.exec {
            Some(command) => exec(command, running).await,
            None => Err("the probe asks nothing".to_owned()),
        }
    };
    match tokio::time::timeout(limit, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {}s (timeoutSeconds)", limit.as_secs())),
    }
}

/// Does what a hook says, within `limit`.
pub(crate) async fn hook(
    handler: &Handler,
    container: &Container,
    place: &Place,
    running: &Arc<dyn Running>,
    limit: Duration,
) -> Result<(), String> {
    let done = async {
        if let Some(get) = &handler.http_get {
            return http(get, container, place).await;
        }
        if let Some(sleep) = &handler.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or_default();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            return Ok(());
        }
        match &handler.exec {
            Some(command) => exec(command, running).await,
            None => Ok(()),
        }
    };
    match tokio::time::timeout(limit, done).await {
        Ok(result) => result,
        Err(_) => Err(format!("it was not done after {}s", limit.as_secs())),
    }
}

fn number(port: &PortRef, container: &Container) -> Result<u16, String> {
    match port {
        PortRef::Number(port) => Ok(*port),
        PortRef::Name(name) => container
            .ports
            .iter()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .ok_or_else(|| format!("the container has no port named {name}")),
    }
}

async fn http(get: &HttpGet, container: &Container, place: &Place) -> Result<(), String> {
    let port = number(&get.port, container)?;
    let stream = place.dial(get.host.as_deref(), port).await?;
    let named = get.host.clone().or_else(|| place.address.map(|address| address.to_string()));
    let host = named.unwrap_or_else(|| "localhost".to_owned());
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Request::get(get.path.as_str());
    let mut says_host = false;
    for header in &get.http_headers {
        says_host |= header.name.eq_ignore_ascii_case("host");
        request = request.header(header.name.as_str(), header.value.as_str());
    }
    if !says_host {
        request = request.header("host", authority);
    }
    let request = request
        .header("user-agent", concat!("nexus-probe/", env!("CARGO_PKG_VERSION")))
        .header("connection", "close")
        .body(Empty::new())
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    let status = match get.scheme {
        Scheme::Http => send(stream, request).await?,
        Scheme::Https => {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = hypermesh_client::any_certificate(Arc::clone(&provider));
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            let name = rustls::pki_types::ServerName::try_from(host)
                .map_err(|error| format!("no name for TLS: {error}"))?;
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
            send(stream, request).await?
        }
    };
    // What kubelet takes for a success.
    if (200..400).contains(&status.as_u16()) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
    }
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<StatusCode, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let told = |error: hyper::Error| format!("HTTP: {}", chain(&error));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let answer = sender.send_request(request);
    // The connection ends with the answer's fields: its body is not wanted.
    let (mut answer, mut connection) = (Box::pin(answer.fuse()), Box::pin(connection.fuse()));
    tokio::select! {
        answer = &mut answer => answer.map(|answer| answer.status()).map_err(told),
        ended = &mut connection => match ended {
            Err(error) => Err(told(error)),
            Ok(()) => answer.await.map(|answer| answer.status()).map_err(told),
        },
    }
}

async fn exec(command: &Exec, running: &Arc<dyn Running>) -> Result<(), String> {
    let spec = ExecSpec { args: command.command.clone(), stdout: true, stderr: true, ..ExecSpec::default() };
    let mut process = running.exec(spec).await.map_err(|error| chain(&error))?;
    let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
    let (out, errors, exit) = tokio::join!(read(stdout), read(stderr), process.wait());
    let exit = exit.map_err(|error| chain(&error))?;
    if exit.success() {
        return Ok(());
    }
    let said = format!("{out}{errors}");
    let said = said.trim();
    Err(if said.is_empty() { format!("command exited with {}", exit.code) } else { said.to_owned() })
}

/// The beginning of what a process writes; the rest is read too, so that it does not wait.
async fn read(output: Option<hypermesh_runtime::Output>) -> String {
    let Some(mut output) = output else { return String::new() };
    let mut bytes = Vec::new();
    let _ = (&mut output).take(MOST_OUTPUT).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    async fn server(answer: &'static str) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let fits =
                    request.starts_with("GET /healthz?x=1 HTTP/1.1\r\n") && request.contains("x-a: b\r\n");
                let answer = if fits { answer } else { "HTTP/1.1 400 Bad Request\r\n\r\n" };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    async fn get(port: u16) -> Result<(), String> {
        let get: HttpGet = serde_json::from_value(serde_json::json!({
            "port": "web", "path": "/healthz?x=1", "httpHeaders": [{"name": "x-a", "value": "b"}],
        }))
        .unwrap();
        let container: Container = serde_json::from_value(serde_json::json!({
            "name": "a", "image": "a", "ports": [{"name": "web", "containerPort": port}],
        }))
        .unwrap();
        http(&get, &container, &Place::default()).await
    }

    #[tokio::test]
    async fn answers_of_http_are_judged_as_kubelet_does() {
        assert_eq!(get(server("HTTP/1.1 204 No Content\r\n\r\n").await).await, Ok(()));
        assert_eq!(get(server("HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n").await).await, Ok(()));
        let bad = get(server("HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\nx").await).await;
        assert_eq!(bad, Err("HTTP probe failed with statuscode: 503".to_owned()));
        assert!(get(server("nonsense\r\n\r\n").await).await.is_err());
        assert!(get(1).await.unwrap_err().starts_with("dial tcp 127.0.0.1:1: "));
    }

    /// A namespace of its own, and its place; none: it cannot be made here.
    fn apart() -> Option<(tempfile::TempDir, Place)> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces need root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let namespace = folder.path().join("instance");
        netns::create_alone(&namespace).unwrap();
        Some((folder, Place { namespace: Some(namespace), ..Place::default() }))
    }

    #[tokio::test]
    async fn a_probe_does_not_reach_what_listens_on_the_node_alone() {
        let Some((_folder, place)) = apart() else { return };
        let port = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok(), "the node reaches it");
        for host in ["127.0.0.1", "localhost", "::1", "[::1]", "LOCALHOST"] {
            let refused = place.dial(Some(host), port).await.unwrap_err();
            assert_eq!(refused, format!("dial tcp {host}:{port}: Connection refused (os error 111)"));
        }
        // What listens in the instance is reached by the same words.
        let namespace = place.namespace.clone().unwrap();
        let own = netns::within(&namespace, || std::net::TcpListener::bind(("127.0.0.1", port))).unwrap();
        assert!(place.dial(Some("localhost"), port).await.is_ok() && place.dial(None, port).await.is_ok());
        drop(own);
        netns::remove(&namespace).unwrap();
        assert!(Place::default().dial(Some("127.0.0.1"), port).await.is_err());
    }
}
