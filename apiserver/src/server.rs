//! A server from start to end: folder, keys, replica, listener, upkeep.

use crate::config::Config;
use crate::connection::Admission;
use crate::credentials::Credentials;
use crate::folder::Folder;
use crate::http::Api;
use crate::listener;
use crate::metrics::Metrics;
use crate::quic;
use crate::store_key;
use crate::streams::Agents;
use crate::tls::Tls;
use crate::upkeep::{self, Upkeep};
use hypermesh_chain::validator::Validator;
use hypermesh_chain::{Genesis, Timestamp, ValidatorSet};
use hypermesh_machine::{OpenError, Replica, read_genesis, write_genesis};
use hypermesh_pipeline::PIPELINE_VERSION;
use hypermesh_pki::{Pki, PkiError, Settings};
use hypermesh_store::{KeyRotation, Options};
use parking_lot::Mutex;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often history is compacted.
const COMPACT: Duration = Duration::from_secs(300);

/// The server does not start.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The data folder cannot be made.
    #[error("cannot make the data folder {path}")]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses the data folder.
    #[error(
        "{path} is in use by process {holder}: stop that process, or choose another folder with --data-dir"
    )]
    InUse {
        /// Where.
        path: PathBuf,
        /// Its process id.
        holder: String,
    },
    /// Keys and certificates.
    #[error("the keys and certificates cannot be used")]
    Pki(#[from] PkiError),
    /// Keys and certificates of a cluster that exists do not belong together.
    #[error("the keys and certificates are not as they were made:\n{}", lines(.0))]
    Keys(Vec<hypermesh_pki::Finding>),
    /// The replica.
    #[error("the data cannot be opened")]
    Open(#[from] OpenError),
    /// The key that seals the store.
    #[error("the key that seals the store cannot be looked after")]
    StoreKey(#[from] store_key::StoreKeyError),
    /// The genesis of a new cluster cannot be made.
    #[error("the genesis of a new cluster cannot be made: {0}")]
    Genesis(String),
    /// The API address.
    #[error("cannot listen on {address}: {hint}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What to do.
        hint: String,
        /// Why.
        source: std::io::Error,
    },
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// A worker ended by a panic.
    #[error("the start was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    kubeconfig: PathBuf,
    controllers_kubeconfig: PathBuf,
    replica: Arc<Replica>,
    credentials: Credentials,
    closing: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// Given back last.
    folder: Folder,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

pub(crate) fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

impl Server {
    /// Starts a server. It answers once this returns.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let listener = listen(config.api).await?;
        let address = listener.local_addr().map_err(|source| ServerError::Listen {
            address: config.api,
            hint: "its address cannot be told".to_owned(),
            source,
        })?;
        let (keep, limits) = (config.history, config.limits);
        let (dir, key_rotation) = (config.dir.clone(), config.key_rotation);
        let admission = Admission::new(crate::connection::Limits {
            all: limits.connections.min(crate::files::for_connections()),
            address: limits.connections_per_address,
        });
        let (folder, pki, replica) = tokio::task::spawn_blocking(move || open(config, address)).await??;
        let complete = crate::default_policy::at_start(&replica).await;
        let tls = Tls::of(&pki)?;
        let (closing, closed) = watch::channel(false);
        let signer = pki.service_account_key.signing_key()?;
        let metrics = Arc::new(Metrics::default());
        let api = Arc::new(Api::new(
            Arc::clone(&replica),
            signer,
            address.to_string(),
            closed.clone(),
            metrics,
            limits,
        ));
        match upkeep::shown_to_agents(&pki).and_then(Agents::bind) {
            Ok(agents) => drop(api.agents.set(agents)),
            Err(error) => {
                let source = error.source().map(tracing::field::display);
                tracing::error!(%error, source, "agents cannot be asked: there are no logs and no shells");
            }
        }
        let kubeconfig = pki.kubeconfig_path().to_owned();
        let controllers_kubeconfig = pki.controllers_kubeconfig_path().to_owned();
        let quic = quic::start(address, tls.lasting()?, &api, &admission, &pki.server_key.der());
        let shows = pki.server.serial.clone();
        let pki = Arc::new(Mutex::new(pki));
        let upkeep = Upkeep::new(Arc::clone(&pki), tls.clone(), Arc::clone(&api), shows);
        let credentials = Credentials::new(Arc::clone(&pki), Arc::clone(&replica));
        let mut tasks = vec![
            tokio::spawn(upkeep.run(closed.clone())),
            tokio::spawn(listener::serve(listener, tls, api, admission, closed.clone())),
            tokio::spawn(crate::signer::run(Arc::clone(&replica), pki, closed.clone())),
            tokio::spawn(compact(Arc::clone(&replica), keep, closed.clone())),
            tokio::spawn(look_after_store_key(Arc::clone(&replica), dir, key_rotation, closed.clone())),
        ];
        if !complete {
            let completing = crate::default_policy::run(Arc::clone(&replica), closed.clone());
            tasks.push(tokio::spawn(completing));
        }
        tasks.extend(quic.map(|router| tokio::spawn(quic::serve(router, closed))));
        Ok(Self { address, kubeconfig, controllers_kubeconfig, replica, credentials, closing, tasks, folder })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The controllers' kubeconfig.
    pub fn controllers_kubeconfig(&self) -> &Path {
        &self.controllers_kubeconfig
    }

    #[cfg(test)]
    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// The keys and certificates that it uses.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The cluster's id, in hexadecimal.
    pub fn cluster(&self) -> String {
        self.replica.cluster().0.to_string()
    }

    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.replica.reading().revision.0
    }

    /// Takes no more connections, lets those that are open finish, and closes the store.
    pub async fn stop(self) {
        self.closing.send_replace(true);
        self.replica.feed().wake();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the server ended by a panic");
            }
        }
        let replica = self.replica;
        // Joining the replica's thread may take as long as its last commit.
        let _ = tokio::task::spawn_blocking(move || replica.stop()).await;
        drop(self.folder);
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|source| {
        let hint = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program uses port {}; stop it, or choose another with --api", address.port())
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root; choose another with --api".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => "see the reason below".to_owned(),
        };
        ServerError::Listen { address, hint, source }
    })
}

/// Opens keys, genesis and store of the data folder; a new folder becomes a new cluster.
fn open(config: Config, address: SocketAddr) -> Result<(Folder, Pki, Arc<Replica>), ServerError> {
    let folder = Folder::take(&config.dir)?;
    hypermesh_pki::rotation::recover(&config.dir)?;
    let genesis = read_genesis(&config.dir)?;
    let mut settings = Settings::new(url(address), names(address, &config.names));
    settings.cluster = genesis.as_ref().map(Genesis::cluster_id);
    if let Some(genesis) = &genesis {
        // What is missing would be made anew below, and make another cluster of this one.
        let findings = hypermesh_pki::check(&config.dir, &pinned(genesis))?.into_iter();
        let (mending, findings): (Vec<_>, Vec<_>) = findings.partition(|finding| finding.mends);
        for finding in mending {
            tracing::warn!(%finding, "a kubeconfig is not as it was made");
        }
        if !findings.is_empty() {
            return Err(ServerError::Keys(findings));
        }
    }
    let mut pki = Pki::open(&config.dir, settings, unix_now())?;
    // What is trusted from the first connection on is what is here now.
    pki.take_along(unix_now())?;
    let key = pki.replica_key.signing_key()?;
    let genesis = match genesis {
        Some(genesis) => genesis,
        None => {
            let genesis = new_genesis(key.public(), pki.admin_key.signing_key()?.public())?;
            write_genesis(&config.dir, &genesis)?;
            pki.pin(genesis.cluster_id())?;
            // The server has one more address once its cluster has an id.
            pki.renew(unix_now())?;
            genesis
        }
    };
    let mut definitions = hypermesh_schemas::definitions();
    definitions.extend(config.extra_kinds);
    let store = Options {
        key_rotation: store_key::at_opening(&config.dir, config.key_rotation),
        ..Options::default()
    };
    let machine = hypermesh_machine::Config { dir: config.dir.clone(), store, key, definitions };
    let replica = Replica::start(machine, &genesis)?;
    store_key::met(&config.dir)?;
    Ok((folder, pki, Arc::new(replica)))
}

fn lines(findings: &[hypermesh_pki::Finding]) -> String {
    findings.iter().map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n")
}

/// What a genesis says about keys.
pub(crate) fn pinned(genesis: &Genesis) -> hypermesh_pki::Pinned {
    hypermesh_pki::Pinned {
        cluster: genesis.cluster_id(),
        replicas: genesis.validators.validators().iter().map(|validator| validator.key).collect(),
        administrators: genesis.administrators.clone(),
    }
}

fn new_genesis(
    replica: hypermesh_chain::PublicKey,
    administrator: hypermesh_chain::PublicKey,
) -> Result<Genesis, ServerError> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|error| ServerError::Genesis(error.to_string()))?;
    let validators = ValidatorSet::new(vec![Validator { key: replica, power: 1 }])
        .map_err(|error| ServerError::Genesis(error.to_string()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Ok(Genesis {
        name: "hypermesh".to_owned(),
        seed,
        time: Timestamp(u64::try_from(now.as_micros()).unwrap_or(0)),
        version: PIPELINE_VERSION,
        validators,
        administrators: vec![administrator],
    })
}

/// The URL under which a client on this machine reaches the server.
fn url(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("https://{host}:{}", address.port())
}

fn names(address: SocketAddr, further: &[String]) -> Vec<String> {
    let usual =
        ["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut names: Vec<String> = usual.iter().map(|name| (*name).to_owned()).collect();
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    names.extend(further.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// Replaces the key that seals the store when it is old, or when somebody has asked for it.
async fn look_after_store_key(
    replica: Arc<Replica>,
    dir: PathBuf,
    rotation: KeyRotation,
    mut closing: watch::Receiver<bool>,
) {
    // What goes wrong is said once, until it goes right.
    let mut said = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(store_key::LOOK) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        let (replica, dir) = (Arc::clone(&replica), dir.clone());
        let done = tokio::task::spawn_blocking(move || {
            store_key::look_after(replica.store(), &dir, rotation, SystemTime::now())
        });
        match done.await {
            Ok(Ok(false)) => said = false,
            Ok(Ok(true)) => {
                said = false;
                tracing::info!("the key that seals the store has been replaced");
            }
            Ok(Err(error)) if !said => {
                said = true;
                tracing::error!(%error, source = error.source(), "the key that seals the store could not be replaced");
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "looking after the store's key ended by a panic"),
        }
    }
}

/// Forgets history that is older than it is kept for.
async fn compact(replica: Arc<Replica>, keep: Duration, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(COMPACT) => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        let replica = Arc::clone(&replica);
        let done = tokio::task::spawn_blocking(move || {
            let horizon = replica.now().0.saturating_sub(u64::try_from(keep.as_micros()).unwrap_or(u64::MAX));
            match replica.store().revision_at(Timestamp(horizon)) {
                Ok(Some(revision)) => replica.store().compact(revision).map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            }
        });
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "history could not be compacted"),
            Err(error) => tracing::error!(%error, "compaction ended by a panic"),
        }
    }
}
