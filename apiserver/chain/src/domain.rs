//! The tags that keep hashes and signatures of one kind from being read as another's: all of them, in one table.
//!
//! A tag is the first part of what is hashed or signed and always 16 bytes long, so that no tag is a prefix of
//! another's input. Two digests carry no tag because their form is fixed elsewhere: a body's digest is plain SHA-256
//! (it is what RFC 9530's Content-Digest shows), and list nodes are RFC 6962's with their own one-byte prefixes,
//! whose root is then hashed under [`LIST`]. An object's leaf starts with a zero byte, which no tag does.
//!
//! A tag is never given a second meaning; a changed form gets a new tag.

use crate::ids::Hash;

/// One use of the hash or of a signing key.
pub(crate) struct Domain([u8; 16]);

impl Domain {
    const fn new(name: &str) -> Self {
        let name = name.as_bytes();
        assert!(!name.is_empty() && name.len() <= 16, "a tag has 1 to 16 bytes");
        let mut tag = [0; 16];
        let mut i = 0;
        while i < name.len() {
            tag[i] = name[i];
            i += 1;
        }
        Self(tag)
    }

    /// The tag itself, for a hasher that is fed piece by piece.
    pub(crate) const fn tag(&self) -> &[u8; 16] {
        &self.0
    }

    /// The digest of `first` and `rest` under this tag. Parts of variable length must be the last, or carry theirs.
    pub(crate) fn hash(&self, parts: &[&[u8]]) -> Hash {
        use sha2::{Digest, Sha256};
        let mut hasher = Sha256::new_with_prefix(self.0);
        for part in parts {
            hasher.update(part);
        }
        Hash(hasher.finalize().into())
    }

    /// What is signed under this tag: the tag, then the parts.
    pub(crate) fn message(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = self.0.to_vec();
        for part in parts {
            message.extend_from_slice(part);
        }
        message
    }
}

macro_rules! domains {
    ($($(#[$doc:meta])* $name:ident = $tag:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: Domain = Domain::new($tag);)*
        #[cfg(test)]
        const ALL: &[&Domain] = &[$(&$name),*];
    };
}

domains! {
    /// The genesis record: its digest is the cluster's id.
    GENESIS = "hm:genesis:1";
    /// What a request asks for, without who asks.
    REQUEST_CONTENT = "hm:content:1";
    /// A request: content and authority.
    REQUEST = "hm:request:1";
    /// One use of one signature on one content.
    REPLAY = "hm:replay:1";
    /// The signatures and endorsements that came with a block's requests.
    WITNESS = "hm:witness:1";
    /// A block's requests and their witness.
    REQUESTS = "hm:requests:1";
    /// A replica's signature over a batch of requests.
    ENDORSE = "hm:endorse:1";
    /// A list's root with its length.
    LIST = "hm:list:1";
    /// A receipt.
    RECEIPT = "hm:receipt:1";
    /// A write as a watcher sees it.
    EVENT = "hm:event:1";
    /// A validator set.
    VALIDATORS = "hm:validators:1";
    /// A block header: its digest is the block's id.
    HEADER = "hm:header:1";
    /// A vote of the replication protocol.
    VOTE = "hm:vote:1";
    /// A proposal of the replication protocol.
    PROPOSAL = "hm:proposal:1";
    /// The empty state tree.
    TREE_EMPTY = "hm:tree:empty:1";
    /// A fork of the state tree.
    TREE_FORK = "hm:tree:fork:1";
    /// A leaf of the state tree.
    TREE_LEAF = "hm:tree:leaf:1";
    /// An address: the cluster's prefix, and what is below it.
    ADDRESS = "hm:address:1";
    /// A replica's word on its newest block.
    ATTEST = "hm:attest:1";
    /// The coefficients of batch verification.
    BATCH = "hm:batch:1";
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_domains_share_a_tag() {
        let tags: BTreeSet<_> = ALL.iter().map(|domain| domain.tag()).collect();
        assert_eq!(tags.len(), ALL.len());
        assert!(tags.iter().all(|tag| tag[0] != 0 && tag.starts_with(b"hm:")));
    }
}
