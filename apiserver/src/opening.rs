//! From a data folder to keys and a replica that runs; a new folder becomes a new cluster.
//!
//! What makes a cluster is its genesis, written last: a founding that was cut off is taken up where it ended, by the keys
//! that are there.

use crate::config::Config;
use crate::folder::Folder;
use crate::replication::{Line, Peer};
use crate::roster;
use crate::server::{ServerError, unix_now};
use crate::store_key;
use hypermesh_chain::validator::Validator;
use hypermesh_chain::{Genesis, PublicKey, Timestamp, ValidatorSet};
use hypermesh_machine::{Replica, STORE_FOLDER, read_genesis, write_genesis};
use hypermesh_pipeline::PIPELINE_VERSION;
use hypermesh_pki::{Pki, Settings};
use hypermesh_store::Options;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A data folder in use.
pub(crate) struct Opened {
    pub folder: Folder,
    pub pki: Pki,
    pub replica: Arc<Replica>,
    /// The way to other replicas, where there are some.
    pub line: Option<Line>,
}

/// Opens keys, genesis and store of the data folder; a new folder becomes a new cluster of one replica.
pub(crate) fn open(config: Config, address: SocketAddr) -> Result<Opened, ServerError> {
    let folder = Folder::take(&config.dir)?;
    hypermesh_pki::rotation::recover(&config.dir)?;
    let genesis = read_genesis(&config.dir)?;
    remembers(&config.dir, genesis.as_ref())?;
    let mut settings = settings(&config, address);
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
            let genesis = new_genesis(&[key.public()], pki.admin_key.signing_key()?.public())?;
            enrol(&config, &mut pki, &genesis)?;
            genesis
        }
    };
    let mut definitions = hypermesh_schemas::definitions();
    definitions.extend(config.extra_kinds);
    let store = Options {
        key_rotation: store_key::at_opening(&config.dir, config.key_rotation),
        ..Options::default()
    };
    let machine = hypermesh_machine::Config { dir: config.dir.clone(), store, key: key.clone(), definitions };
    let replicas = genesis.validators.validators().len();
    let (replica, line) = match config.replication {
        Some(replication) if replicas > 1 => {
            begins(&config.dir)?;
            let (line, others) = Line::open(&replication, key, &genesis)?;
            (Replica::start_among(machine, &genesis, others)?, Some(line))
        }
        None if replicas > 1 => return Err(ServerError::Several { dir: config.dir, replicas }),
        _ => {
            let replica = Replica::start(machine, &genesis)?;
            begins(&config.dir)?;
            (replica, None)
        }
    };
    store_key::met(&config.dir)?;
    Ok(Opened { folder, pki, replica: Arc::new(replica), line })
}

/// An empty file that says that the store of this folder holds something; among others, that its replica may have voted.
const BEGAN: &str = "began";

/// A cluster whose store is gone must not begin anew as if nothing had been: among others its replica would not know what
/// it voted for, and could contradict itself. Nor is a store without a genesis a new cluster.
fn remembers(dir: &Path, genesis: Option<&Genesis>) -> Result<(), ServerError> {
    let store = dir.join(STORE_FOLDER).exists();
    match genesis {
        None if store => Err(ServerError::NoGenesis { dir: dir.to_owned() }),
        Some(genesis) if !store && dir.join(BEGAN).exists() => {
            let (dir, several) = (dir.to_owned(), genesis.validators.validators().len() > 1);
            Err(if several { ServerError::Forgotten { dir } } else { ServerError::NoStore { dir } })
        }
        _ => Ok(()),
    }
}

/// Notes that the store is in use from here on.
fn begins(dir: &Path) -> Result<(), ServerError> {
    let mark = dir.join(BEGAN);
    if mark.exists() {
        return Ok(());
    }
    let failed = |source| ServerError::Folder { path: mark.clone(), source };
    std::fs::File::create(&mark).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::File::open(dir).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Founds a cluster of several replicas, one in each of these data folders, all of one operator: they have one authority
/// and one administrator. Where that has happened already, nothing is done.
///
/// # Errors
/// When a folder belongs to another cluster, or to one of another number of replicas; when files cannot be written.
pub(crate) fn found(configs: &[Config], addresses: &[SocketAddr]) -> Result<(), ServerError> {
    let folders = configs.iter().map(|config| Folder::take(&config.dir)).collect::<Result<Vec<_>, _>>()?;
    let mut genesis = None;
    for config in configs {
        let Some(found) = read_genesis(&config.dir)? else { continue };
        let replicas = found.validators.validators().len();
        if replicas != configs.len() {
            return Err(ServerError::OtherReplicas { dir: config.dir.clone(), replicas });
        }
        if genesis.get_or_insert_with(|| found.clone()) != &found {
            return Err(ServerError::Genesis(format!("{} belongs to another cluster", config.dir.display())));
        }
    }
    let mut pkis = Vec::new();
    for config in configs {
        if read_genesis(&config.dir)?.is_some() {
            continue;
        }
        if let Some(first) = configs.first().filter(|first| first.dir != config.dir) {
            hypermesh_pki::share(&first.dir, &config.dir)?;
        }
        pkis.push((config, Pki::open(&config.dir, settings(config, config.api), unix_now())?));
    }
    let genesis = match genesis {
        Some(genesis) => genesis,
        None => {
            let Some((_, first)) = pkis.first() else { return Ok(()) };
            let administrator = first.admin_key.signing_key()?.public();
            let keys = pkis.iter().map(|(_, pki)| Ok(pki.replica_key.signing_key()?.public()));
            new_genesis(&keys.collect::<Result<Vec<_>, ServerError>>()?, administrator)?
        }
    };
    for (config, mut pki) in pkis {
        let key = pki.replica_key.signing_key()?.public();
        if genesis.validators.power(&key).is_none() {
            let text = format!("the key in {} is of no replica of this cluster", config.dir.display());
            return Err(ServerError::Genesis(text));
        }
        enrol(config, &mut pki, &genesis)?;
    }
    if !addresses.is_empty() {
        let peer = |(config, address): (&Config, &SocketAddr)| {
            let key = hypermesh_pki::replica_key(&config.dir)?.signing_key()?.public();
            Ok(Peer { key, addresses: vec![*address] })
        };
        let peers = configs.iter().zip(addresses).map(peer).collect::<Result<Vec<_>, ServerError>>()?;
        for config in configs {
            roster::write(&config.dir, &peers)?;
        }
    }
    drop(folders);
    Ok(())
}

/// Makes a data folder one of the cluster.
fn enrol(config: &Config, pki: &mut Pki, genesis: &Genesis) -> Result<(), ServerError> {
    write_genesis(&config.dir, genesis)?;
    pki.pin(genesis.cluster_id())?;
    // The server has one more address once its cluster has an id.
    pki.renew(unix_now())?;
    Ok(())
}

fn settings(config: &Config, address: SocketAddr) -> Settings {
    Settings::new(url(address), names(address, &config.names))
}

/// What a genesis says about keys.
pub(crate) fn pinned(genesis: &Genesis) -> hypermesh_pki::Pinned {
    hypermesh_pki::Pinned {
        cluster: genesis.cluster_id(),
        replicas: genesis.validators.validators().iter().map(|validator| validator.key).collect(),
        administrators: genesis.administrators.clone(),
    }
}

fn new_genesis(replicas: &[PublicKey], administrator: PublicKey) -> Result<Genesis, ServerError> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(|error| ServerError::Genesis(error.to_string()))?;
    let validators = replicas.iter().map(|key| Validator { key: *key, power: 1 }).collect();
    let validators =
        ValidatorSet::new(validators).map_err(|error| ServerError::Genesis(error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use crate::{Config, Server};
    use std::net::SocketAddr;
    use std::path::Path;

    async fn start(dir: &Path) -> Result<Server, String> {
        let config = Config::new(dir.to_owned(), SocketAddr::from(([127, 0, 0, 1], 0)));
        Server::start(config).await.map_err(|error| error.to_string())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_missing_of_a_cluster_is_named_and_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        start(dir.path()).await.unwrap().stop().await;
        let (store, genesis) = (dir.path().join("store"), dir.path().join("genesis"));
        let kubeconfig = std::fs::read(dir.path().join("admin.kubeconfig")).unwrap();

        std::fs::rename(&store, dir.path().join("away")).unwrap();
        let error = start(dir.path()).await.err().unwrap();
        assert!(error.contains("the store in") && error.contains("is gone"), "{error}");
        assert!(!store.exists());
        std::fs::rename(dir.path().join("away"), &store).unwrap();

        std::fs::rename(&genesis, dir.path().join("away")).unwrap();
        let error = start(dir.path()).await.err().unwrap();
        assert!(error.contains("the genesis in") && error.contains("is gone"), "{error}");
        assert!(!genesis.exists());
        assert_eq!(
            std::fs::read(dir.path().join("admin.kubeconfig")).unwrap(),
            kubeconfig,
            "nothing is changed"
        );
        std::fs::rename(dir.path().join("away"), &genesis).unwrap();

        start(dir.path()).await.unwrap().stop().await;
    }
}
