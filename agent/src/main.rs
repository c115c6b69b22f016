//! A node's agent as a daemon.
//!
//! `nexus-agent shim …` is no agent: it is the small process that is the parent of one instance's containers, which the
//! agent starts itself. Any flag of the agent may stand in a TOML file (`--config FILE`, keys as the flags without
//! dashes); flags go before the file.

mod flags;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use flags::Flags;
use hypermesh_agent::Agent;
use hypermesh_agent::failure::chain;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// What is logged unless RUST_LOG says otherwise.
const LOG: &str = "info,quinn=warn,h3=warn";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    // A shim has one thread, and nothing of an agent.
    if arguments.nth(1).is_some_and(|first| first == "shim") {
        return hypermesh_shim::main(arguments);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let flags = Flags::parse().over_file()?;
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && !plain)
        .init();
    // It waits for others most of the time: few threads, and little memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(flags))
}

async fn serve(flags: Flags) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let settings = flags.settings().await?;
    let node = settings.node.clone();
    let agent = Agent::prepare(settings).await.context("the agent does not start")?;
    for lack in agent.lacks() {
        tracing::warn!(lack, "this node gives instances less than it might");
    }
    let address = agent.address().map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(node, address, "the agent starts");
    tokio::spawn(hypermesh_agent::let_go());
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("the agent ends; what runs goes on");
    };
    agent.run(stop).await?;
    Ok(())
}
