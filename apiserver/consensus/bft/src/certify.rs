//! Whether a certificate of votes holds: each signer a validator, named once, all signatures good, and enough power.
//!
//! One bad signature spoils a certificate even where the rest would do. Whoever sends one is not honest, and nothing
//! that rests on it is worth the doubt.

use crate::context::{Members, Tendermint};
use crate::message::{Polka, RoundEntry};
use crate::translate;
use hypermesh_chain::certificate::{Vote, VoteKind};
use hypermesh_chain::{ClusterId, PublicKey, Signature, planted, verify_batch};
use malachitebft_core_types::{BoxError, CertificateError, CommitCertificate, ThresholdParams};
use std::collections::BTreeSet;

/// Why a certificate certifies nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A signer is no validator of the height.
    #[error("{0} is no validator of this height")]
    Foreign(PublicKey),
    /// A signer is named twice.
    #[error("{0} is named twice")]
    Twice(PublicKey),
    /// A vote is of a kind that does not count here.
    #[error("the vote of {0} is of another kind")]
    Kind(PublicKey),
    /// The signers are too few.
    #[error("the signers' power is {0} of {1}")]
    TooFew(u64, u64),
    /// A signature does not verify.
    #[error("the vote of {0} does not verify")]
    Signature(PublicKey),
}

impl Flaw {
    /// The flaw in the core's words.
    pub(crate) fn into_error(self) -> CertificateError<Tendermint> {
        CertificateError::VerificationError(Some(BoxError::new(Box::new(self))))
    }
}

/// Verifies a quorum's prevotes.
pub(crate) fn polka(polka: &Polka, members: &Members, cluster: &ClusterId) -> Result<(), Flaw> {
    let Polka { group, height, round, block, .. } = *polka;
    let vote = Vote { kind: VoteKind::Prevote, group, height, round, block: Some(block) };
    let votes: Vec<_> = polka.signatures.iter().map(|(key, signature)| (vote, *key, *signature)).collect();
    verify(&votes, members, cluster, quorum(members))
}

/// Verifies a quorum's precommits, as the core collected them.
pub(crate) fn commit(
    certificate: &CommitCertificate<Tendermint>,
    members: &Members,
    cluster: &ClusterId,
    group: hypermesh_chain::GroupId,
) -> Result<(), Flaw> {
    let certificate = translate::certificate(group, certificate);
    let vote = certificate.vote();
    let votes: Vec<_> =
        certificate.signatures.iter().map(|(key, signature)| (vote, *key, *signature)).collect();
    verify(&votes, members, cluster, quorum(members))
}

/// Verifies why a round may be entered.
pub(crate) fn round_entry(entry: &RoundEntry, members: &Members, cluster: &ClusterId) -> Result<(), Flaw> {
    let RoundEntry { group, height, round, precommits, .. } = *entry;
    let vote = |kind, block| Vote { kind, group, height, round, block };
    if precommits && let Some((.., key, _)) = entry.votes.iter().find(|(k, ..)| *k != VoteKind::Precommit) {
        return Err(Flaw::Kind(*key));
    }
    let votes: Vec<_> = entry
        .votes
        .iter()
        .map(|(kind, block, key, signature)| (vote(*kind, *block), *key, *signature))
        .collect();
    let params = ThresholdParams::default();
    let least = if precommits { quorum(members) } else { params.honest.min_expected(members.total()) };
    verify(&votes, members, cluster, least)
}

/// The least power of a quorum.
pub(crate) fn quorum(members: &Members) -> u64 {
    ThresholdParams::default().quorum.min_expected(members.total())
}

fn verify(
    votes: &[(Vote, PublicKey, Signature)],
    members: &Members,
    cluster: &ClusterId,
    least: u64,
) -> Result<(), Flaw> {
    let (mut seen, mut power) = (BTreeSet::new(), 0_u64);
    for (_, key, _) in votes {
        if !seen.insert(*key) && !planted::is(planted::Fault::TwiceCounted) {
            return Err(Flaw::Twice(*key));
        }
        match members.power(key) {
            0 => return Err(Flaw::Foreign(*key)),
            // Distinct members: the sum is at most the total.
            more => power += more,
        }
    }
    if power < least {
        return Err(Flaw::TooFew(power, least));
    }
    let messages: Vec<Vec<u8>> = votes.iter().map(|(vote, ..)| vote.message(cluster)).collect();
    let items: Vec<_> =
        votes.iter().zip(&messages).map(|((_, key, s), message)| (*key, message.as_slice(), *s)).collect();
    verify_batch(&items).map_err(|error| {
        let (hypermesh_chain::SignatureError::Key(key) | hypermesh_chain::SignatureError::Mismatch(key)) =
            error.source;
        Flaw::Signature(key)
    })
}

#[cfg(test)]
mod tests;
