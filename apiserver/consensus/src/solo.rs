//! The engine of one replica: it alone is the quorum.
//!
//! It takes the same steps as any engine (prepare, vote, commit with a certificate), so that what one replica has
//! written is a chain like any other, and more replicas can join it by a change of membership.

use crate::machine::{Limits, StateMachine};
use hypermesh_chain::certificate::{Certificate, Vote, VoteKind};
use hypermesh_chain::{ClusterId, SigningKey, Timestamp};

/// Decides blocks by one signature.
#[derive(Debug)]
pub struct Solo {
    key: SigningKey,
    cluster: ClusterId,
    limits: Limits,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A block was committed.
    Committed,
    /// There was nothing to order.
    Idle,
}

impl Solo {
    /// The engine of the replica with this key.
    pub fn new(key: SigningKey, cluster: ClusterId, limits: Limits) -> Self {
        Self { key, cluster, limits }
    }

    /// Makes, certifies and commits one block of what is waiting.
    ///
    /// # Errors
    /// Those of the state machine. Whether the block was kept is then unknown: the replica must stop.
    pub fn step<M: StateMachine>(&self, machine: &mut M, now: Timestamp) -> Result<Step, M::Error> {
        let Some(block) = machine.prepare(&self.limits, now)? else { return Ok(Step::Idle) };
        let id = block.header.id(&self.cluster);
        let (group, height) = (block.header.group, block.header.height);
        let vote = Vote { kind: VoteKind::Precommit, group, height, round: 0, block: Some(id) };
        let signature = self.key.sign(&vote.message(&self.cluster));
        let signatures = vec![(self.key.public(), signature)];
        machine.commit(&id, &Certificate { group, height, round: 0, block: id, signatures })?;
        Ok(Step::Committed)
    }
}
