//! An acknowledged commit survives kill -9.

use crate::support::*;
use hypermesh_chain::{Height, KeyRange};
use hypermesh_store::{Store, check};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const DIR: &str = "HYPERMESH_CRASH_DIR";
/// Objects that the child writes in turns.
const OBJECTS: u64 = 40;

/// Not a test: the process that is killed. It commits without end, says each height once it is acknowledged, and now
/// and then compacts, seals anew and replaces the key-encryption key.
#[test]
#[ignore = "the process that `acknowledged_commits_survive_kill` starts and kills"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = open(Path::new(&dir));
    let sweeper = store.clone();
    std::thread::spawn(move || {
        loop {
            let Some(head) = sweeper.head() else { continue };
            sweeper.compact(hypermesh_chain::Revision(head.revision.0.saturating_sub(50))).unwrap();
            sweeper.rotate_key().unwrap();
            sweeper.reseal().unwrap();
            sweeper.rotate_key_encryption_key().unwrap();
        }
    });
    loop {
        let height = store.head().map_or(0, |head| head.height.0 + 1);
        commit(&store, &writes(height));
        println!("acknowledged {height}");
    }
}

fn writes(height: u64) -> Vec<Write> {
    vec![
        put(&format!("n{}", height % OBJECTS), &format!("{height} {}", filler(height, 2000))),
        put("last", &height.to_string()),
    ]
}

#[test]
fn acknowledged_commits_survive_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..10_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = None;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let goal = 20 + round * 7;
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            let Some(height) = line.rsplit("acknowledged ").next().and_then(|h| h.parse::<u64>().ok()) else {
                continue;
            };
            acknowledged = Some(height);
            seen += 1;
            if seen == goal {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let acknowledged = acknowledged.expect("the child commits");
        assert!(acknowledged > last, "the child goes on where the last one was killed");
        assert_eq!(check(dir.path(), &options()).unwrap().findings, [], "round {round}");
        last = verify(&open(dir.path()), acknowledged);
    }
}

/// Compares all that is there with what was written; returns the head's height.
fn verify(store: &Store, acknowledged: u64) -> u64 {
    let head = store.head().unwrap().height.0;
    assert!(head >= acknowledged, "{acknowledged} was acknowledged, {head} is there");
    let oldest = store.oldest_height().unwrap();
    let blocks: Vec<_> = store.blocks(oldest).map(|block| block.unwrap().height).collect();
    assert_eq!(blocks, (oldest.0..=head).map(Height).collect::<Vec<_>>());
    let range = KeyRange { collection: "/configmaps".to_owned(), namespace: None };
    let view = store.view().unwrap();
    for (key, record) in view.scan(&range, None, usize::MAX).unwrap() {
        let body = std::str::from_utf8(&record.body).unwrap();
        let expected = match key.name().strip_prefix('n') {
            Some(n) => {
                let n: u64 = n.parse().unwrap();
                let height = head - (head + OBJECTS - n) % OBJECTS;
                format!("{height} {}", filler(height, 2000))
            }
            None => head.to_string(),
        };
        assert_eq!(body, expected, "{}", key.name());
    }
    assert_eq!(view.count(&range).unwrap() as u64, (head + 1).min(OBJECTS) + 1);
    head
}
