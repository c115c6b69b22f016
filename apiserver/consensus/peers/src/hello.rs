//! The first frame of each end: which cluster, which version, and which of two connections is meant.
//!
//! Who is at the other end is proven by the handshake; the hello says what that replica is a replica of. It is checked
//! before anything else is read, and what does not fit is refused by name.
//!
//! A later version may append to the hello: what is behind the fields known here is skipped, up to [`MOST`] bytes.

use borsh::{BorshDeserialize, BorshSerialize};
use hypermesh_chain::{ClusterId, Hash};
use thiserror::Error;

/// The version of what is said after the hello: streams, frames, and the form of messages.
pub const VERSION: u16 = 1;
/// The longest hello, in bytes.
pub const MOST: usize = 1024;
/// What it begins with.
const MAGIC: [u8; 8] = *b"hm-hello";

/// What one end says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hello {
    /// The versions that it speaks, from and to.
    pub versions: (u16, u16),
    /// The cluster's id.
    pub cluster: Hash,
    /// Drawn at the start of its process.
    pub incarnation: u64,
    /// Of whoever dialled: how many times this process has dialled; the number stands for this connection.
    pub dial: u64,
    /// The last connection of the other end's that it took up and has lost: that end's incarnation and number.
    pub taken: Option<(u64, u64)>,
}

/// A hello is none, or of a replica that this one has nothing to say to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HelloError {
    /// The bytes are none.
    #[error("the first frame is no hello")]
    Malformed,
    /// It is of another cluster.
    #[error("the replica is of cluster {theirs}, this one of {ours}")]
    Cluster {
        /// Its cluster.
        theirs: ClusterId,
        /// This replica's.
        ours: ClusterId,
    },
    /// It speaks no version that this replica speaks.
    #[error("the replica speaks versions {} to {}, this one {ours}: upgrade the older one", .theirs.0, .theirs.1)]
    Version {
        /// Its versions, from and to.
        theirs: (u16, u16),
        /// This replica's.
        ours: u16,
    },
}

impl Hello {
    /// The byte form, without the frame's head.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        // Writing to memory does not fail.
        let _ = self.serialize(&mut bytes);
        bytes
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        if bytes.len() > MOST {
            return Err(HelloError::Malformed);
        }
        let mut rest = bytes.strip_prefix(&MAGIC).ok_or(HelloError::Malformed)?;
        Self::deserialize(&mut rest).map_err(|_| HelloError::Malformed)
    }

    /// Whether one has something to say to the replica that said it.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, ours: &ClusterId) -> Result<(), HelloError> {
        if self.versions.0 > VERSION || self.versions.1 < VERSION {
            return Err(HelloError::Version { theirs: self.versions, ours: VERSION });
        }
        if self.cluster != ours.0 {
            return Err(HelloError::Cluster { theirs: ClusterId(self.cluster), ours: *ours });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HELLO: Hello =
        Hello { versions: (1, 3), cluster: Hash([7; 32]), incarnation: 5, dial: 6, taken: Some((1, 2)) };

    #[test]
    fn what_is_said_is_read_and_more_behind_it_is_skipped() {
        let bytes = HELLO.encode();
        assert_eq!(Hello::decode(&bytes), Ok(HELLO));
        assert_eq!(Hello::decode(&[&bytes[..], b"of a later version"].concat()), Ok(HELLO));
        assert_eq!(Hello::decode(&bytes[..bytes.len() - 1]), Err(HelloError::Malformed));
        assert_eq!(Hello::decode(&[&bytes[..], &[0; MOST]].concat()), Err(HelloError::Malformed));
        assert_eq!(Hello::decode(b"GET / HTTP/1.1"), Err(HelloError::Malformed));
    }

    #[test]
    fn replicas_of_other_clusters_and_versions_are_refused_by_name() {
        let ours = ClusterId(Hash([7; 32]));
        assert_eq!(HELLO.check(&ours), Ok(()));
        let error = HELLO.check(&ClusterId(Hash([8; 32]))).unwrap_err().to_string();
        assert!(error.contains(&"07".repeat(32)) && error.contains(&"08".repeat(32)), "{error}");
        let later = Hello { versions: (2, 3), ..HELLO };
        assert_eq!(
            later.check(&ours).unwrap_err().to_string(),
            "the replica speaks versions 2 to 3, this one 1: upgrade the older one"
        );
        let older = Hello { versions: (0, 0), ..HELLO };
        assert!(matches!(older.check(&ours), Err(HelloError::Version { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_hello_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&MAGIC[..], &bytes].concat();
            if let Ok(hello) = Hello::decode(&bytes) {
                prop_assert!(bytes.starts_with(&hello.encode()));
            }
        }
    }
}
