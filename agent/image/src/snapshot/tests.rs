//! Root file systems, really mounted where this user may mount.

use super::*;
use crate::store::tests::{image, open, tar};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

/// Runs something in a mount namespace of its own, in a thread of its own; false if this user may have none.
fn in_namespace(run: impl FnOnce() + Send) -> bool {
    // Named alike, so that what is skipped in it is told by the test's name.
    let named =
        std::thread::Builder::new().name(std::thread::current().name().unwrap_or("a test").to_owned());
    std::thread::scope(|scope| {
        let work = || {
            use rustix::mount::{MountPropagationFlags, mount_change};
            // Only this thread is moved, and it ends here.
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).is_err() {
                return false;
            }
            if mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).is_err() {
                return false;
            }
            run();
            true
        };
        let thread = named.spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}

/// Tells that a test was not run, as the workspace's other tests do.
fn skip(why: &str) {
    println!("SKIPPED: {why}");
    let Some(path) = std::env::var_os("HYPERMESH_SKIPS") else { return };
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let file = fs::File::options().append(true).create(true).open(path);
    drop(file.and_then(|mut file| io::Write::write_all(&mut file, format!("{name}: {why}\n").as_bytes())));
}

#[test]
fn a_root_that_a_crash_of_the_machine_left_half_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a:1", &[tar(&[("a", "a")])]);
    let options = RootFsOptions { form: Wanted::Copy, ..RootFsOptions::default() };
    for left in [Some(""), None] {
        store.prepare("c-0", &manifest, options).unwrap();
        let note = dir.path().join("snapshots/c-0/rootfs.json");
        match left {
            Some(text) => fs::write(&note, text).unwrap(),
            None => fs::remove_file(&note).unwrap(),
        }
        assert_eq!(store.holders().unwrap().len(), 0);
        let made = store.prepare("c-0", &manifest, options).unwrap();
        assert_eq!(store.snapshot("c-0").unwrap(), Some(made));
        assert_eq!(fs::read_to_string(dir.path().join("snapshots/c-0/rootfs/a")).unwrap(), "a");
    }
}

fn layers() -> Vec<Vec<u8>> {
    let first = tar(&[("etc/a", "1"), ("etc/b", "1"), ("opt/x", "1"), ("gone/y", "1"), ("file", "1")]);
    let second = tar(&[
        ("etc/.wh.a", ""),
        ("etc/c", "2"),
        ("opt/.wh..wh..opq", ""),
        ("opt/z", "2"),
        (".wh.gone", ""),
        ("file/now-a-folder", "2"),
    ]);
    let third = tar(&[("etc/c", "3"), ("gone/new", "3")]);
    vec![first, second, third]
}

/// Every file below a folder, with what is in it.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                found.push(format!("{}={text}", path.strip_prefix(root).unwrap().display()));
            }
        }
    }
    found.sort();
    found
}

const MERGED: [&str; 5] = ["etc/b=1", "etc/c=3", "file/now-a-folder=2", "gone/new=3", "opt/z=2"];

#[test]
fn a_copy_shows_what_the_layers_say() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a", &layers());
    let options = RootFsOptions { form: Wanted::Copy, read_only: false };
    let rootfs = store.prepare("c1", &manifest, options).unwrap();
    let Form::Copy(path) = &rootfs.form else { panic!("{rootfs:?}") };
    assert_eq!(tree(path), MERGED);
    assert_eq!(rootfs.reason, "a copy was asked for");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(store.snapshot_usage("c1").unwrap().inodes >= 9);
    // What the container does to its copy does not reach the layers.
    fs::write(path.join("etc/b"), "changed").unwrap();
    let other = store.prepare("c2", &manifest, options).unwrap();
    let Form::Copy(other) = &other.form else { panic!("{other:?}") };
    assert_eq!(tree(other), MERGED);
}

#[test]
fn a_copy_keeps_links_holes_modes_and_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o4751);
    header.set_size(1);
    header.set_mtime(1_000_000);
    builder.append_data(&mut header, "d/su", &b"s"[..]).unwrap();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    builder.append_link(&mut header, "other/same", "d/su").unwrap();
    header.set_entry_type(tar::EntryType::Symlink);
    builder.append_link(&mut header, "link", "/d/su").unwrap();
    let manifest = image(&store, "test/a", &[builder.into_inner().unwrap()]);
    let options = RootFsOptions { form: Wanted::Copy, read_only: false };
    let rootfs = store.prepare("c", &manifest, options).unwrap();
    let Form::Copy(path) = &rootfs.form else { panic!("{rootfs:?}") };
    let (su, same) =
        (fs::metadata(path.join("d/su")).unwrap(), fs::metadata(path.join("other/same")).unwrap());
    assert_eq!((su.ino(), su.mode() & 0o7777, su.mtime()), (same.ino(), 0o4751, 1_000_000));
    assert_eq!(fs::read_link(path.join("link")).unwrap(), Path::new("/d/su"));
}

#[test]
fn overlayfs_shows_what_the_layers_say() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("a,b:c\\d"));
    let manifest = image(&store, "test/a", &layers());
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    let ran = in_namespace(|| {
        if let Probe::Not(why) = store.overlay() {
            skip(why);
            return;
        }
        let options = RootFsOptions { form: Wanted::Overlay, read_only: false };
        let rootfs = store.prepare("c1", &manifest, options).unwrap();
        rootfs.mount(&target).unwrap();
        assert_eq!(tree(&target), MERGED);
        let before = store.snapshot_usage("c1").unwrap();
        fs::write(target.join("etc/b"), vec![b'x'; 65536]).unwrap();
        assert!(store.snapshot_usage("c1").unwrap().bytes >= before.bytes + 65536);
        let none = image(&store, "test/none", &[]);
        for read_only in [false, true] {
            let id = format!("none-{read_only}");
            let rootfs = store.prepare(&id, &none, RootFsOptions { form: Wanted::Best, read_only }).unwrap();
            let place = dir.path().join(id);
            fs::create_dir(&place).unwrap();
            rootfs.mount(&place).unwrap();
            assert_eq!(tree(&place), Vec::<String>::new());
            assert_eq!(fs::write(place.join("x"), "").is_err(), read_only);
        }
        // The layers are as they were.
        let read =
            store.prepare("c2", &manifest, RootFsOptions { form: Wanted::Overlay, read_only: true }).unwrap();
        assert_eq!(read.writable(), None);
        let second = dir.path().join("second");
        fs::create_dir(&second).unwrap();
        read.mount(&second).unwrap();
        assert_eq!(tree(&second), MERGED);
        assert_eq!(fs::write(second.join("x"), "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
    });
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}

#[test]
fn layers_that_come_twice_or_hide_everything_are_stacked_as_overlayfs_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    let (a, b) = (tar(&[("a", "a")]), tar(&[(".wh.a", ""), ("b", "b")]));
    let twice = image(&store, "test/twice", &[tar(&[]), a.clone(), tar(&[]), b, a, tar(&[])]);
    let hidden =
        image(&store, "test/hidden", &[tar(&[("a", "a")]), tar(&[(".wh..wh..opq", ""), ("c", "c")])]);
    let cases = [("twice", &twice, vec!["a=a", "b=b"]), ("hidden", &hidden, vec!["c=c"])];
    for (id, manifest, expected) in &cases {
        let options = RootFsOptions { form: Wanted::Copy, read_only: false };
        let rootfs = store.prepare(&format!("{id}-copy"), manifest, options).unwrap();
        let Form::Copy(path) = &rootfs.form else { panic!("{rootfs:?}") };
        assert_eq!(tree(path), *expected);
    }
    let ran = in_namespace(|| {
        if let Probe::Not(why) = store.overlay() {
            skip(why);
            return;
        }
        for (id, manifest, expected) in &cases {
            for read_only in [false, true] {
                let options = RootFsOptions { form: Wanted::Overlay, read_only };
                let name = format!("{id}-{read_only}");
                let rootfs = store.prepare(&name, manifest, options).unwrap();
                let target = dir.path().join(name);
                fs::create_dir(&target).unwrap();
                rootfs.mount(&target).unwrap();
                assert_eq!(tree(&target), *expected);
            }
        }
    });
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_made() {
    let dir = tempfile::tempdir().unwrap();
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let ran = in_namespace(|| {
        use rustix::mount::{MountFlags, mount};
        if let Err(error) = mount(c"tmpfs", &small, c"tmpfs", MountFlags::empty(), c"size=2m") {
            skip(&format!("no small disk can be made: {error}"));
            return;
        }
        let (store, _) = open(&small.join("store"));
        // Its blob fits, and what it unpacks to does not.
        let layer = tar(&[("a", &"a".repeat(100)), ("b", &"b".repeat(900_000))]);
        let manifest = image(&store, "test/a", &[layer]);
        let more = small.join("more");
        fs::write(&more, vec![0; 400_000]).unwrap();
        let full = |error: &StoreError| {
            let mut at: Option<&dyn std::error::Error> = Some(error);
            while let Some(inner) = at {
                if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::StorageFull)
                {
                    return true;
                }
                at = inner.source();
            }
            false
        };
        let error = store.prepare("c", &manifest, RootFsOptions::default()).unwrap_err();
        assert!(full(&error), "{error:?}");
        let tmp = store.root().join("tmp");
        assert_eq!((fs::read_dir(&tmp).unwrap().count(), store.layers().len()), (0, 0));
        let large = vec![1; 1_500_000];
        let error = store.put(&Digest::of(&large), &large).unwrap_err();
        assert!(full(&error), "{error:?}");
        fs::remove_file(&more).unwrap();
        store.prepare("c", &manifest, RootFsOptions::default()).unwrap();
        assert_eq!(store.scrub().unwrap(), []);
    });
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}

#[test]
fn more_layers_than_fit_in_a_page_are_mounted_by_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a-rather-long-name-for-a-store-so-that-the-options-are-many-bytes-long");
    let (store, _) = open(&root);
    let layers: Vec<Vec<u8>> = (0..120).map(|at| tar(&[(&format!("f{at:03}"), "x")])).collect();
    let manifest = image(&store, "test/many", &layers);
    let target = dir.path().join("target");
    fs::create_dir(&target).unwrap();
    let ran = in_namespace(|| {
        if let Probe::Not(why) = store.overlay() {
            skip(why);
            return;
        }
        let rootfs = store.prepare("c", &manifest, RootFsOptions::default()).unwrap();
        let Form::Overlay(overlay) = &rootfs.form else { panic!("{rootfs:?}") };
        assert!(overlay.to_string().len() > 4096);
        rootfs.mount(&target).unwrap();
        assert_eq!(tree(&target).len(), 120);
        unmount_below(&target).unwrap();
        overlay.mount_classic(&target).unwrap();
        assert_eq!(tree(&target).len(), 120);
    });
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}

#[test]
fn asking_twice_gives_the_same_and_removal_takes_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    let manifest = image(&store, "test/a", &layers());
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    let options = RootFsOptions { form: Wanted::Copy, read_only: false };
    let rootfs = store.prepare("c", &manifest, options).unwrap();
    assert_eq!(store.prepare("c", &manifest, options).unwrap(), rootfs);
    let other = RootFsOptions { read_only: true, ..options };
    assert!(matches!(store.prepare("c", &manifest, other), Err(StoreError::SnapshotExists(_))));
    let Form::Copy(path) = &rootfs.form else { panic!("{rootfs:?}") };
    symlink(&outside, path.join("out")).unwrap();
    fs::set_permissions(path.join("etc"), fs::Permissions::from_mode(0o0)).unwrap();
    store.remove_snapshot("c").unwrap();
    store.remove_snapshot("c").unwrap();
    assert_eq!(store.snapshots().unwrap(), Vec::<String>::new());
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
    assert!(matches!(store.prepare("../c", &manifest, options), Err(StoreError::Id(_))));
}

#[test]
fn owners_are_shifted_into_a_user_namespace_and_back() {
    use std::os::fd::AsFd as _;
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    let manifest = image(&store, "test/a", &layers());
    // A process whose user namespace is borrowed; it ends when its input does.
    let child =
        Command::new("unshare").args(["--user", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let Ok(mut child) = child else { return skip("there is no program unshare") };
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let ours = fs::read_link("/proc/self/ns/user").unwrap();
    while fs::read_link(proc.join("ns/user")).is_ok_and(|theirs| theirs == ours)
        && child.try_wait().unwrap().is_none()
    {
        std::thread::yield_now();
    }
    let mapped = fs::write(proc.join("uid_map"), "0 100000 65536")
        .and_then(|()| fs::write(proc.join("gid_map"), "0 100000 65536"));
    let namespace = fs::File::open(proc.join("ns/user"));
    let ran = in_namespace(|| {
        if let Err(error) = &mapped {
            return skip(&format!("this user may map no owners: {error}"));
        }
        let namespace = namespace.as_ref().unwrap();
        for form in [Wanted::Overlay, Wanted::Copy] {
            for read_only in [false, true] {
                let id = format!("{form:?}-{read_only}");
                let rootfs = match store.prepare(&id, &manifest, RootFsOptions { form, read_only }) {
                    Err(StoreError::NoOverlay(why)) => return skip(&why),
                    other => other.unwrap(),
                };
                let target = dir.path().join(&id);
                fs::create_dir(&target).unwrap();
                match rootfs.mount_mapped(&target, namespace.as_fd()) {
                    Err(StoreError::Mount { source, .. }) if source.raw_os_error() == Some(22) => {
                        return skip("this kernel or file system shifts no owners");
                    }
                    other => other.unwrap(),
                }
                assert_eq!(tree(&target), MERGED);
                let seen = fs::metadata(target.join("etc/b")).unwrap();
                assert_eq!((seen.uid(), seen.gid()), (100_000, 100_000), "{id}");
                let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
                assert!(!mounts.contains("/mapped "), "{mounts}");
                if read_only {
                    continue;
                }
                let new = target.join("new");
                let made = fs::write(&new, "")
                    .and_then(|()| std::os::unix::fs::chown(&new, Some(100_007), Some(100_007)));
                let writable = rootfs.writable().unwrap();
                if form == Wanted::Copy {
                    // The machine's root is nobody in there: it may not make files, and need not.
                    assert_eq!(made.unwrap_err().raw_os_error(), Some(75));
                } else {
                    made.unwrap();
                    let (new, root) =
                        (fs::metadata(writable.join("new")).unwrap(), fs::metadata(writable).unwrap());
                    assert_eq!((new.uid(), root.uid(), root.gid()), (100_007, 100_000, 100_000));
                }
            }
        }
    });
    drop(child.stdin.take());
    child.wait().unwrap();
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}

#[test]
fn what_somebody_mounts_on_a_tree_is_not_removed_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/volume")).unwrap();
    // Of the same file system, so that no device number tells.
    let volume = dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("data"), "precious").unwrap();
    let ran = in_namespace(|| {
        if let Err(error) = rustix::mount::mount_bind(&volume, tree.join("a/volume")) {
            skip(&format!("nothing can be mounted: {error}"));
            return;
        }
        let removed = crate::remove::remove_in(open_dir(dir.path()).unwrap(), b"tree");
        assert!(removed.is_err());
        assert_eq!(fs::read_to_string(volume.join("data")).unwrap(), "precious");
        unmount_below(&tree).unwrap();
        crate::remove::remove_in(open_dir(dir.path()).unwrap(), b"tree").unwrap();
        assert_eq!(fs::read_to_string(volume.join("data")).unwrap(), "precious");
    });
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}

#[test]
fn removal_unmounts_what_lies_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let manifest = image(&store, "test/a", &layers());
    let ran = in_namespace(|| {
        let options = RootFsOptions { form: Wanted::Copy, read_only: true };
        let rootfs = store.prepare("c", &manifest, options).unwrap();
        let Form::Copy(path) = &rootfs.form else { panic!("{rootfs:?}") };
        if let Err(error) = rootfs.mount(path) {
            skip(&format!("{error}"));
            return;
        }
        rootfs.mount(&path.join("etc")).unwrap();
        assert_eq!(fs::write(path.join("x"), "").unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        store.remove_snapshot("c").unwrap();
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(!mounts.contains(&*dir.path().to_string_lossy()), "{mounts}");
    });
    if !ran {
        skip("this user may have no mount namespace of its own");
    }
}
