//! Every file, every kind of damage.

use super::*;
use crate::{Pki, Settings};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

const NOW: i64 = 1_800_000_000;

fn made(dir: &Path) -> Pinned {
    let mut settings = Settings::new("https://127.0.0.1:6443".to_owned(), vec!["localhost".to_owned()]);
    settings.cluster = Some(ClusterId::default());
    let pki = Pki::open(dir, settings, NOW).unwrap();
    Pinned {
        cluster: ClusterId::default(),
        replicas: vec![pki.replica_key.signing_key().unwrap().public()],
        administrators: vec![pki.admin_key.signing_key().unwrap().public()],
    }
}

fn names(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| f.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

const FILES: [&str; 13] = [
    "admin.crt",
    "admin.key",
    "ca.crt",
    "ca.key",
    "client-ca.crt",
    "client-ca.key",
    "controllers.crt",
    "controllers.key",
    "replica.key",
    "server.crt",
    "server.key",
    "service-accounts.key",
    "service-accounts.pub",
];

#[test]
fn what_was_made_is_sound_and_is_all_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let pinned = made(dir.path());
    assert_eq!(check(dir.path(), &pinned).unwrap(), []);
    let mut found: Vec<String> = fs::read_dir(dir.path().join("pki"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}

/// Any bit of any file, the middle of each line and the ends of the file among them.
#[test]
fn a_flipped_bit_is_told_by_the_file_or_by_its_counterpart() {
    let dir = tempfile::tempdir().unwrap();
    let pinned = made(dir.path());
    for name in FILES {
        let path = dir.path().join("pki").join(name);
        let sound = fs::read(&path).unwrap();
        let last = sound.len() - 2;
        for at in (0..sound.len()).step_by(11).chain([0, 1, last]) {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 7);
            fs::write(&path, &damaged).unwrap();
            let findings = check(dir.path(), &pinned).unwrap();
            let stem = name.split('.').next().unwrap();
            let told = findings.iter().any(|f| {
                let said = f.to_string();
                said.contains(name) || said.contains(&format!("{stem}.key"))
            });
            assert!(told, "{name}, byte {at} ({:?}): {findings:?}", char::from(sound[at]));
        }
        fs::write(&path, &sound).unwrap();
    }
    assert_eq!(check(dir.path(), &pinned).unwrap(), []);
}

/// Any bit of them that a byte may flip, the server's address among them, and what is cut off, added or changed.
#[test]
fn a_kubeconfig_that_is_not_what_it_is_made_of_is_told_and_mends() {
    let dir = tempfile::tempdir().unwrap();
    let pinned = made(dir.path());
    for name in ["admin.kubeconfig", "controllers.kubeconfig"] {
        let path = dir.path().join(name);
        let sound = fs::read(&path).unwrap();
        let server = sound.windows(5).position(|window| window == b"https").unwrap();
        let flips = (0..sound.len()).step_by(7).chain(server..server + 24).map(|at| {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 8);
            damaged
        });
        let text = String::from_utf8(sound.clone()).unwrap();
        let others = [
            Vec::new(),
            sound[..sound.len() / 2].to_vec(),
            sound[..sound.len() - 1].to_vec(),
            [sound.as_slice(), b"\n"].concat(),
            text.replace("namespace: default", "namespace: other").into_bytes(),
            // A line that parses, in another file than it belongs to.
            text.replace("server: https://127.0.0.1:6443", "server: https://127.0.0.1:6444").into_bytes(),
        ];
        for damaged in flips.chain(others) {
            fs::write(&path, &damaged).unwrap();
            let findings = check(dir.path(), &pinned).unwrap();
            let told = findings.iter().any(|finding| finding.path == path);
            let shown = String::from_utf8_lossy(&damaged);
            assert!(told && findings.iter().all(|finding| finding.mends), "{shown}: {findings:?}");
            let secret = findings.iter().any(|finding| finding.to_string().contains("LS0t"));
            assert!(!secret, "a finding shows the key: {findings:?}");
        }
        fs::write(&path, &sound).unwrap();
        assert_eq!(check(dir.path(), &pinned).unwrap(), []);
    }
    // Of another cluster.
    let other = Pinned { cluster: ClusterId(hypermesh_chain::Hash([1; 32])), ..pinned.clone() };
    assert_eq!(names(&check(dir.path(), &other).unwrap()), ["admin.kubeconfig", "controllers.kubeconfig"]);
    // What the next start writes anyway may be missing; others than its owner may never read it.
    let path = dir.path().join("admin.kubeconfig");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let findings = check(dir.path(), &pinned).unwrap();
    assert_eq!((names(&findings), findings[0].mends), (vec!["admin.kubeconfig".to_owned()], false));
    fs::remove_file(&path).unwrap();
    assert_eq!(check(dir.path(), &pinned).unwrap(), []);
}

/// A third one tells which of two that disagree is the damaged one.
#[test]
fn a_kubeconfig_that_names_another_server_than_most_is_told_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut pinned = made(dir.path());
    let mut settings = Settings::new("https://127.0.0.1:6443".to_owned(), vec!["localhost".to_owned()]);
    settings.cluster = Some(pinned.cluster);
    let mut pki = Pki::open(dir.path(), settings, NOW).unwrap();
    pki.agent_key("here", NOW).unwrap();
    pki.write_agent_kubeconfig().unwrap();
    // The controllers' file alone says whether their key is registered.
    pki.controllers_sign().unwrap();
    assert_eq!(check(dir.path(), &pinned).unwrap(), []);
    let path = dir.path().join("agent.kubeconfig");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(":6443", ":6442")).unwrap();
    let findings = check(dir.path(), &pinned).unwrap();
    assert_eq!(names(&findings), ["agent.kubeconfig"]);
    assert!(
        findings[0].what.starts_with("it names the server https://127.0.0.1:6442, and /"),
        "{findings:?}"
    );
    fs::write(&path, text).unwrap();
    for name in ["agent.crt", "agent.key"] {
        let path = dir.path().join("pki").join(name);
        let sound = fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        damaged[sound.len() / 2] ^= 1;
        fs::write(&path, damaged).unwrap();
        let said = check(dir.path(), &pinned).unwrap().iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains(name), "{said}");
        fs::write(&path, sound).unwrap();
    }
    pinned.administrators.clear();
    assert_eq!(names(&check(dir.path(), &pinned).unwrap()), ["admin.key"]);
}

#[test]
fn truncated_empty_and_missing_files_are_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let pinned = made(dir.path());
    for name in FILES {
        let path = dir.path().join("pki").join(name);
        let sound = fs::read(&path).unwrap();
        for length in [0, 1, sound.len() / 2, sound.len() - 2] {
            fs::write(&path, &sound[..length]).unwrap();
            assert!(
                names(&check(dir.path(), &pinned).unwrap()).contains(&name.to_owned()),
                "{name} {length}"
            );
        }
        fs::remove_file(&path).unwrap();
        let found = names(&check(dir.path(), &pinned).unwrap());
        // These are made anew from what is there.
        let remade = matches!(name, "server.crt" | "admin.crt" | "controllers.crt" | "service-accounts.pub");
        assert_eq!(found.contains(&name.to_owned()), !remade, "{name}: {found:?}");
        fs::write(&path, &sound).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn files_of_another_cluster_and_open_ones_are_told() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pinned = made(dir.path());
    made(other.path());
    let (mine, theirs) = (dir.path().join("pki"), other.path().join("pki"));
    let cases: [(&[&str], &str, &str); 6] = [
        (&["replica.key"], "replica.key", "the genesis does not name it as replica"),
        (&["admin.key", "admin.crt"], "admin.key", "the genesis does not name it as administrator"),
        (&["ca.key", "ca.crt"], "server.crt", "did not sign it"),
        (&["client-ca.key", "client-ca.crt"], "admin.crt", "did not sign it"),
        (&["server.key"], "server.key", "it is not the key of"),
        (&["service-accounts.key"], "service-accounts.key", "it is not the key of"),
    ];
    for (swapped, told, why) in cases {
        for name in swapped {
            fs::rename(mine.join(name), mine.join(format!("{name}.kept"))).unwrap();
            fs::copy(theirs.join(name), mine.join(name)).unwrap();
        }
        let findings = check(dir.path(), &pinned).unwrap();
        let found = findings.iter().find(|f| f.path.ends_with(told));
        assert!(found.is_some_and(|f| f.what.contains(why)), "{swapped:?}: {findings:?}");
        for name in swapped {
            fs::rename(mine.join(format!("{name}.kept")), mine.join(name)).unwrap();
        }
    }
    let key = mine.join("admin.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = check(dir.path(), &pinned).unwrap()[0].to_string();
    assert!(said.contains("(mode 0644); chmod 600 ") && said.ends_with("admin.key"), "{said}");
}

/// The key that the genesis names comes back from where it lies a second time, and from nowhere else.
#[test]
fn a_damaged_key_of_the_administrator_is_told_where_it_is_to_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let pinned = made(dir.path());
    let path = dir.path().join("pki/admin.key");
    let whole = fs::read_to_string(&path).unwrap();
    let other = KeyFile::fresh(path.clone()).unwrap().pem().to_owned();
    for damaged in [Some("nonsense"), Some(&*other), None] {
        match damaged {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let findings = check(dir.path(), &pinned).unwrap();
        let told = findings.iter().find(|finding| finding.path == path).unwrap();
        assert!(told.remedy.contains("client-key-data") && !told.remedy.contains("remove"), "{told}");
    }
    // And what it says is so.
    let kubeconfig = fs::read_to_string(dir.path().join("admin.kubeconfig")).unwrap();
    let data = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("client-key-data: ")).unwrap();
    let data =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data.trim_matches('"')).unwrap();
    assert_eq!(String::from_utf8(data).unwrap(), whole);
}
