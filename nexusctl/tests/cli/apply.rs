//! `apply`: what is sent, what is printed, and where errors point.

use super::server::Server;
use http::Method;
use insta::assert_snapshot;
use serde_json::json;
use std::fs;

const WEB: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";
const MANIFEST: &str = "apiVersion: hypermesh.online/v1
kind: Workload
metadata:
  name: web
spec:
  replicas: 2
---
apiVersion: hypermesh.online/v1
kind: Asset
metadata: {name: cpu0}
spec: {class: CPU}
";

#[test]
fn says_created_configured_unchanged() {
    let server = Server::start();
    let first = server.run_with("apply -f -", MANIFEST);
    assert_eq!(first.err, "");
    assert_snapshot!(first.out, @"
    workload.hypermesh.online/web created
    asset.hypermesh.online/cpu0 created
    ");
    assert_snapshot!(server.run_with("apply -f -", MANIFEST).out, @"
    workload.hypermesh.online/web unchanged
    asset.hypermesh.online/cpu0 unchanged
    ");
    let changed = MANIFEST.replace("replicas: 2", "replicas: 3");
    assert_snapshot!(server.run_with("apply -f -", &changed).out, @"
    workload.hypermesh.online/web configured
    asset.hypermesh.online/cpu0 unchanged
    ");
    let writes = server.writes();
    let write = writes.iter().find(|write| write.path == WEB).unwrap();
    assert_snapshot!(format!("{} {}?{}\n{}\n{}", write.method, write.path, write.query, write.content_type, write.body), @r#"
    PATCH /apis/hypermesh.online/v1/namespaces/default/workloads/web?fieldManager=nexusctl&fieldValidation=Strict
    application/apply-patch+yaml
    {"apiVersion":"hypermesh.online/v1","kind":"Workload","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":2}}
    "#);
}

#[test]
fn one_mistake_and_nothing_is_applied() {
    let server = Server::start();
    let status = |message: &str, field: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "x", "details": {"causes": [{"reason": "FieldValueInvalid", "message": message, "field": field}]}})
    };
    let transactions = "/apis/hypermesh.online/v1/transactions";
    server.script(Method::POST, transactions, 422, status("no", "items[1].spec.class"));
    server.script(
        Method::PATCH,
        "/apis/hypermesh.online/v1/assets/cpu0",
        422,
        status("Unsupported value: \"CPUU\": supported values: \"CPU\", \"GPU\"", "spec.class"),
    );
    let ran = server.run_with("apply -f -", &MANIFEST.replace("CPU", "CPUU"));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_snapshot!(ran.err, @r#"
    error: spec.class: Unsupported value: "CPUU": supported values: "CPU", "GPU"
      --> <stdin>:11:15
       |
    11 | spec: {class: CPUU}
       |               ^^^^
       |
       = help: did you mean `CPU`?

    error: 1 of 2 objects was refused, so nothing was applied
    --keep-going applies the rest
    "#);
    assert!(server.writes().iter().all(|write| write.query.contains("dryRun=All")));
    let stubborn = server.run_with("apply --keep-going -f -", &MANIFEST.replace("CPU", "CPUU"));
    assert_eq!((stubborn.code, stubborn.out.as_str()), (1, "workload.hypermesh.online/web created\n"));
}

fn refusal(code: u16, message: &str, causes: serde_json::Value) -> serde_json::Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "message": message,
        "reason": if code == 400 { "BadRequest" } else { "Invalid" }, "details": {"causes": causes}})
}

#[test]
fn an_unknown_field_hides_nothing_else() {
    let server = Server::start();
    // A server that meets a field it does not know looks no further; asked to overlook it, it says the rest.
    server.script_full(super::server::Scripted {
        method: Method::PATCH,
        path: WEB.into(),
        code: 400,
        headers: Vec::new(),
        body: refusal(400, "strict decoding error: unknown field \"spec.replicass\"", json!([])).to_string(),
        times: 1,
    });
    let causes =
        json!([{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.template"}]);
    server.script(Method::PATCH, WEB, 422, refusal(422, "x", causes));
    let web = MANIFEST.split("---").next().unwrap().replace("replicas", "replicass");
    let ran = server.run_with("apply -f -", &web);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_snapshot!(ran.err, @"
    error: unknown field `spec.replicass`
     --> <stdin>:6:3
      |
    6 |   replicass: 2
      |   ^^^^^^^^^ did you mean `replicas`?

    error: spec.template: Required value
     --> <stdin>:5:1
      |
    5 | spec:
      | ^^^^
    ");
    let asked: Vec<String> = server.writes().into_iter().map(|write| write.query).collect();
    assert_eq!(
        asked,
        [
            "fieldManager=nexusctl&fieldValidation=Strict",
            "fieldManager=nexusctl&fieldValidation=Ignore&dryRun=All"
        ]
    );
}

#[test]
fn a_transaction_tells_the_mistakes_of_all_its_objects() {
    let server = Server::start();
    let cause = |field: &str| json!([{"reason": "FieldValueInvalid", "message": "no", "field": field}]);
    // It ends at the first.
    let transactions = "/apis/hypermesh.online/v1/transactions";
    server.script(Method::POST, transactions, 422, refusal(422, "x", cause("items[0].spec.replicas")));
    server.script(Method::PATCH, WEB, 422, refusal(422, "x", cause("spec.replicas")));
    let cpu0 = "/apis/hypermesh.online/v1/assets/cpu0";
    server.script(Method::PATCH, cpu0, 422, refusal(422, "x", cause("spec.class")));
    let ran = server.run_with("apply --atomic -f -", MANIFEST);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert_snapshot!(ran.err, @"
    error: spec.replicas: no
     --> <stdin>:6:13
      |
    6 |   replicas: 2
      |             ^

    error: spec.class: no
      --> <stdin>:11:15
       |
    11 | spec: {class: CPU}
       |               ^^^

    nothing was applied
    ");
    // What shows only when they are taken together is told as the transaction says it.
    let server = Server::start();
    server.script(Method::POST, transactions, 422, refusal(422, "x", cause("items[1].spec.class")));
    assert_snapshot!(server.run_with("apply --atomic -f -", MANIFEST).err, @"
    error: spec.class: no
      --> <stdin>:11:15
       |
    11 | spec: {class: CPU}
       |               ^^^

    nothing was applied
    ");
}

#[test]
fn fetches_manifests_within_bounds() {
    let server = Server::start();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fetched}\n";
    server.script(Method::GET, "/maps/one.yaml", 200, map);
    let redirect = |from: &str, to: &str| {
        server.script_full(super::server::Scripted {
            method: Method::GET,
            path: from.into(),
            code: 302,
            headers: vec![("location", to.into())],
            body: String::new(),
            times: usize::MAX,
        });
    };
    redirect("/moved.yaml", "maps/one.yaml");
    redirect("/round.yaml", "/round.yaml");
    redirect("/away.yaml", "http://192.0.2.1/x.yaml");
    let fetch = |path: &str| server.run(&format!("apply -f {}{path}", server.url()));
    assert_eq!(fetch("/maps/one.yaml").out, "configmap/fetched created\n");
    assert_eq!(fetch("/moved.yaml?token=secret").out, "configmap/fetched unchanged\n");
    let shown = |path: &str| {
        fetch(path).err.replace(&server.url(), "URL").replace(&server.port().to_string(), "PORT")
    };
    assert_snapshot!(shown("/round.yaml?token=secret"), @"
    error: URL/round.yaml?…: more than 5 redirects, the last to 127.0.0.1

    nothing was sent
    ");
    assert_snapshot!(shown("/away.yaml"), @"
    error: URL/away.yaml: what comes over plain HTTP may be anybody's: take https://192.0.2.1/x.yaml, or --insecure-fetch if you must

    nothing was sent
    ");
    assert_snapshot!(shown("/none.yaml"), @"
    error: URL/none.yaml: 127.0.0.1 answers 404 Not Found

    nothing was sent
    ");
}

#[test]
fn a_thousand_objects_are_told_in_their_order() {
    let server = Server::start();
    let mut manifest = String::new();
    let mut expected = String::new();
    for index in 0..1_000 {
        manifest += &format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\n");
        expected += &format!("configmap/m{index} created\n");
    }
    let ran = server.run_with("apply -f -", &manifest);
    assert_eq!(ran.err, "");
    assert_eq!(ran.out, expected);
}

#[test]
fn a_server_that_goes_away_leaves_nothing_in_doubt() {
    let server = Server::start();
    let manifest: String = (0..3)
        .map(|index| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\n"))
        .collect();
    server.script(Method::PATCH, "/api/v1/namespaces/default/configmaps/m1", super::server::HANG_UP, "");
    let ran = server.run_with("apply --keep-going -f -", &manifest);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("configmap/m0 created"), "{}", ran.out);
    assert_snapshot!(ran.err.replace(&server.url(), "URL"), @r#"
    error: <stdin>:6:1: ConfigMap "m1": the connection to URL broke: connection closed before message completed

    error: 1 of 3 objects was not applied:
      <stdin>:6:1: ConfigMap "m1" (sent, its outcome unknown)
    applying again is safe: what is in place stays as it is
    to go on: nexusctl --server URL apply -f - --keep-going (with the same input)
    "#);
}

#[test]
fn sees_an_object_that_was_replaced_in_between_as_created() {
    let server = Server::start();
    server.put(WEB, json!({"metadata": {"name": "web"}}));
    server.script(
        Method::PATCH,
        WEB,
        200,
        json!({"metadata": {"name": "web", "uid": "other", "resourceVersion": "7"}}),
    );
    let ran = server.run_with("apply -f -", MANIFEST);
    assert!(ran.out.starts_with("workload.hypermesh.online/web created\n"), "{}", ran.out);
}

#[test]
fn applies_without_the_right_to_look() {
    let server = Server::start();
    server.script(Method::GET, WEB, 403, hypermesh_api_forbidden());
    let ran = server.run_with("apply -f -", MANIFEST);
    // 201 is still proof of a creation.
    assert!(ran.out.starts_with("workload.hypermesh.online/web created\n"), "{}", ran.out);
    let again = server.run_with("apply -f -", MANIFEST);
    assert!(again.out.starts_with("workload.hypermesh.online/web serverside-applied\n"), "{}", again.out);
}

fn hypermesh_api_forbidden() -> serde_json::Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
        "message": "workloads.hypermesh.online \"web\" is forbidden: no", "code": 403})
}

#[test]
fn dry_runs_change_nothing() {
    let server = Server::start();
    assert_snapshot!(server.run_with("apply --dry-run -f -", MANIFEST).out, @"
    workload.hypermesh.online/web created (server dry run)
    asset.hypermesh.online/cpu0 created (server dry run)
    ");
    assert!(server.writes().iter().all(|w| w.query.contains("dryRun=All")));
    assert_eq!(server.writes().len(), 2);
    assert_snapshot!(server.run_with("apply --dry-run=client -f -", MANIFEST).out, @"
    workload.hypermesh.online/web created (dry run)
    asset.hypermesh.online/cpu0 created (dry run)
    ");
    assert_eq!(server.writes().len(), 2, "a client's dry run sends no writes");
    assert!(server.object(WEB).is_none());
}

#[test]
fn one_refusal_does_not_stop_the_rest_and_all_is_told() {
    let server = Server::start();
    server.script(
        Method::PATCH,
        WEB,
        422,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "Workload.hypermesh.online \"web\" is invalid: x", "details": {"name": "web", "causes": [
                {"reason": "FieldValueInvalid", "message": "Invalid value: 2: too many", "field": "spec.replicas"},
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.template"}]}}),
    );
    let ran = server.run_with("apply -f -", MANIFEST);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.out, @"asset.hypermesh.online/cpu0 created");
    assert_snapshot!(ran.err, @r#"
    error: spec.replicas: Invalid value: 2: too many
     --> <stdin>:6:13
      |
    6 |   replicas: 2
      |             ^

    error: spec.template: Required value
     --> <stdin>:5:1
      |
    5 | spec:
      | ^^^^

    error: 1 of 2 objects was not applied:
      <stdin>:1:1: Workload "web" (refused)
    applying again is safe: what is in place stays as it is
    "#);
}

#[test]
fn unknown_fields_are_shown_where_they_stand_with_the_nearest_name() {
    let server = Server::start();
    server.script(
        Method::PATCH,
        WEB,
        400,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "BadRequest", "code": 400,
            "message": "Workload in version \"v1\" cannot be handled as a Workload: strict decoding error: unknown field \"spec.template.spec.containers[0].imagee\", unknown field \"spec.replica\""}),
    );
    let container =
        json!({"type": "object", "properties": {"image": {"type": "string"}, "name": {"type": "string"}}});
    server.script(
        Method::GET,
        "/openapi/v3/apis/hypermesh.online/v1",
        200,
        json!({"components": {"schemas": {
            "online.hypermesh.v1.Container": container,
            "online.hypermesh.v1.Workload": {
                "x-kubernetes-group-version-kind": [{"group": "hypermesh.online", "version": "v1", "kind": "Workload"}],
                "properties": {"spec": {"properties": {"replicas": {"type": "integer"}, "template": {"properties": {"spec": {
                    "properties": {"containers": {"items": {"allOf": [{"$ref": "#/components/schemas/online.hypermesh.v1.Container"}]}}}}}}}}}},
        }}}),
    );
    let manifest = "# a comment
apiVersion: hypermesh.online/v1
kind: Workload
metadata:
  name: web
spec:
  replica: 2
  template:
    spec:
      containers:
      - name: web
        imagee: localhost/hello:1
";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    fs::write(&file, manifest).unwrap();
    let ran = server.run(&format!("apply -f {}", file.display()));
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err.replace(&folder.path().display().to_string(), ""), @"
    error: unknown field `spec.template.spec.containers[0].imagee`
      --> /web.yaml:12:9
       |
    12 |         imagee: localhost/hello:1
       |         ^^^^^^ did you mean `image`?

    error: unknown field `spec.replica`
     --> /web.yaml:7:3
      |
    7 |   replica: 2
      |   ^^^^^^^ did you mean `replicas`?
    ");
}

#[test]
fn conflicts_name_the_other_manager_and_the_way_out() {
    let server = Server::start();
    server.script(
        Method::PATCH,
        WEB,
        409,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Conflict", "code": 409,
            "message": "Apply failed with 1 conflict: conflict with \"m1\" using hypermesh.online/v1: .spec.replicas",
            "details": {"causes": [{"reason": "FieldManagerConflict",
                "message": "conflict with \"m1\" using hypermesh.online/v1", "field": ".spec.replicas"}]}}),
    );
    let manifest = MANIFEST.split("---").next().unwrap();
    assert_snapshot!(server.run_with("apply -f -", manifest).err, @r#"
    error: spec.replicas: conflict with "m1" using hypermesh.online/v1
     --> <stdin>:6:3
      |
    6 |   replicas: 2
      |   ^^^^^^^^
      |
      = help: another manager owns what is listed here; --force-conflicts takes it over
    "#);
    let _ = server.run_with("apply --force-conflicts -f -", manifest);
    assert!(server.writes()[1].query.contains("force=true"));
}

#[test]
fn nothing_is_sent_while_any_manifest_is_wrong() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), MANIFEST).unwrap();
    fs::write(
        folder.path().join("b.yaml"),
        "apiVersion: hypermesh.online/v1\nkind: Workloda\nmetadata: {name: x}\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("c.yml"),
        "apiVersion: hypermesh.online/v2\nkind: Asset\nmetadata: {name: x}\n",
    )
    .unwrap();
    fs::write(folder.path().join("ignored.txt"), "not: [a manifest").unwrap();
    let ran = server.run(&format!("apply -f {}", folder.path().display()));
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, "");
    assert_snapshot!(ran.err.replace(&folder.path().display().to_string(), ""), @"
    error: unknown kind `Workloda` in hypermesh.online/v1
     --> /b.yaml:2:7
      |
    2 | kind: Workloda
      |       ^^^^^^^^ did you mean `Workload`?

    error: the server serves nothing of apiVersion `hypermesh.online/v2`
     --> /c.yml:1:13
      |
    1 | apiVersion: hypermesh.online/v2
      |             ^^^^^^^^^^^^^^^^^^^ did you mean `hypermesh.online/v1`?

    nothing was sent
    ");
    assert!(server.writes().is_empty());
    fs::write(folder.path().join("d.yaml"), "a: b: c\n").unwrap();
    fs::write(folder.path().join("e.yaml"), "kind: X\n").unwrap();
    let ran = server.run(&format!("apply -f {}", folder.path().display()));
    assert_snapshot!(ran.err.replace(&folder.path().display().to_string(), ""), @"
    error: mapping values are not allowed in this context
     --> /d.yaml:1:5
      |
    1 | a: b: c
      |     ^

    error: apiVersion is missing
     --> /e.yaml:1:1
      |
    1 | kind: X
      | ^

    nothing was sent
    ");
}

#[test]
fn folders_are_searched_as_deep_as_asked() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("deeper")).unwrap();
    fs::write(
        folder.path().join("deeper/a.json"),
        r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two"}}]}"#,
    )
    .unwrap();
    let shallow = server.run(&format!("apply -f {}", folder.path().display()));
    assert_eq!(shallow.code, 1);
    assert!(shallow.err.contains("holds no manifest"), "{}", shallow.err);
    let deep = server.run(&format!("apply -R -f {}", folder.path().display()));
    assert_eq!(deep.out, "configmap/one created\nconfigmap/two created\n");
}

#[test]
fn a_folder_that_was_emptied_says_how_a_set_is() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let shown = |words: &str| {
        let ran = server.run(&format!("{words} -f {}", folder.path().display()));
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        ran.err.replace(&folder.path().display().to_string(), "/web")
    };
    assert_snapshot!(shown("apply"), @"
    error: /web holds no manifest: no file ends in .yaml, .yml or .json (with -R its subfolders are searched too)
    What was applied before stays: `nexusctl delete` deletes it, or `nexusctl apply --empty --prune --applyset=NAME`, if it was applied as part of a set
    ");
    assert_snapshot!(shown("apply -n shop --prune --applyset=web -R"), @"
    error: /web holds no manifest: no file ends in .yaml, .yml or .json
    The set web is as it was. If it is to hold nothing any more, `nexusctl apply --empty --prune --applyset=web -n shop` deletes what it holds (--dry-run says what that is)
    ");
    fs::write(folder.path().join("a.yaml"), "# all gone\n---\n").unwrap();
    assert_snapshot!(shown("apply --prune --applyset=configmap/web"), @"
    error: no objects in /web
    The set configmap/web is as it was. If it is to hold nothing any more, `nexusctl apply --empty --prune --applyset=configmap/web` deletes what it holds (--dry-run says what that is)
    ");
    assert_snapshot!(shown("delete"), @"error: no objects in /web");
    assert!(server.writes().is_empty());
}

#[test]
fn the_namespace_of_the_command_line_must_agree() {
    let server = Server::start();
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: prod\n";
    assert_snapshot!(server.run_with("apply -n dev -f -", manifest).err, @r#"
    error: the manifest's namespace is "prod", the command line's "dev"
     --> <stdin>:5:14
      |
    5 |   namespace: prod
      |              ^^^^
      |
      = help: leave one of them out, or pass --namespace=prod

    nothing was sent
    "#);
    let ran = server.run_with("apply -n dev -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(server.object("/api/v1/namespaces/dev/configmaps/x").is_some());
}

#[test]
fn transactions_carry_all_or_nothing() {
    let server = Server::start();
    let ran = server.run_with("apply --atomic -f -", MANIFEST);
    assert_eq!(ran.err, "");
    assert_snapshot!(ran.out, @"
    workload.hypermesh.online/web created
    asset.hypermesh.online/cpu0 created
    ");
    assert_snapshot!(server.run_with("apply --atomic -f -", &MANIFEST.replace("CPU", "GPU")).out, @"
    workload.hypermesh.online/web unchanged
    asset.hypermesh.online/cpu0 configured
    ");
    let write = &server.writes()[0];
    assert_snapshot!(format!("{} {}?{}\n{}", write.method, write.path, write.query, write.body), @r#"
    POST /apis/hypermesh.online/v1/transactions?fieldManager=nexusctl&fieldValidation=Strict
    {"apiVersion":"v1","items":[{"apiVersion":"hypermesh.online/v1","kind":"Workload","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":2}},{"apiVersion":"hypermesh.online/v1","kind":"Asset","metadata":{"name":"cpu0"},"spec":{"class":"CPU"}}],"kind":"List","metadata":{}}
    "#);

    server.script(
        Method::POST,
        "/apis/hypermesh.online/v1/transactions",
        422,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422,
            "message": "x", "details": {"causes": [
                {"reason": "FieldValueNotSupported", "field": "items[1].spec.class",
                 "message": "Unsupported value: \"CPUU\": supported values: \"CPU\", \"GPU\""}]}}),
    );
    let refused = server.run_with("apply --atomic -f -", &MANIFEST.replace("CPU", "CPUU"));
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert_snapshot!(refused.err, @r#"
    error: spec.class: Unsupported value: "CPUU": supported values: "CPU", "GPU"
      --> <stdin>:11:15
       |
    11 | spec: {class: CPUU}
       |               ^^^^
       |
       = help: did you mean `CPU`?

    nothing was applied
    "#);

    // What is about an object as a whole is said once, and without its number.
    let server = Server::start();
    let why = "admission webhook says no";
    server.script(
        Method::POST,
        "/apis/hypermesh.online/v1/transactions",
        403,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403,
            "message": format!("items[1]: {why}; nothing of the transaction was stored"),
            "details": {"causes": [{"reason": "Forbidden", "field": "items[1]", "message": why}]}}),
    );
    let refused = server.run_with("apply --atomic -f -", MANIFEST);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(
        refused.err.contains("the server refused it (Forbidden): admission webhook says no\n"),
        "{}",
        refused.err
    );
    assert!(!refused.err.contains("items["), "{}", refused.err);
}

#[test]
fn a_server_that_is_away_is_told_once_and_nothing_is_lost() {
    let ran = super::run_with("--server https://127.0.0.1:1 apply -f -", MANIFEST);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err, @"error: cannot reach https://127.0.0.1:1: connection refused: is `nexusctl up` running, and is this its address?");
}

#[test]
fn warnings_of_the_server_are_shown_once() {
    let server = Server::start();
    server.script_full(super::server::Scripted {
        method: Method::PATCH,
        path: WEB.into(),
        code: 200,
        headers: vec![
            ("warning", r#"299 - "unknown field \"spec.bogus\"""#.into()),
            ("warning", r#"299 - "unknown field \"spec.bogus\"""#.into()),
        ],
        body: json!({"metadata": {"name": "web", "uid": "1", "resourceVersion": "7"}}).to_string(),
        times: 1,
    });
    let ran = server.run_with("apply --validate=warn -f -", MANIFEST.split("---").next().unwrap());
    assert_eq!(ran.err, "Warning: unknown field \"spec.bogus\"\n");
    assert!(server.writes()[0].query.contains("fieldValidation=Warn"));
}

#[test]
fn results_can_be_shown_as_objects() {
    let server = Server::start();
    let ran = server.run_with("apply -o yaml -f -", MANIFEST.split("---").next().unwrap());
    assert_snapshot!(ran.out, @r#"
    apiVersion: hypermesh.online/v1
    kind: Workload
    metadata:
      name: web
      namespace: default
      resourceVersion: "101"
      uid: uid-101
    spec:
      replicas: 2
    "#);
    assert_snapshot!(server.run_with("apply -o name -f -", MANIFEST).out, @"
    workload.hypermesh.online/web
    asset.hypermesh.online/cpu0
    ");
}
