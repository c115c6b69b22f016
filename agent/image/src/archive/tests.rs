//! Archives as Docker, podman and skopeo write them, and as nobody should.

use super::*;
use crate::digest::Digest;
use crate::store::tests::{image, open, tar};
use proptest::prelude::*;
use serde_json::json;
use std::fs;
use std::io::Write as _;

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn archive(files: &[(&str, &[u8])]) -> tar::Builder<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder
}

fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let platform = Platform::host();
    let ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    json!({"os": platform.os, "architecture": platform.architecture, "rootfs": {"type": "layers", "diff_ids": ids}})
        .to_string()
        .into_bytes()
}

/// As `docker save` wrote until version 24: two images that share a layer by a link.
fn saved() -> tar::Builder<Vec<u8>> {
    let (base, top) = (tar(&[("base", "b")]), tar(&[("top", "t")]));
    let (one, two) = (config(&[base.clone(), top.clone()]), config(std::slice::from_ref(&base)));
    let list = json!([
        {"Config": "one.json", "RepoTags": ["test/one:1", "test/one:latest"], "Layers": ["a/layer.tar", "b/layer.tar"]},
        {"Config": "./two.json", "RepoTags": ["test/two:1"], "Layers": ["c/layer.tar"]},
    ])
    .to_string();
    let mut builder = archive(&[
        ("a/layer.tar", &base),
        ("a/VERSION", b"1.0"),
        ("b/layer.tar", &top),
        ("one.json", &one),
        ("two.json", &two),
        ("manifest.json", list.as_bytes()),
        ("repositories", b"{}"),
    ]);
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "c/layer.tar", "../a/layer.tar").unwrap();
    builder
}

#[test]
fn what_docker_saves_is_taken_plain_and_compressed() {
    let plain = saved().into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let forms = [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()];
    let mut manifests = Vec::new();
    for form in forms {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(&dir.path().join("store"));
        let file = dir.path().join("saved.tar");
        fs::write(&file, form).unwrap();
        let imported =
            store.import(&file, &ImportOptions { unpack: true, ..ImportOptions::default() }).unwrap();
        let names: Vec<String> =
            imported.iter().flat_map(|image| &image.names).map(Reference::familiar).collect();
        assert_eq!(names, ["test/one:1", "test/one:latest", "test/two:1"]);
        assert_eq!(store.find("test/two:1").unwrap().status, crate::store::ImageStatus::Ready);
        assert_eq!(store.layers().len(), 2);
        manifests.push(imported);
    }
    assert!(manifests.iter().all(|imported| *imported == manifests[0]));
}

#[test]
fn layouts_go_out_and_come_back_as_folders_and_tars() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("one"));
    let layers = [tar(&[("a", "a")]), tar(&[("b", "b")])];
    let manifest = image(&store, "example.org/team/app:1", &layers);
    let (folder, file) = (dir.path().join("layout"), dir.path().join("layout.tar"));
    let names = [name("example.org/team/app:1")];
    store.export(&names, &ExportTo::Folder(folder.clone())).unwrap();
    store.export(&names, &ExportTo::Tar(file.clone())).unwrap();
    let first = fs::read(&file).unwrap();
    store.export(&names, &ExportTo::Tar(file.clone())).unwrap();
    assert_eq!(fs::read(&file).unwrap(), first);
    let again = store.export(&names, &ExportTo::Folder(folder.clone())).unwrap_err();
    assert!(matches!(again, ArchiveError::Io { doing: "making", .. }));
    for (at, path) in [(0, &folder), (1, &file)] {
        let (other, _) = open(&dir.path().join(format!("other{at}")));
        let imported = other.import(path, &ImportOptions::default()).unwrap();
        assert_eq!(imported[0].manifest, manifest);
        assert_eq!(
            other.find("example.org/team/app:1").unwrap().config.config.cmd,
            ["example.org/team/app:1"]
        );
        let renamed = ImportOptions { name: Some(name("other:2")), unpack: true, ..ImportOptions::default() };
        assert_eq!(other.import(path, &renamed).unwrap()[0].names, [name("other:2")]);
    }
    let missing = store.export(&[name("none")], &ExportTo::Folder(dir.path().join("none"))).unwrap_err();
    assert!(matches!(missing, ArchiveError::Store(StoreError::NoImage(_))));
    assert!(!dir.path().join("none.partial").exists());
}

#[test]
fn a_layout_that_lies_is_found_out_and_names_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("one"));
    image(&store, "test/a:1", &[tar(&[("a", "a")])]);
    let folder = dir.path().join("layout");
    store.export(&[name("test/a:1")], &ExportTo::Folder(folder.clone())).unwrap();
    let layer = folder.join("blobs/sha256").join(Digest::of(&tar(&[("a", "a")])).hex());
    let mut bytes = fs::read(&layer).unwrap();
    bytes[0] ^= 1;
    fs::write(&layer, &bytes).unwrap();
    let (other, _) = open(&dir.path().join("two"));
    let error = other.import(&folder, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::Store(StoreError::WrongDigest { .. })), "{error:?}");
    bytes.push(0);
    fs::write(&layer, &bytes).unwrap();
    let error = other.import(&folder, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::Store(StoreError::WrongSize { .. })), "{error:?}");
    fs::remove_file(&layer).unwrap();
    assert!(matches!(other.import(&folder, &ImportOptions::default()), Err(ArchiveError::Missing(_))));
    assert_eq!(other.names().len(), 0);
    let tag =
        fs::read_to_string(folder.join("index.json")).unwrap().replace("io.containerd.image.name", "other");
    fs::write(folder.join("index.json"), tag).unwrap();
    assert!(matches!(other.import(&folder, &ImportOptions::default()), Err(ArchiveError::Unnamed)));
}

#[test]
fn archives_that_are_none_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("store"));
    let layer = tar(&[("a", "a")]);
    let list = |layers: &[&str], names: serde_json::Value| {
        json!([{"Config": "c.json", "RepoTags": names, "Layers": layers}]).to_string().into_bytes()
    };
    let with = |list: &[u8], config: &[u8]| {
        archive(&[("manifest.json", list), ("c.json", config), ("l.tar", &layer)]).into_inner().unwrap()
    };
    let fine = config(std::slice::from_ref(&layer));
    let archives = [
        tar(&[("hello", "world")]),
        b"hello world".repeat(100),
        with(&list(&["l.tar"], json!(null)), &fine),
        with(&list(&["l.tar"], json!(["A b"])), &fine),
        with(&list(&["../../etc/passwd"], json!(["a"])), &fine),
        with(&list(&["none"], json!(["a"])), &fine),
        with(&list(&["l.tar", "l.tar"], json!(["a"])), &fine),
        with(b"{}", &fine),
        with(&list(&["l.tar"], json!(["a"])), b"{}"),
        with(b"[]", &fine),
    ];
    let mut lines = Vec::new();
    for bytes in archives {
        let file = dir.path().join("archive");
        fs::write(&file, bytes).unwrap();
        let error = store.import(&file, &ImportOptions::default()).unwrap_err();
        lines.push(error.to_string().replace(dir.path().to_str().unwrap(), "DIR"));
    }
    insta::assert_snapshot!(lines.join("\n"));
    let mut circle = archive(&[("manifest.json", &list(&["x"], json!(["a"]))[..]), ("c.json", &fine)]);
    for (path, to) in [("x", "y"), ("y", "x")] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        circle.append_link(&mut header, path, to).unwrap();
    }
    let file = dir.path().join("circle");
    fs::write(&file, circle.into_inner().unwrap()).unwrap();
    assert!(matches!(store.import(&file, &ImportOptions::default()), Err(ArchiveError::Link(_))));
    // A layer that is not what the configuration says is found when it is unpacked.
    let wrong = with(&list(&["l.tar"], json!(["a"])), &config(&[tar(&[("b", "b")])]));
    fs::write(&file, wrong).unwrap();
    let options = ImportOptions { unpack: true, ..ImportOptions::default() };
    assert!(matches!(store.import(&file, &options), Err(ArchiveError::Store(StoreError::Unpack { .. }))));
    assert_eq!(store.names().len(), 0);
    assert_eq!(fs::read_dir(store.root().join("tmp")).unwrap().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_archive_makes_importing_panic(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(&dir.path().join("store"));
        let mut bytes = saved().into_inner().unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let file = dir.path().join("archive");
        fs::write(&file, bytes).unwrap();
        let _ = store.import(&file, &ImportOptions { unpack: true, ..ImportOptions::default() });
        prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
