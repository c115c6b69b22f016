//! Which ids of the node an Instance has: each a range that no other of this node has.

use hypermesh_shim::protocol::{IdMap, IdMaps};
use std::collections::BTreeSet;

/// How many ids an Instance has: all that a container's files and users may name.
pub(super) const COUNT: u32 = 65_536;

/// The first range of some that nobody has.
///
/// # Errors
/// If all are taken.
pub(super) fn allocate(first: u32, ranges: u32, taken: &BTreeSet<u32>) -> Option<u32> {
    (0..ranges)
        .filter_map(|range| first.checked_add(range.checked_mul(COUNT)?))
        .find(|start| !taken.contains(start))
}

/// A range as the kernel takes it.
pub(super) fn maps(start: u32) -> IdMaps {
    let map = vec![IdMap { inside: 0, outside: start, count: COUNT }];
    IdMaps { users: map.clone(), groups: map }
}

/// Where the range of an Instance begins, if it has one of ours.
pub(super) fn start(maps: &IdMaps) -> Option<u32> {
    match maps.users.as_slice() {
        [map] if map.count == COUNT => Some(map.outside),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_never_meet() {
        let mut taken = BTreeSet::new();
        for _ in 0..3 {
            let start = allocate(1000, 3, &taken).unwrap();
            assert!(taken.iter().all(|other| start.abs_diff(*other) >= COUNT));
            taken.insert(start);
        }
        assert_eq!(allocate(1000, 3, &taken), None);
        taken.remove(&(1000 + COUNT));
        assert_eq!(allocate(1000, 3, &taken), Some(1000 + COUNT));
        assert_eq!(start(&maps(1000)), Some(1000));
        assert_eq!(allocate(u32::MAX - 10, 3, &BTreeSet::from([u32::MAX - 10])), None);
    }
}
