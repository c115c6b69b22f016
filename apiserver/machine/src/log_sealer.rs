//! The store's key for the replication log.

use hypermesh_driver::{SealError, Sealer};
use hypermesh_store::{Store, StoreError};

/// What the log's key is for.
const DOMAIN: &str = "wal";

/// Seals the entries of a log as values of the store are.
pub(crate) struct LogSealer(hypermesh_store::Sealer);

impl LogSealer {
    /// The sealer of the replica with this store.
    pub fn new(store: &Store) -> Result<Self, StoreError> {
        store.sealer(DOMAIN).map(Self)
    }
}

impl Sealer for LogSealer {
    fn seal(&self, entry: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.seal(entry).map_err(|error| SealError(Box::new(error)))
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.open(sealed).map_err(|error| SealError(Box::new(error)))
    }
}
