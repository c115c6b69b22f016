//! `label`, `annotate`, `scale` and `patch`: what is sent, and what is left alone.

use super::server::Server;
use http::Method;
use insta::assert_snapshot;
use serde_json::json;

const WEB: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";

fn filled() -> Server {
    let server = Server::start();
    for name in ["web", "api"] {
        server.put(
            &WEB.replace("web", name),
            json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": name,
                "namespace": "default", "labels": {"tier": "front"}}, "spec": {"replicas": 2}}),
        );
    }
    server
}

#[test]
fn labels_are_set_changed_and_taken_away() {
    let server = filled();
    assert_snapshot!(server.run("label wl web owner=me").out, @"workload.hypermesh.online/web labeled");
    assert_snapshot!(server.run("label wl web owner=me").out, @"workload.hypermesh.online/web not labeled");
    let refused = server.run("label wl/web owner=you");
    assert_eq!(refused.code, 1);
    assert_snapshot!(refused.err, @r#"error: workload.hypermesh.online/web: the label "owner" is "me" already; --overwrite makes it "you""#);
    assert_snapshot!(server.run("label wl/web owner=you --overwrite").out, @"workload.hypermesh.online/web labeled");
    assert_snapshot!(server.run("label wl web --list").out, @"
    owner=you
    tier=front
    ");
    assert_snapshot!(server.run("label wl --all --list").out, @"
    workload.hypermesh.online/api:
      tier=front
    workload.hypermesh.online/web:
      owner=you
      tier=front
    ");
    assert_snapshot!(server.run("label wl web owner-").out, @"workload.hypermesh.online/web unlabeled");
    let patch = server.writes().pop().unwrap();
    assert_snapshot!(format!("{}?{} {}\n{}", patch.path, patch.query, patch.content_type, patch.body), @r#"
    /apis/hypermesh.online/v1/namespaces/default/workloads/web?fieldManager=nexusctl-label application/merge-patch+json
    {"metadata":{"labels":{"owner":null},"resourceVersion":"104"}}
    "#);
    assert_snapshot!(server.run("annotate wl --all note=x --dry-run=client").out, @"
    workload.hypermesh.online/api annotated (dry run)
    workload.hypermesh.online/web annotated (dry run)
    ");
    assert_eq!(server.object(WEB).unwrap()["metadata"]["labels"], json!({"tier": "front"}));
}

#[test]
fn changes_are_never_guessed() {
    let server = filled();
    assert_snapshot!(server.run("label wl a=b").err, @"error: which workloads? Name them, choose them with -l, or say --all");
    assert_snapshot!(server.run("label wl web").err, @"error: say which label: KEY=VALUE sets it, KEY- takes it away, --list shows them");
    assert_snapshot!(server.run("label wl web a=b c").err, @r#"error: "c" is no label: KEY=VALUE or KEY-, after the names"#);
    assert_snapshot!(server.run("label wl web a=b --all").err, @"error: objects are chosen by name, or by selector or --all, not by both");
    assert_snapshot!(server.run("label wl web api a=b --resource-version=1").err, @"error: --resource-version is that of one object");
    assert_snapshot!(server.run("annotate wl/none a=b").err, @r#"Error from server (NotFound): workloads.hypermesh.online "none" not found"#);
    assert_snapshot!(server.run("patch wl web -p [1]").err, @"
    error: a patch is a mapping of what changes; --type=json takes a list of operations; this is a list
     --> --patch:1:1
      |
    1 | [1]
      | ^

    nothing was sent
    ");
    assert_snapshot!(server.run("patch wl web --type=json -p {}").err, @"
    error: a JSON patch is a list of operations; this is a mapping
     --> --patch:1:1
      |
    1 | {}
      | ^

    nothing was sent
    ");
    assert_snapshot!(server.run("patch wl web -p {a").err, @"
    error: unclosed bracket '{'
     --> --patch:1:1
      |
    1 | {a
      | ^

    nothing was sent
    ");
    assert!(server.writes().is_empty());
}

#[test]
fn patches_go_as_they_are() {
    let server = filled();
    assert_snapshot!(server.run_with("patch wl web --patch-file -", "spec:\n  replicas: 3\n").out, @"workload.hypermesh.online/web patched");
    let patch = server.writes().pop().unwrap();
    assert_snapshot!(format!("{} {}\n{}", patch.query, patch.content_type, patch.body), @r#"
    fieldManager=nexusctl-patch&fieldValidation=Strict application/merge-patch+json
    {"spec":{"replicas":3}}
    "#);
    assert_snapshot!(server.run("patch wl web -p {\"spec\":{\"replicas\":3}}").out, @"workload.hypermesh.online/web patched (no change)");
    assert_snapshot!(server.run("patch wl web api -p {\"spec\":{\"replicas\":5}} -o name").out, @"
    workload.hypermesh.online/web
    workload.hypermesh.online/api
    ");
}

#[test]
fn scaling_keeps_to_its_preconditions() {
    let server = filled();
    let scale = |replicas: u64| json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "web"}, "spec": {"replicas": replicas}});
    server.put(&format!("{WEB}/scale"), scale(2));
    let refused = server.run("scale wl web --replicas=5 --current-replicas=3");
    assert_eq!(refused.code, 1);
    assert_snapshot!(refused.err, @"error: workload.hypermesh.online/web has 2 replicas, not 3: it was not scaled");
    assert_snapshot!(server.run("scale wl/web --replicas=5 --current-replicas=2").out, @"workload.hypermesh.online/web scaled");
    let patch = server.writes().pop().unwrap();
    assert_snapshot!(format!("{}?{} {}\n{}", patch.path, patch.query, patch.content_type, patch.body), @r#"
    /apis/hypermesh.online/v1/namespaces/default/workloads/web/scale?fieldManager=nexusctl-scale application/merge-patch+json
    {"metadata":{"resourceVersion":"103"},"spec":{"replicas":5}}
    "#);
    server.put("/api/v1/namespaces/default/configmaps/c", json!({"metadata": {"name": "c"}}));
    assert_snapshot!(server.run("scale cm c --replicas=1").err, @"error: configmaps cannot be scaled");
    assert_snapshot!(server.run("scale wl none --replicas=1").err, @r#"Error from server (NotFound): workloads.hypermesh.online "none" not found"#);
}

#[test]
fn a_patch_that_is_refused_is_pointed_at() {
    let server = filled();
    let path = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";
    let cause = "Invalid value: \"{\\\"spec\\\":{\\\"replicaz\\\":3}}\": strict decoding error: unknown field \"spec.replicaz\"";
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422,
        "reason": "Invalid", "message": format!(" \"\" is invalid: patch: {cause}"),
        "details": {"causes": [{"reason": "FieldValueInvalid", "message": cause, "field": "patch"}]}});
    server.script(Method::PATCH, path, 422, refusal);
    let ran = server.run("patch wl web -p {\"spec\":{\"replicaz\":3}}");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_snapshot!(ran.err, @r#"
    error: unknown field `spec.replicaz`
     --> --patch:1:10
      |
    1 | {"spec":{"replicaz":3}}
      |          ^^^^^^^^^^ did you mean `replicas`?
    "#);
    // Of a list of operations, the one that wrote it.
    let json = server
        .run_with("patch wl web --type=json --patch-file -", "[{op: add, path: /spec/replicaz, value: 3}]");
    assert_eq!((json.code, json.out.as_str()), (1, ""));
    assert_snapshot!(json.err, @"
    error: unknown field `spec.replicaz`
     --> <stdin>:1:18
      |
    1 | [{op: add, path: /spec/replicaz, value: 3}]
      |                  ^^^^^^^^^^^^^^ did you mean `replicas`?
    ");
}
