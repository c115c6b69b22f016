use super::*;
use crate::submission::Answer;
use crate::tests::network::key_of;
use crate::tests::one_of_four::*;
use crate::tests::support::*;
use hypermesh_chain::Request;
use hypermesh_consensus::StateMachine;

/// Two requests for the same name, at two replicas that know of both. The first one's is ordered, by the first.
struct Conflict {
    _dirs: [tempfile::TempDir; 2],
    first: Machine,
    second: Machine,
    /// What the second asked for, and the answer that it waits for.
    refused: Hash,
    answer: Answer,
}

fn same_name(place: usize, nonce: u64) -> Request {
    let mut request = endorsed(place, nonce);
    request.body = endorsed(place, 0).body;
    request
}

fn conflict() -> Conflict {
    let ((a, mut first), (b, mut second)) = (machine(0), machine(1));
    drop(submit(&mut first, same_name(0, 1)));
    let request = same_name(1, 2);
    let refused = request.digest();
    let answer = submit(&mut second, request);
    for bundle in first.tell(NOW) {
        hear(&mut second, key_of(0).public(), &bundle);
    }
    for bundle in second.tell(NOW) {
        hear(&mut first, key_of(1).public(), &bundle);
    }
    let block = prepare(&mut first, NOW.0).unwrap();
    assert_eq!(block.requests.len(), 1);
    decide(&mut first, &block);
    decide(&mut second, &block);
    Conflict { _dirs: [a, b], first, second, refused, answer }
}

#[test]
fn what_was_left_out_is_named_forgotten_and_answered_by_who_took_it() {
    let Conflict { _dirs, mut first, mut second, refused, mut answer } = conflict();
    let left_out = first.take_left_out();
    assert_eq!(left_out, [(Height(1), vec![refused])]);
    assert!(first.take_left_out().is_empty());
    assert_eq!(first.review(NOW).unwrap(), [], "it is not this one's to answer");
    assert!(first.pool.len() == 0 && !StateMachine::has_work(&first));
    assert!(second.review(NOW).unwrap().is_empty(), "nobody has said anything, and no time has passed");
    second.left_out_by(key_of(0).public(), false, Height(1), &[refused]);
    assert_eq!(second.review(NOW).unwrap(), [refused]);
    assert!(!StateMachine::has_work(&second), "it is not proposed while it is put aside");
    assert!(answer.try_recv().is_err(), "a barrier has to pass first");
    second.settle(&[refused], NOW).unwrap();
    assert_eq!(outcome(answer).code, 409);
    assert_eq!(second.pool.len(), 0);
}

#[test]
fn with_no_word_it_is_looked_at_after_a_while() {
    let Conflict { _dirs, mut second, refused, .. } = conflict();
    assert!(second.review(Timestamp(NOW.0 + 999_999)).unwrap().is_empty());
    assert_eq!(second.review(Timestamp(NOW.0 + 1_000_000)).unwrap(), [refused]);
}

#[test]
fn a_word_of_who_does_not_propose_is_not_looked_into() {
    let Conflict { _dirs, mut second, refused, .. } = conflict();
    second.left_out_by(key_of(3).public(), false, Height(1), &[refused]);
    assert!(!second.pool.has_doubts());
    second.left_out_by(key_of(3).public(), true, Height(1), &[refused]);
    assert!(second.pool.has_doubts());
}

#[test]
fn a_lie_about_a_request_is_looked_into_once_a_height() {
    let (_dir, mut machine) = machine(0);
    let answers = asked(&mut machine, 0, 0..2);
    machine.tell(NOW);
    let digests: Vec<Hash> = (0..2).map(|nonce| endorsed(0, nonce).digest()).collect();
    let liar = key_of(2).public();
    machine.left_out_by(liar, true, Height(0), &digests);
    assert!(machine.pool.has_doubts() && machine.review(NOW).unwrap().is_empty(), "both write something");
    machine.left_out_by(liar, true, Height(0), &digests);
    assert!(!machine.pool.has_doubts(), "that was looked into");
    machine.left_out_by(liar, true, Height(u64::MAX), &digests);
    assert!(machine.review(NOW).unwrap().is_empty(), "the height that it is about is not decided");
    assert!(machine.pool.has_doubts() && machine.has_work());
    let block = prepare(&mut machine, NOW.0).unwrap();
    decide(&mut machine, &block);
    assert!(answers.into_iter().all(|answer| outcome(answer).code == 201));
}

#[test]
fn what_may_be_decided_yet_is_not_refused() {
    let Conflict { _dirs, mut second, refused, mut answer, .. } = conflict();
    second.left_out_by(key_of(0).public(), false, Height(1), &[refused]);
    assert_eq!(second.review(NOW).unwrap(), [refused]);
    // The name is free again before the barrier has passed.
    let target = format!("{CONFIG_MAPS}/entry-0");
    let mut gone = ask(
        hypermesh_chain::Method::Delete,
        &target,
        hypermesh_chain::Media::None,
        &serde_json::Value::Null,
        9,
        NOW.0,
    );
    if let hypermesh_chain::Authority::Endorsed(endorsement) = &mut gone.authority {
        endorsement.replica = key_of(1).public();
    }
    drop(submit(&mut second, gone));
    second.tell(NOW);
    let block = prepare(&mut second, NOW.0 + 1).unwrap();
    decide(&mut second, &block);
    second.settle(&[refused], NOW).unwrap();
    assert!(answer.try_recv().is_err(), "it writes now, and is ordered");
    assert_eq!(second.tell_again(NOW).len(), 1, "the others have forgotten it");
    let block = prepare(&mut second, NOW.0 + 2).unwrap();
    decide(&mut second, &block);
    assert_eq!(outcome(answer).code, 201);
}

#[test]
fn who_waits_too_long_is_told_what_is_known() {
    let (_dir, mut machine) = machine(0);
    let mut answers = asked(&mut machine, 0, 0..1);
    machine.tell(NOW);
    machine.expire(Timestamp(NOW.0 + 79 * SECOND));
    assert!(answers[0].try_recv().is_err());
    machine.expire(Timestamp(NOW.0 + 81 * SECOND));
    let refused = answers.remove(0).try_recv().unwrap().unwrap_err().0;
    assert_eq!((refused.code, refused.reason.as_str()), (504, "Timeout"));
    assert!(
        refused.message.ends_with("it is not known whether the request was executed"),
        "{}",
        refused.message
    );
    // Block time has passed the next one by: it can be ordered no more.
    let mut answers = asked(&mut machine, 0, 1..2);
    machine.tell(NOW);
    let mut late = endorsed(0, 3);
    if let hypermesh_chain::Authority::Endorsed(endorsement) = &mut late.authority {
        endorsement.received = Timestamp(NOW.0 + 61 * SECOND);
    }
    drop(submit(&mut machine, late));
    machine.tell(NOW);
    let block = prepare(&mut machine, NOW.0 + 61 * SECOND).unwrap();
    assert_eq!(block.requests.len(), 1);
    decide(&mut machine, &block);
    machine.expire(NOW);
    let refused = answers.remove(0).try_recv().unwrap().unwrap_err().0;
    assert!(refused.message.contains("it did nothing, and will do nothing"), "{}", refused.message);
}
