//! A full disk: refusal comes early, reads go on, nothing acknowledged is lost, and writes go on without a restart.

use crate::support::*;
use hypermesh_chain::KeyRange;
use hypermesh_store::{Options, Room, Store, StoreError, check};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
        // A disk that stays mounted goes with the machine; it is no reason to fail.
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// Does what a full disk refuses until there is room: RocksDB, once a write of its own in the background has failed, looks
/// for room every five seconds.
fn once_more(mut act: impl FnMut() -> Result<(), StoreError>) {
    let started = Instant::now();
    while let Err(error) = act() {
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(30), "room does not help: {error}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn all() -> KeyRange {
    KeyRange { collection: "/configmaps".to_owned(), namespace: None }
}

#[test]
fn refusal_is_early_and_the_reserve_lets_deletions_through() {
    let Some(disk) = Disk::new(64) else { return };
    let options = Options { reserve_bytes: 24 << 20, min_free_bytes: 8 << 20, ..options() };
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
    // A deletion writes what it deletes twice: the record that it supersedes, and its last state.
    for victim in 0..n / 32 {
        once_more(|| try_commit(&store, &[delete(&format!("n{victim}"))]).map(drop));
    }
    let revision = store.head().unwrap().revision;
    once_more(|| store.compact(revision).map(drop));
    // With the reserve given back and used up, commits are refused and change nothing. What compaction left is cleared
    // away in the background: the disk is filled until nothing comes free any more.
    let mut more = 0;
    let head = loop {
        disk.fill();
        let head = store.head();
        match try_commit(&store, &[put("x", "1")]) {
            Ok(_) => more = 1,
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
                break head;
            }
        }
    };
    assert_eq!(store.head(), head);
    assert_eq!(store.view().unwrap().count(&all()).unwrap() as u64, n - n / 32 + more);
    // Room returns: so do commits and the reserve.
    fs::remove_file(filler_file).unwrap();
    once_more(|| try_commit(&store, &[put("x", "1")]).map(drop));
    assert_eq!(store.room().unwrap(), Room::Enough);
    assert_eq!(fs::metadata(disk.path().join("store/RESERVE")).unwrap().len(), 24 << 20);
    drop(store);
    assert_eq!(check(&disk.path().join("store"), &options).unwrap().findings, []);
}
