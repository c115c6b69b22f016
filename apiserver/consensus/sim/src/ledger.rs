//! A small state machine: numbered entries under names, in the blocks, headers and state tree of the real one.
//!
//! It stands for the pipeline and the store where thousands of runs are wanted in a minute. Like them it executes a block
//! before it is voted for, names the state after it in the header, orders nothing twice and nothing that its author did
//! not authorize, and keeps a block durably or not at all. An author's signature is a keyed digest here, whose key no
//! replica has.

use bytes::Bytes;
use hypermesh_bft::Head;
use hypermesh_chain::request::{Authority, Endorsement, Media, Method, Request, User};
use hypermesh_chain::{
    Block, Canonical, Certificate, ClusterId, GroupId, Hash, Header, Height, PublicKey, Revision, StateTree,
    Timestamp, ValidatorSet,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A block may be dated this far from the clock of who judges it, in microseconds.
const MOST_SKEW: u64 = 10_000_000;
/// Requests in a block.
const MOST_REQUESTS: usize = 8;

/// What authors sign with; replicas, honest or not, never see it.
const AUTHORS_KEY: &[u8] = b"known to authors alone";

/// A request of an author, signed.
pub fn request(number: u64) -> Request {
    let name = format!("entry-{number}");
    let tag = Hash::of(&[AUTHORS_KEY, name.as_bytes()]);
    unauthorized(number, &tag.to_string())
}

/// A request that claims to be an author's.
pub fn forged(number: u64) -> Request {
    unauthorized(number, &Hash::default().to_string())
}

fn unauthorized(number: u64, tag: &str) -> Request {
    let endorsement = Endorsement {
        replica: PublicKey([0; 32]),
        user: User::default(),
        received: Timestamp(0),
        nonce: number,
        manager: tag.to_owned(),
    };
    Request {
        method: Method::Post,
        target: format!("/entry-{number}"),
        media: Media::None,
        body: Bytes::new(),
        authority: Authority::Endorsed(endorsement),
    }
}

fn is_authorized(request: &Request) -> bool {
    let name = request.target.trim_start_matches('/');
    let tag = Hash::of(&[AUTHORS_KEY, name.as_bytes()]).to_string();
    request.authority.endorsement().is_some_and(|endorsement| endorsement.manager == tag)
}

/// What survives a crash.
#[derive(Clone, Debug)]
pub struct Kept {
    /// All blocks with their certificates; the first is height 1.
    pub blocks: Vec<(Bytes, Certificate)>,
    head: Header,
    head_id: Hash,
    tree: StateTree,
    ordered: BTreeSet<Hash>,
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
    /// Blocks that were executed and are not kept yet.
    executed: BTreeMap<Hash, (Arc<Block>, StateTree)>,
    /// A planted fault: headers are taken at their word.
    pub ignores_roots: bool,
}

impl Ledger {
    /// A ledger at the beginning.
    pub fn new(cluster: ClusterId, key: PublicKey, validators: ValidatorSet) -> Self {
        let tree = StateTree::new();
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
            state: tree.root(),
            first_revision: Revision(1),
            last_revision: Revision(0),
        };
        let kept = Kept { blocks: Vec::new(), head, head_id: Hash([1; 32]), tree, ordered: BTreeSet::new() };
        let ignores_roots = false;
        Self {
            cluster,
            key,
            validators,
            kept,
            pool: BTreeMap::new(),
            executed: BTreeMap::new(),
            ignores_roots,
        }
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

    /// The root of the state that is there, whatever the newest header says.
    pub fn root(&self) -> Hash {
        self.kept.tree.root()
    }

    /// Whether a request was ordered.
    pub fn has_ordered(&self, digest: &Hash) -> bool {
        self.kept.ordered.contains(digest)
    }

    /// Takes a request that is to be ordered. What is not authorized is refused, as it would be at the edge.
    pub fn enqueue(&mut self, request: Request) {
        let digest = request.digest();
        if is_authorized(&request) && !self.kept.ordered.contains(&digest) {
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

    /// Makes a block of what waits.
    pub fn prepare(&mut self, now: Timestamp) -> Option<Arc<Block>> {
        let requests: Vec<Request> = self.pool.values().take(MOST_REQUESTS).cloned().collect();
        if requests.is_empty() {
            return None;
        }
        let time = Timestamp(now.0.max(self.kept.head.time.0 + 1));
        let (block, tree) = self.execute(requests, time, self.key);
        let block = Arc::new(block);
        self.executed.insert(self.id(&block), (Arc::clone(&block), tree));
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
        {
            return Err("its time is far".to_owned());
        }
        if header.time <= self.kept.head.time {
            return Err("its time does not rise".to_owned());
        }
        if self.validators.power(&header.proposer).is_none() {
            return Err("its proposer is no validator".to_owned());
        }
        let mut seen = BTreeSet::new();
        for request in &block.requests {
            let digest = request.digest();
            if !is_authorized(request) {
                return Err(format!("request {digest} is not its author's"));
            }
            if self.kept.ordered.contains(&digest) || !seen.insert(digest) {
                return Err(format!("request {digest} was ordered before"));
            }
        }
        let (own, tree) = self.execute(block.requests.clone(), header.time, header.proposer);
        if own.header != *header && !self.ignores_roots {
            return Err("its header is not what its requests come to".to_owned());
        }
        self.executed.insert(id, (Arc::new(block.clone()), tree));
        Ok(())
    }

    /// Keeps a block, durably.
    pub fn commit(&mut self, id: &Hash, certificate: &Certificate) -> Result<(), String> {
        let (block, tree) = self.executed.remove(id).ok_or("a block that was not executed is to be kept")?;
        certificate.verify(&self.validators, &self.cluster).map_err(|error| error.to_string())?;
        for request in &block.requests {
            let digest = request.digest();
            self.pool.remove(&digest);
            self.kept.ordered.insert(digest);
        }
        self.kept.blocks.push((Bytes::from(block.encode()), certificate.clone()));
        (self.kept.head, self.kept.head_id, self.kept.tree) = (block.header.clone(), *id, tree);
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

    fn execute(&self, requests: Vec<Request>, time: Timestamp, proposer: PublicKey) -> (Block, StateTree) {
        let parent = &self.kept.head;
        let mut tree = self.kept.tree.clone();
        for request in &requests {
            tree.insert(request.target.as_bytes(), request.digest());
        }
        let writes = requests.len() as u64;
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
            state: tree.root(),
            first_revision: Revision(parent.last_revision.0 + 1),
            last_revision: Revision(parent.last_revision.0 + writes),
        };
        (Block { header, requests, endorsements: Vec::new() }, tree)
    }
}
