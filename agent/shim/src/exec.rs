//! Another process in a running container, in a child: confined as the container's own first process is.
//!
//! libcontainer's exec enters neither the user namespace nor the filter of system calls, so this is our own. The order
//! is that of libcontainer's first process.

use crate::child::{self, Mouth, Word};
use crate::filter;
use crate::program;
use crate::protocol::{Exec, ExecUser, IdMaps, RefusalKind, TerminalSize};
use libcontainer::syscall::syscall::create_syscall;
use libcontainer::{capabilities, seccomp};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxNamespaceType, PosixRlimitType, Process, Spec};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// All that is needed to start a process.
pub(crate) struct Entering<'a> {
    pub(crate) exec: &'a Exec,
    /// The container's specification.
    pub(crate) config: PathBuf,
    /// The container's cgroups.
    pub(crate) cgroups: &'a [PathBuf],
    /// Where its root is mounted, for who has not entered it.
    pub(crate) root: PathBuf,
    /// The container's first process.
    pub(crate) first: BorrowedFd<'a>,
    /// Standard input, output and error, without a terminal.
    pub(crate) stdio: &'a [OwnedFd],
    /// How the Instance's users map to those of the node.
    pub(crate) users: Option<&'a IdMaps>,
    /// The container's filter of system calls, where the shim was handed it.
    pub(crate) filter: Option<BorrowedFd<'a>>,
    pub(crate) never: Option<program::FileId>,
}

impl Entering<'_> {
    /// What the child needs of the shim's descriptors.
    pub(crate) fn keep(&self) -> Vec<BorrowedFd<'_>> {
        let mut keep = vec![self.first];
        keep.extend(self.filter);
        keep.extend(self.stdio.iter().map(|fd| fd.as_fd()));
        keep
    }

    /// Enters, in the child, and forks the process, which tells why it could not be.
    pub(crate) fn run(&self, mouth: &Mouth) {
        if let Err(message) = self.enter(mouth) {
            mouth.fail(RefusalKind::Failed, message);
        }
    }

    fn enter(&self, mouth: &Mouth) -> Result<(), String> {
        let spec = Spec::load(&self.config)
            .map_err(|error| format!("{}: {}", self.config.display(), crate::chain(&error)))?;
        let process = spec.process().as_ref().ok_or("the container's specification has no process")?;
        if let Some(score) = process.oom_score_adj() {
            fs::write("/proc/self/oom_score_adj", score.to_string())
                .map_err(|error| format!("the OOM score could not be set ({error})"))?;
        }
        crate::stdio::give(self.stdio, self.user(process).uid, self.users);
        // Whoever shares the container's namespaces must not look into this process, which is still the node's.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(|errno| errno.to_string())?;
        self.cgroups.iter().try_for_each(|cgroup| crate::join::join(&self.place(cgroup)))?;
        let user = self.user(process);
        let env = self.environment(process, &user);
        let flags = namespaces(&spec);
        // Its network first: it may be another's than the user namespace's root, who could not enter it.
        for flags in [CloneFlags::CLONE_NEWNET, flags] {
            setns(self.first, flags).map_err(|errno| match errno {
                nix::errno::Errno::ESRCH => "the container has ended".to_owned(),
                errno => format!("the container's namespaces could not be entered ({errno})"),
            })?;
        }
        if flags.contains(CloneFlags::CLONE_NEWUSER) {
            crate::namespaces::become_root()?;
        }
        // A pid namespace is entered by children alone. This one becomes the shim's, as its parent ends.
        let theirs = mouth.try_clone().map_err(|error| error.to_string())?;
        let pid = child::fork_raw(|| {
            let failed = match self.become_process(&spec, process, (&user, &env), &theirs) {
                Ok(never) => match never {},
                Err(message) => message,
            };
            let cannot = failed.contains(program::CANNOT);
            theirs.fail(if cannot { RefusalKind::CannotExecute } else { RefusalKind::Failed }, failed);
            child::leave(126);
        })
        .map_err(|error| format!("no process could be made ({error})"))?;
        mouth.say(&Word::Process { pid });
        Ok(())
    }

    /// Where in a cgroup of the container's it is to be: in it; or, if the container gives controllers on (version 2), in the
    /// one below it that its first process is in. The one above may hold no processes then.
    fn place(&self, cgroup: &Path) -> PathBuf {
        let given = fs::read_to_string(cgroup.join("cgroup.subtree_control")).unwrap_or_default();
        if given.trim().is_empty() {
            return cgroup.to_owned();
        }
        let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.first.as_raw_fd()));
        let pid = told.ok().and_then(|text| first_pid(&text));
        let text = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok());
        text.and_then(|text| below(cgroup, &text)).unwrap_or_else(|| cgroup.to_owned())
    }

    fn become_process(
        &self,
        spec: &Spec,
        process: &Process,
        (user, env): (&ExecUser, &BTreeMap<String, String>),
        mouth: &Mouth,
    ) -> Result<std::convert::Infallible, String> {
        nix::unistd::setsid().map_err(|errno| format!("no session could be begun ({errno})"))?;
        match self.exec.terminal {
            Some(size) => terminal(size, mouth)?,
            None => stdio(self.stdio)?,
        }
        let cwd = self.exec.cwd.clone().unwrap_or_else(|| process.cwd().clone());
        // A folder that the node's root may enter and the user may not is entered, as the container's own was.
        let early = rustix::process::chdir(&cwd).is_ok();
        limits(process)?;
        if let Some(umask) = process.user().umask() {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        }
        let no_new_privileges = process.no_new_privileges() == Some(true);
        if no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(|errno| errno.to_string())?;
        }
        child::close_on_exec();
        let read =
            |file| filter::Program::read(file).map_err(|error| format!("its filter is lost ({error})"));
        let handed = self.filter.map(read).transpose()?;
        let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let load = || match (&handed, profile) {
            (Some(program), _) => program.load(),
            (None, Some(profile)) => seccomp::initialize_seccomp(profile)
                .map(drop)
                .map_err(|error| format!("the filter of system calls: {}", crate::chain(&error))),
            (None, None) => Ok(()),
        };
        // Without it, loading a filter takes rights that are given up below.
        if !no_new_privileges {
            load()?;
        }
        become_user(user, process)?;
        if !early {
            rustix::process::chdir(&cwd)
                .map_err(|errno| format!("the folder {} could not be entered ({errno})", cwd.display()))?;
        }
        let args = &self.exec.args;
        let name = args.first().map(String::as_str).unwrap_or_default();
        set_environment(env);
        let path = env.get("PATH").map_or(program::DEFAULT_PATH, String::as_str);
        let file = program::find(name, path, self.never)?;
        if no_new_privileges {
            load()?;
        }
        program::become_program(&file, args)
    }

    /// Who it runs as: who is asked for, else who the container's first process is.
    fn user(&self, process: &Process) -> ExecUser {
        self.exec.user.clone().unwrap_or_else(|| ExecUser {
            uid: process.user().uid(),
            gid: process.user().gid(),
            groups: process.user().additional_gids().clone().unwrap_or_default(),
        })
    }

    /// The container's, and over it what is asked for. Its user is at home where the container's first process would be: by
    /// the root, and not by what is mounted over that.
    fn environment(&self, process: &Process, user: &ExecUser) -> BTreeMap<String, String> {
        let base = process.env().as_deref().unwrap_or_default();
        let pairs = base.iter().chain(&self.exec.env).filter_map(|entry| entry.split_once('='));
        let mut env: BTreeMap<String, String> =
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if env.get("HOME").is_none_or(String::is_empty) {
            env.insert("HOME".to_owned(), crate::home::home(&self.root, user.uid));
        }
        if self.exec.terminal.is_some() {
            env.entry("TERM".to_owned()).or_insert_with(|| "xterm".to_owned());
        }
        env
    }
}

/// The pid in what the kernel tells of a descriptor of a process.
fn first_pid(text: &str) -> Option<i32> {
    text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok()).filter(|pid| *pid > 0)
}

/// The cgroup of a process (as `/proc/<pid>/cgroup` tells it) below the folder of another.
fn below(folder: &Path, text: &str) -> Option<PathBuf> {
    let path = Path::new(text.lines().find_map(|line| line.strip_prefix("0::"))?);
    if path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    // Where the tree is mounted is not told: what both have in common tells it.
    path.ancestors().find_map(|above| {
        let name = above.strip_prefix("/").ok().filter(|name| !name.as_os_str().is_empty())?;
        folder.ends_with(name).then(|| path.strip_prefix(above).ok().map(|rest| folder.join(rest)))?
    })
}

/// Those of the container that are not the node's.
fn namespaces(spec: &Spec) -> CloneFlags {
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut flags = CloneFlags::empty();
    for namespace in list.into_iter().flatten() {
        flags |= match namespace.typ() {
            LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
            LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
            LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
            LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
            LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
            LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
            // Entered before.
            LinuxNamespaceType::Network => CloneFlags::empty(),
            LinuxNamespaceType::Time => CloneFlags::empty(),
        };
    }
    flags
}

fn stdio(fds: &[OwnedFd]) -> Result<(), String> {
    let [stdin, stdout, stderr] = fds else {
        return Err("a process without a terminal takes three descriptors".to_owned());
    };
    let told = |errno: rustix::io::Errno| format!("its input and output could not be set ({errno})");
    rustix::stdio::dup2_stdin(stdin).map_err(told)?;
    rustix::stdio::dup2_stdout(stdout).map_err(told)?;
    rustix::stdio::dup2_stderr(stderr).map_err(told)
}

/// Makes a terminal in the container's own `/dev/pts`, gives the shim its master, and has it for input and output.
fn terminal(size: TerminalSize, mouth: &Mouth) -> Result<(), String> {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::OpenptFlags;
    let told = |errno: rustix::io::Errno| format!("no terminal could be made ({errno})");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).map_err(told)?;
    // A container may have put anything there.
    let there = rustix::fs::fstat(&master).map_err(told)?;
    let of = rustix::fs::fstatfs(&master).map_err(told)?;
    if rustix::fs::major(there.st_rdev) != 5 || rustix::fs::minor(there.st_rdev) != 2 || of.f_type != DEVPTS {
        return Err("no terminal could be made (/dev/pts/ptmx of the container is none)".to_owned());
    }
    rustix::pty::unlockpt(&master).map_err(told)?;
    let open = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    // By the master, not by a path that the container might have changed.
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, open).map_err(told)?;
    let window =
        rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, window).map_err(told)?;
    rustix::process::ioctl_tiocsctty(&slave).map_err(told)?;
    rustix::stdio::dup2_stdin(&slave).map_err(told)?;
    rustix::stdio::dup2_stdout(&slave).map_err(told)?;
    rustix::stdio::dup2_stderr(&slave).map_err(told)?;
    mouth.hand_over(&Word::Terminal, master.as_fd()).map_err(|error| error.to_string())
}

/// `DEVPTS_SUPER_MAGIC` of the kernel's `magic.h`.
const DEVPTS: rustix::fs::FsWord = 0x1cd1;

fn limits(process: &Process) -> Result<(), String> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    for limit in process.rlimits().iter().flatten() {
        let resource = match limit.typ() {
            PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
            PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
            PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
            PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
            PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
            PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
            PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
            PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
            PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
            PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
            PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
            PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
            PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
            PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
            PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
            PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        };
        let now = getrlimit(resource).map_err(|errno| errno.to_string())?;
        if now == (limit.soft(), limit.hard()) {
            continue;
        }
        setrlimit(resource, limit.soft(), limit.hard())
            .map_err(|errno| format!("the limit {:?} could not be set ({errno})", limit.typ()))?;
    }
    Ok(())
}

/// Becomes the user, with the container's capabilities: for its root at once, for others what a program may gain.
fn become_user(user: &ExecUser, process: &Process) -> Result<(), String> {
    let told = |what: &'static str| move |errno: nix::errno::Errno| format!("{what} ({errno})");
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    match nix::unistd::setgroups(&groups) {
        // A user namespace that was made without rights has no groups to give.
        Err(nix::errno::Errno::EPERM) if groups.is_empty() => {}
        other => other.map_err(told("its groups could not be set"))?,
    }
    rustix::thread::set_keep_capabilities(true).map_err(|errno| errno.to_string())?;
    nix::unistd::setresgid(gid, gid, gid).map_err(told("its group could not be set"))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(told("its user could not be set"))?;
    rustix::thread::set_keep_capabilities(false).map_err(|errno| errno.to_string())?;
    let syscall = create_syscall();
    capabilities::reset_effective(syscall.as_ref()).map_err(|error| crate::chain(&error))?;
    if let Some(caps) = process.capabilities() {
        capabilities::drop_privileges(caps, syscall.as_ref())
            .map_err(|error| format!("its capabilities could not be set: {}", crate::chain(&error)))?;
    }
    Ok(())
}

fn set_environment(env: &BTreeMap<String, String>) {
    let there: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    for name in there {
        #[expect(unsafe_code, reason = "the environment is unsafe to change where there are threads")]
        // SAFETY: this process has one thread.
        unsafe {
            std::env::remove_var(name);
        }
    }
    for (name, value) in
        env.iter().filter(|(name, value)| !name.is_empty() && !name.contains('\0') && !value.contains('\0'))
    {
        #[expect(unsafe_code, reason = "the environment is unsafe to change where there are threads")]
        // SAFETY: this process has one thread.
        unsafe {
            std::env::set_var(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_below_the_cgroup_of_its_container() {
        let folder = Path::new("/sys/fs/cgroup/hypermesh/i/c");
        let of = |text: &str| below(folder, text).map(|path| path.display().to_string());
        assert_eq!(of("0::/hypermesh/i/c/init\n").as_deref(), Some("/sys/fs/cgroup/hypermesh/i/c/init"));
        // Where only a part of the tree is mounted.
        let part = below(Path::new("/sys/fs/cgroup/i/c"), "1:x:/y\n0::/i/c/a/b\n");
        assert_eq!(part.as_deref(), Some(Path::new("/sys/fs/cgroup/i/c/a/b")));
        assert_eq!(of("0::/elsewhere/x\n"), None);
        assert_eq!(of("0::/hypermesh/i/c/../../x\n"), None);
        assert_eq!(of("0::/\n"), None);
        assert_eq!(first_pid("pos:\t0\nPid:\t42\nNSpid:\t42\n"), Some(42));
        assert_eq!(first_pid("Pid:\t-1\n"), None);
    }
}
