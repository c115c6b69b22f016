//! What is the node's: where things are, what it can do, and clearing away what belongs to nobody.

use super::OciOptions;
use super::filters::Filters;
use super::sandbox::lock;
use super::spawn::Program;
use crate::cgroup::{Cgroups, write};
use crate::class::Swept;
use crate::error::{RuntimeError, io_error};
use crate::report::Report;
use crate::spec::capabilities;
use hypermesh_shim::process;
use hypermesh_shim::protocol::InstanceId;
use hypermesh_shim::state::{Layout, ProcessId, ShimState};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How long what is being removed may resist.
const PATIENCE: Duration = Duration::from_secs(5);

/// The cgroup of a shim within its Instance's: no container's name begins so.
pub(super) const SHIM: &str = "_shim";

/// The node, as the class sees it.
pub(super) struct Node {
    pub(super) options: OciOptions,
    pub(super) cgroups: Cgroups,
    pub(super) report: Report,
    pub(super) program: Program,
    /// Filters of system calls that were compiled.
    pub(super) filters: Filters,
    /// What the agent itself may give.
    pub(super) bounding: BTreeSet<String>,
    /// Instances that there are, and where their ranges of ids begin.
    pub(super) known: Mutex<BTreeMap<InstanceId, Option<u32>>>,
}

impl Node {
    pub(super) fn layout(&self, instance: &InstanceId) -> Layout {
        Layout::new(self.options.root.join(instance.as_str()))
    }

    /// Which capabilities there are to give: in a user namespace all, since they hold there alone.
    pub(super) fn capabilities(&self, user_namespace: bool) -> BTreeSet<String> {
        if user_namespace { capabilities::of_mask(u64::MAX) } else { self.bounding.clone() }
    }

    /// Folders of Instances, whatever is in them.
    pub(super) fn instances(&self) -> Result<Vec<InstanceId>, RuntimeError> {
        let root = &self.options.root;
        let mut ids = Vec::new();
        for entry in fs::read_dir(root).map_err(io_error("reading", root))? {
            let entry = entry.map_err(io_error("reading", root))?;
            if let Some(id) = entry.file_name().into_string().ok().and_then(|name| InstanceId::new(name).ok())
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Kills everybody in a cgroup and those below it. How many.
    pub(super) fn kill_below(&self, path: &Path) -> usize {
        let mut killed = BTreeSet::new();
        for folder in self.cgroups.folders(path) {
            for folder in tree(&folder) {
                drop(write(&folder.join("cgroup.kill"), "1"));
                // What is frozen does not die (version 1).
                drop(write(&folder.join("freezer.state"), "THAWED"));
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                for pid in text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1) {
                    if let Some(raw) = Pid::from_raw(pid) {
                        let _ = kill_process(raw, Signal::KILL);
                        killed.insert(pid);
                    }
                }
            }
        }
        killed.len()
    }

    /// Removes a cgroup that is empty, and those below it, in every tree. How many folders.
    pub(super) fn remove_cgroup(&self, path: &Path) -> (usize, io::Result<()>) {
        let (mut count, mut failed) = (0, Ok(()));
        for folder in self.cgroups.all_folders(path) {
            for folder in tree(&folder).into_iter().rev() {
                match fs::remove_dir(&folder) {
                    Ok(()) => count += 1,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => failed = Err(error),
                }
            }
        }
        (count, failed)
    }

    /// Waits until a shim has ended, and ends it if it takes too long.
    pub(super) async fn end_shim(&self, shim: &ProcessId, grace: Duration) {
        let Some(handle) = handle(shim) else { return };
        // It can be read from once the process has ended, whether its parent has heard of it or not.
        #[expect(unsafe_code, reason = "tokio asks for a promise that the descriptor stays the same")]
        // SAFETY: an `OwnedFd` always gives the same descriptor, which is open as long as it lives.
        let registered = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
        let ended = match registered {
            Ok(handle) => {
                tokio::time::timeout(grace, handle.readable()).await.is_ok_and(|ended| ended.is_ok())
            }
            Err(error) => {
                tracing::warn!(pid = shim.pid, %error, "the end of a shim cannot be waited for");
                false
            }
        };
        if !ended {
            kill(shim, Signal::KILL);
        }
    }

    /// Removes an Instance's cgroups and folder; its shim is gone.
    pub(super) async fn clear(&self, instance: &InstanceId) -> Result<(), RuntimeError> {
        let mut swept = Swept::default();
        self.clear_away(instance, &mut swept).await?;
        lock(&self.known).remove(instance);
        Ok(())
    }

    /// The same, counted. What resists is tried for a while.
    async fn clear_away(&self, instance: &InstanceId, swept: &mut Swept) -> Result<(), RuntimeError> {
        let path = self.cgroups.path(&[instance.as_str()]);
        let until = Instant::now() + PATIENCE;
        let mut wait = Duration::from_micros(100);
        loop {
            swept.processes += self.kill_below(&path);
            let (count, removed) = self.remove_cgroup(&path);
            swept.cgroups += count;
            match removed {
                Ok(()) => break,
                Err(error) if Instant::now() > until => {
                    return Err(io_error("removing the cgroup", path)(error));
                }
                Err(_) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_millis(100));
                }
            }
        }
        let folder = self.layout(instance).folder().to_owned();
        swept.mounts += unmount_below(&folder)?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", folder)(error)),
            _ => Ok(()),
        }
    }

    /// Clears away all Instances but some.
    pub(super) async fn sweep(&self, keep: &BTreeSet<InstanceId>) -> Result<Swept, RuntimeError> {
        let mut found: BTreeSet<InstanceId> = self.instances()?.into_iter().collect();
        found.extend(self.cgroups.instances().into_iter().filter_map(|name| InstanceId::new(name).ok()));
        let mut swept = Swept::default();
        for instance in found.difference(keep) {
            swept.instances.insert(instance.clone());
            let shim = hypermesh_shim::state::read::<ShimState>(&self.layout(instance).shim());
            if let Ok(Some(shim)) = shim
                && process::is_there(&shim.process).unwrap_or(false)
            {
                kill(&shim.process, Signal::KILL);
                swept.processes += 1;
                self.end_shim(&shim.process, PATIENCE).await;
            }
            if let Err(error) = self.clear_away(instance, &mut swept).await {
                swept.left.push(format!("{instance}: {}", crate::error::chain(&error)));
            }
        }
        Ok(swept)
    }
}

/// A process, if it is still the one that is meant.
fn handle(target: &ProcessId) -> Option<OwnedFd> {
    let handle = pidfd_open(Pid::from_raw(target.pid)?, PidfdFlags::empty()).ok()?;
    // Whoever had the pid when it was opened keeps it.
    process::is_there(target).unwrap_or(false).then_some(handle)
}

/// Sends a signal to a process, if it is still the one that is meant.
fn kill(target: &ProcessId, signal: Signal) {
    if let Some(handle) = handle(target) {
        let _ = pidfd_send_signal(&handle, signal);
    }
}

/// The most cgroups of one Instance that are looked through.
const MOST: usize = 100_000;

/// A folder and all below it, the deepest last.
pub(super) fn tree(folder: &Path) -> Vec<PathBuf> {
    if !folder.is_dir() {
        return Vec::new();
    }
    let mut folders = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| entry.path()).take(MOST.saturating_sub(folders.len())));
    }
    folders
}

/// Unmounts whatever an agent of old left mounted in a folder. How many.
fn unmount_below(folder: &Path) -> Result<usize, RuntimeError> {
    let told = io_error("reading", "/proc/self/mountinfo");
    let text = fs::read_to_string("/proc/self/mountinfo").map_err(told)?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    points.reverse();
    for point in &points {
        let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
        rustix::mount::unmount(point, flags).map_err(|errno| io_error("unmounting", point)(errno.into()))?;
    }
    Ok(points.len())
}
