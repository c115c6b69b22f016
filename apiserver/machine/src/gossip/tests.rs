use super::*;
use crate::heard::Heard;
use crate::pool::WINDOW;
use crate::submission::Answer;
use crate::tests::network::{genesis_of_four, key_of};
use crate::tests::support::*;
use crate::{Config, Machine};
use hypermesh_chain::{Authority, Canonical, Certificate, PublicKey, Vote, VoteKind};
use hypermesh_consensus::{Limits, Proposal, StateMachine, Verdict};

const NOW: Timestamp = Timestamp(START + SECOND);

/// A machine of one of four, and its folder.
fn machine(place: usize) -> (tempfile::TempDir, Machine) {
    let dir = tempfile::tempdir().unwrap();
    let (dir_of, key) = (dir.path().to_owned(), key_of(place));
    let config = Config { dir: dir_of, store: options(), key, definitions: definitions() };
    let machine = Machine::open(config, &genesis_of_four()).unwrap();
    (dir, machine)
}

fn endorsed(place: usize, nonce: u64) -> Request {
    let mut request = create(&format!("entry-{nonce}"), nonce, NOW.0);
    if let Authority::Endorsed(endorsement) = &mut request.authority {
        endorsement.replica = key_of(place).public();
    }
    request
}

fn ask(machine: &mut Machine, place: usize, nonces: std::ops::Range<u64>) -> Vec<Answer> {
    nonces.map(|nonce| submit(machine, endorsed(place, nonce))).collect()
}

fn hear(machine: &mut Machine, from: PublicKey, bundle: &Bundle) -> bool {
    let heard = Heard::read(from, &bundle.encode(), &machine.cluster).unwrap();
    machine.hear(heard, NOW)
}

/// Decides a block at a machine, in the name of three.
fn decide(machine: &mut Machine, block: &hypermesh_chain::Block) {
    let id = block.header.id(&machine.cluster);
    let (group, height) = (block.header.group, block.header.height);
    let vote = Vote { kind: VoteKind::Precommit, group, height, round: 0, block: Some(id) };
    let sign = |place| (key_of(place).public(), key_of(place).sign(&vote.message(&machine.cluster)));
    let mut signatures: Vec<_> = (0..3).map(sign).collect();
    signatures.sort_unstable();
    assert_eq!(machine.validate(block, Proposal::Known).unwrap(), Verdict::Valid);
    machine.commit(&id, &Certificate { group, height, round: 0, block: id, signatures }).unwrap();
}

#[test]
fn so_much_is_told_at_a_time_and_the_rest_waits() {
    let (_dir, mut machine) = machine(0);
    let most = WINDOW.requests as u64;
    let answers = ask(&mut machine, 0, 0..most + 10);
    let told: Vec<usize> = machine.tell(NOW).iter().map(|bundle| bundle.requests.len()).collect();
    assert_eq!(told, [1024, 1024]);
    assert_eq!((machine.pool.len(), machine.queue.len()), (WINDOW.requests, 10));
    assert!(machine.tell(NOW).is_empty(), "until something is settled");
    let block = prepare(&mut machine, NOW.0).unwrap();
    let ordered = block.requests.len();
    decide(&mut machine, &block);
    assert_eq!(machine.tell(NOW).iter().map(|bundle| bundle.requests.len()).sum::<usize>(), ordered.min(10));
    assert_eq!(machine.queue.len(), 10_usize.saturating_sub(ordered));
    drop(answers);
}

#[test]
fn another_proposes_a_part_of_what_was_told_and_the_rest_is_told_again() {
    let ((_a, mut first), (_b, mut second), (_c, mut third)) = (machine(0), machine(1), machine(2));
    let mut answers = ask(&mut first, 0, 0..5);
    let bundles = first.tell(NOW);
    assert_eq!((bundles.len(), bundles[0].endorsements.len()), (1, 1));
    let me = key_of(0).public();
    assert!(hear(&mut second, me, &bundles[0]));
    assert!(!hear(&mut second, me, &bundles[0]), "it is not new any more");
    // The second proposes three of the five, under the endorsement of all five.
    let limits = Limits { requests: 3, ..Limits::default() };
    let block = (*second.prepare(&limits, NOW).unwrap().unwrap()).clone();
    assert_eq!(block.endorsements.len(), 1);
    assert_eq!(block.endorsements[0].absent.len(), 2);
    for machine in [&mut first, &mut second, &mut third] {
        decide(machine, &block);
    }
    for answer in answers.drain(..3) {
        assert_eq!(outcome(answer).code, 201, "who was asked answers");
    }
    assert_eq!((first.pool.len(), second.pool.len()), (2, 2));
    // The third hears of it only now.
    assert!(first.tell_again(Timestamp(NOW.0 - 1), NOW).is_empty(), "it was told a moment ago");
    let again = first.tell_again(NOW, NOW);
    assert_eq!((again.len(), again[0].requests.len()), (1, 2));
    assert_eq!(again[0].endorsements[0].absent.len(), 3);
    assert!(hear(&mut third, me, &again[0]));
    assert!(!hear(&mut third, me, &bundles[0]), "what was ordered is not taken again");
    let block = prepare(&mut third, NOW.0 + 1).unwrap();
    for machine in [&mut third, &mut first] {
        decide(machine, &block);
    }
    assert!(answers.into_iter().all(|answer| outcome(answer).code == 201));
    assert!(first.pool.len() == 0 && !StateMachine::has_work(&first));
}

#[test]
fn requests_of_several_replicas_stand_in_one_block() {
    let ((_a, mut first), (_b, mut second)) = (machine(0), machine(1));
    let answers = [ask(&mut first, 0, 0..2), ask(&mut second, 1, 10..12)];
    for bundle in first.tell(NOW) {
        hear(&mut second, key_of(0).public(), &bundle);
    }
    second.tell(NOW);
    let block = prepare(&mut second, NOW.0).unwrap();
    assert_eq!((block.requests.len(), block.endorsements.len()), (4, 2));
    decide(&mut first, &block);
    decide(&mut second, &block);
    assert!(answers.into_iter().flatten().all(|answer| outcome(answer).code == 201));
}

#[test]
fn what_does_not_hold_is_refused_whole() {
    let (_dir, mut machine) = machine(0);
    drop(ask(&mut machine, 0, 0..3));
    let bundle = machine.tell(NOW).remove(0);
    let from = key_of(1).public();
    let read = |bundle: &Bundle| Heard::read(from, &bundle.encode(), &machine.cluster);
    assert_eq!(read(&bundle).unwrap().requests.len(), 3);
    let mut forged = bundle.clone();
    forged.requests[1] = endorsed(0, 9);
    assert_eq!(
        read(&forged).err().unwrap(),
        "endorsement 0 does not verify: the signature by ".to_owned()
            + &key_of(0).public().to_string()
            + " does not verify"
    );
    let mut bare = bundle.clone();
    bare.endorsements.clear();
    assert_eq!(read(&bare).err().unwrap(), "request 0 is endorsed by no replica");
    assert!(Heard::read(from, b"no bundle", &machine.cluster).is_err());
    // What does not decode could never be ordered, and is let go alone.
    let mut garbled = endorsed(0, 5);
    garbled.body = b"{"[..].into();
    let requests = vec![garbled, endorsed(0, 6)];
    let digests: Vec<Hash> = requests.iter().map(Request::digest).collect();
    let endorsements = vec![BatchEndorsement::sign(&key_of(0), &machine.cluster, &digests, vec![0, 1])];
    let heard = read(&Bundle { requests, endorsements }).unwrap();
    assert_eq!(heard.requests.iter().map(|coming| coming.digest).collect::<Vec<_>>(), digests[1..]);
}
