//! What is ordered was asked for by a client, and is ordered once.

use super::{Invariant, Observation};
use hypermesh_chain::Hash;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Validity {
    issued: BTreeSet<Hash>,
    /// The height at which a request was ordered.
    ordered: BTreeMap<Hash, u64>,
}

impl Invariant for Validity {
    fn name(&self) -> &'static str {
        "validity"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Issued(digest) => {
                self.issued.insert(*digest);
            }
            Observation::Kept { block, .. } => {
                let height = block.header.height.0;
                for request in &block.requests {
                    let digest = request.digest();
                    if !self.issued.contains(&digest) {
                        return Err(format!("request {digest} at height {height} was made by nobody"));
                    }
                    let first = *self.ordered.entry(digest).or_insert(height);
                    if first != height {
                        return Err(format!("request {digest} is ordered at heights {first} and {height}"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
