//! The store as the pipeline reads it.
//!
//! Every write asks for the same few records: its namespace, the grant of its replica. [`Hot`] keeps them decoded from
//! one block to the next. It shows exactly what the newest committed state holds: whoever commits tells it what changed.

use hypermesh_chain::{Effect, KeyRange, ObjectKey, Record, Uid};
use hypermesh_pipeline::{ReadError, StateReader};
use hypermesh_store::{StoreError, View};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// A view of the store.
pub(crate) struct Base<'a> {
    view: &'a View,
    hot: Option<&'a Hot>,
}

impl<'a> Base<'a> {
    /// Reads from `view` alone.
    pub fn new(view: &'a View) -> Self {
        Self { view, hot: None }
    }

    /// Reads from `view`, the newest committed state, and remembers in `hot` what will be asked for again.
    pub fn newest(view: &'a View, hot: &'a Hot) -> Self {
        Self { view, hot: Some(hot) }
    }
}

/// Records of the newest state that are asked for again and again.
#[derive(Debug, Default)]
pub(crate) struct Hot(RefCell<HashMap<ObjectKey, Arc<Record>>>);

impl Hot {
    /// Records kept at most; then it begins anew.
    const MOST: usize = 512;
    /// Larger ones are not kept, in bytes.
    const LARGEST: usize = 4096;

    /// Whether an object is of those that many writes depend on: what belongs to no namespace.
    fn wants(key: &ObjectKey) -> bool {
        key.namespace().is_empty()
    }

    fn get(&self, key: &ObjectKey) -> Option<Arc<Record>> {
        self.0.borrow().get(key).map(Arc::clone)
    }

    fn keep(&self, key: &ObjectKey, record: &Arc<Record>) {
        let mut kept = self.0.borrow_mut();
        if record.body.len() > Self::LARGEST {
            return;
        }
        if kept.len() >= Self::MOST {
            kept.clear();
        }
        kept.insert(key.clone(), Arc::clone(record));
    }

    /// Forgets what a committed block has changed.
    pub fn follow(&self, effects: &[Effect]) {
        let mut kept = self.0.borrow_mut();
        for effect in effects.iter().filter(|effect| Self::wants(&effect.key)) {
            kept.remove(&effect.key);
        }
    }
}

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
        let hot = self.hot.filter(|_| Hot::wants(key));
        if let Some(known) = hot.and_then(|hot| hot.get(key)) {
            return Ok(Some(known));
        }
        let found = self.view.get(key).map_err(failed)?.map(Arc::new);
        if let (Some(hot), Some(record)) = (hot, &found) {
            hot.keep(key, record);
        }
        Ok(found)
    }

    fn scan(
        &self,
        range: &KeyRange,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<(ObjectKey, Arc<Record>)>, ReadError> {
        let found = self.view.scan(range, after, limit).map_err(failed)?;
        Ok(found.into_iter().map(|(key, record)| (key, Arc::new(record))).collect())
    }

    fn dependents(
        &self,
        owner: Uid,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Vec<ObjectKey>, ReadError> {
        self.view.dependents(owner, after, limit).map_err(failed)
    }

    fn holder(&self, index: &str, value: &str) -> Result<Option<ObjectKey>, ReadError> {
        self.view.holder(index, value).map_err(failed)
    }
}
