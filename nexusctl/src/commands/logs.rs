//! `logs`: what containers have written, and go on writing.
//!
//! A log that is followed is followed for as long as its container runs: when the line to it breaks, or the agent of its
//! node is replaced, it is gone on with where it broke off.

mod place;

use crate::{
    cli::parse_duration,
    client::{Call, Client},
    error::{Error, Exit},
    output::escape_line,
    running::{self, Place},
    session::Session,
};
use bytes::{Bytes, BytesMut};
use clap::Args;
use http_body_util::BodyExt as _;
use hypermesh_client::Body;
use place::Place as Read;
use std::{collections::VecDeque, rc::Rc, time::Duration};
use tokio::{
    sync::mpsc,
    task::LocalSet,
    time::{Instant, sleep},
};

/// Logs that are followed at once, unless told otherwise.
const AT_ONCE: usize = 32;
/// The longest piece of a line that is held back for its end.
const LONGEST: usize = 64 * 1024;
/// How long a log that broke off is asked for again.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first and the longest pause between.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

const EXAMPLES: &str = "Examples:
  nexusctl logs web-1
  # All instances of a workload, as they write
  nexusctl logs -f workload/web
  # Before the last restart
  nexusctl logs -p web-1 --tail 20
  nexusctl logs web-1 --all-containers --since 10m --timestamps";

/// Arguments of `logs`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The instance: NAME or pod/NAME, or workload/NAME for all that it has
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// The container [default: the only one, or that of its annotation kubectl.kubernetes.io/default-container]
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_containers")]
    pub container: Option<String>,
    /// All its containers
    #[arg(long)]
    pub all_containers: bool,
    /// Go on as they write
    #[arg(short, long)]
    pub follow: bool,
    /// Of the run before the last restart
    #[arg(short, long)]
    pub previous: bool,
    /// So many lines from the end; -1 for all
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub tail: Option<i64>,
    /// Not older than this: 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "since_time")]
    pub since: Option<Duration>,
    /// Not older than this: 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since_time: Option<String>,
    /// Begin each line with its time
    #[arg(long)]
    pub timestamps: bool,
    /// So many bytes of each log, at most
    #[arg(long, value_name = "BYTES")]
    pub limit_bytes: Option<u64>,
    /// Begin each line with whose it is [default: where there are several]
    #[arg(long)]
    pub prefix: bool,
    /// Most logs that are followed at once
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    pub max_log_requests: usize,
}

/// One log.
struct Source {
    place: Place,
    container: Option<String>,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let sources = sources(&arguments, session).await?;
    if arguments.follow && sources.len() > arguments.max_log_requests {
        return Err(Error::Message(format!(
            "that are {} logs, and no more than {} are followed at once: --max-log-requests {} allows it",
            sources.len(),
            arguments.max_log_requests,
            sources.len()
        )));
    }
    let named = arguments.prefix || sources.len() > 1;
    let client = session.client()?;
    if arguments.follow {
        return LocalSet::new().run_until(together(&arguments, sources, client, session)).await;
    }
    let mut failed = false;
    for source in &sources {
        let prefix = if named { source.prefix() } else { String::new() };
        let call = source.call(&arguments);
        let mut log = match session.wait_for("waiting for the log", client.fetch(&call)).await {
            Ok(log) => log,
            Err(error) if sources.len() == 1 || error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                failed = true;
                session.note(&Error::from(error).render(session.streams.err_color));
                continue;
            }
        };
        let mut lines = Lines::new(prefix);
        while let Some(frame) = log.frame().await {
            let frame = frame.map_err(|error| broken(client.server(), &source.place, &error))?;
            let Some(data) = frame.data_ref() else { continue };
            session.write(&lines.push(data))?;
            session.flush()?;
        }
        session.write(&lines.finish())?;
    }
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// Follows several logs, each line whole.
async fn together(
    arguments: &Arguments,
    sources: Vec<Source>,
    client: Rc<Client>,
    session: &mut Session,
) -> Result<Exit, Error> {
    let (send, mut receive) = mpsc::channel::<Result<Told, Error>>(sources.len());
    let alone = sources.len() == 1;
    let named = arguments.prefix || !alone;
    for source in sources {
        let prefix = if named { source.prefix() } else { String::new() };
        let (call, again) = (source.call(arguments), source.again(arguments));
        let read = Read::new(arguments.timestamps);
        let (client, send) = (Rc::clone(&client), send.clone());
        let following = Following { client, call, again, read, lines: Lines::new(prefix), to: send.clone() };
        tokio::task::spawn_local(async move {
            if let Err(error) = following.follow(&source.place).await {
                let _ = send.send(Err(error)).await;
            }
        });
    }
    drop(send);
    let mut failed = false;
    while let Some(piece) = receive.recv().await {
        match piece {
            Ok(Told::Bytes(bytes)) => {
                session.write(&bytes)?;
                session.flush()?;
            }
            Ok(Told::Note(note)) => session.note(&note),
            Err(error) if alone => return Err(error),
            Err(error) => {
                failed = true;
                session.note(&error.render(session.streams.err_color));
            }
        }
    }
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

/// What is told of a log that is followed.
enum Told {
    Bytes(Bytes),
    Note(String),
}

/// How a log is asked for from a time on.
type Again = Box<dyn Fn(&str) -> Call>;

/// A log that is followed.
struct Following {
    client: Rc<Client>,
    call: Call,
    /// How it is asked for from a time on, once it broke off; none where it is not.
    again: Option<Again>,
    read: Read,
    lines: Lines,
    to: mpsc::Sender<Result<Told, Error>>,
}

impl Following {
    /// To its container's end.
    async fn follow(mut self, place: &Place) -> Result<(), Error> {
        let mut log = self.client.fetch(&self.call).await?;
        loop {
            let error = loop {
                match log.frame().await {
                    None => {
                        let _ = self.to.send(Ok(Told::Bytes(self.lines.finish()))).await;
                        return Ok(());
                    }
                    Some(Err(error)) => break broken(self.client.server(), place, &error),
                    Some(Ok(frame)) => {
                        let Some(data) = frame.data_ref() else { continue };
                        let new = self.lines.push(&self.read.take(data));
                        if !new.is_empty() && self.to.send(Ok(Told::Bytes(new))).await.is_err() {
                            return Ok(());
                        }
                    }
                }
            };
            log = self.ask_again(error).await?;
        }
    }

    /// Asks for what comes after what was read, until it is answered. Gives up with why it broke off.
    async fn ask_again(&mut self, error: Error) -> Result<Body, Error> {
        let Some(again) = &self.again else { return Err(error) };
        let note = format!("{}; it is asked for again", error.render(false));
        if self.to.send(Ok(Told::Note(note))).await.is_err() {
            return Err(error);
        }
        let call = self.read.since().map_or_else(|| self.call.clone(), again);
        let (begin, mut pause) = (Instant::now(), PAUSES.0);
        while begin.elapsed() < PATIENCE {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            match self.client.fetch(&call).await {
                Ok(log) => {
                    self.read.again();
                    return Ok(log);
                }
                // It is gone meanwhile, or is not to be read any more.
                Err(refused)
                    if refused.status().is_some_and(|status| matches!(status.code, 401 | 403 | 404)) =>
                {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Err(error)
    }
}

fn broken(server: &str, place: &Place, error: &dyn std::fmt::Display) -> Error {
    Error::Message(format!("the log of {} broke off ({server}): {error}", place.name))
}

async fn sources(arguments: &Arguments, session: &mut Session) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for mut place in running::find(&arguments.instance, session).await? {
        if !arguments.all_containers {
            sources.push(Source { place, container: arguments.container.clone() });
            continue;
        }
        let names = running::container_names(place.read(session).await?);
        sources.extend(names.into_iter().map(|name| Source { place: place.clone(), container: Some(name) }));
    }
    Ok(sources)
}

impl Source {
    fn prefix(&self) -> String {
        let container = self.container.as_ref().map(|name| format!("/{name}")).unwrap_or_default();
        format!("[{}{container}] ", escape_line(&self.place.name))
    }

    /// How it is asked for again. What is bounded in bytes was read as far as it was wanted, and what has ended is read
    /// at once.
    fn again(&self, arguments: &Arguments) -> Option<Again> {
        let (path, container) = (self.place.path("log"), self.container.clone().unwrap_or_default());
        (arguments.limit_bytes.is_none() && !arguments.previous).then(|| -> Again {
            Box::new(move |since| {
                let query = [
                    ("container", &*container),
                    ("follow", "true"),
                    ("timestamps", "true"),
                    ("sinceTime", since),
                ];
                Call::get(path.clone()).query(&query)
            })
        })
    }

    fn call(&self, arguments: &Arguments) -> Call {
        let flag = |is: bool| if is { "true" } else { "" };
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let tail = arguments.tail.and_then(|tail| u64::try_from(tail).ok());
        let since = arguments.since.map(|since| since.as_secs().max(1));
        Call::get(self.place.path("log")).query(&[
            ("container", self.container.as_deref().unwrap_or_default()),
            ("follow", flag(arguments.follow)),
            ("previous", flag(arguments.previous)),
            // By them it is known where to go on.
            ("timestamps", flag(arguments.timestamps || arguments.follow)),
            ("tailLines", &number(tail)),
            ("sinceSeconds", &number(since)),
            ("sinceTime", arguments.since_time.as_deref().unwrap_or_default()),
            ("limitBytes", &number(arguments.limit_bytes)),
        ])
    }
}

/// Bytes as they come, made whole lines that begin with whose they are. Without a beginning they are passed on as they
/// come.
struct Lines {
    prefix: String,
    held: BytesMut,
}

impl Lines {
    fn new(prefix: String) -> Self {
        Self { prefix, held: BytesMut::new() }
    }

    fn push(&mut self, bytes: &[u8]) -> Bytes {
        if self.prefix.is_empty() {
            return Bytes::copy_from_slice(bytes);
        }
        self.held.extend_from_slice(bytes);
        let mut out = BytesMut::new();
        let mut ends: VecDeque<usize> =
            self.held.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        let mut taken = 0;
        while let Some(end) = ends.pop_front() {
            let line = self.held.split_to(end - taken);
            taken = end;
            out.extend_from_slice(self.prefix.as_bytes());
            out.extend_from_slice(&line);
        }
        if self.held.len() > LONGEST {
            out.extend_from_slice(&self.finish());
        }
        out.freeze()
    }

    /// The last line, whose end never came.
    fn finish(&mut self) -> Bytes {
        if self.held.is_empty() {
            return Bytes::new();
        }
        let rest = self.held.split();
        [self.prefix.as_bytes(), &rest, b"\n"].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole() {
        let mut lines = Lines::new("[a] ".to_owned());
        assert_eq!(lines.push(b"on"), "");
        assert_eq!(lines.push(b"e\ntwo\nth"), "[a] one\n[a] two\n");
        assert_eq!(lines.finish(), "[a] th\n");
        assert_eq!(lines.finish(), "");
        assert!(lines.push(&[b'x'; LONGEST + 1]).ends_with(b"x\n"));
        assert_eq!(Lines::new(String::new()).push(b"as it is"), "as it is");
    }

    #[test]
    fn what_is_asked() {
        let arguments = Arguments {
            instance: String::new(),
            container: None,
            all_containers: false,
            follow: true,
            previous: false,
            tail: Some(-1),
            since: Some(Duration::from_millis(10)),
            since_time: None,
            timestamps: true,
            limit_bytes: None,
            prefix: false,
            max_log_requests: 1,
        };
        let place = Place { namespace: "n".into(), name: "web-1".into(), object: None };
        let source = Source { place, container: Some("c".into()) };
        assert_eq!(
            source.call(&arguments).path,
            "/apis/hypermesh.online/v1/namespaces/n/instances/web-1/log?container=c&follow=true&timestamps=true&sinceSeconds=1"
        );
        assert_eq!(source.prefix(), "[web-1/c] ");
        let again = source.again(&arguments).unwrap();
        assert_eq!(
            again("2026-01-01T00:00:00.5Z").path,
            "/apis/hypermesh.online/v1/namespaces/n/instances/web-1/log?container=c&follow=true&timestamps=true&sinceTime=2026-01-01T00%3A00%3A00.5Z"
        );
        assert!(source.again(&Arguments { limit_bytes: Some(1), ..arguments }).is_none());
    }
}
