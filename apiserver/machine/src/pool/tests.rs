use super::*;
use crate::submission::Answer;
use crate::tests::support::{START, create, key};
use hypermesh_chain::{Authority, Block, ClusterId, SigningKey};

const NOW: Timestamp = Timestamp(START);
const HEIGHT: Height = Height(5);

fn peer(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public()
}

fn coming(nonce: u64) -> Coming {
    let request = create(&format!("entry-{nonce}"), nonce, START);
    let call = Call::decode(&request).unwrap();
    Coming { digest: call.digest, request, call, batch: None, bytes: 1 }
}

fn submission(nonce: u64) -> (Submission, Answer) {
    let Coming { request, call, .. } = coming(nonce);
    Submission::new(request, call)
}

fn own(pool: &mut Pool, nonce: u64) -> (Hash, Answer) {
    let (submission, answer) = submission(nonce);
    let submission = pool.join(submission).unwrap();
    let Submission { request, call, waiting } = submission;
    let digest = call.digest;
    pool.take_own(Coming { digest, request, call, batch: None, bytes: 1 }, waiting, NOW);
    (digest, answer)
}

fn heard(pool: &mut Pool, nonce: u64, from: PublicKey) -> Option<Hash> {
    let coming = coming(nonce);
    let digest = coming.digest;
    pool.take_heard(coming, from, NOW, None).then_some(digest)
}

fn done() -> Outcome {
    Outcome::refused(&hypermesh_api::Status::internal("test"))
}

/// What is counted is what is there.
fn check(pool: &Pool) {
    let entries = || pool.entries.values();
    assert_eq!(pool.places.len(), pool.entries.len());
    assert_eq!(pool.aside, entries().filter(|entry| entry.aside).count());
    assert_eq!(pool.doubts, entries().filter(|entry| entry.doubt.is_some()).count());
    assert_eq!(pool.own.requests, entries().filter(|entry| entry.origin == Origin::Own).count());
    let peers: usize = pool.peers.values().map(|quota| quota.requests).sum();
    assert_eq!(peers + pool.own.requests, pool.entries.len());
}

#[test]
fn a_request_is_here_once_however_often_it_is_told() {
    let mut pool = Pool::default();
    let digest = heard(&mut pool, 1, peer(2)).unwrap();
    assert_eq!(heard(&mut pool, 1, peer(2)), None);
    assert_eq!(heard(&mut pool, 1, peer(3)), None);
    let (asked, mut answer) = submission(1);
    assert!(pool.join(asked).is_none(), "whoever asks for it waits for it");
    check(&pool);
    assert_eq!((pool.len(), pool.own.requests, pool.peers.len()), (1, 1, 0), "it is this replica's, too");
    assert_eq!(pool.own().count(), 1);
    pool.settle(&digest, &done());
    assert_eq!(answer.try_recv().unwrap().unwrap().code, 500);
    assert!(pool.len() == 0 && !pool.has_work());
    check(&pool);
}

#[test]
fn one_peer_fills_its_own_part_and_nobody_elses() {
    let mut pool = Pool::default();
    let template = coming(0);
    let mut tell = |number: u64, from| {
        let mut digest = Hash::default();
        digest.0[..8].copy_from_slice(&number.to_le_bytes());
        let (request, call) = (template.request.clone(), template.call.clone());
        pool.take_heard(Coming { digest, request, call, batch: None, bytes: 1 }, from, NOW, None)
    };
    let taken = (0..10_000).filter(|number| tell(*number, peer(2))).count();
    assert_eq!(taken, MOST_HEARD.requests);
    assert!(tell(20_000, peer(3)));
    check(&pool);
    let (_, _answer) = own(&mut pool, 7);
    assert_eq!(pool.room(), WINDOW.requests - 1, "what others tell takes no room of this replica's clients");
}

#[test]
fn bytes_count_as_well() {
    let mut pool = Pool::default();
    let large = |nonce| Coming { bytes: WINDOW.bytes, ..coming(nonce) };
    assert!(pool.take_heard(large(1), peer(2), NOW, None));
    assert!(pool.take_heard(large(2), peer(2), NOW, None));
    assert!(!pool.take_heard(large(3), peer(2), NOW, None));
    assert!(pool.take_heard(large(3), peer(3), NOW, None));
    check(&pool);
}

#[test]
fn a_hold_goes_with_the_last_of_what_it_is_for() {
    let mut pool = Pool::default();
    let hold: Hold = Arc::new(());
    let digests: Vec<Hash> = (0..2)
        .map(|nonce| {
            let coming = coming(nonce);
            let digest = coming.digest;
            assert!(pool.take_heard(coming, peer(2), NOW, Some(Arc::clone(&hold))));
            digest
        })
        .collect();
    assert_eq!(Arc::strong_count(&hold), 3);
    pool.settle(&digests[0], &done());
    pool.take_back(&digests[1], peer(3));
    assert_eq!(Arc::strong_count(&hold), 2, "that is not its to take back");
    pool.take_back(&digests[1], peer(2));
    assert_eq!(Arc::strong_count(&hold), 1, "its origin took the second one back");
}

#[test]
fn a_word_about_anothers_request_is_looked_into_at_its_height() {
    let mut pool = Pool::default();
    let digest = heard(&mut pool, 1, peer(2)).unwrap();
    pool.doubt(&digest, HEIGHT);
    pool.doubt(&Hash::default(), HEIGHT);
    assert!(pool.due(Height(4), NOW, 9).is_empty());
    assert_eq!(pool.due(HEIGHT, NOW, 9), [digest]);
    pool.looked_at(&digest, HEIGHT, NOW);
    pool.doubt(&digest, HEIGHT);
    assert!(pool.due(HEIGHT, NOW, 9).is_empty() && pool.has_work() && !pool.has_doubts());
    // With no word from anybody it is looked at after a while.
    assert_eq!(pool.due(HEIGHT, Timestamp(NOW.0 + PATIENCE), 9), [digest]);
    assert!(!pool.put_aside(&digest), "another's is forgotten");
    assert_eq!(pool.len(), 0);
    check(&pool);
}

#[test]
fn what_is_put_aside_is_not_proposed_until_it_is_put_back() {
    let mut pool = Pool::default();
    let (digest, _answer) = own(&mut pool, 1);
    pool.doubt(&digest, HEIGHT);
    assert!(pool.put_aside(&digest) && !pool.has_work() && !pool.has_doubts());
    check(&pool);
    assert_eq!((pool.proposable().count(), pool.own().count()), (0, 0));
    assert!(pool.due(HEIGHT, Timestamp(u64::MAX), 9).is_empty());
    pool.put_back(&digest, NOW);
    assert!(
        pool.has_work() && pool.own().all(|entry| entry.told == Timestamp(0)),
        "it is told again at once"
    );
    check(&pool);
}

#[test]
fn time_ends_what_waits_and_says_what_is_known() {
    let validity = 60_000_000;
    let mut pool = Pool::default();
    let (_, _first) = own(&mut pool, 1);
    heard(&mut pool, 2, peer(2)).unwrap();
    let (head, later) = (Timestamp(NOW.0 + validity), Timestamp(NOW.0 + validity + 2 * SKEW));
    assert!(pool.expired(head, later, validity).is_empty());
    let ended = pool.expired(Timestamp(head.0 + 1), NOW, validity);
    assert_eq!(
        ended.iter().map(|(waits, why)| (waits.len(), *why)).collect::<Vec<_>>(),
        [(1, Ended::Expired), (0, Ended::Expired)]
    );
    check(&pool);
    let (_, _second) = own(&mut pool, 3);
    let ended = pool.expired(NOW, Timestamp(later.0 + 1), validity);
    assert_eq!(ended.first().map(|(waits, why)| (waits.len(), *why)), Some((1, Ended::Unknown)));
    check(&pool);
}

#[test]
fn parts_of_batches_are_endorsed_as_the_whole_was() {
    let cluster = ClusterId(Hash([7; 32]));
    let requests: Vec<Request> = (0..6).map(|nonce| create("entry", nonce, START)).collect();
    let digests: Vec<Hash> = requests.iter().map(Request::digest).collect();
    let batch = |members: &[usize]| {
        let digests: Vec<Hash> = members.iter().map(|i| digests[*i]).collect();
        let signed = BatchEndorsement::sign(&key(), &cluster, &digests, Vec::new());
        Arc::new(Batch { replica: signed.replica, digests, signature: signed.signature })
    };
    let (first, second) = (batch(&[0, 1, 2, 3]), batch(&[4, 5]));
    let mut gathered = Gathered::default();
    let chosen = [(&first, 3, 3), (&second, 0, 4), (&first, 1, 1)];
    let mut block = Vec::new();
    for (batch, place, request) in chosen {
        gathered.add(&(Arc::clone(batch), place), block.len());
        block.push(requests[request].clone());
    }
    assert!(gathered.fits(Some(&(Arc::clone(&first), 0)), 0), "its absent ones are named already");
    assert!(!gathered.fits(Some(&(batch(&[2, 4]), 0)), 7) && gathered.fits(None, 0));
    let bundle = hypermesh_chain::Bundle { requests: block, endorsements: gathered.endorsements() };
    assert_eq!(bundle.endorsements.len(), 2);
    assert_eq!(bundle.endorsements[0].indices, [2, 0]);
    bundle.verify(&cluster).unwrap();
    assert!(bundle.requests.iter().all(|request| matches!(request.authority, Authority::Endorsed(_))));
    assert!(bundle.requests.len() <= Block::MAX_REQUESTS);
}
