//! A small state machine: registers under names, in the blocks, headers and state tree of the real one.
//!
//! It stands for the pipeline and the store where thousands of runs are wanted in a minute. Like them it executes a block
//! before it is voted for, names the state after it in the header, orders nothing twice and nothing that nobody had the
//! right to ask for ([`requests`]), and keeps a block durably or not at all.

pub mod requests;

use crate::scenario::Planted;
use bytes::Bytes;
use hypermesh_bft::Head;
use hypermesh_chain::request::Request;
use hypermesh_chain::{
    Block, Canonical, Certificate, ClusterId, GroupId, Hash, Header, Height, PublicKey, Revision, StateTree,
    Timestamp, ValidatorSet,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A block may be dated this far from the clock of who judges it, in microseconds.
pub const MOST_SKEW: u64 = 10_000_000;
/// Requests in a block.
const MOST_REQUESTS: usize = 8;

/// What survives a crash.
#[derive(Clone, Debug)]
pub struct Kept {
    /// All blocks with their certificates; the first is height 1.
    pub blocks: Vec<(Bytes, Certificate)>,
    head: Header,
    head_id: Hash,
    state: State,
    ordered: BTreeSet<Hash>,
}

/// Registers, and the tree over them.
#[derive(Clone, Debug, Default)]
struct State {
    tree: StateTree,
    registers: BTreeMap<String, u64>,
}

/// A block that was executed and is not kept yet.
#[derive(Debug)]
struct Executed {
    block: Arc<Block>,
    state: State,
}

/// A state machine of one replica.
#[derive(Debug)]
pub struct Ledger {
    cluster: ClusterId,
    key: PublicKey,
    validators: ValidatorSet,
    kept: Kept,
    /// Requests that wait, by digest.
    pool: BTreeMap<Hash, Request>,
    executed: BTreeMap<Hash, Executed>,
    planted: Option<Planted>,
}

impl Ledger {
    /// A ledger at the beginning.
    pub fn new(
        cluster: ClusterId,
        key: PublicKey,
        validators: ValidatorSet,
        planted: Option<Planted>,
    ) -> Self {
        let state = State::default();
        let head = Header {
            version: 1,
            group: GroupId(0),
            height: Height(0),
            parent: Hash::default(),
            time: Timestamp(0),
            proposer: key,
            validators: validators.hash(),
            next_validators: validators.hash(),
            requests: Hash::default(),
            receipts: Hash::default(),
            events: Hash::default(),
            state: state.tree.root(),
            first_revision: Revision(1),
            last_revision: Revision(0),
        };
        let (blocks, ordered) = (Vec::new(), BTreeSet::new());
        let kept = Kept { blocks, head, head_id: Hash([1; 32]), state, ordered };
        let (pool, executed) = (BTreeMap::new(), BTreeMap::new());
        Self { cluster, key, validators, kept, pool, executed, planted }
    }

    /// Forgets what a crash forgets.
    pub fn crash(&mut self) {
        self.pool.clear();
        self.executed.clear();
    }

    /// What survives a crash.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The newest block, as an engine wants it.
    pub fn head(&self) -> Head {
        let genesis = self.validators.validators().first().map_or(self.key, |validator| validator.key);
        let Kept { head, head_id, .. } = &self.kept;
        let proposer = if head.height == Height(0) { genesis } else { head.proposer };
        Head { height: head.height, block: *head_id, proposer, validators: self.validators.clone() }
    }

    /// The newest height.
    pub fn height(&self) -> u64 {
        self.kept.head.height.0
    }

    /// The root of the state that is there, whatever the newest header says.
    pub fn root(&self) -> Hash {
        self.kept.state.tree.root()
    }

    /// Whether a request was ordered.
    pub fn has_ordered(&self, digest: &Hash) -> bool {
        self.kept.ordered.contains(digest)
    }

    /// A register as it is here: 0 before it was written.
    pub fn register(&self, register: u64) -> u64 {
        self.kept.state.registers.get(&requests::path(register)).copied().unwrap_or(0)
    }

    /// Takes a request that is to be ordered. What is not authorized is refused, as it would be at the edge.
    pub fn enqueue(&mut self, request: Request) {
        let digest = request.digest();
        let known = self.pool.contains_key(&digest) || self.kept.ordered.contains(&digest);
        if !known && requests::authorize(&request, &self.validators, &self.cluster).is_ok() {
            self.pool.insert(digest, request);
        }
    }

    /// Whether requests wait.
    pub fn has_work(&self) -> bool {
        !self.pool.is_empty()
    }

    /// Requests that wait, as they are told to others.
    pub fn pending(&self) -> Vec<Bytes> {
        self.pool.values().map(|request| Bytes::from(request.encode())).collect()
    }

    /// Makes a block of what waits, or of what `compose` makes of that.
    pub fn prepare(
        &mut self,
        now: Timestamp,
        compose: impl FnOnce(Vec<Request>) -> Vec<Request>,
    ) -> Option<Arc<Block>> {
        let mut requests = compose(self.pool.values().cloned().collect());
        requests.truncate(MOST_REQUESTS);
        if requests.is_empty() {
            return None;
        }
        let time = Timestamp(now.0.max(self.kept.head.time.0 + 1));
        let executed = self.execute(requests, time, self.key);
        let block = Arc::clone(&executed.block);
        self.executed.insert(self.id(&block), executed);
        Some(block)
    }

    /// Judges a block that follows the newest.
    pub fn judge(&mut self, block: &Block, fresh: Option<Timestamp>) -> Result<(), String> {
        let id = self.id(block);
        if self.executed.contains_key(&id) {
            return Ok(());
        }
        let header = &block.header;
        if let Some(now) = fresh
            && header.time.0.abs_diff(now.0) > MOST_SKEW
            && self.planted != Some(Planted::UncheckedTime)
        {
            return Err("its time is far".to_owned());
        }
        if header.time <= self.kept.head.time {
            return Err("its time does not rise".to_owned());
        }
        if self.validators.power(&header.proposer).is_none() {
            return Err("its proposer is no validator".to_owned());
        }
        if self.planted != Some(Planted::IgnoredAuthority) {
            self.judge_requests(&block.requests)?;
        }
        let own = self.execute(block.requests.clone(), header.time, header.proposer);
        let mut expected = own.block.header.clone();
        if self.planted == Some(Planted::IgnoredRoots) {
            expected.state = header.state;
        }
        if expected != *header {
            return Err("its header is not what its requests come to".to_owned());
        }
        self.executed.insert(id, Executed { block: Arc::new(block.clone()), ..own });
        Ok(())
    }

    fn judge_requests(&self, requests: &[Request]) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for request in requests {
            let digest = request.digest();
            if self.kept.ordered.contains(&digest) || !seen.insert(digest) {
                return Err(format!("request {digest} was ordered before"));
            }
            // What waits here was authorized when it came.
            if !self.pool.contains_key(&digest) {
                requests::authorize(request, &self.validators, &self.cluster)?;
            }
        }
        Ok(())
    }

    /// Keeps a block, durably.
    pub fn commit(&mut self, id: &Hash, certificate: &Certificate) -> Result<(), String> {
        let executed = self.executed.remove(id).ok_or("a block that was not executed is to be kept")?;
        let Executed { block, state } = executed;
        certificate.verify(&self.validators, &self.cluster).map_err(|error| error.to_string())?;
        for request in &block.requests {
            let digest = request.digest();
            self.pool.remove(&digest);
            self.kept.ordered.insert(digest);
        }
        self.kept.blocks.push((Bytes::from(block.encode()), certificate.clone()));
        (self.kept.head, self.kept.head_id, self.kept.state) = (block.header.clone(), *id, state);
        self.executed.clear();
        Ok(())
    }

    /// Forgets a block that was executed.
    pub fn forget(&mut self, id: &Hash) {
        self.executed.remove(id);
    }

    fn id(&self, block: &Block) -> Hash {
        block.header.id(&self.cluster)
    }

    fn execute(&self, requests: Vec<Request>, time: Timestamp, proposer: PublicKey) -> Executed {
        let parent = &self.kept.head;
        let mut state = self.kept.state.clone();
        requests.iter().for_each(|request| state.apply(request));
        let header = Header {
            version: parent.version,
            group: parent.group,
            height: Height(parent.height.0 + 1),
            parent: self.kept.head_id,
            time,
            proposer,
            validators: self.validators.hash(),
            next_validators: self.validators.hash(),
            requests: Block::requests_root(&requests, &[]),
            receipts: Hash::default(),
            events: Hash::default(),
            state: state.tree.root(),
            first_revision: Revision(parent.last_revision.0 + 1),
            last_revision: Revision(parent.last_revision.0 + requests.len() as u64),
        };
        let block = Arc::new(Block { header, requests, endorsements: Vec::new() });
        Executed { block, state }
    }
}

impl State {
    fn apply(&mut self, request: &Request) {
        let path = request.path();
        let value = std::str::from_utf8(&request.body).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        self.registers.insert(path.to_owned(), value);
        self.tree.insert(path.as_bytes(), Hash::of(&[&value.to_le_bytes()]));
    }
}
