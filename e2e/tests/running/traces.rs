//! What instances of one agent leave on a machine: files, processes, mounts, cgroups, interfaces, namespaces.

use anyhow::Result;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What there is, each thing a line.
#[derive(Debug, Default)]
pub struct Traces(BTreeSet<String>);

/// What the agent calls what is its own outside of its folder: the same for the same folder.
fn apart(agent: &Path) -> String {
    let bytes = agent.as_os_str().as_encoded_bytes().iter();
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("-{hash:08x}")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The agent's cgroup in every hierarchy.
fn cgroups(agent: &Path) -> Vec<PathBuf> {
    let own = format!("hypermesh{}", apart(agent));
    let root = Path::new("/sys/fs/cgroup");
    let all = entries(root).into_iter().chain([root.to_owned()]).map(|hierarchy| hierarchy.join(&own));
    all.filter(|group| group.is_dir()).collect()
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let folders = entries(&folder).into_iter().filter(|path| path.is_dir() && !path.is_symlink());
        for inner in folders {
            found.push(inner.clone());
            open.push(inner);
        }
    }
    found
}

/// Shims, and what runs in them, of this agent: each is told by the folder on its command line.
pub fn shims(agent: &Path) -> Vec<(i32, String)> {
    let agent = agent.display().to_string();
    let processes = entries(Path::new("/proc")).into_iter().filter_map(|process| {
        let pid = process.file_name()?.to_str()?.parse().ok()?;
        let line = std::fs::read(process.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains("shim") && line.contains(&agent)).then_some((pid, line))
    });
    processes.collect()
}

/// Processes below another, itself left out.
pub fn children(parent: i32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let direct = std::fs::read_to_string(path).unwrap_or_default();
    let direct: Vec<i32> = direct.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    direct.into_iter().flat_map(|pid| std::iter::once(pid).chain(children(pid))).collect()
}

/// Whether a process runs: one that has ended and was not yet waited for does not.
pub fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

impl Traces {
    /// What there is of an agent with this data folder.
    pub fn of(agent: &Path) -> Result<Self> {
        let mut traces = BTreeSet::new();
        for folder in ["instances", "logs", "memory", "runtime", "images/snapshots", "namespaces"] {
            traces.extend(entries(&agent.join(folder)).iter().map(|path| path.display().to_string()));
        }
        traces.extend(shims(agent).into_iter().map(|(pid, line)| format!("process {pid}: {line}")));
        let state = format!("/run/hypermesh{}", apart(agent));
        let own = agent.display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let mounts = mounts.lines().filter(|line| line.contains(&own) || line.contains(&state));
        traces.extend(mounts.map(str::to_owned));
        for group in cgroups(agent) {
            traces.extend(below(&group).iter().map(|path| path.display().to_string()));
        }
        let ports = format!("/sys/class/net/hm{}/brif", apart(agent));
        traces.extend(entries(Path::new(&ports)).iter().map(|path| path.display().to_string()));
        let files = std::iter::once(PathBuf::from(&state))
            .chain(below(Path::new(&state)))
            .flat_map(|at| entries(&at));
        traces.extend(files.map(|path| path.display().to_string()));
        Ok(Self(traces))
    }

    /// What there is now and was not before.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// Takes away everything of an agent that does not run any more, so that a failed test leaves nothing either.
    pub fn clear(agent: &Path) {
        for (pid, _) in shims(agent) {
            for pid in std::iter::once(pid).chain(children(pid)) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
            }
        }
        let state = format!("/run/hypermesh{}", apart(agent));
        let own = agent.display().to_string();
        // What a process that was killed a moment ago still holds is let go by it soon.
        for _ in 0..50 {
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            for at in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
                if at.starts_with(&own) || at.starts_with(&state) {
                    let _ = nix::mount::umount2(at, nix::mount::MntFlags::MNT_DETACH);
                }
            }
            for group in cgroups(agent) {
                for inner in below(&group).into_iter().rev().chain([group]) {
                    let _ = std::fs::remove_dir(inner);
                }
            }
            if cgroups(agent).is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let bridge = format!("hm{}", apart(agent));
        for port in entries(Path::new(&format!("/sys/class/net/{bridge}/brif"))) {
            let _ = Command::new("ip").args(["link", "del"]).args(port.file_name()).output();
        }
        let _ = Command::new("ip").args(["link", "del", &bridge]).output();
        let tables = Command::new("nft").args(["list", "tables"]).output();
        let tables =
            tables.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
        for table in tables.lines().filter(|line| line.contains(&bridge.replacen("hm-", "", 1))) {
            let words = table.split(' ').skip(1);
            let _ = Command::new("nft").args(["delete", "table"]).args(words).output();
        }
        let _ = std::fs::remove_dir_all(state);
    }
}
