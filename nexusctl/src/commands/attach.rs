//! `attach`: what a container reads and writes, as it runs.

use crate::{
    client::Call,
    commands::exec::{Wanted, converse, is_terminal, parameters},
    error::{Error, Exit},
    running,
    session::Session,
};
use clap::Args;

const EXAMPLES: &str = "Examples:
  nexusctl attach web-1
  # Its input too, where its manifest has `stdin: true`; with `tty: true` -t is its terminal
  nexusctl attach -it console-1";

/// Arguments of `attach`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The instance: NAME, pod/NAME, or workload/NAME for one that it has
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Its container [default: the only one, or that of its annotation kubectl.kubernetes.io/default-container]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Give it what this command reads
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Its output is that of a terminal
    #[arg(short, long)]
    pub tty: bool,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let place = running::one(&arguments.instance, session).await?;
    let tty = arguments.tty && is_terminal(arguments.stdin, session);
    let call =
        parameters(Call::get(place.path("attach")), arguments.container.as_deref(), arguments.stdin, tty);
    let streams = Wanted { stdin: arguments.stdin, tty, quiet: false };
    converse(&place, &call.path, &streams, session).await
}
