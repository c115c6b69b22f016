use super::*;
use crate::{
    Authority, Endorsement, Facts, Media, Method, ObjectKey, Record, RequestSignature, Signature, SigningKey,
    User, signature,
};
use bytes::Bytes;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn cluster() -> ClusterId {
    ClusterId(Hash([7; 32]))
}

fn header() -> Header {
    Header {
        version: 1,
        group: GroupId(2),
        height: Height(3),
        parent: Hash([4; 32]),
        time: Timestamp(5),
        proposer: key(6).public(),
        validators: Hash([7; 32]),
        next_validators: Hash([8; 32]),
        requests: Hash([9; 32]),
        receipts: Hash([10; 32]),
        events: Hash([11; 32]),
        state: Hash([12; 32]),
        first_revision: Revision(13),
        last_revision: Revision(14),
    }
}

fn request(nonce: u64, replica: Option<u8>) -> Request {
    let mut request = Request {
        method: Method::Post,
        target: "/api/v1/namespaces".into(),
        media: Media::Json,
        body: Bytes::from_static(b"{}"),
        authority: Authority::Signed { signatures: Vec::new() },
    };
    request.authority = match replica {
        Some(seed) => Authority::Endorsed(Endorsement {
            replica: key(seed).public(),
            user: User { name: "ada".into(), ..User::default() },
            received: Timestamp(1),
            nonce,
            manager: "kubectl".into(),
        }),
        None => {
            let message = signature::Message::of(&request);
            let signature = signature::sign(&key(9), &cluster(), &message, 1, None, nonce);
            Authority::Signed { signatures: vec![signature] }
        }
    };
    request
}

/// Two replicas' batches and a signed request between them.
fn block() -> Block {
    let requests = vec![
        request(1, Some(1)),
        request(2, Some(2)),
        request(3, None),
        request(4, Some(1)),
        request(5, None),
    ];
    let digests: Vec<_> = requests.iter().map(Request::digest).collect();
    let endorse = |seed, indices: &[u32]| {
        let batch: Vec<_> = indices.iter().map(|i| digests[*i as usize]).collect();
        BatchEndorsement::sign(&key(seed), &cluster(), &batch, indices.to_vec())
    };
    let endorsements = vec![endorse(1, &[0, 3]), endorse(2, &[1])];
    seal(Block { header: header(), requests, endorsements })
}

/// The block with a header that names its requests.
fn seal(mut block: Block) -> Block {
    block.header.requests = Block::requests_root(&block.requests, &block.endorsements);
    block
}

fn signature_of(request: &mut Request) -> &mut RequestSignature {
    let Authority::Signed { signatures } = &mut request.authority else { panic!("endorsed") };
    &mut signatures[0]
}

#[test]
fn the_id_covers_every_field_and_the_cluster() {
    let id = header().id(&cluster());
    let changes: [fn(&mut Header); 14] = [
        |h| h.version += 1,
        |h| h.group.0 += 1,
        |h| h.height.0 += 1,
        |h| h.parent.0[0] ^= 1,
        |h| h.time.0 += 1,
        |h| h.proposer.0[0] ^= 1,
        |h| h.validators.0[0] ^= 1,
        |h| h.next_validators.0[0] ^= 1,
        |h| h.requests.0[0] ^= 1,
        |h| h.receipts.0[0] ^= 1,
        |h| h.events.0[0] ^= 1,
        |h| h.state.0[0] ^= 1,
        |h| h.first_revision.0 += 1,
        |h| h.last_revision.0 += 1,
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = header();
        change(&mut other);
        assert_ne!(other.id(&cluster()), id, "field {i}");
    }
    assert_ne!(header().id(&ClusterId(Hash([8; 32]))), id);
    insta::assert_snapshot!(id, @"8ca47694ecf4892e64097331a5371a6e083a1a946bba03a8d2ae50ee637c743e");
}

#[test]
fn a_header_counts_its_writes() {
    assert_eq!(header().writes(), 2);
    let none = Header { first_revision: Revision(13), last_revision: Revision(12), ..header() };
    assert_eq!((none.writes(), none.check()), (0, Ok(())));
    let first = Header { first_revision: Revision(1), last_revision: Revision(0), ..header() };
    assert_eq!((first.writes(), first.check()), (0, Ok(())));
    let reversed = Header { last_revision: Revision(11), ..header() };
    assert!(Header::decode(&reversed.encode()).is_err());
    assert!(Header { last_revision: Revision(u64::MAX), ..header() }.check().is_err());
}

#[test]
fn a_sound_block_verifies() {
    let block = block();
    block.verify_authorities(&cluster()).unwrap();
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
    seal(Block { header: header(), requests: Vec::new(), endorsements: Vec::new() })
        .verify_authorities(&cluster())
        .unwrap();
}

#[test]
fn one_id_one_block() {
    // Whatever bytes change, the header no longer names them: signatures and endorsements too.
    let changes: [fn(&mut Block); 6] = [
        |b| b.requests.swap(0, 1),
        |b| drop(b.requests.pop()),
        |b| signature_of(&mut b.requests[2]).signature.0[0] ^= 1,
        |b| b.endorsements[0].signature.0[0] ^= 1,
        |b| b.endorsements[0].indices[0] = 2,
        |b| b.endorsements.swap(0, 1),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = block();
        change(&mut other);
        let verdict = other.verify_authorities(&cluster());
        assert!(matches!(verdict, Err(BlockError::Requests { .. })), "change {i}: {verdict:?}");
    }
}

#[test]
fn authorities_that_do_not_hold_are_named() {
    type Case = (fn(&mut Block), &'static str);
    let cases: [Case; 8] = [
        (
            |b| signature_of(&mut b.requests[4]).signature = Signature([0; 64]),
            "request 4 is not signed as it claims",
        ),
        (|b| b.endorsements[1].signature = Signature([0; 64]), "endorsement 1 does not verify"),
        (|b| drop(b.endorsements.pop()), "request 1 is endorsed by no replica"),
        (
            |b| b.endorsements[1].indices[0] = 5,
            "endorsement 1 covers request 5, which the block does not have",
        ),
        (|b| b.endorsements[1].indices[0] = 2, "request 2 is not endorsement 1's to cover"),
        (|b| b.endorsements[1].indices[0] = 3, "request 3 is not endorsement 1's to cover"),
        (|b| b.endorsements[0].indices[1] = 0, "request 0 is not endorsement 0's to cover"),
        (|b| b.endorsements[0].indices.reverse(), "endorsement 0 does not verify"),
    ];
    for (change, error) in cases {
        let mut other = block();
        change(&mut other);
        assert_eq!(seal(other).verify_authorities(&cluster()).unwrap_err().to_string(), error);
    }
    let elsewhere = ClusterId(Hash([8; 32]));
    assert!(block().verify_authorities(&elsewhere).is_err());
}

#[test]
fn a_block_has_no_more_endorsements_than_requests() {
    let mut block = block();
    block.endorsements = vec![block.endorsements[1].clone(); 6];
    assert!(Block::decode(&block.encode()).is_err());
    block.endorsements = vec![BatchEndorsement { indices: Vec::new(), ..block.endorsements[0].clone() }];
    assert!(Block::decode(&block.encode()).is_err());
}

/// A batch of five requests of replica 1, of which the block has the first and the fourth.
fn partial() -> (Block, Vec<Hash>) {
    let all: Vec<_> = (1..=5).map(|nonce| request(nonce, Some(1))).collect();
    let batch: Vec<_> = all.iter().map(Request::digest).collect();
    let requests = vec![all[3].clone(), request(9, None), all[0].clone()];
    let mut endorsement = BatchEndorsement::sign(&key(1), &cluster(), &batch, vec![2, 0]);
    endorsement.absent = vec![(1, batch[1]), (2, batch[2]), (4, batch[4])];
    (seal(Block { header: header(), requests, endorsements: vec![endorsement] }), batch)
}

#[test]
fn a_part_of_a_batch_stands_under_its_one_signature() {
    let (block, batch) = partial();
    block.verify_authorities(&cluster()).unwrap();
    assert_eq!(Block::decode(&block.encode()).unwrap(), block);
    // The rest of it, in another block.
    let requests: Vec<_> = [2, 3, 5].map(|nonce| request(nonce, Some(1))).to_vec();
    let mut rest = block.endorsements[0].clone();
    (rest.indices, rest.absent) = (vec![0, 1, 2], vec![(0, batch[0]), (3, batch[3])]);
    let rest = seal(Block { header: header(), requests, endorsements: vec![rest] });
    rest.verify_authorities(&cluster()).unwrap();
    assert_ne!(Block::requests_root(&rest.requests, &rest.endorsements), {
        let mut other = rest.endorsements[0].clone();
        other.absent[0].1.0[0] ^= 1;
        Block::requests_root(&rest.requests, &[other])
    });
}

#[test]
fn what_is_absent_is_said_in_one_form_or_not_at_all() {
    type Change = fn(&mut BatchEndorsement);
    let cases: [(Change, &str); 9] = [
        (|e| e.absent.swap(0, 1), "endorsement 0 names absent requests out of order, or beyond its batch"),
        (|e| e.absent[1].0 = 1, "endorsement 0 names absent requests out of order, or beyond its batch"),
        (|e| e.absent[2].0 = 5, "endorsement 0 names absent requests out of order, or beyond its batch"),
        (|e| e.absent[0].1 = e.absent[1].1, "endorsement 0 names request"),
        (|e| e.absent[0].1 = request(1, Some(1)).digest(), "endorsement 0 names request"),
        (|e| e.absent[0].1.0[0] ^= 1, "endorsement 0 does not verify"),
        (|e| e.absent.truncate(2), "endorsement 0 does not verify"),
        (|e| e.absent[2].0 = 3, "endorsement 0 does not verify"),
        (|e| e.indices.reverse(), "endorsement 0 does not verify"),
    ];
    for (change, error) in cases {
        let mut block = partial().0;
        change(&mut block.endorsements[0]);
        let found = seal(block).verify_authorities(&cluster()).unwrap_err().to_string();
        assert!(found.starts_with(error), "{found}");
    }
    let broken: [Change; 4] = [
        |e| e.absent.swap(0, 1),
        |e| e.absent[2].0 = 5,
        |e| e.indices.clear(),
        |e| e.absent = (0..BatchEndorsement::MAX_REQUESTS as u32).map(|i| (i, Hash([0; 32]))).collect(),
    ];
    for change in broken {
        let mut block = partial().0;
        change(&mut block.endorsements[0]);
        assert!(Block::decode(&block.encode()).is_err());
    }
}

#[test]
fn a_foreign_request_is_not_covered_by_a_batch_that_names_others() {
    let (mut block, _) = partial();
    block.requests[0] = request(4, Some(2));
    let error = seal(block).verify_authorities(&cluster()).unwrap_err().to_string();
    assert_eq!(error, "request 0 is not endorsement 0's to cover");
}

#[test]
fn what_a_block_names_as_absent_is_bounded() {
    let total = BatchEndorsement::MAX_REQUESTS as u32;
    let mut block = block();
    let absent: Vec<_> = (1..total).map(|place| (place, Hash([0; 32]))).collect();
    let one = |index| BatchEndorsement {
        indices: vec![index],
        absent: absent.clone(),
        ..block.endorsements[0].clone()
    };
    let four: Vec<_> = (0..4).map(one).collect();
    let five: Vec<_> = (0..5).map(one).collect();
    block.endorsements = four;
    assert_eq!(block.check(), Ok(()));
    block.endorsements = five;
    assert!(block.check().is_err());
}

#[test]
fn what_is_known_is_not_verified_again() {
    let mut block = block();
    signature_of(&mut block.requests[2]).signature = Signature([0; 64]);
    let block = seal(block);
    let known = block.requests[2].clone();
    assert!(block.verify_authorities_but(&cluster(), |_, _| false).is_err());
    let digests = block.verify_authorities_but(&cluster(), |request, _| *request == known).unwrap();
    assert_eq!(digests, block.requests.iter().map(Request::digest).collect::<Vec<_>>());
}

#[test]
fn an_event_is_its_revision_key_change_and_object() {
    let record = |body: &'static [u8]| Record {
        revision: Revision(5),
        salt: Vec::new(),
        facts: Facts::default(),
        body: Bytes::from_static(body),
    };
    let effect = |revision, name: &str, change| Effect {
        revision: Revision(revision),
        key: ObjectKey::new("/configmaps", "default", name).unwrap(),
        change,
    };
    let event = effect(5, "a", Change::Created(record(b"{}")));
    let others = [
        effect(6, "a", Change::Created(record(b"{}"))),
        effect(5, "b", Change::Created(record(b"{}"))),
        effect(5, "a", Change::Updated(record(b"{}"))),
        effect(5, "a", Change::Deleted(record(b"{}"))),
        effect(5, "a", Change::Created(record(b"[]"))),
    ];
    for other in &others {
        assert_ne!(event_leaf(other), event_leaf(&event));
    }
    assert_ne!(events_root(&others[..2]), events_root(&[others[1].clone(), others[0].clone()]));
    insta::assert_snapshot!(event_leaf(&event), @"5ebf5371b26ec90f578c0c0e739a19b799a1fe0fccbc1cfee43c9ed8bc9b6148");
}

#[test]
fn a_receipt_proves_an_outcome() {
    let receipt = |code| Receipt {
        request: Hash([1; 32]),
        code,
        revision: Revision(0),
        writes: 0,
        body: Hash([2; 32]),
    };
    let receipts: Vec<_> = [201, 409, 422].map(receipt).to_vec();
    let leaves: Vec<_> = receipts.iter().map(Receipt::leaf).collect();
    let proof = list::prove(&leaves, 1).unwrap();
    assert_eq!(proof.verify(&receipts_root(&receipts), &receipts[1].leaf()), Ok(()));
    assert!(proof.verify(&receipts_root(&receipts), &receipt(403).leaf()).is_err());
    assert!(Receipt { writes: 1, ..receipt(200) }.check().is_err());
    assert_eq!(Receipt::decode(&receipts[0].encode()).unwrap(), receipts[0]);
}
