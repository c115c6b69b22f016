//! What a client was told is done was ordered, and stays so.

use super::{Invariant, Observation};
use hypermesh_chain::Hash;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    acknowledged: BTreeSet<Hash>,
    ordered: BTreeSet<Hash>,
}

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Acknowledged(digest) => {
                self.acknowledged.insert(*digest);
            }
            Observation::Kept { block, .. } => {
                self.ordered.extend(block.requests.iter().map(hypermesh_chain::Request::digest));
            }
            Observation::Ended { .. } => {
                if let Some(lost) = self.acknowledged.difference(&self.ordered).next() {
                    return Err(format!("request {lost} was acknowledged and is in no block"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
