//! What an agent and a shim say to each other over the shim's socket.
//!
//! A frame is four bytes of length, big-endian, and that many bytes of JSON, at most [`MAX_FRAME`]; descriptors travel
//! beside a frame (`SCM_RIGHTS`), as many as it says in `fds`. The agent asks ([`Request`]), the shim answers each
//! request once, in any order, and tells what happens in between ([`Message`]). Both are of the same user and node; a
//! shim is asked by agents of later versions, so that what is added is optional and [`VERSION`] changes when old shims
//! could not do what is asked.

pub mod frame;
mod id;

pub use id::{ContainerId, ExecId, IdError, InstanceId};

use crate::state::{ContainerState, Exit};
use hypermesh_image::RootFs;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// What is spoken here.
pub const VERSION: u32 = 2;

/// From which version on a shim takes a container's filter of system calls with [`Call::Create`].
pub const TAKES_FILTERS: u32 = 2;

/// The longest frame, in bytes: room for a command line and an environment as long as Linux takes them.
pub const MAX_FRAME: usize = 4 << 20;

/// How long a container or a process may take to be made if nothing is said: what is made looks at files that are a
/// container's own, and must not wait for them for ever. kubelet waits as long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The most descriptors beside one frame.
pub const MAX_FDS: usize = 3;

/// What the containers of an Instance share; the file that a shim reads when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxConfig {
    /// Whose it is.
    pub instance: InstanceId,
    /// The name of the machine that its processes see.
    pub hostname: String,
    /// Which network they are in.
    pub network: Network,
    /// How users in it map to users of the node; none where it shares the node's.
    #[serde(default)]
    pub user: Option<IdMaps>,
    /// Whether the node's IPC objects are seen.
    #[serde(default)]
    pub host_ipc: bool,
    /// The cgroups that the shim itself belongs in, as folders; they exist.
    #[serde(default)]
    pub shim_cgroups: Vec<PathBuf>,
}

/// Which network the processes of an Instance are in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// One of its own, made by the shim in the Instance's user namespace, so that its root rules over it. It has only a
    /// loopback, which is up, until somebody gives it more.
    #[default]
    Own,
    /// One that somebody made and keeps, by its path. With a user namespace the Instance's root has no power over it:
    /// ports below 1024 are refused unless its `net.ipv4.ip_unprivileged_port_start` says otherwise.
    Path(PathBuf),
    /// The node's.
    Host,
}

/// How users and groups map, as `/proc/<pid>/uid_map` and `gid_map` say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMaps {
    /// Users.
    pub users: Vec<IdMap>,
    /// Groups.
    pub groups: Vec<IdMap>,
}

/// A range of ids that is a range of others outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The first, inside.
    pub inside: u32,
    /// The first, outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// What an agent asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The agent's name for it, unique on its connection.
    pub id: u64,
    /// How many descriptors come with it.
    #[serde(default)]
    pub fds: u8,
    /// What.
    pub call: Call,
}

/// What a shim does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// Who are you, and what do you know? From now on this connection is told what happens. [`Reply::Hello`].
    Hello {
        /// What the agent speaks.
        version: u32,
    },
    /// Make a container, whose bundle (`config.json`) lies in its folder. A descriptor that comes with it is its filter of
    /// system calls ([`crate::filter`]), which is loaded instead of what the bundle says of one. [`Reply::Container`].
    Create(Box<Create>),
    /// Let a created container run. Answered when its program runs, or could not. [`Reply::Container`].
    Start {
        /// Which.
        container: ContainerId,
    },
    /// Start another process in a running container. Without a terminal the request brings the process' standard input,
    /// output and error; with one the reply brings the terminal. [`Reply::Exec`].
    Exec(Box<Exec>),
    /// Send a signal to a container's first process, or to all of its processes. [`Reply::Done`]; harmless to what has
    /// ended.
    Signal {
        /// Which.
        container: ContainerId,
        /// The signal's number.
        signal: i32,
        /// Whether every process of the container gets it.
        #[serde(default)]
        all: bool,
    },
    /// Send a signal to a process that was started by [`Call::Exec`] on this connection; one that is being started is
    /// killed, whatever the signal. [`Reply::Done`].
    SignalExec {
        /// Which.
        exec: ExecId,
        /// The signal's number.
        signal: i32,
    },
    /// Freeze or thaw a container. [`Reply::Done`].
    Pause {
        /// Which.
        container: ContainerId,
        /// Whether it is to stand still.
        paused: bool,
    },
    /// Give me what a container writes from now on, and let me write to it. The reply brings its standard input if
    /// asked for, then its output, then its error output; for one with a terminal, the terminal and its output.
    /// [`Reply::Attached`].
    Attach {
        /// Which.
        container: ContainerId,
        /// Whether its standard input is wanted.
        stdin: bool,
    },
    /// Put a container's log aside and begin another. [`Reply::Done`].
    RotateLog {
        /// Which.
        container: ContainerId,
    },
    /// Kill what is left of a container, and forget it: its mounts, cgroups and state. The log stays. [`Reply::Done`].
    Delete {
        /// Which.
        container: ContainerId,
    },
    /// Open a socket for streams in the Instance's network, which connects from there: who asks may lack the right to enter
    /// it. [`Reply::Socket`].
    Socket {
        /// Whether it is for IPv6.
        ipv6: bool,
    },
    /// End, once there is no container left; else refused. [`Reply::Done`].
    Shutdown,
}

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Create {
    /// Which; its folder holds `config.json`.
    pub container: ContainerId,
    /// Its root file system.
    pub root: Root,
    /// What is bound into it, each in the place of a mount of `config.json`, whose source the shim replaces.
    #[serde(default)]
    pub binds: Vec<Bind>,
    /// Its cgroups, one folder for each hierarchy: processes of exec join them, and they are removed with it.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// The file that counts kills for memory in a line `oom_kill N`.
    #[serde(default)]
    pub oom_counter: Option<PathBuf>,
    /// The file that counts refused processes in a line `max N`.
    #[serde(default)]
    pub pids_counter: Option<PathBuf>,
    /// The file that freezes it, and what is written to it to freeze and to thaw.
    #[serde(default)]
    pub freezer: Option<Freezer>,
    /// Where its output goes; without, it is thrown away.
    #[serde(default)]
    pub log: Option<Log>,
    /// Whether it reads: a pipe is kept open for it. Else its standard input is empty.
    #[serde(default)]
    pub stdin: bool,
    /// Whether its input ends with the first who was attached to it.
    #[serde(default)]
    pub stdin_once: bool,
    /// Whether it has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// Whether it is started at once.
    #[serde(default)]
    pub start: bool,
    /// How long it may take to be made, in milliseconds; [`PATIENCE`] if nothing is said. Then it is killed, and refused.
    #[serde(default)]
    pub patience: Option<u64>,
}

/// A folder or file of the node that a container sees. It is opened in the mount namespace of who asks, once, as it is
/// then: what is renamed or linked afterwards changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The number of its mount in `config.json`.
    pub mount: usize,
    /// Which.
    pub path: PathBuf,
    /// What of it, by links and `..` that never leave it; all of it if none is said.
    #[serde(default)]
    pub sub_path: Option<PathBuf>,
    /// Whether its owners are seen through the Instance's user mapping.
    #[serde(default)]
    pub mapped: bool,
    /// Whether what is mounted below it later is seen too.
    #[serde(default)]
    pub propagate: bool,
    /// Whether nothing that is mounted below it is seen.
    #[serde(default)]
    pub alone: bool,
    /// Whether it is the node's sysfs, seen from the Instance's network: with no other network's devices.
    #[serde(default)]
    pub sysfs: bool,
}

/// A container's root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// Of an image: mounted by the shim, in its own mount namespace.
    Image(Box<RootFs>),
    /// A folder that is there.
    Folder {
        /// Where.
        path: PathBuf,
        /// Whether nothing may be written to it.
        #[serde(default)]
        read_only: bool,
    },
}

/// How a container stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freezer {
    /// The file.
    pub path: PathBuf,
    /// What freezes.
    pub freeze: String,
    /// What thaws.
    pub thaw: String,
}

/// Where a container's output goes: lines of `<RFC 3339 with nanoseconds> stdout|stderr F|P <text>`, as CRI has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The file. Those put aside are named after it: `<path>.1` is the newest.
    pub path: PathBuf,
    /// How large it grows before it is put aside, in bytes.
    pub max_size: u64,
    /// How many files there are at most, the one that is written included.
    pub max_files: u32,
    /// How long a line is at most, in bytes of text; what is longer is cut into parts (`P`).
    pub max_line: u32,
}

impl Default for Log {
    /// Without a path; 10 MiB, 5 files, lines of 16 KiB: kubelet's and containerd's.
    fn default() -> Self {
        Self { path: PathBuf::new(), max_size: 10 << 20, max_files: 5, max_line: 16 << 10 }
    }
}

/// A process beside a container's own. Capabilities, seccomp and limits are the container's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// In which container.
    pub container: ContainerId,
    /// The agent's name for it.
    pub exec: ExecId,
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, beside and over the container's.
    #[serde(default)]
    pub env: Vec<String>,
    /// Where it runs; the container's folder if none is said.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// Who it runs as, if not the container's user.
    #[serde(default)]
    pub user: Option<ExecUser>,
    /// Whether it has a terminal.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
    /// How long it may take to be started, in milliseconds; [`PATIENCE`] if nothing is said. Then it is killed, and refused.
    #[serde(default)]
    pub patience: Option<u64>,
}

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecUser {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    #[serde(default)]
    pub groups: Vec<u32>,
}

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// What a shim says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// To a request.
    Answer {
        /// Which.
        id: u64,
        /// How many descriptors come with it.
        #[serde(default)]
        fds: u8,
        /// What became of it.
        result: Result<Reply, Refusal>,
    },
    /// Something happened.
    Event(Event),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// What the shim knows.
    Hello {
        /// What it speaks.
        version: u32,
        /// Its containers.
        containers: Vec<ContainerState>,
        /// The Instance's network namespace as a path that this node's processes may open, if it has one of its own.
        network: Option<PathBuf>,
    },
    /// How a container stands now.
    Container(ContainerState),
    /// A process was started.
    Exec {
        /// Its pid, as the node counts.
        pid: i32,
    },
    /// A socket comes with it, which does not block.
    Socket,
    /// Descriptors come with it.
    Attached {
        /// Whether standard input is among them.
        stdin: bool,
        /// Whether it is a terminal.
        terminal: bool,
    },
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub kind: RefusalKind,
    /// In words, with all causes.
    pub message: String,
}

/// Kinds of refusals, as far as an agent acts on them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// There is none of that name.
    NotFound,
    /// There is one of that name.
    AlreadyExists,
    /// Not in the state it is in.
    WrongState,
    /// The request makes no sense.
    Invalid,
    /// What it asks for cannot be executed: no such program, or no permission.
    CannotExecute,
    /// The kernel or the disk would not.
    Failed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A container has another state.
    Container(ContainerState),
    /// A container was forgotten.
    Deleted {
        /// Which.
        container: ContainerId,
    },
    /// A process of exec on this connection has ended.
    ExecExited {
        /// Which.
        exec: ExecId,
        /// How.
        exit: Exit,
    },
    /// A container's log is written again, after output of it was lost.
    LogKept {
        /// Which.
        container: ContainerId,
    },
    /// A container's log could not be written; output was lost.
    LogFailed {
        /// Which.
        container: ContainerId,
        /// Why.
        message: String,
    },
}
