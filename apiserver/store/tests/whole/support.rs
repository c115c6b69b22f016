//! Objects, effects and commits for the tests.

use hypermesh_chain::{Change, Effect, Facts, Hash, Height, ObjectKey, Record, Revision, Timestamp, Uid};
use hypermesh_store::{Commit, Options, Store, StoreError};
use std::path::Path;

pub fn options() -> Options {
    Options { memtable_bytes: 1 << 20, reserve_bytes: 0, min_free_bytes: 0, ..Options::default() }
}

pub fn open(dir: &Path) -> Store {
    Store::open(dir, options()).unwrap()
}

pub fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new("/configmaps", namespace, name).unwrap()
}

pub fn record(revision: u64, body: &str) -> Record {
    Record {
        revision: Revision(revision),
        salt: Vec::new(),
        facts: Facts::default(),
        body: body.to_owned().into(),
    }
}

/// One write that a block is to hold.
#[derive(Clone, Debug)]
pub enum Write {
    Put(ObjectKey, String, Facts),
    Delete(ObjectKey),
}

pub fn put(name: &str, body: &str) -> Write {
    Write::Put(key("default", name), body.to_owned(), Facts::default())
}

pub fn delete(name: &str) -> Write {
    Write::Delete(key("default", name))
}

pub fn uid(n: u8) -> Uid {
    Uid([n; 16])
}

pub fn block_id(height: u64) -> Hash {
    Hash::of(&[b"block", &height.to_le_bytes()])
}

pub fn request(height: u64) -> Hash {
    Hash::of(&[b"request", &height.to_le_bytes()])
}

/// Commits `writes` as the next block, each write with a revision of its own, as the state machine would.
pub fn try_commit(store: &Store, writes: &[Write]) -> Result<Revision, StoreError> {
    let head = store.head();
    let height = head.map_or(0, |head| head.height.0 + 1);
    let mut revision = head.map_or(0, |head| head.revision.0);
    let view = store.view()?;
    let mut now = std::collections::BTreeMap::new();
    let mut effects = Vec::new();
    let mut leaves = Vec::new();
    for write in writes {
        revision += 1;
        let (Write::Put(key, ..) | Write::Delete(key)) = write;
        let before = match now.get(key) {
            Some(record) => Option::clone(record),
            None => view.get(key)?,
        };
        let change = match (write, before) {
            (Write::Put(_, body, facts), before) => {
                let record = Record { facts: facts.clone(), ..record(revision, body) };
                leaves.push((key.clone(), Some(record.leaf(&key.encode()))));
                now.insert(key.clone(), Some(record.clone()));
                if before.is_some() { Change::Updated(record) } else { Change::Created(record) }
            }
            (Write::Delete(_), Some(last)) => {
                leaves.push((key.clone(), None));
                now.insert(key.clone(), None);
                Change::Deleted(Record { revision: Revision(revision), ..last })
            }
            (Write::Delete(_), None) => {
                revision -= 1;
                continue;
            }
        };
        effects.push(Effect { revision: Revision(revision), key: key.clone(), change });
    }
    store.commit(Commit {
        height: Height(height),
        time: Timestamp(height * 1000),
        id: block_id(height),
        block: format!("block {height}").as_bytes(),
        certificate: format!("certificate {height}").as_bytes(),
        effects: &effects,
        before: &[],
        leaves: &leaves,
        outcomes: &[(request(height), format!("outcome {height}").into_bytes())],
        revision: Revision(revision),
    })?;
    Ok(Revision(revision))
}

pub fn commit(store: &Store, writes: &[Write]) -> Revision {
    try_commit(store, writes).unwrap()
}

/// Random-looking text, the same for the same seed.
pub fn filler(seed: u64, length: usize) -> String {
    let mut text = String::with_capacity(length + 64);
    let mut n = 0_u64;
    while text.len() < length {
        text.push_str(&Hash::of(&[&seed.to_le_bytes(), &n.to_le_bytes()]).to_string());
        n += 1;
    }
    text.truncate(length);
    text
}
