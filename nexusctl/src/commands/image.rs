//! `image`: images of nodes, and images made here.
//!
//! A node's images are asked and changed through the API server, as everything is: no access to the node is needed.

mod import;
mod list;
mod node;
mod pack;
mod progress;
mod pull;
mod rm;

use crate::{
    error::{Error, Exit},
    session::Session,
};
use clap::{Args, Subcommand};

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an image of static binaries and folders, without a build tool or a registry
    Pack(Box<pack::Arguments>),
    /// Give an image in an archive (OCI layout or docker-archive) to a node
    Import(import::Arguments),
    /// Have a node pull an image
    Pull(pull::Arguments),
    /// Show the images of a node
    List(list::Arguments),
    /// Show all that a node tells of an image, as YAML
    Inspect(list::Inspect),
    /// Take a name from an image of a node; without names it goes
    Rm(rm::Arguments),
}

/// Which node.
#[derive(Args, Clone, Debug, Default)]
pub struct OnNode {
    /// The node [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Pack(arguments) => pack::run(*arguments, session),
        Command::Import(arguments) => import::run(arguments, session).await,
        Command::Pull(arguments) => pull::run(arguments, session).await,
        Command::List(arguments) => list::run(arguments, session).await,
        Command::Inspect(arguments) => list::inspect(arguments, session).await,
        Command::Rm(arguments) => rm::run(arguments, session).await,
    }
}
