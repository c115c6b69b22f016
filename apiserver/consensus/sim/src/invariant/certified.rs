//! What a replica keeps is proven to anybody: a quorum of distinct validators precommitted it, by signatures of which each
//! holds by itself.

use super::{Invariant, Observation, Setting};
use hypermesh_chain::{PublicKey, Signature, Vote};
use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) struct Certified {
    setting: Setting,
    /// Signatures that hold, so that none is verified for every replica anew.
    known: BTreeSet<(Vec<u8>, PublicKey, Signature)>,
}

impl Certified {
    pub fn new(setting: &Setting) -> Self {
        Self { setting: setting.clone(), known: BTreeSet::new() }
    }

    fn holds(&mut self, vote: Vote, key: PublicKey, signature: Signature) -> bool {
        let message = vote.message(&self.setting.cluster);
        let entry = (message, key, signature);
        if self.known.contains(&entry) {
            return true;
        }
        let holds = key.verify(&entry.0, &signature).is_ok();
        if holds {
            self.known.insert(entry);
        }
        holds
    }
}

impl Invariant for Certified {
    fn name(&self) -> &'static str {
        "certified"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        let Observation::Kept { replica, id, block, certificate, .. } = observation else { return Ok(()) };
        let height = block.header.height;
        if certificate.block != *id || certificate.height != height {
            return Err(format!(
                "replica {replica} keeps {id} under the certificate of {}",
                certificate.block
            ));
        }
        let mut voters = BTreeSet::new();
        for (key, signature) in &certificate.signatures {
            if !self.holds(certificate.vote(), *key, *signature) {
                return Err(format!(
                    "replica {replica} keeps {id} by a signature of {key} that does not hold"
                ));
            }
            voters.insert(*key);
        }
        let validators = &self.setting.validators;
        let power: u64 = voters.iter().filter_map(|key| validators.power(key)).sum();
        if power >= validators.quorum() {
            return Ok(());
        }
        let quorum = validators.quorum();
        Err(format!("replica {replica} keeps {id} by a power of {power}, a quorum needs {quorum}"))
    }
}
