//! The controllers as a daemon of their own.
//!
//! Any flag may stand in a TOML file (`--config FILE`, keys as the flags without dashes); flags go before the file.

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use hypermesh_controllers::runtime::failure::chain;
use hypermesh_controllers::runtime::lease::Timing;
use hypermesh_controllers::{DEFAULT_LOG, DEFAULT_METRICS, Election, Process, Settings, rights, runtime};
use hypermesh_schemas::value;
use serde::Deserialize;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the controllers of a HyperMesh cluster. Several may run: one works, the others stand by.
#[derive(Debug, Default, Deserialize, Parser)]
#[command(name = "nexus-controllers", version)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Flags {
    /// TOML file with any of the flags below
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// How the API server is reached, and as whom; the server writes one to DIR/controllers.kubeconfig
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where /metrics, /healthz, /readyz and, for this machine alone, /decisions are served [default: 127.0.0.1:6445]
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<SocketAddr>,
    /// There is no other process: work at once, without a Lease
    #[arg(long)]
    alone: bool,
    /// How long others wait for a leader that is silent, 3s to 10m; it is written every two fifths of that [default: 30s]
    #[arg(long, value_name = "TIME")]
    lease_duration: Option<String>,
    /// For how long Events are kept after they were last written, at least 1s [default: 24h]
    #[arg(long, value_name = "TIME")]
    event_retention: Option<String>,
    /// Print the roles and bindings that the controllers need, for `nexusctl apply -f -`, and end
    #[arg(long)]
    #[serde(skip)]
    rights: bool,
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
            kubeconfig: flags.kubeconfig.or(file.kubeconfig),
            metrics: flags.metrics.or(file.metrics),
            alone: flags.alone || file.alone,
            lease_duration: flags.lease_duration.or(file.lease_duration),
            event_retention: flags.event_retention.or(file.event_retention),
            rights: flags.rights,
        })
    }

    fn settings(self) -> Result<Settings> {
        let Some(kubeconfig) = self.kubeconfig else {
            bail!(
                "--kubeconfig FILE is missing: the server writes one to controllers.kubeconfig in its data folder"
            );
        };
        let mut settings = Settings::new(kubeconfig);
        settings.metrics = Some(match self.metrics {
            Some(address) => address,
            None => DEFAULT_METRICS.parse().context("the default address")?,
        });
        let (second, most) = (Duration::from_secs(1), Duration::from_secs(600));
        if let Some(text) = self.lease_duration {
            let duration = duration("--lease-duration", &text, 3 * second, most)?;
            settings.election = Some(Election { timing: Timing { duration }, ..Election::default() });
        }
        if self.alone {
            settings.election = None;
        }
        if let Some(text) = self.event_retention {
            settings.event_retention = duration("--event-retention", &text, second, Duration::MAX)?;
        }
        Ok(settings)
    }
}

fn duration(flag: &str, text: &str, least: Duration, most: Duration) -> Result<Duration> {
    let duration = value::Duration::parse(text).map_err(|error| anyhow::anyhow!("{flag}: {error}"))?.as_std();
    if duration < least || duration > most {
        bail!("{flag}: {text} is shorter than {least:?} or longer than {most:?}");
    }
    Ok(duration)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // What an operator did wrong has no backtrace, whatever RUST_BACKTRACE says.
        Err(error) => {
            eprintln!("error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let flags = Flags::settled()?;
    if flags.rights {
        println!("{}", serde_json::to_string_pretty(&rights::list())?);
        return Ok(());
    }
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        )
        .init();
    let settings = flags.settings()?;
    // It waits for a server most of the time: one thread is enough, and smallest.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let process = Process::prepare(settings).await?;
    let metrics = process.metrics_address().map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(metrics, "the controllers start");
    let (stopper, stop) = runtime::stop();
    let running = process.run(stop);
    let mut running = std::pin::pin!(running);
    tokio::select! {
        result = &mut running => return Ok(result?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stopper.stop();
    running.await?;
    Ok(())
}
