//! The little that a shim knows of cgroups: folders that it was told of, whichever version they are of.

use rustix::process::Signal;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many processes were killed for memory, by a file that says so; none if it does not.
pub(super) fn oom_kills(path: &Path) -> u64 {
    counted(path, "oom_kill ")
}

/// How many processes were refused, by a file that says so; none if it does not.
pub(super) fn forks_refused(path: &Path) -> u64 {
    counted(path, "max ")
}

fn counted(path: &Path, before: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(before)?.trim().parse().ok()).unwrap_or(0)
}

/// The most folders of one container's that are looked through.
const MOST: usize = 10_000;

/// A cgroup and those below it, the deepest last; none if there is none.
fn tree(cgroup: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![cgroup.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let below =
            entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| entry.path()).take(MOST.saturating_sub(folders.len())));
    }
    Ok(folders)
}

/// Kills everybody in cgroups and those below them, and removes them. Those that are not there are no error; `EBUSY` is
/// one that is worth another try.
pub(super) fn remove(cgroups: &[PathBuf]) -> io::Result<()> {
    let mut failed = Ok(());
    for cgroup in cgroups {
        for folder in tree(cgroup)?.iter().rev() {
            kill(folder);
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => failed = Err(error),
                _ => {}
            }
        }
    }
    failed
}

/// Sends a signal to everybody in the first of some cgroups, which all hold the same, and in those below it: a container
/// that may make cgroups has its processes there.
pub(super) fn signal(cgroups: &[PathBuf], number: i32) {
    let (Some(cgroup), Some(signal)) = (cgroups.first(), Signal::from_named_raw(number)) else { return };
    for folder in tree(cgroup).unwrap_or_default() {
        match signal {
            Signal::KILL => kill(&folder),
            signal => signal_all(&folder, signal),
        }
    }
}

/// Kills everybody in one cgroup.
fn kill(cgroup: &Path) {
    // All at once where the kernel can.
    drop(write(&cgroup.join("cgroup.kill"), "1"));
    signal_all(cgroup, Signal::KILL);
}

/// Writes to a file that the kernel made; never makes one.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::File::options().write(true).open(path)?, text.as_bytes())
}

/// Never the shim itself, whatever it was told.
fn signal_all(cgroup: &Path, signal: Signal) {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let own = std::process::id().cast_signed();
    for pid in text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1 && *pid != own)
    {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_by_both_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        fs::write(&path, "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n").unwrap();
        assert_eq!(oom_kills(&path), 2);
        fs::write(&path, "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n").unwrap();
        assert_eq!(oom_kills(&path), 7);
        assert_eq!(oom_kills(Path::new("/nowhere")), 0);
        fs::write(&path, "max 12\n").unwrap();
        assert_eq!(forks_refused(&path), 12);
    }

    #[test]
    fn folders_go_from_the_deepest_up() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
        remove(&[dir.path().join("a"), dir.path().join("none")]).unwrap();
        assert!(!dir.path().join("a").exists());
    }
}
