//! The store as the pipeline reads it.

use hypermesh_chain::{KeyRange, ObjectKey, Record, Uid};
use hypermesh_pipeline::{ReadError, StateReader};
use hypermesh_store::{StoreError, View};
use std::sync::Arc;

/// A view of the store.
pub(crate) struct Base<'a>(pub &'a View);

fn failed(error: StoreError) -> ReadError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    ReadError(text)
}

impl StateReader for Base<'_> {
    fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        Ok(self.0.get(key).map_err(failed)?.map(Arc::new))
    }

    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let found = self.0.scan(range, after, limit).map_err(failed)?;
        Ok(found.into_iter().map(|(key, record)| (key, Arc::new(record))).collect())
    }

    fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        self.0.dependents(owner, after, limit).map_err(failed)
    }

    fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError> {
        self.0.holder(index, value).map_err(failed)
    }
}
