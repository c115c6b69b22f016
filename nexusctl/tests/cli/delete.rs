//! `delete`: what is sent, what is printed, and how long it waits.

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
            json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": name, "namespace": "default"}}),
        );
    }
    server
}

#[test]
fn deletes_by_name_selector_and_manifest() {
    let server = filled();
    assert_snapshot!(server.run("delete wl web --cascade=foreground --grace-period 5").out, @r#"workload.hypermesh.online "web" deleted"#);
    assert_snapshot!(server.writes()[0].body, @r#"{"apiVersion":"v1","gracePeriodSeconds":5,"kind":"DeleteOptions","propagationPolicy":"Foreground"}"#);
    let missing = server.run("delete wl web");
    assert_eq!(missing.code, 1);
    assert_snapshot!(missing.err, @r#"Error from server (NotFound): workloads.hypermesh.online "web" not found"#);
    assert_eq!(server.run("delete wl web --ignore-not-found").code, 0);
    assert_snapshot!(server.run("delete wl --all").out, @r#"workload.hypermesh.online "api" deleted"#);
    let server = filled();
    let manifest = "apiVersion: hypermesh.online/v1\nkind: Workload\nmetadata: {name: web}\n";
    assert_eq!(server.run_with("delete -f - -o name", manifest).out, "workload.hypermesh.online/web\n");
    assert!(server.object(WEB).is_none());
    let _ = server.run("delete wl -l app=api");
    let lists: Vec<_> =
        server.seen().into_iter().filter(|s| s.query.contains("labelSelector=app%3Dapi")).collect();
    assert_eq!(lists.len(), 1);
}

#[test]
fn how_long_something_has_to_end_is_sent() {
    let sent = |flags: &str| {
        let server = filled();
        let ran = server.run(&format!("delete wl web {flags}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let body: serde_json::Value = serde_json::from_str(&server.writes()[0].body).unwrap();
        (body["gracePeriodSeconds"].as_i64(), ran.out + &ran.err)
    };
    assert_eq!(sent("").0, None);
    assert_eq!(sent("--grace-period=-1").0, None);
    assert_eq!(sent("--grace-period=7").0, Some(7));
    assert_eq!(sent("--now").0, Some(1));
    // As kubectl: nothing is killed unless that is said.
    assert_eq!(sent("--grace-period=0").0, Some(1));
    assert_eq!(sent("--grace-period=0 --force").0, Some(0));
    let (seconds, said) = sent("--force");
    assert_eq!(seconds, Some(0));
    assert_snapshot!(said, @r#"
    workload.hypermesh.online "web" deleted
    Warning: --force changes nothing for workloads: only instances and pods have a time to end in
    "#);
    let said = |flags| sent(flags).1.lines().nth(1).unwrap_or_default().to_owned();
    assert_snapshot!(said("--now"), @"Warning: --now changes nothing for workloads: only instances and pods have a time to end in");
    assert_snapshot!(said("--grace-period=7"), @"Warning: --grace-period changes nothing for workloads: only instances and pods have a time to end in");
    assert_eq!(said("--grace-period=-1"), "");
    let server = filled();
    for wrong in ["-5", "1.5", "5s"] {
        let ran = server.run(&format!("delete wl web --grace-period={wrong}"));
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("whole seconds, 0 or more; -1 is what the manifest says"), "{}", ran.err);
    }
    for flags in ["--force --grace-period=5", "--force --now"] {
        let ran = server.run(&format!("delete wl web {flags}"));
        assert_eq!(ran.code, 1);
        assert_eq!(
            ran.err,
            "error: --force leaves no time to end in order: leave out --grace-period and --now, or --force\n"
        );
    }
    assert!(server.run("delete wl web --now --grace-period=3").err.contains("cannot be used with"));
    assert!(server.writes().is_empty());
}

#[test]
fn a_node_is_deleted_by_its_short_name() {
    let server = Server::start();
    let group = |name: &str, verbs: &[&str]| {
        json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": name}, "versions": [{"version": "v1", "resources": [
            {"resource": "nodes", "singularResource": "node", "scope": "Cluster", "verbs": verbs, "shortNames": ["no"],
                "responseKind": {"group": name, "version": "v1", "kind": "Node"}},
        ]}]}]})
    };
    server.script(Method::GET, "/api", 200, group("", &["get", "list", "watch", "patch"]));
    server.script(Method::GET, "/apis", 200, group("hypermesh.online", &["get", "list", "watch", "delete"]));
    let path = "/apis/hypermesh.online/v1/nodes/n2";
    for words in ["node n2", "no/n2", "nodes n2"] {
        server.put(path, json!({"metadata": {"name": "n2"}}));
        let ran = server.run(&format!("delete {words}"));
        assert_eq!(ran.out, "node.hypermesh.online \"n2\" deleted\n", "{words}: {}", ran.err);
        assert!(server.object(path).is_none());
    }
    server.put(path, json!({"metadata": {"name": "n2"}}));
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n2}\n";
    let told = server.run_with("delete -f -", node).err;
    assert_snapshot!(told, @"error: nodes cannot be deleted: they only show nodes.hypermesh.online/n2, which can be");
    assert!(server.object(path).is_some());
}

#[test]
fn what_runs_is_deleted_by_force() {
    let server = Server::start();
    let kind = |plural: &str, kind: &str| {
        json!({"resource": plural, "singularResource": kind.to_lowercase(), "scope": "Namespaced", "verbs": ["get", "list", "delete"],
            "responseKind": {"group": "hypermesh.online", "version": "v1", "kind": kind}})
    };
    let resources = [kind("instances", "Instance"), kind("networks", "Network")];
    let groups = json!({"kind": "APIGroupDiscoveryList", "items": [
        {"metadata": {"name": "hypermesh.online"}, "versions": [{"version": "v1", "resources": resources}]}]});
    server.script(Method::GET, "/apis", 200, groups);
    for path in ["instances/i1", "networks/n1"] {
        let path = format!("/apis/hypermesh.online/v1/namespaces/default/{path}");
        server.put(&path, json!({"metadata": {"name": path.rsplit_once('/').unwrap().1}}));
    }
    let ran = server.run("delete instance/i1 network/n1 --force");
    assert_snapshot!(ran.out + &ran.err, @r#"
    instance.hypermesh.online "i1" force deleted
    network.hypermesh.online "n1" deleted
    Warning: what is deleted by force is gone at once, and nobody waits for what runs to end: it may go on running
    Warning: --force changes nothing for networks: only instances and pods have a time to end in
    "#);
}

#[test]
fn never_deletes_more_than_was_said() {
    let server = filled();
    assert_snapshot!(server.run("delete wl").err, @"error: which workloads? Name them, choose them with -l, or say --all");
    assert_snapshot!(server.run("delete wl web --all").err, @"error: objects are deleted by name or all at once, not both");
    assert_snapshot!(server.run("delete wl web -l a=b").err, @"error: objects are chosen by name or by selector, not by both");
    assert!(server.writes().is_empty());
    let dry = server.run("delete wl web --dry-run=client");
    assert_eq!(dry.out, "workload.hypermesh.online \"web\" deleted (dry run)\n");
    assert!(server.writes().is_empty());
}

#[test]
fn waits_for_finalizers_and_no_longer_than_told() {
    let server = filled();
    let mut object = server.object(WEB).unwrap();
    object["metadata"]["finalizers"] = json!(["hypermesh.online/agent"]);
    server.put(WEB, object);
    let hasty = server.run("delete wl web --timeout 50ms");
    assert_eq!(hasty.code, 1);
    assert_snapshot!(hasty.out + &hasty.err, @r#"
    workload.hypermesh.online "web" deleted
    error: workload.hypermesh.online/web is still there: finalizers hypermesh.online/agent
    "#);
    assert_eq!(server.run("delete wl web --wait=false").code, 0);
}

#[test]
fn ends_when_the_object_is_gone() {
    let server = filled();
    let mut object = server.object(WEB).unwrap();
    object["metadata"]["finalizers"] = json!(["hypermesh.online/agent"]);
    server.put(WEB, object);
    let ran = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.run("delete wl web"));
        server.wait_for_watcher();
        assert!(!waiting.is_finished());
        server.remove(WEB);
        waiting.join().unwrap()
    });
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let last = server.seen().pop().unwrap();
    assert_eq!((last.method, last.query.contains("watch=true")), (Method::GET, true));
}
