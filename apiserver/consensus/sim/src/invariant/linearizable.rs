//! What clients are told of a register is what one register could have told them, each at some moment while it asked.

use super::{Invariant, Observation};
use crate::linearize::{self, Access, Operation};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Linearizable {
    /// Operations by number, and which register they are on.
    operations: BTreeMap<u64, (u64, Operation)>,
}

impl Linearizable {
    fn check(&self) -> Result<(), String> {
        let mut histories: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
        for (register, operation) in self.operations.values() {
            histories.entry(*register).or_default().push(*operation);
        }
        for (register, history) in histories {
            if linearize::check(0, &history) == Some(false) {
                return Err(format!("register {register} has no order of its own: {history:?}"));
            }
        }
        Ok(())
    }
}

impl Invariant for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match *observation {
            Observation::Called { operation, register, write, at } => {
                let access = write.map_or(Access::Read(0), Access::Write);
                let called = Operation { called: at, returned: None, access };
                self.operations.insert(operation, (register, called));
                Ok(())
            }
            Observation::Returned { operation, access, at } => {
                if let Some((_, operation)) = self.operations.get_mut(&operation) {
                    operation.returned = Some(at);
                    operation.access = access;
                }
                Ok(())
            }
            Observation::Ended { .. } => self.check(),
            _ => Ok(()),
        }
    }
}
