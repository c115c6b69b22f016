//! One replica says whatever it likes. The others go on, decide nothing on its word, and answer with little.

use crate::four::*;
use bytes::Bytes;
use hypermesh_bft::Engine;
use hypermesh_bft::event::{Action, Event, Timer};
use hypermesh_bft::message::{Decided, Message, Polka, RoundEntry, SignedProposal, SignedVote};
use hypermesh_chain::certificate::{Certificate, Vote, VoteKind};
use hypermesh_chain::{Block, Canonical, Hash, Height, Proposal, PublicKey, Signature, SigningKey};
use proptest::prelude::*;

/// Who says all this: the first proposer, who can do the most harm.
fn liar() -> SigningKey {
    key(1)
}

fn engine() -> Engine {
    engine_at(1)
}

fn block(number: u8) -> Block {
    empty(header(2, PARENT, u64::from(number)))
}

fn id(number: u8) -> Hash {
    block(number).header.id(&CLUSTER)
}

fn any_vote() -> impl Strategy<Value = Vote> {
    let round = prop_oneof![0..4_u32, 0..40_u32, Just(u32::MAX)];
    let block = prop::option::of((0..3_u8).prop_map(id));
    (0..2_u8, 1..5_u64, round, block).prop_map(|(kind, height, round, block)| {
        let kind = if kind == 0 { VoteKind::Prevote } else { VoteKind::Precommit };
        Vote { kind, group: GROUP, height: Height(height), round, block }
    })
}

/// Signed by the liar, in its own name or in another's.
fn any_signed() -> impl Strategy<Value = (Vote, PublicKey, Signature)> {
    (any_vote(), 0..4_u8).prop_map(|(vote, place)| {
        let name = if place == 0 { key(2).public() } else { liar().public() };
        (vote, name, liar().sign(&vote.message(&CLUSTER)))
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        6 => any_signed().prop_map(|(vote, voter, signature)| Message::Vote(SignedVote { vote, voter, signature })),
        4 => (any_vote(), prop::option::of(0..3_u32)).prop_map(|(vote, valid_round)| {
            let block = vote.block.unwrap_or_default();
            let proposal = Proposal { group: GROUP, height: vote.height, round: vote.round, valid_round, block };
            let signature = liar().sign(&proposal.message(&CLUSTER));
            Message::Proposal(SignedProposal { proposal, proposer: liar().public(), signature })
        }),
        1 => prop::collection::vec(any_signed(), 0..5).prop_map(|votes| Message::Polka(Polka {
            group: GROUP,
            height: Height(2),
            round: 0,
            block: id(0),
            signatures: votes.into_iter().map(|(_, key, signature)| (key, signature)).collect(),
        })),
        1 => (prop::collection::vec(any_signed(), 0..5), any::<bool>(), any::<u32>()).prop_map(
            |(votes, precommits, round)| Message::Round(RoundEntry {
                group: GROUP,
                height: Height(2),
                round,
                precommits,
                votes: votes.into_iter().map(|(v, key, signature)| (v.kind, v.block, key, signature)).collect(),
            })
        ),
        2 => (2..4_u64, 0..3_u8).prop_map(|(height, number)| {
            Message::Block { height: Height(height), bytes: block(number).encode().into() }
        }),
        1 => Just(Message::Block { height: Height(2), bytes: Bytes::from_static(b"no block") }),
        1 => (0..4_u64, 0..3_u8).prop_map(|(height, number)| Message::Want { height: Height(height), block: id(number) }),
        1 => any::<u64>().prop_map(|height| Message::Head { height: Height(height) }),
        1 => any::<u64>().prop_map(|height| Message::Ask { from: Height(height) }),
        1 => (0..3_u8, any_signed()).prop_map(|(number, (vote, key, signature))| {
            let (height, block_id) = (Height(2), id(number));
            let signatures = vec![(key, signature)];
            let certificate =
                Certificate { group: GROUP, height, round: vote.round, block: block_id, signatures };
            Message::Decided(vec![Decided { block: block(number).encode().into(), certificate }])
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn one_liar_stops_nobody_and_decides_nothing(
        work: bool,
        messages in prop::collection::vec(any_message(), 1..200),
    ) {
        let mut engine = engine();
        engine.recover(&[], false).unwrap();
        engine.handle(Event::Work(work)).unwrap();
        let mut answers = 0;
        for message in messages {
            let mut events = vec![Event::Received { from: liar().public(), message }];
            while let Some(event) = events.pop() {
                for action in engine.handle(event).unwrap() {
                    match action {
                        Action::Judge { block, .. } => {
                            let block = block.header.id(&CLUSTER);
                            events.push(Event::Judged { block, verdict: Ok(()) });
                        }
                        Action::Send(..) => answers += 1,
                        Action::Commit { block, .. } => panic!("{block} is decided on one word"),
                        _ => {}
                    }
                }
            }
        }
        prop_assert_eq!(engine.head().height, Height(1));
        prop_assert!(answers < 1000, "{} answers", answers);
        for timer in [Timer::Fetch, Timer::Ask] {
            engine.handle(Event::Elapsed(timer)).unwrap();
        }
    }
}
