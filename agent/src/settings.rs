//! How an agent is set up, and where its files lie.

use hypermesh_image::Mirror;
use hypermesh_planner::InstanceUid;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of its Node.
    pub node: String,
    /// Where its files lie.
    pub layout: Layout,
    /// How the API server is reached, and as whom.
    pub kubeconfig: PathBuf,
    /// Where API servers reach it.
    pub listen: SocketAddr,
    /// The address that its Node tells; none: the one that the API server is reached from.
    pub advertise: Option<String>,
    /// Labels that its Node gets when it is made.
    pub labels: BTreeMap<String, String>,
    /// What is executed as a shim; none: this program with `shim`.
    pub shim: Option<(PathBuf, Vec<OsString>)>,
    /// What instances may do.
    pub policy: Policy,
    /// How images are pulled.
    pub images: ImageSettings,
    /// When the node is under pressure.
    pub pressure: PressureSettings,
    /// Instances at most.
    pub most_instances: u32,
}

/// What instances may do on this node, whatever the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Below these paths of the node, volumes may lie. None: `hostPath` is refused.
    pub host_paths: Vec<PathBuf>,
    /// Whether containers may be privileged.
    pub privileged: bool,
    /// Whether an API server may open streams for a user who did not sign, by its own word. On one replica that is no
    /// more than it may do anyway.
    pub endorsed_streams: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { host_paths: Vec::new(), privileged: false, endorsed_streams: true }
    }
}

/// How images are pulled.
#[derive(Clone, Debug, Default)]
pub struct ImageSettings {
    /// Other places of registries, in the order in which they are tried.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Hosts that are spoken to in plain HTTP.
    pub plain_http: BTreeSet<String>,
}

/// When the node is under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureSettings {
    /// Memory that has to be available, in bytes.
    pub memory: u64,
    /// Percent of the disk that have to be available.
    pub disk_percent: u8,
    /// How often it is looked at.
    pub every: Duration,
}

impl Default for PressureSettings {
    /// kubelet's thresholds, and its period.
    fn default() -> Self {
        Self { memory: 100 << 20, disk_percent: 10, every: Duration::from_secs(10) }
    }
}

/// Where an agent's files lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Below a folder.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The node's key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.root.join("node.key")
    }

    /// The kubeconfig that the agent writes for itself.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("agent.kubeconfig")
    }

    /// The image store.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// What the runtime keeps.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.root.join("runtime")
    }

    /// Network namespaces, where the agent makes them itself.
    #[must_use]
    pub fn namespaces(&self) -> PathBuf {
        self.root.join("namespaces")
    }

    /// Everything of instances but their logs.
    #[must_use]
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    /// Everything of one instance but its logs.
    #[must_use]
    pub fn instance(&self, uid: &InstanceUid) -> PathBuf {
        self.instances().join(uid.as_str())
    }

    /// Logs of all instances.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Logs of one instance, a folder a container.
    #[must_use]
    pub fn logs_of(&self, namespace: &str, name: &str, uid: &InstanceUid) -> PathBuf {
        self.logs().join(format!("{namespace}_{name}_{uid}"))
    }

    /// Profiles of system calls that instances may name.
    #[must_use]
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }
}
