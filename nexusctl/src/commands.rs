//! The verbs, a file each.
//!
//! A verb is a struct of clap arguments and an `async fn run(arguments, &mut Session) -> Result<Exit, Error>`.
//! A verb that is no client (one that runs daemons, say) brings its own runtime and gets its own arm in [`run`].

pub mod annotate;
pub mod api_resources;
pub mod apply;
pub mod attach;
pub mod auth;
pub mod certs;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod convert;
pub mod cp;
pub mod create;
pub mod delete;
pub mod describe;
pub mod diff;
pub mod edit;
pub mod events;
pub mod exec;
pub mod explain;
pub mod files;
pub mod filter;
pub mod get;
pub mod history;
pub mod image;
pub mod label;
pub mod logs;
pub mod marks;
pub mod node;
pub mod patch;
pub mod port_forward;
pub mod proxy;
pub mod results;
pub mod rollback;
pub mod rollout;
pub mod scale;
pub mod targets;
pub mod token;
pub mod top;
pub mod up;
pub mod validate;
pub(crate) mod verbs;
pub mod version;
pub mod wait;
pub mod why;

use crate::{
    cli::{Cli, Command},
    error::{Error, Exit},
    session::Session,
};
use std::ffi::OsString;

/// Runs a verb to its end.
pub fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Apply(arguments) => client(apply::run(arguments, session)),
        Command::Create(arguments) => client(create::run(arguments, session)),
        Command::Validate(arguments) => client(validate::run(arguments, session)),
        Command::Convert(arguments) => client(convert::run(arguments, session)),
        Command::Edit(arguments) => client(edit::run(arguments, session)),
        Command::Rollback(arguments) => client(rollback::run(arguments, session)),
        Command::Rollout(command) => client(rollout::run(command, session)),
        Command::Patch(arguments) => client(patch::run(arguments, session)),
        Command::Label(arguments) => client(label::run(arguments, session)),
        Command::Annotate(arguments) => client(annotate::run(arguments, session)),
        Command::Scale(arguments) => client(scale::run(arguments, session)),
        Command::Get(arguments) => client(get::run(arguments, session)),
        Command::Describe(arguments) => client(describe::run(arguments, session)),
        Command::Explain(arguments) => client(explain::run(arguments, session)),
        Command::Events(arguments) => client(events::run(arguments, session)),
        Command::History(arguments) => client(history::run(arguments, session)),
        Command::Logs(arguments) => client(logs::run(arguments, session)),
        Command::Exec(arguments) => client(exec::run(arguments, session)),
        Command::Attach(arguments) => client(attach::run(arguments, session)),
        Command::PortForward(arguments) => client(port_forward::run(arguments, session)),
        Command::Cp(arguments) => client(cp::run(arguments, session)),
        Command::Top(command) => client(top::run(command, session)),
        Command::Image(command) => client(image::run(command, session)),
        Command::Why(arguments) => client(why::run(arguments, session)),
        Command::Node(command) => client(node::run(command, session)),
        Command::Wait(arguments) => client(wait::run(arguments, session)),
        Command::Delete(arguments) => client(delete::run(arguments, session)),
        Command::Diff(arguments) => client(diff::run(arguments, session)),
        Command::ApiResources(arguments) => client(api_resources::run(arguments, session)),
        Command::Auth(command) => client(auth::run(command, session)),
        Command::Proxy(arguments) => client(proxy::run(arguments, session)),
        Command::Up(arguments) => up::run(arguments, session),
        Command::Certs(command) if command.is_local() => certs::run(command, session),
        Command::Certs(command) => client(certs::ask(command, session)),
        Command::Cluster(command) if command.is_local() => cluster::run(command, session),
        Command::Cluster(command) => client(cluster::ask(command, session)),
        Command::Config(command) => config::run(command, session),
        Command::Token(command) => client(token::run(command, session)),
        Command::Completion(arguments) => completion::run(&arguments, session),
        Command::Complete(asked) => client(completion::complete(asked, session)),
        Command::Version(arguments) => client(version::run(arguments, session)),
    }
}

/// Takes apart what has one name and two meanings: `--user` is a user of the kubeconfig, but to `create rolebinding` and
/// `create clusterrolebinding` it is who the binding is for, as it is to kubectl's users.
pub fn unmix(mut cli: Cli, arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let binds = matches!(&cli.command, Command::Create(arguments) if arguments.binds());
    if !binds {
        return Ok(cli);
    }
    let is_user = |word: &&OsString| word.to_str().is_some_and(|w| w == "--user" || w.starts_with("--user="));
    if arguments.iter().take_while(|word| *word != "create").any(|word| is_user(&word)) {
        let words = "--user before `create` would choose who asks, and after it says who is bound: choose who asks by \
                     --context\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, words));
    }
    cli.options.user = None;
    Ok(cli)
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
