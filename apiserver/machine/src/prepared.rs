//! A block that was executed and is not committed yet.

use crate::error::MachineError;
use crate::replica::Waiting;
use hypermesh_chain::{Block, Hash, ObjectKey, Receipt, StateTree};
use hypermesh_pipeline::{Executed, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is kept of a block until its height is decided.
pub(crate) struct Prepared {
    pub block: Arc<Block>,
    pub executed: Executed,
    pub tree: StateTree,
    pub leaves: Vec<(ObjectKey, Option<Hash>)>,
    pub receipts: Vec<Receipt>,
    /// Who is answered once it is committed; only the replica that took the requests has any.
    pub waiting: Vec<(Waiting, Outcome)>,
    /// What each request came to, in a block that another replica made: whoever asked for it here is told.
    pub outcomes: Vec<Outcome>,
}

impl Prepared {
    /// The leaf of each effect's record, in order of the effects.
    pub fn event_leaves(executed: &Executed) -> Vec<Hash> {
        executed.effects.iter().map(|effect| effect.change.record().leaf(&effect.key.encode())).collect()
    }

    /// Leaves that the effects leave behind, each object once, in key order; `leaves` are those of the effects.
    pub fn last_leaves(executed: &Executed, leaves: &[Hash]) -> Vec<(ObjectKey, Option<Hash>)> {
        let mut last: BTreeMap<&ObjectKey, Option<Hash>> = BTreeMap::new();
        for (effect, leaf) in executed.effects.iter().zip(leaves) {
            let gone = matches!(effect.change, hypermesh_chain::Change::Deleted(_));
            last.insert(&effect.key, (!gone).then_some(*leaf));
        }
        last.into_iter().map(|(key, leaf)| (key.clone(), leaf)).collect()
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
