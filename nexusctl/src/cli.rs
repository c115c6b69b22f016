//! The command line: flags and verbs, and nothing of what they do.

use crate::{commands, environment::Environment, error::Error, kubeconfig::Overrides};
use clap::{Args, Parser, Subcommand, ValueEnum};
use hypermesh_client::Transport;
use std::{path::PathBuf, time::Duration};

/// The longest that a request waits for the beginning of its reply, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command line of HyperMesh.
#[derive(Debug, Parser)]
#[command(name = "nexusctl", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(about = "Runs and commands HyperMesh", max_term_width = 100)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub options: GlobalOptions,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every verb takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Cluster and identity")]
pub struct GlobalOptions {
    /// Kubeconfig to use [default: $KUBECONFIG, the file of `nexusctl up`, ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// User of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// Namespace to work in
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Address of the API server
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// Name that the server's certificate must carry, if not that of the URL
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,
    /// Take any certificate of the server: whoever is in between can read and change everything
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
    /// Certificates (PEM) that the server's must lead to
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,
    /// Certificate (PEM) to show to the server
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,
    /// Key (PEM) of that certificate
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    pub client_key: Option<PathBuf>,
    /// Bearer token to show to the server
    #[arg(long, global = true, hide_short_help = true)]
    pub token: Option<String>,
    /// User to act as
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub impersonate: Option<String>,
    /// Group to act as; may be given several times
    #[arg(long = "as-group", global = true, value_name = "GROUP", hide_short_help = true)]
    pub impersonate_groups: Vec<String>,
    /// Longest wait for the beginning of a reply: 1s, 2m, 3h; 0 for ever [default: 1m]
    #[arg(long, global = true, value_name = "TIME", allow_hyphen_values = true, value_parser = parse_duration, hide_short_help = true)]
    pub request_timeout: Option<Duration>,
    /// Colours: auto (on terminals, unless NO_COLOR is set), always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_short_help = true
    )]
    pub color: Color,
    /// What carries requests: auto (HTTP/3 where UDP gets through), http3 or tcp [default: $NEXUSCTL_TRANSPORT, tcp; auto
    /// for proxy]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub transport: Option<Transport>,
    /// How much to tell of what is done: 6 tells each request, 8 their bodies too
    #[arg(short, long = "v", global = true, value_name = "LEVEL", hide_short_help = true)]
    pub verbosity: Option<u8>,
}

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On terminals, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl GlobalOptions {
    /// What the flags say about server and identity.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            namespace: self.namespace.clone(),
            server: self.server.clone(),
            tls_server_name: self.tls_server_name.clone(),
            insecure: self.insecure_skip_tls_verify,
            certificate_authority: self.certificate_authority.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
            token: self.token.clone(),
            impersonate: self.impersonate.clone(),
            impersonate_groups: self.impersonate_groups.clone(),
        }
    }

    /// What carries requests, where the flag or the environment says.
    pub fn transport(&self, environment: &Environment) -> Result<Option<Transport>, Error> {
        if self.transport.is_some() {
            return Ok(self.transport);
        }
        let Some(text) = &environment.transport else { return Ok(None) };
        let parsed = text.to_string_lossy().parse().map(Some);
        parsed.map_err(|why| Error::Message(format!("NEXUSCTL_TRANSPORT: {why}")))
    }

    /// The longest wait for the beginning of a reply.
    pub fn timeout(&self) -> Duration {
        match self.request_timeout {
            None => PATIENCE,
            Some(Duration::ZERO) => Duration::from_secs(u64::from(u32::MAX)),
            Some(timeout) => timeout,
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a whole cluster in this process
    Up(commands::up::Arguments),
    /// Bring objects to the state of manifests
    Apply(commands::apply::Arguments),
    /// Create objects that do not exist yet, from manifests or from words
    Create(commands::create::Arguments),
    /// Judge manifests without a server
    Validate(commands::validate::Arguments),
    /// Make Kubernetes' workloads and networks into ours
    Convert(commands::convert::Arguments),
    /// Change objects in an editor
    Edit(commands::edit::Arguments),
    /// Make an object what it was, a deleted one too
    Rollback(commands::rollback::Arguments),
    /// Follow how a changed template reaches its instances, stop it, and go back
    #[command(subcommand)]
    Rollout(commands::rollout::Command),
    /// Change objects by a patch
    Patch(commands::patch::Arguments),
    /// Set, change, take away or list labels of objects
    Label(commands::label::Arguments),
    /// Set, change, take away or list annotations of objects
    Annotate(commands::annotate::Arguments),
    /// Set how many replicas there should be
    Scale(commands::scale::Arguments),
    /// Show objects
    Get(commands::get::Arguments),
    /// Show everything about objects, their events too
    Describe(commands::describe::Arguments),
    /// Show what the fields of a type mean
    Explain(commands::explain::Arguments),
    /// Show what happened
    Events(commands::events::Arguments),
    /// Show the versions of an object: when, by whom, what changed
    History(commands::history::Arguments),
    /// Show what containers have written
    Logs(commands::logs::Arguments),
    /// Run a command in a container
    Exec(commands::exec::Arguments),
    /// See and give what a container reads and writes
    Attach(commands::attach::Arguments),
    /// Bring ports of an instance to this machine
    #[command(name = "port-forward")]
    PortForward(commands::port_forward::Arguments),
    /// Copy files to and from a container
    Cp(commands::cp::Arguments),
    /// Show what nodes and instances use
    #[command(subcommand)]
    Top(commands::top::Command),
    /// Make images, and see and change those of nodes
    #[command(subcommand)]
    Image(commands::image::Command),
    /// Say why something is where it is, or nowhere, and what it waits for
    Why(commands::why::Arguments),
    /// Show, cordon and drain nodes
    #[command(subcommand)]
    Node(commands::node::Command),
    /// Wait until objects are as asked
    Wait(commands::wait::Arguments),
    /// Delete objects
    Delete(commands::delete::Arguments),
    /// Show what applying manifests would change; exits 1 if it would change something
    Diff(commands::diff::Arguments),
    /// Show what the server serves
    #[command(name = "api-resources")]
    ApiResources(commands::api_resources::Arguments),
    /// Ask about identity and rights
    #[command(subcommand)]
    Auth(commands::auth::Command),
    /// Ask for certificates, decide on them, and look after those of a cluster on this machine
    #[command(subcommand)]
    Certs(commands::certs::Command),
    /// Found clusters of several replicas, and look at them
    #[command(subcommand)]
    Cluster(commands::cluster::Command),
    /// Make tokens with which machines and people come in
    #[command(subcommand)]
    Token(commands::token::Command),
    /// Help a shell to complete command lines
    Completion(commands::completion::Arguments),
    /// What a shell asks
    #[command(name = "__complete", hide = true)]
    Complete(commands::completion::Asked),
    /// Show and change contexts, clusters and users of kubeconfigs
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Serve the API on this machine over plain HTTP, signing for clients that cannot
    Proxy(commands::proxy::Arguments),
    /// Show the versions of this program and of the server
    Version(commands::version::Arguments),
}

/// `90s`, `2m`, `1h30m`, `250ms`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time such as 30s, 5m or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            "d" => number.checked_mul(86_400).map(Duration::from_secs),
            _ => None,
        };
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}
