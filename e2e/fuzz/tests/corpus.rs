//! Replays every corpus, and holds targets, corpora and binaries to each other.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use hypermesh_fuzz::{TARGETS, Target};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The stack that a server's worker has, in bytes.
const STACK: usize = 2 << 20;
/// The most that all corpora may hold, in bytes.
const MOST_BYTES: u64 = 2 << 20;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn names(dir: &str) -> BTreeSet<String> {
    files(&root().join(dir))
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect()
}

/// Runs a target over its corpus on a worker's stack; what it found.
fn replay(target: Target) -> Vec<String> {
    let inputs = files(&root().join("corpus").join(target.name));
    assert!(!inputs.is_empty(), "the corpus of {} is empty", target.name);
    let run = move || {
        let failing = inputs.iter().filter(|input| {
            let data = fs::read(input).unwrap();
            catch_unwind(AssertUnwindSafe(|| (target.run)(&data))).is_err()
        });
        failing.map(|input| input.display().to_string()).collect()
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap()
}

#[test]
fn no_input_of_a_corpus_finds_anything() {
    let found: Vec<String> = TARGETS.iter().flat_map(|target| replay(*target)).collect();
    assert!(found.is_empty(), "found by:\n{}", found.join("\n"));
}

#[test]
fn every_target_has_a_module_a_binary_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "names are unique");
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in &targets {
        let path = root().join("fuzz_targets").join(format!("{name}.rs"));
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.contains(&format!("hypermesh_fuzz::{name}::target(data)")), "{}", path.display());
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} has no [[bin]]");
    }
    let modules = names("src");
    for name in modules.iter().filter(|name| !targets.contains(*name)) {
        assert!(["lib", "input", "kinds", "memory"].contains(&name.as_str()), "{name} is no target");
    }
}

#[test]
fn corpora_are_small_and_hold_no_secrets() {
    let mut bytes = 0;
    for corpus in files(&root().join("corpus")) {
        for input in files(&corpus) {
            let data = fs::read(&input).unwrap();
            bytes += data.len() as u64;
            let is = |words: &[u8]| data.windows(words.len()).any(|window| window == words);
            assert!(!is(b"PRIVATE KEY") && !is(b"BEGIN CERTIFICATE"), "{} holds a key", input.display());
        }
    }
    assert!(bytes < MOST_BYTES, "{bytes} bytes; at most {MOST_BYTES}");
}
