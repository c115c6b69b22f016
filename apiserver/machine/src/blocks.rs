//! Making and judging blocks: everything between requests and a header.

use crate::base::Base;
use crate::error::MachineError;
use crate::prepared::{Prepared, Waits};
use crate::state::Machine;
use crate::submission::{Submission, Waiting};
use hypermesh_chain::{
    BatchEndorsement, Block, Hash, Header, Height, PublicKey, Receipt, Request, Revision, Timestamp, block,
};
use hypermesh_consensus::Limits;
use hypermesh_pipeline::{BlockFacts, Call, Executed, Execution, Outcome, PIPELINE_VERSION};
use std::sync::Arc;

/// A block may be dated this far from the clock of who judges it, in microseconds.
pub(crate) const MOST_SKEW: u64 = 10_000_000;

/// What the execution of requests came to.
pub(crate) struct Run {
    pub requests: Vec<Request>,
    pub digests: Vec<Hash>,
    pub receipts: Vec<Receipt>,
    pub waiting: Vec<Waits>,
    /// Of requests whose clients do not wait in `waiting`, in their order.
    pub outcomes: Vec<Outcome>,
    pub executed: Executed,
}

impl Machine {
    pub(crate) fn facts(&self, height: Height, time: Timestamp) -> BlockFacts {
        BlockFacts { cluster: self.cluster.0, height, time }
    }

    /// The next block's height.
    pub(crate) fn next_height(&self) -> Height {
        Height(self.head.header.height.0.saturating_add(1))
    }

    /// Executes what waits at a replica that is alone. Refusals, dry runs and writes that change nothing leave no request in the block: they are
    /// answered when the block is committed, since they may rest on its other writes.
    pub(crate) fn make(&mut self, limits: &Limits, now: Timestamp) -> Result<Option<Prepared>, MachineError> {
        let time = Timestamp(now.0.max(self.head.header.time.0.saturating_add(1)));
        let facts = self.facts(self.next_height(), time);
        let taken = self.take(limits);
        let run = match self.run_waiting(taken, facts) {
            Ok((run, rest)) => {
                // The block is full: what is left is for the next, in its order.
                for submission in rest.into_iter().rev() {
                    self.queue.push_front(submission);
                }
                run
            }
            Err((error, waiting)) => {
                for waiting in waiting {
                    waiting.refuse(&error);
                }
                return Err(error);
            }
        };
        if run.requests.is_empty() && run.executed.effects.is_empty() {
            for waits in run.waiting {
                waits.waiting.answer(waits.outcome);
            }
            return Ok(None);
        }
        let endorsed = |(_, request): &(usize, &Request)| request.authority.endorsement().is_some();
        let indices: Vec<u32> = run
            .requests
            .iter()
            .enumerate()
            .filter(endorsed)
            .filter_map(|(i, _)| u32::try_from(i).ok())
            .collect();
        let digests: Vec<Hash> =
            indices.iter().filter_map(|i| run.digests.get(*i as usize)).copied().collect();
        let endorsements = if indices.is_empty() {
            Vec::new()
        } else {
            vec![BatchEndorsement::sign(&self.key, &self.cluster, &digests, indices)]
        };
        Ok(Some(self.seal(run, endorsements, time, self.key.public())))
    }

    fn take(&mut self, limits: &Limits) -> Vec<Submission> {
        let (mut taken, mut bytes) = (Vec::new(), 0_usize);
        while taken.len() < limits.requests && bytes < limits.bytes {
            let Some(next) = self.queue.pop_front() else { break };
            bytes += next.request.size();
            taken.push(next);
        }
        taken
    }

    fn run_waiting(
        &self,
        taken: Vec<Submission>,
        facts: BlockFacts,
    ) -> Result<(Run, Vec<Submission>), (MachineError, Vec<Waiting>)> {
        let base = Base::newest(&self.reading.view, &self.hot);
        let mut execution =
            Execution::begin(&base, self.reading.revision, self.reading.derived.clone(), &self.window, facts);
        let (mut requests, mut digests, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        let mut waiting = Vec::with_capacity(taken.len());
        let mut taken = taken.into_iter();
        while !execution.is_full()
            && let Some(Submission { request, call, waiting: waits }) = taken.next()
        {
            let digest = call.digest;
            match execution.execute(call) {
                Ok(outcome) => {
                    if outcome.writes > 0 {
                        receipts.push(Prepared::receipt(digest, &outcome));
                        requests.push(request);
                        digests.push(digest);
                    }
                    waiting.push(Waits { waiting: waits, outcome });
                }
                Err(error) => {
                    let all = waiting.into_iter().map(|w| w.waiting).chain([waits]);
                    return Err((error.into(), all.chain(taken.map(|s| s.waiting)).collect()));
                }
            }
        }
        match execution.finish() {
            Ok(executed) => {
                let outcomes = Vec::new();
                Ok((Run { requests, digests, receipts, waiting, outcomes, executed }, taken.collect()))
            }
            Err(error) => {
                let all = waiting.into_iter().map(|w| w.waiting).chain(taken.map(|s| s.waiting));
                Err((error.into(), all.collect()))
            }
        }
    }

    /// Builds the block around what was executed.
    pub(crate) fn seal(
        &self,
        run: Run,
        endorsements: Vec<BatchEndorsement>,
        time: Timestamp,
        proposer: PublicKey,
    ) -> Prepared {
        let events = Prepared::event_leaves(&run.executed);
        let leaves = Prepared::last_leaves(&run.executed, &events);
        let mut tree = self.tree.clone();
        for (key, leaf) in &leaves {
            match leaf {
                Some(leaf) => tree.insert(&key.encode(), *leaf),
                None => tree.remove(&key.encode()),
            };
        }
        let parent = &self.head.header;
        let header = Header {
            version: PIPELINE_VERSION,
            group: parent.group,
            height: self.next_height(),
            parent: self.head.id,
            time,
            proposer,
            validators: self.validators.hash(),
            next_validators: self.validators.hash(),
            requests: Block::requests_root_of(&run.digests, &run.requests, &endorsements),
            receipts: block::receipts_root(&run.receipts),
            events: block::events_root_of(&run.executed.effects, &events),
            state: tree.root(),
            first_revision: Revision(self.reading.revision.0.saturating_add(1)),
            last_revision: run.executed.revision,
        };
        let block = Arc::new(Block { header, requests: run.requests, endorsements });
        let Run { receipts, waiting, outcomes, executed, .. } = run;
        Prepared { block, executed, tree, leaves, receipts, waiting, outcomes }
    }

    /// Executes a block that another made (or that is replayed) and compares what it came to.
    ///
    /// `Ok(Err(why))` is an invalid block; `Err` a machine that cannot tell.
    pub(crate) fn judge(&mut self, block: &Block) -> Result<Result<Prepared, String>, MachineError> {
        if let Err(why) = self.check_header(&block.header) {
            return Ok(Err(why));
        }
        let pool = &self.pool;
        let known = match block
            .verify_authorities_but(&self.cluster, |request, digest| pool.knows(request, digest))
        {
            Ok(digests) => digests,
            Err(error) => return Ok(Err(format!("its authorities do not hold: {error}"))),
        };
        let facts = self.facts(block.header.height, block.header.time);
        let base = Base::newest(&self.reading.view, &self.hot);
        let mut execution =
            Execution::begin(&base, self.reading.revision, self.reading.derived.clone(), &self.window, facts);
        let (mut digests, mut receipts, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for (request, digest) in block.requests.iter().zip(known) {
            let call = match self.pool.take_call(&digest).map_or_else(|| Call::decode(request), Ok) {
                Ok(call) => call,
                Err(status) => return Ok(Err(format!("a request does not decode: {status}"))),
            };
            if execution.is_full() {
                return Ok(Err(format!("request {digest} comes after the block is full")));
            }
            let outcome = execution.execute(call)?;
            if outcome.writes == 0 {
                return Ok(Err(format!("request {digest} writes nothing and must not be ordered")));
            }
            receipts.push(Prepared::receipt(digest, &outcome));
            digests.push(digest);
            outcomes.push(outcome);
        }
        let executed = execution.finish()?;
        let requests = block.requests.clone();
        let run = Run { requests, digests, receipts, waiting: Vec::new(), outcomes, executed };
        let prepared = self.seal(run, block.endorsements.clone(), block.header.time, block.header.proposer);
        if prepared.block.header != block.header {
            return Ok(Err("its header is not what its requests come to".to_owned()));
        }
        Ok(Ok(prepared))
    }

    fn check_header(&self, header: &Header) -> Result<(), String> {
        let parent = &self.head.header;
        let checks = [
            (header.version == PIPELINE_VERSION, "it names another version of the pipeline"),
            (header.group == parent.group, "it belongs to another group"),
            (header.height == self.next_height(), "it is not the next height"),
            (header.parent == self.head.id, "it does not follow the newest block"),
            (header.time > parent.time, "its time does not rise"),
            (self.validators.power(&header.proposer).is_some(), "its proposer is no validator"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err((*why).to_owned()),
            None => Ok(()),
        }
    }
}
