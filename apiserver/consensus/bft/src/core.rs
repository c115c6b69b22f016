//! The core of Tendermint as a function: an input goes in, acts come out, in the order in which they must be done.
//!
//! `malachitebft-core-consensus` is a coroutine that stops at every effect. What it asks to know (signatures, whether
//! something verifies) is answered here and at once; what it asks to have done is written down. Nothing here reads a
//! clock, a disk or a socket.

use crate::certify;
use crate::context::{Address, BlockId, Height, Members, Tendermint};
use crate::entry::{Entry, Step};
use crate::message::{Message, Polka, RoundEntry, SignedProposal, SignedVote};
use crate::signer::{Contradiction, Identity, Signer};
use crate::translate;
use hypermesh_chain::{self as chain, Certificate, Evidence, Hash, PublicKey};
use malachitebft_core_consensus::r#gen::{CoResult, Gen};
use malachitebft_core_consensus::{
    ConsensusMsg, Effect, Error, Input, LivenessMsg, LocallyProposedValue, MisbehaviorEvidence, Params,
    ProposedValue, Resumable, Resume, SignedConsensusMsg, State, VoteExtensionError, handle,
};
use malachitebft_core_types::{
    CertificateError, Round, SignedMessage, ThresholdParams, Timeout, TimeoutKind, Validity, ValueOrigin,
    ValuePayload, VoteExtensionPolicy,
};

/// What the core wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Log it, before anything that follows is said.
    Log(Entry),
    /// Say it to all others.
    Say(Message),
    /// Tell when this much time has passed that such a step of such a round may take.
    StartTimer(Step, u32),
    /// Tell it no more.
    StopTimer(Step, u32),
    /// Tell of no step any more.
    StopTimers,
    /// A round was entered.
    Round(u32),
    /// Propose something in this round.
    Propose(u32),
    /// Send the bytes of this block to all others again.
    Restream(Hash),
    /// The height is decided.
    Decide(Certificate),
    /// Somebody contradicted itself.
    Evidence(Evidence),
}

/// The replica must stop: what it would say next is not known to be right.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// It would contradict itself.
    #[error("the replica stops before it contradicts itself")]
    Contradiction(#[from] Contradiction),
    /// The core did not do what its contract says.
    #[error("the core of the replication protocol failed: {0}")]
    Broken(String),
}

/// The core at one height after another.
pub(crate) struct Core {
    state: State<Tendermint>,
    signer: Signer,
}

impl Core {
    /// A core that is at no height yet.
    pub(crate) fn new(identity: Identity, members: Members) -> Self {
        let signer = Signer::new(identity);
        let params = Params {
            address: Address(signer.public()),
            threshold_params: ThresholdParams::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        // What is of later heights waits elsewhere, bounded by who sent it: the core's own queue stays empty.
        let state = State::new(Tendermint, Height(0), members, params, 1, 1);
        Self { state, signer }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.signer.identity
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.signer.public()
    }

    pub(crate) fn height(&self) -> chain::Height {
        chain::Height(self.state.height().0)
    }

    pub(crate) fn round(&self) -> Option<u32> {
        self.state.round().as_u32()
    }

    pub(crate) fn members(&self) -> &Members {
        self.state.validator_set()
    }

    /// Whether a quorum prevoted some block, as far as is known here.
    pub(crate) fn knows_valid_block(&self) -> bool {
        self.state.driver.valid_value().is_some()
    }

    /// Whether this replica has proposed in a round, in this life or an earlier one.
    pub(crate) fn has_proposed(&self, round: u32) -> bool {
        self.signer.has_proposed(round)
    }

    /// Begins a height. `votes` says whether this replica may take part: one that lost its log may not, at the height it
    /// might have spoken at.
    pub(crate) fn start(
        &mut self,
        height: chain::Height,
        members: Members,
        votes: bool,
    ) -> Result<Vec<Act>, CoreError> {
        self.signer.begin(height);
        self.state.params.enabled = votes;
        let policy = VoteExtensionPolicy::Disabled;
        self.run(Input::StartHeight(Height(height.0), members, false, None, policy))
    }

    /// Tells what the log holds of a height, before the height is started and each of it is put in again.
    pub(crate) fn recall(&mut self, height: chain::Height, entries: &[Entry]) -> Result<(), CoreError> {
        self.signer.begin(height);
        let me = self.public();
        for entry in entries {
            match entry {
                Entry::Vote(signed) if signed.voter == me => self.signer.recall_vote(&signed.vote)?,
                Entry::Proposal(signed) if signed.proposer == me => {
                    self.signer.recall_proposal(&signed.proposal)?;
                }
                _ => {}
            }
        }
        let inputs: Vec<_> = entries.iter().filter_map(|entry| self.input_of(entry)).collect();
        self.state.record_recovered_own_precommit_extensions(&inputs);
        self.state.index_wal_entries(&inputs);
        Ok(())
    }

    /// Puts in again what was logged.
    pub(crate) fn replay(&mut self, entry: &Entry) -> Result<Vec<Act>, CoreError> {
        match self.input_of(entry) {
            Some(input) => self.run(input),
            None => Ok(Vec::new()),
        }
    }

    /// All that was logged has been put in.
    pub(crate) fn recalled(&mut self) {
        self.state.reset_entries_index();
    }

    fn input_of(&self, entry: &Entry) -> Option<Input<Tendermint>> {
        Some(match entry {
            Entry::Vote(signed) => Input::Vote(translate::to_vote(signed)),
            Entry::Proposal(signed) => Input::Proposal(translate::to_proposal(signed)),
            Entry::Polka(polka) => Input::PolkaCertificate(translate::to_polka(polka)),
            Entry::Timeout { round, step, .. } => Input::TimeoutElapsed(timeout(*step, *round)),
            Entry::Verdict { height, round, block, valid } => self.verdict(*height, *round, block, *valid),
            Entry::Block { .. } => return None,
        })
    }

    fn verdict(&self, height: chain::Height, round: u32, block: &Hash, valid: bool) -> Input<Tendermint> {
        let value = ProposedValue {
            height: Height(height.0),
            round: Round::new(round),
            valid_round: Round::Nil,
            proposer: Address(self.members().proposer(round).key()),
            value: BlockId(*block),
            validity: Validity::from_bool(valid),
        };
        Input::ProposedValue(value, ValueOrigin::Consensus)
    }

    pub(crate) fn vote(&mut self, signed: &SignedVote) -> Result<Vec<Act>, CoreError> {
        self.run(Input::Vote(translate::to_vote(signed)))
    }

    pub(crate) fn proposal(&mut self, signed: &SignedProposal) -> Result<Vec<Act>, CoreError> {
        self.run(Input::Proposal(translate::to_proposal(signed)))
    }

    pub(crate) fn polka(&mut self, polka: &Polka) -> Result<Vec<Act>, CoreError> {
        self.run(Input::PolkaCertificate(translate::to_polka(polka)))
    }

    pub(crate) fn round_entry(&mut self, entry: &RoundEntry) -> Result<Vec<Act>, CoreError> {
        self.run(Input::RoundCertificate(translate::to_round_entry(entry)))
    }

    pub(crate) fn elapsed(&mut self, step: Step, round: u32) -> Result<Vec<Act>, CoreError> {
        self.run(Input::TimeoutElapsed(timeout(step, round)))
    }

    /// Proposes a block of this replica.
    pub(crate) fn propose(&mut self, round: u32, block: &Hash) -> Result<Vec<Act>, CoreError> {
        let (height, value) = (self.state.height(), BlockId(*block));
        self.run(Input::Propose(LocallyProposedValue::new(height, Round::new(round), value)))
    }

    /// Tells what the state machine says of a block.
    pub(crate) fn judged(&mut self, round: u32, block: &Hash, valid: bool) -> Result<Vec<Act>, CoreError> {
        self.run(self.verdict(self.height(), round, block, valid))
    }

    fn run(&mut self, input: Input<Tendermint>) -> Result<Vec<Act>, CoreError> {
        let Self { state, signer } = self;
        let mut acts = Vec::new();
        let mut steps = Gen::new(|co| handle(co, state, &(), input));
        let mut step = steps.resume_with(Resume::Start);
        loop {
            match step {
                CoResult::Yielded(effect) => {
                    step = steps.resume_with(answer(effect, signer, &mut acts)?);
                }
                CoResult::Complete(Ok(())) => return Ok(acts),
                CoResult::Complete(Err(
                    error @ (Error::UnexpectedResume(..)
                    | Error::ReplayDivergence(..)
                    | Error::WalCorrupted(_)),
                )) => return Err(CoreError::Broken(error.to_string())),
                // The input was not acted on; what was done before it stands.
                CoResult::Complete(Err(error)) => {
                    tracing::warn!(%error, "an input was left aside");
                    return Ok(acts);
                }
            }
        }
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("height", &self.height())
            .field("round", &self.round())
            .finish_non_exhaustive()
    }
}

fn timeout(step: Step, round: u32) -> Timeout {
    let kind = match step {
        Step::Propose => TimeoutKind::Propose,
        Step::Prevote => TimeoutKind::Prevote,
        Step::Precommit => TimeoutKind::Precommit,
        Step::Rebroadcast => TimeoutKind::Rebroadcast,
    };
    Timeout::new(Round::new(round), kind)
}

/// The step of a timeout; none for the one that ends a height, since heights end when they are decided.
fn step_of(timeout: Timeout) -> Option<(Step, u32)> {
    let step = match timeout.kind {
        TimeoutKind::Propose => Step::Propose,
        TimeoutKind::Prevote => Step::Prevote,
        TimeoutKind::Precommit => Step::Precommit,
        TimeoutKind::Rebroadcast => Step::Rebroadcast,
        TimeoutKind::FinalizeHeight(_) => return None,
    };
    Some((step, timeout.round.as_u32()?))
}

/// Answers what the core asks to know, and writes down what it asks to have done.
fn answer(
    effect: Effect<Tendermint>,
    signer: &mut Signer,
    acts: &mut Vec<Act>,
) -> Result<Resume<Tendermint>, CoreError> {
    let (group, cluster) = (signer.identity.group, signer.identity.cluster);
    Ok(match effect {
        Effect::SignVote(vote, resume) => {
            let signature = signer.sign_vote(&vote)?;
            resume.resume_with(SignedMessage::new(vote, signature))
        }
        Effect::SignProposal(proposal, resume) => {
            let signature = signer.sign_proposal(&proposal)?;
            resume.resume_with(SignedMessage::new(proposal, signature))
        }
        Effect::VerifySignature(signed, key, resume) => {
            let message = match &signed.message {
                ConsensusMsg::Vote(vote) => translate::vote(group, vote).message(&cluster),
                ConsensusMsg::Proposal(proposal) => translate::proposal(group, proposal).message(&cluster),
            };
            resume.resume_with(key.verify(&message, &signed.signature).is_ok())
        }
        Effect::VerifyCommitCertificate(certificate, members, _, resume) => {
            let verdict = certify::commit(&certificate, &members, &cluster, group);
            resume.resume_with(verdict.map_err(certify::Flaw::into_error))
        }
        Effect::VerifyPolkaCertificate(certificate, members, _, resume) => {
            let verdict = certify::polka(&translate::polka(group, &certificate), &members, &cluster);
            resume.resume_with(verdict.map_err(certify::Flaw::into_error))
        }
        Effect::VerifyRoundCertificate(certificate, members, _, resume) => {
            let entry = translate::round_entry(group, &certificate);
            let verdict = certify::round_entry(&entry, &members, &cluster);
            resume.resume_with(verdict.map_err(certify::Flaw::into_error))
        }
        // Decided blocks come by another way, and votes have no extensions: nothing leads here.
        Effect::VerifyExtendedCommitCertificate(.., resume) => {
            resume.resume_with(Err(CertificateError::VerificationError(None)))
        }
        Effect::ExtendVote(.., resume) => resume.resume_with(None),
        Effect::VerifyVoteExtension(.., resume) => {
            resume.resume_with(Err(VoteExtensionError::InvalidVoteExtension))
        }
        other => {
            acts.extend(acts_of(other, signer));
            Resume::Continue
        }
    })
}

/// What an effect asks to have done.
fn acts_of(effect: Effect<Tendermint>, signer: &Signer) -> Vec<Act> {
    let group = signer.identity.group;
    let one = |act| vec![act];
    match effect {
        Effect::WalAppend(height, input, _) => {
            entry_of(signer, chain::Height(height.0), input).map(Act::Log).into_iter().collect()
        }
        Effect::PublishConsensusMsg(SignedConsensusMsg::Vote(vote), _)
        | Effect::PublishLivenessMsg(LivenessMsg::Vote(vote), _)
        | Effect::RepublishVote(vote, _) => {
            one(Act::Say(Message::Vote(translate::signed_vote(group, &vote))))
        }
        Effect::PublishConsensusMsg(SignedConsensusMsg::Proposal(proposal), _) => {
            one(Act::Say(Message::Proposal(translate::signed_proposal(group, &proposal))))
        }
        Effect::PublishLivenessMsg(LivenessMsg::PolkaCertificate(polka), _) => {
            one(Act::Say(Message::Polka(translate::polka(group, &polka))))
        }
        Effect::PublishLivenessMsg(LivenessMsg::SkipRoundCertificate(certificate), _)
        | Effect::RepublishRoundCertificate(certificate, _) => {
            one(Act::Say(Message::Round(translate::round_entry(group, &certificate))))
        }
        Effect::ScheduleTimeout(timeout, _) => {
            step_of(timeout).map(|(step, round)| Act::StartTimer(step, round)).into_iter().collect()
        }
        Effect::CancelTimeout(timeout, _) => {
            step_of(timeout).map(|(step, round)| Act::StopTimer(step, round)).into_iter().collect()
        }
        Effect::CancelAllTimeouts(_) => one(Act::StopTimers),
        Effect::StartRound(_, round, ..) => one(Act::Round(translate::round(round))),
        Effect::GetValue(_, round, ..) => one(Act::Propose(translate::round(round))),
        Effect::RestreamProposal(.., block, _) => one(Act::Restream(block.0)),
        Effect::Decide(certificate, ..) => one(Act::Decide(translate::certificate(group, &certificate))),
        Effect::Finalize(_, _, evidence, _) => evidence_of(signer, &evidence),
        // The rest was answered, or belongs to the core's own way of catching up, which is not used.
        _ => Vec::new(),
    }
}

/// What the core asks to have logged; nothing else is ever asked for.
fn entry_of(signer: &Signer, height: chain::Height, input: Input<Tendermint>) -> Option<Entry> {
    let group = signer.identity.group;
    match input {
        Input::Vote(vote) => Some(Entry::Vote(translate::signed_vote(group, &vote))),
        Input::Proposal(proposal) => Some(Entry::Proposal(translate::signed_proposal(group, &proposal))),
        Input::PolkaCertificate(polka) => Some(Entry::Polka(translate::polka(group, &polka))),
        Input::TimeoutElapsed(timeout) => {
            let (step, round) = step_of(timeout)?;
            Some(Entry::Timeout { height, round, step })
        }
        Input::ProposedValue(value, _) => Some(Entry::Verdict {
            height: chain::Height(value.height.0),
            round: translate::round(value.round),
            block: value.value.0,
            valid: value.validity.is_valid(),
        }),
        Input::StartHeight(..)
        | Input::RoundCertificate(_)
        | Input::Propose(_)
        | Input::SyncValueResponse(_) => None,
    }
}

fn evidence_of(signer: &Signer, evidence: &MisbehaviorEvidence<Tendermint>) -> Vec<Act> {
    let group = signer.identity.group;
    let votes = evidence.votes.iter().flat_map(|(address, pairs)| {
        pairs.iter().filter_map(|(a, b)| {
            let pair = [a, b].map(|signed| (translate::vote(group, &signed.message), signed.signature));
            Evidence::of_votes(address.0, pair)
        })
    });
    let proposals = evidence.proposals.iter().flat_map(|(address, pairs)| {
        pairs.iter().filter_map(|(a, b)| {
            let pair = [a, b].map(|signed| (translate::proposal(group, &signed.message), signed.signature));
            Evidence::of_proposals(address.0, pair)
        })
    });
    votes.chain(proposals).map(Act::Evidence).collect()
}
