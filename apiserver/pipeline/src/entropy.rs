//! Randomness that every replica agrees on: uids, name suffixes and salts are hashes of what is in the block.

use hypermesh_chain::{Hash, Height, Uid};

/// The source for one request: H(cluster, height, request digest), from which each use takes an index of its own.
#[derive(Clone, Copy, Debug)]
pub struct Entropy {
    seed: Hash,
    used: u64,
}

impl Entropy {
    /// The source of a request (or of a step after a block, whose digest is the hash of its name).
    pub fn new(cluster: &Hash, height: Height, digest: &Hash) -> Self {
        Self {
            seed: Hash::of(&[b"hypermesh entropy", &cluster.0, &height.0.to_le_bytes(), &digest.0]),
            used: 0,
        }
    }

    fn next(&mut self, domain: &[u8; 4]) -> Hash {
        self.used += 1;
        Hash::of(&[domain, &self.seed.0, &self.used.to_le_bytes()])
    }

    /// A new uid.
    pub fn uid(&mut self) -> Uid {
        Uid::from_digest(&self.next(b"uid."))
    }

    /// 8 bytes for a name suffix.
    pub fn suffix(&mut self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.next(b"name").0[..8]);
        bytes
    }

    /// 16 bytes that salt a leaf.
    pub fn salt(&mut self) -> Vec<u8> {
        self.next(b"salt").0[..16].to_vec()
    }
}
