use super::*;
use proptest::prelude::*;

fn elements(n: u64) -> Vec<Hash> {
    (0..n).map(|i| Hash::of(&[&i.to_le_bytes()])).collect()
}

/// RFC 6962 section 2.1 as it is written, recursively.
fn defined_head(elements: &[Hash]) -> Hash {
    match elements {
        [] => Hash::of(&[]),
        [one] => Hash::of(&[&[0], &one.0]),
        _ => {
            let mut k = 1;
            while k * 2 < elements.len() {
                k *= 2;
            }
            let (left, right) = elements.split_at(k);
            Hash::of(&[&[1], &defined_head(left).0, &defined_head(right).0])
        }
    }
}

/// The heads that the Certificate Transparency project's tests hold: of nothing, and of one empty leaf.
#[test]
fn heads_are_those_of_rfc_6962() {
    let empty = head(std::iter::empty());
    insta::assert_snapshot!(empty, @"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let one_empty_leaf = head([Hash::of(&[&[0]])].into_iter());
    insta::assert_snapshot!(one_empty_leaf, @"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    for n in 0..70 {
        let elements = elements(n);
        assert_eq!(root(&elements), seal(n, &defined_head(&elements)), "{n} elements");
    }
}

#[test]
fn every_element_is_proved_at_its_place_only() {
    for n in 1..20_u64 {
        let elements = elements(n);
        let root = root(&elements);
        for i in 0..n {
            let proof = prove(&elements, i as usize).unwrap();
            let proof = InclusionProof::decode(&proof.encode()).unwrap();
            for (j, element) in elements.iter().enumerate() {
                assert_eq!(proof.verify(&root, element).is_ok(), j as u64 == i);
            }
            let elsewhere = |index, length| InclusionProof { index, length, ..proof.clone() };
            for (index, length) in (0..24).flat_map(|i| (0..24).map(move |n| (i, n))) {
                let verdict = elsewhere(index, length).verify(&root, &elements[i as usize]);
                assert_eq!(verdict.is_ok(), (index, length) == (i, n), "{index}/{length} for {i}/{n}");
            }
        }
        assert!(prove(&elements, n as usize).is_none());
    }
}

proptest! {
    #[test]
    fn a_changed_proof_fails(n in 1..200_u64, at in any::<prop::sample::Index>(), change in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let elements = elements(n);
        let index = at.index(elements.len());
        let mut bytes = prove(&elements, index).unwrap().encode();
        let place = change.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(proof) = InclusionProof::decode(&bytes) {
            prop_assert!(proof.verify(&root(&elements), &elements[index]).is_err());
        }
    }

    #[test]
    fn no_path_makes_it_panic(index: u64, length: u64, steps in 0..70_usize) {
        let proof = InclusionProof { index, length, path: vec![Hash::default(); steps] };
        prop_assert!(proof.verify(&Hash::default(), &Hash::default()).is_err());
    }
}
