//! The API server as a daemon of its own.
//!
//! Any flag may stand in a TOML file (`--config FILE`, keys as the flags without dashes); flags go before the file.

use anyhow::{Context, Result, bail};
use clap::Parser;
use hypermesh_apiserver::{Config, DEFAULT_API, Server};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves the HyperMesh API from one data folder.
#[derive(Debug, Default, Deserialize, Parser)]
#[command(name = "nexus-apiserver", version)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Flags {
    /// TOML file with any of the flags below
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where the data is kept [default: /var/lib/hypermesh]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the API is served [default: 127.0.0.1:6443]
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<SocketAddr>,
    /// Where other replicas reach this one
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<SocketAddr>,
    /// A replica of the cluster to join
    #[arg(long, value_name = "HOST:PORT")]
    join: Option<String>,
    /// Further name or address for the server's certificate; may be given several times
    #[arg(long, value_name = "NAME")]
    tls_san: Vec<String>,
}

impl Flags {
    /// Flags over file.
    fn settled() -> Result<Self> {
        let flags = Self::parse();
        let Some(path) = &flags.config else { return Ok(flags) };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: Self = toml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?;
        Ok(Self {
            config: None,
            data_dir: flags.data_dir.or(file.data_dir),
            api: flags.api.or(file.api),
            peer: flags.peer.or(file.peer),
            join: flags.join.or(file.join),
            tls_san: if flags.tls_san.is_empty() { file.tls_san } else { flags.tls_san },
        })
    }
}

fn main() -> Result<()> {
    hypermesh_apiserver::memory::settle();
    let flags = Flags::settled()?;
    if flags.peer.is_some() || flags.join.is_some() {
        bail!(
            "--peer and --join: this version runs one replica; replication between several is not there yet"
        );
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let api = match flags.api {
        Some(address) => address,
        None => DEFAULT_API.parse().context("the default address")?,
    };
    let mut config = Config::new(flags.data_dir.unwrap_or_else(|| PathBuf::from("/var/lib/hypermesh")), api);
    config.names = flags.tls_san;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::start(config).await?;
    tracing::info!(address = %server.address(), cluster = server.cluster(), "ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await;
    Ok(())
}
