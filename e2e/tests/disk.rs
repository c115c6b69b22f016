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
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

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

/// Locks are held, not read: whoever takes one, the check too, writes its process into it anew. Nothing else is left out.
const LOCKS: [&str; 2] = ["lock", "store/LOCK"];

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

    let before = contents(&data);
    let mut wrong = Vec::new();
    // One place in each; the store and the keys have tests of many.
    for (number, (kind, file)) in one_of_each_kind(&data).into_iter().enumerate() {
        let path = data.join(&file);
        let original = fs::read(&path).unwrap();
        let place = (original.len() - 1) * (1 + number % 4) / 5;
        let mut bytes = original.clone();
        bytes[place] ^= 1;
        overwrite(&path, &bytes);
        let (said, sound) = spec.check().await.unwrap();
        // A key and what it belongs to are told together: either may be the damaged one.
        if sound || !said.contains(&path.display().to_string()) {
            wrong.push(format!("{kind} at {place} of {}: it is not named: {said}", bytes.len()));
        }
        overwrite(&path, &original);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(contents(&data) == before, "the check has changed a file");
    let (said, sound) = spec.check().await.unwrap();
    assert!(sound, "{said}");

    // What is made of other files is made again, and said to be.
    let kubeconfig = data.join("admin.kubeconfig");
    let text = fs::read_to_string(&kubeconfig).unwrap();
    fs::write(&kubeconfig, text.replace("namespace: default", "namespace: defaulu")).unwrap();
    let _ = fs::remove_file(&spec.log);
    spec.start().await.unwrap().stop().await.unwrap();
    let said = fs::read_to_string(&spec.log).unwrap();
    assert!(said.contains(&kubeconfig.display().to_string()), "{said}");
    assert!(!fs::read_to_string(&kubeconfig).unwrap().contains("defaulu"));
    assert!(spec.check().await.unwrap().1);
}

/// Writes into a file that is there: its mode stays.
fn overwrite(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Every file that is no lock, with a digest of it.
fn contents(data: &Path) -> std::collections::BTreeMap<PathBuf, u64> {
    let digest = |path: &Path| {
        let mut hasher = std::hash::DefaultHasher::new();
        fs::read(path).unwrap().hash(&mut hasher);
        hasher.finish()
    };
    let files = files_of(data).into_iter();
    files.map(|file| (file.clone(), digest(&data.join(&file)))).collect()
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
    for file in files_of(data) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let length = fs::metadata(data.join(&file)).unwrap().len();
        if length == 0 {
            continue;
        }
        let stem = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let kind = stem.split('-').next().filter(|_| stem.starts_with("MANIFEST")).unwrap_or(stem);
        let largest = kinds.entry(kind.to_owned()).or_insert((0, file.clone()));
        if length > largest.0 {
            *largest = (length, file);
        }
    }
    for kind in
        [".sst", ".log", "RESERVE", "kek", "genesis", "ca.key", "admin.kubeconfig", "controllers.kubeconfig"]
    {
        assert!(kinds.contains_key(kind), "{kind}: {kinds:?}");
    }
    kinds.into_iter().map(|(kind, (_, path))| (kind, path)).collect()
}

/// Every file of a data folder that is no lock, by its path inside it.
fn files_of(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![data.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(data).unwrap().to_owned();
            if path.is_dir() {
                waiting.push(path);
            } else if !LOCKS.iter().any(|lock| inside == Path::new(lock)) {
                found.push(inside);
            }
        }
    }
    found.sort();
    found
}
