//! `rollout`: what is sent, what is said, and what it exits with.

use super::server::Server;
use http::Method;
use insta::assert_snapshot;
use serde_json::{Value, json};

const WEB: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";
const REVISIONS: &str = "/apis/apps/v1/namespaces/default/controllerrevisions";

fn web(spec: Value, status: Value) -> Value {
    json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "spec": spec, "status": status,
        "metadata": {"name": "web", "namespace": "default", "generation": 2}})
}

fn template(image: &str) -> Value {
    json!({"spec": {"containers": [{"name": "web", "image": image, "envFrom": [{"configMapRef": {"name": "settings"}}]}]}})
}

fn revision(server: &Server, number: i64, image: &str, digest: char, copy: &str) -> Value {
    let uid = server.object(WEB).unwrap()["metadata"]["uid"].clone();
    let digest: String = std::iter::repeat_n(digest, 64).collect();
    json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": number, "data": template(image), "metadata": {
    "name": format!("web-r{number}"), "namespace": "default",
    "labels": {"hypermesh.online/workload": "web", "hypermesh.online/revision": format!("r{number}")},
    "ownerReferences": [{"apiVersion": "hypermesh.online/v1", "kind": "Workload", "name": "web", "uid": uid, "controller": true}],
    "annotations": {
        "hypermesh.online/since": "2026-11-21T09:00:00Z",
        "hypermesh.online/snapshots": json!([{"kind": "ConfigMap", "name": "settings", "copy": copy}]).to_string(),
        "hypermesh.online/images": json!([{"container": "web", "image": image, "digest": format!("sha256:{digest}")}]).to_string(),
    }}})
}

/// A workload with two revisions: the same tag, which has moved, and a ConfigMap that has changed.
fn with_history() -> Server {
    let server = Server::start();
    let spec = json!({"replicas": 2, "template": template("web:1"), "rollout": {}});
    server.put(WEB, web(spec, json!({"updateRevision": "r2", "currentRevision": "r2"})));
    let list = json!({"kind": "ControllerRevisionList", "apiVersion": "apps/v1", "metadata": {},
        "items": [revision(&server, 1, "web:1", '1', "settings-old"), revision(&server, 2, "web:1", '2', "settings-new")]});
    for _ in 0..3 {
        server.script(Method::GET, REVISIONS, 200, &list);
    }
    let none =
        json!({"kind": "InstanceList", "apiVersion": "hypermesh.online/v1", "metadata": {}, "items": []});
    for _ in 0..3 {
        server.script(Method::GET, "/apis/hypermesh.online/v1/namespaces/default/instances", 200, &none);
    }
    let map = |data: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": data}, "metadata": {"name": "settings"}});
    server.put("/api/v1/namespaces/default/configmaps/settings", map("2"));
    server.put("/api/v1/namespaces/default/configmaps/settings-old", map("1"));
    server
}

#[test]
fn history_tells_templates_and_what_they_referred_to() {
    let server = with_history();
    let ran = server.run("rollout history workload/web -o json");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told[0]["revision"], &told[1]["snapshots"][0]["copy"]), (&json!(2), &json!("settings-old")));
    let ran = server.run("rollout history workload/web --revision=1");
    assert_snapshot!(ran.out, @r"
    revision 1 (r1)
    images:
      web: web:1 was sha256:1111111111111111111111111111111111111111111111111111111111111111
    snapshots:
      ConfigMap settings: kept as settings-old
    template:
      spec:
        containers:
        - envFrom:
          - configMapRef:
              name: settings
          image: web:1
          name: web
    ");
    let ran = server.run("rollout history workload/web --revision=7");
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err, @"error: workload.hypermesh.online/web has no revision 7: kept are 1, 2");
}

#[test]
fn undo_shows_what_it_restores_and_changes_nothing_that_has_changed_meanwhile() {
    let server = with_history();
    server.script(Method::PATCH, WEB, 200, web(json!({}), json!({})));
    let ran = server.run("rollout undo workload/web");
    assert_snapshot!(ran.out, @r"
    --- a/workload.hypermesh.online/web
    +++ b/workload.hypermesh.online/web
    @@ -12,8 +12,8 @@
           containers:
           - envFrom:
             - configMapRef:
    -            name: settings
    -        image: web:1
    +            name: settings-old
    +        image: web:1@sha256:1111111111111111111111111111111111111111111111111111111111111111
             name: web
     status:
       currentRevision: r2
    ConfigMap settings holds something else today: its copy settings-old is used
    image of web: web:1 is pinned to sha256:1111111111111111111111111111111111111111111111111111111111111111: its tag means another image today
    workload.hypermesh.online/web rolled back to revision 1
    ");
    let sent: Value = serde_json::from_str(&server.writes()[0].body).unwrap();
    assert_eq!(
        (&sent[0]["op"], &sent[0]["path"], &sent[1]["path"]),
        (&json!("test"), &json!("/metadata/resourceVersion"), &json!("/spec/template"))
    );
    // The copy is gone: nothing is half restored.
    server.remove("/api/v1/namespaces/default/configmaps/settings-old");
    let ran = server.run("rollout undo workload/web");
    assert_eq!((ran.code, server.writes().len()), (1, 1));
    assert_snapshot!(ran.err, @r"
    error: workload.hypermesh.online/web: revision 1 cannot be restored as it was:
      ConfigMap settings holds something else today, and its copy settings-old is gone
    --template-only restores the template alone
    ");
    let ran = server.run("rollout undo workload/web --template-only");
    assert_eq!(ran.err, "workload.hypermesh.online/web has the template of revision 1 already\n");
}

#[test]
fn pause_resume_and_restart_change_the_one_field() {
    let server = Server::start();
    server.put(WEB, web(json!({"template": template("web:1"), "rollout": {}}), json!({})));
    let ran = server.run("rollout resume workload/web");
    assert_eq!((ran.code, ran.err.as_str()), (1, "error: workload.hypermesh.online/web: it is not paused\n"));
    assert_eq!(server.run("rollout pause wl web").out, "workload.hypermesh.online/web paused\n");
    assert_eq!(server.writes()[0].body, r#"{"spec":{"rollout":{"paused":true}}}"#);
    let ran = server.run("rollout restart wl/web");
    assert_eq!(
        ran.err,
        "error: workload.hypermesh.online/web: it is paused: `nexusctl rollout resume` lets it go on first\n"
    );
    assert_eq!(server.run("rollout resume wl/web").out, "workload.hypermesh.online/web resumed\n");
    assert_eq!(server.run("rollout restart wl/web").out, "workload.hypermesh.online/web restarted\n");
    let body = server.writes().pop().unwrap().body;
    assert!(
        body.starts_with(
            r#"{"spec":{"template":{"metadata":{"annotations":{"hypermesh.online/restartedAt":"20"#
        ),
        "{body}"
    );
    let ran = server.run("rollout pause cm/settings");
    assert_eq!(ran.err, "error: configmaps are not rolled out: only workloads are\n");
}

#[test]
fn status_exits_with_what_the_rollout_came_to() {
    let server = Server::start();
    let status = |reason: &str, available: u64| {
        json!({"observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": available,
            "conditions": [{"type": "Progressing", "status": "True", "reason": reason, "message": "web-1: ImagePullBackOff: no such tag"}]})
    };
    server.put(WEB, web(json!({"replicas": 2}), status("RolloutComplete", 2)));
    let ran = server.run("rollout status workload/web");
    assert_eq!((ran.code, ran.out.as_str()), (0, "workload \"web\" successfully rolled out\n"));
    server.put(WEB, web(json!({"replicas": 2}), status("ProgressDeadlineExceeded", 0)));
    let ran = server.run("rollout status workload/web");
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err, @r#"error: workload "web" exceeded its progress deadline: web-1: ImagePullBackOff: no such tag"#);
    server.put(WEB, web(json!({"replicas": 2}), status("RolloutProgressing", 1)));
    let ran = server.run("rollout status workload/web --watch=false");
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out, @r#"Waiting for workload "web" rollout to finish: 1 of 2 instances are available..."#);
    let ran = server.run("rollout status workload/web --timeout=200ms");
    assert_eq!(ran.code, 1);
}
