use super::*;
use crate::{Authority, Endorsement, Media, Method, SigningKey, Timestamp, User, signature};
use bytes::Bytes;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn cluster() -> ClusterId {
    ClusterId(Hash([7; 32]))
}

fn request(nonce: u64, replica: u8) -> Request {
    let authority = Authority::Endorsed(Endorsement {
        replica: key(replica).public(),
        user: User::default(),
        received: Timestamp(1),
        nonce,
        manager: String::new(),
    });
    let (method, target, body) = (Method::Post, "/api/v1/namespaces".into(), Bytes::from_static(b"{}"));
    Request { method, target, media: Media::Json, body, authority }
}

fn signed(nonce: u64) -> Request {
    let mut request = request(nonce, 1);
    let message = signature::Message::of(&request);
    let signature = signature::sign(&key(9), &cluster(), &message, 1, None, nonce);
    request.authority = Authority::Signed { signatures: vec![signature] };
    request
}

fn bundle() -> Bundle {
    let requests = vec![request(1, 1), signed(2), request(3, 1)];
    let digests = [requests[0].digest(), requests[2].digest()];
    let endorsements = vec![BatchEndorsement::sign(&key(1), &cluster(), &digests, vec![0, 2])];
    Bundle { requests, endorsements }
}

#[test]
fn a_bundle_holds_what_is_authorized_and_nothing_else() {
    let good = bundle();
    let digests = good.verify(&cluster()).unwrap();
    assert_eq!(digests, good.requests.iter().map(Request::digest).collect::<Vec<_>>());
    assert_eq!(Bundle::decode(&good.encode()).unwrap(), good);
    let changes: [fn(&mut Bundle); 6] = [
        |b| b.endorsements.clear(),
        |b| b.endorsements[0].indices.reverse(),
        |b| b.requests.swap(0, 2),
        |b| b.requests[0] = request(1, 2),
        |b| b.requests[1].target.push('s'),
        |b| b.endorsements[0].replica = key(2).public(),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut other = bundle();
        change(&mut other);
        assert!(other.verify(&cluster()).is_err(), "change {i}");
    }
    assert!(good.verify(&ClusterId(Hash([8; 32]))).is_err());
}

#[test]
fn a_bundle_is_bounded() {
    let mut many = bundle();
    many.requests = vec![signed(1); Bundle::MAX_REQUESTS + 1];
    many.endorsements.clear();
    assert!(Bundle::decode(&many.encode()).is_err());
    let mut wide = bundle();
    let place = |at: usize| (at as u32, Hash([0; 32]));
    wide.endorsements[0].absent = (2..Bundle::MAX_REQUESTS).map(place).collect();
    assert_eq!(wide.check(), Ok(()));
    wide.endorsements[0].absent = (2..=Bundle::MAX_REQUESTS).map(place).collect();
    assert!(wide.check().is_err());
    let mut twice = bundle();
    twice.endorsements = vec![twice.endorsements[0].clone(); 4];
    assert!(twice.check().is_err(), "no more endorsements than requests");
}
