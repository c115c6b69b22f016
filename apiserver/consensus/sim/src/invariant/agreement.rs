//! No two honest replicas keep different blocks at one height, and each block follows the one before.

use super::{Invariant, Observation};
use hypermesh_chain::Hash;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Agreement(BTreeMap<u64, Hash>);

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Kept { replica, id, block, .. } = observation else { return Ok(()) };
        let height = block.header.height.0;
        let first = *self.0.entry(height).or_insert(*id);
        if first != *id {
            return Err(format!("replica {replica} kept {id} at height {height}, another one {first}"));
        }
        match self.0.get(&height.wrapping_sub(1)) {
            Some(parent) if *parent != block.header.parent => Err(format!(
                "block {id} follows {}, at height {height} {parent} is decided",
                block.header.parent
            )),
            _ => Ok(()),
        }
    }
}
