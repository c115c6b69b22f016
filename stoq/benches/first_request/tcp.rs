//! The peer: HTTP/1.1 over TLS 1.3 over TCP, with nothing that is not needed for one request.

use crate::{ANSWER, Failure};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Serves whoever comes.
pub async fn serve(
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Result<(), Failure> {
    let config = ServerConfig::builder_with_provider(stoq::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });
    Ok(())
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let mut head = [0; 1024];
    let _: usize = stream.read(&mut head).await?;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", ANSWER.len()).into_bytes();
    answer.extend_from_slice(ANSWER);
    stream.write_all(&answer).await?;
    stream.flush().await?;
    // Until the client closes.
    let _: usize = stream.read(&mut head).await?;
    Ok(())
}

/// A client of such a server.
pub struct Client {
    connector: TlsConnector,
    resumes: bool,
}

impl Client {
    pub fn new(certificate: CertificateDer<'static>, resumes: bool) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let mut config = ClientConfig::builder_with_provider(stoq::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), resumes })
    }

    /// One request on a connection of its own: how long TCP's handshake took, and all of it. `first`: there is nothing
    /// to resume yet.
    pub async fn ask(&self, server: SocketAddr, first: bool) -> Result<(Duration, Duration), Failure> {
        let begun = Instant::now();
        let stream = TcpStream::connect(server).await?;
        let connected = begun.elapsed();
        stream.set_nodelay(true)?;
        let mut stream = self.connector.connect(ServerName::from(server.ip()), stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(ANSWER) {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).await?;
            if length == 0 {
                return Err("the answer is cut off".into());
            }
            answer.extend_from_slice(&piece[..length]);
        }
        let took = begun.elapsed();
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        if resumed != (self.resumes && !first) {
            return Err(format!("TLS resumed: {resumed}").into());
        }
        Ok((connected, took))
    }
}
