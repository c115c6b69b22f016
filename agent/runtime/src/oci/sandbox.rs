//! An Instance's sandbox: the agent's side of one shim.

use super::Node;
use super::client::{CallError, Client};
use super::container::OciContainer;
use crate::cgroup::Usage;
use crate::class::{Container, ContainerEvent, Sandbox, SandboxSpec, Work};
use crate::error::{RuntimeError, io_error};
use crate::report::Ability;
use crate::spec::ContainerSpec;
use crate::spec::build::{Context, build};
use crate::stats::Stats;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use hypermesh_shim::process;
use hypermesh_shim::protocol::{
    Call, ContainerId, Create, Event, ExecId, IdMaps, InstanceId, Network, RefusalKind, Reply, SandboxConfig,
    TAKES_FILTERS, VERSION,
};
use hypermesh_shim::state::{ContainerState, Exit, Layout, Phase, ShimState};
use oci_spec::runtime::Spec;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Events that a slow listener may be behind.
const EVENTS: usize = 1024;

/// How long a shim that was told to end may take.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// The file in which a sandbox' spec is kept, in its folder.
pub(super) const SPEC: &str = "spec.json";

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of a container. Whoever holds one holds the sandbox, so the sandbox holds none.
struct Known {
    /// None while it is made.
    spec: Option<Arc<ContainerSpec>>,
    state: watch::Receiver<ContainerState>,
    /// None once the shim is lost: there will be no other state.
    changes: Option<watch::Sender<ContainerState>>,
}

/// A sandbox.
pub(super) struct OciSandbox {
    pub(super) node: Arc<Node>,
    pub(super) spec: SandboxSpec,
    pub(super) config: SandboxConfig,
    pub(super) layout: Layout,
    pub(super) shim: ShimState,
    network: OnceLock<Option<PathBuf>>,
    /// Replaced when the shim cuts the agent off.
    client: Mutex<Option<Arc<Client>>>,
    containers: Mutex<BTreeMap<ContainerId, Known>>,
    pub(super) execs: Mutex<HashMap<ExecId, watch::Sender<Option<Exit>>>>,
    events: broadcast::Sender<ContainerEvent>,
    lost: watch::Sender<bool>,
    myself: Weak<Self>,
}

impl OciSandbox {
    /// Connects to a shim that runs.
    pub(super) async fn connect(
        node: Arc<Node>,
        spec: SandboxSpec,
        config: SandboxConfig,
        shim: ShimState,
    ) -> Result<Arc<Self>, RuntimeError> {
        let layout = node.layout(&spec.instance);
        let sandbox = Arc::new_cyclic(|myself| Self {
            node,
            spec,
            config,
            layout,
            shim,
            network: OnceLock::new(),
            client: Mutex::new(None),
            containers: Mutex::default(),
            execs: Mutex::default(),
            events: broadcast::channel(EVENTS).0,
            lost: watch::channel(false).0,
            myself: myself.clone(),
        });
        sandbox.greet().await?;
        Ok(sandbox)
    }

    /// Connects, and learns what the shim knows.
    async fn greet(&self) -> Result<(), RuntimeError> {
        let (taker, ender) = (self.myself.clone(), self.myself.clone());
        let take = move |event| {
            if let Some(sandbox) = taker.upgrade() {
                sandbox.take(event);
            }
        };
        let end = move || {
            if let Some(sandbox) = ender.upgrade() {
                sandbox.disconnected();
            }
        };
        let socket = self.layout.socket();
        let client = Client::connect(&socket, take, end).map_err(io_error("connecting to", &socket))?;
        let client = Arc::new(client);
        let hello = client.call(Call::Hello { version: VERSION }, Vec::new()).await;
        let (reply, _) = hello.map_err(|error| self.told(error))?;
        let Reply::Hello { version, containers, network } = reply else {
            return Err(self.misunderstood("hello"));
        };
        if version > VERSION {
            return Err(RuntimeError::ShimVersion {
                instance: self.spec.instance.clone(),
                found: version,
                wanted: VERSION,
            });
        }
        let network = match &self.config.network {
            Network::Host => None,
            Network::Own => network,
            Network::Path(path) => Some(path.clone()),
        };
        self.network.get_or_init(|| network);
        *lock(&self.client) = Some(client);
        for state in containers {
            self.learn(state);
        }
        Ok(())
    }

    /// Takes what happened, in order.
    fn take(&self, event: Event) {
        let told = match event {
            Event::Container(state) => {
                self.learn(state.clone());
                ContainerEvent::State(state)
            }
            Event::Deleted { container } => {
                lock(&self.containers).remove(&container);
                ContainerEvent::Deleted(container)
            }
            Event::ExecExited { exec, exit } => {
                if let Some(ended) = lock(&self.execs).remove(&exec) {
                    ended.send_replace(Some(exit));
                }
                return;
            }
            Event::LogKept { container } => ContainerEvent::LogKept(container),
            Event::LogFailed { container, message } => {
                tracing::warn!(instance = %self.spec.instance, %container, error = message, "a log could not be written");
                ContainerEvent::LogFailed { container, message }
            }
        };
        // Nobody may be listening.
        drop(self.events.send(told));
    }

    fn learn(&self, state: ContainerState) {
        let mut containers = lock(&self.containers);
        if let Some(Known { changes: Some(changes), .. }) = containers.get(&state.id) {
            changes.send_replace(state);
            return;
        }
        let id = state.id.clone();
        let (changes, state) = watch::channel(state);
        containers.insert(id, Known { spec: None, state, changes: Some(changes) });
    }

    /// A container that is whole.
    fn handle(&self, id: &ContainerId, known: &Known) -> Option<Arc<dyn Container>> {
        let sandbox = self.myself.upgrade()?;
        let (spec, state) = (known.spec.clone()?, known.state.clone());
        Some(Arc::new(OciContainer::new(sandbox, id.clone(), spec, state)))
    }

    /// The connection is gone: either the shim is too, or it cut the agent off.
    fn disconnected(&self) {
        *lock(&self.client) = None;
        lock(&self.execs).clear();
        if *self.lost.borrow() {
            return;
        }
        let Some(sandbox) = self.myself.upgrade() else { return };
        tokio::spawn(async move {
            while process::is_there(&sandbox.shim.process).unwrap_or(false) {
                if !sandbox.layout.shim().exists() {
                    // It is about to end, as it was told.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                match sandbox.greet().await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(instance = %sandbox.spec.instance, %error, "a shim does not answer");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
            sandbox.set_lost();
        });
    }

    fn set_lost(&self) {
        if self.lost.send_replace(true) {
            return;
        }
        // What its containers left is nobody's child any more.
        let path = self.node.cgroups.path(&[self.spec.instance.as_str()]);
        self.node.kill_below(&path);
        for known in lock(&self.containers).values_mut() {
            known.changes = None;
        }
        lock(&self.execs).clear();
        drop(self.events.send(ContainerEvent::ShimLost));
    }

    fn told(&self, error: CallError) -> RuntimeError {
        let instance = self.spec.instance.clone();
        match error {
            CallError::Gone => RuntimeError::ShimLost(instance),
            CallError::TooLong(why) => RuntimeError::Invalid { what: "the request".to_owned(), why },
            CallError::Refused(source) => RuntimeError::ShimRefused { instance, source },
        }
    }

    pub(super) fn misunderstood(&self, what: &str) -> RuntimeError {
        let why = format!("it answered {what} with something else");
        RuntimeError::Protocol { instance: self.spec.instance.clone(), why }
    }

    /// Asks the shim.
    pub(super) async fn call(
        &self,
        call: Call,
        fds: Vec<OwnedFd>,
    ) -> Result<(Reply, Vec<OwnedFd>), RuntimeError> {
        let client = lock(&self.client).clone();
        let client = client.ok_or_else(|| RuntimeError::ShimLost(self.spec.instance.clone()))?;
        client.call(call, fds).await.map_err(|error| self.told(error))
    }

    /// Asks the shim for something of a container.
    pub(super) async fn call_for(
        &self,
        container: &ContainerId,
        verb: &'static str,
        call: Call,
        fds: Vec<OwnedFd>,
    ) -> Result<(Reply, Vec<OwnedFd>), RuntimeError> {
        self.call(call, fds).await.map_err(|error| match error {
            RuntimeError::ShimRefused { source, .. } => {
                RuntimeError::Refused { container: container.clone(), verb, source }
            }
            other => other,
        })
    }

    /// Where a container's cgroup is.
    pub(super) fn cgroup(&self, container: &ContainerId) -> PathBuf {
        self.node.cgroups.path(&[self.spec.instance.as_str(), container.as_str()])
    }

    /// Takes the containers that its shim runs, with the specs that were kept beside them.
    pub(super) fn adopt_containers(&self) -> Result<(), RuntimeError> {
        for (id, known) in lock(&self.containers).iter_mut() {
            let path = self.layout.container(id).join(SPEC);
            let spec =
                hypermesh_shim::state::read::<ContainerSpec>(&path).map_err(io_error("reading", &path))?;
            known.spec = Some(Arc::new(spec.unwrap_or_default()));
        }
        Ok(())
    }

    /// Clears away what an agent before this one had begun to make when it died: its shim may know of it, or not.
    async fn clear_half_made(
        &self,
        id: &ContainerId,
        cgroup: &Path,
        bundle: &Path,
    ) -> Result<(), RuntimeError> {
        let call = Call::Delete { container: id.clone() };
        match self.call_for(id, "be deleted", call, Vec::new()).await {
            Ok(_) => {}
            Err(RuntimeError::Refused { source, .. }) if source.kind == RefusalKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let _ = self.node.remove_cgroup(cgroup);
        match fs::remove_dir_all(bundle) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", bundle)(error)),
            _ => Ok(()),
        }
    }

    /// Takes the filter of system calls out of a specification and gives it compiled, if the shim takes it so.
    async fn filter(&self, spec: &mut Spec) -> Result<Vec<OwnedFd>, RuntimeError> {
        let linux = spec.linux_mut().as_mut().filter(|_| self.shim.version >= TAKES_FILTERS);
        let Some((linux, profile)) = linux.and_then(|linux| {
            let profile = linux.seccomp().clone()?;
            Some((linux, profile))
        }) else {
            return Ok(Vec::new());
        };
        let compiled = self.node.filters.of(&profile, &self.node.program).await;
        let compiled = compiled.map_err(|why| RuntimeError::Invalid { what: "seccomp".to_owned(), why })?;
        linux.set_seccomp(None);
        Ok(vec![compiled.try_clone().map_err(io_error("handing on", "a filter of system calls"))?])
    }

    async fn make(&self, id: ContainerId, spec: ContainerSpec) -> Result<Arc<dyn Container>, RuntimeError> {
        let cgroups = &self.node.cgroups;
        let cgroup = self.cgroup(&id);
        let views = cgroups.views(&cgroup);
        let mut with_sysctls = spec.clone();
        with_sysctls.sysctls.extend(self.spec.sysctls.clone());
        // libcontainer fails where nobody weighs; the node's report tells.
        with_sysctls.limits.io_weight.take_if(|_| !self.node.report.has(Ability::IoWeights));
        let context = Context {
            user: self.config.user.as_ref(),
            host_network: self.config.network == Network::Host,
            owns_network: self.config.user.is_none() || self.config.network == Network::Own,
            host_ipc: self.config.host_ipc,
            cgroups: cgroups.version,
            cgroup: &cgroup,
            cgroup_views: &views,
            capabilities: &self.node.capabilities(self.config.user.is_some()),
            rootless: self.node.report.rootless,
        };
        let mut built = build(&with_sysctls, &context)?;
        let filter = self.filter(&mut built.spec).await?;
        let bundle = self.layout.container(&id);
        if bundle.exists() && !lock(&self.containers).contains_key(&id) {
            self.clear_half_made(&id, &cgroup, &bundle).await?;
        }
        match fs::create_dir(&bundle) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RuntimeError::Invalid {
                    what: "id".to_owned(),
                    why: format!("there is a container {id} already"),
                });
            }
            other => other.map_err(io_error("making", &bundle))?,
        }
        let create = Create {
            container: id.clone(),
            root: spec.root.clone(),
            binds: built.binds,
            cgroups: cgroups.folders(&cgroup),
            oom_counter: cgroups.oom_counter(&cgroup),
            pids_counter: cgroups.pids_counter(&cgroup),
            freezer: cgroups.freezer(&cgroup),
            log: spec.log.clone(),
            stdin: spec.stdin,
            stdin_once: spec.stdin_once,
            terminal: spec.terminal,
            start: false,
            patience: self.node.options.patience(),
        };
        let prepared = || -> Result<(), RuntimeError> {
            let (kept, config) = (bundle.join(SPEC), bundle.join("config.json"));
            hypermesh_shim::state::write(&kept, &spec).map_err(io_error("writing", &kept))?;
            hypermesh_shim::state::write(&config, &built.spec).map_err(io_error("writing", &config))?;
            cgroups.make_container(&cgroup, &spec.limits).map_err(io_error("making the cgroup", &cgroup))
        };
        if let Err(error) = prepared() {
            let _ = self.node.remove_cgroup(&cgroup);
            drop(fs::remove_dir_all(&bundle));
            return Err(error);
        }
        let call = Call::Create(Box::new(create));
        let answer = self.call_for(&id, "be created", call, filter).await;
        let (reply, _) = answer.inspect_err(|error| {
            // What the shim refused it has cleared away; of what it was never asked it knows nothing.
            if error.is_permanent() {
                let _ = self.node.remove_cgroup(&cgroup);
                drop(fs::remove_dir_all(&bundle));
            }
        })?;
        let Reply::Container(_) = reply else { return Err(self.misunderstood("create")) };
        // The shim tells of a container before it answers.
        let mut containers = lock(&self.containers);
        let known =
            containers.get_mut(&id).ok_or_else(|| RuntimeError::ShimLost(self.spec.instance.clone()))?;
        known.spec = Some(Arc::new(spec));
        self.handle(&id, known).ok_or_else(|| RuntimeError::ShimLost(self.spec.instance.clone()))
    }

    async fn clear(&self) -> Result<(), RuntimeError> {
        if !*self.lost.borrow() {
            let mut ids: BTreeSet<ContainerId> = lock(&self.containers).keys().cloned().collect();
            // One that is still being made is not known by its state: nobody waits for it.
            let folders = fs::read_dir(self.layout.containers()).into_iter().flatten().flatten();
            ids.extend(
                folders.filter_map(|entry| ContainerId::new(entry.file_name().into_string().ok()?).ok()),
            );
            let deletions =
                ids.into_iter().map(|container| self.call(Call::Delete { container }, Vec::new()));
            for deleted in join_all(deletions).await {
                match deleted {
                    Err(RuntimeError::ShimLost(_)) => break,
                    other => drop(other?),
                }
            }
            // Its end is what was asked for, not a loss.
            self.lost.send_replace(true);
            match self.call(Call::Shutdown, Vec::new()).await {
                Ok(_) | Err(RuntimeError::ShimLost(_)) => {}
                Err(error) => return Err(error),
            }
            drop(self.events.send(ContainerEvent::ShimLost));
        }
        self.node.end_shim(&self.shim.process, LAST_GRACE).await;
        self.node.clear(&self.spec.instance).await
    }
}

impl Sandbox for OciSandbox {
    fn id(&self) -> &InstanceId {
        &self.spec.instance
    }

    fn spec(&self) -> &SandboxSpec {
        &self.spec
    }

    fn id_maps(&self) -> Option<&IdMaps> {
        self.config.user.as_ref()
    }

    fn network_namespace(&self) -> Option<PathBuf> {
        self.network.get().cloned().flatten()
    }

    fn socket(&self, ipv6: bool) -> Work<'_, OwnedFd> {
        async move {
            let (reply, fds) = self.call(Call::Socket { ipv6 }, Vec::new()).await?;
            match (reply, fds.into_iter().next()) {
                (Reply::Socket, Some(socket)) => Ok(socket),
                _ => Err(self.misunderstood("socket")),
            }
        }
        .boxed()
    }

    fn shim(&self) -> i32 {
        self.shim.process.pid
    }

    fn containers(&self) -> Vec<Arc<dyn Container>> {
        lock(&self.containers).iter().filter_map(|(id, known)| self.handle(id, known)).collect()
    }

    fn container(&self, id: &ContainerId) -> Option<Arc<dyn Container>> {
        let containers = lock(&self.containers);
        self.handle(id, containers.get(id)?)
    }

    fn create(&self, id: ContainerId, spec: ContainerSpec) -> Work<'_, Arc<dyn Container>> {
        self.make(id, spec).boxed()
    }

    fn events(&self) -> broadcast::Receiver<ContainerEvent> {
        self.events.subscribe()
    }

    fn lost(&self) -> watch::Receiver<bool> {
        self.lost.subscribe()
    }

    fn stats(&self) -> Result<Stats, RuntimeError> {
        let path = self.node.cgroups.path(&[self.spec.instance.as_str()]);
        let none = || RuntimeError::Unsupported("there is no cgroup that would count its usage".to_owned());
        Usage::of(&self.node.cgroups, &path).read().ok_or_else(none)
    }

    fn remove(&self) -> Work<'_, ()> {
        self.clear().boxed()
    }
}

/// What a container without an answer of its own was last known to be.
pub(super) fn last_words(layout: &Layout) -> Vec<(ContainerState, ContainerSpec)> {
    let entries = fs::read_dir(layout.containers()).into_iter().flatten().filter_map(Result::ok);
    let states = entries.filter_map(|entry| {
        let id = ContainerId::new(entry.file_name().into_string().ok()?).ok()?;
        let state = hypermesh_shim::state::read::<ContainerState>(&layout.state(&id)).ok()??;
        let spec = hypermesh_shim::state::read(&layout.container(&id).join(SPEC)).ok().flatten();
        Some((state, spec.unwrap_or_default()))
    });
    let mut states: Vec<_> = states.collect();
    states.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    states
}

/// Whether it has ended.
pub(super) fn has_ended(state: &ContainerState) -> bool {
    state.phase == Phase::Exited
}
