//! Makes up certificates out of the votes that it hears: too few, one of them twice, one of somebody who has no vote, one
//! that was not cast, in another order. It sends them for what they would prove: that a quorum prevoted a block, that a round
//! may be entered, that a block is decided, that a read has to wait for a height.

use super::{Actor, Behaviour, as_it_is};
use crate::random::Random;
use hypermesh_bft::Message;
use hypermesh_bft::message::{Decided, Polka, Reach, RoundEntry, SignedVote};
use hypermesh_chain::certificate::{Certificate, Vote, VoteKind};
use hypermesh_chain::{Block, Canonical, Hash, Height, PublicKey, Signature, SigningKey};
use std::collections::{BTreeMap, BTreeSet};

/// Votes and blocks that are kept: the newest.
const MOST: usize = 64;

/// Signatures of a certificate to be.
type Signatures = Vec<(PublicKey, Signature)>;

#[derive(Debug, Default)]
pub(super) struct Garbling {
    votes: Vec<SignedVote>,
    blocks: BTreeMap<Hash, bytes::Bytes>,
}

impl Garbling {
    /// A certificate for a vote that somebody cast, with something wrong.
    fn garble(&mut self, actor: Actor<'_>, random: &mut Random) -> Option<Message> {
        let SignedVote { vote, .. } = *random.pick(&self.votes)?;
        let voters = self.votes.iter().filter(|signed| signed.vote == vote);
        let mut signatures: Signatures = voters
            .map(|signed| (signed.voter, signed.signature))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let own =
            (actor.identity.key.public(), actor.identity.key.sign(&vote.message(&actor.identity.cluster)));
        if signatures.iter().all(|(key, _)| *key != own.0) {
            signatures.push(own);
        }
        let quorum = (actor.others.len() + 1) * 2 / 3 + 1;
        spoil(&mut signatures, quorum, random);
        let Vote { kind, group, height, round, block } = vote;
        match (kind, block) {
            (VoteKind::Prevote, Some(block)) if random.chance(800) => {
                Some(Message::Polka(Polka { group, height, round, block, signatures }))
            }
            (VoteKind::Precommit, Some(block)) if random.chance(800) => {
                let bytes = self.blocks.get(&block)?.clone();
                let certificate = Certificate { group, height, round, block, signatures };
                Some(Message::Decided(vec![Decided { block: bytes, certificate }]))
            }
            (kind, block) => {
                let votes = signatures.into_iter().map(|(key, signature)| (kind, block, key, signature));
                let (precommits, votes) = (kind == VoteKind::Precommit, votes.collect());
                Some(Message::Round(RoundEntry { group, height, round, precommits, votes }))
            }
        }
    }

    fn keep(&mut self, actor: Actor<'_>, message: &Message) {
        match message {
            Message::Vote(signed) => {
                if self.votes.len() >= MOST {
                    self.votes.remove(0);
                }
                self.votes.push(*signed);
            }
            Message::Block { bytes, .. } => {
                if let Ok(block) = Block::decode(bytes) {
                    if self.blocks.len() >= MOST {
                        self.blocks.clear();
                    }
                    self.blocks.insert(block.header.id(&actor.identity.cluster), bytes.clone());
                }
            }
            _ => {}
        }
    }
}

/// Fills signatures up to a quorum, or leaves them as they are, or spoils one.
fn spoil(signatures: &mut Signatures, quorum: usize, random: &mut Random) {
    let Some(last) = signatures.last().copied() else { return };
    match random.below(6) {
        0 => signatures.truncate(quorum - 1),
        1 => signatures.resize(quorum.max(signatures.len()), last),
        2 => {
            let stranger = SigningKey::from_seed(&[99; 32]).public();
            signatures.resize(quorum.max(signatures.len() + 1), (stranger, last.1));
        }
        3 => {
            if let Some((_, signature)) = signatures.last_mut() {
                signature.0[0] ^= 1;
            }
        }
        4 => signatures.reverse(),
        _ => {}
    }
}

/// What a certificate would prove to who asks before a read.
fn reach(garbled: Option<&Message>) -> Option<(Height, Reach)> {
    match garbled? {
        Message::Polka(polka) => Some((polka.height, Reach::Polka(polka.clone()))),
        Message::Decided(decided) => {
            let certificate = decided.first()?.certificate.clone();
            Some((certificate.height, Reach::Decided(certificate)))
        }
        _ => None,
    }
}

impl Behaviour for Garbling {
    fn send(
        &mut self,
        actor: Actor<'_>,
        to: &[usize],
        message: Message,
        random: &mut Random,
    ) -> Vec<(usize, Message)> {
        self.keep(actor, &message);
        let garbled = self.garble(actor, random);
        let mut sent = match message {
            // Who believes it asks for what it does not have, and is answered by what is made up.
            Message::Head { height } if random.chance(500) => {
                as_it_is(to, &Message::Head { height: Height(height.0 + 1) })
            }
            Message::Reached { number, .. } if reach(garbled.as_ref()).is_some() => {
                let (height, proof) = reach(garbled.as_ref()).unzip();
                let height = height.unwrap_or_default();
                as_it_is(to, &Message::Reached { number, height, proof })
            }
            Message::Decided(_) if matches!(garbled, Some(Message::Decided(_))) => Vec::new(),
            said => as_it_is(to, &said),
        };
        sent.extend(garbled.into_iter().flat_map(|garbled| as_it_is(actor.others, &garbled)));
        sent
    }

    fn hear(&mut self, actor: Actor<'_>, message: &Message) {
        self.keep(actor, message);
    }
}
