//! What a machine knows after a restart, and one that was restored.

use super::support::*;
use super::workload;
use hypermesh_consensus::StateMachine;
use hypermesh_store::Store;

#[test]
fn a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (head, window) = {
        let mut machine = open(dir.path());
        workload::run(&mut machine, 7, 20);
        (machine.head(), machine.window.clone())
    };
    let mut machine = open(dir.path());
    assert_eq!(machine.head(), head);
    assert_eq!(machine.window, window);
    let time = machine.head.header.time.0 + SECOND;
    let answer = submit(&mut machine, create("after", 1, time));
    step(&mut machine, time).unwrap();
    assert_eq!(outcome(answer).code, 201);
}

#[test]
fn what_was_executed_before_a_restart_is_not_executed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let generated = |nonce| {
        let body = serde_json::json!({"metadata": {"generateName": "c-"}});
        let (method, media) = (hypermesh_chain::Method::Post, hypermesh_chain::Media::Json);
        ask(method, CONFIG_MAPS, media, &body, nonce, START)
    };
    {
        let mut machine = open(dir.path());
        drop(submit(&mut machine, generated(1)));
        step(&mut machine, START + SECOND).unwrap();
        drop(submit(&mut machine, generated(2)));
        step(&mut machine, START + 2 * SECOND).unwrap();
    }
    let mut machine = open(dir.path());
    for nonce in [1, 2] {
        let answer = submit(&mut machine, generated(nonce));
        assert!(prepare(&mut machine, START + 3 * SECOND).is_none());
        assert_eq!(outcome(answer).code, 409);
    }
}

#[test]
fn a_restored_machine_is_the_one_that_was_saved_and_goes_on() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut machine = open(dir.path());
    workload::run(&mut machine, 11, 20);
    let time = machine.head.header.time.0 + SECOND;
    let executed = create("executed", 1, time);
    drop(submit(&mut machine, executed.clone()));
    step(&mut machine, time).unwrap();
    drop(submit(&mut machine, create("other", 2, time)));
    step(&mut machine, time + SECOND).unwrap();
    let mut snapshot = Vec::new();
    machine.snapshot(&mut snapshot).unwrap();
    let (store, _) =
        Store::restore(&copy.path().join(crate::STORE_FOLDER), options(), &snapshot[..]).unwrap();
    drop(store);
    let mut restored = open(copy.path());
    assert_eq!(restored.head(), machine.head());
    assert_eq!(restored.revision(), machine.revision());
    assert_eq!(restored.window, machine.window, "what must not run again is remembered");
    // Both take the same blocks.
    drop(submit(&mut machine, create("next", 3, time + 2 * SECOND)));
    let block = step(&mut machine, time + 2 * SECOND).unwrap();
    let verdict = restored.validate(&block, hypermesh_consensus::Proposal::Known).unwrap();
    assert_eq!(verdict, hypermesh_consensus::Verdict::Valid);
    let certificate = certify(&restored, &block);
    restored.commit(&block.header.id(&restored.cluster), &certificate).unwrap();
    assert_eq!(root_of(&restored), root_of(&machine));
    let again = submit(&mut restored, executed);
    assert!(prepare(&mut restored, time + 3 * SECOND).is_none());
    assert_eq!(outcome(again).code, 409);
    let mut damaged = snapshot.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let third = tempfile::tempdir().unwrap();
    assert!(Store::restore(&third.path().join(crate::STORE_FOLDER), options(), &damaged[..]).is_err());
}

#[test]
fn work_that_waits_keeps_no_machine_busy() {
    let dir = tempfile::tempdir().unwrap();
    let ns = |method, target: &str, body, nonce| {
        ask(
            method,
            target,
            if body == serde_json::Value::Null {
                hypermesh_chain::Media::None
            } else {
                hypermesh_chain::Media::Json
            },
            &body,
            nonce,
            START,
        )
    };
    use hypermesh_chain::Method::{Delete, Post};
    {
        let mut machine = open(dir.path());
        let held = serde_json::json!({"metadata": {"name": "c", "finalizers": ["example.com/hold"]}});
        let requests = [
            ns(Post, "/api/v1/namespaces", serde_json::json!({"metadata": {"name": "tenant"}}), 1),
            ns(Post, "/api/v1/namespaces/tenant/configmaps", held, 2),
            ns(Delete, "/api/v1/namespaces/tenant", serde_json::Value::Null, 3),
        ];
        for request in requests {
            drop(submit(&mut machine, request));
        }
        let mut time = START + SECOND;
        step(&mut machine, time).unwrap();
        while machine.has_work() {
            time += SECOND;
            step(&mut machine, time).expect("a block with work to do does some");
        }
    }
    assert!(!open(dir.path()).has_work());
}

#[test]
fn data_of_another_genesis_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let mut other = genesis();
    other.seed[0] ^= 1;
    let config =
        crate::Config { dir: dir.path().to_owned(), store: options(), key: key(), definitions: Vec::new() };
    assert!(matches!(crate::Machine::open(config, &other), Err(crate::OpenError::ForeignGenesis { .. })));
}
