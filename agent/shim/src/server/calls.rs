//! What an agent asks, done or begun.

use super::container::Container;
use super::jobs::{Job, Starting, Work};
use super::{Asker, Retry, Shim, cgroup};
use crate::child;
use crate::create::Making;
use crate::exec::Entering;
use crate::protocol::{Call, ContainerId, Create, Event, Exec, Refusal, RefusalKind, Reply, VERSION};
use crate::stage;
use crate::state::Phase;
use rustix::process::{Signal, pidfd_send_signal};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long what is left of a container may resist.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how long what resists is tried again at first. A cgroup is busy until its last process has left the CPU, which
/// may be after its end was told (Linux 6.18).
const FIRST_WAIT: Duration = Duration::from_micros(100);

type Answer = Result<(Reply, Vec<OwnedFd>), Refusal>;

pub(super) fn not_found(id: &ContainerId) -> Refusal {
    Refusal { kind: RefusalKind::NotFound, message: format!("there is no container {id}") }
}

fn refuse(kind: RefusalKind, message: impl Into<String>) -> Refusal {
    Refusal { kind, message: message.into() }
}

fn failed(what: &str, error: impl std::fmt::Display) -> Refusal {
    refuse(RefusalKind::Failed, format!("{what} ({error})"))
}

impl Shim {
    /// Does what is asked. What takes time is begun, and answered later.
    pub(super) fn call(&mut self, asker: Asker, call: Call, fds: Vec<OwnedFd>) {
        let answer = match call {
            Call::Hello { version: _ } => self.hello(asker),
            Call::Create(create) => match self.create(asker, *create, fds) {
                Ok(()) => return,
                Err(refusal) => Err(refusal),
            },
            Call::Start { container } => return self.start(asker, &container),
            Call::Exec(exec) => match self.exec(asker, &exec, &fds) {
                Ok(()) => return,
                Err(refusal) => Err(refusal),
            },
            Call::Signal { container, signal, all } => self.signal(&container, signal, all),
            Call::SignalExec { exec, signal } => {
                let of = self.held.execs.iter().find(|it| it.exec == exec && it.asker == asker.connection);
                match of {
                    Some(running) => send(&running.process, signal),
                    None => {
                        self.give_up(asker.connection, Some(&exec));
                        Ok((Reply::Done, Vec::new()))
                    }
                }
            }
            Call::Pause { container, paused } => self.pause(&container, paused),
            Call::Attach { container, stdin } => self.attach(&container, stdin),
            Call::RotateLog { container } => match self.held.containers.get_mut(&container) {
                None => Err(not_found(&container)),
                Some(it) => match it.rotate_log() {
                    Ok(()) => Ok((Reply::Done, Vec::new())),
                    Err(error) => Err(failed("its log could not be put aside", error)),
                },
            },
            Call::Delete { container } => return self.delete(Some(asker), &container),
            Call::Socket { ipv6 } => match self.namespaces.socket(ipv6) {
                Ok(socket) => Ok((Reply::Socket, vec![socket])),
                Err(message) => Err(Refusal { kind: RefusalKind::Failed, message }),
            },
            Call::Shutdown => self.shutdown(),
        };
        match answer {
            Ok((reply, fds)) => self.answer(asker, Ok(reply), fds),
            Err(refusal) => self.answer(asker, Err(refusal), Vec::new()),
        }
    }

    fn hello(&mut self, asker: Asker) -> Answer {
        if let Some(connection) = self.held.connections.get_mut(&asker.connection) {
            connection.listens = true;
        }
        let containers =
            self.held.containers.values().filter_map(|container| container.state.clone()).collect();
        let network = self.namespaces.network.as_ref().map(|fd| {
            use std::os::fd::AsRawFd as _;
            PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
        });
        Ok((Reply::Hello { version: VERSION, containers, network }, Vec::new()))
    }

    fn create(&mut self, asker: Asker, create: Create, fds: Vec<OwnedFd>) -> Result<(), Refusal> {
        let id = create.container.clone();
        if self.held.ending.is_some() {
            return Err(refuse(RefusalKind::WrongState, "the instance is ending"));
        }
        if self.held.containers.contains_key(&id) {
            return Err(refuse(RefusalKind::AlreadyExists, format!("there is a container {id} already")));
        }
        let (mut container, ends) =
            Container::open(create).map_err(|message| refuse(RefusalKind::Failed, message))?;
        container.filter = fds.into_iter().next();
        let asker_mounts = self.held.connections.get(&asker.connection).filter(|_| !self.rootless);
        let asker_mounts = asker_mounts.and_then(super::connection::Connection::mounts);
        let (stage, shm) = (self.stage.of(id.as_str()), self.stage.shm());
        let making = Making {
            shm: &shm,
            create: &container.create,
            layout: &self.layout,
            namespaces: &self.namespaces,
            stage: &stage,
            asker: asker_mounts.as_ref().map(|fd| fd.as_fd()),
            stdio: &ends.stdio,
            users: self.users.as_ref(),
            executed: ends.executed.as_fd(),
            filter: container.filter.as_ref().map(|fd| fd.as_fd()),
            never: self.never,
        };
        let door = self.stage.door(id.as_str());
        let (pid, ear) = child::fork_behind(&making.keep(), &door, |door| making.run(door))
            .map_err(|error| failed("a child could not be forked", error))?;
        let job = Job::begun(pid, ear, asker, id.clone(), Work::Create, container.create.patience);
        self.held.containers.insert(id, container);
        self.held.untidy = Some(Instant::now());
        self.held.jobs.push(job);
        Ok(())
    }

    fn exec(&mut self, asker: Asker, exec: &Exec, fds: &[OwnedFd]) -> Result<(), Refusal> {
        let id = &exec.container;
        let container = self.held.containers.get(id).ok_or_else(|| not_found(id))?;
        let running = container.state.as_ref().is_some_and(|state| state.phase == Phase::Running);
        let process = container.process.as_ref().filter(|_| running);
        let process = process
            .ok_or_else(|| refuse(RefusalKind::WrongState, format!("the container {id} does not run")))?;
        if exec.terminal.is_none() && fds.len() != 3 {
            return Err(refuse(RefusalKind::Invalid, "a process without a terminal takes three descriptors"));
        }
        let taken = self.held.execs.iter().any(|it| it.exec == exec.exec && it.asker == asker.connection);
        if taken {
            return Err(refuse(
                RefusalKind::AlreadyExists,
                format!("there is a process {} already", exec.exec),
            ));
        }
        let entering = Entering {
            exec,
            config: self.layout.container(id).join("config.json"),
            cgroups: &container.create.cgroups,
            root: stage::root(&self.stage.of(id.as_str())),
            first: process.as_fd(),
            stdio: fds,
            users: self.users.as_ref(),
            filter: container.filter.as_ref().map(|fd| fd.as_fd()),
            never: self.never,
        };
        let (pid, ear) = child::fork(&entering.keep(), |mouth| entering.run(mouth))
            .map_err(|error| failed("a child could not be forked", error))?;
        let starting =
            Starting { exec: exec.exec.clone(), pid: None, process: None, terminal: None, failed: None };
        self.held.jobs.push(Job::begun(pid, ear, asker, id.clone(), Work::Exec(starting), exec.patience));
        Ok(())
    }

    fn signal(&self, id: &ContainerId, signal: i32, all: bool) -> Answer {
        let container = self.held.containers.get(id).ok_or_else(|| not_found(id))?;
        let Some(process) = container.process.as_ref().filter(|_| container.is_alive()) else {
            return Ok((Reply::Done, Vec::new()));
        };
        if all {
            cgroup::signal(&container.create.cgroups, signal);
            // With its first process all of them end, wherever they are.
            if container.create.cgroups.is_empty() || signal == libc::SIGKILL {
                return send(process, signal);
            }
            return Ok((Reply::Done, Vec::new()));
        }
        send(process, signal)
    }

    fn pause(&self, id: &ContainerId, paused: bool) -> Answer {
        let container = self.held.containers.get(id).ok_or_else(|| not_found(id))?;
        let Some(freezer) = &container.create.freezer else {
            return Err(refuse(RefusalKind::Invalid, "it has no cgroup that could be frozen"));
        };
        let word = if paused { &freezer.freeze } else { &freezer.thaw };
        cgroup::write(&freezer.path, word)
            .map_err(|error| failed(&format!("{} would not take {word}", freezer.path.display()), error))?;
        Ok((Reply::Done, Vec::new()))
    }

    fn attach(&mut self, id: &ContainerId, stdin: bool) -> Answer {
        let container = self.held.containers.get_mut(id).ok_or_else(|| not_found(id))?;
        if !container.is_alive() {
            return Err(refuse(RefusalKind::WrongState, format!("the container {id} does not run")));
        }
        let again =
            |fd: &OwnedFd| fd.try_clone().map_err(|error| failed("a descriptor could not be copied", error));
        let mut fds = Vec::new();
        let terminal = container.terminal.is_some();
        if let Some(terminal) = &container.terminal {
            fds.push(again(terminal)?);
        } else if stdin {
            let Some(there) = &container.stdin else {
                return Err(refuse(
                    RefusalKind::Invalid,
                    "it reads nothing: its spec does not ask for standard input",
                ));
            };
            fds.push(again(there)?);
        }
        fds.extend(container.attach(!terminal).map_err(|errno| failed("a pipe could not be made", errno))?);
        if stdin && container.create.stdin_once {
            container.stdin = None;
        }
        Ok((Reply::Attached { stdin: stdin && !terminal, terminal }, fds))
    }

    /// Kills what is left of a container; the rest follows its end.
    pub(super) fn delete(&mut self, asker: Option<Asker>, id: &ContainerId) {
        let Some(container) = self.held.containers.get_mut(id) else {
            // Deleting twice is harmless.
            if let Some(asker) = asker {
                self.answer(asker, Ok(Reply::Done), Vec::new());
            }
            return;
        };
        let first = container.deleting.is_empty();
        // Who asks for nobody waits for nothing, but marks it all the same.
        container.deleting.push(asker.unwrap_or(Asker { connection: 0, request: 0 }));
        match (&container.state, &container.process) {
            (None, _) => {
                // Its child may hang: with all that it made, it is killed.
                self.held.jobs.iter().filter(|job| job.container == *id).for_each(Job::kill);
                container.kill_all();
            }
            (Some(_), Some(process)) if container.is_alive() => {
                let _ = pidfd_send_signal(process, Signal::KILL);
                container.thaw();
            }
            _ if first => self.clear_away(id),
            _ => {}
        }
    }

    /// Removes what is left of a container that has ended, and forgets it. What resists is tried again.
    pub(super) fn clear_away(&mut self, id: &ContainerId) {
        let at = Instant::now();
        let retry = Retry { container: id.clone(), at, wait: FIRST_WAIT, until: at + PATIENCE };
        self.try_clear(retry);
    }

    pub(super) fn retry(&mut self) {
        let now = Instant::now();
        let (due, later): (Vec<Retry>, Vec<Retry>) =
            std::mem::take(&mut self.held.retries).into_iter().partition(|retry| retry.at <= now);
        self.held.retries = later;
        for retry in due {
            self.try_clear(retry);
        }
    }

    fn try_clear(&mut self, retry: Retry) {
        let Some(container) = self.held.containers.get(&retry.container) else { return };
        let cleared =
            cgroup::remove(&container.create.cgroups).and_then(|()| self.remove_files(&retry.container));
        let now = Instant::now();
        let result = match cleared {
            Ok(()) => Ok(()),
            Err(_) if now < retry.until => {
                let wait = (retry.wait * 2).min(Duration::from_millis(100));
                self.held.retries.push(Retry { at: now + retry.wait, wait, ..retry });
                return;
            }
            Err(error) => Err(failed("what is left of it could not be removed", error)),
        };
        let id = retry.container;
        let (deleting, refused) = match self.held.containers.get_mut(&id) {
            Some(container) => (std::mem::take(&mut container.deleting), container.refused.take()),
            None => (Vec::new(), None),
        };
        if result.is_ok() {
            self.held.containers.remove(&id);
            self.tell(&Event::Deleted { container: id });
        }
        if let Some((asker, refusal)) = refused {
            self.answer(asker, Err(refusal), Vec::new());
        }
        for asker in deleting {
            self.answer(asker, result.clone().map(|()| Reply::Done), Vec::new());
        }
    }

    fn remove_files(&self, id: &ContainerId) -> io::Result<()> {
        stage::take_down(&self.stage.of(id.as_str()))?;
        match std::fs::remove_dir_all(self.layout.container(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn shutdown(&mut self) -> Answer {
        if !self.held.containers.is_empty() {
            let names: Vec<&str> = self.held.containers.keys().map(ContainerId::as_str).collect();
            return Err(refuse(RefusalKind::WrongState, format!("it still has {}", names.join(", "))));
        }
        self.held.done = true;
        Ok((Reply::Done, Vec::new()))
    }
}

fn send(process: &OwnedFd, signal: i32) -> Answer {
    let signal = Signal::from_named_raw(signal)
        .ok_or_else(|| refuse(RefusalKind::Invalid, format!("{signal} is no signal")))?;
    match pidfd_send_signal(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok((Reply::Done, Vec::new())),
        Err(errno) => Err(failed("the signal could not be sent", errno)),
    }
}
