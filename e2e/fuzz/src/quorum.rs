//! Certificates of votes: one is taken exactly if distinct validators, in order, with enough power, each signed this vote;
//! and a batch of signatures exactly if each of them holds.

use hypermesh_chain::{
    Certificate, ClusterId, GroupId, Hash, Height, PublicKey, Signature, SigningKey, Validator, ValidatorSet,
    verify_batch,
};
use std::sync::LazyLock;

const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));
/// Signatures of one certificate; a set has no more validators here.
const MOST: usize = 8;

/// Four validators of different power, and a stranger.
static KEYS: LazyLock<Vec<SigningKey>> =
    LazyLock::new(|| (1..6_u8).map(|seed| SigningKey::from_seed(&[seed; 32])).collect());

static VALIDATORS: LazyLock<ValidatorSet> = LazyLock::new(|| {
    let validators =
        KEYS.iter().take(4).zip([1, 1, 2, 3]).map(|(key, power)| Validator { key: key.public(), power });
    ValidatorSet::new(validators.collect()).expect("a set")
});

/// Three bytes make a signature: by whom, how it is wrong, and where.
pub fn target(data: &[u8]) {
    let mut certificate = Certificate {
        group: GroupId(0),
        height: Height(7),
        round: 1,
        block: Hash([3; 32]),
        signatures: Vec::new(),
    };
    let message = certificate.vote().message(&CLUSTER);
    let (scripts, _) = data.as_chunks::<3>();
    certificate.signatures =
        scripts.iter().take(MOST).map(|script| signature(&certificate, *script)).collect();
    let holds = |(key, signature): &(PublicKey, Signature)| key.verify(&message, signature).is_ok();
    let power: u64 = certificate.signatures.iter().filter_map(|(key, _)| VALIDATORS.power(key)).sum();
    let expected = certificate.signatures.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && certificate.signatures.iter().all(|(key, _)| VALIDATORS.power(key).is_some())
        // Of seven.
        && power >= 5
        && certificate.signatures.iter().all(holds);
    assert_eq!(certificate.verify(&VALIDATORS, &CLUSTER).is_ok(), expected, "{certificate:?}");

    let items: Vec<_> =
        certificate.signatures.iter().map(|(key, s)| (*key, message.as_slice(), *s)).collect();
    let first = certificate.signatures.iter().position(|signature| !holds(signature));
    assert_eq!(verify_batch(&items).err().map(|error| error.index), first, "one by one and together differ");
}

fn signature(certificate: &Certificate, [who, how, place]: [u8; 3]) -> (PublicKey, Signature) {
    let key = &KEYS[usize::from(who) % KEYS.len()];
    let mut vote = certificate.vote();
    let mut name = key.public();
    match how % 8 {
        1 => vote.round += 1,
        2 => vote.height.0 += 1,
        3 => vote.block = None,
        4 => name = KEYS[usize::from(place) % KEYS.len()].public(),
        // A point of small order, under which anybody signs anything: it is nobody's key.
        5 => name = PublicKey([0; 32]),
        _ => {}
    }
    let mut signature = key.sign(&vote.message(&CLUSTER));
    match how % 8 {
        6 => signature.0[usize::from(place) % 64] ^= 1 << (place / 64),
        7 => signature = Signature([place; 64]),
        _ => {}
    }
    (name, signature)
}
