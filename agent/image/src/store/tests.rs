//! The store as it is used, and as crashes and bad disks leave it.

use super::*;
use crate::gc::{Policy, plan};
use crate::manifest::{Descriptor, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use crate::platform::Platform;
use crate::reference::Reference;
use std::fs;
use std::io::Write as _;

pub(crate) fn open(root: &Path) -> (Store, Vec<Finding>) {
    Store::open(root, StoreOptions::default()).unwrap()
}

pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Puts an image of plain layers into a store and names it.
pub(crate) fn image(store: &Store, name: &str, layers: &[Vec<u8>]) -> Digest {
    let descriptors: Vec<Descriptor> = layers
        .iter()
        .map(|layer| {
            store.put(&Digest::of(layer), layer).unwrap();
            Descriptor::new(OCI_LAYER, Digest::of(layer), layer.len() as u64)
        })
        .collect();
    let platform = Platform::host();
    let diff_ids: Vec<&Digest> = descriptors.iter().map(|layer| &layer.digest).collect();
    let config = serde_json::json!({"architecture": platform.architecture, "os": platform.os,
        "config": {"Cmd": [name]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string().into_bytes();
    store.put(&Digest::of(&config), &config).unwrap();
    let config = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": descriptors});
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    store.put(&digest, &manifest).unwrap();
    let target = Descriptor::new(OCI_MANIFEST, digest.clone(), manifest.len() as u64);
    store.name(&name.parse().unwrap(), &target, &digest, &platform).unwrap();
    digest
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn one_process_at_a_time_has_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, findings) = open(dir.path());
    assert_eq!(findings, []);
    let second = Store::open(dir.path(), StoreOptions::default());
    assert!(matches!(second, Err(StoreError::InUse(_))));
    drop(store);
    open(dir.path());
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis"), "").unwrap();
    let refused = Store::open(dir.path(), StoreOptions::default());
    assert!(matches!(refused, Err(StoreError::NotAStore(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn blobs_come_in_whole_and_right_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (text, digest) = (b"hello world", Digest::of(b"hello world"));
    let mut ingest = store.ingest(&digest, Some(11)).unwrap().unwrap();
    ingest.write(b"hello ").unwrap();
    assert!(matches!(ingest.commit(), Err(StoreError::WrongSize { expected: 11, found: 6, .. })));
    // What came stays, across a restart, and is gone on from.
    drop(store);
    let (store, _) = open(dir.path());
    let mut ingest = store.ingest(&digest, Some(11)).unwrap().unwrap();
    assert_eq!((ingest.offset(), ingest.resumed()), (6, true));
    assert!(matches!(ingest.write(b"too much of it"), Err(StoreError::WrongSize { found: 20, .. })));
    assert_eq!(ingest.offset(), 0);
    ingest.write(b"hello WORLD").unwrap();
    assert!(matches!(ingest.commit(), Err(StoreError::WrongDigest { .. })));
    assert_eq!(store.blob_size(&digest), None);
    store.put(&digest, text).unwrap();
    assert_eq!(store.read_blob(&digest, 100).unwrap(), text);
    assert!(store.ingest(&digest, Some(11)).unwrap().is_none());
    assert!(matches!(store.read_blob(&digest, 5), Err(StoreError::TooLarge { .. })));
    let mut hasher = crate::digest::Hasher::new(crate::digest::Algorithm::Sha512);
    hasher.update(text);
    let strong = hasher.finish();
    store.put(&strong, text).unwrap();
    assert_eq!(store.read_blob(&strong, 100).unwrap(), text);
    let long: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    assert!(matches!(store.put(&long, text), Err(StoreError::WrongDigest { .. })));
    let mut new = store.new_blob().unwrap();
    new.write_all(text).unwrap();
    assert_eq!(new.commit().unwrap(), (digest, 11));
}

#[test]
fn a_damaged_blob_is_named_and_never_used() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let layer = tar(&[("a", "a")]);
    let manifest = image(&store, "test/a:1", std::slice::from_ref(&layer));
    let damage = |digest: &Digest| {
        let path = store.blob_path(digest);
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    };
    let diff_id = Digest::of(&layer);
    damage(&diff_id);
    assert!(matches!(store.unpack_image(&manifest), Err(StoreError::Corrupt(digest)) if digest == diff_id));
    assert_eq!(store.image(&manifest).unwrap().status, ImageStatus::Missing(vec![diff_id.clone()]));
    store.put(&diff_id, &layer).unwrap();
    store.unpack_image(&manifest).unwrap();
    assert_eq!(store.image(&manifest).unwrap().status, ImageStatus::Ready);
    damage(&manifest);
    assert_eq!(store.scrub().unwrap(), std::slice::from_ref(&manifest));
    assert!(matches!(store.image(&manifest), Err(StoreError::Missing(_))));
}

#[test]
fn a_crash_leaves_a_store_that_opens_and_mends_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a:1", &[tar(&[("a", "a")])]);
    let layers = store.unpack_image(&manifest).unwrap();
    let layer = store.layer_path(&layers[0]);
    drop(store);
    // Half an unpacked layer, half a removal, half an index, a layer that lost its note, and something foreign.
    fs::create_dir_all(dir.path().join("tmp/layer-0/fs/x")).unwrap();
    fs::write(dir.path().join("tmp/index"), "half").unwrap();
    fs::create_dir_all(dir.path().join("layers/7/fs")).unwrap();
    fs::create_dir(dir.path().join("layers/mine")).unwrap();
    let (store, findings) = open(dir.path());
    let told: Vec<String> = findings
        .iter()
        .map(|finding| finding.to_string().replace(dir.path().to_str().unwrap(), "STORE"))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    assert!(!dir.path().join("layers/7").exists() && dir.path().join("layers/mine").exists());
    assert_eq!(store.unpack_image(&manifest).unwrap(), layers);
    assert_eq!(fs::read_to_string(layer.join("a")).unwrap(), "a");
    drop(store);
    assert_eq!(open(dir.path()).1, [Finding::Foreign(dir.path().join("layers/mine"))]);
}

#[test]
fn a_damaged_index_costs_the_last_change_and_not_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let layer = tar(&[("a", "a")]);
    image(&store, "test/a:1", std::slice::from_ref(&layer));
    image(&store, "test/a:2", &[layer]);
    drop(store);
    let index = dir.path().join("index");
    let whole = fs::read_to_string(&index).unwrap();
    fs::write(&index, whole.replace("test/a:2", "test/b:2")).unwrap();
    let (store, findings) = open(dir.path());
    assert!(matches!(&findings[..], [Finding::IndexBefore(why)] if why.contains("checksum")), "{findings:?}");
    assert!(store.named(&name("test/a:1")).is_some() && store.named(&name("test/a:2")).is_none());
    drop(store);
    fs::write(&index, "").unwrap();
    fs::write(dir.path().join("index.before"), "x\ny").unwrap();
    let (store, findings) = open(dir.path());
    assert!(matches!(&findings[..], [Finding::IndexLost(_)]), "{findings:?}");
    assert_eq!(store.names().len(), 0);
    assert_eq!(store.blobs().unwrap().len(), 5);
    drop(store);
    assert_eq!(open(dir.path()).1, []);
    let newer = format!("hypermesh-image-index 2 {}\n{{}}", Digest::of(b"{}"));
    fs::write(&index, newer).unwrap();
    let refused = Store::open(dir.path(), StoreOptions::default());
    assert!(matches!(refused, Err(StoreError::Version { found: 2, known: 1 })));
}

#[test]
fn a_crash_of_the_machine_costs_who_used_an_image_and_not_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a:1", &[tar(&[("a", "a")])]);
    for round in 0..3 {
        store.lease(&format!("holder-{round}"), &manifest).unwrap();
    }
    drop(store);
    let synced = fs::read_to_string(dir.path().join("index.before")).unwrap();
    assert!(
        synced.contains("test/a:1") && !synced.contains("holder-0"),
        "what is synced stays beside what is not"
    );
    // The last of what was written was not on the disk.
    fs::write(dir.path().join("index"), "").unwrap();
    let (store, findings) = open(dir.path());
    assert!(matches!(&findings[..], [Finding::IndexBefore(_)]), "{findings:?}");
    assert!(store.named(&name("test/a:1")).is_some() && store.leases().is_empty());
    // What an agent noted that was killed alone is found again, and is what stays from then on.
    store.lease("holder-4", &manifest).unwrap();
    drop(store);
    let (store, findings) = open(dir.path());
    assert_eq!((findings.len(), store.leases().len()), (0, 1));
    store.lease("holder-5", &manifest).unwrap();
    assert!(fs::read_to_string(dir.path().join("index.before")).unwrap().contains("holder-4"));
}

#[test]
fn every_moment_of_a_change_of_the_index_leaves_one_that_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a:1", &[tar(&[("a", "a")])]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..100 {
                store.lease(&format!("c{round}"), &manifest).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            // What a crash right now would leave, as another process would find it.
            let copy = tempfile::tempdir().unwrap();
            fs::create_dir(copy.path().join("tmp")).unwrap();
            for file in ["index", "index.before"] {
                // Hard links keep what the name meant at one moment.
                drop(fs::hard_link(dir.path().join(file), copy.path().join(file)));
            }
            let mut findings = Vec::new();
            let index = Index::load(copy.path(), &mut findings).unwrap();
            assert_eq!(index.images.len(), 1, "{findings:?}");
        }
    });
    assert_eq!(store.leases().len(), 100);
}

#[test]
fn images_are_found_by_what_people_write() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let one = image(&store, "busybox", &[tar(&[("a", "a")])]);
    let two = image(&store, "r.example.org/team/app:1", &[tar(&[("a", "b")])]);
    assert_eq!(store.find("docker.io/library/busybox:latest").unwrap().manifest_digest, one);
    assert_eq!(store.find(&format!("r.example.org/team/app@{two}")).unwrap().manifest_digest, two);
    let id = store.find("busybox").unwrap().id().clone();
    assert_eq!(store.find(id.short()).unwrap().manifest_digest, one);
    assert!(matches!(store.find("r.example.org/team/app:2"), Err(StoreError::NoImage(_))));
    assert!(matches!(store.find("zzz"), Err(StoreError::NoImage(_))));
    let (images, broken) = store.images();
    assert_eq!((images.len(), broken.len()), (2, 0));
    store.unname(&name("busybox")).unwrap();
    assert!(matches!(store.unname(&name("busybox")), Err(StoreError::NoImage(_))));
}

#[test]
fn what_is_leased_or_held_stays_and_the_rest_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let shared = tar(&[("shared", "s")]);
    let kept = image(&store, "test/kept", &[shared.clone(), tar(&[("k", "k")])]);
    let gone = image(&store, "test/gone", &[shared, tar(&[("g", "g")])]);
    store.unpack_image(&kept).unwrap();
    store.unpack_image(&gone).unwrap();
    store.lease("container", &kept).unwrap();
    assert_eq!(store.users(&kept).unwrap(), ["container"]);
    let loose = Digest::of(b"loose");
    store.put(&loose, b"loose").unwrap();
    let mut hold = store.hold();
    hold.add(&loose);
    let policy = Policy {
        maximum_age: std::time::Duration::from_secs(1),
        minimum_age: std::time::Duration::ZERO,
        ..Policy::default()
    };
    let plan = plan(&store.inventory().unwrap(), &policy, now() + 100);
    assert_eq!(plan.removals.iter().map(|removal| &removal.manifest).collect::<Vec<_>>(), [&gone]);
    let collected = store.collect(&plan).unwrap();
    assert_eq!((collected.images.as_slice(), collected.blobs, collected.layers), (&[gone][..], 3, 1));
    assert_eq!(store.blob_size(&loose), Some(5));
    assert_eq!(store.image(&kept).unwrap().status, ImageStatus::Ready);
    drop(hold);
    store.collect(&plan).unwrap();
    assert_eq!(store.blob_size(&loose), None);
    // A lease outlives its name.
    store.unname(&name("test/kept")).unwrap();
    store.collect(&plan).unwrap();
    assert!(store.unpack_image(&kept).is_ok());
    store.release("container").unwrap();
    let collected = store.collect(&plan).unwrap();
    assert_eq!((collected.blobs, collected.layers), (4, 2));
    assert_eq!((store.blobs().unwrap().len(), store.layers().len()), (0, 0));
}

#[test]
fn a_plan_does_not_take_what_came_to_be_used_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a", &[tar(&[("a", "a")])]);
    let policy = Policy { maximum_age: std::time::Duration::from_secs(1), ..Policy::default() };
    let plan = plan(&store.inventory().unwrap(), &policy, now() + 1000);
    assert_eq!(plan.removals.len(), 1);
    store.lease("container", &manifest).unwrap();
    let collected = store.collect(&plan).unwrap();
    assert_eq!((collected.kept.as_slice(), collected.blobs), (&[manifest][..], 0));
}

#[test]
fn a_layer_is_unpacked_once_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a", &[tar(&[("a", &"a".repeat(100_000))])]);
    let numbers: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| store.unpack_image(&manifest).unwrap()[0].number)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(numbers.iter().all(|number| *number == numbers[0]));
    assert_eq!(fs::read_dir(dir.path().join("layers")).unwrap().count(), 1);
    for id in ["", "../x", ".x", "a/b", "a b"] {
        assert!(matches!(store.lease(id, &manifest), Err(StoreError::Id(_))), "{id:?}");
    }
}
