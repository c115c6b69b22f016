//! `why` and `node`: what is told of places, and how nodes are emptied.

use super::run_at;
use super::server::{Scripted, Server};
use http::Method;
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const OURS: &str = "/apis/hypermesh.online/v1";

fn node(name: &str, memory: &str, taints: Value, cordoned: bool) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"zone": &name[..1]}},
        "spec": {"publicKey": format!("{:0<64}", hex(name)), "taints": taints, "unschedulable": cordoned},
        "status": {
            "allocatable": {"cpu": "4", "memory": memory, "pods": 110}, "address": "fd00::1",
            "nodeInfo": {"agentVersion": "0.1.0", "architecture": "amd64", "bootID": "b", "kernelVersion": "6.1", "osImage": "Debian"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "AgentReady", "message": "it is ready",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    })
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn instance(name: &str, node: Option<&str>, status: Value) -> Value {
    let mut instance = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"),
            "ownerReferences": [{"apiVersion": "hypermesh.online/v1", "kind": "Workload", "name": "web", "uid": "w"}]},
        "spec": {"workload": "web", "revision": "7d4f", "pod": {"containers": [
            {"name": "app", "image": "app:1", "resources": {"requests": {"cpu": "500m", "memory": "2Gi"}}}]}},
        "status": status,
    });
    if let Some(node) = node {
        instance["spec"]["nodeName"] = node.into();
    }
    instance
}

fn waiting() -> Value {
    instance(
        "web-wait",
        None,
        json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes fit: as it was then"}]}),
    )
}

fn crashing(name: &str) -> Value {
    instance(
        name,
        Some("a1"),
        json!({"phase": "Running", "restarts": 4, "conditions": [
            {"type": "PodScheduled", "status": "True", "reason": "Scheduled", "message": "a1 is the only one of 3 nodes that fits"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "app is not ready"}],
            "containerStatuses": [{"name": "app", "ready": false, "restartCount": 4, "image": "app:1",
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}),
    )
}

fn running(name: &str, node: &str) -> Value {
    instance(
        name,
        Some(node),
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": ""},
            {"type": "PodScheduled", "status": "True", "reason": "Scheduled", "message": "a1 is the only node, and fits"}],
            "containerStatuses": [{"name": "app", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}),
    )
}

fn list(items: &[Value]) -> Value {
    json!({"kind": "List", "apiVersion": "v1", "items": items, "metadata": {"resourceVersion": "7"}})
}

fn server(instances: &[Value]) -> Server {
    let server = Server::start();
    let nodes = [
        node("a1", "3Gi", json!([]), false),
        node("b1", "8Gi", json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]), false),
        node("b2", "8Gi", json!([]), true),
    ];
    for node in &nodes {
        server.put(&format!("{OURS}/nodes/{}", node["metadata"]["name"].as_str().unwrap()), node.clone());
    }
    for one in instances {
        let name = one["metadata"]["name"].as_str().unwrap();
        server.put(&format!("{OURS}/namespaces/default/instances/{name}"), one.clone());
    }
    server.script(Method::GET, &format!("{OURS}/nodes"), 200, list(&nodes));
    server.script(Method::GET, &format!("{OURS}/instances"), 200, list(instances));
    server.script(Method::GET, &format!("{OURS}/namespaces/default/instances"), 200, list(instances));
    let workload = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload",
        "metadata": {"name": "web", "namespace": "default", "generation": 2},
        "spec": {"replicas": 4, "rollout": {"paused": true}, "template": {"spec": {"containers": []}}},
        "status": {"observedGeneration": 2, "replicas": 4, "readyReplicas": 1, "updatedReplicas": 4, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "revision 7d4f: 4 of 4 instances are made, 1 are available"}]}});
    server.put(&format!("{OURS}/namespaces/default/workloads/web"), workload);
    server
}

fn why(server: &Server, words: &str) -> super::Ran {
    server.run(&format!("why {words} --decisions 127.0.0.1:1"))
}

#[test]
fn an_instance_that_waits_is_judged_node_by_node() {
    let server = server(&[waiting(), crashing("web-crash")]);
    assert_snapshot!(why(&server, "instance/web-wait").out, @"
    instance default/web-wait has no node
      ✗ 0/3 nodes fit: 1 has the taint gpu=yes:NoSchedule, 1 is cordoned, 1 has too little memory (needs 2Gi, has 1Gi left)
          a1  has too little memory (needs 2Gi, has 1Gi left)
          b1  has the taint gpu=yes:NoSchedule
          b2  is cordoned
    ");
    let narrow = format!("--server {} why pod/web-wait --decisions 127.0.0.1:1", server.url());
    assert_snapshot!(run_at(Some(48), Environment::default(), &narrow, "").out, @"
    instance default/web-wait has no node
      ✗ 0/3 nodes fit: 1 has the taint
        gpu=yes:NoSchedule, 1 is cordoned, 1 has too
        little memory (needs 2Gi, has 1Gi left)
          a1  has too little memory (needs 2Gi, has
            1Gi left)
          b1  has the taint gpu=yes:NoSchedule
          b2  is cordoned
    ");
    assert_snapshot!(why(&server, "pod web-wait -o json").out, @r#"
    {
        "kind": "instance",
        "name": "web-wait",
        "namespace": "default",
        "reasons": [
            {
                "details": [
                    {
                        "name": "a1",
                        "text": "has too little memory (needs 2Gi, has 1Gi left)"
                    },
                    {
                        "name": "b1",
                        "text": "has the taint gpu=yes:NoSchedule"
                    },
                    {
                        "name": "b2",
                        "text": "is cordoned"
                    }
                ],
                "text": "0/3 nodes fit: 1 has the taint gpu=yes:NoSchedule, 1 is cordoned, 1 has too little memory (needs 2Gi, has 1Gi left)",
                "weight": "wrong"
            }
        ],
        "summary": "has no node"
    }
    "#);
}

#[test]
fn who_may_not_list_nodes_is_told_what_the_instance_says() {
    let forbidden = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 403,
        "reason": "Forbidden", "message": "no"});
    let server = Server::start();
    server.put(&format!("{OURS}/namespaces/default/instances/web-wait"), waiting());
    server.script(Method::GET, &format!("{OURS}/nodes"), 403, forbidden);
    assert_snapshot!(why(&server, "instance/web-wait").out, @"
    instance default/web-wait has no node
      ✗ 0/3 nodes fit: as it was then
    ");
}

#[test]
fn a_crash_is_told_with_its_last_end_and_where_its_words_are() {
    let server = server(&[crashing("web-crash")]);
    let event = json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "BackOff", "message": "restarting app", "count": 3,
        "involvedObject": {"kind": "Instance", "name": "web-crash"}});
    server.script(Method::GET, "/api/v1/namespaces/default/events", 200, list(&[event]));
    assert_snapshot!(why(&server, "inst/web-crash").out, @"
    instance default/web-crash runs on node a1 and is not ready
      · why there: a1 is the only one of 3 nodes that fits
      ✗ container app ends soon after each start (4 times): exit code 137: it used more memory than its limit allows (OOMKilled)
        → nexusctl logs -n default web-crash -c app --previous
    ");
}

#[test]
fn what_was_said_is_not_said_in_other_words() {
    let why_not = "connecting to registry.example: name or service not known";
    let pulling = instance(
        "web-pull",
        Some("a1"),
        json!({"phase": "Pending", "conditions": [
            {"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady", "message": "containers with unready status: [app]"},
            {"type": "Stuck", "status": "True", "reason": "Refused", "message": "the volume cfg names a ConfigMap that does not exist"}],
            "containerStatuses": [{"name": "app", "ready": false, "restartCount": 0, "image": "app:1",
                "state": {"waiting": {"reason": "ErrImagePull", "message": why_not}}}]}),
    );
    let server = server(&[pulling]);
    let event = |message: String| {
        json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Failed", "message": message,
            "involvedObject": {"kind": "Instance", "name": "web-pull"}})
    };
    let events = [
        event("Error: ErrImagePull".to_owned()),
        event(format!("Failed to pull image \"app:1\": {why_not}")),
    ];
    server.script(Method::GET, "/api/v1/namespaces/default/events", 200, list(&events));
    assert_snapshot!(why(&server, "instance/web-pull").out, @"
    instance default/web-pull starts on node a1
      · it was bound to node a1 by somebody else than the scheduler
      ✗ container app has no image: pulling app:1 fails (ErrImagePull): connecting to registry.example: name or service not known
        → see that its node reaches the registry (a mirror, or plain HTTP, is its agent's to allow); it is tried again by itself
      ✗ Stuck is True: the volume cfg names a ConfigMap that does not exist
    ");
}

#[test]
fn what_is_being_deleted_says_whom_it_waits_for() {
    let mut going = running("web-going", "a1");
    going["metadata"]["deletionTimestamp"] = "now".into();
    going["metadata"]["finalizers"] = json!(["node.hypermesh.online/running", "example.org/backup"]);
    going["metadata"]["annotations"] = json!({"hypermesh.online/placed-because": "a1 was the best of 3"});
    let server = server(&[going]);
    assert_snapshot!(why(&server, "instance/web-going").out, @"
    instance default/web-going runs on node a1 and is ready, and is being deleted
      … it is to be gone since <unknown>, and waits for its node a1 to have ended it, and for whoever put the finalizer example.org/backup on it to take it off
      · why there: a1 was the best of 3
    ");
}

#[test]
fn a_workload_tells_what_its_instances_have_in_common() {
    let server = server(&[waiting(), crashing("web-c1"), crashing("web-c2"), running("web-ok", "a1")]);
    assert_snapshot!(why(&server, "workload/web").out, @"
    workload default/web wants 4 instances and has 4, 1 of them ready
      … its rollout is paused (spec.rollout.paused)
        → nexusctl rollout resume workload/web
      ✗ the rollout has made no progress for longer than its deadline: revision 7d4f: 4 of 4 instances are made, 1 are available
      · 1 instance is in no trouble, on a1 (1)
      ✗ 2 instances have the same trouble: web-c1, web-c2
      instance web-c1 runs on node a1 and is not ready
        · why there: a1 is the only one of 3 nodes that fits
        ✗ container app ends soon after each start (4 times): exit code 137: it used more memory than its limit allows (OOMKilled)
          → nexusctl logs -n default web-c1 -c app --previous
      instance web-wait has no node
        ✗ 0/3 nodes fit: 1 has the taint gpu=yes:NoSchedule, 1 is cordoned, 1 has too little memory (needs 2Gi, has 0 left)
            a1  has too little memory (needs 2Gi, has 0 left)
            b1  has the taint gpu=yes:NoSchedule
            b2  is cordoned
    ");
}

#[test]
fn a_workload_names_the_probe_that_fails() {
    let mut unready = running("web-slow", "a1");
    unready["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "reason": "ContainersNotReady",
        "message": "containers with unready status: [app]"}]);
    unready["status"]["containerStatuses"] =
        json!([{"name": "app", "ready": false, "started": true, "state": {"running": {}}}]);
    let event = |uid: &Value, message: &str| {
        json!({"metadata": {"name": "e"}, "type": "Warning", "reason": "Unhealthy", "message": message, "count": 9,
            "involvedObject": {"kind": "Instance", "name": "web-slow", "uid": uid}})
    };
    let events = [
        event(&unready["metadata"]["uid"], "Readiness probe failed: HTTP 503"),
        event(&json!("another"), "of an instance before"),
    ];
    let server = server(&[unready]);
    server.script(Method::GET, "/api/v1/namespaces/default/events", 200, list(&events));
    let told: Value = serde_json::from_str(&why(&server, "workload/web -o json").out).unwrap();
    let part = told["parts"][0].to_string();
    assert!(part.contains("Unhealthy: Readiness probe failed: HTTP 503 (<unknown> ago, 9 times)"), "{part}");
    assert!(!part.contains("of an instance before"), "{part}");
    let asked =
        server.seen().into_iter().filter(|seen| seen.query.contains("involvedObject.kind%3DInstance"));
    assert_eq!(asked.count(), 1, "they are asked for once");
}

#[test]
fn what_cannot_be_explained_is_said() {
    let server = server(&[]);
    assert_snapshot!(why(&server, "secret/x").err, @r#"error: why is told of workloads and instances (which are also pods), not of "secret": `nexusctl describe secret/x` shows what there is"#);
    assert_snapshot!(why(&server, "web").err, @"error: say which: web/NAME");
    assert_snapshot!(why(&server, "workload/none").err, @r#"Error from server (NotFound): workloads.hypermesh.online "none" not found"#);
}

#[test]
fn nodes_are_listed_with_what_is_asked_of_them() {
    let server = server(&[running("web-ok", "a1"), waiting()]);
    assert_snapshot!(server.run("node list").out, @"
    NAME   STATUS                     INSTANCES   CPU            MEMORY          ADDRESS   VERSION   AGE
    a1     Ready                      1           500m/4 (12%)   2Gi/3Gi (66%)   fd00::1   0.1.0     <unknown>
    b1     Ready                      0           0/4 (0%)       0/8Gi (0%)      fd00::1   0.1.0     <unknown>
    b2     Ready,SchedulingDisabled   0           0/4 (0%)       0/8Gi (0%)      fd00::1   0.1.0     <unknown>
    ");
    let narrow = format!("--server {} node list", server.url());
    assert_snapshot!(run_at(Some(50), Environment::default(), &narrow, "").out, @"
    NAME:       a1
    STATUS:     Ready
    INSTANCES:  1
    CPU:        500m/4 (12%)
    MEMORY:     2Gi/3Gi (66%)
    ADDRESS:    fd00::1
    VERSION:    0.1.0
    AGE:        <unknown>

    NAME:       b1
    STATUS:     Ready
    INSTANCES:  0
    CPU:        0/4 (0%)
    MEMORY:     0/8Gi (0%)
    ADDRESS:    fd00::1
    VERSION:    0.1.0
    AGE:        <unknown>

    NAME:       b2
    STATUS:     Ready,SchedulingDisabled
    INSTANCES:  0
    CPU:        0/4 (0%)
    MEMORY:     0/8Gi (0%)
    ADDRESS:    fd00::1
    VERSION:    0.1.0
    AGE:        <unknown>
    ");
    assert_snapshot!(server.run("node list -o wide --no-headers").out, @"
    a1    Ready                      1     500m/4 (12%)   2Gi/3Gi (66%)   fd00::1   0.1.0   <unknown>   <none>               amd64   6.1   Debian
    b1    Ready                      0     0/4 (0%)       0/8Gi (0%)      fd00::1   0.1.0   <unknown>   gpu=yes:NoSchedule   amd64   6.1   Debian
    b2    Ready,SchedulingDisabled   0     0/4 (0%)       0/8Gi (0%)      fd00::1   0.1.0   <unknown>   <none>               amd64   6.1   Debian
    ");
    assert_snapshot!(server.run("node list -o name").out, @"
    node/a1
    node/b1
    node/b2
    ");
}

#[test]
fn nodes_are_cordoned_once() {
    let server = server(&[]);
    assert_snapshot!(server.run("node cordon a1 b2").out, @"
    node/a1 cordoned
    node/b2 already cordoned
    ");
    assert_snapshot!(server.writes().pop().unwrap().body, @r#"{"metadata":{"uid":"uid-101"},"spec":{"unschedulable":true}}"#);
    assert_snapshot!(server.run("node uncordon a1 --dry-run").out, @"node/a1 uncordoned (dry run)");
    let missing = server.run("node uncordon none a1");
    assert_eq!(missing.code, 1);
    assert_snapshot!(missing.out, @"node/a1 uncordoned");
    assert_snapshot!(missing.err, @r#"Error from server (NotFound): nodes.hypermesh.online "none" not found"#);
}

/// A server whose list of instances is scripted: so often each.
fn emptying(lists: &[(usize, Vec<Value>)]) -> Server {
    let drained = Server::start();
    drained.put(&format!("{OURS}/nodes/a1"), node("a1", "3Gi", json!([]), false));
    for (times, instances) in lists {
        drained.script_full(Scripted {
            method: Method::GET,
            path: format!("{OURS}/instances"),
            code: 200,
            headers: Vec::new(),
            body: list(instances).to_string(),
            times: *times,
        });
    }
    drained
}

fn eviction(name: &str) -> String {
    format!("/api/v1/namespaces/default/pods/{name}/eviction")
}

#[test]
fn a_node_is_drained_as_fast_as_the_server_lets_its_instances_go() {
    let (one, two) = (running("one", "a1"), running("two", "a1"));
    let server = emptying(&[(2, vec![one, two.clone()]), (1, vec![two]), (usize::MAX, vec![])]);
    server.script(Method::POST, &eviction("one"), 201, json!({"kind": "Status", "code": 201}));
    let refused = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429,
        "reason": "TooManyRequests", "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "details": {"name": "two", "kind": "pods", "causes": [{"reason": "DisruptionBudget",
            "message": "the workload web needs 1 healthy instances by its maxUnavailable, and would have 0"}]}});
    server.script_full(Scripted {
        method: Method::POST,
        path: eviction("two"),
        code: 429,
        headers: Vec::new(),
        body: refused.to_string(),
        times: 1,
    });
    server.script(Method::POST, &eviction("two"), 201, json!({"kind": "Status", "code": 201}));
    let ran = server.run("node drain a1 --grace-period=5");
    assert_snapshot!(ran.out, @"
    node/a1 cordoned
    instance default/one evicted
    instance default/two evicted
    instance default/one is gone
    instance default/two is gone
    node/a1 drained
    ");
    assert_snapshot!(ran.err, @"instance default/two has to wait: the workload web needs 1 healthy instances by its maxUnavailable, and would have 0");
    assert_eq!(ran.code, 0);
    let eviction = server.writes().into_iter().find(|seen| seen.path.ends_with("one/eviction")).unwrap();
    assert_snapshot!(eviction.body, @r#"{"apiVersion":"policy/v1","deleteOptions":{"gracePeriodSeconds":5,"preconditions":{"uid":"uid-one"}},"kind":"Eviction","metadata":{"name":"one","namespace":"default"}}"#);
}

#[test]
fn what_nobody_replaces_is_ended_only_by_force_and_a_drain_ends_in_time() {
    let mut lone = running("lone", "a1");
    lone["metadata"]["ownerReferences"] = json!([]);
    let server = emptying(&[(usize::MAX, vec![lone])]);
    let refused = server.run("node drain a1");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert_snapshot!(refused.err, @"error: nothing was done to node a1: no workload would replace default/lone (--force ends them for good)");
    assert!(server.writes().is_empty());
    assert_snapshot!(server.run("node drain a1 --force --dry-run").out, @"
    node/a1 cordoned (dry run)
    instance default/lone would be evicted (dry run)
    ");
    server.script(Method::POST, &eviction("lone"), 201, json!({"kind": "Status", "code": 201}));
    let late = server.run("node drain a1 --force --timeout=1s");
    assert_eq!(late.code, 1);
    assert_snapshot!(late.err, @"
    error: node a1 is not empty after 1s: 1 left
      default/lone
    it stays cordoned: `nexusctl node drain a1` goes on, `nexusctl node uncordon a1` takes it back
    ");
}

#[test]
fn an_interrupted_drain_says_how_far_it_came_and_how_to_go_on() {
    let server = emptying(&[(usize::MAX, vec![running("one", "a1"), running("two", "a1")])]);
    let refused = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 429,
        "reason": "TooManyRequests", "message": "not now"});
    server.script(Method::POST, &eviction("one"), 201, json!({"kind": "Status", "code": 201}));
    server.script(Method::POST, &eviction("two"), 429, refused);
    let child = Command::new(env!("CARGO_BIN_EXE_nexusctl"))
        .args(["--server", &server.url(), "node", "drain", "a1"])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !server.writes().iter().any(|seen| seen.path.ends_with("two/eviction")) {
        std::thread::yield_now();
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let err = String::from_utf8(output.stderr).unwrap();
    let told: Vec<&str> = err.lines().filter(|line| !line.contains("has to wait")).collect();
    assert_snapshot!(told.join("\n"), @"
    interrupted: node a1 stays cordoned; 0 instances have left it, 2 are still there
    `nexusctl node drain a1` goes on, `nexusctl node uncordon a1` takes it back
    ");
}
