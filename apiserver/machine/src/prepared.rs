//! A block that was executed and is not committed yet.

use crate::error::MachineError;
use crate::submission::{Submission, Waiting};
use hypermesh_chain::{Block, Hash, ObjectKey, Receipt, StateTree};
use hypermesh_pipeline::{Call, Executed, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is kept of a block until its height is decided.
pub(crate) struct Prepared {
    pub block: Arc<Block>,
    pub executed: Executed,
    pub tree: StateTree,
    pub leaves: Vec<(ObjectKey, Option<Hash>)>,
    pub receipts: Vec<Receipt>,
    /// Who is answered once it is committed; only a replica that is alone has any.
    pub waiting: Vec<Waits>,
    /// What each request came to, where there are several replicas or the block is another's: whoever asked for it here is
    /// told.
    pub outcomes: Vec<Outcome>,
}

/// Who waits for a block, and what it is told once the block is kept.
pub(crate) struct Waits {
    pub waiting: Waiting,
    pub outcome: Outcome,
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
        for waits in self.waiting {
            waits.waiting.refuse(error);
        }
    }

    /// What is to be ordered in a later block, in its order: this one will not be decided, and nobody was told anything.
    pub fn take_back(self) -> Vec<Submission> {
        let mut ordered = self.block.requests.iter();
        let mut taken = Vec::with_capacity(self.waiting.len());
        for Waits { waiting, outcome } in self.waiting {
            let request = if outcome.writes > 0 { ordered.next().cloned() } else { None };
            let call = request.as_ref().and_then(|request| Call::decode(request).ok());
            match request.zip(call) {
                Some((request, call)) => taken.push(Submission { request, call, waiting }),
                None => waiting
                    .refuse(&MachineError::Unsupported("the block was not decided; send the request again")),
            }
        }
        taken
    }
}
