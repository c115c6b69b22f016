//! The state that a replica has is the one that the newest block certifies.

use super::{Invariant, Observation};

#[derive(Debug)]
pub(super) struct Roots;

impl Invariant for Roots {
    fn name(&self) -> &'static str {
        "roots"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Kept { replica, id, block, root, .. } = observation else { return Ok(()) };
        let certified = block.header.state;
        if *root == certified {
            return Ok(());
        }
        Err(format!("replica {replica} has root {root} after block {id}, which certifies {certified}"))
    }
}
