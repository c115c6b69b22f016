//! What replicas write down and hand to each other as effects: records, facts, keys.

use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use hypermesh_chain::{Canonical, Change, Effect, Facts, Hash, KeyRange, ObjectKey, Record};

/// Reads the input as every type.
pub fn target(data: &[u8]) {
    if let Some(effect) = one::<Effect>(data) {
        sound(&effect.key);
        assert_eq!(
            effect.change.record().leaf(&effect.key.encode()),
            effect.change.record().leaf(&effect.key.encode())
        );
        let _: Hash = hypermesh_chain::event_leaf(&effect);
    }
    if let Some(key) = one::<ObjectKey>(data) {
        sound(&key);
    }
    one::<Change>(data);
    one::<Record>(data);
    one::<Facts>(data);
    let (copied, shared) = (Record::decode(data), Record::decode_shared(&Bytes::copy_from_slice(data)));
    assert_eq!(copied.ok(), shared.ok(), "a body that is not copied is the same");
    if let Ok(effect) = Effect::decode(data) {
        assert_eq!(effect.check(), Ok(()));
        assert_eq!(effect.encode(), data);
    }
    if let Some(key) = ObjectKey::decode(data) {
        assert_eq!(key.encode(), data, "a key's bytes are its own");
        sound(&key);
    }
}

/// Every value has one form. Order within is not the form's: sets are written sorted and read as they are.
fn one<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Option<T> {
    let value: T = borsh::from_slice(bytes).ok()?;
    assert_eq!(borsh::to_vec(&value).expect("written"), bytes);
    Some(value)
}

/// A key that was read is one that could have been made, so that no two keys share their bytes.
fn sound(key: &ObjectKey) {
    assert_eq!(ObjectKey::decode(&key.encode()).as_ref(), Some(key), "{key:?}");
    let range =
        KeyRange { collection: key.collection().to_owned(), namespace: Some(key.namespace().to_owned()) };
    assert!(range.contains(key) && key.encode().starts_with(&range.prefix()));
}
