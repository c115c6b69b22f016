//! A server from start to end: what it opens, its listener, its upkeep.

use crate::config::Config;
use crate::connection::Admission;
use crate::credentials::Credentials;
use crate::folder::Folder;
use crate::http::Api;
use crate::listener;
use crate::metrics::Metrics;
use crate::opening::{self, Opened};
use crate::own_writes::Author;
use crate::quic;
use crate::replication::{Line, Peer, PeerStatus};
use crate::store_key;
use crate::streams::Agents;
use crate::tls::Tls;
use crate::upkeep::{self, Upkeep};
use hypermesh_chain::Timestamp;
use hypermesh_machine::{OpenError, Replica};
use hypermesh_pki::PkiError;
use hypermesh_store::KeyRotation;
use parking_lot::Mutex;
use std::error::Error as _;
use std::net::SocketAddr;
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
    /// One of several replicas was started by itself.
    #[error(
        "{dir} is one of {replicas} replicas, and was started alone: start it with the others (nexusctl up --replicas {replicas}), or by nexus-apiserver where replicas.toml says where they are"
    )]
    Several {
        /// The data folder.
        dir: PathBuf,
        /// How many there are.
        replicas: usize,
    },
    /// The cluster that is there has another number of replicas.
    #[error(
        "{dir} holds a cluster of {replicas}: say --replicas {replicas}, or choose another folder with --data-dir"
    )]
    OtherReplicas {
        /// The data folder.
        dir: PathBuf,
        /// How many there are.
        replicas: usize,
    },
    /// The genesis is missing where there is a store.
    #[error(
        "the genesis in {dir} is gone, and there is a store: restore the file genesis from a backup of this folder (it never changes)"
    )]
    NoGenesis {
        /// The data folder.
        dir: PathBuf,
    },
    /// The store is missing where there was one.
    #[error(
        "the store in {dir} is gone: is a disk not mounted? Restore the folder from a backup, or begin a new cluster in another one (--data-dir)"
    )]
    NoStore {
        /// The data folder.
        dir: PathBuf,
    },
    /// A replica among others has lost its store.
    #[error(
        "the store in {dir} is gone: this replica does not remember what it voted for, and must not vote again with its key; restore the whole folder, or leave the replica off (the others go on without it)"
    )]
    Forgotten {
        /// The data folder.
        dir: PathBuf,
    },
    /// Where other replicas are met cannot be read or written.
    #[error("{path} cannot be used: {why}")]
    Roster {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The address at which other replicas are met.
    #[error("cannot meet other replicas at {address}")]
    Peers {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: hypermesh_peers::StartError,
    },
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
    line: Option<Line>,
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
    /// Founds a cluster of several replicas of one operator, a data folder each; what is founded already stays. They are
    /// started one by one then, and told of each other ([`Server::meet`]).
    ///
    /// Where `addresses` are given, one for each, every folder gets a [`crate::ROSTER_FILE`] that names them all: then each may be
    /// started by a process of its own, on a machine of its own.
    pub async fn found(configs: Vec<Config>, addresses: Vec<SocketAddr>) -> Result<(), ServerError> {
        tokio::task::spawn_blocking(move || opening::found(&configs, &addresses)).await?
    }

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
        let Opened { folder, pki, replica, line } =
            tokio::task::spawn_blocking(move || opening::open(config, address)).await??;
        let operator = Author::operator(&replica, &pki)?;
        let complete = crate::default_policy::at_start(&replica, &operator).await;
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
        if let Some(line) = &line {
            drop(api.line.set(line.clone()));
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
            let completing = crate::default_policy::run(Arc::clone(&replica), operator, closed.clone());
            tasks.push(tokio::spawn(completing));
        }
        tasks.extend(quic.map(|router| tokio::spawn(quic::serve(router, closed))));
        Ok(Self {
            address,
            kubeconfig,
            controllers_kubeconfig,
            replica,
            line,
            credentials,
            closing,
            tasks,
            folder,
        })
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

    /// Under which key, and where, other replicas meet this one; nothing where it is alone.
    pub fn peer(&self) -> Option<Peer> {
        let line = self.line.as_ref()?;
        Some(Peer { key: self.replica.key(), addresses: vec![line.address()] })
    }

    /// Says who the other replicas are from now on. A replica that is alone has none.
    pub fn meet(&self, others: Vec<Peer>) {
        if let Some(line) = &self.line {
            line.meet(others);
        }
    }

    /// How it stands with each of the other replicas.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.line.as_ref().map(Line::status).unwrap_or_default()
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
        if let Some(line) = self.line {
            line.close().await;
        }
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

fn lines(findings: &[hypermesh_pki::Finding]) -> String {
    findings.iter().map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n")
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
