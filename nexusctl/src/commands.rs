//! The verbs, a file each.
//!
//! A verb is a struct of clap arguments and an `async fn run(arguments, &mut Session) -> Result<Exit, Error>`.
//! A verb that is no client (one that runs daemons, say) brings its own runtime and gets its own arm in [`run`].

pub mod api_resources;
pub mod apply;
pub mod auth;
pub mod certs;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod files;
pub mod filter;
pub mod get;
pub mod token;
pub mod up;
pub mod version;

use crate::{
    cli::Command,
    error::{Error, Exit},
    session::Session,
};

/// Runs a verb to its end.
pub fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Apply(arguments) => client(apply::run(arguments, session)),
        Command::Get(arguments) => client(get::run(arguments, session)),
        Command::Describe(arguments) => client(describe::run(arguments, session)),
        Command::Delete(arguments) => client(delete::run(arguments, session)),
        Command::Diff(arguments) => client(diff::run(arguments, session)),
        Command::ApiResources(arguments) => client(api_resources::run(arguments, session)),
        Command::Auth(command) => client(auth::run(command, session)),
        Command::Up(arguments) => up::run(arguments, session),
        Command::Certs(command) => certs::run(command, session),
        Command::Token(command) => client(token::run(command, session)),
        Command::Version(arguments) => client(version::run(arguments, session)),
    }
}

/// The exit of a verb that fails: `diff` keeps 1 for differences.
pub fn trouble(command: &Command) -> Exit {
    match command {
        Command::Diff(_) => Exit::Trouble,
        _ => Exit::Failure,
    }
}

/// A client waits for one server: one thread is enough, and starts soonest.
fn client(work: impl Future<Output = Result<Exit, Error>>) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Message(format!("cannot start: {e}")))?;
    let result = runtime.block_on(work);
    // A name server that hangs must not hold the process.
    runtime.shutdown_background();
    result
}
