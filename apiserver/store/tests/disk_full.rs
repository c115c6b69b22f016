//! A full disk: refusal comes early, reads go on, nothing acknowledged is lost, and writes go on without a restart.

mod support;

use hypermesh_chain::{KeyRange, Revision};
use hypermesh_store::{Options, Room, Store, StoreError, check};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::*;

/// A small disk of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, with the reason printed, where this process may not mount.
    fn new(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        match mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str())) {
            Ok(()) => Some(Self(dir)),
            Err(errno) => {
                println!("SKIPPED: a disk of its own cannot be mounted: {errno}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk to the last block.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut block = vec![1_u8; 1 << 20];
        while !block.is_empty() {
            use std::io::Write;
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(umount2(self.0.path(), MntFlags::MNT_DETACH));
    }
}

fn all() -> KeyRange {
    KeyRange { collection: "/configmaps".to_owned(), namespace: None }
}

#[test]
fn refusal_is_early_and_the_reserve_lets_deletions_through() {
    let Some(disk) = Disk::new(24) else { return };
    let options = Options { reserve_bytes: 6 << 20, min_free_bytes: 4 << 20, ..options() };
    let store = Store::open(&disk.path().join("store"), options.clone()).unwrap();
    let mut n = 0;
    while store.room().unwrap() == Room::Enough {
        commit(&store, &[put(&format!("n{n}"), &filler(n, 20_000))]);
        n += 1;
    }
    assert!(n > 20, "{n}");
    // Another program takes the rest.
    let filler_file = disk.fill();
    assert!(matches!(store.room().unwrap(), Room::Low { .. }));
    // The reserve pays for deletions and for compaction.
    for victim in 0..n / 2 {
        commit(&store, &[delete(&format!("n{victim}"))]);
    }
    let revision = store.head().unwrap().revision;
    store.compact(revision).unwrap();
    // With the reserve given back and used up, commits are refused and change nothing.
    disk.fill();
    let head = store.head();
    assert!(matches!(try_commit(&store, &[put("x", "1")]), Err(StoreError::DiskFull { .. })));
    assert_eq!(store.head(), head);
    assert_eq!(store.view().unwrap().count(&all()).unwrap() as u64, n - n / 2);
    // Room returns: so do commits and the reserve.
    fs::remove_file(filler_file).unwrap();
    commit(&store, &[put("x", "1")]);
    assert_eq!(store.room().unwrap(), Room::Enough);
    assert_eq!(fs::metadata(disk.path().join("store/RESERVE")).unwrap().len(), 6 << 20);
    drop(store);
    assert_eq!(check(&disk.path().join("store"), &options).unwrap().findings, []);
}

#[test]
fn a_disk_that_fills_under_a_write_recovers_without_restart() {
    let Some(disk) = Disk::new(24) else { return };
    // So little memory counts as room that RocksDB itself meets the end of the disk.
    let options = Options { memtable_bytes: 64 << 10, reserve_bytes: 0, min_free_bytes: 0, ..options() };
    let store = Store::open(&disk.path().join("store"), options.clone()).unwrap();
    commit(&store, &[put("first", "1")]);
    let filler_file = disk.fill();
    fs::OpenOptions::new().write(true).open(&filler_file).unwrap().set_len(fs::metadata(&filler_file).unwrap().len() - (700 << 10)).unwrap();
    let mut acknowledged = Vec::new();
    let mut n = 0;
    let error = loop {
        match try_commit(&store, &[put(&format!("n{n}"), &filler(n, 9_000))]) {
            Ok(_) => acknowledged.push(n),
            Err(error) => break error,
        }
        n += 1;
        assert!(n < 1000, "the disk does not fill");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    println!("after {n} commits: {error}");
    let view = store.view().unwrap();
    for n in &acknowledged {
        assert_eq!(view.get(&key("default", &format!("n{n}"))).unwrap().unwrap().body, filler(*n, 9_000));
    }
    assert!(try_commit(&store, &[put("still", "full")]).is_err());
    fs::remove_file(filler_file).unwrap();
    let started = Instant::now();
    while let Err(error) = try_commit(&store, &[put("after", "1")]) {
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "writes do not come back: {error}");
        std::thread::yield_now();
    }
    println!("writes are back after {:?}", started.elapsed());
    assert_eq!(store.view().unwrap().revision(), Revision(acknowledged.len() as u64 + 2));
    drop((view, store));
    assert_eq!(check(&disk.path().join("store"), &options).unwrap().findings, []);
    let store = Store::open(&disk.path().join("store"), options).unwrap();
    assert_eq!(store.view().unwrap().count(&all()).unwrap(), acknowledged.len() + 2);
}
