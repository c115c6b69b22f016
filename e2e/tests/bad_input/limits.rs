//! Clients that take more than their part: of memory, of connections, of the server's patience.

use crate::{CONFIGMAPS, NETWORKS, Server};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hypermesh_apiserver::Limits;
use hypermesh_e2e::{Client, Cluster};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long a client of these tests may take nothing.
const STALL: Duration = Duration::from_secs(2);

fn cluster(memory: usize) -> Result<Cluster> {
    Cluster::configured(|config| {
        config.limits = Limits { memory, connections: 48, stall: STALL, ..config.limits };
    })
}

fn metric(client: &Client, name: &str) -> Result<u64> {
    let text = client.get("/metrics")?.text();
    let line = text.lines().find(|line| line.starts_with(name)).with_context(|| text.clone())?;
    Ok(line.rsplit(' ').next().context("no value")?.parse()?)
}

/// Writes a head on a fresh connection and reads what comes back at once, without ever sending a body.
pub fn head_alone(client: &Client, head: &str) -> Result<String> {
    client.runtime().block_on(async {
        let mut stream = client.connect().await?;
        stream.write_all(head.as_bytes()).await?;
        let mut reply = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(8), stream.read(&mut reply)).await;
        let length = read.context("no answer")??;
        Ok(String::from_utf8_lossy(reply.get(..length).unwrap_or_default()).into_owned())
    })
}

/// Who is refused is refused by the head alone, however they say who they are.
pub fn check(server: &Server) -> Result<()> {
    let anonymous = server.cluster.anonymous()?;
    let head = |more: &str| {
        format!(
            "POST {NETWORKS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n{more}\r\n"
        )
    };
    let key = "0".repeat(64);
    let input = format!(
        "sig1=(\"@method\" \"@path\" \"@query\" \"content-digest\" \"content-type\");created=1;\
         nonce=\"0000000000000000\";keyid=\"{key}\";alg=\"ed25519\";tag=\"hypermesh:{key}\""
    );
    let digest = format!("content-digest: sha-256=:{}=:\r\n", "A".repeat(43));
    let signature = format!("signature: sig1=:{}==:\r\n", "A".repeat(86));
    let forged = format!("signature-input: {input}\r\n{signature}{digest}");
    for (what, more) in [
        ("nobody", ""),
        ("a bad token", "authorization: Bearer x\r\n"),
        ("a good and a bad token", "authorization: Bearer x\r\nauthorization: Bearer y\r\n"),
        ("nobody, who asks first", "expect: 100-continue\r\n"),
        ("a forged signature", forged.as_str()),
        ("a signature of nothing", "signature-input: x\r\n"),
    ] {
        let reply = head_alone(&anonymous, &head(more)).context(what)?;
        ensure!(reply.starts_with("HTTP/1.1 401 "), "{what}: {reply}");
        server.unharmed(what)?;
    }
    let compressed = head("content-encoding: gzip\r\n");
    let reply = head_alone(&server.admin, &compressed)?;
    ensure!(reply.starts_with("HTTP/1.1 415 "), "a compressed body: {reply}");
    let twice = head("content-type: application/yaml\r\n");
    let reply = head_alone(&server.admin, &twice)?;
    ensure!(reply.starts_with("HTTP/1.1 400 "), "two types: {reply}");
    server.unharmed("refusals by the head")
}

/// One client announces more bodies than its share and sends none of them: it waits, and is told to try again. Others
/// are served meanwhile.
#[test]
fn bodies_that_never_come_hold_up_their_sender_alone() -> Result<()> {
    let cluster = cluster(Limits::LEAST_MEMORY)?;
    let admin = cluster.admin()?;
    let other = admin.clone().impersonating("other", &["system:masters"]);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "writer"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", &account)?.expect(201)?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "writer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "writer", "namespace": "default"}],
    });
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)?.expect(201)?;
    let token =
        admin.post("/api/v1/namespaces/default/serviceaccounts/writer/token", &json!({}))?.expect(201)?;
    let writer = cluster.anonymous()?.bearer(token["status"]["token"].as_str().context("no token")?);
    let head = format!(
        "POST {CONFIGMAPS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n"
    );
    let silent = cluster.runtime().block_on(async {
        let mut silent = admin.connect().await?;
        silent.write_all(head.as_bytes()).await?;
        anyhow::Ok(silent)
    })?;
    let held = Instant::now();
    while metric(&writer, "hypermesh_apiserver_request_bytes_held")? == 0 {
        ensure!(held.elapsed() < Duration::from_secs(5), "nothing is reserved for an announced body");
    }
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    writer.post(CONFIGMAPS, &map("served"))?.expect(201)?;
    // The same user in another's name is still the same user.
    let large = vec![b' '; 2_000_000];
    let send = |client: &Client| {
        client.send("POST", CONFIGMAPS, &[("content-type", "application/json")], large.clone())
    };
    let replies = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| send(&admin)), scope.spawn(|| send(&other)));
        [one.join(), two.join()]
    });
    for reply in replies {
        let reply = reply.map_err(|_| anyhow::anyhow!("a client panicked"))??;
        ensure!(reply.code == 429, "{} {}", reply.code, reply.text());
        ensure!(reply.header("retry-after") == Some("1"), "{:?}", reply.headers);
        ensure!(reply.json()?["reason"] == "TooManyRequests", "{}", reply.text());
    }
    writer.post(CONFIGMAPS, &map("still-served"))?.expect(201)?;
    // Who is silent for too long gives back what was kept for it.
    let reply = cluster.runtime().block_on(async {
        let (mut silent, mut reply) = (silent, Vec::new());
        tokio::time::timeout(Duration::from_secs(15), silent.read_to_end(&mut reply)).await??;
        anyhow::Ok(String::from_utf8_lossy(&reply).into_owned())
    })?;
    ensure!(reply.starts_with("HTTP/1.1 408 ") && reply.contains("nothing came for 10 s"), "{reply}");
    admin.post(CONFIGMAPS, &map("served-again"))?.expect(201)?;
    ensure!(metric(&writer, "hypermesh_apiserver_requests_without_room_total")? == 2);
    Ok(())
}

#[test]
fn connections_beyond_the_limit_are_refused_and_counted() -> Result<()> {
    let cluster = cluster(Limits::default().memory)?;
    let admin = cluster.admin()?;
    let mut open = cluster.runtime().block_on(async {
        let mut open = Vec::new();
        for _ in 0..47 {
            open.push(admin.connect().await?);
        }
        anyhow::Ok(open)
    })?;
    // The last place goes to one after another; what has just ended may not have left yet.
    let begun = Instant::now();
    while admin.get("/readyz").is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(5), "the last place is not given");
    }
    let full = cluster.runtime().block_on(async {
        let begun = Instant::now();
        loop {
            match admin.connect().await {
                Ok(stream) => open.push(stream),
                Err(_) => return true,
            }
            if begun.elapsed() > Duration::from_secs(5) {
                return false;
            }
        }
    });
    ensure!(full, "{} connections are open", open.len());
    drop(open);
    let begun = Instant::now();
    let refused = loop {
        match metric(&admin, "hypermesh_apiserver_connections_refused_total{limit=\"all\"}") {
            Ok(refused) => break refused,
            Err(error) => ensure!(begun.elapsed() < Duration::from_secs(5), "{error:#}"),
        }
    };
    ensure!(refused >= 1);
    Ok(())
}

type Sender = http2::SendRequest<Empty<Bytes>>;

async fn multiplexed(client: &Client, window: u32) -> Result<Sender> {
    let stream = client.connect_for(b"h2").await?;
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(window)
        .initial_connection_window_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn get(target: &str) -> Result<hyper::Request<Empty<Bytes>>> {
    Ok(hyper::Request::get(format!("https://localhost{target}")).body(Empty::new())?)
}

/// Lists and watches whose client takes nothing end, on HTTP/1.1 and on HTTP/2, where the other streams of the
/// connection go on; and they hold little while they last.
#[test]
fn who_reads_nothing_is_cut_off() -> Result<()> {
    let cluster = cluster(Limits::default().memory)?;
    let admin = cluster.admin()?;
    let filling = "x".repeat(1 << 20);
    for n in 0..24 {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{n}")}, "data": {"a": filling}});
        admin.post(CONFIGMAPS, &map)?.expect(201)?;
    }
    // What the store keeps of its files in memory is there from now on.
    ensure!(admin.get(CONFIGMAPS)?.code == 200);
    let before = crate::resident()?;
    let watch = format!(
        "{CONFIGMAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    cluster.runtime().block_on(async {
        let mut silent = Vec::new();
        for target in [CONFIGMAPS, watch.as_str(), CONFIGMAPS] {
            let mut stream = admin.connect().await?;
            stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
            silent.push(stream);
        }
        let mut sender = multiplexed(&admin, 1024).await?;
        let list = sender.send_request(get(CONFIGMAPS)?).await?;
        let events = sender.send_request(get(&watch)?).await?;
        let whole = sender.send_request(get("/openapi/v3/apis/hypermesh.online/v1")?).await?;
        ensure!(list.status() == 200 && events.status() == 200 && whole.status() == 200);
        let begun = Instant::now();
        while metric_of(&mut sender, "hypermesh_apiserver_stalled_streams_total").await? < 3 {
            ensure!(begun.elapsed() < STALL * 4, "streams that nobody reads are still open");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Taken before this process reads what lies in its sockets.
        let grown = crate::resident()?.saturating_sub(before);
        ensure!(grown < crate::GROWTH, "the process grew by {} KiB", grown / 1024);
        for reply in [list, events, whole] {
            ensure!(reply.into_body().collect().await.is_err(), "half a reply looks like a whole one");
        }
        for mut stream in silent {
            let mut reply = Vec::new();
            let read = tokio::time::timeout(STALL * 8, stream.read_to_end(&mut reply)).await;
            let ended = read.context("a connection that nobody reads is still open")?;
            let whole = reply.ends_with(b"\r\n0\r\n\r\n");
            ensure!(ended.is_err() || !whole, "half a reply looks like a whole one");
        }
        anyhow::Ok(())
    })?;
    // What was held was given back.
    let begun = Instant::now();
    while metric(&admin, "hypermesh_apiserver_reply_bytes_held")? > 0 {
        ensure!(begun.elapsed() < STALL * 4, "replies that nobody waits for are still held");
    }
    let list = admin.get(CONFIGMAPS)?.expect(200)?;
    ensure!(list["items"].as_array().is_some_and(|items| items.len() == 24), "the list is short");
    Ok(())
}

async fn metric_of(sender: &mut Sender, name: &str) -> Result<u64> {
    let reply = sender.send_request(get("/metrics")?).await?;
    let text = String::from_utf8(reply.into_body().collect().await?.to_bytes().to_vec())?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such metric")?;
    Ok(line.rsplit(' ').next().context("no value")?.parse()?)
}

/// Requests that are made and given up at once (CVE-2023-44487) end the connection, and nothing else.
#[test]
fn a_flood_of_resets_ends_its_connection() -> Result<()> {
    let cluster = cluster(Limits::default().memory)?;
    let admin = cluster.admin()?;
    cluster.runtime().block_on(async {
        let mut sender = multiplexed(&admin, 65_535).await?;
        let begun = Instant::now();
        while !sender.is_closed() {
            ensure!(begun.elapsed() < Duration::from_secs(20), "the flood goes on");
            let Ok(()) = sender.ready().await else { break };
            let target = format!("{CONFIGMAPS}?watch=1");
            let reply = sender.send_request(get(&target)?);
            // Long enough for the request to be on its way.
            let _ = tokio::time::timeout(Duration::from_millis(1), reply).await;
        }
        anyhow::Ok(())
    })?;
    ensure!(admin.get("/readyz")?.code == 200);
    Ok(())
}
