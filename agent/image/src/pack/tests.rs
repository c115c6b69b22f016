//! Packed images, read back by the rest of the crate.

use super::*;
use crate::snapshot::{Form, RootFsOptions, Wanted};
use crate::store::tests::open;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

fn name() -> Reference {
    "example.org/packed:1".parse().unwrap()
}

fn source(from: PathBuf, to: &str) -> PackSource {
    PackSource { from, to: to.to_owned() }
}

#[test]
fn the_same_input_gives_the_same_image_wherever_it_lies() {
    let mut images = Vec::new();
    for mode in [0o755, 0o700] {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        fs::create_dir_all(site.join("sub")).unwrap();
        fs::write(site.join("b.html"), "b").unwrap();
        fs::write(site.join("sub/a.html"), "a").unwrap();
        symlink("b.html", site.join("index.html")).unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let (store, _) = open(&dir.path().join("store"));
        let spec = PackSpec {
            sources: vec![source(site, "srv/www"), source(program, "/bin/")],
            args: vec!["--serve".to_owned()],
            env: vec!["A=1".to_owned()],
            ports: vec!["8080".to_owned()],
            time: 1_700_000_000,
            platform: Some("linux/arm64".parse().unwrap()),
            ..PackSpec::default()
        };
        let packed = store.pack(&name(), &spec).unwrap();
        let image = store.image(&packed.manifest).unwrap();
        assert_eq!(image.config.config.entrypoint, ["/bin/program"]);
        assert_eq!(image.config.created.as_deref(), Some("2023-11-14T22:13:20Z"));
        assert_eq!(image.platform.to_string(), "linux/arm64");
        let rootfs = store
            .prepare("c", &packed.manifest, RootFsOptions { form: Wanted::Copy, read_only: false })
            .unwrap();
        let Form::Copy(root) = rootfs.form else { panic!("{rootfs:?}") };
        assert_eq!(fs::read_to_string(root.join("srv/www/index.html")).unwrap(), "b");
        let meta = fs::metadata(root.join("bin/program")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o755, 1_700_000_000));
        images.push((packed.manifest, packed.id));
    }
    assert_eq!(images[0], images[1]);
}

#[test]
fn what_cannot_be_packed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let told = |spec: PackSpec| {
        store.pack(&name(), &spec).unwrap_err().to_string().replace(dir.path().to_str().unwrap(), "DIR")
    };
    let with = |to: &str| PackSpec { sources: vec![source(file.clone(), to)], ..PackSpec::default() };
    let twice = vec![source(file.clone(), "a"), source(file.clone(), "a/b")];
    let lines = [
        told(PackSpec::default()),
        told(with("a/../b")),
        told(with("a/.wh.b")),
        told(PackSpec { sources: twice, ..PackSpec::default() }),
        told(PackSpec { ports: vec!["99999".to_owned()], ..with("a") }),
        told(PackSpec { env: vec!["A".to_owned()], ..with("a") }),
        told(PackSpec { args: vec!["a\0b".to_owned()], ..with("a") }),
        told(PackSpec { sources: vec![source(dir.path().join("none"), "a")], ..PackSpec::default() }),
    ];
    insta::assert_snapshot!(lines.join("\n"));
    let packed = store.pack(&name(), &with("a")).unwrap();
    assert_eq!(packed.notes, ["nothing says what runs: the image has no entry point and no arguments"]);
}

#[test]
fn binaries_say_what_they_are_for_and_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    // This very test is an ELF file, and a dynamic one.
    let this = std::env::current_exe().unwrap();
    let small = dir.path().join("small");
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[18] = 183;
    fs::write(&small, &elf).unwrap();
    let spec = PackSpec { sources: vec![source(this.clone(), "app")], ..PackSpec::default() };
    let packed = store.pack(&name(), &spec).unwrap();
    assert_eq!(packed.platform, Platform::host());
    assert!(packed.notes[0].contains("is not static: it needs /lib"), "{:?}", packed.notes);
    let spec = PackSpec {
        sources: vec![source(small.clone(), "app")],
        entrypoint: vec!["/app".to_owned()],
        ..PackSpec::default()
    };
    let packed = store.pack(&name(), &spec).unwrap();
    assert_eq!((packed.platform.to_string(), packed.notes), ("linux/arm64".to_owned(), Vec::new()));
    if Platform::host().architecture != "arm64" {
        let both = PackSpec { sources: vec![source(this, "a"), source(small, "b")], ..PackSpec::default() };
        assert!(matches!(store.pack(&name(), &both), Err(PackError::Platforms(..))));
    }
}

#[test]
fn times_are_written_as_calendars_have_them() {
    assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
    assert_eq!(timestamp(951_782_399), "2000-02-28T23:59:59Z");
    assert_eq!(timestamp(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(timestamp(4_107_542_399), "2100-02-28T23:59:59Z");
}
