//! The API server as a daemon of its own.

use anyhow::{Context, Result, bail};
use clap::Parser as _;
use hypermesh_apiserver::flags::Flags;
use hypermesh_apiserver::{Config, DEFAULT_API, Server};
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
    if flags.peer.is_some() || flags.join.is_some() {
        bail!(
            "--peer and --join: this version runs one replica; replication between several is not there yet"
        );
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
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
