//! Proofs of a state tree: none proves what is not so. The tree is made here; the input is a proof, or says how a
//! true one is damaged.
//!
//! The first byte chooses a key or a prefix, the second whether it is read or damaged.

use crate::input::damaged;
use hypermesh_chain::{Canonical, Hash, Proof, RangeProof, StateTree};
use std::sync::LazyLock;

static TREE: LazyLock<StateTree> = LazyLock::new(|| {
    let keys = (0..48_u8).map(|i| (vec![b'k', i / 8, 0, i], Hash([i; 32])));
    StateTree::from_sorted(keys).expect("keys in order")
});

/// Verifies a proof against what is so.
pub fn target(data: &[u8]) {
    let [which, how, rest @ ..] = data else { return };
    let tree = &*TREE;
    let root = tree.root();
    let key = [b'k', which / 32 % 8, 0, which % 64];
    let leaf = tree.get(&key);
    let truth = tree.prove(&key);
    assert_eq!(truth.verify(&root, &key, leaf.as_ref()), Ok(()));
    let bytes = if how % 2 == 0 { damaged(&truth.encode(), rest) } else { rest.to_vec() };
    if let Ok(proof) = Proof::decode(&bytes) {
        for claim in [None, Some(Hash([which % 64; 32])), Some(Hash([0xff; 32]))] {
            if proof.verify(&root, &key, claim.as_ref()).is_ok() {
                assert_eq!(claim, leaf, "{proof:?} proves {claim:?} of {key:?}");
            }
        }
    }
    let prefix = &key[..usize::from(how / 2 % 5)];
    let entries: Vec<_> = tree.iter(prefix).map(|(key, leaf)| (key.to_vec(), leaf)).collect();
    let truth = tree.prove_range(prefix);
    assert_eq!(truth.verify(&root, prefix, &entries), Ok(()));
    let bytes = if how % 2 == 0 { damaged(&truth.encode(), rest) } else { rest.to_vec() };
    if let Ok(proof) = RangeProof::decode(&bytes) {
        let mut fewer = entries.clone();
        if fewer.pop().is_some() {
            assert!(proof.verify(&root, prefix, &fewer).is_err(), "{proof:?} hides an object");
        }
        let mut more = entries.clone();
        more.push(([prefix, &[0xff]].concat(), Hash([0xff; 32])));
        assert!(proof.verify(&root, prefix, &more).is_err(), "{proof:?} invents an object");
    }
}
