//! The agent as a whole: opens everything, adopts what runs, and looks after it until it is told to end. What runs then
//! goes on without it.

use crate::api::{NodeApi, read_instance};
use crate::connectivity::{Bridge, Connectivity, ConnectivityError, LoopbackOnly};
use crate::events::Announcer;
use crate::facts;
use crate::failure::chain;
use crate::host::Host;
use crate::images::{Images, ImagesError};
use crate::keeping;
use crate::leftovers::{self, Presence};
use crate::metrics::{Family, Metrics};
use crate::objects::Objects;
use crate::server::{Listening, ServerError, Serving, forget_half_imported};
use crate::settings::Settings;
use crate::supervision::{Fall, supervise};
use crate::volumes::Volumes;
use crate::workers::Workers;
use crate::{join, liveness, node, pressure, private, publish};
use futures_util::StreamExt as _;
use hypermesh_chain::{ClusterId, ClusterPrefix, PublicKey};
use hypermesh_client::{Client, Config, Trust};
use hypermesh_planner::{Gravity, Ground, InstanceUid};
use hypermesh_runtime::oci::{self, OciOptions};
use hypermesh_runtime::{Ability, InstanceId, RuntimeError};
use kube::core::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long the API server may take to say which cluster it is of.
const PATIENCE: Duration = Duration::from_secs(30);

/// The agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A folder.
    #[error("the folder {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kubeconfig.
    #[error("the kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why.
        source: hypermesh_client::Error,
    },
    /// What the kubeconfig lacks.
    #[error("the kubeconfig {path} cannot be used: {why}")]
    Incomplete {
        /// Which.
        path: PathBuf,
        /// What.
        why: String,
    },
    /// The API server did not say which cluster it is of.
    #[error("the API server does not say which cluster it is of: {0}")]
    Cluster(String),
    /// Images.
    #[error("images cannot be kept")]
    Images(#[from] ImagesError),
    /// Containers.
    #[error("containers cannot be run")]
    Runtime(#[from] RuntimeError),
    /// Networks.
    #[error("instances cannot be connected")]
    Connectivity(#[from] ConnectivityError),
    /// The node's own server.
    #[error("the node cannot be asked")]
    Server(#[from] ServerError),
    /// What was kept.
    #[error("what was kept of instances cannot be read")]
    Kept(#[source] io::Error),
}

/// An agent that is ready to run.
pub struct Agent {
    host: Host,
    workers: Workers,
    client: Client,
    cluster: ClusterId,
    listening: Listening,
    itself: node::Itself,
    serving: watch::Sender<publish::Serving>,
    presence: Option<Presence>,
    ground: watch::Sender<Option<Arc<Ground>>>,
}

impl Agent {
    /// Opens everything. What is wrong with the settings or the host is said here, before anything is begun.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn prepare(settings: Settings) -> Result<Self, AgentError> {
        let settings = Arc::new(settings);
        let layout = settings.layout.clone();
        let failed = |path: PathBuf| |source| AgentError::Folder { path, source };
        private::root(layout.root()).map_err(failed(layout.root().to_owned()))?;
        for path in [layout.instances(), layout.logs(), layout.images()] {
            private::folder(&path).map_err(failed(path))?;
        }
        let failed = |source| AgentError::Kubeconfig { path: settings.kubeconfig.clone(), source };
        let config = Config::from_kubeconfig(&settings.kubeconfig)
            .map_err(failed)?
            .agent(concat!("nexus-agent/", env!("CARGO_PKG_VERSION")));
        let me = Myself::of(&config, &settings)?;
        let client = Client::new(&config).map_err(failed)?;
        let kube = hypermesh_client::connect(&config).map_err(failed)?;
        let cluster = match config.cluster {
            Some(cluster) => cluster,
            None => ask_cluster(&kube).await.map_err(AgentError::Cluster)?,
        };
        let presence = Presence::tell(&settings);
        leftovers::sweep(&settings).await;
        let listening = Listening::bind(settings.listen, me.identity.clone(), &me.authorities)?;
        let options = OciOptions {
            shim: settings.shim.clone(),
            cgroup: settings.cgroup.clone(),
            ..OciOptions::new(layout.runtime())
        };
        let runtime = oci::open(options).await?;
        let servers = resolve(&config).await;
        let (connectivity, stable) = connect(&settings, &me, &cluster, &servers).await?;
        let (volumes, lack) = Volumes::open(&layout, &settings.policy)
            .map_err(|source| AgentError::Folder { path: layout.memory(), source })?;
        let address = local_address(servers.first().copied());
        let (_, told_address) = watch::channel(address);
        let (serving, served) = watch::channel(publish::Serving::default());
        let (ground, known_ground) = watch::channel(None);
        let api = NodeApi::new(kube.clone(), &settings.node);
        let host = Host {
            layout,
            policy: settings.policy.clone(),
            announcer: Announcer::start(kube.clone(), &settings.node),
            objects: Objects::new(kube),
            images: Images::open(&settings.layout, &settings.images)?,
            volumes,
            runtime: Arc::clone(&runtime),
            connectivity: Arc::clone(&connectivity),
            authorities: me.authorities.as_str().into(),
            serving: served,
            ground: known_ground,
            metrics: Metrics::default(),
            address: told_address,
            memory: facts::memory().map(|(all, _)| all).unwrap_or_default(),
            // Who may not lower it has at least what the agent itself has.
            least_oom_score: match runtime.report().has(Ability::LowerOomScore) {
                true => -1000,
                false => facts::oom_score_adjustment(),
            },
            api,
        };
        let endpoint_port = listening.address().map_or(settings.listen.port(), |address| address.port());
        let itself = node::Itself {
            settings,
            key: me.key,
            stable,
            endpoint_port,
            runtime,
            connectivity,
            lacks: lack.into_iter().collect(),
            announcer: host.announcer.clone(),
        };
        let workers = Workers::new(host.clone());
        Ok(Self { host, workers, client, cluster, listening, itself, serving, presence, ground })
    }

    /// What this node can do for instances, in words; empty: everything.
    #[must_use]
    pub fn lacks(&self) -> Vec<String> {
        let report = self.itself.runtime.report();
        let network = self.itself.connectivity.report();
        let missing = report.missing.iter().map(ToString::to_string);
        let network = network.missing.into_iter().map(|missing| missing.message);
        missing.chain(network).chain(self.itself.lacks.iter().cloned()).collect()
    }

    /// Where API servers reach it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.address()
    }

    /// What published ports lead to, from when they are led.
    #[must_use]
    pub fn serving(&self) -> watch::Receiver<publish::Serving> {
        self.serving.subscribe()
    }

    /// Looks after the node until `stop` is over. What runs goes on.
    ///
    /// # Errors
    /// When what was kept cannot be read, or earlier containers cannot be found.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), AgentError> {
        let words = concat!("Starting nexus-agent ", env!("CARGO_PKG_VERSION"));
        self.host.announcer.node(self.host.api.node(), Gravity::Normal, "Starting", words);
        self.adopt().await?;
        let Self { host, workers, client, cluster, listening, itself, serving, presence, ground } = self;
        let answering: Serving = listening.serve(host.clone(), workers.clone(), cluster)?;
        let (pressures, told) = watch::channel(pressure::Pressures::new());
        let settings = Arc::clone(&itself.settings);
        let mut tasks = JoinSet::new();
        let of = (host.clone(), workers.clone());
        let begin = move || {
            let around = node::Around { address: of.0.address.clone(), pressures: told.clone() };
            node::keep(of.0.api.clone(), itself.clone(), around, ground.clone())
        };
        tasks.spawn(duty("telling of the node", host.clone(), begin));
        let of = (settings.node.clone(), workers.clone());
        let begin = move || liveness::tell(client.clone(), of.0.clone(), facts::boot_id(), of.1.clone());
        tasks.spawn(duty("telling that the node is there", host.clone(), begin));
        let (of, pressure) = ((host.clone(), workers.clone()), settings.pressure);
        let begin = move || pressure::watch(of.0.clone(), of.1.clone(), pressure, pressures.clone());
        tasks.spawn(duty("looking after memory and disk", host.clone(), begin));
        let of = (host.clone(), workers.clone());
        let begin = move || publish::watch(of.0.clone(), of.1.clone(), serving.clone());
        tasks.spawn(duty("publishing ports", host.clone(), begin));
        let of = (host.api.clone(), workers.clone(), host.ground.clone());
        let begin = move || follow(of.0.clone(), of.1.clone(), of.2.clone());
        tasks.spawn(duty("following instances", host.clone(), begin));
        if settings.kubeconfig == settings.layout.kubeconfig() {
            // What others wrote, they renew.
            let of = (settings.layout.clone(), settings.node.clone(), host.api.client().clone());
            let begin = move || join::renew(of.0.clone(), of.1.clone(), of.2.clone());
            tasks.spawn(duty("renewing the node's certificate", host.clone(), begin));
        }
        stop.await;
        tasks.shutdown().await;
        workers.stop();
        answering.shutdown().await;
        host.volumes.close();
        host.connectivity.close().await;
        host.runtime.close();
        drop(presence);
        Ok(())
    }

    /// Takes up what an agent before this one began, and clears away what belongs to nobody.
    async fn adopt(&self) -> Result<(), AgentError> {
        let host = &self.host;
        let kept = keeping::all(&host.layout).map_err(AgentError::Kept)?;
        let adopted = host.runtime.adopt().await?;
        let mut sandboxes: BTreeMap<String, _> = adopted
            .sandboxes
            .into_iter()
            .map(|sandbox| (sandbox.id().as_str().to_owned(), sandbox))
            .collect();
        let uids: BTreeSet<InstanceUid> = kept.iter().map(|(uid, _)| uid.clone()).collect();
        let keep: BTreeSet<InstanceId> = uids
            .iter()
            .filter(|uid| sandboxes.contains_key(uid.as_str()))
            .filter_map(|uid| InstanceId::new(uid.as_str()).ok())
            .collect();
        let swept = host.runtime.sweep(&keep).await?;
        if !swept.instances.is_empty() || !swept.left.is_empty() {
            tracing::info!(?swept, "what belongs to nobody was cleared away");
        }
        let network = host.connectivity.adopt(&uids).await?;
        for removed in &network.removed {
            tracing::info!(removed, "what belongs to nobody was removed");
        }
        self.sweep_folders(&uids);
        for (uid, kept) in kept {
            tracing::info!(instance = %uid, name = kept.object.metadata.name, "an instance is taken up again");
            let sandbox = sandboxes.remove(uid.as_str());
            self.workers.resume(uid, &kept, sandbox);
        }
        Ok(())
    }

    /// Folders, logs and root file systems of instances that nobody knows any more.
    fn sweep_folders(&self, uids: &BTreeSet<InstanceUid>) {
        let layout = &self.host.layout;
        let known =
            |name: &str| uids.iter().any(|uid| name == uid.as_str() || name.ends_with(&format!("_{uid}")));
        for folder in [layout.instances(), layout.logs(), layout.memory()] {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| !known(name)) {
                    tracing::info!(path = %entry.path().display(), "what belongs to nobody is removed");
                    let _ = std::fs::remove_dir_all(entry.path());
                }
            }
        }
        // Who sent them is gone.
        forget_half_imported(layout);
        let store = self.host.images.store();
        let of_nobody = |id: &str| !uids.iter().any(|uid| id.starts_with(&format!("{uid}-")));
        for id in store.snapshots().unwrap_or_default().iter().filter(|id| of_nobody(id)) {
            let _ = store.remove_snapshot(id);
        }
        for holder in store.leases().keys().filter(|holder| of_nobody(holder)) {
            let _ = store.release(holder);
        }
    }
}

/// One of the agent's duties, for as long as it runs: when it panics, that is told, and it is begun again.
async fn duty<F: Future<Output = ()>>(what: &'static str, host: Host, begin: impl FnMut() -> F) {
    let told = |fall: &Fall| {
        let (words, pause) = (&fall.words, fall.pause.as_secs());
        tracing::error!(what, words, times = fall.times, pause, "a duty of the agent panicked");
        host.metrics.count(Family::Panicked, what);
        let message = format!("The agent panicked while {what}: {words}. It begins again in {pause} s");
        host.announcer.node(host.api.node(), Gravity::Warning, "AgentPanicked", message);
    };
    supervise(begin, told).await;
}

/// Follows the instances that are bound to this node, once it is known what decides on whether it takes them on.
async fn follow(api: NodeApi, workers: Workers, mut ground: watch::Receiver<Option<Arc<Ground>>>) {
    if ground.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let config =
        watcher::Config::default().fields(&format!("spec.nodeName={}", api.node())).streaming_lists();
    let mut events = std::pin::pin!(watcher(api.all_instances(), config).default_backoff());
    let mut listed = BTreeSet::new();
    let uid = |object: &DynamicObject| {
        let uid = object.metadata.uid.as_deref()?;
        InstanceUid::parse(uid).ok()
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(uid(&object));
                workers.want(&object);
            }
            Ok(watcher::Event::InitDone) => workers.only(&listed),
            Ok(watcher::Event::Apply(object)) => workers.want(&object),
            Ok(watcher::Event::Delete(object)) => match read_instance(&object) {
                Ok(instance) => workers.gone(&instance.uid),
                Err(why) => tracing::warn!(why, "an instance that is gone is not understood"),
            },
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "instances are not seen for the moment: what runs goes on"
                );
            }
        }
    }
}

/// Who the agent is.
struct Myself {
    key: String,
    identity: stoq::Identity,
    authorities: String,
}

impl Myself {
    fn of(config: &Config, settings: &Settings) -> Result<Self, AgentError> {
        let incomplete =
            |why: &str| AgentError::Incomplete { path: settings.kubeconfig.clone(), why: why.to_owned() };
        let failed = |source| AgentError::Kubeconfig { path: settings.kubeconfig.clone(), source };
        let Some((certificate, key)) = &config.identity.certificate else {
            return Err(incomplete("it has no client certificate: a node is its key"));
        };
        let public = config
            .public_key()
            .map_err(failed)?
            .ok_or_else(|| incomplete("its client key is no Ed25519 key, which a node's has to be"))?;
        let Trust::Authorities(authorities) = &config.trust else {
            return Err(incomplete("it names no certificate authority: API servers would not be known"));
        };
        let identity = stoq::Identity::from_pem(&certificate.pem, &key.pem).map_err(ServerError::Tls)?;
        let authorities = String::from_utf8_lossy(&authorities.pem).into_owned();
        Ok(Self { key: public, identity, authorities })
    }
}

/// Which cluster a server is of.
async fn ask_cluster(client: &kube::Client) -> Result<ClusterId, String> {
    let request = http::Request::get("/version").body(Vec::new()).map_err(|error| error.to_string())?;
    let asked = tokio::time::timeout(PATIENCE, client.request::<serde_json::Value>(request)).await;
    let version = asked.map_err(|_| "it did not answer".to_owned())?.map_err(|error| chain(&error))?;
    let id = version.get("clusterId").and_then(|id| id.as_str()?.parse().ok());
    id.ok_or_else(|| "its version names no cluster".to_owned())
}

/// Where the API server is.
async fn resolve(config: &Config) -> Vec<SocketAddr> {
    match tokio::net::lookup_host((config.server.host(), config.server.port())).await {
        Ok(found) => found.collect(),
        Err(error) => {
            tracing::warn!(server = config.server.host(), %error, "the API server's name leads nowhere");
            Vec::new()
        }
    }
}

/// The address that this host has on its way to another.
fn local_address(server: Option<SocketAddr>) -> Option<IpAddr> {
    let server = server?;
    let any = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(server).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// What connects instances here: a bridge as root, and less where there cannot be one.
async fn connect(
    settings: &Settings,
    me: &Myself,
    cluster: &ClusterId,
    servers: &[SocketAddr],
) -> Result<(Arc<dyn Connectivity>, Option<IpAddr>), AgentError> {
    let prefix = ClusterPrefix::of(cluster);
    let stable = me.key.parse::<PublicKey>().ok().map(|key| prefix.node(&key));
    let why = match (rustix::process::geteuid().is_root(), stable) {
        (false, _) => "a bridge needs root".to_owned(),
        (true, None) => "the node's key is none".to_owned(),
        (true, Some(node)) => {
            let mut config = settings.network.config(prefix, node);
            config.reserved.push(settings.listen.port()..=settings.listen.port());
            match Bridge::open(config, servers).await {
                Ok(bridge) => return Ok((Arc::new(bridge), Some(IpAddr::V6(node)))),
                Err(error) => chain(&error),
            }
        }
    };
    tracing::warn!(why, "instances have no network");
    let loopback = LoopbackOnly::new(&settings.layout.namespaces(), why)?;
    Ok((Arc::new(loopback), stable.map(IpAddr::V6)))
}
