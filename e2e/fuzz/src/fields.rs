//! `fieldsV1` of `managedFields`: two of them, and the laws of sets.

use crate::input::{json, parts};
use hypermesh_merge::{Element, FieldSet};

/// Reads two sets, writes them back, and computes with them.
pub fn target(data: &[u8]) {
    let [one, other] = parts(data);
    if let Ok(text) = std::str::from_utf8(one)
        && let Ok(Some(element)) = Element::parse(text)
    {
        let mut written = String::new();
        element.write(&mut written);
        assert_eq!(Element::parse(&written), Ok(Some(element)), "{written}");
    }
    let read = |bytes| FieldSet::from_fields_v1(&json(bytes)?).ok();
    let Some(a) = read(one) else { return };
    let written = a.to_fields_v1();
    assert_eq!(FieldSet::from_fields_v1(&written), Ok(a.clone()), "written and read: {written}");
    assert_eq!(json(a.to_fields_v1_json().as_bytes()), Some(written), "both writers write the same");
    let paths = a.paths();
    assert_eq!((paths.len(), paths.is_empty()), (a.len(), a.is_empty()));
    let mut rebuilt = FieldSet::new();
    for path in &paths {
        assert!(a.contains(&path.0), "{path}");
        rebuilt.insert(&path.0);
    }
    assert_eq!(rebuilt, a, "a set is its paths");
    let Some(b) = read(other) else { return };
    let union = a.clone().union(b.clone());
    assert_eq!(b.clone().union(a.clone()), union);
    assert_eq!(union.clone().union(a.clone()), union);
    let (both, only) = (a.intersection(&b), a.clone().difference(&b));
    assert_eq!(b.intersection(&a), both);
    assert!(both.intersection(&only).is_empty());
    assert_eq!(both.clone().union(only.clone()), a, "what is in both, and what is in one alone");
    assert_eq!(both.len() + only.len(), a.len());
    assert!(a.clone().recursive_difference(&b).difference(&only).is_empty());
    assert!(a.clone().difference(&a).is_empty());
}
