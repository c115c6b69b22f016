//! Layers as tools make them, and as nobody should.

use super::layer::Layer;
use super::tree::{Resolver, Tree};
use super::*;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::tarball::{Archive, TarError};
use proptest::prelude::*;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// A tar in the making, without any of the care that the tar crate takes.
#[derive(Debug, Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn add(mut self, kind: EntryType, path: &[u8], link: &[u8], data: &[u8]) -> Self {
        self.header(kind, path, link, data.len() as u64, |_| {});
        self.data(data)
    }

    fn header(&mut self, kind: EntryType, path: &[u8], link: &[u8], size: u64, edit: impl Fn(&mut Header)) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(size);
        let block = header.as_mut_bytes();
        let copy = |to: &mut [u8], from: &[u8]| {
            let length = from.len().min(to.len());
            to[..length].copy_from_slice(&from[..length]);
        };
        copy(&mut block[..100], path);
        copy(&mut block[157..257], link);
        edit(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    fn data(mut self, data: &[u8]) -> Self {
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, data: &str) -> Self {
        self.add(EntryType::Regular, path.as_bytes(), b"", data.as_bytes())
    }

    fn dir(self, path: &str) -> Self {
        self.add(EntryType::Directory, path.as_bytes(), b"", b"")
    }

    fn symlink(self, path: &str, to: &str) -> Self {
        self.add(EntryType::Symlink, path.as_bytes(), to.as_bytes(), b"")
    }

    fn hardlink(self, path: &str, to: &str) -> Self {
        self.add(EntryType::Link, path.as_bytes(), to.as_bytes(), b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length += 1;
            }
            body.extend(format!("{length} {key}=").into_bytes());
            body.extend(*value);
            body.push(b'\n');
        }
        self.add(EntryType::XHeader, b"pax", b"", &body)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A folder to unpack into, with one beside it that has to stay as it is.
struct Place {
    dir: tempfile::TempDir,
    canary: BTreeMap<PathBuf, String>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/folder")).unwrap();
        fs::write(dir.path().join("outside/file"), "canary").unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        let mut place = Self { dir, canary: BTreeMap::new() };
        place.canary = place.outside();
        place
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn fd(&self) -> OwnedFd {
        open(&self.root())
    }

    /// All that lies beside the root, with modes and contents.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.dir.path().to_owned()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                if path == self.root() {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let what = if meta.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
                found.insert(
                    path.clone(),
                    format!("{:o} {} {} {what}", meta.mode(), meta.nlink(), meta.mtime()),
                );
                if meta.is_dir() {
                    waiting.push(path);
                }
            }
        }
        found
    }

    fn unpack(&self, tar: &[u8]) -> Result<Report, UnpackError> {
        self.unpack_with(tar, Devices::Refused, &Limits::default())
    }

    fn unpack_with(&self, tar: &[u8], devices: Devices, limits: &Limits) -> Result<Report, UnpackError> {
        let options = UnpackOptions { devices, whiteouts: Whiteouts::probe(&self.fd()).unwrap() };
        let digest = Digest::of(tar);
        let result = unpack(tar, &digest, &digest, self.fd(), options, limits);
        assert_eq!(self.outside(), self.canary);
        result
    }

    fn refusal(&self, tar: &[u8]) -> Refusal {
        match self.unpack(tar) {
            Err(UnpackError::Refused { refusal, .. }) => refusal,
            other => panic!("{other:?}"),
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// Whether this is root of the machine, and not of a user namespace alone.
fn is_root() -> bool {
    let all = fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295"));
    rustix::process::geteuid().is_root() && all
}

#[test]
fn files_folders_and_links_come_as_they_were() {
    let mut tar = Tar::default().dir("./").dir("etc/");
    tar.header(EntryType::Regular, b"bin/su", b"", 2, |header| {
        header.set_mode(0o4755);
        header.set_uid(1000);
        header.set_gid(50);
    });
    let tar = tar.data(b"su").symlink("bin/sh", "/bin/su").hardlink("bin/same", "bin/su");
    let tar = tar.hardlink("bin/link", "bin/sh").file("/etc/absolute", "a");
    let place = Place::new();
    let report = place.unpack(&tar.end()).unwrap();
    assert_eq!((report.entries, report.bytes), (7, 3));
    let su = fs::metadata(place.root().join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.nlink(), su.mtime()), (0o4755, 2, 1_000_000_000));
    if is_root() {
        assert_eq!((su.uid(), su.gid()), (1000, 50));
    }
    assert_eq!(fs::read_link(place.root().join("bin/sh")).unwrap(), Path::new("/bin/su"));
    // A hard link to a symbolic link is the link again, not what it points to.
    assert_eq!(fs::read_link(place.root().join("bin/link")).unwrap(), Path::new("/bin/su"));
    assert_eq!(place.read("etc/absolute"), "a");
    assert_eq!(fs::metadata(place.root().join("etc")).unwrap().mtime(), 1_000_000_000);
}

#[test]
fn links_are_followed_within_the_tree_and_never_out_of_it() {
    let tar = Tar::default().dir("usr/lib").symlink("lib", "/usr/lib").file("lib/x", "x");
    let tar = tar.symlink("up", "../../../../outside").dir("outside").file("up/y", "y");
    let place = Place::new();
    place.unpack(&tar.end()).unwrap();
    assert_eq!(place.read("usr/lib/x"), "x");
    assert_eq!(place.read("outside/y"), "y");
}

#[test]
fn without_openat2_links_on_the_way_are_refused_and_the_rest_goes() {
    let place = Place::new();
    let options = UnpackOptions { devices: Devices::Refused, whiteouts: Whiteouts::Files };
    let limits = Limits::default();
    let try_with = |tar: Vec<u8>| {
        let tree = Tree::with_resolver(place.fd(), Resolver::Steps);
        Layer::new(tree, options, &limits).take_all(&mut Archive::new(&tar[..], &limits))
    };
    try_with(Tar::default().file("a/b/c", "c").end()).unwrap();
    assert_eq!(place.read("a/b/c"), "c");
    let link = Tar::default().symlink("l", "/outside").file("l/x", "x").end();
    let refused = try_with(link).unwrap_err();
    assert!(matches!(refused, UnpackError::Refused { refusal: Refusal::LinkOnTheWay, .. }), "{refused:?}");
    let file = Tar::default().file("a/b/c/d", "x").end();
    assert!(matches!(try_with(file), Err(UnpackError::Refused { refusal: Refusal::Way, .. })));
}

#[test]
fn what_would_leave_the_tree_is_refused() {
    let place = Place::new();
    assert_eq!(place.refusal(&Tar::default().file("../outside/file", "x").end()), Refusal::DotDot);
    assert_eq!(place.refusal(&Tar::default().file("a/../../outside/file", "x").end()), Refusal::DotDot);
    assert_eq!(place.refusal(&Tar::default().hardlink("h", "../outside/file").end()), Refusal::DotDot);
    let outside = place.dir.path().join("outside/file");
    let absolute = Tar::default().hardlink("h", outside.to_str().unwrap()).end();
    assert!(matches!(place.refusal(&absolute), Refusal::LinkTarget(_)));
    let through = Tar::default().symlink("s", "../outside").hardlink("h", "s/file").end();
    assert!(matches!(place.refusal(&through), Refusal::LinkTarget(_)));
    let nowhere = Tar::default().symlink("s", "/nowhere").file("s/file", "x").end();
    assert_eq!(place.refusal(&nowhere), Refusal::Way);
    let circle = Tar::default().symlink("c", "c").file("c/file", "x").end();
    assert_eq!(place.refusal(&circle), Refusal::Way);
    assert_eq!(place.refusal(&Tar::default().symlink("s", "").end()), Refusal::EmptyLink);
    assert_eq!(place.refusal(&Tar::default().file("./", "x").hardlink("/", "a").end()), Refusal::Root);
    let pax = Tar::default().pax(&[("path", b"a\0b")]).file("x", "x").end();
    assert_eq!(place.refusal(&pax), Refusal::Nul);
}

#[test]
fn a_file_written_through_a_link_replaces_the_link() {
    let place = Place::new();
    let tar = Tar::default().symlink("passwd", "../outside/file").file("passwd", "mine");
    let tar = tar.dir("d").file("d/x", "x").symlink("d", "/").dir("d").file("d/z", "z");
    place.unpack(&tar.end()).unwrap();
    assert_eq!(place.read("passwd"), "mine");
    assert_eq!(place.read("d/z"), "z");
    assert!(!place.root().join("d/x").exists());
}

#[test]
fn devices_are_made_only_where_they_are_allowed() {
    let device = |kind, major, minor| {
        let mut tar = Tar::default();
        tar.header(kind, b"dev/it", b"", 0, |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        });
        tar.end()
    };
    let place = Place::new();
    assert_eq!(place.refusal(&device(EntryType::Char, 1, 3)), Refusal::Device { major: 1, minor: 3 });
    assert_eq!(place.refusal(&device(EntryType::Block, 8, 0)), Refusal::Device { major: 8, minor: 0 });
    assert_eq!(place.refusal(&device(EntryType::Char, 0, 0)), Refusal::DisguisedWhiteout);
    if is_root() {
        let tar = device(EntryType::Char, 1, 3);
        place.unpack_with(&tar, Devices::Allowed, &Limits::default()).unwrap();
        let made = fs::metadata(place.root().join("dev/it")).unwrap();
        assert!(made.file_type().is_char_device());
        assert_eq!(made.rdev(), rustix::fs::makedev(1, 3));
    }
    let place = Place::new();
    place.unpack(&Tar::default().add(EntryType::Fifo, b"pipe", b"", b"").end()).unwrap();
    assert!(fs::metadata(place.root().join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(
        place.refusal(&Tar::default().add(EntryType::new(b'Z'), b"z", b"", b"").end()),
        Refusal::Type('Z')
    );
}

#[test]
fn deletions_hide_what_is_below_and_nothing_beside_them() {
    let place = Place::new();
    let tar =
        Tar::default().file(".wh.gone", "").file("here", "1").file(".wh.here", "").dir("d").file("d/x", "x");
    let tar =
        tar.file(".wh.d", "").file(".wh.new", "").dir("new").file("o/.wh..wh..opq", "").file("o/y", "y");
    place.unpack(&tar.end()).unwrap();
    let root = place.root();
    let whiteouts = Whiteouts::probe(&place.fd()).unwrap();
    let opaque = |path: &str| {
        let dir = open(&root.join(path));
        match whiteouts.opaque_attribute() {
            Some(name) => rustix::fs::fgetxattr(&dir, name, &mut [0_u8; 8][..]).is_ok(),
            None => root.join(path).join(".wh..wh..opq").exists(),
        }
    };
    assert_eq!(
        (place.read("here"), place.read("d/x"), place.read("o/y")),
        ("1".into(), "x".into(), "y".into())
    );
    assert!(opaque("d") && opaque("o"));
    if whiteouts == Whiteouts::Files {
        assert!(root.join(".wh.gone").exists());
    } else {
        assert!(opaque("new"));
        let gone = fs::symlink_metadata(root.join("gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    }
    assert_eq!(place.refusal(&Tar::default().file("a/.wh...", "").end()), Refusal::Whiteout);
}

#[test]
fn attributes_come_along_but_not_those_that_steer_overlayfs() {
    let place = Place::new();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.security.capability", &capability),
        ("SCHILY.xattr.user.note", b"hi"),
        ("SCHILY.xattr.security.selinux", b"label"),
        ("mtime", b"-1.5"),
    ];
    let report = place.unpack(&Tar::default().pax(records).file("ping", "x").end()).unwrap();
    assert!(
        report.left_out.contains(&"ping: the attribute security.selinux".to_owned()),
        "{:?}",
        report.left_out
    );
    let file = fs::File::open(place.root().join("ping")).unwrap();
    assert_eq!(file.metadata().unwrap().mtime(), -2);
    if is_root() {
        let mut value = [0_u8; 64];
        let read = rustix::fs::fgetxattr(&file, "security.capability", &mut value[..]).unwrap();
        assert_eq!(value[..read], capability);
    }
    for name in ["trusted.overlay.redirect", "user.overlay.metacopy"] {
        let tar = Tar::default().pax(&[(&format!("SCHILY.xattr.{name}"), b"/")]).dir("d").end();
        assert_eq!(place.refusal(&tar), Refusal::OverlayAttribute(name.to_owned()));
    }
}

#[test]
fn long_names_of_gnu_and_pax_are_read() {
    let name = format!("{}/{}", "a".repeat(200), "b".repeat(200));
    let place = Place::new();
    let gnu =
        Tar::default().add(EntryType::GNULongName, b"././@LongLink", b"", format!("{name}\0").as_bytes());
    let gnu = gnu.file("short", "gnu").add(EntryType::GNULongLink, b"././@LongLink", b"", name.as_bytes());
    let pax = gnu.symlink("link", "short").pax(&[("path", b"pax"), ("uid", b"70000"), ("size", b"3")]);
    place.unpack(&pax.file("x", "pax").end()).unwrap();
    assert_eq!(place.read(&name), "gnu");
    assert_eq!(fs::read_link(place.root().join("link")).unwrap(), Path::new(&name));
    assert_eq!(place.read("pax"), "pax");
}

#[test]
fn sparse_files_of_every_form_have_their_holes() {
    let place = Place::new();
    let map = b"2\n0\n1\n65536\n1\n";
    let mut data = map.to_vec();
    data.resize(512, 0);
    data.extend(b"ab");
    let one: &[(&str, &[u8])] = &[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"one"),
        ("GNU.sparse.realsize", b"131072"),
    ];
    let tar = Tar::default().pax(one).add(EntryType::Regular, b"GNUSparseFile.0/one", b"", &data);
    let comma: &[(&str, &[u8])] = &[("GNU.sparse.size", b"131072"), ("GNU.sparse.map", b"0,1,65536,1")];
    let tar = tar.pax(comma).file("comma", "ab");
    let zero: &[(&str, &[u8])] = &[
        ("GNU.sparse.size", b"131072"),
        ("GNU.sparse.offset", b"0"),
        ("GNU.sparse.numbytes", b"1"),
        ("GNU.sparse.offset", b"65536"),
        ("GNU.sparse.numbytes", b"1"),
    ];
    let mut tar = tar.pax(zero).file("zero", "ab");
    tar.header(EntryType::GNUSparse, b"old", b"", 2, |header| {
        let gnu = header.as_gnu_mut().unwrap();
        let octal = |field: &mut [u8; 12], value: u64| {
            field[..11].copy_from_slice(format!("{value:011o}").as_bytes())
        };
        for (at, offset) in [(0, 0), (1, 65536)] {
            octal(&mut gnu.sparse[at].offset, offset);
            octal(&mut gnu.sparse[at].numbytes, 1);
        }
        octal(&mut gnu.realsize, 131_072);
    });
    place.unpack(&tar.data(b"ab").end()).unwrap();
    for name in ["one", "comma", "zero", "old"] {
        let read = fs::read(place.root().join(name)).unwrap();
        assert_eq!((read.len(), read[0], read[65536]), (131_072, b'a', b'b'), "{name}");
        assert_eq!(read.iter().filter(|byte| **byte != 0).count(), 2, "{name}");
        let blocks = fs::metadata(place.root().join(name)).unwrap().blocks();
        assert!(blocks < 64, "{name} has no holes: {blocks} blocks");
    }
    let beyond: &[(&str, &[u8])] = &[("GNU.sparse.size", b"10"), ("GNU.sparse.map", b"0,1,65536,1")];
    let tar = Tar::default().pax(beyond).file("x", "ab").end();
    assert!(matches!(place.unpack(&tar), Err(UnpackError::Tar(TarError::Header { .. }))));
}

#[test]
fn every_limit_ends_what_exceeds_it() {
    let place = Place::new();
    let small = Limits { entries: 3, depth: 4, header_bytes: 600, layer_bytes: 100_000, ..Limits::default() };
    let told = |tar: Tar| place.unpack_with(&tar.end(), Devices::Refused, &small).unwrap_err();
    let chain = |error: UnpackError| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            text += &format!(": {inner}");
            source = inner.source();
        }
        text
    };
    let many = Tar::default().file("a", "").file("b", "").file("c", "").file("d", "");
    let deep = Tar::default().dir("a/b/c/d/e");
    let long = Tar::default().add(EntryType::GNULongName, b"x", b"", &[b'a'; 601]).file("x", "");
    let mut huge = Tar::default();
    huge.header(EntryType::GNULongName, b"x", b"", 1 << 33, |_| {});
    let sparse: &[(&str, &[u8])] = &[("GNU.sparse.size", b"9999999999"), ("GNU.sparse.map", b"0,1")];
    let hollow = Tar::default().pax(sparse).file("x", "a");
    let logical: &[(&str, &[u8])] = &[("GNU.sparse.size", b"90000"), ("GNU.sparse.map", b"0,1")];
    let twice = Tar::default().pax(logical).file("x", "a").pax(logical).file("y", "a");
    let mut cut = Tar::default();
    cut.header(EntryType::Regular, b"x", b"", 1 << 40, |_| {});
    let mut wrong = Tar::default().file("x", "");
    wrong.0[0] = b'y';
    let lines: Vec<String> =
        [many, deep, long, huge, hollow, twice, cut, wrong].map(|tar| chain(told(tar))).to_vec();
    insta::assert_snapshot!(lines.join("\n"));
    let mut trailing = Tar::default().file("a", "a").end();
    trailing.extend([0; 512]);
    trailing.push(1);
    assert!(matches!(place.unpack(&trailing), Err(UnpackError::Tar(TarError::Trailing { at: 2560 }))));
    // Tools that write no end are taken: the digest tells whether anything is missing.
    place.unpack(&Tar::default().file("b", "b").0).unwrap();
}

#[test]
fn a_layer_that_is_not_what_it_is_called_is_told_apart() {
    let place = Place::new();
    let tar = Tar::default().file("a", "a").end();
    let options = UnpackOptions { devices: Devices::Refused, whiteouts: Whiteouts::Files };
    let (right, other) = (Digest::of(&tar), Digest::of(b"other"));
    let try_with = |name: &Digest, diff: &Digest, bytes: &[u8]| {
        unpack(bytes, name, diff, place.fd(), options, &Limits::default()).unwrap_err()
    };
    assert!(matches!(try_with(&other, &right, &tar), UnpackError::Damaged { .. }));
    assert!(matches!(try_with(&right, &other, &tar), UnpackError::DiffId { .. }));
    let mut damaged = tar.clone();
    damaged[0] = b'b';
    assert!(matches!(try_with(&right, &right, &damaged), UnpackError::Damaged { .. }));
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    let gzip = encoder.finish().unwrap();
    let into = tempfile::tempdir().unwrap();
    unpack(&gzip[..], &Digest::of(&gzip), &right, open(into.path()), options, &Limits::default()).unwrap();
}

#[test]
fn a_link_swapped_in_while_unpacking_leads_nowhere_outside() {
    // Somebody of the same user turns a folder into a link and back, as fast as it can.
    let place = Place::new();
    let root = place.root();
    fs::create_dir(root.join("swap")).unwrap();
    std::os::unix::fs::symlink("../outside/folder", root.join("other")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dir = place.fd();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(&dir, "swap", &dir, "other", rustix::fs::RenameFlags::EXCHANGE)
                    .unwrap();
            }
        });
        for round in 0..200 {
            let tar = Tar::default().file(&format!("swap/{round}"), "x").end();
            let options = UnpackOptions { devices: Devices::Refused, whiteouts: Whiteouts::Files };
            let digest = Digest::of(&tar);
            let _ = unpack(&tar[..], &digest, &digest, place.fd(), options, &Limits::default());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(place.outside(), place.canary);
}

fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => Just("a".to_owned()), 3 => Just("b".to_owned()), 1 => Just("..".to_owned()), 1 => Just(".".to_owned()),
        1 => Just(String::new()), 1 => Just("outside".to_owned()), 1 => Just("file".to_owned()),
        1 => Just(".wh.a".to_owned()), 1 => Just(".wh..wh..opq".to_owned()),
    ];
    proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
}

fn hostile() -> impl Strategy<Value = Tar> {
    let kinds = prop_oneof![
        3 => Just(EntryType::Regular), 3 => Just(EntryType::Symlink), 2 => Just(EntryType::Link),
        2 => Just(EntryType::Directory), 1 => Just(EntryType::Fifo), 1 => Just(EntryType::Char),
        1 => Just(EntryType::GNULongName),
    ];
    proptest::collection::vec((kinds, name(), name()), 1..12).prop_map(|entries| {
        entries.into_iter().fold(Tar::default(), |tar, (kind, path, link)| {
            let data: &[u8] =
                if kind == EntryType::Regular || kind == EntryType::GNULongName { b"hostile" } else { b"" };
            tar.add(kind, path.as_bytes(), link.as_bytes(), data)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_archive_changes_anything_outside(tar in hostile()) {
        // The canary is compared within.
        let _ = Place::new().unpack(&tar.end());
    }

    #[test]
    fn no_archive_changes_anything_outside_even_when_bits_flip(
        tar in hostile(), flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
    ) {
        let mut bytes = tar.end();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
            // The sum is mended, so that the flip is seen.
            let block = at / 512 * 512;
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
            header.set_cksum();
            bytes[block + 148..block + 156].copy_from_slice(&header.as_bytes()[148..156]);
        }
        let small = Limits { layer_bytes: 1 << 20, ..Limits::default() };
        let _ = Place::new().unpack_with(&bytes, Devices::Refused, &small);
    }
}

#[test]
fn modes_that_shut_a_folder_do_not_hinder_what_is_in_it() {
    let mut tar = Tar::default();
    tar.header(EntryType::Directory, b"shut", b"", 0, |header| header.set_mode(0o000));
    let place = Place::new();
    place.unpack(&tar.file("shut/in", "x").end()).unwrap();
    let meta = fs::metadata(place.root().join("shut")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0);
    fs::set_permissions(place.root().join("shut"), fs::Permissions::from_mode(0o700)).unwrap();
}
