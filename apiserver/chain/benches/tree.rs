//! What the state tree costs at 50,000 and 500,000 keys: memory a key, building, writes with their share of the root,
//! proofs. Keys are as a cluster has them: four kinds, a few hundred namespaces, names with a generated suffix.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hypermesh_chain::{Hash, ObjectKey, StateTree};
use std::hint::black_box;

fn leaf(n: u64) -> Hash {
    Hash::of(&[&n.to_le_bytes()])
}

fn key(n: u64) -> Vec<u8> {
    let kind = ["/configmaps", "/secrets", "hypermesh.online/instances", "hypermesh.online/workloads"]
        [n as usize % 4];
    let suffix = leaf(n).to_string();
    let name = format!("service-{}-{}", n % 1000, &suffix[..10]);
    ObjectKey::new(kind, format!("team-{}", n % 250), name).map(|key| key.encode()).unwrap_or_default()
}

fn entries(n: u64) -> Vec<(Vec<u8>, Hash)> {
    let mut entries: Vec<_> = (0..n).map(|i| (key(i), leaf(i))).collect();
    // In place: memory that is taken and freed here would be the tree's, and not be counted.
    entries.sort_unstable();
    entries
}

/// Resident memory in bytes; 0 where the kernel does not tell.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn memory(n: u64) {
    let entries = entries(n);
    let bytes: usize = entries.iter().map(|(key, _)| key.len()).sum();
    for (how, sorted) in [("built sorted", true), ("inserted one by one", false)] {
        let mut order: Vec<_> = entries.iter().collect();
        if !sorted {
            order.sort_unstable_by_key(|(key, _)| Hash::of(&[key]));
        }
        let before = resident();
        let tree = if sorted {
            StateTree::from_sorted(entries.iter().map(|(key, leaf)| (key, *leaf))).unwrap_or_default()
        } else {
            let mut tree = StateTree::new();
            for (key, leaf) in order {
                tree.insert(key, *leaf);
            }
            tree
        };
        black_box(tree.root());
        let each = (resident().saturating_sub(before)) as f64 / n as f64;
        let key = bytes as f64 / n as f64;
        println!("memory: {n} keys of {key:.0} bytes, {how}: {each:.0} bytes a key, the key included");
        // Kept: what one tree frees must not hide what the next one takes.
        std::mem::forget(tree);
    }
}

fn tree(c: &mut Criterion) {
    for n in [50_000, 500_000] {
        memory(n);
    }
    let mut group = c.benchmark_group("tree");
    group.sample_size(20);
    for n in [50_000_u64, 500_000] {
        let entries = entries(n);
        let build =
            || StateTree::from_sorted(entries.iter().map(|(key, leaf)| (key, *leaf))).unwrap_or_default();
        group.bench_with_input(BenchmarkId::new("from_sorted", n), &n, |b, _| b.iter_with_large_drop(build));
        group.bench_with_input(BenchmarkId::new("from_sorted and root", n), &n, |b, _| {
            b.iter_with_large_drop(|| {
                let tree = build();
                black_box(tree.root());
                tree
            });
        });
        let mut tree = build();
        let root = tree.root();
        // Writes as a replica makes them: blocks of some writes, a root for each block, the last root kept.
        for block in [1_u64, 32, 256] {
            group.throughput(Throughput::Elements(block));
            for (what, fresh) in [("insert", true), ("update", false)] {
                let mut next = n;
                let mut kept = tree.clone();
                group.bench_with_input(
                    BenchmarkId::new(format!("{what}, blocks of {block}"), n),
                    &n,
                    |b, _| {
                        b.iter_batched(
                            || {
                                next += block;
                                let number = |i: u64| if fresh { i } else { i.wrapping_mul(7919) % n };
                                (next..next + block).map(|i| (key(number(i)), leaf(i))).collect::<Vec<_>>()
                            },
                            |writes| {
                                for (key, leaf) in &writes {
                                    tree.insert(key, *leaf);
                                }
                                black_box(tree.root());
                                kept = tree.clone();
                            },
                            BatchSize::LargeInput,
                        );
                    },
                );
                tree = build();
                tree.root();
            }
        }
        group.throughput(Throughput::Elements(1));
        let mut at = 0;
        let mut some = || {
            at = (at + 7919) % entries.len();
            &entries[at]
        };
        group.bench_with_input(BenchmarkId::new("get", n), &n, |b, _| b.iter(|| tree.get(&some().0)));
        group.bench_with_input(BenchmarkId::new("prove", n), &n, |b, _| b.iter(|| tree.prove(&some().0)));
        let (key, leaf) = some();
        let proof = tree.prove(key);
        group.bench_with_input(BenchmarkId::new("verify", n), &n, |b, _| {
            b.iter(|| proof.verify(&root, key, Some(leaf)));
        });
        let prefix = b"/secrets\0team-1\0";
        let listed: Vec<_> = tree.iter(prefix).collect();
        let range = tree.prove_range(prefix);
        println!(
            "range: {} keys of {n}, {} steps; point proof: {} steps",
            listed.len(),
            range.steps.len(),
            proof.steps.len()
        );
        group.throughput(Throughput::Elements(listed.len() as u64));
        group.bench_with_input(BenchmarkId::new("verify a range", n), &n, |b, _| {
            b.iter(|| range.verify(&root, prefix, &listed));
        });
        group.throughput(Throughput::Elements(1));
    }
    group.finish();
}

criterion_group!(benches, tree);
criterion_main!(benches);
