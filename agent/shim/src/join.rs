//! Joining cgroups without waiting for every processor of the node.
//!
//! Who writes a pid to `cgroup.procs` takes a lock that every fork and exit of the node shares, and waits for a grace
//! period of the kernel's RCU to have it: some ten milliseconds, whoever is moved. A thread that moves itself, by `0` in
//! version 1's `tasks`, needs no such lock (`cgroup_procs_write_start`, since Linux 5.5), and a process of one thread is
//! then moved as a whole. Version 2 has no such way for a process that is there: it is moved beside other work
//! ([`Joining`]).

use crate::child;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What a folder of version 1 moves single threads by.
const THREADS: &str = "tasks";
/// What a folder of either version moves processes by.
const PROCESSES: &str = "cgroup.procs";

/// Writes to a file that the kernel made; never makes one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.write_all(text.as_bytes())
}

fn told(folder: &Path, error: &io::Error) -> String {
    format!("the cgroup {} could not be joined ({error})", folder.display())
}

/// Whether a folder is of version 1.
fn is_first_version(folder: &Path) -> bool {
    folder.join(THREADS).exists()
}

/// Whether a folder has a process, by its pid.
fn holds(folder: &Path, pid: &str) -> bool {
    fs::read_to_string(folder.join(PROCESSES)).is_ok_and(|text| text.lines().any(|line| line == pid))
}

/// Puts this process, which has one thread, into a cgroup of either version.
pub(crate) fn join(folder: &Path) -> Result<(), String> {
    let joined = match write(&folder.join(THREADS), "0") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(&folder.join(PROCESSES), "0"),
        joined => joined,
    };
    joined.map_err(|error| told(folder, &error))
}

/// A process of one thread on its way into cgroups.
#[derive(Debug)]
#[must_use = "until it is waited for, nobody knows whether the cgroups were joined"]
pub(crate) struct Joining {
    mover: Option<i32>,
    folders: Vec<PathBuf>,
}

impl Joining {
    /// Begins to put this process into cgroups. It is in those of version 1 at once; into others it is moved by a child,
    /// while it goes on.
    pub(crate) fn begin(folders: &[PathBuf]) -> Result<Self, String> {
        let (first, others): (Vec<_>, Vec<_>) =
            folders.iter().cloned().partition(|folder| is_first_version(folder));
        for folder in &first {
            join(folder)?;
        }
        // Who was born in one needs nobody to move it.
        let me = std::process::id().to_string();
        let others: Vec<_> = others.into_iter().filter(|folder| !holds(folder, &me)).collect();
        if others.is_empty() {
            return Ok(Self { mover: None, folders: others });
        }
        let mover = child::fork_raw(|| {
            let moved = others.iter().try_for_each(|folder| write(&folder.join(PROCESSES), &me));
            child::leave(moved.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0));
        })
        .map_err(|error| format!("a child could not be forked ({error})"))?;
        Ok(Self { mover: Some(mover), folders: others })
    }

    /// Waits until this process is in all of them.
    pub(crate) fn finish(self) -> Result<(), String> {
        let Some(mover) = self.mover else { return Ok(()) };
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        let failed = |why: String| format!("the cgroup {} could not be joined ({why})", folders.join(" or "));
        loop {
            return match waitpid(Pid::from_raw(mover), None) {
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(WaitStatus::Exited(_, 0)) => Ok(()),
                Ok(WaitStatus::Exited(_, code)) => {
                    Err(failed(io::Error::from_raw_os_error(code).to_string()))
                }
                Ok(other) => Err(failed(format!("{other:?}"))),
                Err(errno) => Err(failed(errno.to_string())),
            };
        }
    }
}

/// Whether [`enter`] can put a container's maker into these cgroups: all of them are of version 1.
pub(crate) fn can_enter(folders: &[PathBuf]) -> bool {
    !folders.is_empty() && folders.iter().all(|folder| is_first_version(folder))
}

/// Puts this process and all that it forks into a container's cgroups, and has libcontainer's own attempt to do so lead
/// nowhere: in a mount namespace that ends with this process, the files that it would write to are a `decoy`.
pub(crate) fn enter(folders: &[PathBuf], decoy: &Path) -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|errno| format!("a mount namespace could not be made ({errno})"))?;
    fs::write(decoy, "").map_err(|error| format!("{} could not be made ({error})", decoy.display()))?;
    for folder in folders {
        join(folder)?;
        let file = folder.join(PROCESSES);
        rustix::mount::mount_bind(decoy, &file)
            .map_err(|errno| format!("{} could not be mounted over ({errno})", file.display()))?;
    }
    Ok(())
}

/// Writes a limit of processes into the folder that has one: it counts the maker's own processes too, so it is set when
/// they have ended.
pub(crate) fn limit_processes(folders: &[PathBuf], limit: i64) -> Result<(), String> {
    let value = if limit > 0 { limit.to_string() } else { "max".to_owned() };
    for file in folders.iter().map(|folder| folder.join("pids.max")).filter(|file| file.exists()) {
        write(&file, &value)
            .map_err(|error| format!("{} would not take {value} ({error})", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    fn holds(folder: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(folder.path().join(file)).unwrap()
    }

    #[test]
    fn a_thread_moves_itself_where_it_can() {
        let first = cgroup(&[THREADS, PROCESSES]);
        join(first.path()).unwrap();
        assert_eq!((holds(&first, THREADS).as_str(), holds(&first, PROCESSES).as_str()), ("0", ""));
        let second = cgroup(&[PROCESSES]);
        join(second.path()).unwrap();
        assert_eq!(holds(&second, PROCESSES), "0");
        let gone = join(Path::new("/nowhere/c")).unwrap_err();
        assert!(gone.contains("/nowhere/c"), "{gone}");
    }

    #[test]
    fn only_version_1_is_entered_before_libcontainer() {
        let (first, second) = (cgroup(&[THREADS, PROCESSES]), cgroup(&[PROCESSES]));
        let path = |folder: &tempfile::TempDir| folder.path().to_owned();
        assert!(can_enter(&[path(&first)]));
        assert!(
            !can_enter(&[path(&first), path(&second)]) && !can_enter(&[path(&second)]) && !can_enter(&[])
        );
        let joining = Joining::begin(&[path(&first)]).unwrap();
        assert_eq!(holds(&first, THREADS), "0");
        joining.finish().unwrap();
    }

    #[test]
    fn a_limit_of_processes_goes_where_they_are_counted() {
        let (memory, pids) = (cgroup(&[THREADS]), cgroup(&[THREADS, "pids.max"]));
        let folders = [memory.path().to_owned(), pids.path().to_owned()];
        limit_processes(&folders, 12).unwrap();
        assert_eq!(holds(&pids, "pids.max"), "12");
        assert!(!memory.path().join("pids.max").exists());
        fs::write(pids.path().join("pids.max"), "").unwrap();
        limit_processes(&folders, 0).unwrap();
        assert_eq!(holds(&pids, "pids.max"), "max");
    }
}
