//! The seam behind which containers run, whatever runs them.

use crate::error::RuntimeError;
use crate::report::Report;
use crate::spec::{ContainerSpec, Limits};
use crate::stats::Stats;
use futures_util::future::BoxFuture;
use hypermesh_shim::protocol::{ContainerId, ExecId, ExecUser, IdMaps, InstanceId, Network, TerminalSize};
use hypermesh_shim::state::{ContainerState, Exit};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{broadcast, watch};

/// What a method of a class promises. Dropping it gives up waiting; what was begun may still happen.
pub type Work<'a, T> = BoxFuture<'a, Result<T, RuntimeError>>;

/// A way to run containers. `oci` is the one there is.
pub trait RuntimeClass: Send + Sync {
    /// Its name, as a Workload asks for it.
    fn name(&self) -> &str;

    /// What this node can do, and what not and why.
    fn report(&self) -> &Report;

    /// Makes an Instance's sandbox: its namespaces and its shim. It runs nothing yet.
    ///
    /// Fails if the spec makes no sense, there is one of that name, or the node would not; then nothing of it is left.
    fn create(&self, spec: SandboxSpec) -> Work<'_, Arc<dyn Sandbox>>;

    /// Finds all sandboxes of earlier agents. Those whose shim answers are given back as they run; of those without,
    /// what is known of their end. One that cannot be read is told in the log and is cleared by [`RuntimeClass::sweep`].
    ///
    /// To be called once, before any is created.
    fn adopt(&self) -> Work<'_, Adopted>;

    /// Clears away all that is of no Instance in `keep`: processes, shims, cgroups, mounts and folders.
    fn sweep<'a>(&'a self, keep: &'a BTreeSet<InstanceId>) -> Work<'a, Swept>;

    /// At the agent's end: what holds no Instance any more goes, as what all of them were below. What runs keeps what it
    /// needs.
    fn close(&self) {}
}

/// What the containers of an Instance share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Whose it is.
    pub instance: InstanceId,
    /// The name of the machine that its processes see.
    pub hostname: String,
    /// Its network. [`Network::Own`] is to be preferred: whoever connects it finds it by
    /// [`Sandbox::network_namespace`].
    pub network: Network,
    /// Its users.
    pub user: UserNamespace,
    /// Whether the node's IPC objects are seen.
    pub host_ipc: bool,
    /// What all of it may use together, its shim included.
    pub limits: Limits,
    /// Kernel parameters of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Notes of the caller, kept with it and given back by adoption.
    pub annotations: BTreeMap<String, String>,
}

/// Which users an Instance has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserNamespace {
    /// 65536 of its own that no other Instance of this node has, where the node can; else the node's
    /// ([`crate::Ability::UserNamespace`] tells).
    #[default]
    Auto,
    /// Its own, or it is not made.
    Required,
    /// The node's.
    Host,
    /// These.
    Mapped(IdMaps),
}

/// What was found of earlier agents.
#[derive(Default)]
pub struct Adopted {
    /// What runs, or may run again.
    pub sandboxes: Vec<Arc<dyn Sandbox>>,
    /// What ran when its shim was lost.
    pub lost: Vec<Lost>,
}

/// A sandbox whose shim is gone: nothing of it runs any more, and [`RuntimeClass::sweep`] clears it away.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// What it was.
    pub spec: SandboxSpec,
    /// Its containers as they were last seen. One that has not exited was killed with the shim, or by the node's end.
    pub containers: Vec<(ContainerState, ContainerSpec)>,
    /// Whether the node was started since: nobody is to blame then.
    pub rebooted: bool,
}

/// What was cleared away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Instances of which something was left.
    pub instances: BTreeSet<InstanceId>,
    /// Processes killed.
    pub processes: usize,
    /// Cgroups removed.
    pub cgroups: usize,
    /// Mounts undone.
    pub mounts: usize,
    /// What could not be cleared, with the reason: it is tried again next time.
    pub left: Vec<String>,
}

/// An Instance's share of the node.
pub trait Sandbox: Send + Sync {
    /// Whose it is.
    fn id(&self) -> &InstanceId;

    /// What was asked for.
    fn spec(&self) -> &SandboxSpec;

    /// How its users map to the node's; none if they are the node's.
    fn id_maps(&self) -> Option<&IdMaps>;

    /// Its network namespace as a path that may be opened (and entered, or given to netlink) while it is there; none if it
    /// shares the node's.
    fn network_namespace(&self) -> Option<PathBuf>;

    /// A socket for streams in its network, not connected, which does not block: also for who may not enter
    /// [`Self::network_namespace`].
    fn socket(&self, ipv6: bool) -> Work<'_, OwnedFd>;

    /// The pid of its shim.
    fn shim(&self) -> i32;

    /// Its containers, exited ones included, by name.
    fn containers(&self) -> Vec<Arc<dyn Container>>;

    /// One of them.
    fn container(&self, id: &ContainerId) -> Option<Arc<dyn Container>>;

    /// Makes a container, which waits for [`Container::start`]. That its program is missing is told here.
    fn create(&self, id: ContainerId, spec: ContainerSpec) -> Work<'_, Arc<dyn Container>>;

    /// What happens to its containers from now on. Whoever is too slow misses events, and asks [`Container::state`].
    fn events(&self) -> broadcast::Receiver<ContainerEvent>;

    /// Whether its shim is gone, which ends all of its containers; changes once.
    fn lost(&self) -> watch::Receiver<bool>;

    /// What all of it uses, its shim included.
    ///
    /// # Errors
    /// If the kernel would not say.
    fn stats(&self) -> Result<Stats, RuntimeError>;

    /// Kills what is left of it, ends its shim, and removes all of it from the node but logs that lie elsewhere. Once is
    /// enough, twice is harmless.
    fn remove(&self) -> Work<'_, ()>;
}

/// One run of one container.
pub trait Container: Send + Sync {
    /// Its name.
    fn id(&self) -> &ContainerId;

    /// What was asked for.
    fn spec(&self) -> &ContainerSpec;

    /// How it stands.
    fn state(&self) -> ContainerState;

    /// How it stands, and every change of it; the last is kept for who comes late. It closes when the shim is lost or the
    /// container deleted.
    fn watch(&self) -> watch::Receiver<ContainerState>;

    /// Starts its program. Done when the program runs; an error if the kernel would not execute it.
    fn start(&self) -> Work<'_, ()>;

    /// Asks it to end, and kills it if it does not. What has ended already is told as it ended.
    fn stop(&self, options: StopOptions) -> Work<'_, Exit>;

    /// Sends a signal to its first process, or to all of its processes.
    fn signal(&self, signal: i32, all: bool) -> Work<'_, ()>;

    /// Waits for its end.
    fn wait(&self) -> Work<'_, Exit>;

    /// Starts another process in it while it runs: confined as its own are, seccomp too.
    fn exec(&self, spec: ExecSpec) -> Work<'_, ExecProcess>;

    /// Reads what it writes from now on, and writes what it reads.
    fn attach(&self, options: AttachOptions) -> Work<'_, Attached>;

    /// Freezes or thaws it.
    fn pause(&self, paused: bool) -> Work<'_, ()>;

    /// Changes what it may use while it runs. What is none stays as it is.
    ///
    /// # Errors
    /// If the kernel would not: memory below what is used, for one.
    fn update(&self, limits: &Limits) -> Result<(), RuntimeError>;

    /// Puts its log aside and begins another.
    fn rotate_log(&self) -> Work<'_, ()>;

    /// What it uses.
    ///
    /// # Errors
    /// If it has ended, or the kernel would not say.
    fn stats(&self) -> Result<Stats, RuntimeError>;

    /// Kills it if it runs, and removes all of it but its log and its root's folder, which the caller gave. Twice is
    /// harmless.
    fn delete(&self) -> Work<'_, ()>;
}

/// What happened to a container.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerEvent {
    /// It has another state: its end is one too.
    State(ContainerState),
    /// It was deleted.
    Deleted(ContainerId),
    /// Its log is written again, after output of it was lost.
    LogKept(ContainerId),
    /// Output of it was lost: its log could not be written.
    LogFailed {
        /// Which.
        container: ContainerId,
        /// Why.
        message: String,
    },
    /// The shim is gone.
    ShimLost,
}

/// How a container is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopOptions {
    /// How long it may take.
    pub grace: Duration,
    /// By which signal, if not by the one its spec names.
    pub signal: Option<i32>,
}

/// A process beside a container's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, beside and over the container's.
    pub env: Vec<String>,
    /// Where it runs; the container's folder if none is said.
    pub cwd: Option<PathBuf>,
    /// Who it runs as, if not the container's user.
    pub user: Option<ExecUser>,
    /// Whether its standard input is wanted; else it is empty.
    pub stdin: bool,
    /// Whether its standard output is wanted; else it is thrown away.
    pub stdout: bool,
    /// Whether its standard error is wanted; else it is thrown away. With a terminal there is none.
    pub stderr: bool,
    /// Whether it has a terminal, and how large.
    pub terminal: Option<TerminalSize>,
}

/// What a process reads: dropping it is the input's end.
pub type Input = Pin<Box<dyn AsyncWrite + Send + Sync>>;

/// What a process writes: ends with the process and all that it left behind.
pub type Output = Pin<Box<dyn AsyncRead + Send + Sync>>;

/// A process beside a container's own. Dropping it kills it.
pub struct ExecProcess {
    /// Its name.
    pub id: ExecId,
    /// Its pid, as the node counts.
    pub pid: i32,
    /// Its standard input, if wanted.
    pub stdin: Option<Input>,
    /// Its standard output, or its terminal's.
    pub stdout: Option<Output>,
    /// Its standard error, if wanted and there is no terminal.
    pub stderr: Option<Output>,
    /// What it is controlled by.
    pub(crate) control: Box<dyn ExecControl>,
}

/// What a class does for a process of [`Container::exec`].
pub(crate) trait ExecControl: Send + Sync {
    /// Tells its terminal how large it is.
    fn resize(&self, size: TerminalSize) -> Result<(), RuntimeError>;
    /// Sends it a signal.
    fn signal(&self, signal: i32) -> Work<'_, ()>;
    /// Waits for its end.
    fn wait(&self) -> Work<'_, Exit>;
}

impl ExecProcess {
    /// Tells its terminal how large it is.
    ///
    /// # Errors
    /// If it has none.
    pub fn resize(&self, size: TerminalSize) -> Result<(), RuntimeError> {
        self.control.resize(size)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If the shim is gone.
    pub async fn signal(&self, signal: i32) -> Result<(), RuntimeError> {
        self.control.signal(signal).await
    }

    /// Waits for its end. Its output may go on: children that it left behind write as well.
    ///
    /// # Errors
    /// If the shim is gone.
    pub async fn wait(&self) -> Result<Exit, RuntimeError> {
        self.control.wait().await
    }
}

/// What is wanted of a running container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Whether to write what it reads.
    pub stdin: bool,
    /// How large the terminal is, if it has one.
    pub size: Option<TerminalSize>,
}

/// What a running container writes and reads. Dropping it detaches; the container goes on. Whoever reads too slowly is
/// detached: a container never waits for who looks at it.
pub struct Attached {
    /// What it reads, if asked for.
    pub stdin: Option<Input>,
    /// What it writes, or its terminal.
    pub stdout: Output,
    /// What it writes of errors; none with a terminal.
    pub stderr: Option<Output>,
    /// Its terminal.
    pub(crate) terminal: Option<Arc<OwnedFd>>,
}

impl Attached {
    /// Tells its terminal how large it is.
    ///
    /// # Errors
    /// If it has none.
    pub fn resize(&self, size: TerminalSize) -> Result<(), RuntimeError> {
        crate::oci::resize(self.terminal.as_deref(), size)
    }
}
