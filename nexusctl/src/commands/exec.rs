//! `exec`: a command in a container of an instance.

use crate::{
    client::Call,
    error::{Error, Exit},
    running::{self, Duplex, Ended, Place, Raw},
    session::Session,
};
use clap::Args;
use hypermesh_stream::{Channel, Frame, Resize};
use std::io::Write as _;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "Examples:
  nexusctl exec web-1 -- ls /srv
  # A shell in an instance of a workload
  nexusctl exec -it workload/web -- sh
  # With input
  nexusctl exec -i web-1 -c db -- psql < dump.sql";

/// Which container, and what is carried to and fro: of `exec` and of `attach`.
#[derive(Args, Debug)]
pub struct Conversation {
    /// The instance: NAME, pod/NAME, or workload/NAME for one that it has
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Its container [default: the only one, or that of its annotation kubectl.kubernetes.io/default-container]
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Give it what this command reads
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Use a terminal: `exec` gives it one, `attach` shows the one that it has
    #[arg(short, long)]
    pub tty: bool,
}

/// Arguments of `exec`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// With what
    #[command(flatten)]
    pub with: Conversation,
    /// Be silent about how it ended
    #[arg(short, long)]
    pub quiet: bool,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let place = running::one(&arguments.with.instance, session).await?;
    let call = commanded(Call::get(place.path("exec")), &arguments.command);
    converse(&place, call, &arguments.with, arguments.quiet, session).await
}

/// Adds a command and its arguments. An empty argument is one too: the usual way leaves empty parameters out.
pub(crate) fn commanded<W: AsRef<str>>(mut call: Call, words: &[W]) -> Call {
    for word in words {
        let sign = if call.path.contains('?') { '&' } else { '?' };
        call.path.push_str(&format!("{sign}command={}", crate::client::encode(word.as_ref())));
    }
    call
}

/// A terminal is asked for where there is one.
fn is_terminal(stdin: bool, session: &mut Session) -> bool {
    let terminal = rustix::termios::isatty(std::io::stdin());
    if stdin && !terminal {
        session.note("Standard input is no terminal, so the command gets none: without -t this is not said");
    }
    terminal || !stdin
}

/// Adds what is carried, and how large the terminal is that the command begins with.
fn parameters(call: Call, wanted: &Wanted, container: Option<&str>, size: Option<Resize>) -> Call {
    let flag = |is: bool| if is { "true" } else { "" };
    let size = size.filter(|_| wanted.tty);
    let number = |of: fn(Resize) -> u16| size.map(|size| of(size).to_string()).unwrap_or_default();
    call.query(&[
        ("container", container.unwrap_or_default()),
        ("stdin", flag(wanted.stdin)),
        ("stdout", "true"),
        ("stderr", flag(!wanted.tty)),
        ("tty", flag(wanted.tty)),
        ("width", &number(|size| size.width)),
        ("height", &number(|size| size.height)),
    ])
}

/// What is carried to and fro.
struct Wanted {
    stdin: bool,
    tty: bool,
    quiet: bool,
}

/// Carries input and output until the command has ended.
pub(super) async fn converse(
    place: &Place,
    call: Call,
    with: &Conversation,
    quiet: bool,
    session: &mut Session,
) -> Result<Exit, Error> {
    let tty = with.tty && is_terminal(with.stdin, session);
    let wanted = Wanted { stdin: with.stdin, tty, quiet };
    let path = &parameters(call, &wanted, with.container.as_deref(), running::size()).path;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_begins_with_its_size() {
        let of = |stdin, tty, size| {
            let call = commanded(Call::get("/exec"), &["sh", ""]);
            parameters(call, &Wanted { stdin, tty, quiet: false }, Some("web"), size).path
        };
        let size = Some(Resize { width: 132, height: 43 });
        let begin = "/exec?command=sh&command=&container=web";
        assert_eq!(
            of(true, true, size),
            format!("{begin}&stdin=true&stdout=true&tty=true&width=132&height=43")
        );
        assert_eq!(of(true, true, None), format!("{begin}&stdin=true&stdout=true&tty=true"));
        assert_eq!(of(false, false, size), format!("{begin}&stdout=true&stderr=true"));
    }
}
