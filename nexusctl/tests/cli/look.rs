//! `explain`, `events`, `history` and `wait`, and what `describe` knows beyond an object.

use super::{
    run_at,
    server::{Scripted, Server},
};
use http::Method;
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::{Value, json};

const WORKLOADS: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads";

fn event(name: &str, kind: &str, about: &str, seen: &str, count: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"},
        "type": kind, "reason": "Pulled", "message": format!("{name} happened\u{1b}[2J\nmore"), "count": count,
        "firstTimestamp": "2001-01-01T00:00:00Z", "lastTimestamp": seen, "source": {"component": "agent"},
        "involvedObject": {"kind": "Workload", "name": about}})
}

#[test]
fn events_come_in_order() {
    let server = Server::start();
    let path = |name: &str| format!("/api/v1/namespaces/default/events/{name}");
    server.put(&path("b"), event("b", "Warning", "web", "2002-01-01T00:00:00Z", 3));
    server.put(&path("a"), event("a", "Normal", "db", "2003-01-01T00:00:00Z", 1));
    assert_snapshot!(server.run("events -o custom-columns=NAME:.metadata.name,COUNT:.count").out, @"
    NAME   COUNT
    b      3
    a      1
    ");
    let table = server.run("events --types warning").out;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("LAST SEEN") && lines[1].contains("(x3 over "), "{table}");
    assert!(lines[1].ends_with("Pulled   workload/web   b happened\\u{1b}[2J more"), "{table}");
    let _ = server.run("events --for wl/web");
    assert_eq!(
        server.seen().pop().unwrap().query,
        "fieldSelector=involvedObject.kind%3DWorkload%2CinvolvedObject.name%3Dweb&limit=500"
    );
    assert_snapshot!(server.run("events --for web").err, @r#"error: --for: "web" is not of the form TYPE/NAME, such as workload/web"#);
    assert_snapshot!(server.run("events --types Bad").err, @r#"error: --types: "Bad" is not one of Normal, Warning"#);
    assert_snapshot!(server.run("events -n empty").err, @"No events in empty namespace.");
    assert_snapshot!(server.run("events -n empty --for wl/wbe").err, @r#"No events about wl/wbe: there is no workload.hypermesh.online "wbe" in empty namespace; `nexusctl get workloads` shows those there are."#);
    assert_snapshot!(server.run("events -n empty --for asset/cpu9").err, @r#"No events about asset/cpu9: there is no asset.hypermesh.online "cpu9"; `nexusctl get assets` shows those there are."#);
    server.put(
        "/apis/hypermesh.online/v1/namespaces/empty/workloads/web",
        json!({"metadata": {"name": "web"}}),
    );
    assert_snapshot!(server.run("events -n empty --for wl/web").err, @"No events about wl/web.");
}

#[test]
fn narrow_terminals_break_between_words() {
    let server = Server::start();
    let path = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";
    server.put(path, json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Workload",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web", "tier": "the-front-of-it-all"}},
        "spec": {"replicas": 2, "about": "a text that is rather longer than a narrow terminal is wide"},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NoController",
            "lastTransitionTime": "2026-11-21T09:18:03Z", "message": "no controller of this kind runs in this cluster"}]},
    }));
    let at = |width: usize, words: &str| {
        let ran =
            run_at(Some(width), Environment::default(), &format!("--server {} {words}", server.url()), "");
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let described = at(40, "describe wl web");
    assert_snapshot!(described, @"
    Name:         web
    Namespace:    default
    Labels:       app=web
                  tier=the-front-of-it-all
    Annotations:  <none>
    API Version:  hypermesh.online/v1
    Kind:         Workload
    Metadata:
      Resource Version:  101
      UID:               uid-101
    Spec:
      About:     a text that is rather
                 longer than a narrow
                 terminal is wide
      Replicas:  2
    Conditions:
      Type:     Ready
      Status:   Unknown
      Reason:   NoController
      Since:    2026-11-21T09:18:03Z
      Message:  no controller of this kind
                runs in this cluster
    Waits For:
      a controller: none acts on this kind
        yet (Ready=Unknown)
    Events:  <none>
    ");
    assert!(described.lines().all(|line| line.chars().count() <= 40), "{described}");
    assert_snapshot!(at(90, "describe wl web"), @"
    Name:         web
    Namespace:    default
    Labels:       app=web
                  tier=the-front-of-it-all
    Annotations:  <none>
    API Version:  hypermesh.online/v1
    Kind:         Workload
    Metadata:
      Resource Version:  101
      UID:               uid-101
    Spec:
      About:     a text that is rather longer than a narrow terminal is wide
      Replicas:  2
    Conditions:
      Type   Status   Reason        Since                 Message
      ----   ------   ------        -----                 -------
      Ready  Unknown  NoController  2026-11-21T09:18:03Z  no controller of this kind runs in
                                                          this cluster
    Waits For:
      a controller: none acts on this kind yet (Ready=Unknown)
    Events:  <none>
    ");
    let resources = at(40, "api-resources");
    assert!(resources.lines().all(|line| line.chars().count() <= 40), "{resources}");
    // What was asked for is there to be read.
    let labelled = at(40, "get wl --show-labels");
    assert!(labelled.contains("app=web,tier=the-front-of-it-all"), "{labelled}");
}

#[test]
fn events_are_followed() {
    let server = Server::start();
    let script = |body: String| {
        server.script_full(Scripted {
            method: Method::GET,
            path: "/api/v1/namespaces/default/events".into(),
            code: 200,
            headers: Vec::new(),
            body,
            times: 1,
        });
    };
    script(json!({"kind": "EventList", "metadata": {"resourceVersion": "7"}, "items": [event("a", "Normal", "db", "2003-01-01T00:00:00Z", 1)]}).to_string());
    let line = |kind: &str, object: Value| format!("{}\n", json!({"type": kind, "object": object}));
    script(
        line("ADDED", event("b", "Normal", "web", "2004-01-01T00:00:00Z", 1))
            + &line("DELETED", event("c", "Normal", "web", "2004-01-01T00:00:00Z", 1))
            + &line(
                "ERROR",
                json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "Expired", "message": "too old", "code": 410}),
            ),
    );
    let ran = server.run("events -w -o name");
    assert_eq!((ran.code, ran.out.as_str()), (1, "event/a\nevent/b\n"));
    assert!(
        server.seen().pop().unwrap().query.contains("watch=true&allowWatchBookmarks=true&resourceVersion=7")
    );
}

fn version(revision: u64, change: &str, object: Value) -> Value {
    json!({"revision": revision.to_string(), "time": format!("2026-11-21T09:00:0{}.123456Z", revision % 10), "change": change,
        "by": {"user": "admin", "manager": "nexusctl", "method": "PATCH", "keys": ["ab12"]}, "object": object})
}

fn workload(replicas: u64, image: &str) -> Value {
    json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "containers": [{"name": "a", "image": image}]}})
}

fn with_history() -> Server {
    let server = Server::start();
    let page = |before: &str, items: Value| {
        json!({"kind": "ObjectHistory", "metadata": {"before": before}, "items": items}).to_string()
    };
    let pages = [
        page(
            "4",
            json!([version(6, "Deleted", workload(3, "x:2")), version(5, "Updated", workload(3, "x:2"))]),
        ),
        page(
            "",
            json!([version(3, "Updated", workload(3, "x:1")), version(2, "Created", workload(1, "x:1"))]),
        ),
    ];
    for body in pages {
        server.script_full(Scripted {
            method: Method::GET,
            path: format!("{WORKLOADS}/web"),
            code: 200,
            headers: Vec::new(),
            body,
            times: 1,
        });
    }
    server
}

#[test]
fn history_says_when_who_and_what() {
    let server = with_history();
    assert_snapshot!(server.run("history wl/web").out, @r#"
    REVISION   TIME                   CHANGE    USER    MANAGER    FIELDS
    6          2026-11-21T09:00:06Z   Deleted   admin   nexusctl   <none>
    5          2026-11-21T09:00:05Z   Updated   admin   nexusctl   spec.containers[name="a"].image
    3          2026-11-21T09:00:03Z   Updated   admin   nexusctl   spec.replicas
    2          2026-11-21T09:00:02Z   Created   admin   nexusctl   <none>
    "#);
    let queries: Vec<String> =
        server.seen().iter().filter(|s| s.query.contains("history")).map(|s| s.query.clone()).collect();
    assert_eq!(queries, ["history=true", "history=true&before=4"]);
    assert_snapshot!(with_history().run("history wl web --limit 1 --no-headers").out, @"6     2026-11-21T09:00:06Z   Deleted   admin   nexusctl   <none>");
    assert_eq!(with_history().run("history wl web -o jsonpath={.items[*].revision}").out, "6 5 3 2");
    assert_snapshot!(with_history().run("history wl web --limit 1 -o wide").out, @"
    REVISION   TIME                   CHANGE    USER    MANAGER    KEYS   FIELDS
    6          2026-11-21T09:00:06Z   Deleted   admin   nexusctl   ab12   <none>
    ");
    let by = with_history().run("history wl web --limit 1 -o jsonpath={.items[0].by}").out;
    let by: Value = serde_json::from_str(&by).unwrap();
    assert_eq!(by, json!({"user": "admin", "manager": "nexusctl", "method": "PATCH", "keys": ["ab12"]}));
    assert_snapshot!(server.run("history wl").err, @"error: one object has a history: say TYPE/NAME, such as workload/web");
}

#[test]
fn versions_are_shown_and_compared() {
    let server = Server::start();
    for object in [workload(1, "x:1"), workload(3, "x:1")] {
        server.script_full(Scripted {
            method: Method::GET,
            path: format!("{WORKLOADS}/web"),
            code: 200,
            headers: Vec::new(),
            body: object.to_string(),
            times: 1,
        });
    }
    assert_snapshot!(server.run("history wl/web --diff 2 3").out, @"
    --- a/workload.hypermesh.online/web
    +++ b/workload.hypermesh.online/web
    @@ -7,4 +7,4 @@
       containers:
       - image: x:1
         name: a
    -  replicas: 1
    +  replicas: 3
    ");
    assert!(server.seen().iter().any(|s| s.query == "resourceVersion=2&resourceVersionMatch=Exact"));
    server.put(&format!("{WORKLOADS}/web"), workload(7, "x:9"));
    assert!(server.run("history wl/web --revision 9").out.contains("replicas: 7"));
}

#[test]
fn descriptions_tell_what_is_waited_for() {
    let server = Server::start();
    server.put(
        &format!("{WORKLOADS}/web"),
        json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload",
            "metadata": {"name": "web", "namespace": "default", "generation": 2, "deletionTimestamp": "2026-11-21T09:00:00Z",
                "finalizers": ["x.io/keep"], "ownerReferences": [{"kind": "Asset", "name": "cpu0", "uid": "u", "controller": true}]},
            "spec": {"networkRef": {"name": "office"}, "env": [{"secretKeyRef": {"name": "keys", "key": "a"}}]},
            "status": {"observedGeneration": 1, "conditions": [
                {"type": "Ready", "status": "Unknown", "reason": "NoController", "lastTransitionTime": "2026-11-21T09:18:03Z"}]}}),
    );
    let uid = server.object(&format!("{WORKLOADS}/web")).unwrap()["metadata"]["uid"].clone();
    server.put(
        "/apis/hypermesh.online/v1/namespaces/default/networks/office",
        json!({"metadata": {"name": "office", "namespace": "default", "ownerReferences": [{"uid": uid, "kind": "Workload", "name": "web"}]}}),
    );
    // What is shown as another kind too is one object.
    let network = server.object("/apis/hypermesh.online/v1/namespaces/default/networks/office").unwrap();
    server.script(
        Method::GET,
        "/api/v1/namespaces/default/configmaps",
        200,
        json!({"metadata": {}, "items": [{"metadata": network["metadata"]}]}),
    );
    server.put(
        "/api/v1/namespaces/default/secrets/s",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "data": {"key": "aGVsbG8="}}),
    );
    assert_snapshot!(server.run("describe wl web").out, @r#"
    Name:         web
    Namespace:    default
    Labels:       <none>
    Annotations:  <none>
    API Version:  hypermesh.online/v1
    Kind:         Workload
    Owned By:     Asset/cpu0 (controller)
    Metadata:
      Deletion Timestamp:  2026-11-21T09:00:00Z
      Finalizers:
        - x.io/keep
      Generation:        2
      Resource Version:  101
      UID:               uid-101
    Spec:
      Env:
        - Secret Key Ref:
            Key:   a
            Name:  keys
      Network Ref:
        Name:  office
    Status:
      Observed Generation:  1
    Conditions:
      Type   Status   Reason        Since                 Message
      ----   ------   ------        -----                 -------
      Ready  Unknown  NoController  2026-11-21T09:18:03Z  <none>
    Owns:
      network.hypermesh.online/office
    Waits For:
      whoever removes its finalizers: x.io/keep (being deleted since 2026-11-21T09:00:00Z)
      its controller: it has seen generation 1, not yet 2
      a controller: none acts on this kind yet (Ready=Unknown)
      Secret "keys", which does not exist (named by spec.env[0].secretKeyRef)
    Events:  <none>
    "#);
    assert_snapshot!(server.run("describe secret s --show-events=false --show-relations=false").out, @"
    Name:         s
    Namespace:    default
    Labels:       <none>
    Annotations:  <none>
    API Version:  v1
    Kind:         Secret
    Metadata:
      Resource Version:  103
      UID:               uid-103
    Data:
      key:  5 bytes
    ");
}

fn with_schema() -> Server {
    let server = Server::start();
    let document = json!({"components": {"schemas": {
        "online.hypermesh.v1.Workload": {
            "x-kubernetes-group-version-kind": [{"group": "hypermesh.online", "version": "v1", "kind": "Workload"}],
            "description": "Replicated processes.", "type": "object", "required": ["spec"],
            "properties": {
                "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}], "description": "Standard metadata."},
                "spec": {"$ref": "#/components/schemas/Spec"},
            }},
        "Meta": {"type": "object", "properties": {"name": {"type": "string", "description": "The name."}}},
        "Spec": {"type": "object", "description": "What is wanted.", "required": ["containers"], "properties": {
            "replicas": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 100, "default": 1,
                "description": "How many replicas there are, of which each is a process of its own, on a node of its own where there are enough of them."},
            "strategy": {"type": "string", "enum": ["Rolling", "Recreate"], "default": "Rolling"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "port": {"x-kubernetes-int-or-string": true},
            "containers": {"type": "array", "minItems": 1, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-validations": [{"rule": "size(self) < 9", "message": "no more than eight"}],
                "items": {"type": "object", "required": ["name", "image"], "properties": {
                    "name": {"type": "string", "maxLength": 63}, "image": {"type": "string", "pattern": "^[a-z]+$", "example": "web"}}}},
        }},
    }}});
    server.script(Method::GET, "/openapi/v3/apis/hypermesh.online/v1", 200, document);
    server
}

#[test]
fn fields_are_explained() {
    let server = with_schema();
    assert_snapshot!(server.run("explain workload").out, @"
    GROUP:      hypermesh.online
    KIND:       Workload
    VERSION:    v1

    DESCRIPTION:
        Replicated processes.

    EXAMPLE:
        apiVersion: hypermesh.online/v1
        kind: Workload
        metadata:
          name: example
        spec:
          containers:
          - image: web
            name: example

    FIELDS:
      metadata <Object>
          Standard metadata.

      spec <Object> -required-
          What is wanted.
    ");
    assert_snapshot!(server.run("explain wl.spec.replicas").out, @"
    GROUP:      hypermesh.online
    KIND:       Workload
    VERSION:    v1

    FIELD: replicas <integer>

    DESCRIPTION:
        How many replicas there are, of which each is a process of its own, on a node of its own
        where there are enough of them.

    CONSTRAINTS:
        default: 1
        at least: 0
        at most: 100
        format: int32

    EXAMPLE:
        apiVersion: hypermesh.online/v1
        kind: Workload
        metadata:
          name: example
        spec:
          containers:
          - image: web
            name: example
          replicas: 1
    ");
    assert_snapshot!(server.run("explain workloads.hypermesh.online.spec.containers[0].image").out, @"
    GROUP:      hypermesh.online
    KIND:       Workload
    VERSION:    v1

    FIELD: image <string> -required-

    DESCRIPTION:
        <empty>

    CONSTRAINTS:
        matches: ^[a-z]+$

    EXAMPLE:
        apiVersion: hypermesh.online/v1
        kind: Workload
        metadata:
          name: example
        spec:
          containers:
          - image: web
            name: example
    ");
    assert_snapshot!(server.run("explain wl.spec.containers").out, @"
    GROUP:      hypermesh.online
    KIND:       Workload
    VERSION:    v1

    FIELD: containers <[]Object> -required-

    DESCRIPTION:
        <empty>

    CONSTRAINTS:
        items, at least: 1
        items are told apart by: name
        no more than eight

    EXAMPLE:
        apiVersion: hypermesh.online/v1
        kind: Workload
        metadata:
          name: example
        spec:
          containers:
          - image: web
            name: example

    FIELDS:
      image <string> -required-

      name <string> -required-
    ");
    assert_snapshot!(server.run("explain wl.spec --recursive").out, @"
    GROUP:      hypermesh.online
    KIND:       Workload
    VERSION:    v1

    FIELD: spec <Object> -required-

    DESCRIPTION:
        What is wanted.

    FIELDS:
      containers <[]Object> -required-
        image <string> -required-
        name <string> -required-
      labels <map[string]string>
      port <int or string>
      replicas <integer>
      strategy <string>
    ");
    assert_snapshot!(server.run("explain wl.spec.replcas").err, @r#"error: workload.spec has no field "replcas": did you mean "replicas"?"#);
    assert_snapshot!(server.run("explain wl.spec.zzz").err, @r#"error: workload.spec has no field "zzz": it has containers, labels, port, replicas, strategy"#);
    assert_snapshot!(server.run("explain wl.spec.replicas.x").err, @r#"error: workload.spec.replicas has no field "x": it has no fields"#);
    assert_snapshot!(server.run("explain wll").err, @r#"error: the server doesn't have a resource type "wll""#);
    assert_snapshot!(server.run("explain wl --api-version v2").err, @"error: --api-version: v2 has no Workload");
}

#[test]
fn waits_end_with_what_was_waited_for() {
    let server = Server::start();
    let path = |name: &str| format!("{WORKLOADS}/{name}");
    let ready = |name: &str, status: &str| {
        let mut object = workload(1, "x");
        object["metadata"]["name"] = name.into();
        object["status"] = json!({"conditions": [{"type": "Ready", "status": status, "reason": "Pull", "message": "no image"}]});
        object
    };
    server.put(&path("a"), ready("a", "True"));
    server.put(&path("b"), ready("b", "True"));
    let ran = server.run("wait wl a b --for=condition=Ready");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "workload.hypermesh.online/a condition met\nworkload.hypermesh.online/b condition met\n")
    );
    assert_eq!(
        server.run("wait wl --all --for=jsonpath={.spec.replicas}=1 -o name").out,
        "workload.hypermesh.online/a\nworkload.hypermesh.online/b\n"
    );
    assert_eq!(server.run("wait wl/none --for=delete").out, "workload.hypermesh.online/none deleted\n");
    assert_eq!(server.run("wait wl/a --for=create").out, "workload.hypermesh.online/a created\n");
    server.put(&path("b"), ready("b", "False"));
    let ran = server.run("wait wl/a wl/b --for=condition=Ready --timeout=1s");
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.out + &ran.err, @"
    workload.hypermesh.online/a condition met
    error: workload.hypermesh.online/b: condition Ready=True was not met within 1 s
      state: Ready is False: Pull: no image
    ");
    assert_snapshot!(server.run("wait wl/b --for=condition=Ready --timeout=0").err, @"
    error: workload.hypermesh.online/b: condition Ready=True is not met
      state: Ready is False: Pull: no image
    ");
    assert_snapshot!(server.run("wait wl --for=delete").err, @"error: which workloads? Name them, choose them with -l, or say --all");
    assert_snapshot!(server.run("wait wl --for=ready -l x=y").err, @r#"error: --for: "ready" is not one of create, delete, condition=NAME[=VALUE], jsonpath=PATH[=VALUE]"#);
    assert_snapshot!(server.run("wait networks --all --for=condition=Ready").err, @"error: no objects are there to wait for");
}

#[test]
fn waits_watch() {
    let server = std::sync::Arc::new(Server::start());
    server.put(&format!("{WORKLOADS}/web"), workload(1, "x"));
    let waiting = std::sync::Arc::clone(&server);
    let waiter = std::thread::spawn(move || waiting.run("wait wl/web --for=delete --timeout=60s"));
    server.wait_for_watcher();
    server.remove(&format!("{WORKLOADS}/web"));
    let ran = waiter.join().unwrap();
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "workload.hypermesh.online/web deleted\n", "")
    );
    let lists = server.seen().iter().filter(|s| s.path == WORKLOADS && !s.query.contains("watch")).count();
    assert_eq!(lists, 1);
}

#[test]
fn what_is_served_is_asked_once() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let environment = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
    let run =
        |words: &str| super::run_in(environment.clone(), &format!("--server {} {words}", server.url()), "");
    let asked = || server.seen().iter().filter(|s| s.path == "/apis").count();
    assert_eq!(run("get networks").code, 0);
    assert_eq!(run("get networks").code, 0);
    assert_eq!(asked(), 1);
    // A type that is not known may be new, so the server is asked again; and what it says is kept.
    assert_eq!(run("get gadgets").code, 1);
    assert_eq!(asked(), 2);
    server.script(
        Method::GET,
        "/apis",
        200,
        json!({"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "x.io"}, "versions": [{"version": "v1", "resources": [
            {"resource": "gadgets", "singularResource": "gadget", "scope": "Cluster", "verbs": ["list"], "responseKind": {"kind": "Gadget"}}]}]}]}),
    );
    server.script(
        Method::GET,
        "/apis/x.io/v1/gadgets",
        200,
        json!({"kind": "GadgetList", "metadata": {}, "items": [{"metadata": {"name": "g"}}]}),
    );
    assert_eq!(run("get gadgets -o name").out, "gadget.x.io/g\n");
    assert_eq!(run("get gadget -o name").out, "gadget.x.io/g\n");
    assert_eq!(asked(), 3);
}

#[test]
fn what_still_holds_is_not_sent_again() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let environment = Environment { home: Some(home.path().to_owned()), ..Environment::default() };
    let run =
        |words: &str| super::run_in(environment.clone(), &format!("--server {} {words}", server.url()), "");
    let reply = |code, body: &str| {
        for path in ["/api", "/apis"] {
            server.script_full(Scripted {
                method: Method::GET,
                path: path.into(),
                code,
                headers: vec![("etag", "\"t\"".into())],
                body: body.into(),
                times: 1,
            });
        }
    };
    let nothing = json!({"kind": "APIGroupDiscoveryList", "items": []}).to_string();
    reply(200, &nothing);
    assert_eq!(run("get gadgets").code, 1);
    // What is kept is doubted, and the server says that it holds.
    reply(304, "");
    let ran = run("get gadgets");
    assert_eq!(ran.err, "error: the server doesn't have a resource type \"gadgets\"\n");
    assert_eq!(server.seen().iter().filter(|s| s.path.starts_with("/api")).count(), 4);
}

#[test]
fn a_server_that_went_away_is_told_when_the_wait_is_over() {
    let server = Server::start();
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    server.script(Method::GET, collection, super::server::HANG_UP, "");
    let ran = server.run("wait wl/a --for=delete --timeout=500ms");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    let text = ran.err.replace(&server.url(), "URL");
    assert!(
        text.starts_with(
            "error: workload.hypermesh.online/a: delete was not met within 500ms\n  state: unknown: "
        ),
        "{text}"
    );
    assert!(text.contains("URL") && !text.contains("not looked at"), "{text}");
}
