//! Requests that wait and may come to nothing, looked at anew.
//!
//! A proposer leaves out what writes nothing, and says which. It may lie, or say nothing; so everyone looks at what it has
//! itself, once a height and so much at a time, on the state that is kept here, at once or after a while. Who asked is answered from a state that misses nothing
//! that was acknowledged anywhere before: the request was told before a barrier was asked for, and is looked at again once
//! that has passed. Before the barrier is asked for the others are told that the request is wanted no more, so that no
//! honest replica orders later what was refused.

use crate::base::Base;
use crate::error::MachineError;
use crate::evaluate::{State, evaluate};
use crate::pool::Ended;
use crate::replica::original;
use crate::state::Machine;
use hypermesh_api::Status;
use hypermesh_chain::{Hash, Height, PublicKey, Timestamp};
use hypermesh_pipeline::{Call, Outcome};

/// Requests looked at in one go: a moment's work.
const MOST: usize = 64;

impl Machine {
    /// Another replica says that requests come to nothing once a height is decided. Its own it takes back by that; of
    /// others' it knows if it `proposes`.
    pub(crate) fn left_out_by(&mut self, from: PublicKey, proposes: bool, height: Height, requests: &[Hash]) {
        // What is further away than the next height is nobody's to know.
        let height = height.min(self.next_height());
        for digest in requests {
            self.pool.take_back(digest, from);
            if proposes || from == self.head.header.proposer {
                self.pool.doubt(digest, height);
            }
        }
    }

    /// What this replica left out of blocks that it made, since it was last asked: the heights that it rests on, and the
    /// requests.
    pub(crate) fn take_left_out(&mut self) -> Vec<(Height, Vec<Hash>)> {
        std::mem::take(&mut self.left_out)
    }

    /// Looks at what is due. Returns own requests that come to nothing: once a barrier has passed they are to be handed to
    /// [`Machine::settle`].
    pub(crate) fn review(&mut self, now: Timestamp) -> Result<Vec<Hash>, MachineError> {
        let mut aside = Vec::new();
        for digest in self.pool.due(self.head.header.height, now, MOST) {
            let Some(call) = self.pool.call_of(&digest) else { continue };
            if self.evaluate(call, now)?.writes > 0 {
                self.pool.looked_at(&digest, self.head.header.height, now);
            } else if self.pool.put_aside(&digest) {
                aside.push(digest);
            }
        }
        Ok(aside)
    }

    /// A barrier has passed since these were put aside: who waits is told what they come to, unless they write by now.
    pub(crate) fn settle(&mut self, aside: &[Hash], now: Timestamp) -> Result<(), MachineError> {
        for digest in aside {
            let Some(call) = self.pool.call_of(digest) else { continue };
            let signed = matches!(call.authority, hypermesh_pipeline::call::Authority::Signed { .. });
            let executed = self.window.contains(&call.authority);
            let outcome = self.evaluate(call, now)?;
            // A block that has it may be decided yet.
            let proposed =
                self.prepared.values().any(|block| block.receipts.iter().any(|r| r.request == *digest));
            if outcome.writes > 0 || proposed {
                self.pool.put_back(digest, now);
                continue;
            }
            // Executed as another replica's: the answer is what it was.
            let first = if signed && executed { original(&self.store, &self.reading, digest) } else { None };
            self.pool.settle(digest, &first.unwrap_or(outcome));
        }
        Ok(())
    }

    /// Lets go of requests whose time has passed, and tells who waits.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        let seconds = self.reading.derived.config.request_validity_seconds;
        let validity = u64::from(seconds) * 1_000_000;
        for (waiting, ended) in self.pool.expired(self.head.header.time, now, validity) {
            for waits in waiting {
                waits.refuse_as(status_of(ended, seconds));
            }
        }
    }

    fn evaluate(&self, call: Call, now: Timestamp) -> Result<Outcome, MachineError> {
        let base = Base::newest(&self.reading.view, &self.hot);
        let state = State {
            base: &base,
            revision: self.reading.revision,
            derived: &self.reading.derived,
            cluster: self.cluster.0,
            height: self.head.header.height,
            time: self.head.header.time,
        };
        Ok(evaluate(&state, &self.window, call, now)?)
    }
}

fn status_of(ended: Ended, seconds: u32) -> Status {
    let message = match ended {
        Ended::Expired => format!(
            "the request was not ordered within the {seconds} s that it is valid for: it did nothing, and will do \
             nothing; send it again"
        ),
        Ended::Unknown => format!(
            "nothing was decided in the {seconds} s that the request is valid for: too few replicas are up, or this one \
             does not reach them; it is not known whether the request was executed"
        ),
    };
    Status::failure(504, "Timeout", message)
}

#[cfg(test)]
mod tests;
