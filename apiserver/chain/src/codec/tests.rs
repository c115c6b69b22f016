//! Every decoder against bytes from anywhere: no panic, no second form of a value, no memory on the input's word.

use crate::{
    Authority, BatchEndorsement, Block, Canonical, Certificate, Change, ClusterId, Effect, Endorsement,
    Facts, Genesis, GroupId, Hash, Header, Height, InclusionProof, KeyError, Media, Method, ObjectKey, Proof,
    PublicKey, RangeProof, Receipt, Record, Request, RequestSignature, Revision, Signature, SigningKey,
    StateTree, Timestamp, Uid, User, Validator, ValidatorSet, attestation::HeadAttestation, list, signature,
};
use bytes::Bytes;
use proptest::prelude::*;

/// Decodes as every type; whatever is accepted must re-encode to the same bytes and keep its type's rules.
fn decode_all(bytes: &[u8]) {
    fn one<T: Canonical>(bytes: &[u8]) {
        if let Ok(value) = T::decode(bytes) {
            assert_eq!(value.encode(), bytes, "{} has two forms", T::WHAT);
            assert_eq!(value.check(), Ok(()));
        }
    }
    one::<Block>(bytes);
    one::<Certificate>(bytes);
    one::<Effect>(bytes);
    one::<Facts>(bytes);
    one::<Record>(bytes);
    one::<Genesis>(bytes);
    one::<HeadAttestation>(bytes);
    one::<Header>(bytes);
    one::<InclusionProof>(bytes);
    one::<Proof>(bytes);
    one::<RangeProof>(bytes);
    one::<Receipt>(bytes);
    one::<Request>(bytes);
    let _ = Record::body_of(bytes);
    let shared = Record::decode_shared(&Bytes::copy_from_slice(bytes));
    let (shared, whole) = (shared.ok(), Record::decode(bytes).ok());
    assert_eq!(shared, whole, "one decoder, with and without a copy");
    if let Some(record) = whole {
        assert_eq!(Record::body_of(bytes).ok(), Some(&record.body[..]), "its body, wherever it stands");
    }
    if let Ok(key) = ObjectKey::parse(bytes) {
        assert_eq!(key.encode(), bytes);
        assert_eq!(ObjectKey::new(key.collection(), key.namespace(), key.name()), Some(key));
    }
    if let Ok(key) = borsh::from_slice::<ObjectKey>(bytes) {
        assert_eq!(ObjectKey::parse(&key.encode()), Ok(key));
    }
}

fn hash(byte: u8) -> Hash {
    Hash([byte; 32])
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn requests(cluster: &ClusterId) -> Vec<Request> {
    let user = User {
        name: "ada".into(),
        uid: String::new(),
        groups: vec!["dev".into()],
        extra: vec![("k".into(), vec!["v".into()])],
    };
    let (replica, received) = (key(1).public(), Timestamp(1));
    let endorsement = Endorsement { replica, user, received, nonce: 1, manager: "kubectl".into() };
    let endorsed = Request {
        method: Method::Patch,
        target: "/api/v1/namespaces/a".into(),
        media: Media::MergePatch,
        body: Bytes::from_static(b"{}"),
        authority: Authority::Endorsed(endorsement),
    };
    let sign = |seed| signature::sign(&key(seed), cluster, &signature::Message::of(&endorsed), 1, Some(2), 3);
    let mut signatures: Vec<RequestSignature> = vec![sign(2), sign(3)];
    signatures.sort_by_key(|signature| signature.key);
    let signed = Request { authority: Authority::Signed { signatures }, ..endorsed.clone() };
    vec![endorsed, signed]
}

fn effect() -> Effect {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let facts = Facts {
        uid: Uid([1; 16]),
        labels: vec![pair("a", "1"), pair("b", "")],
        fields: vec![pair("spec.color", "red")],
        unique: vec![pair("names", "x")],
        owners: vec![Uid([2; 16]), Uid([1; 16])],
        deleting: true,
        due: 7,
    };
    let record =
        Record { revision: Revision(5), salt: vec![1, 2], facts, body: Bytes::from_static(b"{\"a\":1}") };
    let key = ObjectKey::new("/secrets", "n", "o").unwrap();
    Effect { revision: Revision(5), key, change: Change::Updated(record) }
}

/// One good encoding of every type.
fn samples() -> Vec<Vec<u8>> {
    let cluster = ClusterId(hash(1));
    let requests = requests(&cluster);
    let digest = requests[0].digest();
    let endorsements = vec![BatchEndorsement::sign(&key(1), &cluster, &[digest], vec![0])];
    let header = Header {
        version: 1,
        group: GroupId(0),
        height: Height(1),
        parent: hash(2),
        time: Timestamp(3),
        proposer: key(1).public(),
        validators: hash(4),
        next_validators: hash(5),
        requests: Block::requests_root(&requests, &endorsements),
        receipts: hash(6),
        events: hash(7),
        state: hash(8),
        first_revision: Revision(1),
        last_revision: Revision(1),
    };
    let validators = ValidatorSet::new(vec![Validator { key: key(1).public(), power: 1 }]).unwrap();
    let (name, administrators) = ("lab".to_owned(), vec![key(4).public()]);
    let genesis = Genesis { name, seed: [1; 32], time: Timestamp(1), version: 1, validators, administrators };
    let certificate = Certificate {
        group: GroupId(0),
        height: Height(1),
        round: 0,
        block: header.id(&cluster),
        signatures: vec![(PublicKey([1; 32]), Signature([2; 64]))],
    };
    let receipt = Receipt { request: digest, code: 200, revision: Revision(1), writes: 1, body: hash(9) };
    let tree = StateTree::from_sorted((0..40_u8).map(|i| ([i, i], hash(i)))).unwrap();
    let attestation =
        HeadAttestation::sign(&key(1), &cluster, GroupId(0), Height(1), certificate.block, [7; 32]);
    let effect = effect();
    let mut samples = vec![
        Block { header: header.clone(), requests: requests.clone(), endorsements }.encode(),
        certificate.encode(),
        genesis.encode(),
        attestation.encode(),
        header.encode(),
        list::prove(&[hash(1), hash(2), hash(3)], 1).unwrap().encode(),
        tree.prove(&[3, 3]).encode(),
        tree.prove(&[3, 4]).encode(),
        tree.prove_range(&[3]).encode(),
        tree.prove_range(&[200]).encode(),
        receipt.encode(),
        requests[0].encode(),
        requests[1].encode(),
        effect.encode(),
        effect.change.record().encode(),
        effect.change.record().facts.encode(),
    ];
    samples.push(Canonical::encode(&Effect {
        change: Change::Deleted(effect.change.record().clone()),
        ..effect
    }));
    assert!(Block::decode(&samples[0]).unwrap().verify_authorities(&cluster).is_ok());
    samples
}

#[test]
fn samples_are_read_whole_or_not_at_all() {
    fn whole<T: Canonical>(sample: &[u8]) -> bool {
        if T::decode(sample).is_err() {
            return false;
        }
        let cut = (0..sample.len()).all(|length| T::decode(&sample[..length]).is_err());
        cut && T::decode(&[sample, &[0]].concat()).is_err()
    }
    for (i, sample) in samples().iter().enumerate() {
        let read = [
            whole::<Block>(sample),
            whole::<Certificate>(sample),
            whole::<Effect>(sample),
            whole::<Facts>(sample),
            whole::<Record>(sample),
            whole::<Genesis>(sample),
            whole::<HeadAttestation>(sample),
            whole::<Header>(sample),
            whole::<InclusionProof>(sample),
            whole::<Proof>(sample),
            whole::<RangeProof>(sample),
            whole::<Receipt>(sample),
            whole::<Request>(sample),
        ];
        assert!(read.contains(&true), "sample {i}");
    }
}

#[test]
fn lists_are_refused_at_their_length() {
    fn refusal<T: Canonical + std::fmt::Debug>(prefix: &[u8], length: u32) -> String {
        let bytes = [prefix, &length.to_le_bytes()].concat();
        let error = T::decode(&bytes).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).unwrap())
    }
    let header = &samples()[4];
    let block = refusal::<Block>(header, 16_385);
    assert_eq!(block, "block: malformed encoding: a list of 16385 elements, the limit is 16384");
    assert!(refusal::<Block>(header, 16_384).ends_with("Unexpected length of input"));
    let proof = refusal::<Proof>(&[], u32::MAX);
    assert_eq!(proof, "proof: malformed encoding: a list of 4294967295 elements, the limit is 9217");
    let too_long = Header::decode(&[0; 513]).unwrap_err().to_string();
    assert_eq!(too_long, "header: 513 bytes, more than the limit of 512");
}

#[test]
fn effects_keep_their_rules() {
    let told = |change: fn(&mut Effect)| {
        let mut effect = effect();
        change(&mut effect);
        let error = Effect::decode(&effect.encode()).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).unwrap())
    };
    fn record(effect: &mut Effect) -> &mut Record {
        let Change::Updated(record) = &mut effect.change else { panic!("deleted") };
        record
    }
    assert_eq!(told(|e| e.revision.0 += 1), "effect: not a valid value: revision: is the record's");
    let unordered = "effect: not a valid value: labels: not in strictly ascending order";
    assert_eq!(told(|e| record(e).facts.labels.reverse()), unordered);
    assert_eq!(told(|e| record(e).facts.labels[1].0 = "a".into()), unordered);
    let salt = "effect: not a valid value: salt: length 65, the limit is 64";
    assert_eq!(told(|e| record(e).salt = vec![0; 65]), salt);
    let body = "effect: not a valid value: body: length 4194305, the limit is 4194304";
    assert_eq!(told(|e| record(e).body = vec![0; Record::MAX_BODY + 1].into()), body);
    let nowhere = told(|e| e.key = ObjectKey::new("", "", "x").unwrap());
    assert_eq!(nowhere, "effect: not a valid value: key: names a collection");

    // A zero byte in a part would give two keys one byte form.
    let mut bytes = effect().encode();
    let at = bytes.windows(8).position(|window| window == b"/secrets").unwrap();
    bytes[at + 3] = 0;
    let error = Effect::decode(&bytes).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "a part of an object key holds a zero byte");
}

#[test]
fn keys_are_refused_by_reason() {
    let parse = |bytes: &[u8]| ObjectKey::parse(bytes).unwrap_err();
    assert_eq!(parse(b"/secrets\0n"), KeyError::Parts);
    assert_eq!(parse(b"/secrets\0n\0o\0p"), KeyError::Parts);
    assert_eq!(parse(b""), KeyError::Parts);
    assert_eq!(parse(b"/secrets\0\xff\0o"), KeyError::Text);
    assert_eq!(parse(&[b'a'; ObjectKey::MAX_BYTES + 1]), KeyError::TooLong(ObjectKey::MAX_BYTES + 1));
    let long = [&u32::MAX.to_le_bytes()[..], b"abc"].concat();
    let error = borsh::from_slice::<ObjectKey>(&long).unwrap_err().to_string();
    assert_eq!(error, "a text of 4294967295 bytes, the limit is 65536");
}

/// Whatever lengths are claimed, memory is taken for what came.
#[test]
fn claims_take_no_memory() {
    let claims = [0_u32, 1, 0xffff, 1 << 18, (1 << 18) + 1, u32::MAX];
    for place in 0..effect().encode().len() {
        for claim in claims {
            let mut bytes = effect().encode();
            let end = (place + 4).min(bytes.len());
            bytes[place..end].copy_from_slice(&claim.to_le_bytes()[..end - place]);
            decode_all(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn bytes_from_nowhere(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        decode_all(&bytes);
    }

    #[test]
    fn bytes_from_somewhere(
        sample in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        grow in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let samples = samples();
        let mut bytes = samples[sample.index(samples.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        decode_all(&bytes);
        let at = cut.index(bytes.len());
        bytes.splice(at..at, grow);
        decode_all(&bytes);
        bytes.truncate(at);
        decode_all(&bytes);
    }
}
