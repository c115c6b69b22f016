use super::*;
use crate::{PublicKey, Signature, SigningKey, list};
use proptest::prelude::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn cluster() -> ClusterId {
    ClusterId(Hash([7; 32]))
}

fn signed(seeds: &[u8]) -> Request {
    let mut request = Request {
        method: Method::Post,
        target: "/apis/hypermesh.online/v1/namespaces/default/workloads?fieldManager=nexusctl".into(),
        media: Media::Json,
        body: Bytes::from_static(b"{}"),
        authority: Authority::Signed { signatures: Vec::new() },
    };
    let message = Message::of(&request);
    let sign = |seed: &u8| signature::sign(&key(*seed), &cluster(), &message, 100, None, u64::from(*seed));
    let mut signatures: Vec<_> = seeds.iter().map(sign).collect();
    signatures.sort_by_key(|signature| signature.key);
    request.authority = Authority::Signed { signatures };
    request
}

fn endorsed() -> Request {
    let user = User {
        name: "ada".into(),
        uid: "1".into(),
        groups: vec!["dev".into(), "system:authenticated".into()],
        extra: vec![("scopes".into(), vec!["a".into()])],
    };
    let endorsement = Endorsement {
        replica: key(1).public(),
        user,
        received: Timestamp(5_000_000),
        nonce: 9,
        manager: "kubectl".into(),
    };
    Request { authority: Authority::Endorsed(endorsement), ..signed(&[1]) }
}

fn signatures_of(request: &mut Request) -> &mut Vec<RequestSignature> {
    let Authority::Signed { signatures } = &mut request.authority else { panic!("endorsed") };
    signatures
}

fn endorsement_of(request: &mut Request) -> &mut Endorsement {
    let Authority::Endorsed(endorsement) = &mut request.authority else { panic!("signed") };
    endorsement
}

#[test]
fn the_digest_covers_all_but_the_signatures_bytes() {
    let changes: [fn(&mut Request); 9] = [
        |r| r.method = Method::Put,
        |r| r.target.push('x'),
        |r| r.media = Media::ApplyPatch,
        |r| r.body = Bytes::from_static(b"{ }"),
        |r| signatures_of(r)[0].key = PublicKey([0; 32]),
        |r| signatures_of(r)[0].created += 1,
        |r| signatures_of(r)[0].expires = Some(0),
        |r| signatures_of(r)[0].nonce += 1,
        |r| signatures_of(r).truncate(1),
    ];
    let request = signed(&[1, 2]);
    for (i, change) in changes.iter().enumerate() {
        let mut other = request.clone();
        change(&mut other);
        assert_ne!(other.digest(), request.digest(), "change {i}");
    }
    let mut other = request.clone();
    signatures_of(&mut other)[0].signature = Signature([0; 64]);
    assert_eq!(other.digest(), request.digest());
    assert_eq!(request.digest_of(&request.body_digest()), request.digest());

    let changes: [fn(&mut Endorsement); 8] = [
        |e| e.replica = PublicKey([0; 32]),
        |e| e.user.name.push('x'),
        |e| e.user.uid.push('x'),
        |e| drop(e.user.groups.pop()),
        |e| e.user.extra.clear(),
        |e| e.received.0 += 1,
        |e| e.nonce += 1,
        |e| e.manager.push('x'),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = endorsed();
        change(endorsement_of(&mut other));
        assert_ne!(other.digest(), endorsed().digest(), "change {i}");
    }
}

/// Digests name requests in receipts and make uids: a changed one is a change of the protocol.
#[test]
fn digests_are_what_they_were() {
    insta::assert_snapshot!(signed(&[1, 2]).content(), @"85902089d05d917ea96f95f296f8228033c7d7ead48b0e97700ab214f96a8845");
    insta::assert_snapshot!(signed(&[1, 2]).digest(), @"642aaae656831d04fdf7137508a0452044ff59813b40cac3959a0320879cd43c");
    insta::assert_snapshot!(endorsed().digest(), @"f64a36ff5725f846fc873a676d55aa529dca68dcf24b2830742eef4a04d5d667");
}

#[test]
fn a_signature_is_used_up_in_whatever_company() {
    let (both, first) = (signed(&[1, 2]), signed(&[1]));
    assert_ne!(both.digest(), first.digest());
    assert_eq!(both.uses().len(), 2);
    assert!(both.uses().contains(&first.uses()[0]));
    assert_eq!(endorsed().uses(), [endorsed().digest()]);
}

#[test]
fn a_request_ends_with_its_time() {
    let at = |seconds: u64| Timestamp(seconds * 1_000_000);
    let mut request = signed(&[1]);
    assert_eq!(request.valid_at(at(100)), Ok(()));
    assert_eq!(request.valid_at(at(90)), Ok(()));
    assert_eq!(request.valid_at(at(160)), Ok(()));
    let early = ValidityError::Early { from: at(100).0, now: at(89).0 };
    assert_eq!(request.valid_at(at(89)), Err(early));
    let expired = ValidityError::Expired { until: at(160).0, now: at(161).0 };
    assert_eq!(request.valid_at(at(161)), Err(expired));
    signatures_of(&mut request)[0].expires = Some(110);
    assert!(request.valid_at(at(110)).is_ok());
    assert!(request.valid_at(at(111)).is_err());
    signatures_of(&mut request)[0].created = u64::MAX;
    assert!(request.valid_at(at(100)).is_err());
    assert_eq!(endorsed().valid_at(at(65)), Ok(()));
    assert!(endorsed().valid_at(at(66)).is_err());
    // Two signatures: the older one's end is the request's.
    let mut two = signed(&[1, 2]);
    signatures_of(&mut two)[1].created = 50;
    assert!(two.valid_at(at(111)).is_err());
    assert!(two.valid_at(at(105)).is_ok());
}

#[test]
fn rules_hold_when_decoding() {
    for request in [signed(&[1, 2, 3]), endorsed()] {
        assert_eq!(Request::decode(&request.encode()).unwrap(), request);
    }
    let mut none = signed(&[1]);
    (none.media, none.body, none.method) = (Media::None, Bytes::new(), Method::Delete);
    assert_eq!(none.check(), Ok(()));
    type Case = (&'static str, fn(&mut Request));
    let breaks: [Case; 14] = [
        ("target: must start with a slash", |r| r.target = "apis".into()),
        ("target: must start with a slash", |r| r.target.clear()),
        ("target: must be visible ASCII without a fragment", |r| r.target.push('#')),
        ("target: must be visible ASCII without a fragment", |r| r.target.push('\n')),
        ("target: must be visible ASCII without a fragment", |r| r.target.push('é')),
        ("target: length 16385, the limit is 16384", |r| r.target = "/".repeat(Request::MAX_TARGET + 1)),
        ("body: a body has a media type, and no body has none", |r| r.media = Media::None),
        ("body: a body has a media type, and no body has none", |r| r.body = Bytes::new()),
        ("body: length 3145729, the limit is 3145728", |r| r.body = vec![0; Request::MAX_BODY + 1].into()),
        ("signatures: must not be empty", |r| signatures_of(r).clear()),
        ("signatures: not in strictly ascending order", |r| signatures_of(r).reverse()),
        ("signatures: not in strictly ascending order", |r| {
            let twice = signatures_of(r)[1].clone();
            signatures_of(r).push(twice);
        }),
        ("user.groups: length 1025, the limit is 1024", |r| {
            *r = endorsed();
            endorsement_of(r).user.groups.push("g".repeat(1025));
        }),
        ("user: length 50203, the limit is 49152", |r| {
            *r = endorsed();
            endorsement_of(r).user.groups = vec!["g".repeat(192); 256];
        }),
    ];
    for (rule, change) in breaks {
        let mut request = signed(&[1, 2]);
        change(&mut request);
        assert_eq!(request.check().unwrap_err().to_string(), rule);
        assert!(Request::decode(&request.encode()).is_err());
    }
}

#[test]
fn an_endorsement_is_for_one_batch_and_one_cluster() {
    let digests: Vec<_> = (0..3).map(|i| Hash([i; 32])).collect();
    let endorsement = BatchEndorsement::sign(&key(1), &cluster(), &digests, vec![0, 1, 2]);
    assert_eq!(endorsement.verify(&cluster(), &digests), Ok(()));
    assert!(endorsement.verify(&ClusterId(Hash([8; 32])), &digests).is_err());
    assert!(endorsement.verify(&cluster(), &digests[..2]).is_err());
    assert!(endorsement.verify(&cluster(), &[digests[1], digests[0], digests[2]]).is_err());
    let foreign = BatchEndorsement { replica: key(2).public(), ..endorsement };
    assert!(foreign.verify(&cluster(), &digests).is_err());
    assert_ne!(list::root(&digests), list::root(&digests[..2]));
}

#[test]
fn path_and_query_split_once() {
    let mut request = signed(&[1]);
    request.target = "/a?b?c".into();
    assert_eq!((request.path(), request.query()), ("/a", Some("b?c")));
    request.target = "/a?".into();
    assert_eq!((request.path(), request.query()), ("/a", Some("")));
    request.target = "/a".into();
    assert_eq!((request.path(), request.query()), ("/a", None));
}

#[test]
fn names_are_read_back() {
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete] {
        assert_eq!(Method::parse(method.as_str()), Some(method));
    }
    assert_eq!(Method::parse("GET"), None);
    for media in
        [Media::Json, Media::JsonPatch, Media::MergePatch, Media::StrategicMergePatch, Media::ApplyPatch]
    {
        assert_eq!(media.content_type().and_then(Media::parse), Some(media));
    }
    assert_eq!(Media::parse("application/yaml"), None);
}

proptest! {
    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(at in any::<prop::sample::Index>(), byte: u8, endorse: bool) {
        let mut bytes = if endorse { endorsed() } else { signed(&[1, 2]) }.encode();
        let place = at.index(bytes.len());
        bytes[place] = byte;
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(request.encode(), bytes);
        }
    }
}
