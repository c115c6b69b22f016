//! Which blocks are refused, and that a refused one leaves no trace.

use super::support::*;
use crate::{Machine, MachineError};
use hypermesh_chain::request::Request;
use hypermesh_chain::{BatchEndorsement, Block, Hash, Header, Height, SigningKey, Timestamp};
use hypermesh_consensus::{Proposal, StateMachine, Verdict};

struct Case {
    _dir: tempfile::TempDir,
    machine: Machine,
    time: u64,
}

fn case() -> Case {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = open(dir.path());
    drop(submit(&mut machine, create("first", 1, START)));
    step(&mut machine, START + SECOND).unwrap();
    Case { _dir: dir, machine, time: START + 2 * SECOND }
}

/// A good block that is not kept.
fn good(case: &mut Case) -> Block {
    drop(submit(&mut case.machine, create("second", 2, case.time)));
    let block = prepare(&mut case.machine, case.time).unwrap();
    case.machine.abandon(&block.header.id(&case.machine.cluster));
    block
}

/// Puts other requests in a block, endorsed as they should be.
fn with(case: &Case, block: &Block, requests: Vec<Request>, endorser: &SigningKey) -> Block {
    let digests: Vec<Hash> = requests.iter().map(Request::digest).collect();
    let indices = (0..requests.len() as u32).collect();
    let endorsements = vec![BatchEndorsement::sign(endorser, &case.machine.cluster, &digests, indices)];
    let root = Block::requests_root(&requests, &endorsements);
    Block { header: Header { requests: root, ..block.header.clone() }, requests, endorsements }
}

fn refused(case: &mut Case, block: &Block) -> String {
    let before = (case.machine.head(), root_of(&case.machine), case.machine.revision());
    let verdict = case.machine.validate(block, Proposal::Known).unwrap();
    let Verdict::Invalid(why) = verdict else { panic!("it is taken for valid") };
    assert_eq!((case.machine.head(), root_of(&case.machine), case.machine.revision()), before);
    assert!(case.machine.prepared.is_empty(), "nothing is kept of it");
    let id = block.header.id(&case.machine.cluster);
    let certificate = certify(&case.machine, block);
    assert!(matches!(case.machine.commit(&id, &certificate), Err(MachineError::UnknownBlock(_))));
    why
}

#[test]
fn a_good_block_is_valid_as_often_as_it_comes() {
    let mut case = case();
    let block = good(&mut case);
    for _ in 0..2 {
        assert_eq!(case.machine.validate(&block, Proposal::Known).unwrap(), Verdict::Valid);
    }
    case.machine.abandon(&block.header.id(&case.machine.cluster));
    assert!(case.machine.prepared.is_empty());
    assert_eq!(case.machine.validate(&block, Proposal::Known).unwrap(), Verdict::Valid);
    let id = block.header.id(&case.machine.cluster);
    let certificate = certify(&case.machine, &block);
    case.machine.commit(&id, &certificate).unwrap();
    assert_eq!(case.machine.head(), (Height(2), id));
}

#[test]
fn a_header_that_says_something_else_is_refused() {
    let mut case = case();
    let block = good(&mut case);
    type Change = fn(&mut Header);
    let changes: [(Change, &str); 12] = [
        (|h| h.version += 1, "it names another version of the pipeline"),
        (|h| h.group.0 += 1, "it belongs to another group"),
        (|h| h.height.0 += 1, "it is not the next height"),
        (|h| h.parent.0[0] ^= 1, "it does not follow the newest block"),
        (|h| h.time = Timestamp(START), "its time does not rise"),
        (|h| h.proposer.0[0] ^= 1, "its proposer is no validator"),
        (|h| h.state.0[0] ^= 1, "its header is not what its requests come to"),
        (|h| h.receipts.0[0] ^= 1, "its header is not what its requests come to"),
        (|h| h.events.0[0] ^= 1, "its header is not what its requests come to"),
        (|h| h.next_validators.0[0] ^= 1, "its header is not what its requests come to"),
        (|h| h.last_revision.0 += 1, "its header is not what its requests come to"),
        (|h| h.first_revision.0 -= 1, "its header is not what its requests come to"),
    ];
    for (change, why) in changes {
        let mut changed = block.clone();
        change(&mut changed.header);
        assert_eq!(refused(&mut case, &changed), why);
    }
    let mut changed = block.clone();
    changed.header.requests.0[0] ^= 1;
    assert!(refused(&mut case, &changed).starts_with("its authorities do not hold"));
    let mut emptied = block;
    emptied.requests.clear();
    emptied.endorsements.clear();
    assert!(refused(&mut case, &emptied).starts_with("its authorities do not hold"));
}

#[test]
fn requests_without_right_are_refused() {
    let mut case = case();
    let block = good(&mut case);
    let time = case.time;
    let stranger = SigningKey::from_seed(&[7; 32]);
    let forged = with(&case, &block, block.requests.clone(), &stranger);
    assert!(refused(&mut case, &forged).starts_with("its authorities do not hold"));
    let replayed = with(&case, &block, vec![create("first", 1, START)], &key());
    assert!(refused(&mut case, &replayed).ends_with("writes nothing and must not be ordered"));
    let twice = with(&case, &block, vec![create("x", 3, time), create("x", 3, time)], &key());
    assert!(refused(&mut case, &twice).ends_with("writes nothing and must not be ordered"));
    let idle = with(&case, &block, vec![create("first", 4, time)], &key());
    assert!(refused(&mut case, &idle).ends_with("writes nothing and must not be ordered"));
    let old = with(&case, &block, vec![create("old", 5, time - 100 * SECOND)], &key());
    assert!(refused(&mut case, &old).ends_with("writes nothing and must not be ordered"));
    let mut nobody = create("nobody", 6, time);
    let hypermesh_chain::Authority::Endorsed(endorsement) = &mut nobody.authority else { unreachable!() };
    endorsement.user = Default::default();
    let nobody = with(&case, &block, vec![nobody], &key());
    assert!(refused(&mut case, &nobody).ends_with("writes nothing and must not be ordered"));
    let mut garbled = create("garbled", 7, time);
    garbled.body = b"{"[..].into();
    let garbled = with(&case, &block, vec![garbled], &key());
    assert!(refused(&mut case, &garbled).starts_with("a request does not decode"));
}

#[test]
fn a_fresh_proposal_is_of_this_time() {
    let mut case = case();
    let block = good(&mut case);
    let at = |seconds: i64| {
        Proposal::Fresh(Timestamp(block.header.time.0.saturating_add_signed(seconds * 1_000_000)))
    };
    for far in [-11, 11] {
        assert!(matches!(case.machine.validate(&block, at(far)).unwrap(), Verdict::Invalid(_)));
    }
    assert_eq!(case.machine.validate(&block, at(9)).unwrap(), Verdict::Valid);
}

#[test]
fn a_certificate_that_does_not_hold_decides_nothing() {
    let mut case = case();
    let answer = submit(&mut case.machine, create("second", 2, case.time));
    let block = prepare(&mut case.machine, case.time).unwrap();
    let id = block.header.id(&case.machine.cluster);
    let certificate = certify(&case.machine, &block);
    let stranger = certify_by(&case.machine, &block, &SigningKey::from_seed(&[7; 32]));
    let mut nobody = certificate.clone();
    nobody.signatures.clear();
    let mut forged = certificate.clone();
    forged.signatures[0].1.0[0] ^= 1;
    for bad in [stranger, nobody, forged] {
        assert!(matches!(case.machine.commit(&id, &bad), Err(MachineError::Certificate(_))));
    }
    let mut other = certificate.clone();
    other.height.0 += 1;
    assert!(matches!(case.machine.commit(&id, &other), Err(MachineError::UnknownBlock(_))));
    assert_eq!(case.machine.head().0, Height(1));
    // The block is still known: the right one decides it, and only then is the client answered.
    case.machine.commit(&id, &certificate).unwrap();
    assert_eq!(outcome(answer).code, 201);
}

#[test]
fn a_block_that_is_abandoned_leaves_no_trace() {
    let mut case = case();
    let before = (root_of(&case.machine), case.machine.revision());
    let mut answer = submit(&mut case.machine, create("second", 2, case.time));
    let block = prepare(&mut case.machine, case.time).unwrap();
    case.machine.abandon(&block.header.id(&case.machine.cluster));
    assert!(answer.try_recv().is_err(), "who waits is told nothing yet");
    assert_eq!((root_of(&case.machine), case.machine.revision()), before);
    // Its requests were not used up, and wait for the next block.
    step(&mut case.machine, case.time).unwrap();
    assert_eq!(outcome(answer).code, 201);
}

#[test]
fn what_waits_for_a_block_that_gives_way_waits_for_the_next() {
    let mut case = case();
    let time = case.time;
    let first = submit(&mut case.machine, create("loser", 2, time));
    prepare(&mut case.machine, time).unwrap();
    let second = submit(&mut case.machine, create("winner", 3, time));
    step(&mut case.machine, time).unwrap();
    assert_eq!(outcome(second).code, 201);
    assert!(case.machine.prepared.is_empty() && case.machine.queue.len() == 1);
    step(&mut case.machine, time + SECOND).unwrap();
    assert_eq!(outcome(first).code, 201);
}
