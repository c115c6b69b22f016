//! A disk that fills behind our back, so that RocksDB itself meets its end: what other programs can do at any moment.

use crate::keyspace::Family;
use crate::{Commit, Options, Store, StoreError, check};
use hypermesh_chain::{Hash, Height, Revision, Timestamp};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rocksdb::WriteBatch;
use std::io::Write;
use std::time::{Duration, Instant};

fn commit(store: &Store, height: u64) -> Result<(), StoreError> {
    store.commit(Commit {
        height: Height(height),
        time: Timestamp(height),
        id: Hash::of(&[&height.to_le_bytes()]),
        block: b"block",
        certificate: b"certificate",
        effects: &[],
        before: &[],
        leaves: &[],
        outcomes: &[],
        revision: Revision(1),
    })
}

#[test]
fn writes_come_back_without_a_restart() {
    let disk = tempfile::tempdir().unwrap();
    if let Err(errno) = mount(Some("tmpfs"), disk.path(), Some("tmpfs"), MsFlags::empty(), Some("size=16m")) {
        println!("SKIPPED: a disk of its own cannot be mounted: {errno}");
        return;
    }
    let dir = disk.path().join("store");
    let options =
        Options { memtable_bytes: 256 << 10, reserve_bytes: 0, min_free_bytes: 0, ..Options::default() };
    let store = Store::open(&dir, options.clone()).unwrap();
    commit(&store, 0).unwrap();
    let filler = disk.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    // Past the check for room, until RocksDB cannot write its log.
    let mut n = 0_u64;
    let error = loop {
        let mut batch = WriteBatch::default();
        store.0.put_sealed(&mut batch, Family::Outcomes, &[1; 32], &[n as u8; 3000]).unwrap();
        match store.0.engine.write(batch, true) {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
        assert!(n < 10_000, "the disk does not fill");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert!(matches!(commit(&store, 1), Err(StoreError::DiskFull { .. })));
    assert_eq!(store.block(Height(0)).unwrap().unwrap().block, b"block");
    assert_eq!(store.view().unwrap().revision(), Revision(1));

    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let started = Instant::now();
    while let Err(error) = commit(&store, 1) {
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "writes do not come back");
        // RocksDB looks for room every five seconds.
        std::thread::park_timeout(Duration::from_millis(20));
    }
    println!("writes are back {:?} after there was room", started.elapsed());
    commit(&store, 2).unwrap();
    drop(store);
    let store = Store::open(&dir, options.clone()).unwrap();
    assert_eq!(store.head().unwrap().height, Height(2));
    assert_eq!(store.blocks(Height(0)).filter(Result::is_ok).count(), 3);
    drop(store);
    // The outcome that this test wrote past the store is all there is to find.
    let findings = check(&dir, &options).unwrap().findings;
    assert!(findings.iter().all(|finding| finding.what.contains("no block has its request")), "{findings:?}");
    umount2(disk.path(), MntFlags::MNT_DETACH).unwrap();
}
