//! The key-encryption key is replaced by age and on request, and a replacement that is cut short goes on.

use crate::support::*;
use hypermesh_store::{KeyRotation, Options, Store, StoreError, check};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn kek(dir: &Path) -> PathBuf {
    dir.join("keys/kek")
}

fn next(dir: &Path) -> PathBuf {
    dir.join("keys/kek.next")
}

fn data(dir: &Path) -> PathBuf {
    dir.join("keys/data")
}

fn rotating(key_rotation: KeyRotation) -> Options {
    Options { key_rotation, ..options() }
}

/// The object is there, under whatever key, and writes go on.
fn whole(dir: &Path) {
    let store = open(dir);
    assert_eq!(store.view().unwrap().get(&key("default", "a")).unwrap().unwrap().body, "content".as_bytes());
    commit(&store, &[put("b", "more")]);
    drop(store);
    assert!(!next(dir).exists());
    assert_eq!(check(dir, &options()).unwrap().findings, []);
}

fn new_store(dir: &Path) {
    let store = open(dir);
    commit(&store, &[put("a", "content")]);
    store.rotate_key().unwrap();
    commit(&store, &[put("a", "content")]);
}

#[test]
fn a_rotation_goes_on_from_wherever_it_was_cut_short() {
    let origin = tempfile::tempdir().unwrap();
    new_store(origin.path());
    let (old, wrapped) = (fs::read(kek(origin.path())).unwrap(), fs::read(data(origin.path())).unwrap());
    drop(Store::open(origin.path(), rotating(KeyRotation::Now)).unwrap());
    let (new, rewrapped) = (fs::read(kek(origin.path())).unwrap(), fs::read(data(origin.path())).unwrap());
    assert!(old != new && wrapped != rewrapped && !next(origin.path()).exists());
    whole(origin.path());

    // Every state that the files can be in when the process dies, and halves of files that were being written.
    type State<'a> = (&'a str, &'a [u8], &'a [u8], Option<&'a [u8]>, bool);
    let states: [State<'_>; 5] = [
        ("before the new key is whole", &old, &wrapped, None, true),
        ("after the new key", &old, &wrapped, Some(&new), false),
        ("while the data keys are wrapped", &old, &wrapped, Some(&new), true),
        ("after the data keys are wrapped", &old, &rewrapped, Some(&new), false),
        ("after the new key took its place", &new, &rewrapped, None, false),
    ];
    for (when, kek_bytes, data_bytes, next_bytes, half) in states {
        let dir = tempfile::tempdir().unwrap();
        new_store(dir.path());
        // Values are sealed with data keys, which are the origin's: take its database with them.
        copy(origin.path(), dir.path());
        fs::write(kek(dir.path()), kek_bytes).unwrap();
        fs::write(data(dir.path()), data_bytes).unwrap();
        if let Some(bytes) = next_bytes {
            fs::write(next(dir.path()), bytes).unwrap();
        }
        if half {
            fs::write(dir.path().join("keys/kek.new"), &new[..new.len() / 2]).unwrap();
            fs::write(dir.path().join("keys/data.new"), &rewrapped[..rewrapped.len() / 2]).unwrap();
        }
        // A check reads it as it lies there, and leaves it so.
        assert_eq!(check(dir.path(), &options()).unwrap().findings, [], "{when}");
        assert_eq!(next(dir.path()).exists(), next_bytes.is_some(), "{when}");
        whole(dir.path());
        let kept = fs::read(kek(dir.path())).unwrap();
        assert!(kept == if next_bytes.is_some() { new.as_slice() } else { kek_bytes }, "{when}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap();
        }
    }
}

#[test]
fn a_key_is_replaced_by_age_and_on_request_and_while_serving() {
    let dir = tempfile::tempdir().unwrap();
    new_store(dir.path());
    let path = kek(dir.path());
    let first = fs::read(&path).unwrap();
    for rotation in [KeyRotation::Keep, KeyRotation::OlderThan(Duration::from_secs(3600))] {
        drop(Store::open(dir.path(), rotating(rotation)).unwrap());
        assert!(fs::read(&path).unwrap() == first, "{rotation:?}");
    }
    drop(Store::open(dir.path(), rotating(KeyRotation::OlderThan(Duration::ZERO))).unwrap());
    let second = fs::read(&path).unwrap();
    assert!(second != first, "it is older than nothing");
    let store = open(dir.path());
    let view = store.view().unwrap();
    store.rotate_key_encryption_key().unwrap();
    assert!(fs::read(&path).unwrap() != second);
    assert!(view.get(&key("default", "a")).unwrap().is_some(), "what was being read goes on being read");
    // Data keys that come later are wrapped with the key of now.
    store.rotate_key().unwrap();
    store.reseal().unwrap();
    drop((view, store));
    whole(dir.path());
    // The key before opens nothing any more.
    fs::write(&path, second).unwrap();
    let refused = Store::open(dir.path(), options());
    assert!(matches!(refused, Err(StoreError::WrongKey { file }) if file == path));
}

#[test]
fn an_operators_key_stays_until_they_replace_it() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = disk.path().join("key");
    fs::write(&path, [7; 32]).unwrap();
    let options = |key_rotation| Options { key_file: Some(path.clone()), ..rotating(key_rotation) };
    let store = Store::open(dir.path(), options(KeyRotation::Keep)).unwrap();
    commit(&store, &[put("a", "content")]);
    drop(store);
    drop(Store::open(dir.path(), options(KeyRotation::OlderThan(Duration::ZERO))).unwrap());
    assert_eq!(fs::read(&path).unwrap(), [7; 32], "it has no age");
    // They put the next one beside it.
    fs::write(disk.path().join("key.next"), [8; 32]).unwrap();
    let store = Store::open(dir.path(), options(KeyRotation::Keep)).unwrap();
    assert!(store.view().unwrap().get(&key("default", "a")).unwrap().is_some());
    drop(store);
    assert_eq!(fs::read(&path).unwrap(), [8; 32]);
    assert!(!disk.path().join("key.next").exists());
    // On request, one of ours takes its place.
    drop(Store::open(dir.path(), options(KeyRotation::Now)).unwrap());
    assert_ne!(fs::read(&path).unwrap(), [8; 32]);
    assert!(!dir.path().join("keys/kek").exists());
}

#[test]
fn a_flipped_bit_in_the_next_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    new_store(dir.path());
    let mut bytes = fs::read(kek(dir.path())).unwrap();
    bytes[9] ^= 4;
    fs::write(next(dir.path()), bytes).unwrap();
    let refused = Store::open(dir.path(), options());
    assert!(matches!(refused, Err(StoreError::Damaged { file, .. }) if file == next(dir.path())));
    let report = check(dir.path(), &options()).unwrap();
    assert!(report.findings.iter().any(|finding| finding.file == next(dir.path())), "{report:?}");
}

#[test]
fn a_key_that_cannot_be_replaced_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    new_store(dir.path());
    let before = fs::read(kek(dir.path())).unwrap();
    // A folder where the new key would be written.
    fs::create_dir(dir.path().join("keys/kek.new")).unwrap();
    drop(Store::open(dir.path(), rotating(KeyRotation::OlderThan(Duration::ZERO))).unwrap());
    assert!(matches!(Store::open(dir.path(), rotating(KeyRotation::Now)), Err(StoreError::Io { .. })));
    assert!(fs::read(kek(dir.path())).unwrap() == before);
    fs::remove_dir(dir.path().join("keys/kek.new")).unwrap();
    whole(dir.path());
}
