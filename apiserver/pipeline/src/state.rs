//! What the pipeline reads.
//!
//! The pipeline never sees a store: it reads through [`StateReader`], and sees its own earlier writes of the block
//! through [`Overlay`](crate::overlay::Overlay).

use hypermesh_chain::{KeyRange, ObjectKey, Record, Uid};
use std::sync::Arc;
use thiserror::Error;

/// The store could not be read. Nothing is known of the object then, least of all that it is absent.
#[derive(Clone, Debug, Error)]
#[error("reading the state failed: {0}")]
pub struct ReadError(pub String);

/// A consistent view of the committed state.
pub trait StateReader {
    /// The newest version of an object.
    fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError>;

    /// Up to `limit` objects of a range, in key order, after `after`.
    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError>;

    /// Up to `limit` objects that name `owner` in their owner references, in key order, after `after`.
    fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError>;

    /// Who holds a value of a unique index.
    fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError>;
}
