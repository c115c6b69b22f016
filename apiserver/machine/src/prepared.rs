//! A block that was executed and is not committed yet.

use crate::error::MachineError;
use crate::replica::Waiting;
use hypermesh_chain::{Block, Hash, ObjectKey, Receipt, StateTree};
use hypermesh_pipeline::{Executed, Outcome};
use std::collections::BTreeMap;

/// What is kept of a block until its height is decided.
pub(crate) struct Prepared {
    pub block: Block,
    pub executed: Executed,
    pub tree: StateTree,
    pub leaves: Vec<(ObjectKey, Option<Hash>)>,
    pub receipts: Vec<Receipt>,
    /// Who is answered once it is committed; only the replica that took the requests has any.
    pub waiting: Vec<(Waiting, Outcome)>,
}

impl Prepared {
    /// Leaves that the effects changed, each object once, in key order.
    pub fn leaves_of(executed: &Executed) -> Vec<(ObjectKey, Option<Hash>)> {
        let mut leaves: BTreeMap<ObjectKey, Option<Hash>> = BTreeMap::new();
        for effect in &executed.effects {
            let leaf = match &effect.change {
                hypermesh_chain::Change::Deleted(_) => None,
                other => Some(other.record().leaf(&effect.key.encode())),
            };
            leaves.insert(effect.key.clone(), leaf);
        }
        leaves.into_iter().collect()
    }

    /// The receipt of an outcome.
    pub fn receipt(request: Hash, outcome: &Outcome) -> Receipt {
        Receipt {
            request,
            code: outcome.code,
            revision: outcome.revision,
            writes: outcome.writes,
            body: Hash::of(&[outcome.body.bytes()]),
        }
    }

    /// Answers everyone who waits that the block was not kept.
    pub fn refuse(self, error: &MachineError) {
        for (waiting, _) in self.waiting {
            waiting.refuse(error);
        }
    }
}
