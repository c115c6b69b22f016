//! Who precommits a block has a quorum of prevotes behind it, and who keeps one a quorum of precommits: of those that
//! honest replicas said, at most one of each liar, and its own, which it counts before it says it.

use super::{Invariant, Observation, Setting};
use hypermesh_bft::Message;
use hypermesh_chain::certificate::VoteKind;
use hypermesh_chain::{Hash, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// What is voted for: kind, height, round, block.
type Subject = (VoteKind, u64, u32, Hash);

#[derive(Debug)]
pub(super) struct Quorums {
    setting: Setting,
    voters: BTreeMap<Subject, BTreeSet<PublicKey>>,
}

impl Quorums {
    pub fn new(setting: &Setting) -> Self {
        Self { setting: setting.clone(), voters: BTreeMap::new() }
    }

    /// Whether a quorum may have voted so, as far as one replica can know.
    fn is_possible(&self, subject: Subject, knows: &PublicKey) -> Result<(), String> {
        let validators = &self.setting.validators;
        let said = self.voters.get(&subject).into_iter().flatten();
        let voters: BTreeSet<&PublicKey> = said.chain(&self.setting.liars).chain([knows]).collect();
        let power: u64 = voters.into_iter().filter_map(|key| validators.power(key)).sum();
        if power >= validators.quorum() {
            return Ok(());
        }
        let (kind, height, round, block) = subject;
        let quorum = validators.quorum();
        Err(format!(
            "of a power of {power} at most is a {kind:?} for {block} at height {height}, round {round}; a quorum needs {quorum}"
        ))
    }
}

impl Invariant for Quorums {
    fn name(&self) -> &'static str {
        "quorums"
    }

    fn observe(&mut self, observation: &Observation<'_>) -> Result<(), String> {
        match observation {
            Observation::Said { key, message: Message::Vote(signed), .. } if signed.voter == *key => {
                let vote = signed.vote;
                let Some(block) = vote.block else { return Ok(()) };
                let subject = (vote.kind, vote.height.0, vote.round, block);
                if vote.kind == VoteKind::Precommit {
                    self.is_possible((VoteKind::Prevote, vote.height.0, vote.round, block), key)
                        .map_err(|why| format!("{key} precommits, and {why}"))?;
                }
                self.voters.entry(subject).or_default().insert(*key);
                Ok(())
            }
            Observation::Kept { replica, certificate, .. } => {
                let (height, round) = (certificate.height.0, certificate.round);
                let Some(key) = self.setting.keys.get(*replica) else { return Ok(()) };
                // Its own it need not have said otherwise: it decided, crashed, and tells it in the certificate.
                let own = certificate.signatures.iter().filter(|(signer, _)| signer == key);
                let subject = (VoteKind::Precommit, height, round, certificate.block);
                self.voters.entry(subject).or_default().extend(own.map(|(key, _)| *key));
                self.is_possible(subject, key)
                    .map_err(|why| format!("replica {replica} keeps a block, and {why}"))
            }
            _ => Ok(()),
        }
    }
}
