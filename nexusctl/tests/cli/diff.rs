//! `diff` by field, and by a program of the caller's choice.

use super::{run_in, server::Server};
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::json;
use std::fs;

const MANIFEST: &str = "apiVersion: hypermesh.online/v1
kind: Workload
metadata: {name: web}
spec: {replicas: 3}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
data: {a: bmV3}
";

fn filled() -> Server {
    let server = Server::start();
    server.put(
        "/apis/hypermesh.online/v1/namespaces/default/workloads/web",
        json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 2}}),
    );
    server.put(
        "/api/v1/namespaces/default/secrets/key",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}, "data": {"a": "b2xk"}}),
    );
    server
}

#[test]
fn fields_are_told_one_a_line() {
    let server = filled();
    let ran = server.run_with("diff --fields -f -", MANIFEST);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert_snapshot!(ran.out, @r#"
    ~ workload.hypermesh.online/web
      ~ spec.replicas: 2 → 3
    ~ secret/key
      ~ data.a: *** (before) → *** (after)
    "#);
}

#[test]
fn what_every_write_changes_is_no_difference() {
    let server = filled();
    // The same words again: this server, as others, answers a dry run with the revision that it would have had.
    let same = MANIFEST.replace("replicas: 3", "replicas: 2").replace("bmV3", "b2xk");
    for words in ["diff -f -", "diff --fields -f -"] {
        let ran = server.run_with(words, &same);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""), "{words}");
    }
}

#[test]
fn a_program_of_ones_own_compares_two_folders() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    let script = folder.path().join("compare");
    fs::write(&script, format!("cat $2/* $3/* > {}/seen; exit $1\n", folder.path().display())).unwrap();
    let compare = |code: u8| {
        let environment = Environment {
            external_diff: Some(format!("sh {} {code}", script.display()).into()),
            tmpdir: Some(folder.path().to_owned()),
            ..Environment::default()
        };
        run_in(environment, &format!("--server {} diff -f -", server.url()), MANIFEST)
    };
    assert_eq!(compare(0).code, 0);
    assert_eq!(compare(1).code, 1);
    let broken = compare(9);
    assert_eq!(broken.code, 2);
    assert_snapshot!(broken.err, @"error: the program of KUBECTL_EXTERNAL_DIFF ended with 9");
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    assert!(seen.contains("replicas: 2") && seen.contains("replicas: 3"), "{seen}");
    assert!(seen.contains("*** (before)") && !seen.contains("b2xk") && !seen.contains("bmV3"), "{seen}");
    // The folders are gone.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
