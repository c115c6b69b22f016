//! `exec`: a command in a container of an instance.

use crate::{
    client::Call,
    error::{Error, Exit},
    running::{self, Duplex, Ended, Place, Raw},
    session::Session,
};
use clap::Args;
use hypermesh_stream::{Channel, Frame};
use std::io::Write as _;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "Examples:
  nexusctl exec web-1 -- ls /srv
  # A shell in an instance of a workload
  nexusctl exec -it workload/web -- sh
  # With input
  nexusctl exec -i web-1 -c db -- psql < dump.sql";

/// Arguments of `exec`.
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
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Be silent about how it ended
    #[arg(short, long)]
    pub quiet: bool,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let place = running::one(&arguments.instance, session).await?;
    let tty = arguments.tty && is_terminal(arguments.stdin, session);
    let mut call = Call::get(place.path("exec"));
    for word in &arguments.command {
        // An empty argument is one too: the usual way leaves empty parameters out.
        let sign = if call.path.contains('?') { '&' } else { '?' };
        call.path.push_str(&format!("{sign}command={}", crate::client::encode(word)));
    }
    let call = parameters(call, arguments.container.as_deref(), arguments.stdin, tty);
    let streams = Wanted { stdin: arguments.stdin, tty, quiet: arguments.quiet };
    converse(&place, &call.path, &streams, session).await
}

/// A terminal is asked for where there is one.
pub(super) fn is_terminal(stdin: bool, session: &mut Session) -> bool {
    let terminal = rustix::termios::isatty(std::io::stdin());
    if stdin && !terminal {
        session.note("Standard input is no terminal, so the command gets none: without -t this is not said");
    }
    terminal || !stdin
}

pub(super) fn parameters(call: Call, container: Option<&str>, stdin: bool, tty: bool) -> Call {
    let flag = |is: bool| if is { "true" } else { "" };
    call.query(&[
        ("container", container.unwrap_or_default()),
        ("stdin", flag(stdin)),
        ("stdout", "true"),
        ("stderr", flag(!tty)),
        ("tty", flag(tty)),
    ])
}

/// What is carried to and fro.
pub(super) struct Wanted {
    pub stdin: bool,
    pub tty: bool,
    pub quiet: bool,
}

/// Carries input and output until the command has ended.
pub(super) async fn converse(
    place: &Place,
    path: &str,
    wanted: &Wanted,
    session: &mut Session,
) -> Result<Exit, Error> {
    let client = session.client()?;
    let what = format!("waiting for {}", place.name);
    let mut command = session.wait_for(&what, Duplex::open(&client, path)).await?;
    let failed = |error: std::io::Error| Error::Message(format!("the terminal of this process: {error}"));
    let raw = if wanted.tty && wanted.stdin { Raw::enter().map_err(failed)? } else { None };
    if wanted.stdin {
        command.feed(std::io::stdin())?;
    }
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut stopped = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut ended = signal(SignalKind::terminate()).map_err(failed)?;
    let input = command.input();
    let tell_size = || {
        // One that finds no place is made good by the next: what counts is the last.
        if let Some(size) = running::size().filter(|_| wanted.tty) {
            let _ = input.try_send(size.frame().encode());
        }
    };
    tell_size();
    let end = loop {
        tokio::select! {
            frame = command.next() => match frame? {
                Some(Frame::Data(Channel::Stdout, bytes)) => {
                    session.write(&bytes)?;
                    session.flush()?;
                }
                Some(Frame::Data(Channel::Stderr, bytes)) => {
                    let _ = session.streams.err.write_all(&bytes).and_then(|()| session.streams.err.flush());
                }
                Some(Frame::Data(Channel::Error, payload)) => break Some(Ended::of(&payload)),
                Some(_) => {}
                None => break None,
            },
            Some(()) = resized.recv() => tell_size(),
            Some(()) = stopped.recv() => { drop(raw); return Ok(Exit::Interrupted) }
            Some(()) = ended.recv() => { drop(raw); return Ok(Exit::Interrupted) }
        }
    };
    drop(raw);
    match end {
        Some(Ended::Exit(0)) => Ok(Exit::Success),
        Some(Ended::Exit(code)) => {
            if !wanted.quiet {
                session.note(&format!("command terminated with exit code {code}"));
            }
            Ok(Exit::Command(u8::try_from(code).unwrap_or(1)))
        }
        Some(Ended::Failed(why)) => Err(Error::Message(format!("{}: {why}", place.name))),
        None => Err(Error::Message(format!("{}: the connection ended before the command did", place.name))),
    }
}
