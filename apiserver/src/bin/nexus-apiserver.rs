//! The API server as a daemon of its own.

use anyhow::{Context, Result, bail};
use clap::Parser as _;
use hypermesh_apiserver::flags::Flags;
use hypermesh_apiserver::{Config, DEFAULT_API, Replication, Server};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // What an operator did wrong has no backtrace, whatever RUST_BACKTRACE says.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    hypermesh_apiserver::memory::settle();
    let flags = Flags::parse().over_file()?;
    if flags.join.is_some() {
        bail!(
            "--join: this version takes no further replicas into a cluster; `nexusctl cluster init` founds one of several"
        );
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,arc_malachitebft_core_consensus=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        )
        .init();
    let api = match flags.api {
        Some(address) => address,
        None => DEFAULT_API.parse().context("the default address")?,
    };
    let tuning = flags.tuning();
    let mut config = Config::new(flags.data_dir.unwrap_or_else(|| PathBuf::from("/var/lib/hypermesh")), api);
    config.names = flags.tls_san;
    config.replication = Replication::of_folder(&config.dir, flags.peer)?;
    if flags.peer.is_some() && config.replication.is_none() {
        bail!(
            "--peer: {} is of no cluster of several replicas; `nexusctl cluster init` founds one",
            config.dir.display()
        );
    }
    tuning.apply(&mut config);
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
