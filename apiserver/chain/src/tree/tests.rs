//! The tree against its definition: a sorted map and the recursive rule of the module's first section.

use super::*;
use crate::Canonical;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, Hash>;

fn leaf(n: u64) -> Hash {
    Hash::of(&[&n.to_le_bytes()])
}

/// The root by the definition, on bit strings as such.
fn defined_root(entries: &[(&Vec<u8>, &Hash)]) -> Hash {
    match entries {
        [] => hash::empty(),
        [(key, leaf)] => hash::leaf(key, &[], leaf),
        _ => {
            let differ = |i: &u32| entries.iter().any(|(key, _)| bit(key, *i) != bit(entries[0].0, *i));
            let fork = (0..).find(differ).unwrap();
            let (left, right): (Vec<_>, Vec<_>) = entries.iter().partition(|(key, _)| !bit(key, fork));
            hash::fork(fork, &defined_root(&left), &defined_root(&right))
        }
    }
}

fn model_root(model: &Model) -> Hash {
    defined_root(&model.iter().collect::<Vec<_>>())
}

fn tree_of(model: &Model) -> StateTree {
    StateTree::from_sorted(model.iter().map(|(key, leaf)| (key, *leaf))).unwrap()
}

/// Asserts every invariant of the form in memory, and that it holds what the model holds.
fn check(tree: &StateTree, model: &Model) {
    let mut links = vec![(&tree.root, None::<u32>)];
    while let Some((link, above)) = links.pop() {
        match link {
            Link::Empty => assert!(model.is_empty()),
            Link::Page(page) => page.check(),
            Link::Fork(fork) => {
                assert!(above.is_none_or(|above| above < fork.bit));
                assert!(!matches!(fork.left, Link::Empty) && !matches!(fork.right, Link::Empty));
                links.extend([(&fork.left, Some(fork.bit)), (&fork.right, Some(fork.bit))]);
            }
        }
    }
    assert_eq!(tree.len(), model.len());
    assert!(tree.iter(b"").eq(model.iter().map(|(key, leaf)| (key.clone(), *leaf))));
    assert_eq!(tree.root(), model_root(model));
}

/// Keys that are often each other's beginnings and differ in the first or last bit of a byte.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(prop::sample::select(vec![0, 1, 0x80, 0xff]), 0..5),
        (0..3_u8, 0..40_u8).prop_map(|(kind, n)| format!("g/kind{kind}\0ns\0name-{n}").into_bytes()),
    ]
}

fn model() -> impl Strategy<Value = Model> {
    prop::collection::btree_map(key(), any::<u64>().prop_map(leaf), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn it_is_the_map_it_should_be(writes in prop::collection::vec((key(), prop::option::of(0..4_u64)), 0..150)) {
        let (mut tree, mut model) = (StateTree::new(), Model::new());
        for (i, (key, value)) in writes.iter().enumerate() {
            match value {
                Some(n) => prop_assert_eq!(tree.insert(key, leaf(*n)), model.insert(key.clone(), leaf(*n))),
                None => prop_assert_eq!(tree.remove(key), model.remove(key)),
            }
            prop_assert_eq!(tree.get(key), model.get(key).copied());
            if i % 16 == 0 {
                check(&tree, &model);
            }
        }
        check(&tree, &model);
        check(&tree_of(&model), &model);
    }

    #[test]
    fn the_root_forgets_history(model in model(), others in prop::collection::vec(key(), 0..30), seed in any::<u64>()) {
        let mut order: Vec<_> = model.iter().collect();
        order.sort_by_key(|(key, _)| Hash::of(&[key, &seed.to_le_bytes()]));
        let mut tree = StateTree::new();
        for (key, _) in &order {
            tree.insert(key, leaf(seed));
        }
        for key in &others {
            tree.insert(key, leaf(0));
            tree.root();
        }
        for key in others.iter().filter(|key| !model.contains_key(*key)) {
            tree.remove(key);
        }
        for (key, leaf) in order {
            tree.insert(key, *leaf);
        }
        check(&tree, &model);
    }

    #[test]
    fn a_clone_keeps_what_it_was(model in model(), writes in prop::collection::vec((key(), any::<bool>()), 0..40)) {
        let mut tree = tree_of(&model);
        let old = tree.clone();
        let mut new = model.clone();
        for (key, put) in &writes {
            if *put {
                tree.insert(key, leaf(1));
                new.insert(key.clone(), leaf(1));
            } else {
                tree.remove(key);
                new.remove(key);
            }
        }
        check(&old, &model);
        check(&tree, &new);
        drop(tree);
        check(&old, &model);
    }

    #[test]
    fn presence_and_absence_are_proved_and_nothing_else(model in model(), searched in key()) {
        let tree = tree_of(&model);
        let root = tree.root();
        for key in model.keys().chain([&searched]) {
            let proof = Proof::decode(&tree.prove(key).encode()).unwrap();
            let held = model.get(key);
            prop_assert_eq!(proof.verify(&root, key, held), Ok(()));
            prop_assert!(proof.verify(&leaf(0), key, held).is_err());
            prop_assert!(proof.verify(&root, key, Some(&leaf(u64::MAX))).is_err());
            if held.is_some() {
                prop_assert_eq!(proof.verify(&root, key, None), Err(ProofError::Claim));
            }
            // No proof, whatever it was made for, shows a present key absent or an absent one present.
            for (other, leaf) in &model {
                prop_assert!(proof.verify(&root, other, None).is_err());
                if other != key {
                    prop_assert!(proof.verify(&root, key, Some(leaf)).is_err());
                }
            }
        }
    }

    #[test]
    fn a_range_is_proved_whole(model in model(), prefix in key(), cut in 0..4_usize, pick in any::<prop::sample::Index>()) {
        let tree = tree_of(&model);
        let root = tree.root();
        let prefix = &prefix[..prefix.len().saturating_sub(cut)];
        let under: Vec<_> =
            model.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, leaf)| (key.clone(), *leaf)).collect();
        prop_assert!(tree.iter(prefix).eq(under.iter().cloned()));
        let proof = RangeProof::decode(&tree.prove_range(prefix).encode()).unwrap();
        prop_assert_eq!(proof.verify(&root, prefix, &under), Ok(()));
        prop_assert!(proof.verify(&leaf(0), prefix, &under).is_err());
        let mut longer = under.clone();
        longer.push(([prefix, &[7, 7]].concat(), leaf(0)));
        longer.sort();
        prop_assert!(proof.verify(&root, prefix, &longer).is_err());
        if !under.is_empty() {
            let place = pick.index(under.len());
            let mut shorter = under.clone();
            shorter.remove(place);
            prop_assert!(proof.verify(&root, prefix, &shorter).is_err());
            // Nor does the honest proof of another range, or of a search, let the shorter list pass.
            for key in model.keys() {
                for length in 0..=key.len() {
                    let other = tree.prove_range(&key[..length]);
                    prop_assert!(other.verify(&root, prefix, &shorter).is_err());
                }
                let Proof { steps, .. } = tree.prove(key);
                let outside = Some(Leaf { key: key.clone(), leaf: model[key] });
                for outside in [outside, None] {
                    let forged = RangeProof { steps: steps.clone(), outside };
                    prop_assert!(forged.verify(&root, prefix, &shorter).is_err());
                }
            }
            let mut altered = under.clone();
            altered[place].1 = leaf(u64::MAX);
            prop_assert!(proof.verify(&root, prefix, &altered).is_err());
        }
    }

    #[test]
    fn a_changed_proof_fails(model in model(), searched in key(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let tree = tree_of(&model);
        let root = tree.root();
        let mut bytes = tree.prove(&searched).encode();
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert!(proof.verify(&root, &searched, model.get(&searched)).is_err());
        }
        let under: Vec<_> = tree.iter(&searched).collect();
        let mut bytes = tree.prove_range(&searched).encode();
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(proof) = RangeProof::decode(&bytes) {
            prop_assert!(proof.verify(&root, &searched, &under).is_err());
        }
    }
}

#[test]
fn the_empty_tree_proves_absence() {
    let tree = StateTree::new();
    assert_eq!(tree.prove(b"k").verify(&tree.root(), b"k", None), Ok(()));
    assert_eq!(tree.prove_range(b"").verify::<Vec<u8>>(&tree.root(), b"", &[]), Ok(()));
    let one = StateTree::from_sorted([(b"k", leaf(1))]).unwrap();
    assert!(tree.prove(b"k").verify(&one.root(), b"k", None).is_err());
    assert_eq!(one.prove(b"j").verify(&one.root(), b"j", None), Ok(()));
}

/// A changed hash is a change of the protocol.
#[test]
fn roots_are_what_they_were() {
    let mut tree = StateTree::new();
    insta::assert_snapshot!(tree.root(), @"cdbf14e43ddf9544f3390aa012268b7ece9b7e1b0b473bc71f22121e94ced6d2");
    tree.insert(b"/secrets\0default\0a", leaf(1));
    insta::assert_snapshot!(tree.root(), @"5ef152a9873d98ca4232f55208c1a998a2007e125675535bb8b460b080e08c99");
    tree.insert(b"/secrets\0default\0b", leaf(2));
    insta::assert_snapshot!(tree.root(), @"528122d48cbb9e83d4b735e361dbecb6f997bb209759235fac009fbc2caaf11d");
}

#[test]
fn unsorted_keys_are_refused_by_place() {
    let build =
        |keys: &[&str]| StateTree::from_sorted(keys.iter().map(|key| (*key, leaf(0)))).map(|t| t.len());
    assert_eq!(build(&["a", "b", "c"]), Ok(3));
    assert_eq!(build(&["a", "c", "b"]), Err(OrderError { index: 2 }));
    assert_eq!(build(&["a", "a"]), Err(OrderError { index: 1 }));
}

#[test]
fn proofs_of_a_part_of_the_range_are_refused() {
    let model: Model = (0..40).map(|n| (format!("ns\0name-{n:02}").into_bytes(), leaf(n))).collect();
    let tree = tree_of(&model);
    let (whole, part) = (b"ns\0", b"ns\0name-1");
    let entries: Vec<_> = tree.iter(part).collect();
    assert_eq!(entries.len(), 10);
    let proof = tree.prove_range(part);
    assert_eq!(proof.verify(&tree.root(), part, &entries), Ok(()));
    let refused = proof.verify(&tree.root(), whole, &entries);
    assert!(matches!(refused, Err(ProofError::Inside { .. })), "{refused:?}");
}

#[test]
fn entries_of_another_range_are_refused() {
    let tree = StateTree::from_sorted([("ns-a\0x", leaf(1)), ("ns-a\0y", leaf(2))]).unwrap();
    // The whole tree is one subtree, above any fork: only the entries' keys tell that they are not of this range.
    let entries: Vec<_> = tree.iter(b"ns-a\0").collect();
    let whole = RangeProof { steps: Vec::new(), outside: None };
    assert_eq!(whole.verify(&tree.root(), b"ns-a\0", &entries), Ok(()));
    assert_eq!(whole.verify(&tree.root(), b"ns-b\0", &entries), Err(ProofError::Entry { entry: 0 }));
    let reversed: Vec<_> = entries.into_iter().rev().collect();
    assert_eq!(whole.verify(&tree.root(), b"ns-a\0", &reversed), Err(ProofError::Entry { entry: 1 }));
}

/// Keys chosen to make a path of thousands of forks; everything runs on a stack that no recursion over it would fit.
#[test]
fn paths_of_any_depth_need_no_stack() {
    let deep = || {
        // Every beginning of one long key, and every one with its last bit flipped.
        let long: Vec<u8> = (0..400_u32).map(|i| if i % 2 == 0 { 0x55 } else { 0xaa }).collect();
        let mut model = Model::new();
        for length in 0..long.len() {
            model.insert(long[..length].to_vec(), leaf(length as u64));
            for flip in 0..8 {
                let mut key = long[..=length].to_vec();
                key[length] ^= 1 << flip;
                model.insert(key, leaf(flip));
            }
        }
        let tree = tree_of(&model);
        let root = tree.root();
        let proof = tree.prove(&long);
        assert!(proof.steps.len() > 3_000, "{} steps", proof.steps.len());
        assert_eq!(proof.verify(&root, &long, None), Ok(()));
        assert_eq!(Proof::decode(&proof.encode()).unwrap(), proof);
        let mut other = StateTree::new();
        for (key, leaf) in model.iter().rev() {
            other.insert(key, *leaf);
        }
        assert_eq!(other.root(), root);
        let kept = other.clone();
        for key in model.keys().take(model.len() - 1) {
            assert!(other.remove(key).is_some());
        }
        assert_eq!(other.len(), 1);
        let range = kept.prove_range(&long[..380]);
        let under: Vec<_> = kept.iter(&long[..380]).collect();
        assert_eq!(range.verify(&root, &long[..380], &under), Ok(()));
    };
    std::thread::Builder::new().stack_size(96 << 10).spawn(deep).unwrap().join().unwrap();
}
