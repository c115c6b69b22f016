//! What is to run, as a value.
//!
//! Nothing here looks at the node: users are numbers, volumes are folders, images are roots that somebody prepared.

pub mod build;
pub(crate) mod capabilities;
mod seccomp;
pub mod signal;

#[cfg(test)]
mod tests;

pub use capabilities::{capability, is_usual};

use crate::error::RuntimeError;
use hypermesh_shim::protocol::{Log, Root};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A field that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// Which.
    pub field: &'static str,
    /// What is wrong with it, and what would do.
    pub why: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, why: impl Into<String>) -> Self {
        Self { field, why: why.into() }
    }
}

impl From<Invalid> for RuntimeError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid { what: invalid.field.to_owned(), why: invalid.why }
    }
}

/// One run of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Program and arguments; a program without a slash is looked for in `PATH`.
    pub args: Vec<String>,
    /// `NAME=value`; of two with one name the later holds. `PATH` is added if none is said, `HOME` by the runtime.
    pub env: Vec<String>,
    /// Where it runs; made if the image lacks it. Absolute.
    pub cwd: PathBuf,
    /// Who runs.
    pub user: User,
    /// Its root file system.
    pub root: Root,
    /// Whether it may write to its root.
    pub read_only_root: bool,
    /// What is mounted into it, in this order, beside `/proc`, `/dev`, `/sys` and what belongs to them.
    pub mounts: Vec<Mount>,
    /// Capabilities beside the fourteen that containers have by default; without `CAP_`. `ALL` is all.
    pub capabilities_add: BTreeSet<String>,
    /// Capabilities taken away, before others are added. `ALL` is all.
    pub capabilities_drop: BTreeSet<String>,
    /// Whether it may do what the node's root may: every capability and device, nothing masked, no filter.
    pub privileged: bool,
    /// Whether no program in it gains rights by being executed (`allowPrivilegeEscalation: false`).
    pub no_new_privileges: bool,
    /// Which system calls it has.
    pub seccomp: Seccomp,
    /// What it may use.
    pub limits: Limits,
    /// Devices of the node beside the usual ones.
    pub devices: Vec<Device>,
    /// What is hidden and read-only of `/proc` and `/sys`.
    pub proc_mount: ProcMount,
    /// Limits of processes: name such as `RLIMIT_NOFILE`, soft and hard.
    pub rlimits: BTreeMap<String, (u64, u64)>,
    /// How readily the kernel kills it when memory runs out, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Kernel parameters of the Instance's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it reads.
    pub stdin: bool,
    /// Whether its input ends with the first who was attached to it.
    pub stdin_once: bool,
    /// Where its output goes.
    pub log: Option<Log>,
    /// How it is asked to end: the image's `STOPSIGNAL`, a name or a number; `SIGTERM` if none is said.
    pub stop_signal: Option<String>,
    /// Notes of the caller, kept with it and given back by adoption.
    pub annotations: BTreeMap<String, String>,
}

impl Default for ContainerSpec {
    fn default() -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            user: User::default(),
            root: Root::Folder { path: PathBuf::new(), read_only: true },
            read_only_root: false,
            mounts: Vec::new(),
            capabilities_add: BTreeSet::new(),
            capabilities_drop: BTreeSet::new(),
            privileged: false,
            no_new_privileges: false,
            seccomp: Seccomp::RuntimeDefault,
            limits: Limits::default(),
            devices: Vec::new(),
            proc_mount: ProcMount::Default,
            rlimits: BTreeMap::new(),
            oom_score_adj: None,
            sysctls: BTreeMap::new(),
            terminal: false,
            stdin: false,
            stdin_once: false,
            log: None,
            stop_signal: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// Who runs, in numbers, as seen inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// Something mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, inside; absolute. Made if the image lacks it; links of the image are followed within its root alone.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
    /// Whether nothing may be written to it, nor to what is mounted below it.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A folder or file of the node, with what is mounted below it.
    Bind {
        /// Which; absolute.
        path: PathBuf,
        /// What of it: links and `..` in it, whoever made them and whenever, never lead out of `path`. All of it if none
        /// is said.
        sub_path: Option<PathBuf>,
        /// Whether its owners are those of the Instance: on disk they are ids of the node, and an Instance with a user
        /// namespace sees them mapped (root's files as its root's). Volumes want it; a host path does not.
        mapped: bool,
        /// Whether what the node mounts below it later is seen too (`HostToContainer`).
        propagate: bool,
        /// Whether programs of it are executed.
        exec: bool,
    },
    /// Memory, empty at first.
    Memory {
        /// The most, in bytes; half of the node's if none is said.
        size: Option<u64>,
        /// Its root's mode, such as `0o1777`.
        mode: u32,
    },
}

/// Which system calls a container has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Seccomp {
    /// Those that containerd and Docker allow by default.
    #[default]
    RuntimeDefault,
    /// All.
    Unconfined,
    /// Those that a profile in the OCI's form allows (`linux.seccomp` of a runtime specification, or Docker's file).
    Localhost(String),
}

/// What a container may use. None is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Its share of a busy CPU, beside others' (2 to 262144; 1024 is a CPU's request).
    pub cpu_shares: Option<u64>,
    /// CPU time within a period, in microseconds: at least 1000.
    pub cpu_quota_us: Option<u64>,
    /// That period, in microseconds: 1000 to 1000000; 100000 if none is said.
    pub cpu_period_us: Option<u64>,
    /// Which CPUs, such as `0-3,6`.
    pub cpuset: Option<String>,
    /// Memory, in bytes, swap included.
    pub memory: Option<u64>,
    /// Memory that is not taken from it while others can be asked, in bytes (version 2 only).
    pub memory_reserved: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Its share of a busy disk, beside others' (10 to 1000; 100 is usual).
    pub io_weight: Option<u16>,
}

/// A device of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// On the node.
    pub source: PathBuf,
    /// Inside.
    pub target: PathBuf,
    /// `r`, `w` and `m`: what may be done with it.
    pub access: String,
}

/// What is hidden of `/proc` and `/sys`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcMount {
    /// What containerd hides: the kernel's keys, memory, timers and firmware; what changes the kernel is read-only.
    #[default]
    Default,
    /// Nothing. Takes a user namespace.
    Unmasked,
}
