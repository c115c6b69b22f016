//! What readers hold: one committed state, and what is derived from it.

use crate::base::Base;
use hypermesh_chain::{ObjectKey, Record, Revision};
use hypermesh_pipeline::{Derived, ReadError, StateReader};
use hypermesh_store::View;
use std::sync::Arc;

/// A consistent state. It stays as it is while it is held.
pub struct Reading {
    /// The objects.
    pub view: View,
    /// Kinds, roles, settings.
    pub derived: Derived,
    /// The newest revision in it.
    pub revision: Revision,
    /// When a service account or a Secret last changed: what was learnt of tokens before then may no longer hold.
    pub tokens_changed: Revision,
}

impl Reading {
    /// The state as the pipeline's functions read it.
    pub fn state(&self) -> impl StateReader + '_ {
        Base::new(&self.view)
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Result<Option<Arc<Record>>, ReadError> {
        Base::new(&self.view).get(key)
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("revision", &self.revision).finish_non_exhaustive()
    }
}
