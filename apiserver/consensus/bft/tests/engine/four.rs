//! Four replicas of which the tests play three.

use hypermesh_bft::event::Head;
use hypermesh_bft::{Engine, Identity, Timing};
use hypermesh_chain::{
    Block, ClusterId, GroupId, Hash, Header, Height, Revision, SigningKey, Timestamp, Validator, ValidatorSet,
};

pub const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));
pub const GROUP: GroupId = GroupId(0);
/// The block that the engine begins with.
pub const PARENT: Hash = Hash([3; 32]);

pub fn key(place: u8) -> SigningKey {
    SigningKey::from_seed(&[place + 1; 32])
}

pub fn validators() -> ValidatorSet {
    let all = (0..4).map(|place| Validator { key: key(place).public(), power: 1 });
    ValidatorSet::new(all.collect()).unwrap()
}

/// A head that the replica at place 1 composed.
pub fn head(height: u64, block: Hash) -> Head {
    Head { height: Height(height), block, proposer: key(1).public(), validators: validators() }
}

/// The engine of the replica at place 0. Its log is not read yet.
pub fn engine_of(head: Head) -> Engine {
    let identity = Identity { key: key(0), cluster: CLUSTER, group: GROUP };
    Engine::new(identity, head, Timing::default()).unwrap()
}

/// The same, with [`PARENT`] as the newest block, at a height.
pub fn engine_at(height: u64) -> Engine {
    engine_of(head(height, PARENT))
}

/// The header of a block without requests, of the replica at place 1.
pub fn header(height: u64, parent: Hash, time: u64) -> Header {
    Header {
        version: 1,
        group: GROUP,
        height: Height(height),
        parent,
        time: Timestamp(time),
        proposer: key(1).public(),
        validators: validators().hash(),
        next_validators: validators().hash(),
        requests: Block::requests_root(&[], &[]),
        receipts: Hash::default(),
        events: Hash::default(),
        state: Hash::default(),
        first_revision: Revision(1),
        last_revision: Revision(0),
    }
}

/// A block without requests.
pub fn empty(header: Header) -> Block {
    Block { header, requests: Vec::new(), endorsements: Vec::new() }
}
