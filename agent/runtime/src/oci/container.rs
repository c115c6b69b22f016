//! A container: the agent's side.

use super::sandbox::{OciSandbox, has_ended, lock};
use super::stream::{self, Terminal};
use crate::cgroup::Usage;
use crate::class::{
    AttachOptions, Attached, Container, ExecControl, ExecProcess, ExecSpec, Input, Output, StopOptions, Work,
};
use crate::error::{RuntimeError, io_error};
use crate::spec::build::check_limits;
use crate::spec::{ContainerSpec, Limits, signal};
use crate::stats::Stats;
use futures_util::FutureExt as _;
use hypermesh_shim::protocol::{Call, ContainerId, Exec, ExecId, Reply, TerminalSize};
use hypermesh_shim::state::{ContainerState, Exit, Phase};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// A container.
pub(super) struct OciContainer {
    sandbox: Arc<OciSandbox>,
    id: ContainerId,
    spec: Arc<ContainerSpec>,
    state: watch::Receiver<ContainerState>,
}

/// Names of processes of exec: unique among all that this agent ever starts.
static NEXT_EXEC: AtomicU64 = AtomicU64::new(1);

impl OciContainer {
    pub(super) fn new(
        sandbox: Arc<OciSandbox>,
        id: ContainerId,
        spec: Arc<ContainerSpec>,
        state: watch::Receiver<ContainerState>,
    ) -> Self {
        Self { sandbox, id, spec, state }
    }

    fn lost(&self) -> RuntimeError {
        RuntimeError::ShimLost(self.sandbox.spec.instance.clone())
    }

    async fn ended(&self) -> Result<Exit, RuntimeError> {
        let mut state = self.state.clone();
        let ended = state.wait_for(has_ended).await.map(|state| state.exit);
        match ended {
            Ok(exit) => exit.ok_or_else(|| self.lost()),
            Err(_) => self.state.borrow().exit.ok_or_else(|| self.lost()),
        }
    }

    async fn ask(&self, verb: &'static str, call: Call) -> Result<(), RuntimeError> {
        self.sandbox.call_for(&self.id, verb, call, Vec::new()).await.map(drop)
    }

    async fn end(&self, options: StopOptions) -> Result<Exit, RuntimeError> {
        let phase = self.state.borrow().phase;
        if phase == Phase::Exited {
            return self.ended().await;
        }
        let wanted = self.spec.stop_signal.as_deref().map(signal::parse).transpose()?;
        let first = options.signal.or(wanted).unwrap_or(libc::SIGTERM);
        // What was never started has nothing to finish.
        if phase == Phase::Running && !options.grace.is_zero() {
            let (container, all) = (self.id.clone(), false);
            self.ask("be stopped", Call::Signal { container, signal: first, all }).await?;
            if let Ok(ended) = tokio::time::timeout(options.grace, self.ended()).await {
                return ended;
            }
        }
        let container = self.id.clone();
        self.ask("be killed", Call::Signal { container, signal: libc::SIGKILL, all: true }).await?;
        self.ended().await
    }

    async fn start_process(&self, spec: ExecSpec) -> Result<ExecProcess, RuntimeError> {
        if spec.args.first().is_none_or(String::is_empty) {
            return Err(RuntimeError::Invalid {
                what: "args".to_owned(),
                why: "there is no program".to_owned(),
            });
        }
        let number = NEXT_EXEC.fetch_add(1, Ordering::Relaxed);
        let exec = ExecId::new(format!("e{number}"))
            .map_err(|error| RuntimeError::Invalid { what: "exec".to_owned(), why: error.to_string() })?;
        let (mut stdin, mut stdout, mut stderr) = (None, None, None);
        let mut theirs = Vec::new();
        if spec.terminal.is_none() {
            let (there, here) = input_pipe(spec.stdin)?;
            theirs.push(there);
            stdin = here.map(stream::input).transpose()?;
            let (there, here) = output_pipe(spec.stdout)?;
            theirs.push(there);
            stdout = here.map(stream::output).transpose()?;
            let (there, here) = output_pipe(spec.stderr)?;
            theirs.push(there);
            stderr = here.map(stream::output).transpose()?;
        }
        let ended = watch::channel(None);
        lock(&self.sandbox.execs).insert(exec.clone(), ended.0);
        let call = Call::Exec(Box::new(Exec {
            container: self.id.clone(),
            exec: exec.clone(),
            args: spec.args,
            env: spec.env,
            cwd: spec.cwd,
            user: spec.user,
            terminal: spec.terminal,
            patience: self.sandbox.node.options.patience(),
        }));
        // Whoever stops waiting wants no process either.
        let mut unwanted =
            Control { sandbox: self.sandbox.clone(), exec: exec.clone(), ended: ended.1, terminal: None };
        let answer = self.sandbox.call_for(&self.id, "be entered", call, theirs).await;
        let (pid, fds) = match answer {
            Ok((Reply::Exec { pid }, fds)) => (pid, fds),
            other => {
                unwanted.forget();
                return Err(other.err().unwrap_or_else(|| self.sandbox.misunderstood("exec")));
            }
        };
        let mut terminal = None;
        if spec.terminal.is_some() {
            let master =
                fds.into_iter().next().ok_or_else(|| self.sandbox.misunderstood("exec with a terminal"))?;
            let master = Arc::new(master);
            let streams = Terminal::new(master.clone())?;
            stdin = Some(Box::pin(streams.clone()) as Input);
            stdout = Some(Box::pin(streams) as Output);
            terminal = Some(master);
        }
        unwanted.terminal = terminal;
        Ok(ExecProcess { id: exec, pid, stdin, stdout, stderr, control: Box::new(unwanted) })
    }

    async fn look_on(&self, options: AttachOptions) -> Result<Attached, RuntimeError> {
        let call = Call::Attach { container: self.id.clone(), stdin: options.stdin };
        let (reply, fds) = self.sandbox.call_for(&self.id, "be attached to", call, Vec::new()).await?;
        let Reply::Attached { stdin: has_stdin, terminal: has_terminal } = reply else {
            return Err(self.sandbox.misunderstood("attach"));
        };
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or_else(|| self.sandbox.misunderstood("attach"));
        if has_terminal {
            let master = Arc::new(next()?);
            if let Some(size) = options.size {
                stream::resize(Some(&master), size)?;
            }
            let stdin = match options.stdin {
                true => Some(Box::pin(Terminal::new(master.clone())?) as Input),
                false => None,
            };
            return Ok(Attached {
                stdin,
                stdout: stream::output(next()?)?,
                stderr: None,
                terminal: Some(master),
            });
        }
        let stdin = if has_stdin { Some(stream::input(next()?)?) } else { None };
        let stdout = stream::output(next()?)?;
        Ok(Attached { stdin, stdout, stderr: Some(stream::output(next()?)?), terminal: None })
    }
}

impl Container for OciContainer {
    fn id(&self) -> &ContainerId {
        &self.id
    }

    fn spec(&self) -> &ContainerSpec {
        &self.spec
    }

    fn state(&self) -> ContainerState {
        self.state.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<ContainerState> {
        self.state.clone()
    }

    fn start(&self) -> Work<'_, ()> {
        self.ask("be started", Call::Start { container: self.id.clone() }).boxed()
    }

    fn stop(&self, options: StopOptions) -> Work<'_, Exit> {
        self.end(options).boxed()
    }

    fn signal(&self, signal: i32, all: bool) -> Work<'_, ()> {
        self.ask("be sent a signal", Call::Signal { container: self.id.clone(), signal, all }).boxed()
    }

    fn wait(&self) -> Work<'_, Exit> {
        self.ended().boxed()
    }

    fn exec(&self, spec: ExecSpec) -> Work<'_, ExecProcess> {
        self.start_process(spec).boxed()
    }

    fn attach(&self, options: AttachOptions) -> Work<'_, Attached> {
        self.look_on(options).boxed()
    }

    fn pause(&self, paused: bool) -> Work<'_, ()> {
        self.ask("be paused", Call::Pause { container: self.id.clone(), paused }).boxed()
    }

    fn update(&self, limits: &Limits) -> Result<(), RuntimeError> {
        check_limits(limits)?;
        let path = self.sandbox.cgroup(&self.id);
        self.sandbox.node.cgroups.limit(&path, limits).map_err(io_error("limiting", path))
    }

    fn rotate_log(&self) -> Work<'_, ()> {
        self.ask("have its log put aside", Call::RotateLog { container: self.id.clone() }).boxed()
    }

    fn stats(&self) -> Result<Stats, RuntimeError> {
        let none = || RuntimeError::Unsupported("there is no cgroup that would count its usage".to_owned());
        let path = self.sandbox.cgroup(&self.id);
        Usage::of(&self.sandbox.node.cgroups, &path).read().ok_or_else(none)
    }

    fn delete(&self) -> Work<'_, ()> {
        self.ask("be deleted", Call::Delete { container: self.id.clone() }).boxed()
    }
}

/// What a process of exec is controlled by.
struct Control {
    sandbox: Arc<OciSandbox>,
    exec: ExecId,
    ended: watch::Receiver<Option<Exit>>,
    terminal: Option<Arc<OwnedFd>>,
}

impl ExecControl for Control {
    fn resize(&self, size: TerminalSize) -> Result<(), RuntimeError> {
        stream::resize(self.terminal.as_deref(), size)
    }

    fn signal(&self, signal: i32) -> Work<'_, ()> {
        let call = Call::SignalExec { exec: self.exec.clone(), signal };
        async move { self.sandbox.call(call, Vec::new()).await.map(drop) }.boxed()
    }

    fn wait(&self) -> Work<'_, Exit> {
        async move {
            let lost = || RuntimeError::ShimLost(self.sandbox.spec.instance.clone());
            let mut ended = self.ended.clone();
            let exit = ended.wait_for(Option::is_some).await.map(|exit| *exit);
            match exit {
                Ok(exit) => exit.ok_or_else(lost),
                Err(_) => self.ended.borrow().ok_or_else(lost),
            }
        }
        .boxed()
    }
}

impl Control {
    /// There is no such process.
    fn forget(&self) {
        lock(&self.sandbox.execs).remove(&self.exec);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let told = self.ended.has_changed().is_err() || self.ended.borrow().is_some();
        self.forget();
        if told {
            return;
        }
        // Without anybody who waits for it, it would stay: kill it, from wherever this is dropped.
        let (sandbox, exec) = (self.sandbox.clone(), self.exec.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let call = Call::SignalExec { exec, signal: libc::SIGKILL };
                drop(sandbox.call(call, Vec::new()).await);
            });
        }
    }
}

/// The process' end, and ours if it is wanted.
fn input_pipe(wanted: bool) -> Result<(OwnedFd, Option<OwnedFd>), RuntimeError> {
    if !wanted {
        return Ok((null()?, None));
    }
    let (there, here) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| io_error("making", "a pipe")(errno.into()))?;
    Ok((there, Some(here)))
}

/// The process' end, and ours if it is wanted.
fn output_pipe(wanted: bool) -> Result<(OwnedFd, Option<OwnedFd>), RuntimeError> {
    if !wanted {
        return Ok((null()?, None));
    }
    let (here, there) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|errno| io_error("making", "a pipe")(errno.into()))?;
    Ok((there, Some(here)))
}

fn null() -> Result<OwnedFd, RuntimeError> {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null");
    Ok(null.map_err(io_error("opening", "/dev/null"))?.into())
}
