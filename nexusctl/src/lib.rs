//! The command line of HyperMesh.
//!
//! A library with a thin binary: [`run`] takes arguments, environment and streams as values, so a whole invocation can
//! be tested in process. Verbs live in [`commands`], a file each; they speak to the API server as any client does.

pub mod bounded;
pub mod cli;
pub mod client;
pub mod commands;
pub mod convert;
pub mod difference;
pub mod discovery;
pub mod environment;
pub mod error;
pub mod jsonpath;
pub mod known_clusters;
pub mod kubeconfig;
pub mod manifest;
pub mod moment;
pub mod offline;
pub mod output;
pub mod plugin;
pub mod remote;
pub mod replace;
mod running;
pub mod schema;
pub mod scratch;
pub mod selection;
pub mod session;
pub mod shell;
mod suggest;
pub mod waits;

pub use environment::{Environment, Streams};
pub use error::{Error, Exit};
pub use session::Session;

use clap::Parser as _;
use std::{ffi::OsString, io::Write as _};

/// Runs one invocation to its end and gives its exit code.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
    mut streams: Streams,
) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match cli::Cli::try_parse_from(&arguments).and_then(|cli| commands::unmix(cli, &arguments)) {
        Ok(cli) => cli,
        Err(error) => return usage(error, &arguments, &mut streams),
    };
    streams.color(cli.options.color);
    let color = streams.err_color;
    observe(cli.options.verbosity.unwrap_or_default(), color);
    let trouble = commands::trouble(&cli.command);
    let mut session = Session::new(cli.options, environment, streams);
    let mut result = commands::run(cli.command, &mut session);
    // A word that is no type, or no part of one, may be one since a minute ago: once more, with what the server says now.
    if matches!(result, Err(Error::Unknown(_) | Error::NoPart(_)))
        && session.doubt_discovery()
        && let Ok(cli) = cli::Cli::try_parse_from(&arguments).and_then(|cli| commands::unmix(cli, &arguments))
    {
        result = commands::run(cli.command, &mut session);
    }
    // Who stops reading has read enough, and that is no failure; but it makes no success of one either.
    let result = result.and_then(|exit| match session.flush() {
        Err(error) if !error.is_broken_pipe() => Err(error),
        _ => Ok(exit),
    });
    match result {
        Ok(exit) => exit.code(),
        Err(error) if error.is_broken_pipe() => Exit::Success.code(),
        Err(error) => {
            session.note(&error.render(color));
            trouble.code()
        }
    }
}

/// Help and version are asked for; everything else that clap says is a mistake, which is 1, as of kubectl, and 2 for
/// `diff`, where 1 means something.
fn usage(mut error: clap::Error, arguments: &[OsString], streams: &mut Streams) -> u8 {
    if !error.use_stderr() {
        let _ = write!(streams.out, "{error}").and_then(|()| streams.out.flush());
        return Exit::Success.code();
    }
    let passes_on = arguments.iter().any(|word| word == "exec");
    // Only a command for a container has flags that are none of ours.
    if error.kind() == clap::error::ErrorKind::UnknownArgument && !passes_on {
        error.remove(clap::error::ContextKind::Suggested);
    }
    let text = error.render();
    let text = if streams.err_color { text.ansi().to_string() } else { text.to_string() };
    streams.tell(text.trim_end_matches('\n'));
    // Who left something out is best shown a whole line.
    if error.kind() == clap::error::ErrorKind::MissingRequiredArgument
        && let Some(example) = example(arguments)
    {
        streams.tell(&format!("For example: {example}"));
    }
    if arguments.iter().any(|a| a == "diff") { Exit::Trouble.code() } else { Exit::Failure.code() }
}

/// The first example in the help of the verb that a line names.
fn example(arguments: &[OsString]) -> Option<String> {
    let cli = <cli::Cli as clap::CommandFactory>::command();
    let words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    let mut command = &cli;
    for word in words {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    let help = command.get_after_help()?.to_string();
    let lines = help.lines().map(str::trim);
    lines
        .skip_while(|line| *line != "Examples:")
        .find(|line| line.starts_with("nexusctl "))
        .map(str::to_owned)
}

/// What is logged where `RUST_LOG` asks for nothing. The consensus core tells of every vote.
const LOG: &str = "info,kube_runtime=error,arc_malachitebft_core_consensus=warn";

/// Logs of a daemon go to standard error: warnings and what matters, or what `RUST_LOG` asks for.
fn observe_daemon(color: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    // A second call in one process keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .try_init();
}

/// `-v`: the levels of kubectl's users.
fn observe(verbosity: u8, color: bool) {
    let filter = match verbosity {
        0..=5 => return,
        6 | 7 => "nexusctl=debug,hypermesh_client=debug",
        8 | 9 => "nexusctl=trace,hypermesh_client=debug",
        _ => "trace",
    };
    // A second call in one process keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(false)
        .without_time()
        .try_init();
}
