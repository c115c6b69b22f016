//! `cluster`: clusters of several replicas.

mod init;
mod status;

use crate::{
    error::{Error, Exit},
    session::Session,
};
use clap::Subcommand;

/// What to do with a cluster's replicas.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Found a cluster of several replicas: makes a data folder for each, to be taken to its machine
    Init(init::Arguments),
    /// Show the replicas, which of them the one that is asked can reach, and what is decided
    Status(status::Arguments),
}

impl Command {
    /// Whether it is about files of this machine, and asks no server.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Init(_))
    }
}

/// Runs the verbs of this machine's files.
pub fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Init(arguments) => init::run(&arguments, session),
        Command::Status(_) => Ok(Exit::Success),
    }
}

/// Runs the verbs that ask a server.
pub async fn ask(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Status(arguments) => status::run(&arguments, session).await,
        Command::Init(arguments) => init::run(&arguments, session),
    }
}
