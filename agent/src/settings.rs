//! How an agent is set up, and where its files lie.

mod flag;

pub use flag::FlagError;
use hypermesh_chain::{ClusterPrefix, PublicKey};
use hypermesh_image::Mirror;
use hypermesh_network::Ipv4Pool;
use hypermesh_planner::InstanceUid;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
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
    /// What is executed as a shim; none: `hypermesh-shim` beside this program, or else this program with `shim`.
    pub shim: Option<(PathBuf, Vec<OsString>)>,
    /// What instances may do.
    pub policy: Policy,
    /// How images are pulled.
    pub images: ImageSettings,
    /// When the node is under pressure.
    pub pressure: PressureSettings,
    /// Instances at most.
    pub most_instances: u32,
    /// How they are connected.
    pub network: NetworkSettings,
    /// Below which cgroup they run.
    pub cgroup: PathBuf,
}

/// How instances are connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The folder of the network's state, which a boot empties.
    pub state: PathBuf,
    /// The name of the bridge. Two agents on one node need two names and two folders.
    pub bridge: String,
    /// The range of the instances' IPv4 addresses.
    pub pool: Ipv4Pool,
    /// Ports of the node that no instance may have, beside the agent's own.
    pub reserved: Vec<RangeInclusive<u16>>,
    /// Whether instances reach what tells a machine of a cloud who it is, and gives it keys.
    pub metadata: bool,
}

/// Where people come in when nothing else works: nobody is to be there first (`sshd` may start late, or be started again).
const SHELL: u16 = 22;

/// Where the agent's files lie on a machine that has one agent.
pub const USUAL: [&str; 2] = ["/var/lib/hypermesh-agent", "/var/lib/hypermesh/agent"];

/// What tells the agents of one machine apart; empty for the usual one.
fn apart(root: &Path) -> String {
    if USUAL.iter().any(|usual| root == Path::new(usual)) {
        return String::new();
    }
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let bytes = root.as_os_str().as_encoded_bytes().iter();
    // FNV-1a: the same at every start.
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("-{hash:08x}")
}

impl NetworkSettings {
    /// For an agent with its files below a folder: no other agent of the machine has the same.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let apart = apart(root);
        Self {
            state: PathBuf::from(format!("/run/hypermesh{apart}/network")),
            bridge: if apart.is_empty() { "hypermesh0".to_owned() } else { format!("hm{apart}") },
            pool: Ipv4Pool::DEFAULT,
            reserved: vec![SHELL..=SHELL],
            metadata: false,
        }
    }
}

impl NetworkSettings {
    /// As the network takes it.
    #[must_use]
    pub fn config(&self, prefix: ClusterPrefix, node: Ipv6Addr) -> hypermesh_network::Config {
        hypermesh_network::Config {
            state: self.state.clone(),
            bridge: self.bridge.clone(),
            prefix,
            node,
            pool: self.pool,
            reserved: self.reserved.clone(),
            metadata: self.metadata,
            host: None,
        }
    }
}

impl Settings {
    /// A node of this name with its files below a folder; everything else as usual.
    #[must_use]
    pub fn new(node: &str, root: &Path) -> Self {
        let layout = Layout::new(root);
        Self {
            node: node.to_owned(),
            kubeconfig: layout.kubeconfig(),
            layout,
            listen: SocketAddr::from(([0, 0, 0, 0], hypermesh_stream::PORT)),
            advertise: None,
            labels: BTreeMap::new(),
            shim: None,
            policy: Policy::default(),
            images: ImageSettings::default(),
            pressure: PressureSettings::default(),
            most_instances: 110,
            network: NetworkSettings::of(root),
            cgroup: PathBuf::from(format!("/hypermesh{}", apart(root))),
        }
    }
}

/// What instances may do on this node, whatever the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Below these paths of the node, volumes may lie. None: `hostPath` is refused.
    pub host_paths: Vec<PathBuf>,
    /// Whether containers may be privileged, and may have every capability and no filter of system calls.
    pub privileged: bool,
    /// Capabilities that containers may add beside those that all have by default.
    pub capabilities: BTreeSet<String>,
    /// Whether instances are refused where they cannot have users of their own, and their root would be this node's.
    pub require_user_namespaces: bool,
    /// Whether an API server may open streams for a user who did not sign, by its own word. On one replica that is no
    /// more than it may do anyway.
    pub endorsed_streams: bool,
    /// The keys that open streams, whoever's an API server says they are; none: those of whoever it says.
    pub stream_keys: BTreeSet<PublicKey>,
    /// Processes and threads that a container may have, unless it names a limit of its own.
    pub pids: u64,
    /// How large a container's log grows before it is put aside, in bytes.
    pub log_size: u64,
    /// How many files a container's log has at most, the one that is written included.
    pub log_files: u32,
}

/// kubelet's default is none, and a fork bomb takes the node.
const USUAL_PIDS: u64 = 4096;
/// The most that a limit of processes can be (`PID_MAX_LIMIT`).
pub const MOST_PIDS: u64 = 4 << 20;

impl Default for Policy {
    fn default() -> Self {
        Self {
            host_paths: Vec::new(),
            privileged: false,
            capabilities: BTreeSet::new(),
            require_user_namespaces: false,
            endorsed_streams: true,
            stream_keys: BTreeSet::new(),
            pids: USUAL_PIDS,
            log_size: 10 << 20,
            log_files: 5,
        }
    }
}

/// How images are pulled.
#[derive(Clone, Debug, Default)]
pub struct ImageSettings {
    /// Other places of registries, in the order in which they are tried.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Hosts that are spoken to in plain HTTP.
    pub plain_http: BTreeSet<String>,
    /// Authorities that registries may have their certificates from, beside those of the machine.
    pub authorities: Vec<hypermesh_image::CertificateDer<'static>>,
}

/// When the node is under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PressureSettings {
    /// Memory that has to be available, in bytes.
    pub memory: u64,
    /// Percent of the disk that have to be available, and bytes that are enough however large it is.
    pub disk_percent: u8,
    /// See `disk_percent`.
    pub disk_enough: u64,
    /// Percent of the processes that the machine can have that may be in use.
    pub pids_percent: u8,
    /// How often it is looked at.
    pub every: Duration,
}

impl Default for PressureSettings {
    /// kubelet's thresholds, and its period; but a tenth of a large disk is more than anybody needs left.
    fn default() -> Self {
        Self {
            memory: 100 << 20,
            disk_percent: 10,
            disk_enough: 4 << 30,
            pids_percent: 90,
            every: Duration::from_secs(10),
        }
    }
}

impl PressureSettings {
    /// What has to be left of a disk, in bytes.
    #[must_use]
    pub fn disk_left(&self, all: u64) -> u64 {
        (all / 100 * u64::from(self.disk_percent)).min(self.disk_enough)
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

    /// Who may use which image.
    #[must_use]
    pub fn image_access(&self) -> PathBuf {
        self.root.join("image-access.json")
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

    /// What is secret, in memory.
    #[must_use]
    pub fn memory(&self) -> PathBuf {
        self.root.join("memory")
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
