//! Recorded blocks come to their recorded roots, in any process.
//!
//! `HYPERMESH_RECORD=1 cargo nextest run -p hypermesh-machine recorded` writes the corpus of the present version anew.
//! That is right for a new `PIPELINE_VERSION` only: a binary has to execute the blocks of the version before as that
//! version did, so the older files stay.

use super::support::*;
use super::workload;
use hypermesh_chain::{Block, Canonical, Certificate, Genesis, Hash};
use hypermesh_consensus::{Proposal, StateMachine, Verdict};
use hypermesh_pipeline::PIPELINE_VERSION;
use hypermesh_store::Store;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Genesis, snapshot of the first state, and (block, certificate) from there on.
type Corpus = (Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

fn file() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.join(format!("tests/corpus/v{PIPELINE_VERSION}.bin"))
}

fn record() -> Corpus {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = open(dir.path());
    let mut snapshot = Vec::new();
    machine.snapshot(&mut snapshot).unwrap();
    let blocks = workload::run(&mut machine, 0x9e37_79b9_7f4a_7c15, 120);
    let certified = blocks.iter().map(|block| (block.encode(), certify(&machine, block).encode()));
    (genesis().encode(), snapshot, certified.collect())
}

fn write(corpus: &Corpus) {
    let file = std::fs::File::create(file()).unwrap();
    let mut out = flate2::write::DeflateEncoder::new(file, flate2::Compression::best());
    out.write_all(&borsh::to_vec(corpus).unwrap()).unwrap();
    out.finish().unwrap();
}

fn read() -> Corpus {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file()).expect("every version has a corpus");
    flate2::read::DeflateDecoder::new(file).read_to_end(&mut bytes).unwrap();
    borsh::from_slice(&bytes).unwrap()
}

/// Executes all blocks over the snapshot; the last state root.
fn replay((recorded, snapshot, blocks): &Corpus) -> Hash {
    assert_eq!(Genesis::decode(recorded).unwrap(), genesis());
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::restore(&dir.path().join(crate::STORE_FOLDER), options(), &snapshot[..]).unwrap();
    drop(store);
    let mut machine = open(dir.path());
    for (block, certificate) in blocks {
        let block = Block::decode(block).unwrap();
        let height = block.header.height.0;
        let verdict = machine.validate(&block, Proposal::Known).unwrap();
        assert_eq!(
            verdict,
            Verdict::Valid,
            "block {height} of version {PIPELINE_VERSION} comes to something else than it did: what changes an outcome \
             needs a new PIPELINE_VERSION, and a corpus of its own"
        );
        let certificate = Certificate::decode(certificate).unwrap();
        machine.commit(&block.header.id(&machine.cluster), &certificate).unwrap();
        assert_eq!(root_of(&machine), block.header.state);
    }
    root_of(&machine)
}

#[test]
fn recorded_blocks_come_to_their_recorded_roots() {
    if std::env::var_os("HYPERMESH_RECORD").is_some() {
        write(&record());
    }
    let corpus = read();
    assert!(corpus.2.len() > 100, "the corpus is a corpus");
    assert!(std::fs::metadata(file()).unwrap().len() <= 200_000, "and small enough to be kept");
    replay(&corpus);
}

/// The other half of the test below, which runs it in processes of its own.
#[test]
fn recorded_blocks_in_another_process() {
    let Some(out) = std::env::var_os("HYPERMESH_ROOT_FILE") else { return };
    std::fs::write(out, replay(&read()).to_string()).unwrap();
}

/// Every process seeds its hash maps anew; the allocator is told to behave differently, too.
#[test]
fn two_processes_come_to_the_same_roots() {
    let dir = tempfile::tempdir().unwrap();
    let roots: Vec<String> = [("one", "17", "1"), ("two", "170", "8")]
        .into_iter()
        .map(|(name, fill, arenas)| {
            let out = dir.path().join(name);
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "tests::corpus::recorded_blocks_in_another_process"])
                .env("HYPERMESH_ROOT_FILE", &out)
                .env("MALLOC_PERTURB_", fill)
                .env("MALLOC_ARENA_MAX", arenas)
                .env_remove("HYPERMESH_RECORD")
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(status.success());
            std::fs::read_to_string(out).unwrap()
        })
        .collect();
    assert_eq!(roots[0], roots[1]);
    let last = Block::decode(&read().2.last().unwrap().0).unwrap();
    assert_eq!(roots[0], last.header.state.to_string());
}
