//! A disk that fills up, and one that flips a bit.

#![expect(clippy::unwrap_used, reason = "a test's own steps fail by panicking")]

use hyper::Method;
use hypermesh_apiserver::{Config, Server};
use hypermesh_e2e::load::{Call, Connection, Objects, ServerSpec, Verb, binary, run};
use hypermesh_e2e::load::{ObjectWork, Work};
use hypermesh_e2e::skip::skip;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of the small disk: beside the reserve and the least free space there is room to work in.
const DISK: &str = "size=192m";
/// What a filled disk has left: less than what growth must leave free, more than a deletion needs.
const LEFT: u64 = 40 << 20;

/// A tmpfs, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(point: PathBuf) -> nix::Result<Self> {
        fs::create_dir_all(&point).unwrap();
        mount(Some("hypermesh-disk"), &point, Some("tmpfs"), MsFlags::empty(), Some(DISK))?;
        Ok(Self(point))
    }

    fn free(&self) -> u64 {
        let stat = nix::sys::statvfs::statvfs(&self.0).unwrap();
        stat.blocks_available() * stat.fragment_size()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn objects(namespace: &str) -> Objects {
    Objects { namespace: namespace.into(), prefix: "w".into() }
}

fn delete(path: String) -> Call {
    Call { method: Method::DELETE, path, content_type: "", body: Vec::new().into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_growth_and_recovers_without_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let disk = match SmallDisk::mount(scratch.path().join("disk")) {
        Ok(disk) => disk,
        Err(error) => {
            return skip("a_full_disk_refuses_growth", &format!("no tmpfs can be mounted: {error}"));
        }
    };
    let data = disk.0.join("data");
    let spec = ServerSpec { log: scratch.path().join("log"), ..ServerSpec::new(binary().unwrap(), data) };
    let server = spec.start().await.unwrap();
    let mut connection = server.target.connect().await.unwrap();
    let (kept, gone) = (objects("kept"), objects("gone"));
    for namespace in [&kept, &gone] {
        namespace.make_namespace(&mut connection).await.unwrap();
        connection.expect(Call::post(namespace.collection(), namespace.object(0, 1))).await.unwrap();
    }
    let version = version_of(&mut connection, &gone).await;

    let filler = disk.0.join("filler");
    let file = fs::File::create(&filler).unwrap();
    nix::fcntl::posix_fallocate(&file, 0, i64::try_from(disk.free() - LEFT).unwrap()).unwrap();
    let (status, body) = connection.call(Call::post(kept.collection(), kept.object(1, 1))).await.unwrap();
    let refusal: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &refusal["kind"]), (507, &"Status".into()), "{refusal}");
    assert_eq!(refusal["reason"], "InsufficientStorage", "{refusal}");
    let message = refusal["message"].as_str().unwrap();
    assert!(message.contains("nothing was stored") && message.contains("free"), "{message}");

    // Reads, deletions and watches of them go on.
    connection.expect(Call::get(kept.path(0))).await.unwrap();
    connection.expect(delete(gone.path(0))).await.unwrap();
    let path = format!("{}?watch=1&resourceVersion={version}&timeoutSeconds=1", gone.collection());
    let events = connection.expect(Call::get(path)).await.unwrap();
    let event: Value = serde_json::from_slice(events.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(event["type"], "DELETED", "{event}");
    let (status, _) = connection.call(Call::get(kept.path(1))).await.unwrap();
    assert_eq!(status, 404, "what was refused is there");

    drop(file);
    fs::remove_file(&filler).unwrap();
    connection.expect(Call::post(kept.collection(), kept.object(1, 1))).await.unwrap();
    server.stop().await.unwrap();
    let (said, sound) = spec.check().await.unwrap();
    assert!(sound, "{said}");
}

async fn version_of(connection: &mut Connection, objects: &Objects) -> String {
    let list = connection.expect(Call::get(objects.collection())).await.unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    list["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// Files that hold nothing a reader of the store relies on: locks, space set aside, what RocksDB notes for people; and
/// what is no secret and no state, but made of them.
const IMMATERIAL: [&str; 7] =
    ["lock", "LOCK", "RESERVE", "IDENTITY", "OPTIONS-", "admin.kubeconfig", "controllers.kubeconfig"];

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_told_by_the_file_it_is_in() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let spec = ServerSpec::new(binary().unwrap(), data.clone());
    let server = spec.start().await.unwrap();
    let objects = objects("bits");
    objects.make_namespace(&mut server.target.connect().await.unwrap()).await.unwrap();
    let mut workers: Vec<(Connection, Box<dyn Work>)> = Vec::new();
    for number in 0..16 {
        let mut connection = server.target.connect().await.unwrap();
        let work =
            ObjectWork::new(&objects, Verb::Create, 0, 0, (number, 16), &mut connection).await.unwrap();
        workers.push((connection, Box::new(work)));
    }
    // More than is kept in memory, so that tables are written.
    run(workers, 6_000, server.pid).await.unwrap();
    server.stop().await.unwrap();

    let mut wrong = Vec::new();
    for (kind, file) in one_of_each_kind(&data) {
        let copy = scratch.path().join("copy");
        assert!(Command::new("cp").arg("-r").arg(&data).arg(&copy).status().unwrap().success());
        let path = copy.join(&file);
        let mut bytes = fs::read(&path).unwrap();
        // The middle of the mark lies between its two slots.
        let place = if kind == "HEAD" { 10 } else { bytes.len() / 2 };
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let damaged =
            ServerSpec { dir: copy.clone(), log: scratch.path().join("damaged.log"), ..spec.clone() };
        let name = file.file_name().unwrap().to_string_lossy();
        let (mut said, sound) = damaged.check().await.unwrap();
        if sound {
            // One slot of the mark stands in for the other, and the log says so.
            let _ = fs::remove_file(&damaged.log);
            let started = damaged.start().await;
            said += &fs::read_to_string(&damaged.log).unwrap();
            if started.is_ok() && kind != "HEAD" {
                wrong.push(format!("{kind}: the server starts"));
            }
        }
        if !said.contains(&*name) {
            wrong.push(format!("{kind}: it is not named: {said}"));
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What may happen to a file of keys or certificates.
#[derive(Clone, Copy, Debug)]
enum Harm {
    FlippedBit,
    Truncated,
    Missing,
    Opened,
}

impl Harm {
    fn to(self, path: &Path) {
        let bytes = fs::read(path).unwrap();
        match self {
            Self::FlippedBit => {
                let mut bytes = bytes;
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }
            Self::Truncated => fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
            Self::Missing => fs::remove_file(path).unwrap(),
            Self::Opened => fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
        }
    }
}

/// Each file of `pki`, what it stands for being told by its ending: certificates and public keys are nobody's secret,
/// and what can be made again from the rest may be missing.
const KEYS: [(&str, &[Harm]); 11] = {
    const SECRET: &[Harm] = &[Harm::FlippedBit, Harm::Truncated, Harm::Missing, Harm::Opened];
    const PUBLIC: &[Harm] = &[Harm::FlippedBit, Harm::Truncated, Harm::Missing];
    const REMADE: &[Harm] = &[Harm::FlippedBit, Harm::Truncated];
    [
        ("ca.crt", PUBLIC),
        ("ca.key", SECRET),
        ("client-ca.crt", PUBLIC),
        ("client-ca.key", SECRET),
        ("server.crt", REMADE),
        ("server.key", SECRET),
        ("admin.crt", REMADE),
        ("admin.key", SECRET),
        ("replica.key", SECRET),
        ("service-accounts.key", SECRET),
        ("service-accounts.pub", REMADE),
    ]
};

#[tokio::test(flavor = "multi_thread")]
async fn harmed_keys_and_certificates_are_told_and_not_started_from() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    let config = |dir: &Path| Config::new(dir.to_owned(), ([127, 0, 0, 1], 0).into());
    Server::start(config(&data)).await.unwrap().stop().await;
    let report = hypermesh_apiserver::check(&data).unwrap();
    assert!(report.sound, "{report:?}");
    let mut wrong = Vec::new();
    for (name, harms) in KEYS {
        for harm in harms {
            let what = format!("{name}, {harm:?}");
            let path = data.join("pki").join(name);
            let kept = scratch.path().join("kept");
            fs::copy(&path, &kept).unwrap();
            harm.to(&path);
            let findings = hypermesh_apiserver::check(&data).unwrap().findings.join("\n");
            let refusal = match Server::start(config(&data)).await {
                Ok(server) => {
                    server.stop().await;
                    "it starts".to_owned()
                }
                Err(error) => error.to_string(),
            };
            for said in [&findings, &refusal] {
                let told = said.contains(name) && (said.contains("restore") || said.contains("; "));
                if !told {
                    wrong.push(format!("{what}: {said}"));
                }
            }
            // Removed first: a copy keeps the permissions of what it replaces.
            let _ = fs::remove_file(&path);
            fs::copy(&kept, &path).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let made = fs::read(data.join("pki/admin.key")).unwrap();
    for remade in ["server.crt", "admin.crt", "service-accounts.pub"] {
        fs::remove_file(data.join("pki").join(remade)).unwrap();
    }
    Server::start(config(&data)).await.unwrap().stop().await;
    assert!(hypermesh_apiserver::check(&data).unwrap().sound);
    assert_eq!(fs::read(data.join("pki/admin.key")).unwrap(), made);
}

/// The largest file of each kind, by its ending or its name.
fn one_of_each_kind(data: &Path) -> Vec<(String, PathBuf)> {
    let mut kinds = std::collections::BTreeMap::<String, (u64, PathBuf)>::new();
    let mut waiting = vec![data.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The test below is about these.
                waiting.extend(Some(path).filter(|path| !path.ends_with("pki")));
                continue;
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let length = fs::metadata(&path).unwrap().len();
            if length == 0 || IMMATERIAL.iter().any(|immaterial| name.starts_with(immaterial)) {
                continue;
            }
            let stem = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
            let kind = stem.split('-').next().filter(|_| stem.starts_with("MANIFEST")).unwrap_or(stem);
            let inside = path.strip_prefix(data).unwrap().to_owned();
            let largest = kinds.entry(kind.to_owned()).or_insert((0, inside.clone()));
            if length > largest.0 {
                *largest = (length, inside);
            }
        }
    }
    assert!(kinds.contains_key(".sst") && kinds.contains_key(".log"), "{kinds:?}");
    kinds.into_iter().map(|(kind, (_, path))| (kind, path)).collect()
}
