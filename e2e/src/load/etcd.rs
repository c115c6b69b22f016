//! etcd as a peer: one member with durable writes, driven over its own gRPC gateway's JSON.
//!
//! The gateway is part of etcd's process and turns each request into a gRPC call of its own, so its figures hold etcd
//! and that step. Plain TCP: etcd's figures leave TLS out.

use super::client::{Call, Target};
use super::run::Work;
use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An etcd that runs; killed when dropped.
pub struct Etcd {
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// Where it is.
    pub target: Arc<Target>,
    /// Its version, as it says it.
    pub version: String,
    /// From the start of the process to the first good answer of `/health`.
    pub ready: Duration,
}

impl Etcd {
    /// Starts the `etcd` of the path on a folder; `None` where the machine has none.
    pub async fn start(dir: &Path) -> Result<Option<Self>> {
        let Ok(output) = Command::new("etcd").arg("--version").output().await else { return Ok(None) };
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.lines().next().unwrap_or_default().trim_start_matches("etcd Version:");
        let version = version.trim().to_owned();
        let [client, peer] = [free_address()?, free_address()?];
        let [client_url, peer_url] = [client, peer].map(|address| format!("http://{address}"));
        let log = std::fs::File::create(dir.with_extension("log"))?;
        let begin = Instant::now();
        let child = Command::new("etcd")
            .args(["--name", "peer", "--data-dir"])
            .arg(dir)
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("peer={peer_url}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting etcd")?;
        let pid = child.id().context("etcd has no process id")?;
        let target = Arc::new(Target::plain(client)?);
        loop {
            if let Ok(mut connection) = target.connect().await
                && let Ok((200, _)) = connection.call(Call::get("/health")).await
            {
                return Ok(Some(Self { child, pid, target, version, ready: begin.elapsed() }));
            }
            if begin.elapsed() > PATIENCE {
                bail!(
                    "etcd is not healthy after {PATIENCE:?}; its log is {}",
                    dir.with_extension("log").display()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// An address nobody listens on: etcd cannot say which port it was given.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What one connection does to etcd.
pub struct EtcdWork {
    /// Writes where there is a value, else reads.
    value: Option<String>,
    first: usize,
    count: usize,
}

impl EtcdWork {
    /// Puts of new keys, numbered from `first`, of one value.
    pub fn put(value: &Bytes, first: usize) -> Self {
        Self { value: Some(STANDARD.encode(value)), first, count: 0 }
    }

    /// Linearizable reads of single keys among `count` that exist.
    pub fn get(count: usize) -> Self {
        Self { value: None, first: 0, count: count.max(1) }
    }
}

impl Work for EtcdWork {
    fn next(&mut self, number: usize) -> Result<Call> {
        let key = |number: usize| STANDARD.encode(format!("/registry/widgets/load/w-{number:07}"));
        Ok(match &self.value {
            Some(value) => {
                let body = json!({"key": key(self.first + number), "value": value});
                Call::post("/v3/kv/put", body.to_string())
            }
            None => {
                let body = json!({"key": key(number.wrapping_mul(7919) % self.count)});
                Call::post("/v3/kv/range", body.to_string())
            }
        })
    }
}
