//! What is ordered was asked for by a client, or vouched for by a replica that lies and may vouch for it; and it is ordered
//! once. What only an administrator may write no replica may vouch for.

use super::{Invariant, Observation, Setting};
use crate::ledger::requests;
use hypermesh_chain::{Hash, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Validity {
    liars: BTreeSet<PublicKey>,
    issued: BTreeSet<Hash>,
    /// The height at which a request was ordered, and its place there.
    ordered: BTreeMap<Hash, (u64, usize)>,
}

impl Validity {
    pub fn new(setting: &Setting) -> Self {
        Self { liars: setting.liars.clone(), issued: BTreeSet::new(), ordered: BTreeMap::new() }
    }
}

impl Invariant for Validity {
    fn name(&self) -> &'static str {
        "validity"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Issued(request) => {
                self.issued.insert(request.digest());
            }
            Observation::Kept { block, .. } => {
                let height = block.header.height.0;
                for (place, request) in block.requests.iter().enumerate() {
                    let digest = request.digest();
                    let vouched = requests::endorser(request).is_some_and(|key| self.liars.contains(&key));
                    if !self.issued.contains(&digest) && (!vouched || requests::is_administration(request)) {
                        return Err(format!("request {digest} at height {height} was made by nobody"));
                    }
                    let first = *self.ordered.entry(digest).or_insert((height, place));
                    if first != (height, place) {
                        return Err(format!(
                            "request {digest} is ordered at height {} and at height {height}",
                            first.0
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}
