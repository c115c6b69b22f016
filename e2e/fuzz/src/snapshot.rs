//! Snapshots: a store made from whatever a peer sends. Hashes are set right first: they find damage, and this is about
//! malice.

use hypermesh_chain::{Hash, KeyRange};
use hypermesh_store::{Options, Scope, Store};
use std::path::Path;

/// Restores, and if that is taken, exports and restores that.
pub fn target(data: &[u8]) {
    let input = with_hashes(data);
    let Some((store, dir)) = restore(&input) else { return };
    let head = store.head().expect("a snapshot is of a commit");
    let view = store.view().expect("a view");
    assert_eq!(view.revision(), head.revision);
    let block =
        store.block(head.height).expect("the head's block is read").expect("the head's block is there");
    assert_eq!((block.id, block.revision), (head.block_id, head.revision));
    let mut out = Vec::new();
    let scope = Scope { state_root: Hash([0; 32]), blocks_from: store.oldest_height().expect("a floor") };
    view.export(scope, &mut out).expect("what was restored is exported");
    let (again, _dir) = restore(&out).expect("what was exported is restored");
    assert_eq!(again.head(), Some(head));
    let range = KeyRange { collection: "/configmaps".into(), namespace: None };
    drop((range, view, store, dir));
}

fn restore(input: &[u8]) -> Option<(Store, tempfile::TempDir)> {
    // In memory where there is such a place: a database is synced to disk some ten times while it is made.
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(base).expect("a folder");
    let options = Options {
        cache_bytes: 1 << 20,
        memtable_bytes: 1 << 20,
        reserve_bytes: 0,
        min_free_bytes: 0,
        ..Options::default()
    };
    match Store::restore(dir.path(), options, input) {
        Ok((store, _)) => Some((store, dir)),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// `magic ‖ length ‖ manifest ‖ hash`, then `kind ‖ length ‖ bytes ‖ hash` for each chunk. What ends early stays so.
fn with_hashes(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    let mut at = 8;
    let mut index = 0_u64;
    loop {
        let kind = if at == 8 { None } else { out.get(at).copied() };
        let start = if at == 8 { at } else { at + 1 };
        let Some(length) = out.get(start..).and_then(|rest| rest.first_chunk::<4>()) else { return out };
        let (from, length) = (start + 4, u32::from_le_bytes(*length) as usize);
        let Some(bytes) = from.checked_add(length).and_then(|end| out.get(from..end)) else { return out };
        let hash = match kind {
            None => Hash::of(&[b"hypermesh snapshot manifest", bytes]),
            Some(kind) => {
                let place = index.to_le_bytes();
                index += 1;
                Hash::of(&[b"hypermesh snapshot chunk", &place, &[kind], bytes])
            }
        };
        let Some(place) = out.get_mut(from + length..from + length + 32) else { return out };
        place.copy_from_slice(&hash.0);
        at = from + length + 32;
    }
}
