//! What a commit costs: batches of 1, 20 and 100 writes of 1 KB, each batch one synced block. Beside the time by the
//! clock (mostly the disk's) it prints the CPU time of the whole process for each write, RocksDB's threads included;
//! then what opening, listing and the leaves cost with 50,000 objects.

#![expect(clippy::expect_used, reason = "a figure of something that failed is none: the run ends")]

use criterion::{BatchSize, Criterion, Throughput};
use hypermesh_chain::{
    Change, Effect, Facts, Hash, Height, KeyRange, ObjectKey, Record, Revision, Timestamp, Uid,
};
use hypermesh_store::{Commit, Options, Store};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// One block's content.
struct Batch {
    effects: Vec<Effect>,
    leaves: Vec<(ObjectKey, Option<Hash>)>,
    outcomes: Vec<(Hash, Vec<u8>)>,
    block: Vec<u8>,
}

fn body(seed: u64, length: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(length + 32);
    let mut n = 0_u64;
    while body.len() < length {
        body.extend_from_slice(&Hash::of(&[&seed.to_le_bytes(), &n.to_le_bytes()]).0);
        n += 1;
    }
    body.truncate(length);
    body
}

fn batch(from: Revision, writes: u64, objects: u64) -> Batch {
    let mut batch =
        Batch { effects: Vec::new(), leaves: Vec::new(), outcomes: Vec::new(), block: Vec::new() };
    for n in 1..=writes {
        let revision = Revision(from.0 + n);
        let name = format!("object-{:06}", revision.0 % objects);
        let key = ObjectKey::new("/configmaps", "default", name).expect("no zero bytes");
        let facts = Facts {
            uid: Uid([1; 16]),
            labels: vec![("app".to_owned(), "bench".to_owned())],
            owners: vec![Uid([2; 16])],
            ..Facts::default()
        };
        let record = Record { revision, salt: Vec::new(), facts, body: body(revision.0, 1024).into() };
        batch.block.extend_from_slice(&record.body);
        batch.leaves.push((key.clone(), Some(record.leaf(&key.encode()))));
        batch.outcomes.push((Hash::of(&[b"request", &revision.0.to_le_bytes()]), vec![7; 64]));
        batch.effects.push(Effect { revision, key, change: Change::Updated(record) });
    }
    batch
}

fn commit(store: &Store, batch: &Batch) {
    let head = store.head();
    let height = head.map_or(0, |head| head.height.0 + 1);
    store
        .commit(Commit {
            height: Height(height),
            time: Timestamp(height),
            id: Hash::of(&[&height.to_le_bytes()]),
            block: &batch.block,
            certificate: &[3; 200],
            effects: &batch.effects,
            before: &[],
            leaves: &batch.leaves,
            outcomes: &batch.outcomes,
            revision: batch.effects.last().map_or(Revision(0), |effect| effect.revision),
        })
        .expect("a commit");
}

fn next(store: &Store, writes: u64) -> Batch {
    batch(store.head().map_or(Revision(0), |head| head.revision), writes, 50_000)
}

/// CPU time of this process.
#[derive(Clone, Copy)]
struct Cpu {
    user: Duration,
    system: Duration,
}

impl Cpu {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |n: usize| Duration::from_millis(fields[n].parse::<u64>().expect("ticks") * 10);
        Self { user: ticks(11), system: ticks(12) }
    }

    fn since(self, start: Self) -> Self {
        let less = Duration::saturating_sub;
        Self { user: less(self.user, start.user), system: less(self.system, start.system) }
    }

    /// User and system microseconds for each of `n`.
    fn each(self, n: u64) -> String {
        let each = |time: Duration| time.as_micros() as f64 / n as f64;
        format!("{:.1} + {:.1} us", each(self.user), each(self.system))
    }
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
    line.trim_start_matches("VmRSS:").trim().to_owned()
}

fn commits(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), Options::default()).expect("a store");
    let mut group = criterion.benchmark_group("commit");
    for writes in [1, 20, 100] {
        group.throughput(Throughput::Elements(writes));
        group.bench_function(format!("{writes} x 1 KB"), |bencher| {
            bencher.iter_batched(
                || next(&store, writes),
                |batch| commit(&store, &batch),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    for writes in [1, 20, 100] {
        let rounds = 10_000 / writes;
        // What making the batches costs is measured apart and taken off.
        let start = Cpu::now();
        for _ in 0..rounds {
            std::hint::black_box(next(&store, writes));
        }
        let making = Cpu::now().since(start);
        let (start, clock) = (Cpu::now(), Instant::now());
        for _ in 0..rounds {
            commit(&store, &next(&store, writes));
        }
        let spent = Cpu::now().since(start).since(making).each(rounds * writes);
        let batch = clock.elapsed() / rounds as u32;
        println!(
            "commit/{writes} x 1 KB: {spent} of CPU (user + system) a write; {batch:?} a batch by the clock"
        );
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let clock = Instant::now();
    let result = work();
    println!("{what}: {:.1} ms", clock.elapsed().as_secs_f64() * 1000.0);
    result
}

fn whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let open = || Store::open(dir.path(), Options::default()).expect("a store");
    println!("resident before: {}", resident());
    let store = timed("open, new", open);
    println!("resident after opening: {}", resident());
    drop(store);
    let store = timed("open, empty", open);
    for _ in 0..500 {
        commit(&store, &next(&store, 100));
    }
    println!("resident after 50,000 writes: {}", resident());
    drop(store);
    let store = timed("open, 50,000 objects", open);
    println!("resident after opening with 50,000 objects: {}", resident());
    let range = KeyRange { collection: "/configmaps".to_owned(), namespace: None };
    let view = timed("view", || store.view().expect("a view"));
    for round in ["cold", "warm"] {
        timed(&format!("leaves of 50,000, {round}"), || {
            let mut count = 0;
            view.leaves(|_, _| count += 1).expect("leaves");
            assert_eq!(count, 50_000);
        });
        timed(&format!("count of 50,000, {round}"), || view.count(&range).expect("a count"));
        timed(&format!("list of 50,000, {round}"), || {
            let mut bytes = 0;
            view.for_each(&range, None, |_, record| {
                bytes += record.body.len();
                ControlFlow::Continue(())
            })
            .expect("a list");
            bytes
        });
    }
    let key = ObjectKey::new("/configmaps", "default", "object-012345").expect("no zero bytes");
    let clock = Instant::now();
    for _ in 0..100_000 {
        std::hint::black_box(view.get(&key).expect("a read"));
    }
    println!("get, warm: {:.2} us", clock.elapsed().as_secs_f64() * 10.0);
    println!("resident: {}", resident());
    drop(view);
    let revision = store.head().expect("a head").revision;
    let done = timed("compact 50,000 events", || store.compact(revision).expect("a compaction"));
    println!("{done:?}");
    for _ in 0..500 {
        commit(&store, &next(&store, 100));
    }
    let revision = store.head().expect("a head").revision;
    let done =
        timed("compact 50,000 overwritten versions", || store.compact(revision).expect("a compaction"));
    println!("{done:?}; resident: {}", resident());
    store.rotate_key().expect("a key");
    timed("reseal", || store.reseal().expect("sealed anew"));
    let mut bytes = Vec::new();
    let view = store.view().expect("a view");
    let scope = hypermesh_store::Scope { state_root: Hash([0; 32]), blocks_from: Height(u64::MAX) };
    timed("export 50,000", || view.export(scope, &mut bytes).expect("an export"));
    let copy = tempfile::tempdir().expect("a directory");
    timed(&format!("restore {} bytes", bytes.len()), || {
        Store::restore(copy.path(), Options::default(), bytes.as_slice()).expect("a restore")
    });
    drop((view, store));
    timed("open, after all that", open);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(50);
    // First, so that what is resident is the store's.
    whole();
    commits(&mut criterion);
    criterion.final_summary();
}
