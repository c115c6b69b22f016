//! When a replica is silent, and what wakes it.
//!
//! A height is begun for a reason, and reasons that others give are verified before they count. Timers of a round run while
//! there is something to wait for; else they are held, and nothing is said.

use super::{Engine, EngineError, members_after};
use crate::certify;
use crate::event::{Action, Timer};
use crate::message::{Message, SignedProposal, SignedVote};
use hypermesh_chain::PublicKey;
use std::collections::BTreeSet;
use std::time::Duration;

impl Engine {
    /// Begins the next height if there is reason to.
    pub(super) fn begin_if_due(&mut self) -> Result<(), EngineError> {
        if self.running || self.deciding.is_some() || !(self.work || self.is_called()) {
            return Ok(());
        }
        let acts = {
            let members = members_after(&self.head)?;
            self.core.start(self.height(), members, self.votes)?
        };
        self.running = true;
        self.perform(acts)?;
        for (from, message) in self.ahead.take(self.height()) {
            self.received(from, message)?;
        }
        Ok(())
    }

    /// Whether others have begun the next height for a reason that counts here. What they said was verified when it came.
    fn is_called(&self) -> bool {
        let Ok(members) = members_after(&self.head) else { return false };
        let mut voters = BTreeSet::new();
        for message in self.ahead.of(self.height()) {
            match message {
                Message::Proposal(signed)
                    if members.proposer(signed.proposal.round).key() == signed.proposer =>
                {
                    return true;
                }
                Message::Vote(signed) => drop(voters.insert(signed.voter)),
                Message::Polka(polka) => voters.extend(polka.signatures.iter().map(|(key, _)| *key)),
                Message::Round(entry) => voters.extend(entry.votes.iter().map(|(_, _, key, _)| *key)),
                _ => {}
            }
        }
        let power: u64 = voters.iter().map(|key| members.power(key)).sum();
        power > members.total() / 3
    }

    /// Whether a statement about the next height is one of its validators, and signed as it claims.
    pub(super) fn is_sound(&self, message: &Message) -> bool {
        let Ok(members) = members_after(&self.head) else { return false };
        let cluster = &self.core.identity().cluster;
        match message {
            Message::Vote(SignedVote { vote, voter, signature }) => {
                members.power(voter) > 0 && voter.verify(&vote.message(cluster), signature).is_ok()
            }
            Message::Proposal(SignedProposal { proposal, proposer, signature }) => {
                members.power(proposer) > 0 && proposer.verify(&proposal.message(cluster), signature).is_ok()
            }
            Message::Polka(polka) => certify::polka(polka, &members, cluster).is_ok(),
            Message::Round(entry) => certify::round_entry(entry, &members, cluster).is_ok(),
            _ => false,
        }
    }

    /// Nothing has to be ordered after all. What is asked for later is proposed in this round still: its time does not
    /// run while there is nothing to wait for.
    pub(super) fn nothing_prepared(&mut self) {
        self.work = false;
        let round = self.core.round().filter(|round| self.running && !self.core.has_proposed(*round));
        self.wanted = round.filter(|round| self.core.members().proposer(*round).key() == self.core.public());
        self.hush();
    }

    /// Holds the timers that run, if there is nothing to wait for any more.
    pub(super) fn hush(&mut self) {
        if self.running && self.deciding.is_none() && !self.armed.is_empty() && self.is_quiet() {
            self.held.append(&mut self.armed);
            self.actions.push(Action::StopSteps);
        }
    }

    pub(super) fn start(&mut self, timer: Timer, after: Duration) {
        if self.is_quiet() {
            self.held.insert(timer, after);
        } else {
            self.armed.insert(timer, after);
            self.actions.push(Action::Start(timer, after));
        }
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.held.remove(&timer);
        self.armed.remove(&timer);
        self.actions.push(Action::Stop(timer));
    }

    pub(super) fn stop_steps(&mut self) {
        self.held.clear();
        self.armed.clear();
        self.actions.push(Action::StopSteps);
    }

    /// Whether there is nothing to wait for: no request here, no block that was shown, and too few others who speak.
    fn is_quiet(&self) -> bool {
        let round = self.core.round().unwrap_or(0);
        let members = self.core.members();
        let spoke = |key: &PublicKey| *key != self.core.public() && self.speakers.get(key) >= Some(&round);
        let power: u64 = members.keys().filter(|key| spoke(key)).map(|key| members.power(&key)).sum();
        !(self.work
            || self.core.knows_valid_block()
            || self.blocks.is_proposed_in(round)
            || power > members.total() / 3)
    }

    /// Starts the timers that waited, if there is something to wait for now.
    pub(super) fn release(&mut self) {
        if !self.held.is_empty() && !self.is_quiet() {
            for (timer, after) in std::mem::take(&mut self.held) {
                self.armed.insert(timer, after);
                self.actions.push(Action::Start(timer, after));
            }
        }
    }
}
