//! Commands in containers, and what containers read and write, as frames.

use super::{Answer, Desk, Refusal, Sink, failed, not_found, streamed};
use crate::failure::chain;
use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt as _;
use hypermesh_api::Status;
use hypermesh_runtime::{
    AttachOptions, Container, ExecProcess, ExecSpec, Input, Output, RuntimeError, TerminalSize,
};
use hypermesh_shim::protocol::RefusalKind;
use hypermesh_stream::{Channel, Decoder, FRAMES, Frame, Instance, Resize, STREAM, Terminal, exited};
use std::sync::Arc;
use stoq::http3::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What is read at once.
const PIECE: usize = 16 << 10;
/// Before anybody has said how large the terminal is.
const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

fn found(
    desk: &Desk,
    instance: &Instance,
    terminal: &Terminal,
) -> Result<(String, Arc<dyn Container>), Refusal> {
    let view = desk.view(instance)?;
    let name = view.container_name(terminal.container.as_deref())?;
    let running = view.run(&name);
    let running = running.filter(|running| running.state().exit.is_none());
    let running = running.ok_or_else(|| {
        failed(409, "Conflict", format!("the container {name} of {} does not run", instance.name))
    })?;
    Ok((name, running))
}

fn framed_answer(framed: bool) -> Result<(Sink, Answer), Refusal> {
    if !framed {
        let words = format!("this answers frames: say {STREAM}: {FRAMES}");
        return Err(failed(400, "BadRequest", words));
    }
    let (sink, mut answer) = streamed("application/octet-stream");
    answer.headers_mut().insert(STREAM, HeaderValue::from_static(FRAMES));
    Ok((sink, answer))
}

pub(super) async fn exec(
    desk: &Desk,
    instance: &Instance,
    terminal: Terminal,
    framed: bool,
    body: Body,
) -> Result<Answer, Refusal> {
    let (name, running) = found(desk, instance, &terminal)?;
    if terminal.command.is_empty() {
        return Err(failed(400, "BadRequest", "you must specify at least 1 command for the container"));
    }
    let (sink, answer) = framed_answer(framed)?;
    let spec = ExecSpec {
        args: terminal.command,
        stdin: terminal.stdin,
        stdout: terminal.stdout,
        stderr: terminal.stderr,
        terminal: terminal.tty.then(|| begins(terminal.size)),
        ..ExecSpec::default()
    };
    let mut process = running.exec(spec).await.map_err(|error| match &error {
        // Whoever asked can mend it, and knows which container was meant.
        RuntimeError::Refused { source, .. } if source.kind == RefusalKind::CannotExecute => {
            failed(400, "BadRequest", format!("in the container {name}: {}", source.message))
        }
        _ => failed(500, "InternalError", format!("in the container {name}: {}", chain(&error))),
    })?;
    let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
    let process = Arc::new(process);
    let sized = Arc::clone(&process);
    let reading = tokio::spawn(read(body, stdin, move |size| {
        let _ = sized.resize(size);
    }));
    tokio::spawn(async move {
        let writing = async {
            tokio::join!(
                write(stdout, Channel::Stdout, &sink),
                write(stderr, Channel::Stderr, &sink),
                ended(&process),
            )
        };
        let outcome = tokio::select! {
            (_, _, status) = writing => Some(status),
            () = sink.closed() => None,
        };
        if let Some(status) = outcome {
            tell(&sink, &status).await;
        }
        // Whoever is gone takes the command along: dropping a process kills it.
        reading.abort();
    });
    Ok(answer)
}

/// How large a terminal is to begin with.
fn begins(size: Option<Resize>) -> TerminalSize {
    size.map_or(SIZE, |size| TerminalSize { rows: size.height, columns: size.width })
}

async fn ended(process: &ExecProcess) -> Status {
    match process.wait().await {
        Ok(exit) => exited(exit.code),
        Err(error) => Status::internal(chain(&error)),
    }
}

pub(super) async fn attach(
    desk: &Desk,
    instance: &Instance,
    terminal: Terminal,
    framed: bool,
    body: Body,
) -> Result<Answer, Refusal> {
    let (name, running) = found(desk, instance, &terminal)?;
    let has_terminal = running.spec().terminal;
    if terminal.stdin && !running.spec().stdin {
        let words = format!("the container {name} reads nothing: its spec has no stdin: true");
        return Err(failed(400, "BadRequest", words));
    }
    let (sink, answer) = framed_answer(framed)?;
    let options = AttachOptions { stdin: terminal.stdin, size: has_terminal.then(|| begins(terminal.size)) };
    let mut attached = running.attach(options).await.map_err(|error| {
        failed(500, "InternalError", format!("to the container {name}: {}", chain(&error)))
    })?;
    let stdin = attached.stdin.take();
    let stderr = attached.stderr.take().filter(|_| terminal.stderr);
    let stdout = std::mem::replace(&mut attached.stdout, Box::pin(tokio::io::empty()));
    let stdout = Some(stdout).filter(|_| terminal.stdout);
    let reading = tokio::spawn(read(body, stdin, move |size| {
        let _ = attached.resize(size);
    }));
    tokio::spawn(async move {
        let writing = async {
            tokio::join!(
                write(stdout, Channel::Stdout, &sink),
                write(stderr, Channel::Stderr, &sink),
                running.wait(),
            )
        };
        let outcome = tokio::select! {
            (_, _, exit) = writing => Some(exit),
            () = sink.closed() => None,
        };
        if let Some(exit) = outcome {
            let status = match exit {
                Ok(exit) => exited(exit.code),
                Err(error) => Status::internal(chain(&error)),
            };
            tell(&sink, &status).await;
        }
        reading.abort();
    });
    Ok(answer)
}

async fn tell(sink: &Sink, status: &Status) {
    let status = serde_json::to_vec(status).unwrap_or_default();
    let _ = sink.send(Ok(Frame::Data(Channel::Error, status.into()).encode())).await;
}

/// What comes from the user, until it ends or makes no sense.
async fn read(mut body: Body, mut stdin: Option<Input>, resize: impl Fn(TerminalSize)) {
    let mut decoder = Decoder::default();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        decoder.push(&data);
        loop {
            match decoder.next_frame() {
                Ok(Some(Frame::Data(Channel::Stdin, bytes))) => {
                    if let Some(input) = &mut stdin
                        && (input.write_all(&bytes).await.is_err() || input.flush().await.is_err())
                    {
                        stdin = None;
                    }
                }
                Ok(Some(Frame::Close(Channel::Stdin))) => stdin = None,
                Ok(Some(Frame::Data(Channel::Resize, bytes))) => {
                    if let Some(size) = Resize::parse(&bytes) {
                        resize(TerminalSize { rows: size.height, columns: size.width });
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a stream from an API server makes no sense");
                    return;
                }
            }
        }
    }
    drop(stdin);
    // The user may have no more to say and still see to the end what comes.
    std::future::pending::<()>().await;
}

/// What goes to the user.
async fn write(output: Option<Output>, channel: Channel, sink: &Sink) {
    let Some(mut output) = output else { return };
    let mut piece = vec![0; PIECE];
    while let Ok(read) = output.read(&mut piece).await {
        let bytes = Bytes::copy_from_slice(piece.get(..read).unwrap_or_default());
        if bytes.is_empty() || sink.send(Ok(Frame::Data(channel, bytes).encode())).await.is_err() {
            return;
        }
    }
}

impl Desk {
    /// An instance that runs here.
    pub(super) fn view(&self, instance: &Instance) -> Result<crate::worker::View, Refusal> {
        let missing = || {
            not_found(format!(
                "instances \"{}\" not found on node {}: uid {}",
                instance.name,
                self.host.api.node(),
                instance.uid
            ))
        };
        let view = self.workers.view(&instance.uid).ok_or_else(missing)?;
        let same = view.instance.namespace == instance.namespace && view.instance.name == instance.name;
        if same { Ok(view) } else { Err(missing()) }
    }
}

/// The annotation that names the container that is meant where none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl crate::worker::View {
    /// The container that is meant.
    pub(super) fn container_name(&self, named: Option<&str>) -> Result<String, Refusal> {
        let pod = self.instance.pod();
        let named = named.or_else(|| self.instance.annotations.get(DEFAULT_CONTAINER).map(String::as_str));
        let only = || match pod.containers.as_slice() {
            [only] => Some(only.name.as_str()),
            _ => None,
        };
        let all = || {
            let names = pod.init_containers.iter().chain(&pod.containers);
            names.map(|container| container.name.as_str()).collect::<Vec<_>>().join(" ")
        };
        let name = named.or_else(only).ok_or_else(|| {
            let words = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                self.instance.name,
                all()
            );
            failed(400, "BadRequest", words)
        })?;
        if self.instance.container(name).is_none() {
            let words =
                format!("container {name} is not valid for pod {}: it has [{}]", self.instance.name, all());
            return Err(failed(400, "BadRequest", words));
        }
        Ok(name.to_owned())
    }
}
