//! A process that is killed at any moment leaves a store that opens, and in which nothing is half there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use hypermesh_image::{
    Digest, Finding, ImageStatus, PackSource, PackSpec, RootFsOptions, Store, StoreOptions, Wanted, gc,
};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const STORE: &str = "HYPERMESH_IMAGE_CRASH_STORE";
const ROUNDS: u64 = 25;

/// What is killed: it makes images, unpacks, uses and collects them as fast as it can.
#[test]
fn busy() {
    let Some(root) = std::env::var_os(STORE) else { return };
    let root = Path::new(&root);
    let (store, _) = Store::open(&root.join("store"), StoreOptions::default()).unwrap();
    println!("busy");
    for round in 0_u64.. {
        let source = PackSource { from: root.join("files"), to: "srv".to_owned() };
        let spec = PackSpec { sources: vec![source], time: round % 7, ..PackSpec::default() };
        let name = format!("test/image:{}", round % 7).parse().unwrap();
        let packed = store.pack(&name, &spec).unwrap();
        let id = format!("c{}", round % 3);
        store.remove_snapshot(&id).unwrap();
        store.lease(&id, &packed.manifest).unwrap();
        let options = RootFsOptions { form: Wanted::Copy, read_only: false };
        store.prepare(&id, &packed.manifest, options).unwrap();
        if round % 5 == 4 {
            store.remove_snapshot(&id).unwrap();
            store.release(&id).unwrap();
            let policy = gc::Policy {
                minimum_age: Duration::ZERO,
                high_percent: 0,
                low_percent: 0,
                ..gc::Policy::default()
            };
            store.collect_garbage(&policy).unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_a_store_that_mends_itself() {
    if std::env::var_os(STORE).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    std::fs::create_dir(&files).unwrap();
    for at in 0..50 {
        std::fs::write(files.join(format!("file{at}")), vec![b'x'; 4096]).unwrap();
    }
    let mut seen = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "busy", "--nocapture"])
            .env(STORE, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Once it is at work, it is killed at another moment each time.
        let mut output = child.stdout.take().unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"busy\n") {
            let mut byte = [0];
            assert_eq!(output.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        std::thread::sleep(Duration::from_micros(round * 7919 % 60_000));
        child.kill().unwrap();
        child.wait().unwrap();
        seen += check(&dir.path().join("store"));
    }
    // Else the test would not have seen what it is about.
    assert!(seen > 0, "no round was killed in the middle of anything");
}

/// Opens the store and looks at all of it. Gives how much had to be mended.
fn check(root: &Path) -> usize {
    let (store, findings) = Store::open(root, StoreOptions::default()).unwrap();
    for finding in &findings {
        assert!(matches!(finding, Finding::Cleared(_)), "{finding}");
    }
    assert_eq!(store.scrub().unwrap(), Vec::<Digest>::new());
    let (images, broken) = store.images();
    assert!(broken.is_empty(), "{broken:?}");
    for image in images {
        assert!(!matches!(image.status, ImageStatus::Missing(_)), "{:?}", image.names);
        let layers = store.unpack_image(&image.manifest_digest).unwrap();
        assert_eq!(std::fs::read_dir(store.layer_path(&layers[0]).join("srv")).unwrap().count(), 50);
    }
    for id in store.snapshots().unwrap() {
        let rootfs = store.snapshot(&id).unwrap().unwrap();
        assert_eq!(std::fs::read_dir(rootfs.writable().unwrap().join("srv")).unwrap().count(), 50);
        assert!(store.unpack_image(&rootfs.manifest).is_ok());
    }
    assert_eq!(std::fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    findings.len()
}
