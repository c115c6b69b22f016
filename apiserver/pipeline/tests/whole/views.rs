//! Writes to what is shown of another kind: Pods of Instances, Nodes of core/v1 of ours.

use crate::support::*;
use hypermesh_chain::request::Media;
use serde_json::{Value, json};

const OURS: &str = "/apis/hypermesh.online/v1";
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODE: &str = "/api/v1/nodes/n1";

fn node(cluster: &mut Cluster) {
    let object = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"publicKey": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},
    });
    cluster.run(post(format!("{OURS}/nodes"), object)).object();
}

fn strategic(body: Value) -> Ask {
    patch(NODE, Media::StrategicMergePatch, body)
}

fn workload(cluster: &mut Cluster, replicas: u32, rollout: Value) -> Value {
    let object = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "w", "namespace": "default"},
        "spec": {
            "replicas": replicas, "rollout": rollout,
            "template": {"spec": {"containers": [{"name": "c", "image": "registry.test/c:1"}]}},
        },
    });
    cluster.run(post(format!("{OURS}/namespaces/default/workloads"), object)).object()
}

/// An instance of a workload, which runs and is ready.
fn instance(cluster: &mut Cluster, name: &str, owner: &Value) {
    let path = format!("{OURS}/namespaces/default/instances");
    let object = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance",
        "metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "hypermesh.online/v1", "kind": "Workload", "name": "w",
            "uid": owner["metadata"]["uid"], "controller": true,
        }]},
        "spec": {
            "workload": "w", "revision": "r1",
            "pod": {"containers": [{"name": "c", "image": "registry.test/c:1"}]},
        },
    });
    cluster.run(post(&path, object)).object();
    let status = json!({"status": {
        "phase": "Running", "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0}],
    }});
    cluster.run(merge(format!("{path}/{name}/status"), status)).object();
}

fn evict(name: &str) -> Ask {
    let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    post(format!("{PODS}/{name}/eviction"), body)
}

#[test]
fn a_pod_is_deleted_by_who_may_delete_pods() {
    let mut cluster = Cluster::new();
    let owner = workload(&mut cluster, 1, json!({}));
    instance(&mut cluster, "i1", &owner);
    let path = format!("{PODS}/i1");
    assert_eq!(cluster.run(delete(&path).by("nobody")).code, 403);
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "pods"}, "rules": rules,
    });
    cluster.run(post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)).object();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "pods"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pods"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    });
    cluster.run(post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)).object();
    let ours = format!("{OURS}/namespaces/default/instances/i1");
    assert_eq!(cluster.run(delete(&ours).by("ann")).code, 403, "a right on pods is none on instances");
    let gone = cluster.run(delete(&path).by("ann")).object();
    assert_eq!((&gone["status"], &gone["details"]["kind"]), (&json!("Success"), &json!("pods")));
    assert_eq!(cluster.count("hypermesh.online/instances"), 0);
    insta::assert_snapshot!(cluster.run(delete(&path)).refusal(), @r#"404 NotFound: pods "i1" not found"#);
}

#[test]
fn a_pod_is_not_written() {
    let mut cluster = Cluster::new();
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}});
    for ask in [
        post(PODS, object.clone()),
        put(format!("{PODS}/p"), object.clone()),
        merge(format!("{PODS}/p"), json!({})),
        merge(format!("{PODS}/p/status"), json!({})),
    ] {
        let refused = cluster.run(ask);
        assert_eq!(refused.code, 405);
        assert!(refused.message().contains("write a Workload"), "{}", refused.message());
    }
    assert_eq!(cluster.run(post(format!("{PODS}/p/binding"), object)).code, 404);
}

/// Whether an instance is there, whether it goes, and the grace that it was given.
fn going(cluster: &Cluster, name: &str) -> Option<(bool, Value)> {
    let object = cluster.get("hypermesh.online/instances", "default", name)?;
    let meta = &object["metadata"];
    Some((meta["deletionTimestamp"].is_string(), meta["deletionGracePeriodSeconds"].clone()))
}

/// An instance that its agent has taken up: it goes once that lets it.
fn held(cluster: &mut Cluster, name: &str, owner: &Value) {
    instance(cluster, name, owner);
    let path = format!("{OURS}/namespaces/default/instances/{name}");
    let held = json!({"metadata": {"finalizers": ["hypermesh.online/agent"]}});
    cluster.run(merge(path, held)).object();
}

#[test]
fn a_pod_is_given_the_grace_that_is_asked_for() {
    let mut cluster = Cluster::new();
    let owner = workload(&mut cluster, 1, json!({}));
    for name in ["i1", "i2", "i3", "i4"] {
        held(&mut cluster, name, &owner);
    }
    let after = |cluster: &mut Cluster, name: &str, seconds: Option<i64>| {
        let path = format!("{PODS}/{name}");
        let ask = match seconds {
            Some(seconds) => {
                delete_with(path, json!({"kind": "DeleteOptions", "gracePeriodSeconds": seconds}))
            }
            None => delete(path),
        };
        cluster.run(ask).object();
        going(cluster, name).unwrap()
    };
    assert_eq!(after(&mut cluster, "i1", None), (true, json!(0)), "as the template says");
    // Later options shorten it, and never lengthen it: the template's is 30.
    assert_eq!(after(&mut cluster, "i1", Some(60)), (true, json!(0)));
    assert_eq!(after(&mut cluster, "i1", Some(5)), (true, json!(5)));
    assert_eq!(after(&mut cluster, "i1", Some(7)), (true, json!(5)));
    assert_eq!(after(&mut cluster, "i1", None), (true, json!(5)));
    assert_eq!(after(&mut cluster, "i2", Some(90)), (true, json!(90)));
    assert_eq!(after(&mut cluster, "i3", Some(0)), (true, json!(1)), "at once is within a second");
    let mut eviction = evict("i4");
    eviction.body["deleteOptions"] = json!({"gracePeriodSeconds": 3});
    cluster.run(eviction).object();
    assert_eq!(going(&cluster, "i4"), Some((true, json!(3))));
    // What runs nothing has no grace.
    let map = json!({"metadata": {"name": "c", "finalizers": ["test/held"]}});
    cluster.run(post(CONFIG_MAPS, map)).object();
    let path = format!("{CONFIG_MAPS}/c");
    let deleted = cluster.run(delete_with(&path, json!({"gracePeriodSeconds": 9}))).object();
    assert_eq!(deleted["metadata"]["deletionGracePeriodSeconds"], 0);
}

#[test]
fn by_force_nobody_waits_for_a_node() {
    let mut cluster = Cluster::new();
    let owner = workload(&mut cluster, 1, json!({}));
    let hold = |cluster: &mut Cluster, name: &str, finalizers: Value| {
        instance(cluster, name, &owner);
        let path = format!("{OURS}/namespaces/default/instances/{name}");
        cluster.run(merge(path, json!({"metadata": {"finalizers": finalizers}}))).object();
    };
    for name in ["i1", "i2"] {
        hold(&mut cluster, name, json!(["node.hypermesh.online/n1"]));
    }
    hold(&mut cluster, "i3", json!(["node.hypermesh.online/n1", "test/held"]));
    let by_force = |name: &str| delete_with(format!("{PODS}/{name}"), json!({"gracePeriodSeconds": 0}));
    // At once, or after one has waited in vain.
    cluster.run(by_force("i1"));
    assert_eq!(going(&cluster, "i1"), None);
    cluster.run(delete(format!("{PODS}/i2"))).object();
    assert_eq!(going(&cluster, "i2"), Some((true, json!(0))));
    cluster.run(by_force("i2"));
    assert_eq!(going(&cluster, "i2"), None);
    // What others wait for, they wait for.
    cluster.run(by_force("i3")).object();
    assert_eq!(going(&cluster, "i3"), Some((true, json!(1))));
}

#[test]
fn pods_are_deleted_together_by_who_may() {
    let mut cluster = Cluster::new();
    let owner = workload(&mut cluster, 1, json!({}));
    for name in ["i1", "i2"] {
        instance(&mut cluster, name, &owner);
    }
    // One that no agent has told of yet is shown as Pending.
    let path = format!("{OURS}/namespaces/default/instances");
    let silent = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance", "metadata": {"name": "i3", "labels": {"a": "b"}},
        "spec": {"workload": "w", "revision": "r1", "pod": {"containers": [{"name": "c", "image": "registry.test/c:1"}]}},
    });
    cluster.run(post(&path, silent)).object();
    assert_eq!(cluster.run(delete(PODS).by("nobody")).code, 403);
    let refused = cluster.run(delete(format!("{PODS}?fieldSelector=spec.workload%3Dw")));
    insta::assert_snapshot!(refused.refusal(), @"400 BadRequest: field label not supported: spec.workload");
    let all = format!("{PODS}?labelSelector=none%3Dsuch");
    assert_eq!(cluster.run(delete(all)).object()["items"], json!([]));
    let pending = cluster.run(delete(format!("{PODS}?fieldSelector=status.phase%3DPending"))).object();
    let names: Vec<&Value> =
        pending["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
    assert_eq!(names, ["i3"]);
    held(&mut cluster, "i4", &owner);
    cluster.run(delete(format!("{PODS}?gracePeriodSeconds=4"))).object();
    assert_eq!((going(&cluster, "i1"), going(&cluster, "i2")), (None, None));
    assert_eq!(going(&cluster, "i4"), Some((true, json!(4))));
}

#[test]
fn evictions_leave_what_the_workload_needs() {
    let mut cluster = Cluster::new();
    let owner = workload(&mut cluster, 3, json!({"rolling": {"maxUnavailable": 1}}));
    for name in ["i1", "i2", "i3"] {
        instance(&mut cluster, name, &owner);
    }
    // Both at once: only one of them finds room.
    let requests = [cluster.endorse(evict("i1")), cluster.endorse(evict("i2"))];
    let codes: Vec<u16> = cluster.block(&requests).iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [201, 429]);
    let refused = cluster.run(evict("i2"));
    assert_eq!(refused.causes().len(), 1);
    insta::assert_snapshot!(refused.refusal(), @"429 TooManyRequests: Cannot evict pod as it would violate the pod's disruption budget.");
    let unready =
        json!({"status": {"containerStatuses": [{"name": "c", "ready": false, "restartCount": 1}]}});
    cluster.run(merge(format!("{OURS}/namespaces/default/instances/i2/status"), unready)).object();
    cluster.run(evict("i2")).object();
    assert_eq!(cluster.run(evict("i3")).code, 429);
    assert_eq!(cluster.run(delete(format!("{PODS}/i3"))).code, 200, "a deletion asks no budget");
}

#[test]
fn a_workload_of_one_that_says_nothing_can_be_drained_and_one_that_does_cannot() {
    for (rollout, code) in [(json!({}), 201), (json!({"rolling": {"maxUnavailable": 0, "maxSurge": 1}}), 429)]
    {
        let mut cluster = Cluster::new();
        let owner = workload(&mut cluster, 1, rollout);
        instance(&mut cluster, "i1", &owner);
        assert_eq!(cluster.run(evict("i1")).code, code);
    }
}

#[test]
fn an_eviction_that_is_none_is_refused_and_one_that_is_rehearsed_does_nothing() {
    let mut cluster = Cluster::new();
    let owner = workload(&mut cluster, 1, json!({}));
    instance(&mut cluster, "i1", &owner);
    let path = format!("{PODS}/i1/eviction");
    for body in [json!([]), json!({"kind": "Pod"}), json!({"metadata": {"name": "other"}})] {
        assert_eq!(cluster.run(post(&path, body)).code, 400);
    }
    let rehearsed = json!({"kind": "Eviction", "deleteOptions": {"dryRun": ["All"]}});
    let answer = cluster.run(post(&path, rehearsed));
    assert_eq!((answer.code, answer.writes), (201, 0));
    let other = json!({"preconditions": {"uid": "5b1d9ad8-0000-0000-0000-000000000000"}});
    assert_eq!(cluster.run(post(&path, json!({"deleteOptions": other}))).code, 409);
    assert_eq!(cluster.count("hypermesh.online/instances"), 1);
}

#[test]
fn a_node_is_cordoned_tainted_and_labelled() {
    let mut cluster = Cluster::new();
    node(&mut cluster);
    let ours = |cluster: &Cluster| cluster.get("hypermesh.online/nodes", "", "n1").unwrap();
    cluster.run(strategic(json!({"spec": {"unschedulable": true}}))).object();
    assert_eq!(ours(&cluster)["spec"]["unschedulable"], true);
    let taint = json!([{"key": "a", "value": "b", "effect": "NoSchedule"}]);
    cluster.run(strategic(json!({"spec": {"taints": taint}}))).object();
    cluster
        .run(merge(NODE, json!({"spec": {"unschedulable": null}, "metadata": {"labels": {"x": "y"}}})))
        .object();
    let operations = json!([{"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}}]);
    cluster.run(patch(NODE, Media::JsonPatch, operations)).object();
    let node = ours(&cluster);
    assert_eq!((&node["spec"]["taints"], &node["spec"]["unschedulable"]), (&taint, &json!(false)));
    assert_eq!(
        (&node["metadata"]["labels"]["x"], &node["metadata"]["annotations"]["x"]),
        (&json!("y"), &json!("y"))
    );
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"unschedulable": true}});
    assert_eq!(cluster.run(merge(NODE, stale)).code, 409);
}

#[test]
fn a_node_of_core_is_not_written_otherwise() {
    let mut cluster = Cluster::new();
    node(&mut cluster);
    for ask in [
        strategic(json!({"spec": {"podCIDR": "10.0.0.0/8"}})),
        strategic(json!({"spec": {"$patch": "replace"}})),
        strategic(json!({"spec": {"taints": [{"$patch": "delete"}]}})),
        merge(NODE, json!({"spec": {"publicKey": "0".repeat(64)}})),
        merge(NODE, json!({"metadata": {"finalizers": ["a/b"]}})),
        merge(NODE, json!({"status": {"capacity": {"cpu": "99"}}})),
        merge(format!("{NODE}/status"), json!({"status": {}})),
        apply(NODE, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})),
        put(NODE, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})),
        delete(NODE),
    ] {
        let refused = cluster.run(ask);
        assert_eq!(refused.code, 405, "{}", refused.refusal());
    }
}
