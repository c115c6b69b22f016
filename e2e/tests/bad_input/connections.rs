//! Connections that break off, dawdle, or show a certificate that they should not.

use crate::{NETWORKS, Server};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Client;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub fn check(server: &Server) -> Result<()> {
    raw(server)?;
    slow_heads(server)?;
    certificates(server)?;
    old_tls(server)
}

/// Writes bytes to a fresh connection and reads until the server closes it, or `patience` ends.
fn exchange(client: &Client, parts: &[&[u8]], close: bool, patience: Duration) -> Result<String> {
    client.runtime().block_on(async {
        let mut stream = client.connect().await?;
        for part in parts {
            // The server may have had enough.
            if stream.write_all(part).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
        if close {
            // A server that has answered may have closed already.
            let _ = stream.shutdown().await;
        }
        let mut reply = Vec::new();
        let read = tokio::time::timeout(patience, stream.read_to_end(&mut reply)).await;
        ensure!(read.is_ok(), "the connection is still open after {} s", patience.as_secs());
        Ok(String::from_utf8_lossy(&reply).into_owned())
    })
}

fn raw(server: &Server) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let head = format!("POST {NETWORKS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    let announced = format!("{head}content-length: 999999999\r\n\r\n");
    let reply = exchange(&server.admin, &[announced.as_bytes(), b"{"], true, PATIENCE)?;
    ensure!(reply.starts_with("HTTP/1.1 413 "), "an announced 999999999 bytes: {reply}");
    server.unharmed("an announced large body")?;
    let chunked = format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let mut parts = vec![chunked.as_bytes()];
    parts.extend(std::iter::repeat_n(chunk.as_slice(), 49));
    parts.push(b"0\r\n\r\n");
    let reply = exchange(&server.admin, &parts, false, PATIENCE)?;
    ensure!(reply.starts_with("HTTP/1.1 413 "), "chunks over the limit: {reply:?}");
    server.unharmed("a large chunked body")?;
    let good = r#"{"apiVersion":"hypermesh.online/v1","kind":"Network","metadata":{"name":"cut"},"spec":{"interface":"Private"}}"#;
    let length = good.len() + 1;
    let cut = format!("{head}content-length: {length}\r\n\r\n{good}");
    exchange(&server.admin, &[cut.as_bytes()], true, PATIENCE)?;
    server.unharmed("a body that breaks off")?;
    let cut = format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n", good.len());
    exchange(&server.admin, &[cut.as_bytes()], true, PATIENCE)?;
    server.unharmed("chunks that break off")?;
    let many = format!("{head}{}\r\n", "a: b\r\n".repeat(2_000));
    let wide = format!("{head}a: {}\r\n\r\n", "b".repeat(1 << 20));
    let smuggled = format!("{head}content-length: 0\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n");
    for (what, bytes) in [
        ("no HTTP", "garbage\r\n\r\n".as_bytes()),
        ("HTTP/9", b"GET / HTTP/9.9\r\n\r\n"),
        ("a head that breaks off", &head.as_bytes()[..20]),
        ("too many headers", many.as_bytes()),
        ("a wide header", wide.as_bytes()),
        ("two lengths", smuggled.as_bytes()),
        ("half a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\xff\xff\xff\xff\xff\xff"),
    ] {
        let reply = exchange(&server.admin, &[bytes], true, PATIENCE).context(what)?;
        ensure!(!reply.starts_with("HTTP/1.1 2"), "{what}: {reply}");
        server.unharmed(what)?;
    }
    Ok(())
}

/// Clients that never finish their head are sent away, all of them at once; others are served meanwhile.
fn slow_heads(server: &Server) -> Result<()> {
    let begun = Instant::now();
    let slow = server.admin.runtime().spawn({
        let client = server.admin.clone();
        async move {
            let mut open = Vec::new();
            for _ in 0..20 {
                let mut stream = client.connect().await?;
                stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: ").await?;
                open.push(stream);
            }
            for mut stream in open {
                let mut reply = Vec::new();
                let read = stream.read_to_end(&mut reply);
                let ended = tokio::time::timeout(Duration::from_secs(14), read).await;
                ensure!(ended.is_ok(), "a slow client is still served");
            }
            Ok(())
        }
    });
    server.unharmed("slow clients")?;
    server.admin.runtime().block_on(slow)??;
    ensure!(begun.elapsed() > Duration::from_secs(5), "clients were sent away before they were slow");
    server.unharmed("slow clients that were sent away")
}

/// Certificates of another authority, expired, or not yet valid: no connection at all.
fn certificates(server: &Server) -> Result<()> {
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
    use time::{Duration as Days, OffsetDateTime};
    let pki = server.cluster.dir().join("pki");
    let authority = std::fs::read_to_string(pki.join("client-ca.crt"))?;
    let key = KeyPair::from_pem(&std::fs::read_to_string(pki.join("client-ca.key"))?)?;
    let issuer = Issuer::from_ca_cert_pem(&authority, key)?;
    let unknown = CertificateParams::default();
    let stranger = Issuer::from_params(&unknown, KeyPair::generate()?);
    let issue = |issuer: &Issuer<'_, KeyPair>, from: i64, until: i64| -> Result<Client> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "intruder");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let now = OffsetDateTime::now_utc();
        params.not_before = now + Days::days(from);
        params.not_after = now + Days::days(until);
        let pair = KeyPair::generate()?;
        let certificate = params.signed_by(&pair, issuer)?;
        server.cluster.with_certificate(certificate.pem().as_bytes(), pair.serialize_pem().as_bytes())
    };
    // What makes the three below fail is their time or their issuer, and nothing else.
    ensure!(issue(&issuer, -1, 1)?.get(NETWORKS)?.code == 200);
    let bad = [issue(&issuer, -2, -1)?, issue(&issuer, 1, 2)?, issue(&stranger, -1, 1)?];
    for (client, what) in bad.iter().zip(["expired", "of tomorrow", "of a stranger"]) {
        let answered = client.get(NETWORKS).map(|reply| reply.code);
        ensure!(
            answered.is_err() || answered.as_ref().is_ok_and(|code| *code == 401),
            "{what}: {answered:?}"
        );
        server.unharmed(what)?;
    }
    Ok(())
}

/// A client that knows TLS 1.2 at most is told so, and gets no connection.
fn old_tls(server: &Server) -> Result<()> {
    use rustls::pki_types::pem::PemObject as _;
    let mut roots = rustls::RootCertStore::empty();
    let authority = &server.cluster.credentials().authority;
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority)?)?;
    let handshake = |versions: &[&'static rustls::SupportedProtocolVersion]| -> Result<String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let address = server.cluster.address()?;
        server.admin.runtime().block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = rustls::pki_types::ServerName::IpAddress(address.ip().into());
            let connected = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
            Ok(connected.map_or_else(|error| error.to_string(), |_| "connected".to_owned()))
        })
    };
    ensure!(handshake(&[&rustls::version::TLS13])? == "connected");
    let refused = handshake(&[&rustls::version::TLS12])?;
    ensure!(refused.contains("ProtocolVersion"), "TLS 1.2: {refused}");
    server.unharmed("TLS 1.2")
}
