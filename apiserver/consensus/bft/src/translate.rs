//! From the core's statements to those of the chain, and back.
//!
//! The core knows no group: whoever turns a chain's statement into the core's has compared the group before.

use crate::context::{Address, BlockId, Height, Proposal, Tendermint, Vote};
use crate::message::{Polka, RoundEntry, SignedProposal, SignedVote};
use hypermesh_chain::certificate::{Certificate, VoteKind};
use hypermesh_chain::{self as chain, GroupId, Hash};
use malachitebft_core_types::{
    self as core, CommitCertificate, NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate,
    RoundCertificateType, RoundSignature, VoteType,
};

/// A round that is one: the core's nil stands for 0 where the chain has no word for it, and is never sent.
pub(crate) fn round(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

fn block(value: &NilOrVal<BlockId>) -> Option<Hash> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(id.0),
    }
}

fn value(block: Option<Hash>) -> NilOrVal<BlockId> {
    block.map_or(NilOrVal::Nil, |id| NilOrVal::Val(BlockId(id)))
}

fn kind(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

fn vote_type(kind: VoteKind) -> VoteType {
    match kind {
        VoteKind::Prevote => VoteType::Prevote,
        VoteKind::Precommit => VoteType::Precommit,
    }
}

/// The chain's vote.
pub(crate) fn vote(group: GroupId, vote: &Vote) -> chain::Vote {
    chain::Vote {
        kind: kind(vote.kind),
        group,
        height: chain::Height(vote.height.0),
        round: round(vote.round),
        block: block(&vote.value),
    }
}

/// The chain's proposal.
pub(crate) fn proposal(group: GroupId, proposal: &Proposal) -> chain::Proposal {
    chain::Proposal {
        group,
        height: chain::Height(proposal.height.0),
        round: round(proposal.round),
        valid_round: proposal.pol_round.as_u32(),
        block: proposal.value.0,
    }
}

pub(crate) fn signed_vote(group: GroupId, signed: &core::SignedVote<Tendermint>) -> SignedVote {
    let vote = vote(group, &signed.message);
    SignedVote { vote, voter: signed.message.voter.0, signature: signed.signature }
}

pub(crate) fn signed_proposal(group: GroupId, signed: &core::SignedProposal<Tendermint>) -> SignedProposal {
    let proposal = proposal(group, &signed.message);
    SignedProposal { proposal, proposer: signed.message.proposer.0, signature: signed.signature }
}

pub(crate) fn to_vote(signed: &SignedVote) -> core::SignedVote<Tendermint> {
    let vote = Vote {
        kind: vote_type(signed.vote.kind),
        height: Height(signed.vote.height.0),
        round: Round::new(signed.vote.round),
        value: value(signed.vote.block),
        voter: Address(signed.voter),
    };
    core::SignedVote::new(vote, signed.signature)
}

pub(crate) fn to_proposal(signed: &SignedProposal) -> core::SignedProposal<Tendermint> {
    let proposal = Proposal {
        height: Height(signed.proposal.height.0),
        round: Round::new(signed.proposal.round),
        value: BlockId(signed.proposal.block),
        pol_round: signed.proposal.valid_round.map_or(Round::Nil, Round::new),
        proposer: Address(signed.proposer),
    };
    core::SignedProposal::new(proposal, signed.signature)
}

pub(crate) fn polka(group: GroupId, certificate: &PolkaCertificate<Tendermint>) -> Polka {
    let mut signatures: Vec<_> =
        certificate.polka_signatures.iter().map(|s| (s.address.0, s.signature)).collect();
    signatures.sort_unstable();
    let (height, block) = (chain::Height(certificate.height.0), certificate.value_id.0);
    Polka { group, height, round: round(certificate.round), block, signatures }
}

pub(crate) fn to_polka(polka: &Polka) -> PolkaCertificate<Tendermint> {
    PolkaCertificate {
        height: Height(polka.height.0),
        round: Round::new(polka.round),
        value_id: BlockId(polka.block),
        polka_signatures: polka
            .signatures
            .iter()
            .map(|(key, signature)| PolkaSignature::new(Address(*key), *signature))
            .collect(),
    }
}

pub(crate) fn round_entry(group: GroupId, certificate: &RoundCertificate<Tendermint>) -> RoundEntry {
    RoundEntry {
        group,
        height: chain::Height(certificate.height.0),
        round: round(certificate.round),
        precommits: certificate.cert_type == RoundCertificateType::Precommit,
        votes: certificate
            .round_signatures
            .iter()
            .map(|s| (kind(s.vote_type), block(&s.value_id), s.address.0, s.signature))
            .collect(),
    }
}

pub(crate) fn to_round_entry(entry: &RoundEntry) -> RoundCertificate<Tendermint> {
    let signature = |(kind, block, key, signature): &(VoteKind, Option<Hash>, chain::PublicKey, _)| {
        RoundSignature::new(vote_type(*kind), value(*block), Address(*key), *signature)
    };
    RoundCertificate {
        height: Height(entry.height.0),
        round: Round::new(entry.round),
        cert_type: if entry.precommits {
            RoundCertificateType::Precommit
        } else {
            RoundCertificateType::Skip
        },
        round_signatures: entry.votes.iter().map(signature).collect(),
    }
}

/// The certificate of a decision, in its one form.
pub(crate) fn certificate(group: GroupId, certificate: &CommitCertificate<Tendermint>) -> Certificate {
    let mut signatures: Vec<_> =
        certificate.commit_signatures.iter().map(|s| (s.address.0, s.signature)).collect();
    signatures.sort_unstable_by_key(|(key, _)| *key);
    Certificate {
        group,
        height: chain::Height(certificate.height.0),
        round: round(certificate.round),
        block: certificate.value_id.0,
        signatures,
    }
}
