use super::*;
use crate::{SigningKey, Validator};

const ROUND: u32 = 2;

fn keys() -> Vec<SigningKey> {
    let mut keys: Vec<_> = (1..=4).map(|seed| SigningKey::from_seed(&[seed; 32])).collect();
    keys.sort_by_key(SigningKey::public);
    keys
}

fn validators() -> ValidatorSet {
    let validator = |key: &SigningKey| Validator { key: key.public(), power: 1 };
    ValidatorSet::new(keys().iter().map(validator).collect()).unwrap()
}

fn cluster() -> ClusterId {
    ClusterId(Hash([7; 32]))
}

fn certificate(signers: &[usize]) -> Certificate {
    let (group, height, block) = (GroupId(1), Height(5), Hash([5; 32]));
    let mut certificate = Certificate { group, height, round: ROUND, block, signatures: Vec::new() };
    let message = certificate.vote().message(&cluster());
    certificate.signatures =
        signers.iter().map(|i| (keys()[*i].public(), keys()[*i].sign(&message))).collect();
    certificate
}

#[test]
fn a_quorum_certifies() {
    for signers in [&[0, 1, 2][..], &[1, 2, 3], &[0, 1, 2, 3]] {
        let certificate = certificate(signers);
        assert_eq!(certificate.verify(&validators(), &cluster()), Ok(()));
        assert_eq!(Certificate::decode(&certificate.encode()).unwrap(), certificate);
    }
}

#[test]
fn less_does_not() {
    use CertificateError::*;
    let verify = |certificate: &Certificate| certificate.verify(&validators(), &cluster());
    assert_eq!(verify(&certificate(&[0, 3])), Err(TooFew { power: 2, quorum: 3 }));
    assert_eq!(verify(&certificate(&[])), Err(TooFew { power: 0, quorum: 3 }));
    assert_eq!(
        certificate(&[]).verify(&ValidatorSet::default(), &cluster()),
        Err(TooFew { power: 0, quorum: 1 })
    );
    for signers in [&[0, 0, 0][..], &[1, 0, 2], &[0, 1, 1]] {
        assert_eq!(verify(&certificate(signers)), Err(Unordered));
        assert!(Certificate::decode(&certificate(signers).encode()).is_err());
    }
    let mut foreign = certificate(&[0, 1, 2, 3]);
    foreign.signatures[3].0 = PublicKey([0xff; 32]);
    assert_eq!(verify(&foreign), Err(Foreign(PublicKey([0xff; 32]))));
    // One bad signature spoils a certificate even if the others would do: a certificate has one form.
    let mut forged = certificate(&[0, 1, 2, 3]);
    forged.signatures[2].1.0[0] ^= 1;
    assert_eq!(verify(&forged), Err(Signature(keys()[2].public())));
}

#[test]
fn votes_count_for_one_thing_only() {
    let good = certificate(&[0, 1, 2]);
    let changes: [fn(&mut Certificate); 4] =
        [|c| c.group.0 += 1, |c| c.height.0 += 1, |c| c.round += 1, |c| c.block.0[0] ^= 1];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        assert!(matches!(other.verify(&validators(), &cluster()), Err(CertificateError::Signature(_))));
    }
    let elsewhere = ClusterId(Hash([8; 32]));
    assert!(matches!(good.verify(&validators(), &elsewhere), Err(CertificateError::Signature(_))));
    let mut prevotes = good.clone();
    let message = Vote { kind: VoteKind::Prevote, ..good.vote() }.message(&cluster());
    prevotes.signatures = keys()[..3].iter().map(|key| (key.public(), key.sign(&message))).collect();
    assert!(matches!(prevotes.verify(&validators(), &cluster()), Err(CertificateError::Signature(_))));
}

#[test]
fn what_is_signed_stays_as_it_is() {
    let message = certificate(&[]).vote().message(&cluster());
    insta::assert_snapshot!(hex::encode(message), @"686d3a766f74653a310000000000000007070707070707070707070707070707070707070707070707070707070707070101000000050000000000000002000000010505050505050505050505050505050505050505050505050505050505050505");
    let nil = Vote { block: None, ..certificate(&[]).vote() }.message(&cluster());
    assert_ne!(nil, certificate(&[]).vote().message(&cluster()));
}
