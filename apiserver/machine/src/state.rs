//! The machine itself: one committed state, blocks that may follow it, requests that wait.

use crate::base::Hot;
use crate::blocks::MOST_SKEW;
use crate::error::MachineError;
use crate::feed::{Event, Feed};
use crate::pool::Pool;
use crate::prepared::Prepared;
use crate::reading::Reading;
use crate::submission::Submission;
use arc_swap::ArcSwap;
use bytes::Bytes;
use hypermesh_chain::{
    Block, Canonical, Certificate, ClusterId, Hash, Header, Height, PublicKey, Revision, SigningKey,
    StateTree, Timestamp, ValidatorSet,
};
use hypermesh_consensus::{Attestation, Limits, Proposal, StateMachine, Verdict};
use hypermesh_pipeline::{Derived, Outcome, Window};
use hypermesh_store::{Commit, Room, Store, StoreError};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of decided blocks that are read in one go, about: what is more is asked for again, and votes come in between.
const MOST_LOADED: usize = 1 << 20;

/// Old trees kept, so that proofs against recent headers can be made.
const PROOF_WINDOW: usize = 64;

/// The newest block.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub header: Header,
    pub id: Hash,
}

/// A replica's state machine.
pub struct Machine {
    pub(crate) store: Store,
    pub(crate) dir: PathBuf,
    pub(crate) cluster: ClusterId,
    pub(crate) key: SigningKey,
    pub(crate) validators: ValidatorSet,
    pub(crate) head: Head,
    pub(crate) tree: StateTree,
    pub(crate) old_trees: VecDeque<(Height, StateTree)>,
    pub(crate) window: Window,
    pub(crate) reading: Arc<Reading>,
    pub(crate) published: Arc<ArcSwap<Reading>>,
    pub(crate) feed: Arc<Feed>,
    /// What the newest state's view holds of records that every block asks for.
    pub(crate) hot: Hot,
    /// What clients asked this replica, and it has not taken up yet.
    pub(crate) queue: VecDeque<Submission>,
    /// What waits to be ordered by one of several replicas; a replica that is alone orders its queue.
    pub(crate) pool: Pool,
    /// What was left out of blocks that were made here, with the heights that this rests on.
    pub(crate) left_out: Vec<(Height, Vec<Hash>)>,
    pub(crate) prepared: BTreeMap<Hash, Prepared>,
}

impl Machine {
    /// Whether a block would have something to do.
    pub fn has_work(&self) -> bool {
        let waits = if self.is_alone() { !self.queue.is_empty() } else { self.pool.has_work() };
        waits || self.reading.derived.work
    }

    /// Whether it is the only replica.
    pub(crate) fn is_alone(&self) -> bool {
        self.validators.validators().len() == 1
    }

    /// Whether the disk has room for growth.
    pub(crate) fn room(&self) -> Result<Room, StoreError> {
        self.store.room()
    }

    /// The oldest block whose requests might still be valid.
    fn window_start(&self) -> Result<Height, StoreError> {
        let validity = u64::from(self.reading.derived.config.request_validity_seconds) * 2_000_000;
        let horizon = self.head.header.time.0.saturating_sub(validity);
        let oldest = self.store.oldest_height()?;
        let mut height = self.head.header.height;
        while height > oldest {
            let Some(stored) = self.store.block(Height(height.0 - 1))? else { break };
            if stored.time.0 < horizon {
                break;
            }
            height = stored.height;
        }
        Ok(height)
    }

    /// Puts what waited for a block that will not be decided in front of what waits.
    fn take_back(&mut self, prepared: Prepared) {
        for submission in prepared.take_back().into_iter().rev() {
            self.queue.push_front(submission);
        }
    }

    /// Answers who waits here for requests that were ordered. The rest waits on, in its order.
    fn answer_queued(&mut self, mut outcomes: BTreeMap<Hash, Outcome>) {
        for (digest, outcome) in &outcomes {
            self.pool.settle(digest, outcome);
        }
        if outcomes.is_empty() || self.queue.is_empty() {
            return;
        }
        for submission in std::mem::take(&mut self.queue) {
            match outcomes.remove(&submission.call.digest) {
                Some(outcome) => submission.waiting.answer(outcome),
                None => self.queue.push_back(submission),
            }
        }
    }

    fn publish(&mut self, prepared: &mut Prepared) -> Result<(), MachineError> {
        let executed = &mut prepared.executed;
        for refused in executed.refused.drain(..) {
            let (key, reason) = (&refused.key, &refused.reason);
            tracing::warn!(
                collection = key.collection(),
                namespace = key.namespace(),
                name = key.name(),
                reason,
                "work after a block was refused; it is tried again later"
            );
        }
        self.window.absorb(
            std::mem::take(&mut executed.seen),
            self.head.header.time,
            executed.derived.config.request_validity_seconds,
        );
        let derived = Derived { work: executed.derived.work, ..executed.derived.clone() };
        let revision = executed.revision;
        let concerns_tokens = |effect: &&hypermesh_chain::Effect| {
            matches!(effect.key.collection(), "/serviceaccounts" | "/secrets")
        };
        let tokens_changed = executed
            .effects
            .iter()
            .rfind(concerns_tokens)
            .map_or(self.reading.tokens_changed, |effect| effect.revision);
        self.reading = Arc::new(Reading { view: self.store.view()?, derived, revision, tokens_changed });
        self.published.store(Arc::clone(&self.reading));
        self.hot.follow(&executed.effects);
        let effects = std::mem::take(&mut executed.effects).into_iter();
        let before = std::mem::take(&mut executed.before).into_iter();
        let events =
            effects.zip(before).map(|(effect, before)| Event::new(effect.key, effect.change, before));
        self.feed.publish(events, revision);
        Ok(())
    }

    fn keep(&mut self, prepared: &Prepared, id: Hash, certificate: &Certificate) -> Result<(), StoreError> {
        let outcomes: Vec<(Hash, Vec<u8>)> = prepared
            .block
            .requests
            .iter()
            .zip(&prepared.receipts)
            .filter(|(request, _)| request.authority.endorsement().is_none())
            .map(|(_, receipt)| (receipt.request, receipt.encode()))
            .collect();
        self.store.commit(Commit {
            height: prepared.block.header.height,
            time: prepared.block.header.time,
            id,
            block: &prepared.block.as_ref().encode(),
            certificate: &certificate.encode(),
            effects: &prepared.executed.effects,
            before: &prepared.executed.before,
            leaves: &prepared.leaves,
            outcomes: &outcomes,
            revision: prepared.executed.revision,
        })
    }
}

impl StateMachine for Machine {
    type Error = MachineError;

    fn head(&self) -> (Height, Hash) {
        (self.head.header.height, self.head.id)
    }

    fn revision(&self) -> Revision {
        self.reading.revision
    }

    fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    fn proposer(&self) -> PublicKey {
        self.head.header.proposer
    }

    fn has_work(&self) -> bool {
        Self::has_work(self)
    }

    fn blocks(&self, from: Height, most: usize) -> Result<Vec<(Bytes, Certificate)>, MachineError> {
        let (mut blocks, mut bytes) = (Vec::new(), 0);
        for height in (from.0..).take(most) {
            if bytes >= MOST_LOADED {
                break;
            }
            // What is compacted or damaged is not given out. Whoever asks for it must not stop this replica.
            let stored = match self.store.block(Height(height)) {
                Ok(Some(stored)) => stored,
                Ok(None) | Err(StoreError::BlockCompacted { .. }) => break,
                Err(error) => {
                    tracing::error!(height, %error, "a block cannot be given to who catches up");
                    break;
                }
            };
            let Ok(certificate) = Certificate::decode(&stored.certificate) else {
                tracing::error!(height, "the certificate of a block is damaged in the store");
                break;
            };
            bytes += stored.block.len();
            blocks.push((Bytes::from(stored.block), certificate));
        }
        Ok(blocks)
    }

    fn prepare(&mut self, limits: &Limits, now: Timestamp) -> Result<Option<Arc<Block>>, MachineError> {
        let made = if self.is_alone() { self.make(limits, now)? } else { self.compose(limits, now)? };
        let Some(prepared) = made else { return Ok(None) };
        let block = Arc::clone(&prepared.block);
        self.prepared.insert(block.header.id(&self.cluster), prepared);
        Ok(Some(block))
    }

    fn validate(&mut self, block: &Block, proposal: Proposal) -> Result<Verdict, MachineError> {
        let id = block.header.id(&self.cluster);
        if self.prepared.contains_key(&id) {
            return Ok(Verdict::Valid);
        }
        if let Proposal::Fresh(now) = proposal
            && block.header.time.0.abs_diff(now.0) > MOST_SKEW
        {
            return Ok(Verdict::Invalid("its time is too far from this replica's clock".to_owned()));
        }
        match self.judge(block)? {
            Ok(prepared) => {
                self.prepared.insert(id, prepared);
                Ok(Verdict::Valid)
            }
            Err(why) => Ok(Verdict::Invalid(why)),
        }
    }

    fn commit(&mut self, id: &Hash, certificate: &Certificate) -> Result<(), MachineError> {
        let header = self.prepared.get(id).map(|prepared| &prepared.block.header);
        let header = header.ok_or(MachineError::UnknownBlock(*id))?;
        if certificate.block != *id
            || certificate.height != header.height
            || certificate.group != header.group
        {
            return Err(MachineError::UnknownBlock(certificate.block));
        }
        // A certificate that does not hold decides nothing: the block stays known.
        certificate.verify(&self.validators, &self.cluster)?;
        let Some(mut prepared) = self.prepared.remove(id) else {
            return Err(MachineError::UnknownBlock(*id));
        };
        if let Err(error) = self.keep(&prepared, *id, certificate) {
            let error = MachineError::Store(error);
            prepared.refuse(&error);
            return Err(error);
        }
        let old = std::mem::replace(&mut self.tree, prepared.tree.clone());
        self.old_trees.push_back((self.head.header.height, old));
        if self.old_trees.len() > PROOF_WINDOW {
            self.old_trees.pop_front();
        }
        self.head = Head { header: prepared.block.header.clone(), id: *id };
        self.publish(&mut prepared)?;
        for waits in prepared.waiting {
            waits.waiting.answer(waits.outcome);
        }
        // What else was known of this height will not be decided; what waited for it waits for the next.
        for (_, other) in std::mem::take(&mut self.prepared) {
            self.take_back(other);
        }
        let ordered = prepared.receipts.iter().map(|receipt| receipt.request);
        self.answer_queued(ordered.zip(prepared.outcomes).collect());
        Ok(())
    }

    fn abandon(&mut self, id: &Hash) {
        if let Some(prepared) = self.prepared.remove(id) {
            self.take_back(prepared);
        }
    }

    fn attest_head(&self, nonce: [u8; 32]) -> Attestation {
        let (height, block) = self.head();
        let message =
            [&b"hypermesh head"[..], &self.cluster.0.0, &height.0.to_le_bytes(), &block.0, &nonce].concat();
        Attestation { height, block, nonce, signature: self.key.sign(&message) }
    }

    fn snapshot(&self, output: &mut dyn Write) -> Result<(), MachineError> {
        let scope = hypermesh_store::Scope {
            state_root: self.head.header.state,
            // The replay window is derived from these: without them, what was executed lately could be executed again.
            blocks_from: self.window_start()?,
        };
        self.reading.view.export(scope, output)?;
        Ok(())
    }

    fn restore(&mut self, _input: &mut dyn Read) -> Result<(), MachineError> {
        Err(MachineError::Unsupported(
            "a snapshot is restored into an empty data folder, before the machine is opened",
        ))
    }

    fn evidence(&mut self, proof: &[u8]) -> Result<(), MachineError> {
        let dir = self.dir.join("evidence");
        let path = dir.join(format!("{}.bin", Hash::of(&[proof])));
        let failed = |source| MachineError::Evidence { path: path.clone(), source };
        std::fs::create_dir_all(&dir).map_err(failed)?;
        std::fs::write(&path, proof).map_err(failed)
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("head", &self.head)
            .field("queue", &self.queue.len())
            .field("pool", &self.pool.len())
            .finish_non_exhaustive()
    }
}
