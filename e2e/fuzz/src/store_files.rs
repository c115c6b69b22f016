//! What the store reads back from its disk: sealed values, marks, key files, rows and their keys.
//!
//! The first byte is a family, the second says what the rest damages or is.

use crate::input::{damaged, parts};
use hypermesh_store::decode::{Envelope, key_file, mark, new_mark, row_key, value};
use std::sync::LazyLock;

static STORE: LazyLock<(Envelope, Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let envelope = Envelope::new(dir.path()).expect("keys");
    let keys = std::fs::read(dir.path().join("keys/data")).expect("the key file");
    let mark = new_mark(dir.path()).expect("a mark");
    (envelope, keys, mark)
});

/// Reads the input as what it says it is.
pub fn target(data: &[u8]) {
    let [family, what, rest @ ..] = data else { return };
    let (envelope, keys, new_mark) = &*STORE;
    match what % 5 {
        0 => {
            let [key, plain, script] = parts(rest);
            let sealed = envelope.seal(*family, key, plain).expect("a value is sealed");
            assert_eq!(envelope.open(*family, key, &sealed).ok().as_deref(), Some(plain));
            assert!(envelope.open(family.wrapping_add(1), key, &sealed).is_err(), "another family");
            assert!(envelope.open(*family, &[key, b"x"].concat(), &sealed).is_err(), "another row");
            let found = damaged(&sealed, script);
            assert_eq!(
                envelope.open(*family, key, &found).is_ok(),
                found == sealed,
                "what is damaged is told"
            );
        }
        1 => assert!(envelope.open(*family, b"key", rest).is_err(), "what was never sealed is told"),
        2 => {
            let found = damaged(new_mark, rest);
            // One of the two slots may be damaged; what is read is what was written.
            assert!(mark(&found).is_none_or(|head| head.is_none()));
            mark(rest);
        }
        3 => {
            let found = damaged(keys, rest);
            assert_eq!(key_file(&found).is_some(), found == *keys, "a damaged key file is told");
            assert_eq!(key_file(rest).is_some(), rest == keys);
        }
        _ => {
            assert!(value(*family, rest).is_none_or(|again| again == rest), "a value has one form");
            assert!(row_key(rest).is_none_or(|again| again == rest), "a key has one form");
        }
    }
}
