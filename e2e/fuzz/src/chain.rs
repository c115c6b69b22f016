//! Everything that is hashed, signed or sent between replicas: one byte form a value, and no claim believed that is not
//! proved.

use hypermesh_chain::{
    Block, Bundle, Canonical, Certificate, ClusterId, Genesis, Hash, HeadAttestation, Header, InclusionProof,
    Proof, RangeProof, Receipt, Request, SigningKey, Validator, ValidatorSet,
};
use std::sync::LazyLock;

const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));

static VALIDATORS: LazyLock<ValidatorSet> = LazyLock::new(|| {
    let validators = (1..5_u8).map(|seed| {
        let key = SigningKey::from_seed(&[seed; 32]).public();
        Validator { key, power: u64::from(seed) }
    });
    ValidatorSet::new(validators.collect()).expect("a set")
});

/// Reads the input as every type.
pub fn target(data: &[u8]) {
    if let Some(block) = one::<Block>(data) {
        let _ = block.verify_authorities(&CLUSTER);
        assert_eq!(block.header.id(&CLUSTER), block.header.id(&CLUSTER));
    }
    if let Some(bundle) = one::<Bundle>(data)
        && let Ok(digests) = bundle.verify(&CLUSTER)
    {
        assert_eq!(digests.len(), bundle.requests.len());
    }
    if let Some(certificate) = one::<Certificate>(data) {
        // Its keys are not in the input, so that nothing in it can be a quorum of them.
        assert!(certificate.verify(&VALIDATORS, &CLUSTER).is_err());
    }
    if let Some(attestation) = one::<HeadAttestation>(data) {
        let _ = attestation.verify(&CLUSTER, &[7; 32]);
    }
    if let Some(request) = one::<Request>(data) {
        let _ = request.verify(&CLUSTER);
        assert_eq!(request.digest(), request.digest_of(&request.body_digest()));
        let whole = request
            .query()
            .map_or_else(|| request.path().to_owned(), |query| format!("{}?{query}", request.path()));
        assert_eq!(whole, request.target);
    }
    if let Some(proof) = one::<InclusionProof>(data) {
        assert!(proof.verify(&Hash([9; 32]), &Hash([8; 32])).is_err(), "a root that nothing hashes to");
    }
    if let Some(genesis) = one::<Genesis>(data) {
        assert_eq!(genesis.cluster_id(), genesis.cluster_id());
    }
    one::<Header>(data);
    one::<Receipt>(data);
    one::<Proof>(data);
    one::<RangeProof>(data);
}

/// Reads a value; what is read is written as it was, keeps its type's rules, and has no other length.
fn one<T: Canonical>(bytes: &[u8]) -> Option<T> {
    let value = T::decode(bytes).ok()?;
    assert!(bytes.len() <= T::MAX_BYTES);
    assert_eq!(value.encode(), bytes, "{} has two forms", T::WHAT);
    assert_eq!(value.check(), Ok(()));
    assert!(T::decode(&bytes[..bytes.len() - 1]).is_err(), "{} is read in part", T::WHAT);
    assert!(T::decode(&[bytes, &[0]].concat()).is_err(), "{} is read with more behind it", T::WHAT);
    Some(value)
}
