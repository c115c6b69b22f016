//! The seeds that no text editor writes: one good encoding of everything that travels or is kept in bytes.
//!
//! When a form changes, `UPDATE_SEEDS=1 cargo nextest run -p hypermesh-fuzz seeds` writes them anew.

#![expect(clippy::unwrap_used, reason = "seeds are made of what is known to be good")]

use bytes::Bytes;
use hypermesh_bft::Message;
use hypermesh_bft::entry::{Entry, Step};
use hypermesh_bft::message::{Polka, Reach, SignedProposal, SignedVote};
use hypermesh_chain::request::{Media, Method, User};
use hypermesh_chain::{
    Authority, BatchEndorsement, Block, Bundle, Canonical, Certificate, Change, ClusterId, Effect,
    Endorsement, Evidence, Facts, Genesis, GroupId, Hash, HeadAttestation, Header, Height, ObjectKey,
    Proposal, PublicKey, Receipt, Record, Request, Revision, Signature, SigningKey, StateTree, Timestamp,
    Uid, Validator, ValidatorSet, Vote, VoteKind, list, signature,
};
use hypermesh_store::{Commit, Options, Scope, Store};
use k8s_pb::api::{
    authentication::v1 as authentication, authorization::v1 as authorization,
    coordination::v1 as coordination, core::v1 as core, rbac::v1 as rbac,
};
use k8s_pb::apimachinery::pkg::apis::meta::v1 as meta;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));

/// Compares a corpus' seeds with what they should be, or writes them.
fn seeds(target: &str, seeds: &[(&str, Vec<u8>)]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let update = std::env::var_os("UPDATE_SEEDS").is_some();
    for (name, bytes) in seeds {
        let path = dir.join(format!("seed-{name}"));
        if update {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(found == *bytes, "{} is out of date: see the head of {}", path.display(), file!());
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn request() -> Request {
    let user = User {
        name: "ada".into(),
        uid: String::new(),
        groups: vec!["dev".into()],
        extra: vec![("k".into(), vec!["v".into()])],
    };
    let (replica, received) = (key(1).public(), Timestamp(1));
    Request {
        method: Method::Patch,
        target: "/api/v1/namespaces/default/configmaps/a?fieldManager=m".into(),
        media: Media::MergePatch,
        body: Bytes::from_static(br#"{"data":{"k":null}}"#),
        authority: Authority::Endorsed(Endorsement {
            replica,
            user,
            received,
            nonce: 1,
            manager: "m".into(),
        }),
    }
}

fn signed() -> (Request, signature::SignedHeaders) {
    let endorsed = request();
    let message = signature::Message::of(&endorsed);
    let mut signatures: Vec<_> =
        [2, 3].map(|seed| signature::sign(&key(seed), &CLUSTER, &message, 1, Some(2), 3)).into();
    signatures.sort_by_key(|signature| signature.key);
    let headers = signature::headers(&CLUSTER, &message, &signatures);
    (Request { authority: Authority::Signed { signatures }, ..endorsed.clone() }, headers)
}

fn facts() -> Facts {
    Facts {
        owners: vec![Uid([4; 16])],
        unique: vec![("domains.hypermesh.online.spec.name".into(), "example.com".into())],
        ..Facts::default()
    }
}

fn record(revision: u64) -> Record {
    let body = Bytes::from_static(br#"{"kind":"ConfigMap","metadata":{"name":"a"}}"#);
    Record { revision: Revision(revision), salt: vec![5; 16], facts: facts(), body }
}

fn object_key(name: &str) -> ObjectKey {
    ObjectKey::new("/configmaps", "default", name).unwrap()
}

#[test]
fn seeds_of_the_chain_are_current() {
    let (endorsed, (signed, _)) = (request(), signed());
    let requests = vec![endorsed.clone(), signed.clone()];
    let digest = endorsed.digest();
    let endorsements = vec![BatchEndorsement::sign(&key(1), &CLUSTER, &[digest], vec![0])];
    let header = Header {
        version: 1,
        group: GroupId(0),
        height: Height(1),
        parent: Hash([2; 32]),
        time: Timestamp(3),
        proposer: key(1).public(),
        validators: Hash([4; 32]),
        next_validators: Hash([5; 32]),
        requests: Block::requests_root(&requests, &endorsements),
        receipts: Hash([6; 32]),
        events: Hash([7; 32]),
        state: Hash([8; 32]),
        first_revision: Revision(1),
        last_revision: Revision(1),
    };
    let validators = ValidatorSet::new(vec![Validator { key: key(1).public(), power: 1 }]).unwrap();
    let certificate = Certificate {
        group: GroupId(0),
        height: Height(1),
        round: 0,
        block: header.id(&CLUSTER),
        signatures: vec![(key(1).public(), Signature([2; 64]))],
    };
    let genesis = Genesis {
        name: "lab".into(),
        seed: [1; 32],
        time: Timestamp(1),
        version: 1,
        validators,
        administrators: vec![key(4).public()],
    };
    let receipt =
        Receipt { request: digest, code: 200, revision: Revision(1), writes: 1, body: Hash([9; 32]) };
    let tree = StateTree::from_sorted((0..12_u8).map(|i| ([i, i], Hash([i; 32])))).unwrap();
    let attestation =
        HeadAttestation::sign(&key(1), &CLUSTER, GroupId(0), Height(1), certificate.block, [7; 32]);
    let block = Block { header: header.clone(), requests, endorsements };
    assert!(block.verify_authorities(&CLUSTER).is_ok());
    // Told again when the first of two was ordered.
    let mut partial = BatchEndorsement::sign(&key(1), &CLUSTER, &[Hash([3; 32]), digest], vec![0]);
    partial.absent = vec![(0, Hash([3; 32]))];
    let bundle = Bundle { requests: block.requests.clone(), endorsements: vec![partial] };
    assert!(bundle.verify(&CLUSTER).is_ok());
    seeds(
        "chain",
        &[
            ("block", block.encode()),
            ("bundle", bundle.encode()),
            ("certificate", certificate.encode()),
            ("genesis", genesis.encode()),
            ("attestation", attestation.encode()),
            ("header", header.encode()),
            ("inclusion", list::prove(&[Hash([1; 32]), Hash([2; 32]), Hash([3; 32])], 1).unwrap().encode()),
            ("presence", tree.prove(&[3, 3]).encode()),
            ("absence", tree.prove(&[3, 4]).encode()),
            ("range", tree.prove_range(&[3]).encode()),
            ("receipt", receipt.encode()),
            ("endorsed", endorsed.encode()),
            ("signed", signed.encode()),
        ],
    );
    seeds("call", &[("endorsed", endorsed.encode()), ("signed", signed.encode())]);
}

#[test]
fn seeds_of_signed_headers_are_current() {
    let (_, headers) = signed();
    let digest = headers.content_digest.unwrap_or_default();
    let text = [headers.signature_input, headers.signature, digest, String::new()].join("\0");
    seeds("signature", &[("headers", text.into_bytes())]);
}

#[test]
fn seeds_of_records_are_current() {
    let (key, revision) = (object_key("a"), Revision(7));
    let effect = |change| Effect { revision, key: key.clone(), change };
    seeds(
        "records",
        &[
            ("created", borsh::to_vec(&effect(Change::Created(record(7)))).unwrap()),
            ("updated", borsh::to_vec(&effect(Change::Updated(record(7)))).unwrap()),
            ("deleted", borsh::to_vec(&effect(Change::Deleted(record(7)))).unwrap()),
            ("record", borsh::to_vec(&record(7)).unwrap()),
            ("facts", borsh::to_vec(&facts()).unwrap()),
            ("key", borsh::to_vec(&key).unwrap()),
            ("key-bytes", key.encode()),
        ],
    );
}

#[test]
fn seeds_of_snapshots_are_current() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { reserve_bytes: 0, min_free_bytes: 0, ..Options::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let (first, second) = (Record { facts: Facts::default(), ..record(2) }, record(1));
    let changes = [("a", second, 1), ("b", first, 2)];
    let effects = changes.clone().map(|(name, record, revision)| Effect {
        revision: Revision(revision),
        key: object_key(name),
        change: Change::Created(record),
    });
    let leaves = changes.map(|(name, record, _)| {
        let key = object_key(name);
        let leaf = record.leaf(&key.encode());
        (key, Some(leaf))
    });
    let commit = Commit {
        height: Height(1),
        time: Timestamp(1),
        id: Hash([1; 32]),
        block: b"block",
        certificate: b"certificate",
        effects: &effects,
        before: &[],
        leaves: &leaves,
        outcomes: &[(Hash([2; 32]), b"outcome".to_vec())],
        revision: Revision(2),
    };
    store.commit(commit).unwrap();
    let mut bytes = Vec::new();
    let scope = Scope { state_root: Hash([3; 32]), blocks_from: Height(0) };
    store.view().unwrap().export(scope, &mut bytes).unwrap();
    seeds("snapshot", &[("whole", bytes.clone()), ("cut", bytes[..bytes.len() / 2].to_vec())]);
}

fn metadata() -> Option<meta::ObjectMeta> {
    let owner = meta::OwnerReference {
        api_version: Some("v1".into()),
        kind: Some("ConfigMap".into()),
        name: Some("o".into()),
        uid: Some("u".into()),
        controller: Some(true),
        ..meta::OwnerReference::default()
    };
    let entry = meta::ManagedFieldsEntry {
        manager: Some("kubectl".into()),
        operation: Some("Update".into()),
        api_version: Some("v1".into()),
        time: Some(meta::Time { seconds: Some(1_767_225_600), nanos: Some(0) }),
        fields_type: Some("FieldsV1".into()),
        fields_v1: Some(meta::FieldsV1 { raw: Some(br#"{"f:data":{"f:a":{}}}"#.to_vec()) }),
        ..meta::ManagedFieldsEntry::default()
    };
    Some(meta::ObjectMeta {
        name: Some("a".into()),
        namespace: Some("default".into()),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        owner_references: vec![owner],
        managed_fields: vec![entry],
        finalizers: vec!["x/y".into()],
        creation_timestamp: Some(meta::Time { seconds: Some(1_767_225_600), nanos: Some(0) }),
        ..meta::ObjectMeta::default()
    })
}

/// The first byte of each is the place of its kind in the target's table.
#[test]
fn seeds_of_protobuf_are_current() {
    fn seed(kind: u8, message: &impl prost::Message) -> Vec<u8> {
        [&[kind], message.encode_to_vec().as_slice()].concat()
    }
    let secret = core::Secret {
        metadata: metadata(),
        data: BTreeMap::from([("k".to_owned(), vec![0, 255])]),
        immutable: Some(false),
        ..core::Secret::default()
    };
    let event = core::Event {
        metadata: metadata(),
        message: Some("pulled".into()),
        count: Some(3),
        event_time: Some(meta::MicroTime { seconds: Some(1), nanos: Some(5_000) }),
        ..core::Event::default()
    };
    let lease = coordination::Lease {
        metadata: metadata(),
        spec: Some(coordination::LeaseSpec {
            holder_identity: Some("h".into()),
            lease_duration_seconds: Some(15),
            renew_time: Some(meta::MicroTime { seconds: Some(1), nanos: Some(999_999_999) }),
            ..coordination::LeaseSpec::default()
        }),
    };
    let rule = rbac::PolicyRule {
        verbs: vec!["get".into()],
        api_groups: vec![String::new()],
        resources: vec!["pods".into()],
        ..rbac::PolicyRule::default()
    };
    let role = rbac::ClusterRole { metadata: metadata(), rules: vec![rule], ..rbac::ClusterRole::default() };
    let review = authorization::SelfSubjectAccessReview {
        spec: Some(authorization::SelfSubjectAccessReviewSpec {
            resource_attributes: Some(authorization::ResourceAttributes {
                verb: Some("get".into()),
                resource: Some("pods".into()),
                ..authorization::ResourceAttributes::default()
            }),
            ..authorization::SelfSubjectAccessReviewSpec::default()
        }),
        ..authorization::SelfSubjectAccessReview::default()
    };
    let token = authentication::TokenRequest {
        spec: Some(authentication::TokenRequestSpec {
            audiences: vec!["a".into()],
            expiration_seconds: Some(600),
            ..authentication::TokenRequestSpec::default()
        }),
        ..authentication::TokenRequest::default()
    };
    let kubectl = b"k8s\x00\n\x0f\n\x02v1\x12\x09Namespace\x12\x1c\n\x14\n\x04team\x12\x00\x1a\x00\"\x00*\x002\x008\x00B\x00\x12\x00\x1a\x02\n\x00\x1a\x00\"\x00";
    seeds(
        "protobuf",
        &[
            ("namespace", kubectl.to_vec()),
            ("secret", seed(2, &secret)),
            ("event", seed(4, &event)),
            ("lease", seed(9, &lease)),
            ("cluster-role", seed(11, &role)),
            ("access-review", seed(16, &review)),
            ("token-request", seed(20, &token)),
        ],
    );
}

#[test]
fn seeds_of_replication_are_current() {
    let (group, height, block) = (GroupId(0), Height(2), Hash([5; 32]));
    let vote = Vote { kind: VoteKind::Prevote, group, height, round: 0, block: Some(block) };
    let proposal = Proposal { group, height, round: 0, valid_round: None, block };
    let (liar, signature) = (key(2).public(), Signature([0; 64]));
    let voter = PublicKey([2; 32]);
    let messages = [
        Message::Proposal(SignedProposal { proposal, proposer: voter, signature }),
        Message::Vote(SignedVote { vote, voter, signature }),
        Message::Vote(SignedVote { vote: Vote { block: None, round: 3, ..vote }, voter, signature }),
        Message::Vote(SignedVote { vote: Vote { kind: VoteKind::Precommit, ..vote }, voter, signature }),
        Message::Polka(Polka { group, height, round: 0, block, signatures: vec![(liar, signature)] }),
        Message::Block { height, bytes: Bytes::from_static(b"no block") },
        Message::Want { height, block },
        Message::Head { height: Height(9) },
        Message::Ask { from: Height(1) },
        Message::Requests(vec![Bytes::from_static(b"request")]),
        Message::Probe { number: 1, height: Height(0) },
        Message::Reached {
            number: 1,
            height,
            proof: Some(Reach::Polka(Polka { group, height, round: 0, block, signatures: Vec::new() })),
        },
        Message::LeftOut { height, requests: vec![block] },
    ];
    let encoded = messages.each_ref().map(Message::encode);
    let said: Vec<u8> =
        encoded.iter().flat_map(|bytes| [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()).collect();
    let entry = Entry::Timeout { height, round: 1, step: Step::Propose }.encode();
    let sign = |vote: Vote| (vote, key(2).sign(&vote.message(&CLUSTER)));
    let evidence = Evidence::of_votes(liar, [sign(vote), sign(Vote { block: None, ..vote })]).unwrap();
    let verdict = Entry::Verdict { height, round: 0, block, valid: true };
    let own = SignedVote { vote, voter: key(1).public(), signature };
    let logged = [
        Entry::Proposal(SignedProposal { proposal, proposer: liar, signature }),
        verdict,
        Entry::Vote(own),
        Entry::Timeout { height, round: 0, step: Step::Prevote },
        Entry::Vote(SignedVote { vote: Vote { kind: VoteKind::Precommit, block: None, ..vote }, ..own }),
    ];
    let logged = logged.map(|entry| entry.encode());
    let logged: Vec<u8> =
        logged.iter().flat_map(|bytes| [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()).collect();
    let all = [
        ("said", said),
        ("vote", encoded[1].clone()),
        ("entry", entry),
        ("evidence", evidence.encode()),
        ("log", logged),
    ];
    seeds("replication", &all);
}

/// Three bytes make a signature: by whom, how it is wrong, and where.
#[test]
fn seeds_of_certificates_of_votes_are_current() {
    let good = |who: &[u8]| who.iter().flat_map(|who| [*who, 0, 0]).collect::<Vec<u8>>();
    // Which of the keys comes first is not for the eye to see.
    let mut order: Vec<u8> = (0..4).collect();
    order.sort_by_key(|who| key(who + 1).public());
    let (all, reversed) = (good(&order), good(&order.iter().rev().copied().collect::<Vec<_>>()));
    let last = all.len() - 3;
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = all.clone();
        changes.iter().for_each(|(place, byte)| bytes[*place] = *byte);
        bytes
    };
    seeds(
        "quorum",
        &[
            ("all", all.clone()),
            ("reordered", reversed),
            ("twice", [&all[..], &all[last..]].concat()),
            ("foreign", [&all[..], &good(&[4])].concat()),
            ("too-few", good(&order[..1])),
            ("other-round", with(&[(last + 1, 1)])),
            ("other-name", with(&[(last + 1, 4), (last + 2, 1)])),
            ("weak-key", with(&[(1, 5)])),
            ("bit", with(&[(last + 1, 6), (last + 2, 65)])),
        ],
    );
}

/// How many requests, which are absent, and what is changed.
#[test]
fn seeds_of_endorsements_are_current() {
    seeds(
        "endorsed",
        &[
            ("whole", vec![4, 0]),
            ("absent", vec![6, 0b10_1001]),
            ("all-absent", vec![2, 7]),
            ("swapped", vec![4, 1, 0, 0, 1]),
            ("misplaced", vec![4, 1, 4, 0, 3]),
            ("other-digest", vec![4, 2, 5, 0, 9]),
            ("one-fewer", vec![4, 2, 6, 0, 0]),
            ("one-more", vec![4, 2, 7, 5, 1]),
        ],
    );
}

#[test]
fn seeds_of_the_log_are_current() {
    let header = hypermesh_wal::format::Header { salt: [1; 16], first: 0 };
    let mut body = Vec::new();
    hypermesh_wal::format::push(&mut body, b"entry");
    let frame = hypermesh_wal::format::frame(&header.salt, 0, &body);
    let file = [&header.encode()[..], &frame].concat();
    seeds("wal", &[("file", file), ("flip", vec![60, 0, 1, 0]), ("cut", vec![9])]);
}

#[test]
fn seeds_of_streams_between_replicas_are_current() {
    let hello = hypermesh_peers::hello::Hello {
        versions: (1, 1),
        cluster: CLUSTER.0,
        incarnation: 2,
        dial: 3,
        taken: Some((4, 5)),
    };
    let framed = |body: &[u8]| [&(body.len() as u32).to_le_bytes()[..], body].concat();
    let head = framed(&Message::Head { height: Height(9) }.encode());
    let requests = framed(&Message::Requests(vec![Bytes::from_static(b"request")]).encode());
    let stream = [&[3, 1, 40, 2][..], &head, &requests, &head[..7]].concat();
    let too_long = [&[1, 2, 3, 4][..], &head, &u32::MAX.to_le_bytes()].concat();
    let empty = [&[9; 4][..], &requests, &[0; 8]].concat();
    let all = [("hello", hello.encode()), ("stream", stream), ("too-long", too_long), ("empty", empty)];
    seeds("replica_stream", &all);
}
