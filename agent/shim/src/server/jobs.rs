//! Children that make containers and processes, and what becomes of them.

use super::container::Container;
use super::{Asker, Running, Shim};
use crate::child::{Ear, Word};
use crate::process;
use crate::protocol::{ContainerId, Event, ExecId, Refusal, RefusalKind, Reply};
use crate::stage;
use crate::state::Phase;
use std::io;
use std::os::fd::OwnedFd;

/// A child at work.
pub(super) struct Job {
    pub(super) pid: i32,
    pub(super) ear: Ear,
    pub(super) asker: Asker,
    pub(super) container: ContainerId,
    pub(super) work: Work,
}

pub(super) enum Work {
    /// It makes the container.
    Create,
    /// It starts a process.
    Exec(Starting),
}

pub(super) struct Starting {
    pub(super) exec: ExecId,
    pub(super) pid: Option<i32>,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) failed: Option<Refusal>,
}

impl Shim {
    /// Hears what a child has to say.
    pub(super) fn hear(&mut self, pid: i32) {
        while let Some(place) = self.held.jobs.iter().position(|job| job.pid == pid) {
            let Some(job) = self.held.jobs.get_mut(place) else { return };
            let word = match job.ear.hear() {
                Ok(Some(word)) => word,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(None) | Err(_) => {
                    let job = self.held.jobs.swap_remove(place);
                    self.silent(job);
                    return;
                }
            };
            match (&mut job.work, word) {
                (Work::Create, (Word::Terminal, Some(terminal))) => {
                    if let Some(container) = self.held.containers.get_mut(&job.container) {
                        container.set_terminal(terminal);
                    }
                }
                (Work::Create, (Word::Process { pid }, _)) => {
                    let job = self.held.jobs.swap_remove(place);
                    self.made(job.asker, &job.container, pid);
                }
                (Work::Create, (Word::Failed { kind, message }, _)) => {
                    let job = self.held.jobs.swap_remove(place);
                    self.not_made(job.asker, &job.container, Refusal { kind, message });
                }
                (Work::Exec(starting), (Word::Process { pid }, _)) => starting.pid = Some(pid),
                (Work::Exec(starting), (Word::Terminal, terminal)) => starting.terminal = terminal,
                (Work::Exec(starting), (Word::Failed { kind, message }, _)) => {
                    starting.failed = Some(Refusal { kind, message });
                }
                _ => {}
            }
        }
    }

    /// Takes the end of a child that may not have said all.
    pub(super) fn job_ended(&mut self, pid: i32, code: i32, signal: Option<i32>) {
        self.hear(pid);
        // A process that it made may still hold the channel; without one, nothing more will be said.
        let made = |job: &Job| matches!(&job.work, Work::Exec(Starting { pid: Some(_), .. }));
        let Some(place) = self.held.jobs.iter().position(|job| job.pid == pid && !made(job)) else { return };
        let mut job = self.held.jobs.swap_remove(place);
        let how = match signal {
            Some(signal) => format!("by signal {signal}"),
            None => format!("with {code}"),
        };
        let refusal = Refusal {
            kind: RefusalKind::Failed,
            message: format!("the shim's child ended {how} and said nothing"),
        };
        match &mut job.work {
            Work::Create => self.not_made(job.asker, &job.container.clone(), refusal),
            Work::Exec(starting) => {
                starting.failed.get_or_insert(refusal);
                self.silent(job);
            }
        }
    }

    /// Nobody holds the channel any more: a process that was to be started has been, or has ended.
    fn silent(&mut self, job: Job) {
        let refuse = |message: &str| Refusal { kind: RefusalKind::Failed, message: message.to_owned() };
        let starting = match job.work {
            Work::Exec(starting) => starting,
            Work::Create => {
                let refusal = refuse("the shim's child said nothing");
                self.not_made(job.asker, &job.container, refusal);
                return;
            }
        };
        let pid = match (starting.failed, starting.pid) {
            (Some(refusal), _) => {
                self.answer(job.asker, Err(refusal), Vec::new());
                return;
            }
            (None, None) => {
                self.answer(job.asker, Err(refuse("the shim's child said nothing")), Vec::new());
                return;
            }
            (None, Some(pid)) => pid,
        };
        match open(pid) {
            Ok(process) => {
                let fds = starting.terminal.into_iter().collect();
                self.answer(job.asker, Ok(Reply::Exec { pid }), fds);
                if !self.held.connections.contains_key(&job.asker.connection) {
                    let _ = rustix::process::pidfd_send_signal(&process, rustix::process::Signal::KILL);
                }
                let (asker, exec) = (job.asker.connection, starting.exec);
                self.held.execs.push(Running { asker, exec, pid, process });
                self.claim(pid);
            }
            Err(error) => {
                self.answer(job.asker, Err(refuse(&format!("the process was lost ({error})"))), Vec::new());
            }
        }
    }

    /// Takes the end of a process that was reaped before anybody knew whose it was.
    fn claim(&mut self, pid: i32) {
        if let Some((code, signal)) = self.held.orphans.remove(&pid) {
            let mut buffer = vec![0; 64 << 10];
            self.ended(pid, code, signal, &mut buffer);
        }
    }

    /// A container's first process is there, and waits.
    fn made(&mut self, asker: Asker, id: &ContainerId, pid: i32) {
        let found = process::identify(pid)
            .and_then(|identity| identity.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)))
            .and_then(|identity| Ok((identity, open(pid)?)));
        let Some(container) = self.held.containers.get_mut(id) else { return };
        let (identity, process) = match found {
            Ok(found) => found,
            Err(error) => {
                let message = format!("its first process was lost ({error})");
                self.not_made(asker, id, Refusal { kind: RefusalKind::Failed, message });
                return;
            }
        };
        let state = container.made(identity, process).clone();
        container.save(&self.layout);
        let (start, deleted) = (container.create.start, !container.deleting.is_empty());
        self.tell(&Event::Container(state.clone()));
        self.claim(pid);
        if deleted || self.held.ending.is_some() {
            let message = "it was deleted while it was made".to_owned();
            self.answer(asker, Err(Refusal { kind: RefusalKind::WrongState, message }), Vec::new());
            self.delete(None, id);
        } else if start {
            self.start(asker, id);
        } else {
            self.answer(asker, Ok(Reply::Container(state)), Vec::new());
        }
    }

    /// It could not be made: nothing of it stays, and then it is told.
    fn not_made(&mut self, asker: Asker, id: &ContainerId, refusal: Refusal) {
        if let Some(container) = self.held.containers.get_mut(id) {
            container.refused = Some((asker, refusal));
        }
        self.clear_away(id);
    }

    /// Lets a container's first process execute its program.
    pub(super) fn start(&mut self, asker: Asker, id: &ContainerId) {
        let result = match self.held.containers.get_mut(id) {
            None => Err(super::calls::not_found(id)),
            Some(container) => startable(container).and_then(|()| {
                let making = stage::making(&self.stage.of(id.as_str()));
                let path = making.join(id.as_str()).join("notify.sock");
                let told = crate::socket::connect(&path)
                    .and_then(|mut stream| io::Write::write_all(&mut stream, b"start container"));
                container.starting = Some(asker);
                told.map_err(|error| Refusal {
                    kind: RefusalKind::Failed,
                    message: format!("its first process could not be told ({error})"),
                })
            }),
        };
        if let Err(refusal) = result {
            if let Some(container) = self.held.containers.get_mut(id).filter(|it| it.starting == Some(asker))
            {
                container.starting = None;
            }
            self.answer(asker, Err(refusal), Vec::new());
        }
    }

    /// A container's first process has executed its program, could not, or has ended.
    pub(super) fn executed(&mut self, id: &ContainerId) {
        let Some(container) = self.held.containers.get_mut(id) else { return };
        let Some(executed) = &container.executed else { return };
        let mut bytes = [0; 4096];
        match rustix::io::read(executed, &mut bytes) {
            Ok(count) if count > 0 => {
                container.failure += &String::from_utf8_lossy(bytes.get(..count).unwrap_or_default());
                return;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if container.is_alive() => return,
            _ => {}
        }
        container.executed = None;
        let Some(asker) = container.starting.take() else { return };
        if !container.failure.is_empty() {
            let message = std::mem::take(&mut container.failure);
            let refusal = Refusal { kind: RefusalKind::CannotExecute, message };
            self.answer(asker, Err(refusal), Vec::new());
            return;
        }
        let mut started = None;
        if let Some(state) = &mut container.state {
            state.started_at = Some(super::container::now());
            if state.phase == Phase::Created {
                state.phase = Phase::Running;
            }
            started = Some(state.clone());
        }
        container.save(&self.layout);
        if let Some(state) = started {
            self.tell(&Event::Container(state.clone()));
            self.answer(asker, Ok(Reply::Container(state)), Vec::new());
        }
    }
}

fn startable(container: &Container) -> Result<(), Refusal> {
    let refuse = |message: &str| Refusal { kind: RefusalKind::WrongState, message: message.to_owned() };
    match &container.state {
        None => Err(refuse("it is still being made")),
        Some(_) if container.starting.is_some() => Err(refuse("it is being started already")),
        Some(state) => match state.phase {
            Phase::Created => Ok(()),
            Phase::Running => Err(refuse("it was started already")),
            Phase::Exited => Err(refuse("it has ended already")),
        },
    }
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}
