//! `get` and `describe`: what is asked for and how it is shown.

use super::server::Server;
use http::Method;
use insta::assert_snapshot;
use serde_json::{Value, json};

fn workload(name: &str, namespace: &str, replicas: u64) -> Value {
    json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, "managedFields": [{"manager": "x"}],
            "creationTimestamp": "2026-11-21T09:18:03Z"},
        "spec": {"replicas": replicas, "image": "localhost/hello:1"},
        "status": {"ready": 1, "conditions": [
            {"type": "Ready", "status": "Unknown", "reason": "NoController", "lastTransitionTime": "2026-11-21T09:18:03Z", "message": ""}]}})
}

fn path(namespace: &str, name: &str) -> String {
    format!("/apis/hypermesh.online/v1/namespaces/{namespace}/workloads/{name}")
}

fn filled() -> Server {
    let server = Server::start();
    server.put(&path("default", "web"), workload("web", "default", 2));
    server.put(&path("default", "database"), workload("database", "default", 1));
    server.put(&path("prod", "web"), workload("web", "prod", 9));
    server.put(
        "/apis/hypermesh.online/v1/assets/cpu0",
        json!({"apiVersion": "hypermesh.online/v1", "kind": "Asset", "metadata": {"name": "cpu0"}, "spec": {}}),
    );
    server
}

#[test]
fn tables_look_like_kubectls() {
    let server = filled();
    assert_snapshot!(server.run("get workloads").out, @"
    NAME       REPLICAS   AGE
    database   1          5m
    web        2          5m
    ");
    assert_snapshot!(server.run("get wl -o wide").out, @"
    NAME       REPLICAS   AGE   IMAGE
    database   1          5m    localhost/hello:1
    web        2          5m    localhost/hello:1
    ");
    assert_snapshot!(server.run("get Workload -A").out, @"
    NAMESPACE   NAME       REPLICAS   AGE
    default     database   1          5m
    default     web        2          5m
    prod        web        9          5m
    ");
    assert_snapshot!(server.run("get wl web --no-headers").out, @"web   2     5m");
    assert_snapshot!(server.run("get wl --show-labels -L app").out, @"
    NAME       REPLICAS   AGE   APP        LABELS
    database   1          5m    database   app=database
    web        2          5m    web        app=web
    ");
    assert_snapshot!(server.run("get all").out, @"
    NAME                          REPLICAS   AGE
    asset.hypermesh.online/cpu0   <none>     5m

    NAME                                 REPLICAS   AGE
    workload.hypermesh.online/database   1          5m
    workload.hypermesh.online/web        2          5m
    ");
    assert_snapshot!(server.run("get wl/web asset/cpu0").out, @"
    NAME                            REPLICAS   AGE
    workload.hypermesh.online/web   2          5m

    NAME                          REPLICAS   AGE
    asset.hypermesh.online/cpu0   <none>     5m
    ");
    assert_snapshot!(server.run("get wl,asset -o name").out, @"
    workload.hypermesh.online/database
    workload.hypermesh.online/web
    asset.hypermesh.online/cpu0
    ");
}

#[test]
fn objects_hide_what_nobody_reads() {
    let server = filled();
    assert_snapshot!(server.run("get wl web -o yaml").out, @r#"
    apiVersion: hypermesh.online/v1
    kind: Workload
    metadata:
      creationTimestamp: "2026-11-21T09:18:03Z"
      labels:
        app: web
      name: web
      namespace: default
      resourceVersion: "101"
      uid: uid-101
    spec:
      image: localhost/hello:1
      replicas: 2
    status:
      conditions:
      - lastTransitionTime: "2026-11-21T09:18:03Z"
        message: ""
        reason: NoController
        status: Unknown
        type: Ready
      ready: 1
    "#);
    assert!(server.run("get wl web -o yaml --show-managed-fields").out.contains("managedFields"));
    let list: Value = serde_json::from_str(&server.run("get wl -o json").out).unwrap();
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
}

#[test]
fn absence_is_told_as_by_kubectl() {
    let server = filled();
    let ran = server.run("get networks");
    assert_eq!((ran.code, ran.err.as_str()), (0, "No resources found in default namespace.\n"));
    assert_eq!(server.run("get networks -A").err, "No resources found\n");
    let ran = server.run("get networks -n defualt");
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.err, @"No resources found in defualt namespace: there is no such namespace, `nexusctl get namespaces` shows those there are.");
    let ran = server.run("get wl web nope other -n default");
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.out + &ran.err, @r#"
    NAME   REPLICAS   AGE
    web    2          5m
    Error from server (NotFound): workloads.hypermesh.online "nope" not found
    Error from server (NotFound): workloads.hypermesh.online "other" not found
    "#);
    let ran = server.run("get wl nope --ignore-not-found");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let ran = server.run("get workload nope");
    assert_eq!(ran.err, "Error from server (NotFound): workloads.hypermesh.online \"nope\" not found\n");
    assert_snapshot!(server.run("get worklods").err, @r#"error: the server doesn't have a resource type "worklods"; did you mean "workloads"?"#);
    assert_snapshot!(server.run("get deployments").err, @r#"error: the server doesn't have a resource type "deployments""#);
    assert_snapshot!(server.run("get").err, @"error: say which type of object: `nexusctl api-resources` lists them, and a type may be followed by names");
    assert_snapshot!(server.run("get wl/web x").err, @r#"error: "x" stands alone: where one object is given as TYPE/NAME, all are"#);
}

#[test]
fn selectors_and_parts_travel_in_the_query() {
    let server = filled();
    let _ = server.run("get wl -l app=web,x!=y --field-selector metadata.name=web --chunk-size 7");
    let last = server.seen().pop().unwrap();
    assert_eq!(last.query, "labelSelector=app%3Dweb%2Cx%21%3Dy&fieldSelector=metadata.name%3Dweb&limit=7");
    assert!(last.accept.contains("as=Table"));
}

#[test]
fn long_lists_come_in_parts_and_survive_an_expired_token() {
    let server = filled();
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    let mut first = super::server::table(&[workload("a", "default", 1)]);
    first["metadata"]["continue"] = "token".into();
    let script = |code, body: Value| super::server::Scripted {
        method: Method::GET,
        path: collection.into(),
        code,
        headers: Vec::new(),
        body: body.to_string(),
        times: 1,
    };
    server.script_full(script(200, first.clone()));
    server.script_full(script(200, super::server::table(&[workload("b", "default", 2)])));
    assert_snapshot!(server.run("get wl").out, @"
    NAME   REPLICAS   AGE
    a      1          5m
    b      2          5m
    ");
    assert!(server.seen().pop().unwrap().query.ends_with("limit=500&continue=token"));
    server.script_full(script(200, first));
    server.script_full(script(
        410,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "Expired", "code": 410}),
    ));
    // From the beginning, in one piece: nothing twice, nothing missing.
    assert_snapshot!(server.run("get wl").out, @"
    NAME       REPLICAS   AGE
    database   1          5m
    web        2          5m
    ");
}

#[test]
fn older_servers_are_understood() {
    let server = filled();
    server.legacy();
    assert!(server.run("get wl").out.contains("web"));
    assert_snapshot!(server.run("api-resources").out, @"
    NAME         SHORTNAMES   APIVERSION            NAMESPACED   KIND
    configmaps   cm           v1                    true         ConfigMap
    events       ev           v1                    true         Event
    namespaces   ns           v1                    false        Namespace
    secrets                   v1                    true         Secret
    assets       as           hypermesh.online/v1   false        Asset
    networks     net          hypermesh.online/v1   true         Network
    workloads    wl           hypermesh.online/v1   true         Workload
    ");
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    server.script(
        Method::GET,
        collection,
        200,
        json!({"kind": "WorkloadList", "items": [workload("plain", "default", 1)]}),
    );
    assert_snapshot!(server.run("get wl").out, @"
    NAME    CREATED AT
    plain   2026-11-21T09:18:03Z
    ");
}

#[test]
fn watches_show_changes_and_end_with_the_servers_word() {
    let server = filled();
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    let row = |name: &str, replicas, revision: &str| {
        let mut object = workload(name, "default", replicas);
        object["metadata"]["resourceVersion"] = revision.into();
        let mut table = super::server::table(&[object]);
        // Only the first table of a watch has columns.
        table["columnDefinitions"] = Value::Null;
        table
    };
    let script = |body: String| super::server::Scripted {
        method: Method::GET,
        path: collection.into(),
        code: 200,
        headers: Vec::new(),
        body,
        times: 1,
    };
    let mut list = super::server::table(&[workload("web", "default", 2)]);
    list["metadata"]["resourceVersion"] = "104".into();
    server.script_full(script(list.to_string()));
    let line = |kind: &str, object: Value| format!("{}\n", json!({"type": kind, "object": object}));
    // The first watch ends in between; the second goes on from the bookmark.
    server.script_full(script(
        line("MODIFIED", row("web", 3, "105"))
            + &line("BOOKMARK", json!({"metadata": {"resourceVersion": "110"}})),
    ));
    let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired",
        "message": "too old resource version: 110 (200)", "code": 410});
    server.script_full(script(line("DELETED", row("web", 3, "111")) + &line("ERROR", gone)));
    let ran = server.run("get wl -w --output-watch-events");
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.out + &ran.err, @"
    EVENT      NAME   REPLICAS   AGE
    ADDED      web    2          5m
    MODIFIED   web    3          5m
    DELETED    web    3          5m
    Error from server (Expired): too old resource version: 110 (200)
    ");
    let queries: Vec<String> =
        server.seen().iter().filter(|s| s.query.contains("watch")).map(|s| s.query.clone()).collect();
    assert_snapshot!(queries.join("\n"), @"
    watch=true&allowWatchBookmarks=true&resourceVersion=104
    watch=true&allowWatchBookmarks=true&resourceVersion=110
    ");
}

#[test]
fn a_table_that_cannot_be_read_is_no_empty_one() {
    let server = filled();
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    let broken = json!({"kind": "Table", "columnDefinitions": null, "rows": {}});
    server.script(Method::GET, collection, 200, broken);
    let ran = server.run("get wl");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("error: the server's table cannot be read: "), "{}", ran.err);
}

#[test]
fn descriptions_hold_everything() {
    let server = filled();
    server.put(
        "/api/v1/namespaces/default/events/web.1",
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web.1", "namespace": "default"},
            "type": "Warning", "reason": "FailedPull", "message": "no such image\nat all", "count": 3,
            "lastTimestamp": "2026-11-21T09:20:00Z", "source": {"component": "agent"},
            "involvedObject": {"kind": "Workload", "name": "web"}}),
    );
    assert_snapshot!(server.run("describe wl web").out, @"
    Name:         web
    Namespace:    default
    Labels:       app=web
    Annotations:  <none>
    API Version:  hypermesh.online/v1
    Kind:         Workload
    Metadata:
      Creation Timestamp:  2026-11-21T09:18:03Z
      Resource Version:    101
      UID:                 uid-101
    Spec:
      Image:     localhost/hello:1
      Replicas:  2
    Status:
      Ready:  1
    Conditions:
      Type   Status   Reason        Since                 Message
      ----   ------   ------        -----                 -------
      Ready  Unknown  NoController  2026-11-21T09:18:03Z  <none>
    Waits For:
      a controller: none acts on this kind yet (Ready=Unknown)
    Events:
      Type     Reason      Last Seen                  From   Message
      ----     ------      ---------                  ----   -------
      Warning  FailedPull  2026-11-21T09:20:00Z (x3)  agent  no such image at all
    ");
    assert_snapshot!(server.run("describe asset cpu0").out, @"
    Name:         cpu0
    Labels:       <none>
    Annotations:  <none>
    API Version:  hypermesh.online/v1
    Kind:         Asset
    Metadata:
      Resource Version:  104
      UID:               uid-104
    Spec:                <none>
    Events:
      Type     Reason      Last Seen                  From   Message
      ----     ------      ---------                  ----   -------
      Warning  FailedPull  2026-11-21T09:20:00Z (x3)  agent  no such image at all
    ");
    assert_eq!(server.run("describe wl nope").code, 1);
    let asked = server.seen().into_iter().find(|s| s.path.ends_with("/events")).unwrap();
    assert!(asked.query.contains("involvedObject.name%3Dweb"), "{}", asked.query);
}

#[test]
fn templates_and_columns_show_what_is_asked_for() {
    let server = filled();
    let object = server.run("get wl web -o jsonpath={.metadata.name}={.spec.replicas}");
    assert_eq!((object.code, object.out.as_str(), object.err.as_str()), (0, "web=2", ""));
    let list = server.run("get wl -o jsonpath={range.items[*]}{.metadata.name}{'\\n'}{end}");
    assert_eq!(list.out, "database\nweb\n");
    assert_snapshot!(server.run("get wl -o custom-columns=NAME:.metadata.name,REPLICAS:.spec.replicas,NONE:.spec.x").out, @"
    NAME       REPLICAS   NONE
    database   1          <none>
    web        2          <none>
    ");
    assert_snapshot!(server.run("get wl --no-headers -o custom-columns=N:metadata.name").out, @"
    database
    web
    ");
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template");
    std::fs::write(&template, "{range .items[*]}{.metadata.name} {end}").unwrap();
    assert_eq!(server.run(&format!("get wl -o jsonpath-file={}", template.display())).out, "database web ");
    std::fs::write(&template, "NAME AGE\n.metadata.name .metadata.creationTimestamp\n").unwrap();
    assert_snapshot!(server.run(&format!("get wl -o custom-columns-file={}", template.display())).out, @"
    NAME       AGE
    database   2026-11-21T09:18:03Z
    web        2026-11-21T09:18:03Z
    ");
    assert_snapshot!(server.run("get wl -o jsonpath={.items[0}").err, @"
    error: this bracket is never closed
     --> -o jsonpath:1:8
      |
    1 | {.items[0}
      |        ^
    ");
    assert_snapshot!(server.run("get wl -o jsonpath").err, @"error: -o jsonpath says nothing without a value: -o jsonpath='{.metadata.name}'");
    assert_snapshot!(server.run("get wl -o go-template={{.x}}").err, @"error: Go's templates are not spoken here: say -o jsonpath='{.metadata.name}', -o custom-columns=NAME:.metadata.name, or pipe -o json to jq (was: -o go-template)");
    assert_snapshot!(server.run("get wl -o csv").err, @r#"error: -o "csv" is not one of json|yaml|wide|name|jsonpath=…|jsonpath-file=…|custom-columns=…|custom-columns-file=…"#);
    assert_snapshot!(server.run("get -k folder").err, @"error: kustomizations are not built here: pipe them in, `kustomize build folder | nexusctl get -f -`");
}

#[test]
fn sorting_knows_what_it_sorts() {
    let server = Server::start();
    for (name, replicas) in [("web-10", 9), ("web-9", 10), ("db", 1)] {
        server.put(
            &format!("/apis/hypermesh.online/v1/namespaces/default/workloads/{name}"),
            workload(name, "default", replicas),
        );
    }
    assert_snapshot!(server.run("get wl --sort-by=.spec.replicas").out, @"
    NAME     REPLICAS   AGE
    db       1          5m
    web-10   9          5m
    web-9    10         5m
    ");
    assert!(server.seen().pop().unwrap().query.contains("includeObject=Object"));
    assert_eq!(
        server.run("get wl -o name --sort-by={.metadata.name}").out,
        "workload.hypermesh.online/db\nworkload.hypermesh.online/web-9\nworkload.hypermesh.online/web-10\n"
    );
    assert_snapshot!(server.run("get wl --sort-by=.spec.replica").err, @r#"error: --sort-by: no object has the field ".spec.replica"; `nexusctl explain` shows the fields there are"#);
    assert_snapshot!(server.run("get wl --sort-by=.spec[").err, @"
    error: this bracket is never closed
     --> --sort-by:1:6
      |
    1 | .spec[
      |      ^
    ");
}

#[test]
fn the_past_is_asked_of_servers_that_keep_it() {
    let server = filled();
    let _ = server.run("get wl --at 42");
    let seen = server.seen();
    assert_eq!(seen.last().unwrap().query, "resourceVersion=42&resourceVersionMatch=Exact&limit=500");
    let _ = server.run("get wl web --at 2026-11-21T09:30:00Z -o yaml");
    assert_eq!(server.seen().last().unwrap().query, "asOf=2026-11-21T09%3A30%3A00Z");
    assert_snapshot!(server.run("get wl --at yesterday").err, @r#"
    error: invalid value 'yesterday' for '--at <MOMENT>': "yesterday" is neither a revision (42), nor a time (2026-11-21T09:30:00Z), nor how long ago (10m, 2h, 1d)

    For more information, try '--help'.
    "#);
    server.script(Method::GET, "/version", 200, json!({"gitVersion": "v1.36.0+k3s"}));
    assert_snapshot!(server.run("get wl --at 10m").err, @"error: this server (v1.36.0+k3s) keeps no past that could be asked about");
}

#[test]
fn subresources_and_raw_paths() {
    let server = filled();
    server.script(
        Method::GET,
        "/apis/hypermesh.online/v1/namespaces/default/workloads/web/scale",
        200,
        json!({"kind": "Scale", "spec": {"replicas": 2}}),
    );
    assert_eq!(server.run("get wl web --subresource scale -o jsonpath={.spec.replicas}").out, "2");
    assert_snapshot!(server.run("get wl --subresource scale").err, @"error: --subresource scale is of single objects: name them");
    assert_snapshot!(server.run("get wl web --subresource nope").err, @r#"error: workloads.hypermesh.online have no subresource "nope" to get: there are status and scale"#);
    assert_eq!(server.run("get --raw readyz").code, 1);
}

#[test]
fn watches_take_every_form() {
    let server = filled();
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    let line = |kind: &str, object: Value| format!("{}\n", json!({"type": kind, "object": object}));
    let list = json!({"kind": "WorkloadList", "metadata": {"resourceVersion": "9"}, "items": [workload("a", "default", 1)]});
    let end = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "message": "too old", "code": 410});
    let watched = |words: &str| {
        for body in
            [list.to_string(), line("MODIFIED", workload("a", "default", 2)) + &line("ERROR", end.clone())]
        {
            server.script_full(super::server::Scripted {
                method: Method::GET,
                path: collection.into(),
                code: 200,
                headers: Vec::new(),
                body,
                times: 1,
            });
        }
        server.run(words).out
    };
    assert_eq!(watched("get wl -w -o jsonpath={.metadata.name}:{.spec.replicas}"), "a:1\na:2\n");
    assert_snapshot!(watched("get wl -w -o custom-columns=N:.metadata.name,R:.spec.replicas"), @"
    N     R
    a     1
    a     2
    ");
    let events = watched("get wl -w --output-watch-events -o json");
    assert!(events.contains("\"type\": \"MODIFIED\"") && !events.contains("managedFields"), "{events}");
    assert_eq!(watched("get wl --watch-only -o name"), "workload.hypermesh.online/a\n");
}

#[test]
fn a_watch_that_breaks_off_says_so_and_goes_on() {
    let server = filled();
    let collection = "/apis/hypermesh.online/v1/namespaces/default/workloads";
    let line = |kind: &str, object: Value| format!("{}\n", json!({"type": kind, "object": object}));
    let list = json!({"kind": "WorkloadList", "metadata": {"resourceVersion": "9"}, "items": [workload("a", "default", 1)]});
    let end = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "message": "too old", "code": 410});
    let more = line("MODIFIED", workload("a", "default", 2)) + &line("ERROR", end);
    // A read is sent again a few times before anybody hears of it.
    for (code, body, times) in
        [(200, list.to_string(), 1), (super::server::HANG_UP, String::new(), 4), (200, more, 1)]
    {
        server.script_full(super::server::Scripted {
            method: Method::GET,
            path: collection.into(),
            code,
            headers: Vec::new(),
            body,
            times,
        });
    }
    let ran = server.run("get wl -w -o jsonpath={.metadata.name}:{.spec.replicas}");
    assert_eq!(ran.out, "a:1\na:2\n");
    let said: Vec<&str> = ran.err.lines().collect();
    assert!(
        said[0].starts_with("Warning: the watch broke off, and is taken up where it was: "),
        "{}",
        ran.err
    );
    assert_eq!(said.len(), 2, "{}", ran.err);
}
