//! From a data folder to a running machine.

use crate::base::Base;
use crate::error::OpenError;
use crate::feed::Feed;
use crate::reading::Reading;
use crate::state::{Head, Machine};
use arc_swap::ArcSwap;
use hypermesh_chain::certificate::{Certificate, Vote, VoteKind};
use hypermesh_chain::{
    Block, Canonical, ClusterId, Genesis, GroupId, Hash, Header, Height, Revision, SigningKey, StateTree,
    block,
};
use hypermesh_pipeline::call::Authority;
use hypermesh_pipeline::{Derived, PIPELINE_VERSION, Window, genesis};
use hypermesh_schemas::KindDefinition;
use hypermesh_store::{Commit, Options, Store};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The genesis, in the data folder; public, and the same on every replica.
pub const GENESIS_FILE: &str = "genesis";

/// The store's folder, in the data folder.
pub const STORE_FOLDER: &str = "store";

/// The folder of the replication log, in the data folder.
pub const LOG_FOLDER: &str = "log";

/// What a machine is opened with.
#[derive(Debug)]
pub struct Config {
    /// The data folder.
    pub dir: PathBuf,
    /// Sizes of the store.
    pub store: Options,
    /// The replica's key.
    pub key: SigningKey,
    /// The kinds of a new cluster; an existing one has its own.
    pub definitions: Vec<KindDefinition>,
}

/// Reads the genesis of a data folder; `None` in a new one.
pub fn read_genesis(dir: &Path) -> Result<Option<Genesis>, OpenError> {
    let path = dir.join(GENESIS_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Genesis::decode(&bytes).map(Some).map_err(|_| OpenError::GenesisDamaged { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::GenesisFile { action: "read", path, source }),
    }
}

/// Writes the genesis of a new data folder: all of it, or nothing.
pub fn write_genesis(dir: &Path, genesis: &Genesis) -> Result<(), OpenError> {
    let path = dir.join(GENESIS_FILE);
    let draft = dir.join("genesis.new");
    let failed = |source| OpenError::GenesisFile { action: "write", path: path.clone(), source };
    std::fs::write(&draft, genesis.encode()).map_err(failed)?;
    std::fs::File::open(&draft).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&draft, &path).map_err(failed)?;
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

impl Machine {
    /// Opens the machine of a data folder; a new one gets its first block.
    pub fn open(config: Config, genesis: &Genesis) -> Result<Self, OpenError> {
        let cluster = genesis.cluster_id();
        let store = Store::open(&config.dir.join(STORE_FOLDER), config.store)?;
        if store.head().is_none() {
            first_block(&store, genesis, cluster, &config.key, config.definitions)?;
        }
        let (head, tree) = load_head(&store, cluster, &config.dir)?;
        let view = store.view()?;
        let derived = Derived::load(&Base::new(&view))?;
        if derived.config.pipeline_version != PIPELINE_VERSION {
            return Err(OpenError::Version {
                wanted: derived.config.pipeline_version,
                has: PIPELINE_VERSION,
            });
        }
        let window = load_window(&store, &head, derived.config.request_validity_seconds)?;
        let revision = view.revision();
        let reading = Arc::new(Reading { view, derived, revision, tokens_changed: revision });
        Ok(Self {
            dir: config.dir,
            cluster,
            key: config.key,
            validators: genesis.validators.clone(),
            head,
            tree,
            old_trees: VecDeque::new(),
            window,
            published: Arc::new(ArcSwap::new(Arc::clone(&reading))),
            feed: Arc::new(Feed::new(revision)),
            reading,
            hot: crate::base::Hot::default(),
            queue: VecDeque::new(),
            pool: crate::pool::Pool::default(),
            left_out: Vec::new(),
            prepared: BTreeMap::new(),
            store,
        })
    }
}

fn first_block(
    store: &Store,
    genesis: &Genesis,
    cluster: ClusterId,
    key: &SigningKey,
    definitions: Vec<KindDefinition>,
) -> Result<(), OpenError> {
    let effects = genesis::effects(genesis, definitions)?;
    let mut tree = StateTree::new();
    let mut leaves = Vec::new();
    for effect in &effects {
        let bytes = effect.key.encode();
        let leaf = effect.change.record().leaf(&bytes);
        tree.insert(&bytes, leaf);
        leaves.push((effect.key.clone(), Some(leaf)));
    }
    let last_revision = effects.last().map_or(Revision(0), |effect| effect.revision);
    let proposer = genesis.validators.validators().first().map_or_else(|| key.public(), |v| v.key);
    let header = Header {
        version: genesis.version,
        group: GroupId(0),
        height: Height(0),
        parent: Hash::default(),
        time: genesis.time,
        proposer,
        validators: genesis.validators.hash(),
        next_validators: genesis.validators.hash(),
        requests: Block::requests_root(&[], &[]),
        receipts: block::receipts_root(&[]),
        events: block::events_root(&effects),
        state: tree.root(),
        first_revision: Revision(1),
        last_revision,
    };
    let id = header.id(&cluster);
    let vote =
        Vote { kind: VoteKind::Precommit, group: GroupId(0), height: Height(0), round: 0, block: Some(id) };
    let signatures = vec![(key.public(), key.sign(&vote.message(&cluster)))];
    let certificate = Certificate { group: GroupId(0), height: Height(0), round: 0, block: id, signatures };
    let time = header.time;
    let block = Block { header, requests: Vec::new(), endorsements: Vec::new() };
    store.commit(Commit {
        height: Height(0),
        time,
        id,
        block: &block.encode(),
        certificate: &certificate.encode(),
        effects: &effects,
        before: &[],
        leaves: &leaves,
        outcomes: &[],
        revision: last_revision,
    })?;
    Ok(())
}

/// The newest block, and the tree, which must add up to the root that the block certifies.
fn load_head(store: &Store, cluster: ClusterId, dir: &Path) -> Result<(Head, StateTree), OpenError> {
    let height = store.head().map(|head| head.height).unwrap_or_default();
    let stored = store.block(height)?.ok_or(OpenError::NoBlock { height })?;
    let block = Block::decode(&stored.block).map_err(|_| OpenError::Block { height })?;
    let id = block.header.id(&cluster);
    if store.head().is_some_and(|head| head.block_id != id) {
        return Err(OpenError::ForeignGenesis { path: dir.join(GENESIS_FILE), height });
    }
    let mut leaves: Vec<(Vec<u8>, Hash)> = Vec::new();
    store.view()?.leaves(|key, leaf| leaves.push((key.to_vec(), leaf)))?;
    let tree = StateTree::from_sorted(leaves).map_err(|_| OpenError::Leaves)?;
    let found = tree.root();
    if found != block.header.state {
        return Err(OpenError::Root { height, found, certified: block.header.state });
    }
    Ok((Head { header: block.header, id }, tree))
}

/// The requests of the blocks that are young enough, from the newest block back; one block is in memory at a time.
fn load_window(store: &Store, head: &Head, validity_seconds: u32) -> Result<Window, OpenError> {
    let mut seen = Window::default();
    let horizon = head.header.time.0.saturating_sub(u64::from(validity_seconds) * 2_000_000);
    let oldest = store.oldest_height()?;
    let mut height = head.header.height;
    while height > Height(0) && height >= oldest {
        let Some(stored) = store.block(height)? else { break };
        let block = Block::decode(&stored.block).map_err(|_| OpenError::Block { height })?;
        if block.header.time.0 < horizon {
            break;
        }
        for request in &block.requests {
            seen.insert(&Authority::of_request(request), block.header.time);
        }
        height = Height(height.0 - 1);
    }
    let mut window = Window::default();
    window.absorb(seen, head.header.time, validity_seconds);
    Ok(window)
}
