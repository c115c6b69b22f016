//! What a shim writes about itself and its containers, each a file that is replaced as a whole.
//!
//! An agent that comes back reads them where no shim answers any more. They name processes by pid, boot and start time:
//! a pid alone may be somebody else's by then.

use crate::protocol::{ContainerId, InstanceId};
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Files and folders of an Instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(PathBuf);

impl Layout {
    /// The layout of an Instance's folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// What the Instance's containers share ([`crate::protocol::SandboxConfig`]); written before the shim is started.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("sandbox.json")
    }

    /// Who the shim is ([`ShimState`]).
    #[must_use]
    pub fn shim(&self) -> PathBuf {
        self.0.join("shim.json")
    }

    /// Where the shim listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.0.join("shim.sock")
    }

    /// What the shim had to say that nobody was told: panics and failures of its own.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    /// Folders of containers.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }

    /// A container's folder: its bundle.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// A container's state ([`ContainerState`]).
    #[must_use]
    pub fn state(&self, id: &ContainerId) -> PathBuf {
        self.container(id).join("container.json")
    }
}

/// A process, distinguishable from all that had its pid before or will have it after.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// As the node's own pid namespace counts.
    pub pid: i32,
    /// When it began, in clock ticks since boot (field 22 of `/proc/<pid>/stat`).
    pub start_time: u64,
    /// In which life of the kernel (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// Who a shim is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimState {
    /// What it speaks.
    pub version: u32,
    /// The Instance it is of.
    pub instance: InstanceId,
    /// Itself.
    pub process: ProcessId,
}

/// How far a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Everything is made, and its process waits for the word.
    Created,
    /// Its process was told to begin.
    Running,
    /// Its process has ended.
    Exited,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// As a shell tells it: its own code, or 128 and the signal's number.
    pub code: i32,
    /// The signal that ended it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// How many processes of the container the kernel killed for memory while it lived.
    #[serde(default)]
    pub oom_kills: u64,
    /// How often it was refused a process or thread because it had as many as it may.
    #[serde(default)]
    pub forks_refused: u64,
    /// When, in nanoseconds since 1970.
    pub at: i64,
}

impl Exit {
    /// Whether it ended for want of memory: the kernel killed it, or, of a shell, what it ran and told the end of. Who goes on
    /// without one that was killed, and ends later by itself, has an end of its own.
    #[must_use]
    pub fn oom_killed(&self) -> bool {
        const KILLED: i32 = 9;
        self.oom_kills > 0 && (self.signal == Some(KILLED) || self.code == 128 + KILLED)
    }

    /// Whether it ended well.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == 0
    }
}

/// What is known of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerState {
    /// Which.
    pub id: ContainerId,
    /// How far it has come.
    pub phase: Phase,
    /// Its first process.
    pub process: ProcessId,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

/// Reads a state file; none if there is none.
///
/// # Errors
/// If the disk would not, or it is not of the form.
pub fn read<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
    }
}

/// Replaces a state file as a whole: whoever reads it sees all of the old or all of the new. Nobody else may read it: what
/// containers are given of Secrets is among it.
///
/// It is renamed into place, not synced: after a crash of the kernel no process is left that it could tell of.
///
/// # Errors
/// If the disk would not.
pub fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    // One that is left of somebody's who was killed has their mode.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn want_of_memory_is_what_ended_it_or_not() {
        let of =
            |code, signal, oom_kills| Exit { code, signal, oom_kills, forks_refused: 0, at: 0 }.oom_killed();
        assert!(of(137, Some(9), 1) && of(137, None, 1));
        assert!(!of(137, Some(9), 0) && !of(3, None, 1) && !of(0, None, 1) && !of(143, Some(15), 2));
    }

    #[test]
    fn nobody_else_reads_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(dir.path().join("config.json.new"), "half").unwrap();
        for value in ["a", "b"] {
            write(&path, &value).unwrap();
            assert_eq!(read::<String>(&path).unwrap().as_deref(), Some(value));
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(read::<String>(&dir.path().join("none")).unwrap(), None);
    }
}
