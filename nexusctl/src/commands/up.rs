//! `up`: a whole cluster in one process, without questions.

mod agent;
mod controllers;
mod policy;
mod replicas;

use crate::{
    error::{Error, Exit, chain},
    session::Session,
};
use agent::NodeAgent;
use clap::{Args, ValueEnum};
use controllers::Controllers;
use hypermesh_apiserver::flags::Tuning;
use hypermesh_apiserver::{Config, DEFAULT_API};
use hypermesh_schemas::KindDefinition;
use policy::Policy;
use replicas::{MOST_REPLICAS, Replicas};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How replicas agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Byzantine fault tolerance
    Bft,
    /// Raft: replicas of one owner
    Raft,
}

/// Arguments of `up`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl up
  # Let instances see /srv of this machine, and pull what Docker Hub has from a mirror
  nexusctl up --allow-host-path /srv --mirror docker.io=mirror.example.com
  # Store and serve, run nothing on this machine
  nexusctl up --no-agent --data-dir ./data --api 127.0.0.1:7443")]
pub struct Arguments {
    /// Where the cluster's data is kept [default: /var/lib/hypermesh for root, else $XDG_DATA_HOME/hypermesh]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the API is served
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_API)]
    pub api: SocketAddr,
    /// Where DNS is served
    #[arg(long, value_name = "HOST:PORT")]
    pub dns: Option<SocketAddr>,
    /// Run no agent: store and serve, but run nothing on this machine
    #[arg(long)]
    pub no_agent: bool,
    /// Run no controllers: where they run as processes of their own (nexus-controllers)
    #[arg(long)]
    pub no_controllers: bool,
    /// Where the controllers' metrics are served [default: 127.0.0.1:6445, unless something else uses it]
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<SocketAddr>,
    /// For how long Events are kept after they were last written, where their namespace asks for nothing else
    #[arg(long, value_name = "TIME", default_value = "24h", allow_hyphen_values = true, value_parser = crate::cli::parse_duration)]
    pub event_retention: Duration,
    /// How replicas agree
    #[arg(long, value_enum, default_value_t = Engine::Bft)]
    pub engine: Engine,
    /// Replicas in this process: with four, one may be faulty. No number of them survives this machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_REPLICAS))]
    pub replicas: u32,
    /// Further name or address for the server's certificate; may be given several times
    #[arg(long = "tls-san", value_name = "NAME")]
    pub tls_san: Vec<String>,
    /// What the server keeps, and lets clients take.
    #[command(flatten)]
    pub tuning: Tuning,
    /// What its agent lets instances do.
    #[command(flatten)]
    pub policy: Policy,
    /// Verify the data folder instead of starting; exits 1 if anything is wrong
    #[arg(long)]
    pub check: bool,
    /// A CustomResourceDefinition (JSON or YAML) whose kind a new cluster gets beside its own, for tests
    #[arg(long, value_name = "FILE", hide = true)]
    pub genesis_kind: Vec<PathBuf>,
}

/// Runs the verb: returns when the cluster has ended.
pub fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let dir = match arguments.data_dir.clone().or_else(|| session.environment.data_dir()) {
        Some(dir) => dir,
        None => return Err(Error::Message("there is no home to keep data in: say --data-dir DIR".into())),
    };
    if arguments.check {
        return check(&dir, session);
    }
    refuse_what_is_not_there(&arguments)?;
    let mut config = Config::new(dir, arguments.api);
    config.names.clone_from(&arguments.tls_san);
    arguments.tuning.apply(&mut config);
    for file in &arguments.genesis_kind {
        config.extra_kinds.push(kind(file)?);
    }
    crate::observe_daemon(session.streams.err_color);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Message(format!("cannot start: {error}")))?;
    runtime.block_on(serve(config, &arguments, session))
}

fn refuse_what_is_not_there(arguments: &Arguments) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::Message(text));
    if arguments.engine == Engine::Raft {
        return refuse("--engine raft: this version has no Raft engine yet; one replica needs none".into());
    }
    if let Some(address) = arguments.dns {
        return refuse(format!("--dns {address}: this version serves no DNS yet; leave the flag out"));
    }
    Ok(())
}

fn kind(file: &Path) -> Result<KindDefinition, Error> {
    let failed = |why: String| Error::Message(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    let manifest: serde_json::Value =
        serde_saphyr::from_str(&text).map_err(|error| failed(error.to_string()))?;
    KindDefinition::from_crd(&manifest).map_err(|error| failed(error.to_string()))
}

async fn serve(config: Config, arguments: &Arguments, session: &mut Session) -> Result<Exit, Error> {
    let failed = |error: std::io::Error| Error::Message(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let dir = config.dir.clone();
    let cluster =
        Replicas::start(config, arguments.replicas).await.map_err(|error| Error::Message(chain(&error)))?;
    let server = cluster.first();
    let controllers = match Controllers::start(server, arguments).await {
        Ok(controllers) => controllers,
        Err(error) => {
            cluster.stop().await;
            return Err(error);
        }
    };
    let agent = match NodeAgent::start(server, arguments, &dir).await {
        Ok(agent) => agent,
        Err(error) => {
            controllers.stop().await;
            cluster.stop().await;
            return Err(error);
        }
    };
    let kubeconfig = server.kubeconfig().display();
    session.say(&format!("HyperMesh {}, cluster {}", env!("CARGO_PKG_VERSION"), &server.cluster()[..16]))?;
    session.say(&format!("api         https://{}", server.address()))?;
    session.say(&format!("data        {}", dir.display()))?;
    for line in cluster.words() {
        session.say(&line)?;
    }
    // Only where it is looked for.
    let usual = session.environment.data_dir().is_some_and(|usual| usual == dir);
    let takers =
        if usual { "nexusctl finds it by itself; kubectl takes" } else { "nexusctl and kubectl take" };
    session.say(&format!("kubeconfig  {kubeconfig}  ({takers} KUBECONFIG={kubeconfig})"))?;
    session.say(&format!("controllers {}", controllers.words()))?;
    session.say(&format!("agent       {}", agent.words()))?;
    session.say("dns         inactive: this version serves no DNS yet")?;
    session.say("ready")?;
    session.flush()?;
    tokio::spawn(hypermesh_agent::let_go());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    session.say("stopping")?;
    session.flush()?;
    // They end first: what they still write, the server still takes. What runs goes on without them.
    agent.stop().await;
    controllers.stop().await;
    cluster.stop().await;
    Ok(Exit::Success)
}

/// Reads everything that is stored and names what is wrong.
fn check(dir: &Path, session: &mut Session) -> Result<Exit, Error> {
    let report = hypermesh_apiserver::check(dir).map_err(|error| Error::Message(chain(error.as_ref())))?;
    for line in &report.findings {
        session.say(line)?;
    }
    session.say(&report.summary)?;
    Ok(if report.sound { Exit::Success } else { Exit::Failure })
}
