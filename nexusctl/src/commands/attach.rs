//! `attach`: what a container reads and writes, as it runs.

use crate::{
    client::Call,
    commands::exec::{Conversation, converse},
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
    /// With what
    #[command(flatten)]
    pub with: Conversation,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let place = running::one(&arguments.with.instance, session).await?;
    let call = Call::get(place.path("attach"));
    converse(&place, call, &arguments.with, false, session).await
}
