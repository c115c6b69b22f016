//! What a shim does all day: wait for whatever comes first, and do it without waiting for anything else.

mod calls;
mod cgroup;
mod connection;
mod container;
mod jobs;

use crate::log::Stream;
use crate::namespaces::{Namespaces, Stage};
use crate::program::FileId;
use crate::protocol::{ContainerId, Event, ExecId, IdMaps, Message, Refusal, Reply};
use crate::state::{Exit, Layout};
use connection::{Asker, Connection};
use container::Container;
use jobs::Job;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

/// How many ends of processes are kept that nobody has told of yet.
const MAX_ORPHANS: usize = 4096;

/// How long after a container was made memory is let go of: others are made with it, most often.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// How long the end of everything may take when it was not asked for.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// All that a shim is.
pub(crate) struct Shim {
    /// Whether it is root of a user namespace of its own alone: it may not look at the agent's mounts then.
    pub(crate) rootless: bool,
    pub(crate) layout: Layout,
    pub(crate) namespaces: Namespaces,
    /// How users in them map to users of the node.
    pub(crate) users: Option<IdMaps>,
    pub(crate) stage: Stage,
    pub(crate) never: Option<FileId>,
    pub(crate) listener: UnixListener,
    pub(crate) signals: SignalFd,
    /// Its folder, held to be told of what goes away from there.
    pub(crate) folder: Option<OwnedFd>,
    pub(crate) held: Held,
}

/// What comes and goes.
#[derive(Default)]
pub(crate) struct Held {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    containers: BTreeMap<ContainerId, Container>,
    execs: Vec<Running>,
    jobs: Vec<Job>,
    /// Ends of processes that no child has told of yet.
    orphans: BTreeMap<i32, (i32, Option<i32>)>,
    /// When what could not be cleared away is tried again, and whose it is.
    retries: Vec<Retry>,
    /// When the shim ends whatever else is the case.
    ending: Option<Instant>,
    /// Since when there is memory that may be let go of.
    untidy: Option<Instant>,
    /// Whether it ends when all is told.
    done: bool,
}

/// A process of exec.
struct Running {
    asker: u64,
    exec: ExecId,
    pid: i32,
    process: OwnedFd,
}

/// Something to be cleared away.
struct Retry {
    container: ContainerId,
    at: Instant,
    wait: Duration,
    until: Instant,
}

/// What can be ready.
#[derive(Clone, Debug)]
enum Token {
    Listener,
    Signals,
    Connection(u64),
    Job(i32),
    Executed(ContainerId),
    Output(ContainerId, Stream),
}

impl Shim {
    /// Runs until it is told to end, or its folder is gone.
    pub(crate) fn run(mut self) {
        let mut buffer = vec![0; 64 << 10];
        self.held.untidy = Some(Instant::now());
        while !self.is_over() {
            for (token, flags) in self.wait() {
                self.handle(&token, flags, &mut buffer);
            }
            self.retry();
            self.end_late_jobs();
            self.drop_broken();
            if self.held.untidy.is_some_and(|since| since.elapsed() >= TIDY_AFTER) {
                self.held.untidy = None;
                crate::memory::let_go();
            }
        }
        // What is told last is told.
        for connection in self.held.connections.values_mut() {
            connection.write();
        }
    }

    fn is_over(&self) -> bool {
        if self.held.done {
            return true;
        }
        let alive = self.held.containers.values().any(Container::is_alive) || !self.held.jobs.is_empty();
        self.held.ending.is_some_and(|until| !alive || Instant::now() >= until)
    }

    /// What is ready; nothing if it is time for something else.
    fn wait(&self) -> Vec<(Token, PollFlags)> {
        let mut tokens = vec![Token::Listener, Token::Signals];
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
        ];
        for (id, connection) in &self.held.connections {
            let write = if connection.wants_to_write() { PollFlags::OUT } else { PollFlags::empty() };
            tokens.push(Token::Connection(*id));
            fds.push(PollFd::from_borrowed_fd(connection.as_fd(), PollFlags::IN | write));
        }
        for job in &self.held.jobs {
            tokens.push(Token::Job(job.pid));
            fds.push(PollFd::from_borrowed_fd(job.ear.as_fd(), PollFlags::IN));
        }
        for (id, container) in &self.held.containers {
            if let Some(executed) = container.executed.as_ref().filter(|_| container.starting.is_some()) {
                tokens.push(Token::Executed(id.clone()));
                fds.push(PollFd::from_borrowed_fd(executed.as_fd(), PollFlags::IN));
            }
            for (stream, fd) in container.outputs() {
                tokens.push(Token::Output(id.clone(), stream));
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
        }
        let tidy = self.held.untidy.map(|since| since + TIDY_AFTER);
        let retries = self.held.retries.iter().map(|retry| retry.at);
        let late = self.held.jobs.iter().map(|job| job.until);
        let next = retries.chain(late).chain(self.held.ending).chain(tidy).min();
        let timeout = next.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                eprintln!("poll: {errno}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        tokens
            .into_iter()
            .zip(&fds)
            .map(|(token, fd)| (token, fd.revents()))
            .filter(|(_, flags)| !flags.is_empty())
            .collect()
    }

    fn handle(&mut self, token: &Token, flags: PollFlags, buffer: &mut [u8]) {
        match token {
            Token::Listener => self.accept(),
            Token::Signals => self.take_signals(buffer),
            Token::Connection(id) => {
                let Some(connection) = self.held.connections.get_mut(id) else { return };
                if flags.contains(PollFlags::OUT) {
                    connection.write();
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    for (request, fds) in connection.read(buffer) {
                        self.call(Asker { connection: *id, request: request.id }, request.call, fds);
                    }
                }
            }
            Token::Job(pid) => self.hear(*pid),
            Token::Executed(id) => self.executed(id),
            Token::Output(id, stream) => {
                let Some(container) = self.held.containers.get_mut(id) else { return };
                if let Some(event) = container.copy(*stream, buffer, false) {
                    self.tell(&event);
                }
            }
        }
    }

    fn accept(&mut self) {
        match self.listener.accept().and_then(|(stream, _)| Connection::accept(stream)) {
            Ok(Some(connection)) => {
                self.held.next += 1;
                self.held.connections.insert(self.held.next, connection);
            }
            Ok(None) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => {
                eprintln!("accept: {error}");
                // Out of descriptors, perhaps: do not spin.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn take_signals(&mut self, buffer: &mut [u8]) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGCHLD) => {}
                Some(Signal::SIGTERM) => self.end(),
                Some(Signal::SIGIO) => self.look_at_folder(),
                _ => {}
            }
        }
        self.reap(buffer);
    }

    /// Takes the ends of all children. What they have said is heard first: who they were is among it.
    fn reap(&mut self, buffer: &mut [u8]) {
        let pids: Vec<i32> = self.held.jobs.iter().map(|job| job.pid).collect();
        for pid in pids {
            self.hear(pid);
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid.as_raw(), code, None, buffer),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.ended(pid.as_raw(), 128 + signal as i32, Some(signal as i32), buffer);
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    eprintln!("waitpid: {errno}");
                    break;
                }
            }
        }
        if self.held.jobs.is_empty() {
            self.held.orphans.clear();
        }
    }

    fn ended(&mut self, pid: i32, code: i32, signal: Option<i32>, buffer: &mut [u8]) {
        let of =
            |container: &Container| container.state.as_ref().is_some_and(|state| state.process.pid == pid);
        if let Some(id) =
            self.held.containers.iter().find(|(_, it)| it.is_alive() && of(it)).map(|(id, _)| id.clone())
        {
            self.container_ended(&id, code, signal, buffer);
        } else if let Some(place) = self.held.execs.iter().position(|running| running.pid == pid) {
            let running = self.held.execs.swap_remove(place);
            let exit = Exit { code, signal, oom_kills: 0, forks_refused: 0, at: container::now() };
            if let Some(connection) = self.held.connections.get_mut(&running.asker) {
                let event = Event::ExecExited { exec: running.exec, exit };
                connection.send(&Message::Event(event), Vec::new());
            }
        } else if self.held.jobs.iter().any(|job| job.pid == pid) {
            self.job_ended(pid, code, signal);
        } else if self.held.orphans.len() < MAX_ORPHANS {
            self.held.orphans.insert(pid, (code, signal));
        }
    }

    fn container_ended(&mut self, id: &ContainerId, code: i32, signal: Option<i32>, buffer: &mut [u8]) {
        let Some(container) = self.held.containers.get_mut(id) else { return };
        // With its first process all of its processes have ended: what they wrote is there, and its end is told after it.
        let events = [Stream::Stdout, Stream::Stderr].map(|stream| container.copy(stream, buffer, true));
        let state = container.exited(code, signal).cloned();
        container.save(&self.layout);
        for event in events.into_iter().flatten() {
            self.tell(&event);
        }
        if let Some(state) = state {
            self.tell(&Event::Container(state));
        }
        self.executed(id);
        let wanted = self.held.containers.get(id).is_some_and(|container| !container.deleting.is_empty());
        if wanted {
            self.clear_away(id);
        }
    }

    /// Tells every agent.
    fn tell(&mut self, event: &Event) {
        for connection in self.held.connections.values_mut().filter(|connection| connection.listens) {
            connection.send(&Message::Event(event.clone()), Vec::new());
        }
    }

    fn answer(&mut self, asker: Asker, result: Result<Reply, Refusal>, fds: Vec<OwnedFd>) {
        if let Some(connection) = self.held.connections.get_mut(&asker.connection) {
            connection.answer(asker.request, result, fds);
        }
    }

    /// Lets go of agents that are gone, and of what they had begun: nobody else could end it.
    fn drop_broken(&mut self) {
        let broken: Vec<u64> = self
            .held
            .connections
            .iter()
            .filter(|(_, connection)| connection.broken)
            .map(|(id, _)| *id)
            .collect();
        for id in broken {
            self.held.connections.remove(&id);
            self.give_up(id, None);
            for running in self.held.execs.iter().filter(|running| running.asker == id) {
                let _ = rustix::process::pidfd_send_signal(&running.process, rustix::process::Signal::KILL);
            }
        }
    }

    /// Whether the folder is still this shim's.
    fn look_at_folder(&mut self) {
        if self.folder.is_none() {
            return;
        }
        let there = crate::state::read::<crate::state::ShimState>(&self.layout.shim());
        let mine = matches!(&there, Ok(Some(state)) if state.process.pid == std::process::id().cast_signed());
        if !mine {
            self.end();
        }
    }

    /// Ends everything that it runs, and itself.
    fn end(&mut self) {
        if self.held.ending.is_some() {
            return;
        }
        self.held.ending = Some(Instant::now() + LAST_GRACE);
        let ids: Vec<ContainerId> = self.held.containers.keys().cloned().collect();
        for id in ids {
            self.delete(None, &id);
        }
    }
}
