use super::*;
use hypermesh_chain::{GroupId, Hash, Height, SigningKey, Validator, ValidatorSet};
use proptest::prelude::*;

const CLUSTER: ClusterId = ClusterId(Hash([7; 32]));

fn keys() -> Vec<SigningKey> {
    (1..=4).map(|seed| SigningKey::from_seed(&[seed; 32])).collect()
}

fn members() -> Members {
    let set = keys().iter().map(|key| Validator { key: key.public(), power: 1 }).collect();
    Members::new(&ValidatorSet::new(set).unwrap(), &keys()[0].public()).unwrap()
}

fn vote(kind: VoteKind, block: Option<Hash>) -> Vote {
    Vote { kind, group: GroupId(0), height: Height(5), round: 2, block }
}

fn sign(key: &SigningKey, kind: VoteKind, block: Option<Hash>) -> Signature {
    key.sign(&vote(kind, block).message(&CLUSTER))
}

fn polka_of(signers: &[usize]) -> Polka {
    let block = Hash([5; 32]);
    let keys = keys();
    let signatures = signers
        .iter()
        .map(|i| (keys[*i].public(), sign(&keys[*i], VoteKind::Prevote, Some(block))))
        .collect();
    Polka { group: GroupId(0), height: Height(5), round: 2, block, signatures }
}

fn entry_of(precommits: bool, votes: &[(usize, VoteKind, Option<Hash>)]) -> RoundEntry {
    let keys = keys();
    let votes = votes
        .iter()
        .map(|(i, kind, block)| (*kind, *block, keys[*i].public(), sign(&keys[*i], *kind, *block)))
        .collect();
    RoundEntry { group: GroupId(0), height: Height(5), round: 2, precommits, votes }
}

#[test]
fn a_quorum_of_prevotes_is_a_polka_in_any_order() {
    for signers in [&[0, 1, 2][..], &[3, 1, 0], &[0, 1, 2, 3]] {
        assert_eq!(polka(&polka_of(signers), &members(), &CLUSTER), Ok(()));
    }
}

#[test]
fn less_is_none() {
    let verify = |p: &Polka| polka(p, &members(), &CLUSTER);
    assert_eq!(verify(&polka_of(&[0, 1])), Err(Flaw::TooFew(2, 3)));
    assert_eq!(verify(&polka_of(&[])), Err(Flaw::TooFew(0, 3)));
    assert_eq!(verify(&polka_of(&[0, 1, 1, 2])), Err(Flaw::Twice(keys()[1].public())));
    let mut foreign = polka_of(&[0, 1, 2, 3]);
    foreign.signatures[3].0 = PublicKey([9; 32]);
    assert_eq!(verify(&foreign), Err(Flaw::Foreign(PublicKey([9; 32]))));
    let mut forged = polka_of(&[0, 1, 2, 3]);
    forged.signatures[2].1.0[0] ^= 1;
    assert_eq!(verify(&forged), Err(Flaw::Signature(keys()[2].public())), "the others would do");
    let changes: [fn(&mut Polka); 4] =
        [|p| p.group.0 += 1, |p| p.height.0 += 1, |p| p.round += 1, |p| p.block.0[0] ^= 1];
    for change in changes {
        let mut other = polka_of(&[0, 1, 2]);
        change(&mut other);
        assert!(matches!(verify(&other), Err(Flaw::Signature(_))));
    }
}

#[test]
fn more_than_a_third_of_any_votes_open_a_later_round() {
    use VoteKind::{Precommit, Prevote};
    let block = Some(Hash([5; 32]));
    let verify = |entry: &RoundEntry| round_entry(entry, &members(), &CLUSTER);
    assert_eq!(verify(&entry_of(false, &[(0, Prevote, None), (1, Precommit, block)])), Ok(()));
    assert_eq!(verify(&entry_of(false, &[(0, Prevote, None)])), Err(Flaw::TooFew(1, 2)));
    let twice = entry_of(false, &[(0, Prevote, None), (0, Precommit, None)]);
    assert_eq!(verify(&twice), Err(Flaw::Twice(keys()[0].public())), "of one validator, one vote counts");
}

#[test]
fn a_quorum_of_precommits_opens_the_next_round() {
    use VoteKind::{Precommit, Prevote};
    let block = Some(Hash([5; 32]));
    let verify = |entry: &RoundEntry| round_entry(entry, &members(), &CLUSTER);
    let votes = [(0, Precommit, None), (1, Precommit, block), (2, Precommit, None)];
    assert_eq!(verify(&entry_of(true, &votes)), Ok(()));
    assert_eq!(verify(&entry_of(true, &votes[..2])), Err(Flaw::TooFew(2, 3)));
    let mixed = [(0, Precommit, None), (1, Prevote, block), (2, Precommit, None)];
    assert_eq!(verify(&entry_of(true, &mixed)), Err(Flaw::Kind(keys()[1].public())));
}

proptest! {
    /// Exactly a quorum of distinct members, each of whom signed this vote, is a polka, in whatever order.
    #[test]
    fn a_polka_is_what_a_quorum_signed_and_nothing_else(
        signers in prop::collection::vec((0..5_usize, 0..8_u8), 0..7),
    ) {
        let (block, stranger) = (Hash([5; 32]), SigningKey::from_seed(&[9; 32]));
        let keys: Vec<SigningKey> = keys().into_iter().chain([stranger]).collect();
        let mut certificate = polka_of(&[]);
        let mut expected = signers.len() >= 3;
        for (place, (who, how)) in signers.iter().enumerate() {
            let (key, mut signature) = (&keys[*who], sign(&keys[*who], VoteKind::Prevote, Some(block)));
            match how {
                0 => signature = sign(key, VoteKind::Precommit, Some(block)),
                1 => signature.0[63] ^= 1,
                _ => {}
            }
            let twice = signers[..place].iter().any(|(before, _)| before == who);
            expected &= *who < 4 && *how > 1 && !twice;
            certificate.signatures.push((key.public(), signature));
        }
        prop_assert_eq!(polka(&certificate, &members(), &CLUSTER).is_ok(), expected);
    }
}
