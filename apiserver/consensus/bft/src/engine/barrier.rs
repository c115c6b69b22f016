//! What a consistent read waits for.
//!
//! A write is acknowledged once a quorum has precommitted its block. Any two quorums share an honest replica, so of what
//! a quorum says when it is asked for the highest height at which it has precommitted, the highest is at least that of
//! every write that was acknowledged before the question. Once that height is decided here, nothing is missed. (To ask for
//! *decided* heights would not do: a replica may have precommitted what only others know to be decided.)
//!
//! A liar could name a height that never comes. So a height that the asker has not reached is proven: by what decided
//! it, or by a quorum's prevotes, without which no honest replica precommits, and after which the height goes on.
//! Of the answers only the highest decides, so only the highest is verified.
//!
//! Many reads share a question: while one is under way, the next collects.

use super::{Engine, members_after};
use crate::certify;
use crate::event::{Action, Timer, To};
use crate::message::{Message, Polka, Reach, SignedVote};
use hypermesh_chain::certificate::VoteKind;
use hypermesh_chain::{Certificate, Hash, Height, PublicKey, Signature};
use std::collections::BTreeMap;

/// Blocks and rounds of a height whose prevotes are kept at once.
pub(super) const MOST_POLLS: usize = 64;

/// Questions under way, and what this replica answers to others'.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    /// The newest question that waits for the one under way.
    next: Option<u64>,
    open: Option<Open>,
    /// Prevotes of this height, by what they are for.
    prevotes: BTreeMap<(u32, Hash), BTreeMap<PublicKey, Signature>>,
    /// What this replica has precommitted at this height.
    precommitted: Option<(u32, Hash)>,
    /// What decided the newest height, if it was decided in this life of the process.
    certificate: Option<Certificate>,
}

/// A question under way.
#[derive(Debug)]
struct Open {
    number: u64,
    answers: BTreeMap<PublicKey, (Height, Option<Reach>)>,
    /// The height that has to be decided here.
    target: Option<Height>,
}

impl Barrier {
    /// A vote was counted.
    pub(super) fn voted(&mut self, signed: &SignedVote, me: &PublicKey) {
        let Some(block) = signed.vote.block else { return };
        match signed.vote.kind {
            VoteKind::Prevote => self.prevoted(signed.vote.round, block, [(signed.voter, signed.signature)]),
            VoteKind::Precommit if signed.voter == *me => {
                self.precommitted = Some((signed.vote.round, block));
            }
            VoteKind::Precommit => {}
        }
    }

    /// A quorum's prevotes were counted.
    pub(super) fn polled(&mut self, polka: &Polka) {
        self.prevoted(polka.round, polka.block, polka.signatures.iter().copied());
    }

    fn prevoted(&mut self, round: u32, block: Hash, votes: impl IntoIterator<Item = (PublicKey, Signature)>) {
        self.prevotes.entry((round, block)).or_default().extend(votes);
        let keep = self.precommitted;
        while self.prevotes.len() > MOST_POLLS {
            let Some(oldest) = self.prevotes.keys().find(|poll| Some(**poll) != keep).copied() else {
                return;
            };
            self.prevotes.remove(&oldest);
        }
    }

    /// Blocks and rounds whose prevotes are kept.
    pub(super) fn polls(&self) -> usize {
        self.prevotes.len()
    }

    /// The height is decided.
    pub(super) fn next_height(&mut self, certificate: Option<Certificate>) {
        self.prevotes.clear();
        self.precommitted = None;
        self.certificate = certificate;
    }
}

impl Engine {
    /// A read wants to miss nothing.
    pub(super) fn barrier_wanted(&mut self, number: u64) {
        self.barrier.next = self.barrier.next.max(Some(number));
        if self.barrier.open.is_none() {
            self.begin_barrier();
        }
    }

    fn begin_barrier(&mut self) {
        let Some(number) = self.barrier.next.take() else { return };
        let mut answers = BTreeMap::new();
        if self.votes {
            // What this replica knows of itself needs no proof.
            answers.insert(self.core.public(), (self.reached().0, None));
        }
        self.barrier.open = Some(Open { number, answers, target: None });
        self.actions.push(Action::Start(Timer::Barrier, self.timing.vote));
        self.send(To::All, Message::Probe { number, height: self.head.height });
        self.settle_barrier();
    }

    /// The highest height at which this replica has precommitted, and what it was.
    fn reached(&self) -> (Height, Option<(u32, Hash)>) {
        match self.barrier.precommitted {
            Some(precommitted) => (self.height(), Some(precommitted)),
            None => (self.head.height, None),
        }
    }

    /// Another replica asks how far this one has come.
    pub(super) fn probed(&mut self, from: PublicKey, number: u64, known: Height) {
        if !self.votes {
            // It may have precommitted something that it does not remember.
            return;
        }
        let (height, precommitted) = self.reached();
        let proof = if height <= known {
            None
        } else {
            let proof = match precommitted {
                Some((round, block)) => self.polka(round, block).map(Reach::Polka),
                None => self.barrier.certificate.clone().map(Reach::Decided),
            };
            if proof.is_none() {
                // It cannot be proven here. The asker catches up, and asks again.
                return self.send(To::One(from), Message::Head { height: self.head.height });
            }
            proof
        };
        self.send(To::One(from), Message::Reached { number, height, proof });
    }

    fn polka(&self, round: u32, block: Hash) -> Option<Polka> {
        let votes = self.barrier.prevotes.get(&(round, block))?;
        let signatures: Vec<_> = votes.iter().map(|(key, signature)| (*key, *signature)).collect();
        let members = members_after(&self.head).ok()?;
        let power: u64 = signatures.iter().map(|(key, _)| members.power(key)).sum();
        let (group, height) = (self.group(), self.height());
        (power >= certify::quorum(&members)).then_some(Polka { group, height, round, block, signatures })
    }

    /// Another replica says how far it has come.
    pub(super) fn told_reach(&mut self, from: PublicKey, number: u64, height: Height, proof: Option<Reach>) {
        let Some(open) = self.barrier.open.as_mut().filter(|open| open.number == number) else { return };
        if from == self.core.public() || self.head.validators.power(&from).is_none() {
            return;
        }
        open.answers.insert(from, (height, proof));
        self.settle_barrier();
    }

    /// Sees whether a quorum has answered, and whether what it said is reached.
    pub(super) fn settle_barrier(&mut self) {
        while let Some((number, known)) = self.barrier.open.as_ref().map(|open| (open.number, open.target)) {
            let Some(target) = known.or_else(|| self.highest_answer()) else { return };
            if target > self.head.height {
                if let Some(open) = &mut self.barrier.open {
                    open.target = Some(target);
                }
                return;
            }
            self.barrier.open = None;
            self.actions.push(Action::Stop(Timer::Barrier));
            self.actions.push(Action::Passed(number));
            self.begin_barrier();
        }
    }

    /// The highest height of a quorum's answers. Answers whose proof does not hold are let go.
    fn highest_answer(&mut self) -> Option<Height> {
        let members = members_after(&self.head).ok()?;
        loop {
            let answers = &self.barrier.open.as_ref()?.answers;
            let power: u64 = answers.keys().map(|key| members.power(key)).sum();
            if power < certify::quorum(&members) {
                return None;
            }
            let (from, (height, proof)) = answers.iter().max_by_key(|(_, (height, _))| *height)?;
            let (from, height) = (*from, *height);
            if height <= self.head.height || from == self.core.public() {
                return Some(height);
            }
            if self.proves(height, proof.as_ref()) {
                let decided = matches!(proof, Some(Reach::Decided(_)));
                // What was decided elsewhere is fetched; what is under way comes by itself.
                self.told_head(from, if decided { height } else { Height(height.0.saturating_sub(1)) });
                return Some(height);
            }
            tracing::debug!(%from, height = height.0, "a replica named a height that it cannot prove");
            self.barrier.open.as_mut()?.answers.remove(&from);
        }
    }

    fn proves(&self, height: Height, proof: Option<&Reach>) -> bool {
        let (cluster, group) = (&self.core.identity().cluster, self.group());
        match proof {
            Some(Reach::Decided(certificate)) => {
                let names = certificate.height == height && certificate.group == group;
                names && certificate.verify(&self.head.validators, cluster).is_ok()
            }
            Some(Reach::Polka(polka)) => {
                let Ok(members) = members_after(&self.head) else { return false };
                let names = polka.height == height && polka.group == group;
                names && certify::polka(polka, &members, cluster).is_ok()
            }
            None => false,
        }
    }

    /// Too few have answered, or what they named does not come: they are asked again.
    pub(super) fn barrier_again(&mut self) {
        let Some(open) = &mut self.barrier.open else { return };
        let number = open.number;
        open.target = None;
        let (me, height) = (self.core.public(), self.reached().0);
        if let Some(open) = &mut self.barrier.open {
            open.answers.retain(|key, _| *key == me);
            if self.votes {
                open.answers.insert(me, (height, None));
            }
        }
        self.actions.push(Action::Start(Timer::Barrier, self.timing.repeat));
        self.send(To::All, Message::Probe { number, height: self.head.height });
        self.settle_barrier();
    }
}
