//! A flipped bit, a cut or a missing file is told by name, and never served.

use crate::support::*;
use hypermesh_chain::{KeyRange, Revision};
use hypermesh_store::{Options, Store, StoreError, check};
use std::fs;
use std::path::{Path, PathBuf};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A file's name without the number in it.
fn kind(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().replace(|c: char| c.is_ascii_digit(), "")
}

/// A store with files of every type: tables of each family, and a log with acknowledged commits.
fn sound(dir: &Path) -> Revision {
    let store = open(dir);
    let facts = hypermesh_chain::Facts {
        due: 7,
        owners: vec![uid(1)],
        unique: vec![("index".to_owned(), "value".to_owned())],
        ..Default::default()
    };
    commit(&store, &[Write::Put(key("default", "indexed"), "x".to_owned(), facts)]);
    for n in 0..60 {
        commit(&store, &[put(&format!("n{n}"), &filler(n, 500)), put("hot", &filler(n, 100))]);
    }
    store.compact(Revision(20)).unwrap();
    // Sealing anew leaves everything in tables.
    store.rotate_key().unwrap();
    store.reseal().unwrap();
    let mut last = Revision(0);
    for n in 0..20 {
        last = commit(&store, &[put(&format!("late{n}"), &filler(n, 500))]);
    }
    last
}

/// What a store serves in full, or the first error.
fn everything(store: &Store) -> Result<Vec<u8>, StoreError> {
    let view = store.view()?;
    let mut bytes = Vec::new();
    let range = KeyRange { collection: "/configmaps".to_owned(), namespace: None };
    view.for_each(&range, None, |key, record| {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&record.body);
        std::ops::ControlFlow::Continue(())
    })?;
    for effect in store.events(view.oldest_revision(), usize::MAX)? {
        bytes.extend_from_slice(&effect.change.record().body);
    }
    view.leaves(|key, hash| {
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&hash.0);
    })?;
    for block in store.blocks(store.oldest_height()?) {
        let block = block?;
        bytes.extend_from_slice(&block.block);
        bytes.extend(store.outcome(&request(block.height.0))?.unwrap_or_default());
    }
    Ok(bytes)
}

#[test]
fn a_flipped_bit_is_found_in_every_file() {
    let origin = tempfile::tempdir().unwrap();
    sound(origin.path());
    assert_eq!(check(origin.path(), &options()).unwrap().findings, []);
    let expected = everything(&open(origin.path())).unwrap();
    // Opening has written files of its own: what is damaged below is the store as it lies there now.
    let mut tables = 0;
    let mut logs = 0;
    // Places in every file, evenly; two of them where nobody asks for more.
    let places: Option<usize> = std::env::var("HYPERMESH_FLIPS").ok().and_then(|places| places.parse().ok());
    for (n, file) in files(origin.path()).into_iter().enumerate() {
        let relative = file.strip_prefix(origin.path()).unwrap();
        let name = relative.file_name().unwrap().to_str().unwrap();
        let length = fs::metadata(&file).unwrap().len() as usize;
        // Held, not read: whoever takes it, the check too, writes it anew.
        let unread = name == "LOCK";
        tables += usize::from(name.ends_with(".sst"));
        logs += usize::from(name.ends_with(".log") && length > 0);
        let parts: Vec<usize> = match places {
            Some(places) => (0..=places).map(|part| (length.max(1) - 1) * part / places).collect(),
            None => [n % 2, 3 + n % 2].iter().map(|part| (length.max(1) - 1) * part / 4).collect(),
        };
        for place in parts {
            if length == 0 {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            copy(origin.path(), dir.path());
            let target = dir.path().join(relative);
            let mut bytes = fs::read(&target).unwrap();
            bytes[place] ^= 0x04;
            fs::write(&target, bytes).unwrap();
            let shown = format!("{} at {place} of {length}", relative.display());
            if !unread {
                match check(dir.path(), &options()) {
                    Ok(report) => assert!(
                        report.findings.iter().any(|finding| finding.file == target),
                        "{shown}: {report:?}"
                    ),
                    Err(StoreError::NewerFormat { .. }) if name == "FORMAT" => {}
                    Err(error) => panic!("{shown}: {error:?}"),
                }
            }
            // Opened, it refuses by name or serves exactly what was written.
            match Store::open(dir.path(), options()) {
                Ok(store) => match everything(&store) {
                    Ok(bytes) => assert!(bytes == expected, "{shown}: served something else"),
                    Err(StoreError::Damaged { file, .. }) => assert_eq!(file, target, "{shown}"),
                    Err(error) => panic!("{shown}: {error:?}"),
                },
                Err(
                    StoreError::Damaged { file, .. }
                    | StoreError::LostCommits { file, .. }
                    | StoreError::WrongKey { file },
                ) => {
                    assert_eq!(file, target, "{shown}");
                }
                Err(StoreError::NewerFormat { .. }) if name == "FORMAT" => {}
                Err(error) => panic!("{shown}: {error:?}"),
            }
        }
    }
    assert!(tables >= 5 && logs >= 1, "{tables} tables, {logs} logs");
    let kinds: std::collections::BTreeSet<String> =
        files(origin.path()).iter().map(|file| kind(file)).collect();
    let known = [".log", ".sst", "CURRENT", "FORMAT", "HEAD", "LOCK", "MANIFEST-", "RESERVE", "data", "kek"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), known);
}

#[test]
fn a_missing_file_is_named() {
    let origin = tempfile::tempdir().unwrap();
    sound(origin.path());
    for file in files(origin.path()) {
        let relative = file.strip_prefix(origin.path()).unwrap();
        let name = relative.file_name().unwrap().to_str().unwrap();
        if matches!(name, "LOCK" | "RESERVE") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        copy(origin.path(), dir.path());
        let target = dir.path().join(relative);
        fs::remove_file(&target).unwrap();
        let blamed = match Store::open(dir.path(), options()) {
            Err(StoreError::Damaged { file, .. } | StoreError::LostCommits { file, .. }) => file,
            other => panic!("{}: {other:?}", relative.display()),
        };
        assert!(
            blamed == target || name.ends_with(".log"),
            "{}: blamed {}",
            relative.display(),
            blamed.display()
        );
    }
}

/// A log that an earlier process wrote, and the one that goes on from it, or is still empty.
#[test]
fn of_several_logs_the_damaged_one_alone_is_named() {
    // Without tables, and with some that are ahead of the log: RocksDB opens the first up to the damage.
    for tables in [false, true] {
        let origin = tempfile::tempdir().unwrap();
        if tables {
            sound(origin.path());
        } else {
            let store = open(origin.path());
            for n in 0..20 {
                commit(&store, &[put(&format!("n{n}"), &filler(n, 500))]);
            }
        }
        commit(&open(origin.path()), &[put("after", &filler(1, 3000))]);
        name_each_log(origin.path());
        drop(open(origin.path()));
        name_each_log(origin.path());
    }
}

fn name_each_log(origin: &Path) {
    let logs: Vec<PathBuf> = files(&origin.join("db"))
        .into_iter()
        .filter(|file| file.extension().is_some_and(|e| e == "log") && fs::metadata(file).unwrap().len() > 0)
        .collect();
    assert_eq!(logs.len(), 2);
    for log in logs {
        let relative = log.strip_prefix(origin).unwrap();
        let length = fs::metadata(&log).unwrap().len() as usize;
        for place in (0..3).map(|part| (length - 1) * part / 2) {
            let dir = tempfile::tempdir().unwrap();
            copy(origin, dir.path());
            let target = dir.path().join(relative);
            let mut bytes = fs::read(&target).unwrap();
            bytes[place] ^= 0x10;
            fs::write(&target, bytes).unwrap();
            let named: Vec<PathBuf> =
                check(dir.path(), &options()).unwrap().findings.into_iter().map(|f| f.file).collect();
            let shown = format!("{} at {place} of {length}", relative.display());
            assert!(!named.is_empty() && named.iter().all(|file| *file == target), "{shown}: {named:?}");
            match Store::open(dir.path(), options()) {
                Err(StoreError::Damaged { file, .. } | StoreError::LostCommits { file, .. }) => {
                    assert_eq!(file, target, "{shown}")
                }
                other => assert!(other.is_err(), "{shown}: it opens"),
            }
        }
    }
}

#[test]
fn a_torn_tail_opens_and_a_lost_commit_does_not() {
    let origin = tempfile::tempdir().unwrap();
    let last = sound(origin.path());
    let log = files(&origin.path().join("db"))
        .into_iter()
        .rfind(|file| file.extension().is_some_and(|e| e == "log"))
        .unwrap();
    let relative = log.strip_prefix(origin.path()).unwrap();
    let length = fs::metadata(&log).unwrap().len();
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let dir = tempfile::tempdir().unwrap();
        copy(origin.path(), dir.path());
        let mut bytes = fs::read(dir.path().join(relative)).unwrap();
        change(&mut bytes);
        fs::write(dir.path().join(relative), bytes).unwrap();
        dir
    };
    // Garbage, zeros and half a record behind what was acknowledged are a torn tail.
    type Change = dyn Fn(&mut Vec<u8>);
    let tails: [&Change; 4] = [
        &|bytes| bytes.extend_from_slice(&[0; 4096]),
        &|bytes| bytes.extend_from_slice(&[0xa5; 3000]),
        &|bytes| bytes.extend_from_slice(&[1, 2, 3]),
        &|bytes| {
            let start = bytes.len().saturating_sub(700);
            let half = bytes[start..start + 300].to_vec();
            bytes.extend(half);
        },
    ];
    for (n, tail) in tails.iter().enumerate() {
        let dir = damaged(tail);
        let report = check(dir.path(), &options()).unwrap();
        assert_eq!(report.findings, [], "tail {n}");
        let store = open(dir.path());
        assert_eq!(store.head().unwrap().revision, last, "tail {n}");
        let last = commit(&store, &[put("on", "1")]);
        drop(store);
        // Only the first opening met the tail, and nothing written after it is lost.
        let report = check(dir.path(), &options()).unwrap();
        assert_eq!((report.findings, report.torn), (Vec::new(), false), "tail {n}");
        assert_eq!(open(dir.path()).head().unwrap().revision, last, "tail {n}");
    }
    // A cut into what was acknowledged is a loss, at a record's end too, and the log stays as evidence.
    for cut in [1, 300, 900, length / 2, length] {
        let dir = damaged(&|bytes| bytes.truncate((length - cut) as usize));
        for _ in 0..2 {
            let error = Store::open(dir.path(), options()).unwrap_err();
            assert!(
                matches!(&error, StoreError::LostCommits { .. } | StoreError::Damaged { .. }),
                "cut {cut}: {error:?}"
            );
        }
        assert!(!check(dir.path(), &options()).unwrap().is_sound(), "cut {cut}");
    }
}

/// Where the records of a log file start.
fn records(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(&[.., low, high, _]) = bytes.get(starts[starts.len() - 1]..).and_then(|rest| rest.get(..7))
    {
        starts.push(starts[starts.len() - 1] + 7 + usize::from(u16::from_le_bytes([low, high])));
    }
    starts.pop();
    starts
}

/// RocksDB would read the first for ever, and go without the second as if a crash had cut it short.
#[test]
fn flipped_types_and_lengths_of_records_are_told() {
    let origin = tempfile::tempdir().unwrap();
    sound(origin.path());
    let named = |kind_of: &str| {
        files(&origin.path().join("db")).into_iter().rfind(|file| kind(file) == kind_of).unwrap()
    };
    let (log, manifest) = (named(".log"), named("MANIFEST-"));
    for (file, byte, bit) in [(&log, 6, 4), (&manifest, 6, 4), (&manifest, 5, 0x20)] {
        let bytes = fs::read(file).unwrap();
        let starts = records(&bytes);
        for start in [starts[0], starts[1], starts[starts.len() - 1]] {
            // The length of any but the last leads to another record, whose checksum does not hold.
            if byte == 5 && start != starts[starts.len() - 1] {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[start + byte] ^= bit;
            fs::write(file, damaged).unwrap();
            let shown = format!("{} at {start}+{byte}", file.display());
            let findings = check(origin.path(), &options()).unwrap().findings;
            assert!(findings.iter().any(|found| found.file == *file), "{shown}: {findings:?}");
            let error = Store::open(origin.path(), options()).unwrap_err();
            assert!(
                matches!(&error, StoreError::Damaged { file: found, .. } if found == file),
                "{shown}: {error:?}"
            );
        }
        fs::write(file, &bytes).unwrap();
    }
    // What a crash leaves of a record that was never in force.
    let bytes = fs::read(&manifest).unwrap();
    let last = records(&bytes).pop().unwrap();
    fs::write(&manifest, [bytes.as_slice(), &bytes[last..bytes.len() - 3]].concat()).unwrap();
    assert_eq!(check(origin.path(), &options()).unwrap().findings, []);
    open(origin.path());
}

/// What is set aside, and what RocksDB notes of itself, holds no data: damage there is told, and nothing is lost.
#[test]
fn what_holds_no_data_is_told_and_mends() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { reserve_bytes: 3 << 20, min_free_bytes: 1, ..options() };
    let commit_one = |name: &str| commit(&Store::open(dir.path(), options()).unwrap(), &[put(name, "1")]);
    let told = || {
        let report = check(dir.path(), &options()).unwrap();
        assert!(report.findings.iter().all(|finding| finding.mends), "{report:?}");
        report.findings.into_iter().map(|finding| (finding.file, finding.what)).collect::<Vec<_>>()
    };
    commit_one("a");
    assert_eq!(told(), []);
    let reserve = dir.path().join("RESERVE");
    let mut bytes = fs::read(&reserve).unwrap();
    bytes[(2 << 20) + 5] ^= 0x20;
    fs::write(&reserve, bytes).unwrap();
    let found = told();
    assert!(found[0].0 == reserve && found[0].1.starts_with("its byte 2097157 is not zero"), "{found:?}");
    fs::remove_file(&reserve).unwrap();
    let found = told();
    assert!(found[0].0 == reserve && found[0].1.starts_with("it is missing"), "{found:?}");
    // A full disk has taken it: there is nothing to tell.
    let full = Options { min_free_bytes: u64::MAX, ..options() };
    assert_eq!(check(dir.path(), &full).unwrap().findings, []);
    commit_one("b");
    assert_eq!(told(), []);
    // As other versions of RocksDB's options leave it.
    let identity = dir.path().join("db/IDENTITY");
    fs::write(&identity, "a2e85f6d-b021-4ede-8fb8-6dbeaa75dbf1").unwrap();
    let found = told();
    assert!(found[0].0 == identity, "{found:?}");
    fs::write(dir.path().join("db/OPTIONS-000001"), "nonsense").unwrap();
    commit_one("c");
    assert_eq!(told(), []);
    assert!(!identity.exists() && !dir.path().join("db/OPTIONS-000001").exists());
}

/// Looking changes no file but the lock, and nothing can be committed through it.
#[test]
fn looking_leaves_every_file_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let last = sound(dir.path());
    // A torn tail stays as evidence, too.
    let log = files(&dir.path().join("db")).into_iter().rfind(|file| kind(file) == ".log").unwrap();
    let torn = [fs::read(&log).unwrap(), vec![0xa5; 300]].concat();
    fs::write(&log, torn).unwrap();
    let contents = || {
        let all = files(dir.path()).into_iter().filter(|file| kind(file) != "LOCK");
        all.map(|file| (fs::read(&file).unwrap(), file)).collect::<Vec<_>>()
    };
    let before = contents();
    let store = Store::look(dir.path(), &options()).unwrap();
    assert_eq!(store.head().unwrap().revision, last);
    everything(&store).unwrap();
    assert!(try_commit(&store, &[put("more", "1")]).is_err());
    assert_eq!(store.head().unwrap().revision, last);
    drop(store);
    assert!(contents() == before, "a file has changed");
    assert_eq!(open(dir.path()).head().unwrap().revision, last);
}
