//! Streams of clients that are no kubectl: frames on the request itself, watches over WebSocket, liveness that lasts.

use super::Bench;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame as Part, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hypermesh_chain::request::{Media, Method as SignedMethod};
use hypermesh_chain::signature::{Message as SignedMessage, headers, sign};
use hypermesh_chain::{Canonical as _, ClusterId, Genesis, Hash, SigningKey};
use hypermesh_stream::{Channel, Decoder, FRAMES, Frame, RAW, STREAM, exit_code};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

type Sender = mpsc::Sender<Bytes>;

/// A connection as the administrator.
async fn connect(bench: &Bench, protocol: &[u8]) -> Result<TlsStream<TcpStream>> {
    let credentials = bench.cluster.credentials();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&credentials.authority)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(&credentials.certificate)?],
            PrivateKeyDer::from_pem_slice(&credentials.key)?,
        )?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    let address = bench.cluster.address()?;
    let stream = TcpStream::connect(address).await?;
    Ok(TlsConnector::from(Arc::new(tls)).connect(ServerName::from(address.ip()), stream).await?)
}

/// A request over HTTP/2 whose body is fed while its answer is read.
async fn ask(
    bench: &Bench,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(Sender, http::Response<Incoming>)> {
    let stream = connect(bench, b"h2").await?;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    tokio::spawn(connection);
    let (feeder, pieces) = mpsc::channel::<Bytes>(4);
    let body = futures_util::stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, Infallible>(Part::data(piece)), pieces))
    });
    let mut request =
        Request::builder().method(Method::POST).uri(format!("https://{}{target}", bench.cluster.address()?));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(StreamBody::new(Box::pin(body)))?;
    let answer = sender.send_request(request).await?;
    Ok((feeder, answer))
}

const POD: &str = "/api/v1/namespaces/default/pods/web-1";

#[test]
fn frames_on_the_request_itself() -> Result<()> {
    let Some(bench) = Bench::start("frames")? else { return Ok(()) };
    bench.cluster.runtime().block_on(async {
        let target = format!("{POD}/exec?command=cat&stdin=true&stdout=true");
        let (feeder, answer) = ask(&bench, &target, &[(STREAM, FRAMES)]).await?;
        ensure!(answer.status() == 200, "{answer:?}");
        ensure!(answer.headers().get(STREAM).is_some_and(|form| form == FRAMES), "{answer:?}");
        let mut body = answer.into_body();
        let (mut decoder, mut heard, mut code) = (Decoder::default(), Vec::new(), None);
        feeder.send(Frame::Data(Channel::Stdin, "typed".into()).encode()).await?;
        while let Some(part) = body.frame().await {
            decoder.push(&part?.into_data().unwrap_or_default());
            while let Some(frame) = decoder.next_frame()? {
                match frame {
                    // Only now: both ways are open at once.
                    Frame::Data(Channel::Stdout, bytes) => {
                        heard.extend_from_slice(&bytes);
                        feeder.send(Frame::Close(Channel::Stdin).encode()).await?;
                    }
                    Frame::Data(Channel::Error, status) => {
                        code = exit_code(&serde_json::from_slice(&status)?);
                    }
                    other => anyhow::bail!("{other:?}"),
                }
            }
        }
        ensure!(heard == b"typed" && code == Some(0), "{heard:?} {code:?}");
        let (_, refused) = ask(&bench, &format!("{POD}/portforward"), &[(STREAM, RAW)]).await?;
        ensure!(refused.status() == 400, "a port has to be named");
        let (_, refused) = ask(&bench, &target, &[]).await?;
        ensure!(refused.status() == 400, "frames have to be asked for");
        Ok(())
    })?;
    // What asks for no session is told so, whatever state its node is in.
    let silent = serde_json::json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": "silent"},
        "spec": {"publicKey": "ab".repeat(32)},
    });
    bench.cluster.admin()?.post("/apis/hypermesh.online/v1/nodes", &silent)?.expect(201)?;
    bench.instance_on("web-9", "web", "silent")?;
    bench.cluster.runtime().block_on(async {
        for (subresource, form) in [("portforward?port=80", RAW), ("exec?command=cat&stdout=true", FRAMES)] {
            let target = format!("/api/v1/namespaces/default/pods/web-9/{subresource}");
            let (_, refused) = ask(&bench, &target, &[]).await?;
            ensure!(refused.status() == 400, "{subresource}: {}", refused.status());
            let (_, refused) = ask(&bench, &target, &[(STREAM, form)]).await?;
            ensure!(refused.status() == 503, "{subresource}: {}", refused.status());
        }
        Ok(())
    })
}

#[test]
fn liveness_lasts_as_long_as_the_agent_tells_of_it() -> Result<()> {
    let Some(bench) = Bench::start("liveness that lasts")? else { return Ok(()) };
    let path = "/apis/hypermesh.online/v1/nodes/node-1/liveness";
    let known = || -> Result<Value> { bench.ok(&format!("get --raw {path}"))?.json() };
    let node = [("impersonate-user", "system:node:node-1"), ("impersonate-group", "system:nodes")];
    let (feeder, answer) = bench.cluster.runtime().block_on(ask(&bench, path, &node))?;
    ensure!(answer.status() == 200, "{answer:?}");
    feeder.blocking_send("{\"instances\":2}\n".into())?;
    let begun = known()?;
    ensure!(begun["connected"] == true, "{begun}");
    let before = bench.cluster.revision()?;
    feeder.blocking_send("{\"instances\":3}\n".into())?;
    // The server reads it when it comes.
    let heard = (0..500).find_map(|_| known().ok().filter(|known| known["instances"] == 3));
    heard.context("the second beat was not heard")?;
    // kubectl's describe reads it as the Lease that a kubelet would renew.
    let lease: Value = bench.ok("get lease node-1 --namespace kube-node-lease --output json")?.json()?;
    ensure!(lease["spec"]["holderIdentity"] == "node-1" && lease["spec"]["renewTime"].is_string(), "{lease}");
    bench.ok("describe node node-1")?.says("HolderIdentity:  node-1")?;
    bench.run("get lease node-7 --namespace kube-node-lease")?.fails(1)?.says("not found")?;
    ensure!(bench.cluster.revision()? == before, "liveness was stored");
    drop(feeder);
    let ended = bench.cluster.runtime().block_on(answer.into_body().collect())?;
    ensure!(ended.to_bytes().is_empty());
    let gone = known()?;
    ensure!(gone["connected"] == false && gone["since"].as_str() >= begun["since"].as_str(), "{gone}");
    Ok(())
}

#[test]
fn a_watch_over_websocket() -> Result<()> {
    let Some(bench) = Bench::start("watch over WebSocket")? else { return Ok(()) };
    bench.cluster.runtime().block_on(async {
        let stream = connect(&bench, b"http/1.1").await?;
        let url = format!("wss://{}/api/v1/namespaces/default/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", bench.cluster.address()?);
        let (mut socket, answer) = tokio_tungstenite::client_async(url.into_client_request()?, stream).await?;
        ensure!(answer.status() == 101 && answer.headers().contains_key("audit-id"), "{answer:?}");
        let mut next = async || -> Result<Value> {
            loop {
                let message = socket.next().await.context("the watch ended")??;
                if let Ok(text) = message.to_text()
                    && message.is_text()
                {
                    return Ok(serde_json::from_str(text)?);
                }
            }
        };
        let event = next().await?;
        ensure!(event["type"] == "ADDED" && event["object"]["kind"] == "Pod", "{event}");
        let event = next().await?;
        ensure!(event["type"] == "BOOKMARK" && event["object"]["kind"] == "Pod", "{event}");
        let stopped = bench.cluster.runtime().spawn_blocking({
            let admin = bench.cluster.admin()?;
            move || admin.delete("/api/v1/namespaces/default/pods/web-1")
        });
        stopped.await??.expect(200)?;
        let event = next().await?;
        ensure!(event["type"] == "DELETED" && event["object"]["metadata"]["name"] == "web-1", "{event}");
        Ok(())
    })
}

#[test]
fn a_browser_shows_its_token_as_a_subprotocol() -> Result<()> {
    let Some(bench) = Bench::start("a token among subprotocols")? else { return Ok(()) };
    bench.ok("create serviceaccount browser")?;
    bench.ok("create clusterrolebinding viewer --clusterrole=view --serviceaccount=default:browser")?;
    let token = bench.ok("create token browser")?.out.trim().to_owned();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, token);
    bench.cluster.runtime().block_on(async {
        let url = format!("wss://{}/api/v1/namespaces/default/pods?watch=true", bench.cluster.address()?);
        let watch = async |protocols: String| -> Result<_> {
            let stream = connect(&bench, b"http/1.1").await?;
            let mut request = url.as_str().into_client_request()?;
            request.headers_mut().insert("sec-websocket-protocol", protocols.parse()?);
            Ok(tokio_tungstenite::client_async(request, stream).await)
        };
        let prefix = "base64url.bearer.authorization.k8s.io.";
        let (_, answer) = watch(format!("{prefix}{encoded}, base64.binary.k8s.io")).await??;
        let named = answer.headers().get("sec-websocket-protocol").context("no subprotocol")?;
        ensure!(answer.status() == 101 && named == "base64.binary.k8s.io", "{answer:?}");
        for wrong in [format!("{prefix}{encoded}"), format!("{prefix}bm9ib2R5, base64.binary.k8s.io")] {
            let refused = watch(wrong).await?.err().context("it was let in")?.to_string();
            ensure!(refused.contains("401"), "{refused}");
        }
        Ok(())
    })
}

#[test]
fn ports_over_websocket_alone() -> Result<()> {
    let Some(bench) = Bench::start("ports over WebSocket")? else { return Ok(()) };
    let port = super::streams::shouting()?;
    bench.cluster.runtime().block_on(async {
        let stream = connect(&bench, b"http/1.1").await?;
        let url = format!("wss://{}{POD}/portforward?ports={port}", bench.cluster.address()?);
        let mut request = url.into_client_request()?;
        request
            .headers_mut()
            .insert("sec-websocket-protocol", http::HeaderValue::from_static("v4.channel.k8s.io"));
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        socket.send(Message::Binary(Bytes::from_static(b"\0one\n"))).await?;
        let mut heard = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(bytes) = message {
                heard.push(bytes);
            }
        }
        let [low, high] = port.to_le_bytes();
        let golden = [&[0, low, high][..], &[1, low, high], b"\0ONE\n"];
        ensure!(heard == golden, "{heard:?}");
        Ok(())
    })
}

/// The administrator's key, and the cluster that it signs for.
fn author(bench: &Bench) -> Result<(SigningKey, ClusterId)> {
    let der = PrivateKeyDer::from_pem_slice(&bench.cluster.credentials().key)?;
    let der = der.secret_der();
    // The seed of an Ed25519 key ends its PKCS#8 form (RFC 8410).
    let seed: [u8; 32] = der.get(der.len().saturating_sub(32)..).context("a short key")?.try_into()?;
    let genesis = Genesis::decode(&std::fs::read(bench.cluster.dir().join("genesis"))?)?;
    Ok((SigningKey::from_seed(&seed), genesis.cluster_id()))
}

#[test]
fn what_a_user_signed_reaches_the_agent_as_it_was_signed_and_once() -> Result<()> {
    let Some(bench) = Bench::start("signed streams")? else { return Ok(()) };
    let (key, cluster) = author(&bench)?;
    let target = format!("{POD}/exec?command=echo&command=signed&stdout=true&container=web");
    let message = SignedMessage {
        method: SignedMethod::Post,
        target: &target,
        media: Media::None,
        body: Hash::of(&[]),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let signature = sign(&key, &cluster, &message, now, None, 9);
    let signed = headers(&cluster, &message, &[signature]);
    let sent = [
        (STREAM, FRAMES),
        ("signature-input", signed.signature_input.as_str()),
        ("signature", signed.signature.as_str()),
    ];
    bench.cluster.runtime().block_on(async {
        let (_feeder, answer) = ask(&bench, &target, &sent).await?;
        ensure!(answer.status() == 200, "{answer:?}");
        answer.into_body().collect().await?;
        let (caller, route) =
            bench.agent.asked.lock().unwrap().pop().context("the agent was asked nothing")?;
        let told = caller.signed.context("the signature did not reach the agent")?;
        let authors = told.verify(&cluster, &route)?;
        ensure!(
            authors.len() == 1 && authors[0].key == key.public() && authors[0].created == now,
            "{authors:?}"
        );
        // Nothing orders streams: that a signature counts once is the servers' to see to.
        let (_feeder, again) = ask(&bench, &target, &sent).await?;
        ensure!(again.status() == 401, "{again:?}");
        let other = target.replace("signed", "forged");
        let (_feeder, forged) = ask(&bench, &other, &sent).await?;
        ensure!(forged.status() == 401, "{forged:?}");
        Ok(())
    })
}

#[test]
fn who_answers_at_a_nodes_address_with_another_key_is_no_agent() -> Result<()> {
    let Some(bench) = Bench::start("impostor")? else { return Ok(()) };
    let admin = bench.cluster.admin()?;
    let nodes = "/apis/hypermesh.online/v1/nodes";
    let other = serde_json::json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": "node-2"},
        "spec": {"publicKey": SigningKey::from_seed(&[9; 32]).public().to_string()},
    });
    admin.post(nodes, &other)?.expect(201)?;
    let status = serde_json::json!({"status": {"agentEndpoint": bench.agent.address.to_string()}});
    admin.merge(&format!("{nodes}/node-2/status"), &status)?.expect(200)?;
    bench.instance_on("web-2", "web", "node-2")?;
    let refused = bench.run("logs web-2")?.fails(1)?;
    refused.says("the agent of node \"node-2\" cannot be asked")?.says("key")?;
    ensure!(bench.agent.asked.lock().unwrap().is_empty(), "an impostor was asked");
    Ok(())
}
