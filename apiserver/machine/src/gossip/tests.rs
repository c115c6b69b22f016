use super::*;
use crate::heard::Heard;
use crate::pool::WINDOW;
use crate::tests::network::key_of;
use crate::tests::one_of_four::*;
use crate::tests::support::*;
use hypermesh_chain::Canonical;
use hypermesh_consensus::{Limits, StateMachine};

#[test]
fn so_much_is_told_at_a_time_and_the_rest_waits() {
    let (_dir, mut machine) = machine(0);
    let most = WINDOW.requests as u64;
    let answers = asked(&mut machine, 0, 0..most + 10);
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
    let mut answers = asked(&mut first, 0, 0..5);
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
    assert!(first.tell_again(NOW).is_empty(), "it was told a moment ago");
    assert_eq!(first.tell_all(NOW).len(), 1);
    let mut later = |after: u64| first.tell_again(Timestamp(NOW.0 + after));
    assert!(later(TELL_AGAIN - 1).is_empty());
    let again = later(TELL_AGAIN);
    assert!(later(3 * TELL_AGAIN - 1).is_empty(), "it takes longer each time");
    assert_eq!(later(3 * TELL_AGAIN).len(), 1);
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
    let answers = [asked(&mut first, 0, 0..2), asked(&mut second, 1, 10..12)];
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
    drop(asked(&mut machine, 0, 0..3));
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
