//! Children that make containers and processes, and what becomes of them.

use super::container::Container;
use super::{Asker, Running, Shim};
use crate::child::{Ear, Heard, Word};
use crate::process;
use crate::protocol::PATIENCE;
use crate::protocol::{ContainerId, Event, ExecId, Refusal, RefusalKind, Reply};
use crate::stage;
use crate::state::Phase;
use rustix::process::{Signal, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long who was killed for being late may take to end; then nobody waits for them any more.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// A child at work.
pub(super) struct Job {
    pub(super) pid: i32,
    /// The child itself, whoever has its pid later.
    process: Option<OwnedFd>,
    pub(super) ear: Ear,
    pub(super) asker: Asker,
    pub(super) container: ContainerId,
    pub(super) work: Work,
    /// When it is late.
    pub(super) until: Instant,
    patience: Duration,
    /// Whether it was late.
    late: bool,
}

impl Job {
    /// A child that has begun, and may take so many milliseconds.
    pub(super) fn begun(
        pid: i32,
        ear: Ear,
        asker: Asker,
        container: ContainerId,
        work: Work,
        patience: Option<u64>,
    ) -> Self {
        let patience = patience.map_or(PATIENCE, Duration::from_millis);
        let until = Instant::now() + patience;
        Self { pid, process: open(pid).ok(), ear, asker, container, work, until, patience, late: false }
    }

    /// Kills it, and all that it forked: where there are no cgroups, nothing else names those.
    pub(super) fn kill(&self) {
        let kill = |process: &OwnedFd| {
            let _ = pidfd_send_signal(process, Signal::KILL);
        };
        let Some(process) = &self.process else { return };
        if let Work::Exec(Starting { process: Some(process), .. }) = &self.work {
            kill(process);
        }
        if process::parent(self.pid).is_ok_and(|parent| parent == Some(std::process::id().cast_signed())) {
            process::descendants(self.pid).iter().filter_map(|pid| open(*pid).ok()).for_each(|it| kill(&it));
        }
        kill(process);
    }

    /// What is told of it if it was late.
    fn lateness(&self) -> Option<Refusal> {
        let message = format!(
            "it was not made within {} s, and killed: a file that it needs, of its image or a volume, may be a pipe or lie \
             on a disk that does not answer",
            self.patience.as_secs_f64()
        );
        self.late.then_some(Refusal { kind: RefusalKind::Failed, message })
    }

    /// Opens a process that this child says it made; none if it made no such process.
    fn made(&self, pid: i32, cgroups: &[PathBuf]) -> io::Result<OwnedFd> {
        let none =
            || io::Error::new(io::ErrorKind::PermissionDenied, format!("{pid} is no process of its own"));
        // Held first, so that nobody else can have its pid when it is looked at.
        let process = open(pid)?;
        let parent = process::parent(pid)?.ok_or(io::ErrorKind::NotFound)?;
        if pid == self.pid || ![self.pid, std::process::id().cast_signed()].contains(&parent) {
            return Err(none());
        }
        let Some(folder) = cgroups.first() else { return Ok(process) };
        let members = std::fs::read_to_string(folder.join("cgroup.procs"))?;
        let its_own = members.lines().any(|line| line.parse() == Ok(pid));
        if its_own { Ok(process) } else { Err(none()) }
    }
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
    pub(super) process: Option<OwnedFd>,
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
            let Heard { word, fd, by } = word;
            match (&mut job.work, word) {
                (Work::Create, Word::Terminal) => {
                    let Some(terminal) = fd else { continue };
                    if let Some(container) = self.held.containers.get_mut(&job.container) {
                        container.set_terminal(terminal);
                    }
                }
                (Work::Create, Word::Process { pid }) => {
                    let job = self.held.jobs.swap_remove(place);
                    self.made(&job, pid);
                }
                (Work::Create, Word::Failed { kind, message }) => {
                    let job = self.held.jobs.swap_remove(place);
                    self.not_made(job.asker, &job.container, Refusal { kind, message });
                }
                // What it forked has its mouth, and is in the container: it does not say who it is.
                (Work::Exec(_), Word::Process { pid }) if by == job.pid => {
                    let made = job.made(pid, &[]);
                    let Work::Exec(starting) = &mut job.work else { continue };
                    match made {
                        Ok(process) => (starting.pid, starting.process) = (Some(pid), Some(process)),
                        Err(error) => {
                            let message = format!("the process was lost ({error})");
                            starting.failed = Some(Refusal { kind: RefusalKind::Failed, message });
                        }
                    }
                }
                (Work::Exec(starting), Word::Terminal) => starting.terminal = fd,
                (Work::Exec(starting), Word::Failed { kind, message }) => {
                    starting.failed = Some(Refusal { kind, message });
                }
                (_, word) => eprintln!("{by} said {word:?}, which is not its to say"),
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
        let late = job.lateness();
        let how = match signal {
            Some(signal) => format!("by signal {signal}"),
            None => format!("with {code}"),
        };
        let refusal = late.unwrap_or_else(|| Refusal {
            kind: RefusalKind::Failed,
            message: format!("the shim's child ended {how} and said nothing"),
        });
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
        let late = job.lateness();
        let starting = match job.work {
            Work::Exec(starting) => starting,
            Work::Create => {
                let refusal = late.unwrap_or_else(|| refuse("the shim's child said nothing"));
                self.not_made(job.asker, &job.container, refusal);
                return;
            }
        };
        let (pid, process) = match (starting.failed.or(late), starting.pid.zip(starting.process)) {
            (Some(refusal), _) => {
                self.answer(job.asker, Err(refusal), Vec::new());
                return;
            }
            (None, None) => {
                self.answer(job.asker, Err(refuse("the shim's child said nothing")), Vec::new());
                return;
            }
            (None, Some(made)) => made,
        };
        let fds = starting.terminal.into_iter().collect();
        self.answer(job.asker, Ok(Reply::Exec { pid }), fds);
        if !self.held.connections.contains_key(&job.asker.connection) {
            let _ = pidfd_send_signal(&process, Signal::KILL);
        }
        let (asker, exec) = (job.asker.connection, starting.exec);
        self.held.execs.push(Running { asker, exec, pid, process });
        self.claim(pid);
    }

    /// Ends what has taken too long. Who does not end when killed is in the kernel's hands, and nobody waits for it.
    pub(super) fn end_late_jobs(&mut self) {
        let now = Instant::now();
        while let Some(place) = self.held.jobs.iter().position(|job| job.until <= now) {
            let Some(job) = self.held.jobs.get_mut(place) else { return };
            if job.late {
                let job = self.held.jobs.swap_remove(place);
                self.silent(job);
                continue;
            }
            (job.late, job.until) = (true, now + LAST_GRACE);
            job.kill();
            if let Some(container) = self.held.containers.get(&job.container)
                && matches!(job.work, Work::Create)
            {
                container.kill_all();
            }
        }
    }

    /// Kills what a connection had begun to start: one process, or all.
    pub(super) fn give_up(&mut self, connection: u64, exec: Option<&ExecId>) {
        for job in self.held.jobs.iter_mut().filter(|job| job.asker.connection == connection) {
            if let Work::Exec(starting) = &mut job.work
                && exec.is_none_or(|exec| *exec == starting.exec)
            {
                let message = "nobody waited for it any more, and it was killed".to_owned();
                starting.failed.get_or_insert(Refusal { kind: RefusalKind::Failed, message });
                job.kill();
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
    fn made(&mut self, job: &Job, pid: i32) {
        let (asker, id) = (job.asker, &job.container);
        self.close_door(id);
        let Some(container) = self.held.containers.get_mut(id) else { return };
        let found = job.made(pid, &container.create.cgroups).and_then(|process| {
            let identity = process::identify(pid)?.ok_or(io::ErrorKind::NotFound)?;
            Ok((identity, process))
        });
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
        self.close_door(id);
        if let Some(container) = self.held.containers.get_mut(id) {
            container.refused = Some((asker, refusal));
        }
        self.clear_away(id);
    }

    fn close_door(&self, id: &ContainerId) {
        drop(std::fs::remove_file(self.stage.door(id.as_str())));
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
    // A child may say any number.
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_a_child_did_not_make_is_not_taken_for_a_containers() {
        let mut shell = Command::new("sh");
        let mut shell =
            shell.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (pid, of_its_own) = (shell.id().cast_signed(), line.trim().parse::<i32>().unwrap());
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let asker = Asker { connection: 1, request: 1 };
        let (ear, _mouth) = child::channel().unwrap();
        let job = Job::begun(pid, ear, asker, ContainerId::new("c").unwrap(), Work::Create, None);
        job.made(of_its_own, &[]).unwrap();
        let parent = process::parent(std::process::id().cast_signed()).unwrap().unwrap();
        for forged in [1, parent, pid, std::process::id().cast_signed(), -1, 0] {
            assert!(job.made(forged, &[]).is_err(), "{forged}");
        }
        // Of its own, or one that lost its parent: but not in the container's cgroup.
        let cgroup = tempfile::tempdir().unwrap();
        std::fs::write(cgroup.path().join("cgroup.procs"), format!("{of_its_own}\n")).unwrap();
        let cgroups = [cgroup.path().to_owned()];
        job.made(of_its_own, &cgroups).unwrap();
        assert!(job.made(other.id().cast_signed(), &cgroups).is_err());
        std::fs::write(cgroup.path().join("cgroup.procs"), "1\n").unwrap();
        assert!(job.made(of_its_own, &cgroups).is_err());
        // With it ends what it forked.
        job.kill();
        shell.wait().unwrap();
        let ended = || process::identify(of_its_own).is_ok_and(|it| it.is_none()) || is_zombie(of_its_own);
        assert!((0..1000).any(|_| ended() || {
            std::thread::sleep(Duration::from_millis(5));
            false
        }));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    fn is_zombie(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
    }
}
