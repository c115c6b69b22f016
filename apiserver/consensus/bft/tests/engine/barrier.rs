//! What a consistent read waits for: what a quorum has precommitted, and nothing that cannot be proven.

use crate::four::*;
use hypermesh_bft::Engine;
use hypermesh_bft::event::{Action, Event, Timer, To};
use hypermesh_bft::message::{Message, Polka, Reach, SignedProposal, SignedVote};
use hypermesh_chain::certificate::{Certificate, Vote, VoteKind};
use hypermesh_chain::{Block, Canonical, Hash, Height, Proposal, PublicKey};

const HEAD: Height = Height(4);

fn engine() -> Engine {
    let mut engine = engine_at(HEAD.0);
    engine.recover(&[], false).unwrap();
    engine
}

fn block() -> Block {
    empty(header(HEAD.0 + 1, PARENT, 1))
}

fn public(place: u8) -> PublicKey {
    key(place).public()
}

fn id() -> Hash {
    block().header.id(&CLUSTER)
}

fn vote(kind: VoteKind, height: Height, place: u8) -> SignedVote {
    let vote = Vote { kind, group: GROUP, height, round: 0, block: Some(id()) };
    SignedVote { vote, voter: public(place), signature: key(place).sign(&vote.message(&CLUSTER)) }
}

fn polka(height: Height, signers: &[u8]) -> Polka {
    let of = |place: &u8| (public(*place), vote(VoteKind::Prevote, height, *place).signature);
    let signatures = signers.iter().map(of).collect();
    Polka { group: GROUP, height, round: 0, block: id(), signatures }
}

fn certificate(height: Height, signers: &[u8]) -> Certificate {
    let of = |place: &u8| (public(*place), vote(VoteKind::Precommit, height, *place).signature);
    let mut signatures: Vec<_> = signers.iter().map(of).collect();
    signatures.sort_unstable();
    Certificate { group: GROUP, height, round: 0, block: id(), signatures }
}

fn says(engine: &mut Engine, place: u8, message: Message) -> Vec<Action> {
    engine.handle(Event::Received { from: public(place), message }).unwrap()
}

fn reached(engine: &mut Engine, place: u8, number: u64, height: u64, proof: Option<Reach>) -> Vec<Action> {
    says(engine, place, Message::Reached { number, height: Height(height), proof })
}

fn passed(actions: &[Action]) -> Option<u64> {
    actions.iter().find_map(|action| match action {
        Action::Passed(number) => Some(*number),
        _ => None,
    })
}

#[test]
fn a_quorum_that_knows_no_more_lets_it_pass() {
    let mut engine = engine();
    let actions = engine.handle(Event::Barrier(7)).unwrap();
    assert!(actions.contains(&Action::Send(To::All, Message::Probe { number: 7, height: HEAD })));
    assert_eq!(passed(&reached(&mut engine, 1, 7, HEAD.0, None)), None, "two of four are no quorum");
    assert_eq!(passed(&reached(&mut engine, 1, 7, HEAD.0, None)), None, "nor is one who says it twice");
    assert_eq!(passed(&reached(&mut engine, 2, 6, HEAD.0, None)), None, "nor an answer to something else");
    let stranger = PublicKey([9; 32]);
    let message = Message::Reached { number: 7, height: HEAD, proof: None };
    assert_eq!(passed(&engine.handle(Event::Received { from: stranger, message }).unwrap()), None);
    // Who is behind counts as well: what it has not precommitted it has not.
    assert_eq!(passed(&reached(&mut engine, 2, 7, HEAD.0 - 2, None)), Some(7));
}

#[test]
fn reads_that_come_meanwhile_share_the_next_question() {
    let mut engine = engine();
    engine.handle(Event::Barrier(1)).unwrap();
    for number in 2..5 {
        assert!(engine.handle(Event::Barrier(number)).unwrap().is_empty());
    }
    reached(&mut engine, 1, 1, HEAD.0, None);
    let actions = reached(&mut engine, 2, 1, HEAD.0, None);
    assert_eq!(passed(&actions), Some(1));
    assert!(actions.contains(&Action::Send(To::All, Message::Probe { number: 4, height: HEAD })));
    reached(&mut engine, 3, 4, HEAD.0, None);
    assert_eq!(passed(&reached(&mut engine, 2, 4, HEAD.0, None)), Some(4));
}

#[test]
fn a_height_that_nobody_proves_is_not_waited_for() {
    let next = Height(HEAD.0 + 1);
    let lies = [
        (next.0, None),
        (u64::MAX, None),
        (next.0, Some(Reach::Polka(polka(next, &[1, 2])))),
        (next.0, Some(Reach::Polka(polka(next, &[1, 1, 2])))),
        (next.0 + 1, Some(Reach::Polka(polka(next, &[1, 2, 3])))),
        (next.0, Some(Reach::Decided(certificate(next, &[1, 2])))),
        (next.0 + 1, Some(Reach::Decided(certificate(next, &[1, 2, 3])))),
    ];
    for (height, proof) in lies {
        let mut engine = engine();
        engine.handle(Event::Barrier(1)).unwrap();
        reached(&mut engine, 1, 1, height, proof.clone());
        assert_eq!(
            passed(&reached(&mut engine, 2, 1, HEAD.0, None)),
            None,
            "the liar does not count: {proof:?}"
        );
        assert_eq!(passed(&reached(&mut engine, 3, 1, HEAD.0, None)), Some(1));
    }
}

#[test]
fn what_is_proven_is_waited_for_and_fetched() {
    let far = Height(HEAD.0 + 3);
    for proof in [Reach::Decided(certificate(far, &[0, 1, 2])), Reach::Polka(polka(far, &[1, 2, 3]))] {
        let mut engine = engine();
        engine.handle(Event::Barrier(1)).unwrap();
        reached(&mut engine, 1, 1, HEAD.0, None);
        let actions = reached(&mut engine, 2, 1, far.0, Some(proof));
        assert_eq!(passed(&actions), None);
        let ask = Action::Send(To::One(public(2)), Message::Ask { from: Height(HEAD.0 + 1) });
        assert!(actions.contains(&ask), "{actions:?}");
        assert_eq!(passed(&reached(&mut engine, 3, 1, HEAD.0, None)), None, "what was decided stays decided");
    }
}

#[test]
fn a_replica_tells_what_it_has_precommitted_before_it_is_decided() {
    let mut engine = engine();
    let next = Height(HEAD.0 + 1);
    let probe = |engine: &mut Engine| says(engine, 3, Message::Probe { number: 5, height: HEAD });
    let answer = |actions: &[Action]| match actions {
        [Action::Send(To::One(to), message)] if *to == public(3) => message.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(answer(&probe(&mut engine)), Message::Reached { number: 5, height: HEAD, proof: None });
    // The proposer's block is shown, judged and prevoted by a quorum: this replica precommits.
    let proposal = Proposal { group: GROUP, height: next, round: 0, valid_round: None, block: id() };
    let signature = key(1).sign(&proposal.message(&CLUSTER));
    says(&mut engine, 1, Message::Proposal(SignedProposal { proposal, proposer: public(1), signature }));
    let actions = says(&mut engine, 1, Message::Block { height: next, bytes: block().encode().into() });
    assert!(actions.iter().any(|action| matches!(action, Action::Judge { .. })), "{actions:?}");
    engine.handle(Event::Judged { block: id(), verdict: Ok(()) }).unwrap();
    for place in [1, 2] {
        says(&mut engine, place, Message::Vote(vote(VoteKind::Prevote, next, place)));
    }
    let Message::Reached { number: 5, height, proof: Some(Reach::Polka(polka)) } =
        answer(&probe(&mut engine))
    else {
        panic!("it does not tell what it precommitted")
    };
    assert_eq!((height, polka.height, polka.block), (next, next, id()));
    // Another takes that for proof, and waits.
    let mut other = self::engine();
    other.handle(Event::Barrier(5)).unwrap();
    reached(&mut other, 1, 5, HEAD.0, None);
    assert_eq!(passed(&reached(&mut other, 2, 5, next.0, Some(Reach::Polka(polka)))), None);
    // Its own reads wait for it, too: a quorum that knows nothing of it does not let them pass.
    engine.handle(Event::Barrier(9)).unwrap();
    reached(&mut engine, 1, 9, HEAD.0, None);
    assert_eq!(passed(&reached(&mut engine, 2, 9, HEAD.0, None)), None);
}

#[test]
fn too_few_answers_are_asked_for_again() {
    let mut engine = engine();
    let actions = engine.handle(Event::Barrier(1)).unwrap();
    assert!(actions.iter().any(|action| matches!(action, Action::Start(Timer::Barrier, _))));
    reached(&mut engine, 1, 1, HEAD.0, None);
    let actions = engine.handle(Event::Elapsed(Timer::Barrier)).unwrap();
    assert!(actions.contains(&Action::Send(To::All, Message::Probe { number: 1, height: HEAD })));
    reached(&mut engine, 1, 1, HEAD.0, None);
    assert_eq!(passed(&reached(&mut engine, 3, 1, HEAD.0, None)), Some(1));
    assert!(engine.handle(Event::Elapsed(Timer::Barrier)).unwrap().is_empty());
}

#[test]
fn a_replica_that_may_have_forgotten_says_nothing() {
    let mut engine = engine_at(HEAD.0);
    engine.recover(&[], true).unwrap();
    assert!(says(&mut engine, 3, Message::Probe { number: 5, height: HEAD }).is_empty());
    engine.handle(Event::Barrier(1)).unwrap();
    reached(&mut engine, 1, 1, HEAD.0, None);
    assert_eq!(passed(&reached(&mut engine, 2, 1, HEAD.0, None)), None, "it does not count itself");
    assert_eq!(passed(&reached(&mut engine, 3, 1, HEAD.0, None)), Some(1));
}
