//! What the store keeps and how it is read back.

use crate::support::*;
use hypermesh_chain::{Change, Facts, Hash, Height, KeyRange, Revision, Timestamp};
use hypermesh_store::{Commit, Options, Room, Scope, Store, StoreError, check};
use std::ops::ControlFlow;

fn all() -> KeyRange {
    KeyRange { collection: "/configmaps".to_owned(), namespace: None }
}

fn namespace(name: &str) -> KeyRange {
    KeyRange { namespace: Some(name.to_owned()), ..all() }
}

fn names(found: &[(hypermesh_chain::ObjectKey, hypermesh_chain::Record)]) -> Vec<String> {
    found.iter().map(|(key, record)| format!("{}={}", key.name(), str(&record.body))).collect()
}

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn objects_are_read_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.head(), None);
    assert_eq!(store.view().unwrap().revision(), Revision(0));
    commit(&store, &[put("a", "1"), put("b", "2"), put("a", "3")]);
    commit(&store, &[delete("b"), put("c", "4")]);
    drop(store);

    let store = open(dir.path());
    let head = store.head().unwrap();
    assert_eq!((head.height, head.revision, head.block_id), (Height(1), Revision(5), block_id(1)));
    let view = store.view().unwrap();
    assert_eq!(view.get(&key("default", "a")).unwrap().unwrap(), record(3, "3"));
    assert_eq!(view.get(&key("default", "b")).unwrap(), None);
    assert_eq!(names(&view.scan(&all(), None, 10).unwrap()), ["a=3", "c=4"]);
    assert_eq!(store.outcome(&request(1)).unwrap().unwrap(), b"outcome 1");
    assert_eq!(store.outcome(&request(9)).unwrap(), None);
    let blocks: Vec<_> = store.blocks(Height(0)).map(|block| block.unwrap()).collect();
    assert_eq!(blocks.len(), 2);
    assert_eq!((str(&blocks[1].block), str(&blocks[1].certificate)), ("block 1", "certificate 1"));
    assert_eq!((blocks[0].revision, blocks[1].time), (Revision(3), Timestamp(1000)));
    assert_eq!(store.block(Height(2)).unwrap(), None);
    assert_eq!(store.room().unwrap(), Room::Enough);
    assert!(store.usage().unwrap().memtable_bytes > 0);
}

#[test]
fn a_view_does_not_move() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, &[put("a", "1")]);
    let view = store.view().unwrap();
    commit(&store, &[put("a", "2"), put("b", "2")]);
    store.compact(Revision(3)).unwrap();
    assert_eq!(names(&view.scan(&all(), None, 10).unwrap()), ["a=1"]);
    assert_eq!((view.revision(), view.oldest_revision()), (Revision(1), Revision(0)));
    let moved = std::thread::spawn(move || view.get(&key("default", "a")).unwrap().unwrap().body);
    assert_eq!(moved.join().unwrap().as_ref(), b"1");
}

#[test]
fn a_range_holds_its_namespace_and_no_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let other = hypermesh_chain::ObjectKey::new("/configmaps2", "x", "n").unwrap();
    let writes: Vec<Write> = [("x", "a"), ("x", "b"), ("x", "c"), ("xy", "d"), ("", "cluster"), ("x-", "e")]
        .iter()
        .map(|(namespace, name)| Write::Put(key(namespace, name), (*name).to_owned(), Facts::default()))
        .chain([Write::Put(other, "other".to_owned(), Facts::default())])
        .collect();
    commit(&store, &writes);
    let view = store.view().unwrap();
    assert_eq!(view.count(&namespace("x")).unwrap(), 3);
    assert_eq!(view.count(&all()).unwrap(), 6);
    assert_eq!(names(&view.scan(&namespace("x"), Some(&key("x", "a")), 1).unwrap()), ["b=b"]);
    // A place before the range starts at its beginning; one behind it finds nothing.
    assert_eq!(view.scan(&namespace("x"), Some(&key("a", "z")), 10).unwrap().len(), 3);
    assert_eq!(view.scan(&namespace("x"), Some(&key("z", "z")), 10).unwrap().len(), 0);
    assert_eq!(view.scan(&namespace("x"), None, 0).unwrap().len(), 0);
    let mut seen = 0;
    view.for_each(&all(), None, |_, _| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen, 2);
}

#[test]
fn indexes_follow_their_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let facts = |due, owners: &[u8], unique: &[&str]| Facts {
        due,
        owners: owners.iter().map(|n| uid(*n)).collect(),
        unique: unique.iter().map(|value| ("domains spec.name".to_owned(), (*value).to_owned())).collect(),
        ..Facts::default()
    };
    let write = |name: &str, facts| Write::Put(key("default", name), name.to_owned(), facts);
    commit(
        &store,
        &[
            write("a", facts(30, &[1, 2], &["x.example", "y\0z"])),
            write("b", facts(10, &[1], &[])),
            write("c", facts(20, &[], &[])),
        ],
    );
    let view = store.view().unwrap();
    let short =
        |keys: Vec<hypermesh_chain::ObjectKey>| -> String { keys.iter().map(|key| key.name()).collect() };
    assert_eq!(short(view.due(20, 10).unwrap()), "bc");
    assert_eq!(short(view.due(u64::MAX, 2).unwrap()), "bc");
    assert_eq!(short(view.due(9, 10).unwrap()), "");
    assert_eq!(short(view.dependents(uid(1), None, 10).unwrap()), "ab");
    assert_eq!(short(view.dependents(uid(1), Some(&key("default", "a")), 10).unwrap()), "b");
    assert_eq!(view.holder("domains spec.name", "x.example").unwrap(), Some(key("default", "a")));
    assert_eq!(view.holder("domains spec.name", "y\0z").unwrap(), Some(key("default", "a")));
    assert_eq!(view.holder("domains spec.nam", "ex.example").unwrap(), None);

    drop(view);
    // In one block: one object gives a value up, another takes it.
    commit(
        &store,
        &[write("a", facts(0, &[2], &["y\0z"])), write("c", facts(20, &[], &["x.example"])), delete("b")],
    );
    let view = store.view().unwrap();
    assert_eq!(short(view.due(u64::MAX, 10).unwrap()), "c");
    assert_eq!(short(view.dependents(uid(1), None, 10).unwrap()), "");
    assert_eq!(short(view.dependents(uid(2), None, 10).unwrap()), "a");
    assert_eq!(view.holder("domains spec.name", "x.example").unwrap(), Some(key("default", "c")));
    drop((store, view));
    assert_eq!(check(dir.path(), &options()).unwrap().findings, []);
}

#[test]
fn events_and_past_states_are_kept_until_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, &[put("a", "1"), put("b", "2")]);
    commit(&store, &[put("a", "3"), delete("b")]);
    commit(&store, &[put("b", "5")]);
    let a = key("default", "a");
    let view = store.view().unwrap();
    let body =
        |revision| view.get_at(&a, Revision(revision)).unwrap().map(|record| str(&record.body).to_owned());
    assert_eq!([body(0), body(1), body(2), body(3)].map(Option::unwrap_or_default), ["", "1", "1", "3"]);
    assert_eq!(names(&view.scan_at(&all(), Revision(2), None, 10).unwrap()), ["a=1", "b=2"]);
    assert_eq!(names(&view.scan_at(&all(), Revision(4), None, 10).unwrap()), ["a=3"]);
    assert_eq!(names(&view.scan_at(&all(), Revision(2), Some(&a), 10).unwrap()), ["b=2"]);
    assert_eq!(names(&view.scan_at(&all(), Revision(2), None, 1).unwrap()), ["a=1"]);
    let versions = |view: &hypermesh_store::View, key: &hypermesh_chain::ObjectKey, upto, limit| {
        let found = view.versions(key, Revision(upto), limit).unwrap();
        found.iter().map(|effect| effect.revision.0).collect::<Vec<_>>()
    };
    let b = key("default", "b");
    assert_eq!(versions(&view, &a, 9, 9), [3, 1]);
    assert_eq!(versions(&view, &b, 9, 9), [5, 4, 2]);
    assert_eq!((versions(&view, &b, 4, 9), versions(&view, &b, 9, 1)), (vec![4, 2], vec![5]));
    assert_eq!(versions(&view, &key("default", "none"), 9, 9), [0_u64; 0]);
    let events = store.events(Revision(2), 10).unwrap();
    assert_eq!(events.iter().map(|event| event.revision.0).collect::<Vec<_>>(), [3, 4, 5]);
    assert!(matches!(&events[1].change, Change::Deleted(last) if last.body.as_ref() == b"2"));
    assert_eq!(store.events(Revision(2), 1).unwrap().len(), 1);
    assert_eq!(store.events(Revision(5), 1).unwrap(), []);
    assert!(matches!(store.events(Revision(6), 1), Err(StoreError::Future { newest: Revision(5), .. })));

    let done = store.compact(Revision(4)).unwrap();
    assert_eq!((done.versions, done.blocks, done.outcomes), (3, 1, 1));
    assert_eq!(store.oldest_revision().unwrap(), Revision(4));
    assert!(matches!(store.events(Revision(3), 1), Err(StoreError::Compacted { oldest: Revision(4) })));
    assert_eq!(store.events(Revision(4), 10).unwrap().len(), 1);
    let after = store.view().unwrap();
    assert!(matches!(after.get_at(&a, Revision(3)), Err(StoreError::Compacted { .. })));
    assert_eq!(after.get_at(&a, Revision(4)).unwrap().unwrap().revision, Revision(3));
    assert_eq!(names(&after.scan_at(&all(), Revision(4), None, 10).unwrap()), ["a=3"]);
    assert_eq!((versions(&after, &a, 9, 9), versions(&after, &b, 9, 9)), (vec![3], vec![5]));
    assert!(matches!(store.block(Height(0)), Err(StoreError::BlockCompacted { oldest: Height(1), .. })));
    assert_eq!(store.outcome(&request(0)).unwrap(), None);
    assert_eq!(store.compact(Revision(4)).unwrap(), hypermesh_store::Compaction::default());
    // The old view still sees what it saw.
    assert_eq!(body(1).as_deref(), Some("1"));
    drop((view, after, store));
    assert_eq!(check(dir.path(), &options()).unwrap().findings, []);
}

#[test]
fn writes_are_counted_and_lives_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // a: 1, 2, 4, gone at 5, again at 6, 8; its neighbours' writes are not its own.
    commit(&store, &[put("a", "1"), put("a", "2"), put("a.b", "3")]);
    commit(&store, &[put("a", "4"), delete("a"), put("a", "6"), put("A", "7")]);
    commit(&store, &[put("a", "8")]);
    let (a, none) = (key("default", "a"), key("default", "none"));
    let view = store.view().unwrap();
    let count = |from, upto| view.count_versions(&a, Revision(from), Revision(upto)).unwrap();
    assert_eq!([count(0, u64::MAX), count(1, 3), count(2, 4), count(5, 6), count(3, 3)], [6, 2, 2, 2, 0]);
    assert_eq!((count(9, 9), count(8, 1)), (0, 0));
    assert_eq!(view.count_versions(&none, Revision(0), Revision(9)).unwrap(), 0);
    let begun = |view: &hypermesh_store::View, since| view.unbroken(&a, Revision(since)).unwrap();
    assert_eq!([begun(&view, 0), begun(&view, 5), begun(&view, 6)], [Some(Revision(6)); 3]);
    // It has been there since then: how long before does not matter.
    assert!(begun(&view, 7).is_some_and(|at| at <= Revision(7)));
    assert_eq!(view.unbroken(&none, Revision(0)).unwrap(), None);
    assert_eq!(view.unbroken(&key("default", "a.b"), Revision(0)).unwrap(), Some(Revision(3)));

    // The floor passes the deletion, then the creation.
    store.compact(Revision(5)).unwrap();
    assert_eq!(begun(&store.view().unwrap(), 0), Some(Revision(6)));
    store.compact(Revision(7)).unwrap();
    assert_eq!(begun(&store.view().unwrap(), 0), Some(Revision(0)));
    commit(&store, &[delete("a")]);
    assert_eq!(begun(&store.view().unwrap(), 0), None);
}

#[test]
fn a_block_is_found_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["a", "b", "c"] {
        commit(&store, &[put(name, "x")]);
    }
    let at = |time| store.revision_at(Timestamp(time)).unwrap().map(|revision| revision.0);
    assert_eq!([at(0), at(999), at(1000), at(2500)], [Some(1), Some(1), Some(2), Some(3)]);
    store.compact(Revision(3)).unwrap();
    assert_eq!([at(1999), at(2000)], [None, Some(3)]);
}

#[test]
fn a_commit_out_of_order_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, &[put("a", "1")]);
    let base = Commit {
        height: Height(1),
        time: Timestamp(1),
        id: Hash([1; 32]),
        block: b"",
        certificate: b"",
        effects: &[],
        before: &[],
        leaves: &[],
        outcomes: &[],
        revision: Revision(1),
    };
    let effect = hypermesh_chain::Effect {
        revision: Revision(1),
        key: key("default", "b"),
        change: Change::Created(record(1, "b")),
    };
    let refused = [
        Commit { height: Height(2), ..base },
        Commit { height: Height(0), ..base },
        Commit { revision: Revision(0), ..base },
        Commit { effects: std::slice::from_ref(&effect), ..base },
    ];
    for commit in refused {
        assert!(matches!(store.commit(commit), Err(StoreError::OutOfOrder { .. })), "{commit:?}");
    }
    assert_eq!(store.head().unwrap().height, Height(0));
    store.commit(base).unwrap();
    // The same once more is the same answer.
    store.commit(base).unwrap();
    assert_eq!(store.head().unwrap().height, Height(1));
    assert_eq!(store.blocks(Height(0)).count(), 2);
}

#[test]
fn leaves_come_sorted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    commit(&store, &[put("b", "1"), put("a", "2"), put("c", "3")]);
    commit(&store, &[delete("c")]);
    let mut leaves = Vec::new();
    store.view().unwrap().leaves(|key, hash| leaves.push((key.to_vec(), hash))).unwrap();
    let leaf = |name: &str, record: hypermesh_chain::Record| {
        let key = key("default", name).encode();
        let leaf = record.leaf(&key);
        (key, leaf)
    };
    assert_eq!(leaves, [leaf("a", record(2, "2")), leaf("b", record(1, "1"))]);
}

#[test]
fn a_directory_has_one_holder_and_one_format() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = Store::open(dir.path(), options()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == own), "{error}");
    assert!(error.to_string().contains(&format!("process {own}")));
    let view = store.view().unwrap();
    drop(store);
    // A view keeps the store open.
    assert!(matches!(Store::open(dir.path(), options()), Err(StoreError::Locked { .. })));
    drop(view);
    drop(open(dir.path()));

    std::fs::write(dir.path().join("FORMAT"), "hypermesh store 3\n").unwrap();
    let error = Store::open(dir.path(), options()).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 3, known: 2, .. }), "{error}");
    std::fs::write(dir.path().join("FORMAT"), "hypermesh store 1\n").unwrap();
    for error in [Store::open(dir.path(), options()).unwrap_err(), check(dir.path(), &options()).unwrap_err()]
    {
        assert!(matches!(error, StoreError::OlderFormat { found: 1, known: 2, .. }), "{error}");
    }

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("thesis.tex"), "mine").unwrap();
    assert!(matches!(Store::open(other.path(), options()), Err(StoreError::NotAStore { .. })));
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 2, "the file and the lock");
}

#[test]
fn content_is_not_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { key_file: Some(dir.path().join("kek")), ..options() };
    let data = dir.path().join("data");
    std::fs::write(dir.path().join("kek"), filler(1, 32)).unwrap();
    let store = Store::open(&data, options.clone()).unwrap();
    let facts = Facts {
        labels: vec![("app".to_owned(), "label-plaintext".to_owned())],
        unique: vec![("index".to_owned(), "unique-plaintext".to_owned())],
        ..Facts::default()
    };
    commit(&store, &[Write::Put(key("default", "visible-name"), "body-plaintext".to_owned(), facts)]);
    drop(store);
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(data.join("db")).unwrap() {
        bytes.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("visible-name"), "names are plain: the search must be able to find something");
    for secret in
        ["body-plaintext", "label-plaintext", "unique-plaintext", "block 0", "outcome 0", "certificate 0"]
    {
        assert!(!holds(secret), "{secret}");
    }
    std::fs::write(dir.path().join("kek"), filler(2, 32)).unwrap();
    let error = Store::open(&data, options.clone()).unwrap_err();
    assert!(matches!(&error, StoreError::WrongKey { file } if file.ends_with("kek")), "{error}");
    std::fs::remove_file(dir.path().join("kek")).unwrap();
    let error = Store::open(&data, options.clone()).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { file, .. } if file.ends_with("kek")), "{error}");
}

#[test]
fn a_rotated_key_is_forgotten_once_nothing_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..400 {
        commit(&store, &[put(&format!("n{n:03}"), "old")]);
    }
    assert_eq!(store.rotate_key().unwrap(), 2);
    commit(&store, &[put("n000", "new")]);
    drop(store);
    let store = open(dir.path());
    let before = store.view().unwrap();
    let done = store.reseal().unwrap();
    // objects and history, blocks and outcomes
    assert_eq!((done.values, done.forgotten), (399 + 400 + 400 + 400, 1));
    assert_eq!(store.reseal().unwrap(), hypermesh_store::Reseal::default());
    assert_eq!(before.get(&key("default", "n007")).unwrap().unwrap().body.as_ref(), b"old");
    drop((before, store));
    let store = open(dir.path());
    assert_eq!(store.view().unwrap().count(&all()).unwrap(), 400);
    assert_eq!(store.view().unwrap().get(&key("default", "n000")).unwrap().unwrap().body.as_ref(), b"new");
    drop(store);
    let report = check(dir.path(), &options()).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.rows > 2000);
}

#[test]
fn a_snapshot_makes_an_equal_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..40_u64 {
        let body = filler(n, 50_000);
        commit(&store, &[put(&format!("n{}", n % 30), &body), put("hot", &body)]);
    }
    commit(&store, &[delete("n7")]);
    let scope = Scope { state_root: Hash([9; 32]), blocks_from: Height(38) };
    let mut bytes = Vec::new();
    let view = store.view().unwrap();
    let manifest = view.export(scope, &mut bytes).unwrap();
    assert_eq!(
        (Some(manifest.head), manifest.state_root, manifest.oldest_block),
        (store.head(), Hash([9; 32]), Height(38))
    );

    let target = tempfile::tempdir().unwrap();
    let (copy, read) = Store::restore(target.path(), options(), bytes.as_slice()).unwrap();
    assert_eq!(read, manifest);
    let objects = |store: &Store| store.view().unwrap().scan(&all(), None, 100).unwrap();
    assert_eq!(objects(&copy), objects(&store));
    let leaves = |store: &Store| {
        let mut leaves = Vec::new();
        store.view().unwrap().leaves(|key, hash| leaves.push((key.to_vec(), hash))).unwrap();
        leaves
    };
    assert_eq!(leaves(&copy), leaves(&store));
    assert_eq!(copy.blocks(Height(38)).map(|b| b.unwrap().height.0).collect::<Vec<_>>(), [38, 39, 40]);
    assert_eq!(copy.outcome(&request(39)).unwrap(), store.outcome(&request(39)).unwrap());
    assert_eq!(copy.oldest_revision().unwrap(), manifest.head.revision);
    // It goes on, reads its own past, and opens again.
    let at = copy.head().unwrap().revision;
    commit(&copy, &[put("hot", "after")]);
    let hot = key("default", "hot");
    assert_eq!(copy.view().unwrap().get_at(&hot, at).unwrap(), view.get(&hot).unwrap());
    drop(copy);
    assert_eq!(check(target.path(), &options()).unwrap().findings, []);
    assert_eq!(open(target.path()).head().unwrap().height, Height(41));

    // Any flaw is found, and what was begun is not opened.
    let mut seed = 12345_usize;
    for _ in 0..12 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (seed >> 16) % bytes.len();
        let mut bad = bytes.clone();
        bad[place] ^= 0x10;
        let target = tempfile::tempdir().unwrap();
        let error = Store::restore(target.path(), options(), bad.as_slice()).unwrap_err();
        assert!(matches!(error, StoreError::BadSnapshot { .. }), "{place}: {error}");
        assert!(matches!(Store::open(target.path(), options()), Err(StoreError::HalfRestored { .. })));
        let target = tempfile::tempdir().unwrap();
        let error = Store::restore(target.path(), options(), &bytes[..place]).unwrap_err();
        assert!(matches!(error, StoreError::BadSnapshot { .. }), "{place}: {error}");
    }
}
