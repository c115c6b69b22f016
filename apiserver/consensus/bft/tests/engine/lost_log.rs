//! A replica that cannot know what it has said does not speak at the one height at which it may have.

use crate::four::*;
use bytes::Bytes;
use hypermesh_bft::Engine;
use hypermesh_bft::event::{Action, Event};
use hypermesh_bft::message::{Message, SignedProposal, SignedVote};
use hypermesh_chain::certificate::{Vote, VoteKind};
use hypermesh_chain::{Block, Canonical, Hash, Proposal};

fn engine() -> Engine {
    engine_at(7)
}

fn block(height: u64, parent: Hash) -> Block {
    empty(header(height, parent, height))
}

/// Lets the others decide a block of a height; what the engine votes for meanwhile, and its log.
fn decide(engine: &mut Engine, block: &Block) -> (Vec<Vote>, Vec<Vec<u8>>) {
    let (id, height) = (block.header.id(&CLUSTER), block.header.height);
    let proposal = Proposal { group: GROUP, height, round: 0, valid_round: None, block: id };
    let signature = key(1).sign(&proposal.message(&CLUSTER));
    let bytes = Bytes::from(block.encode());
    let mut said = vec![
        (1, Message::Block { height, bytes }),
        (1, Message::Proposal(SignedProposal { proposal, proposer: key(1).public(), signature })),
    ];
    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
        for place in 1..4 {
            let vote = Vote { kind, group: GROUP, height, round: 0, block: Some(id) };
            let signature = key(place).sign(&vote.message(&CLUSTER));
            said.push((place, Message::Vote(SignedVote { vote, voter: key(place).public(), signature })));
        }
    }
    let (mut votes, mut log) = (Vec::new(), Vec::new());
    for (place, message) in said {
        let mut events = vec![Event::Received { from: key(place).public(), message }];
        while let Some(event) = events.pop() {
            for action in engine.handle(event).unwrap() {
                match action {
                    Action::Send(_, Message::Vote(signed)) => votes.push(signed.vote),
                    Action::Log(entry) => log.push(entry),
                    Action::Judge { .. } => events.push(Event::Judged { block: id, verdict: Ok(()) }),
                    Action::Commit { block, certificate } => {
                        certificate.verify(&validators(), &CLUSTER).unwrap();
                        events.push(Event::Committed { head: head(height.0, block), work: false });
                    }
                    _ => {}
                }
            }
        }
    }
    assert_eq!(engine.head().height, height);
    (votes, log)
}

#[test]
fn it_follows_one_height_in_silence_and_votes_from_the_next_on() {
    let mut engine = engine();
    engine.recover(&[], true).unwrap();
    let first = block(8, Hash([3; 32]));
    assert_eq!(decide(&mut engine, &first).0, []);
    let second = block(9, first.header.id(&CLUSTER));
    assert_eq!(decide(&mut engine, &second).0.len(), 2, "a prevote and a precommit");
}

#[test]
fn a_new_replica_votes_at_once() {
    let mut engine = engine();
    engine.recover(&[], false).unwrap();
    assert_eq!(decide(&mut engine, &block(8, Hash([3; 32]))).0.len(), 2);
}

#[test]
fn a_replica_that_has_its_log_says_the_same_again() {
    let mut before = engine();
    before.recover(&[], false).unwrap();
    let (votes, log) = decide(&mut before, &block(8, Hash([3; 32])));
    // The block was decided and not kept: the store is at the height before.
    let mut after = engine();
    let actions = after.recover(&log, false).unwrap();
    let again: Vec<Vote> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(_, Message::Vote(signed)) => Some(signed.vote),
            _ => None,
        })
        .collect();
    assert_eq!(again, votes);
    assert!(
        actions.iter().any(|action| matches!(action, Action::Judge { .. })),
        "and decides the same block"
    );
    assert!(!actions.iter().any(|action| matches!(action, Action::Log(_))), "without logging it again");
}

#[test]
fn a_log_that_is_ahead_of_the_store_or_unreadable_is_refused() {
    let mut before = engine();
    let (_, log) = decide(&mut before, &block(8, Hash([3; 32])));
    let mut older = engine_of(head(6, Hash([2; 32])));
    let error = older.recover(&log, false).unwrap_err();
    assert_eq!(error.to_string(), "the log is at height 8 and the store at 6: the store has lost blocks");
    let mut bad = log;
    bad[0].truncate(3);
    let error = engine().recover(&bad, false).unwrap_err();
    assert!(error.to_string().starts_with("entry 0 of the log is not readable"), "{error}");
}
