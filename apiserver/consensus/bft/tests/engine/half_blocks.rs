//! Bytes that begin with a block's header and hold other requests are not that block, whoever sends them: they spoil neither
//! the block's judgement nor that of who has to catch up.

use crate::four::*;
use bytes::Bytes;
use hypermesh_bft::Engine;
use hypermesh_bft::event::{Action, Event};
use hypermesh_bft::message::{Decided, Message, SignedProposal};
use hypermesh_chain::certificate::{Certificate, VoteKind};
use hypermesh_chain::request::{Authority, Endorsement, Media, Method, Request, User};
use hypermesh_chain::{
    Block, Canonical, Header, Height, Proposal, PublicKey, Revision, SigningKey, Timestamp,
};

const HEIGHT: Height = Height(2);

fn engine() -> Engine {
    let mut engine = engine_at(HEIGHT.0 - 1);
    engine.recover(&[], false).unwrap();
    engine
}

fn block() -> Block {
    let endorsement = Endorsement {
        replica: PublicKey([9; 32]),
        user: User::default(),
        received: Timestamp(0),
        nonce: 0,
        manager: String::new(),
    };
    let request = Request {
        method: Method::Delete,
        target: "/api/v1/namespaces/a".to_owned(),
        media: Media::None,
        body: Bytes::new(),
        authority: Authority::Endorsed(endorsement),
    };
    let requests = vec![request];
    let header = Header {
        requests: Block::requests_root(&requests, &[]),
        last_revision: Revision(1),
        ..header(HEIGHT.0, PARENT, 1)
    };
    Block { header, requests, endorsements: Vec::new() }
}

/// The same header, and nothing behind it.
fn half() -> Block {
    Block { requests: Vec::new(), ..block() }
}

fn says(engine: &mut Engine, place: u8, message: Message) -> Vec<Action> {
    engine.handle(Event::Received { from: key(place).public(), message }).unwrap()
}

/// The blocks that the state machine is asked about.
fn judged(actions: &[Action]) -> Vec<Block> {
    let judge = |action: &Action| match action {
        Action::Judge { block, .. } => Some(Block::clone(block)),
        _ => None,
    };
    actions.iter().filter_map(judge).collect()
}

#[test]
fn half_a_block_is_not_judged_in_its_place() {
    let mut engine = engine();
    let id = block().header.id(&CLUSTER);
    assert_eq!(half().header.id(&CLUSTER), id);
    let proposal = Proposal { group: GROUP, height: HEIGHT, round: 0, valid_round: None, block: id };
    let signature = key(1).sign(&proposal.message(&CLUSTER));
    let proposed = Message::Proposal(SignedProposal { proposal, proposer: key(1).public(), signature });
    let bytes = |block: Block| Message::Block { height: HEIGHT, bytes: block.encode().into() };
    let mut actions = says(&mut engine, 1, bytes(half()));
    actions.extend(says(&mut engine, 1, proposed));
    actions.extend(says(&mut engine, 2, bytes(half())));
    assert_eq!(judged(&actions), []);
    assert_eq!(judged(&says(&mut engine, 3, bytes(block()))), [block()]);
}

#[test]
fn half_a_block_is_not_caught_up_with() {
    let mut engine = engine();
    let mut certificate = Certificate {
        group: GROUP,
        height: HEIGHT,
        round: 0,
        block: block().header.id(&CLUSTER),
        signatures: Vec::new(),
    };
    let message = certificate.vote().message(&CLUSTER);
    assert_eq!(certificate.vote().kind, VoteKind::Precommit);
    let mut signers: Vec<SigningKey> = (1..4).map(key).collect();
    signers.sort_by_key(SigningKey::public);
    certificate.signatures = signers.iter().map(|key| (key.public(), key.sign(&message))).collect();
    let decided = |block: Block| {
        let (block, certificate) = (block.encode().into(), certificate.clone());
        Message::Decided(vec![Decided { block, certificate }])
    };
    says(&mut engine, 2, Message::Head { height: Height(3) });
    assert_eq!(judged(&says(&mut engine, 2, decided(half()))), []);
    says(&mut engine, 3, Message::Head { height: Height(3) });
    assert_eq!(judged(&says(&mut engine, 3, decided(block()))), [block()]);
}
