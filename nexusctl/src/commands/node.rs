//! `node`: the hosts of a cluster: what they are and hold, and how they are emptied.

mod cordon;
mod drain;
mod list;
mod look;
mod shares;

use crate::{
    error::{Error, Exit},
    session::Session,
};
use clap::Subcommand;

/// The verbs of `node`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show nodes, how they are and how full
    List(list::List),
    /// Show everything about nodes, and what runs there
    Describe(look::Describe),
    /// Keep new instances away from nodes; what runs there stays
    Cordon(cordon::Cordon),
    /// Let new instances come to nodes again
    Uncordon(cordon::Cordon),
    /// Empty nodes: keep new instances away, and move those that run there, as fast as their workloads allow
    Drain(drain::Drain),
}

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::List(arguments) => list::run(&arguments, session).await,
        Command::Describe(arguments) => look::run(&arguments, session).await,
        Command::Cordon(arguments) => cordon::run(&arguments, true, session).await,
        Command::Uncordon(arguments) => cordon::run(&arguments, false, session).await,
        Command::Drain(arguments) => drain::run(arguments, session).await,
    }
}
