//! What this node can do, and what it cannot and why: found out by trying, once.

use std::fmt;

/// Something that containers are given where the node can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ability {
    /// Containers at all.
    Containers,
    /// User namespaces for Instances.
    UserNamespace,
    /// Files of images and volumes seen through a user namespace's mapping.
    IdMappedMounts,
    /// Limits of CPU.
    CpuLimits,
    /// Limits of memory.
    MemoryLimits,
    /// Limits of processes.
    PidsLimits,
    /// Weights of I/O.
    IoWeights,
    /// Freezing.
    Freezer,
    /// Filters of system calls.
    Seccomp,
    /// OOM scores below the agent's own.
    LowerOomScore,
    /// Shims that are a small program of their own, and not the agent's.
    SmallShims,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containers => "containers",
            Self::UserNamespace => "user namespaces",
            Self::IdMappedMounts => "mounts with mapped owners",
            Self::CpuLimits => "CPU limits",
            Self::MemoryLimits => "memory limits",
            Self::PidsLimits => "process limits",
            Self::IoWeights => "I/O weights",
            Self::Freezer => "freezing",
            Self::Seccomp => "system call filters",
            Self::LowerOomScore => "protection from the OOM killer",
            Self::SmallShims => "small shims",
        })
    }
}

/// Why a node lacks an ability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What is missing.
    pub ability: Ability,
    /// Why, and what would help.
    pub why: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}: {}", self.ability, self.why)
    }
}

/// How limits are set here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy a controller; a version 2 without controllers may be beside it.
    V1,
    /// One hierarchy.
    V2,
    /// None that this user may write to.
    None,
}

/// What a node can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether this is not root's.
    pub rootless: bool,
    /// How limits are set.
    pub cgroups: CgroupVersion,
    /// What is missing, each once.
    pub missing: Vec<Reason>,
}

impl Report {
    /// Whether it has an ability.
    #[must_use]
    pub fn has(&self, ability: Ability) -> bool {
        !self.missing.iter().any(|reason| reason.ability == ability)
    }
}
