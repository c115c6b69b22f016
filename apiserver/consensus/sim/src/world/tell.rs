//! What happens, in lines that a person can read: when, who, what.

use super::World;
use hypermesh_bft::Message;
use hypermesh_bft::message::Reach;
use hypermesh_chain::{Block, Certificate, Hash};

impl World {
    /// Tells a line, if anybody listens.
    #[expect(clippy::print_stdout, reason = "it is asked for by whoever runs the simulation")]
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>11.6} {}", self.now as f64 / 1e6, line());
        }
    }
}

/// The beginning of a digest: enough to tell blocks apart.
pub(super) fn short(id: &Hash) -> String {
    id.to_string().chars().take(8).collect()
}

fn block_of(block: Option<&Hash>) -> String {
    block.map_or_else(|| "nothing".to_owned(), short)
}

/// A message that is sent.
pub(super) fn sent(from: usize, to: &[usize], message: &Message) -> String {
    let to: Vec<String> = to.iter().map(|place| format!("r{place}")).collect();
    format!("r{from} → {}: {}", to.join(" "), said(message))
}

fn said(message: &Message) -> String {
    match message {
        Message::Vote(signed) => {
            let vote = signed.vote;
            let block = block_of(vote.block.as_ref());
            format!("{:?} at {}/{} for {block}", vote.kind, vote.height.0, vote.round)
        }
        Message::Proposal(signed) => {
            let proposal = signed.proposal;
            let again =
                proposal.valid_round.map_or_else(String::new, |round| format!(", valid in round {round}"));
            format!(
                "proposal at {}/{} of {}{again}",
                proposal.height.0,
                proposal.round,
                short(&proposal.block)
            )
        }
        Message::Polka(polka) => {
            let count = polka.signatures.len();
            format!("{count} prevotes at {}/{} for {}", polka.height.0, polka.round, short(&polka.block))
        }
        Message::Round(entry) => {
            format!("{} votes to enter a round after {}/{}", entry.votes.len(), entry.height.0, entry.round)
        }
        Message::Block { height, bytes } => format!("block of height {}, {} bytes", height.0, bytes.len()),
        Message::Want { height, block } => format!("wants block {} of height {}", short(block), height.0),
        Message::Head { height } => format!("is at height {}", height.0),
        Message::Ask { from } => format!("wants decided blocks from height {}", from.0),
        Message::Decided(decided) => {
            let heights: Vec<String> =
                decided.iter().map(|decided| decided.certificate.height.0.to_string()).collect();
            format!("decided blocks of heights {}", heights.join(" "))
        }
        Message::Requests(requests) => format!("{} requests", requests.len()),
        Message::Probe { number, height } => {
            format!("asks how far others are, question {number}, from height {}", height.0)
        }
        Message::Reached { number, height, proof } => {
            let proof = match proof {
                None => "unproven",
                Some(Reach::Decided(_)) => "decided",
                Some(Reach::Polka(_)) => "prevoted by a quorum",
            };
            format!("answers question {number}: height {}, {proof}", height.0)
        }
        Message::LeftOut { height, requests } => {
            format!("{} requests come to nothing at height {}", requests.len(), height.0)
        }
    }
}

/// A block that is kept.
pub(super) fn kept(place: usize, id: &Hash, block: &Block, certificate: &Certificate) -> String {
    format!(
        "r{place} keeps block {} of height {} with {} requests, decided in round {}",
        short(id),
        block.header.height.0,
        block.requests.len(),
        certificate.round
    )
}
