//! A container as its shim knows it: its first process, what that reads and writes, and how far it has come.

use super::connection::Asker;
use crate::create::Stdio;
use crate::log::{LogFile, Stream};
use crate::protocol::{Create, Event, Refusal};
use crate::state::{ContainerState, Exit, Layout, Phase, ProcessId};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub(super) struct Container {
    pub(super) create: Create,
    /// None while it is being made.
    pub(super) state: Option<ContainerState>,
    /// Its first process.
    pub(super) process: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// What it reads, kept open for who may be attached.
    pub(super) stdin: Option<OwnedFd>,
    /// Its terminal: what it reads and writes.
    pub(super) terminal: Option<OwnedFd>,
    log: Option<LogFile>,
    attached: Vec<Attached>,
    /// Where its first process tells why its program was not executed; closed when it was.
    pub(super) executed: Option<OwnedFd>,
    /// Who waits for that.
    pub(super) starting: Option<Asker>,
    /// Who waits for it to be forgotten.
    pub(super) deleting: Vec<Asker>,
    /// The filter of system calls that its processes are confined by, where it came with it.
    pub(super) filter: Option<OwnedFd>,
    /// Why its program was not executed, as far as it has been told.
    pub(super) failure: String,
    /// Who is told that it could not be made, once nothing of it is left.
    pub(super) refused: Option<(Asker, Refusal)>,
}

/// Somebody who reads what it writes.
#[derive(Debug)]
struct Attached {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// What a container's first process gets, when it is forked.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdio: Stdio,
    pub(super) executed: OwnedFd,
}

impl Container {
    /// Opens its log and pipes.
    pub(super) fn open(create: Create) -> Result<(Self, Ends), String> {
        let told = |errno: rustix::io::Errno| format!("its pipes could not be made ({errno})");
        let log =
            match &create.log {
                Some(log) => Some(LogFile::open(log.clone()).map_err(|error| {
                    format!("its log {} could not be opened ({error})", log.path.display())
                })?),
                None => None,
            };
        let (executed, executed_there) = pipe_with(PipeFlags::CLOEXEC).map_err(told)?;
        nonblocking(&executed).map_err(told)?;
        let mut container = Self {
            create,
            state: None,
            process: None,
            stdout: None,
            stderr: None,
            stdin: None,
            terminal: None,
            log,
            attached: Vec::new(),
            executed: Some(executed),
            starting: None,
            deleting: Vec::new(),
            filter: None,
            failure: String::new(),
            refused: None,
        };
        let mut stdio = None;
        if !container.create.terminal {
            let stdin = if container.create.stdin {
                let (there, here) = pipe_with(PipeFlags::CLOEXEC).map_err(told)?;
                container.stdin = Some(here);
                there
            } else {
                null().map_err(|error| format!("/dev/null could not be opened ({error})"))?
            };
            let (stdout, stdout_there) = pipe_with(PipeFlags::CLOEXEC).map_err(told)?;
            let (stderr, stderr_there) = pipe_with(PipeFlags::CLOEXEC).map_err(told)?;
            nonblocking(&stdout).map_err(told)?;
            nonblocking(&stderr).map_err(told)?;
            (container.stdout, container.stderr) = (Some(stdout), Some(stderr));
            stdio = Some([stdin, stdout_there, stderr_there]);
        }
        Ok((container, Ends { stdio, executed: executed_there }))
    }

    /// Takes its terminal.
    pub(super) fn set_terminal(&mut self, terminal: OwnedFd) {
        // The agent's copy of it is of the same open file, and does not wait either.
        let _ = nonblocking(&terminal);
        self.terminal = Some(terminal);
    }

    /// Takes its first process.
    pub(super) fn made(&mut self, process: ProcessId, pidfd: OwnedFd) -> &mut ContainerState {
        self.process = Some(pidfd);
        self.state.insert(ContainerState {
            id: self.create.container.clone(),
            phase: Phase::Created,
            process,
            created_at: now(),
            started_at: None,
            exit: None,
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.phase != Phase::Exited)
    }

    /// What its output comes from, and which it is.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        let out = self.stdout.as_ref().or(self.terminal.as_ref()).map(|fd| (Stream::Stdout, fd.as_fd()));
        let err = self.stderr.as_ref().map(|fd| (Stream::Stderr, fd.as_fd()));
        // A terminal is kept for who writes to it after its output has ended.
        out.into_iter().chain(err)
    }

    /// Copies what it has written, once, or as long as there is more. Gives what is to be told.
    pub(super) fn copy(&mut self, stream: Stream, buffer: &mut [u8], all: bool) -> Option<Event> {
        let mut event = None;
        loop {
            let source = match stream {
                Stream::Stdout => self.stdout.as_ref().or(self.terminal.as_ref()),
                Stream::Stderr => self.stderr.as_ref(),
            };
            let Some(source) = source else { return event };
            match rustix::io::read(source, &mut *buffer) {
                Ok(0) | Err(rustix::io::Errno::IO) => {
                    event = self.ended(stream).or(event);
                    return event;
                }
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    self.attached.retain_mut(|attached| attached.give(stream, bytes));
                    let logged = self.log.as_mut().map_or(Ok(()), |log| log.push(stream, bytes));
                    event = self.log_failed(logged).or(event);
                }
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => return event,
                Err(_) => {
                    event = self.ended(stream).or(event);
                    return event;
                }
            }
            if !all {
                return event;
            }
        }
    }

    /// Takes the end of an output.
    fn ended(&mut self, stream: Stream) -> Option<Event> {
        match stream {
            Stream::Stdout => {
                self.stdout = None;
                self.terminal = None;
            }
            Stream::Stderr => self.stderr = None,
        }
        for attached in &mut self.attached {
            attached.end(stream);
        }
        let logged = self.log.as_mut().map_or(Ok(()), |log| log.finish(stream));
        self.log_failed(logged)
    }

    /// What is to be told of its log: that output is lost, or is kept again.
    pub(super) fn log_failed(&mut self, result: io::Result<()>) -> Option<Event> {
        let container = self.create.container.clone();
        match result {
            Err(error) => Some(Event::LogFailed { container, message: error.to_string() }),
            Ok(()) => self.log.as_mut()?.recovered().then_some(Event::LogKept { container }),
        }
    }

    pub(super) fn rotate_log(&mut self) -> io::Result<()> {
        self.log.as_mut().map_or(Ok(()), LogFile::rotate)
    }

    /// Lets somebody read what it writes from now on: the ends that are theirs.
    pub(super) fn attach(&mut self, with_stderr: bool) -> Result<Vec<OwnedFd>, rustix::io::Errno> {
        let mut theirs = Vec::new();
        let mut end = |wanted: bool| {
            if !wanted {
                return Ok(None);
            }
            let (there, here) = pipe_with(PipeFlags::CLOEXEC)?;
            nonblocking(&here)?;
            // More room for who reads in bursts; as it is where that is not allowed.
            let _ = rustix::pipe::fcntl_setpipe_size(&here, 256 << 10);
            theirs.push(there);
            Ok::<_, rustix::io::Errno>(Some(here))
        };
        let stdout = end(true)?.filter(|_| self.stdout.is_some() || self.terminal.is_some());
        let stderr = end(with_stderr)?.filter(|_| self.stderr.is_some());
        self.attached.push(Attached { stdout, stderr });
        Ok(theirs)
    }

    /// What is frozen does not die (version 1).
    pub(super) fn thaw(&self) {
        if let Some(freezer) = &self.create.freezer {
            drop(super::cgroup::write(&freezer.path, &freezer.thaw));
        }
    }

    /// Kills whoever is in its cgroups.
    pub(super) fn kill_all(&self) {
        super::cgroup::signal(&self.create.cgroups, libc::SIGKILL);
        self.thaw();
    }

    /// How its first process ended, after all that it wrote was copied.
    pub(super) fn exited(&mut self, code: i32, signal: Option<i32>) -> Option<&ContainerState> {
        let oom_kills = self.create.oom_counter.as_deref().map_or(0, super::cgroup::oom_kills);
        let forks_refused = self.create.pids_counter.as_deref().map_or(0, super::cgroup::forks_refused);
        (self.process, self.stdin) = (None, None);
        let state = self.state.as_mut()?;
        state.phase = Phase::Exited;
        state.exit = Some(Exit { code, signal, oom_kills, forks_refused, at: now() });
        Some(state)
    }

    /// Writes its state file.
    pub(super) fn save(&self, layout: &Layout) {
        let Some(state) = &self.state else { return };
        let path = layout.state(&state.id);
        if let Err(error) = crate::state::write(&path, state) {
            eprintln!("{}: {error}", path.display());
        }
    }
}

impl Attached {
    /// Whether it still reads.
    fn give(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let end = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let Some(fd) = end else { return self.reads() };
        let given = loop {
            match rustix::io::write(&*fd, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other,
            }
        };
        // Half of what was written is no use to anybody: who is too slow is detached.
        if given.is_ok_and(|count| count == bytes.len()) {
            return true;
        }
        false
    }

    fn end(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => self.stdout = None,
            Stream::Stderr => self.stderr = None,
        }
    }

    fn reads(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }
}

fn null() -> io::Result<OwnedFd> {
    Ok(std::fs::File::options().read(true).write(true).open("/dev/null")?.into())
}

fn nonblocking(fd: &OwnedFd) -> Result<(), rustix::io::Errno> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)
}

/// Nanoseconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
