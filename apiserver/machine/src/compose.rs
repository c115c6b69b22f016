//! Composing a block among several replicas, of what waits in the pool.
//!
//! Nothing is taken out of the pool: the block may give way to another's. What writes nothing is left out; since it may do
//! so because of what else is in the block, it is looked at again once the block is decided.

use crate::base::Base;
use crate::blocks::Run;
use crate::error::MachineError;
use crate::pool::Gathered;
use crate::prepared::Prepared;
use crate::state::Machine;
use hypermesh_chain::{Block, Hash, Timestamp};
use hypermesh_consensus::Limits;
use hypermesh_pipeline::Execution;
use std::time::{Duration, Instant};

/// Composing a block takes no longer than this, about: the others need as long to judge it, and wait for both only
/// [`propose`](hypermesh_bft::Timing::propose). What is left is for the next block.
const MOST_TIME: Duration = Duration::from_millis(80);

impl Machine {
    /// Executes what waits; nothing if nothing of it writes.
    pub(crate) fn compose(
        &mut self,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Option<Prepared>, MachineError> {
        let time = Timestamp(now.0.max(self.head.header.time.0.saturating_add(1)));
        let facts = self.facts(self.next_height(), time);
        let base = Base::newest(&self.reading.view, &self.hot);
        let derived = self.reading.derived.clone();
        let mut execution = Execution::begin(&base, self.reading.revision, derived, &self.window, facts);
        let (mut requests, mut digests, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
        let (mut outcomes, mut left_out) = (Vec::new(), Vec::<Hash>::new());
        let (mut gathered, mut bytes) = (Gathered::default(), 0);
        let until = Instant::now() + MOST_TIME;
        for entry in self.pool.proposable() {
            let full = requests.len() >= limits.requests || bytes >= limits.bytes || execution.is_full();
            if full || (!requests.is_empty() && Instant::now() >= until) {
                break;
            }
            if !gathered.fits(entry.batch.as_ref(), Block::MAX_ABSENT) {
                continue;
            }
            let Some(call) = entry.take_call() else { continue };
            let outcome = execution.execute(call)?;
            if outcome.writes == 0 {
                left_out.push(entry.digest);
                continue;
            }
            if let Some(batch) = &entry.batch {
                gathered.add(batch, requests.len());
            }
            bytes += entry.request.size();
            receipts.push(Prepared::receipt(entry.digest, &outcome));
            requests.push(entry.request.clone());
            digests.push(entry.digest);
            outcomes.push(outcome);
        }
        let executed = execution.finish()?;
        let idle = requests.is_empty() && executed.effects.is_empty();
        let height = if idle { self.head.header.height } else { self.next_height() };
        if !left_out.is_empty() {
            for digest in &left_out {
                self.pool.doubt(digest, height);
            }
            self.left_out.push((height, left_out));
        }
        if idle {
            return Ok(None);
        }
        let run = Run { requests, digests, receipts, waiting: Vec::new(), outcomes, executed };
        Ok(Some(self.seal(run, gathered.endorsements(), time, self.key.public())))
    }
}
