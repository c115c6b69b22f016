//! A node does what concerns it, and nothing else.

use crate::support::*;
use hypermesh_api::selector::FieldSelector;
use hypermesh_chain::ObjectKey;
use hypermesh_pipeline::Derived;
use hypermesh_pipeline::authz::{Attributes, UserInfo};
use serde_json::{Value, json};

const OURS: &str = "/apis/hypermesh.online/v1";
const INSTANCES: &str = "/apis/hypermesh.online/v1/namespaces/default/instances";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const EVENTS: &str = "/api/v1/namespaces/default/events";

fn instance(name: &str, node: Option<&str>) -> Value {
    let mut object = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance", "metadata": {"name": name},
        "spec": {
            "workload": "web", "revision": "1",
            "pod": {
                "serviceAccountName": format!("{name}-account"),
                "imagePullSecrets": [{"name": format!("{name}-pull")}],
                "containers": [{
                    "name": "c", "image": "example.com/web:1",
                    "env": [
                        {"name": "A", "valueFrom": {"secretKeyRef": {"name": format!("{name}-env"), "key": "k"}}},
                        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": format!("{name}-env"), "key": "k"}}},
                    ],
                    "envFrom": [{"secretRef": {"name": format!("{name}-all")}}],
                }],
                "volumes": [
                    {"name": "s", "secret": {"secretName": format!("{name}-volume")}},
                    {"name": "c", "configMap": {"name": format!("{name}-volume")}},
                    {"name": "p", "projected": {"sources": [{"secret": {"name": format!("{name}-projected")}}]}},
                ],
            },
        },
    });
    if let Some(node) = node {
        object["spec"]["nodeName"] = node.into();
    }
    object
}

/// A cluster with an instance on each of two nodes, and one on none.
fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    for (name, node) in [("mine", Some("n1")), ("theirs", Some("n2")), ("nobodys", None)] {
        cluster.run(post(INSTANCES, instance(name, node))).object();
    }
    cluster
}

fn allowed(cluster: &Cluster, node: &str, verb: &str, what: &str, fields: &str) -> Result<(), String> {
    let mut parts = what.split(' ');
    let (group, resource) = parts.next().unwrap().split_once('/').unwrap();
    let (resource, subresource) = resource.split_once(':').unwrap_or((resource, ""));
    let (namespace, name) = parts.next().map_or(("", ""), |place| place.split_once('/').unwrap());
    let asked = Attributes { verb, group, resource, subresource, namespace, name, path: None };
    let user = UserInfo {
        name: format!("system:node:{node}"),
        groups: vec!["system:nodes".into(), "system:authenticated".into()],
        ..UserInfo::default()
    };
    let fields = FieldSelector::parse(fields).unwrap();
    let get = |key: &ObjectKey| Ok(cluster.state.objects.get(key).cloned());
    cluster.derived.decide(&user, &asked, Some(&fields), get).unwrap().map_err(|status| status.message)
}

#[test]
fn a_node_reads_what_its_instances_need() {
    let cluster = cluster();
    let may = |verb: &str, what: &str, fields: &str| allowed(&cluster, "n1", verb, what, fields);
    for (verb, what, fields) in [
        ("get", "hypermesh.online/instances default/mine", ""),
        ("get", "hypermesh.online/instances:status default/mine", ""),
        ("list", "hypermesh.online/instances", "spec.nodeName=n1"),
        ("watch", "hypermesh.online/instances", "spec.nodeName=n1"),
        ("list", "hypermesh.online/instances default/", "spec.nodeName=n1,status.phase!=Running"),
        ("watch", "hypermesh.online/instances default/", "metadata.name=mine"),
        ("get", "/secrets default/mine-env", ""),
        ("get", "/secrets default/mine-all", ""),
        ("get", "/secrets default/mine-pull", ""),
        ("get", "/secrets default/mine-volume", ""),
        ("get", "/secrets default/mine-projected", ""),
        ("watch", "/secrets default/", "metadata.name=mine-env"),
        ("get", "/configmaps default/mine-env", ""),
        ("list", "/configmaps default/", "metadata.name=mine-volume"),
        ("get", "/serviceaccounts default/mine-account", ""),
        ("create", "/serviceaccounts:token default/mine-account", ""),
        ("get", "hypermesh.online/workloads default/web", ""),
        ("watch", "hypermesh.online/workloads default/", "metadata.name=web"),
        ("get", "hypermesh.online/nodes /n1", ""),
        ("watch", "hypermesh.online/nodes", "metadata.name=n1"),
        ("get", "coordination.k8s.io/leases kube-node-lease/n1", ""),
        ("create", "authorization.k8s.io/subjectaccessreviews", ""),
        ("create", "authentication.k8s.io/tokenreviews", ""),
    ] {
        assert_eq!(may(verb, what, fields), Ok(()), "{verb} {what} {fields}");
    }
    for (verb, what, fields) in [
        ("get", "hypermesh.online/instances default/theirs", ""),
        ("get", "hypermesh.online/instances default/nobodys", ""),
        ("get", "hypermesh.online/instances other/mine", ""),
        ("list", "hypermesh.online/instances", ""),
        ("list", "hypermesh.online/instances", "spec.nodeName=n2"),
        ("list", "hypermesh.online/instances", "spec.nodeName!=n1"),
        ("list", "hypermesh.online/instances", "metadata.name=mine"),
        ("watch", "hypermesh.online/instances default/", "metadata.name=theirs"),
        ("deletecollection", "hypermesh.online/instances default/", "spec.nodeName=n1"),
        ("update", "hypermesh.online/workloads default/web", ""),
        ("get", "hypermesh.online/workloads default/other", ""),
        ("list", "hypermesh.online/workloads", ""),
        ("watch", "hypermesh.online/workloads default/", ""),
        ("watch", "hypermesh.online/workloads other/", "metadata.name=web"),
        ("list", "hypermesh.online/identities", ""),
        ("get", "/secrets default/theirs-env", ""),
        ("get", "/secrets default/mine", ""),
        ("get", "/secrets other/mine-env", ""),
        ("list", "/secrets default/", ""),
        ("list", "/secrets", "metadata.name=mine-env"),
        ("list", "/secrets default/", "metadata.name!=mine-env"),
        ("update", "/secrets default/mine-env", ""),
        ("get", "/configmaps default/mine-pull", ""),
        ("get", "/serviceaccounts default/theirs-account", ""),
        ("create", "/serviceaccounts:token default/theirs-account", ""),
        ("create", "/serviceaccounts:token other/mine-account", ""),
        ("impersonate", "/serviceaccounts default/mine-account", ""),
        ("get", "hypermesh.online/nodes /n2", ""),
        ("list", "hypermesh.online/nodes", ""),
        ("get", "hypermesh.online/assets /a", ""),
        ("list", "hypermesh.online/assets", ""),
        ("get", "coordination.k8s.io/leases kube-node-lease/n2", ""),
        ("get", "coordination.k8s.io/leases kube-system/n1", ""),
        ("list", "/events default/", ""),
        ("list", "certificates.k8s.io/certificatesigningrequests", ""),
        ("update", "certificates.k8s.io/certificatesigningrequests:approval /a", ""),
        ("approve", "certificates.k8s.io/signers /kubernetes.io", ""),
        ("create", "hypermesh.online/identities", ""),
        ("get", "rbac.authorization.k8s.io/clusterroles /admin", ""),
    ] {
        let refused = may(verb, what, fields);
        assert!(refused.is_err(), "{verb} {what} {fields}");
        let other = allowed(&cluster, "", verb, what, fields);
        assert!(other.is_err(), "a node without a name is none");
    }
    insta::assert_snapshot!(may("get", "/secrets default/theirs-env", "").unwrap_err(), @r#"secrets "theirs-env" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the namespace "default": no relationship found between node "n1" and this object"#);
    insta::assert_snapshot!(may("list", "hypermesh.online/instances", "").unwrap_err(), @r#"instances.hypermesh.online is forbidden: User "system:node:n1" cannot list resource "instances" in API group "hypermesh.online" at the cluster scope: a node lists and watches its own instances: fieldSelector=spec.nodeName=n1"#);
}

#[test]
fn what_a_node_may_read_ends_with_its_instances() {
    let mut cluster = cluster();
    let secret = |cluster: &Cluster| allowed(cluster, "n1", "get", "/secrets default/nobodys-env", "");
    assert!(secret(&cluster).is_err());
    cluster.run(merge(format!("{INSTANCES}/nobodys"), json!({"spec": {"nodeName": "n1"}}))).object();
    assert_eq!(secret(&cluster), Ok(()), "from the block that binds it");
    cluster
        .run(merge(format!("{INSTANCES}/nobodys/status"), json!({"status": {"phase": "Running"}})))
        .object();
    assert_eq!(secret(&cluster), Ok(()));
    cluster.run(delete(format!("{INSTANCES}/nobodys"))).object();
    assert!(secret(&cluster).is_err());
    // Two that refer to one.
    cluster.run(post(INSTANCES, instance("twin", Some("n1")))).object();
    let mut other = instance("twin", Some("n1"));
    other["metadata"]["name"] = "other".into();
    cluster.run(post(INSTANCES, other)).object();
    cluster.run(delete(format!("{INSTANCES}/twin"))).object();
    assert_eq!(allowed(&cluster, "n1", "get", "/secrets default/twin-env", ""), Ok(()));
    // A replica that starts now knows the same.
    cluster.derived = Derived::load(&cluster.state).unwrap();
    assert_eq!(allowed(&cluster, "n1", "get", "/secrets default/twin-env", ""), Ok(()));
    cluster.run(delete(format!("{INSTANCES}/other"))).object();
    assert!(allowed(&cluster, "n1", "get", "/secrets default/twin-env", "").is_err());
    // Its successor of the same name elsewhere is not its own.
    cluster.run(post(INSTANCES, instance("twin", Some("n2")))).object();
    assert!(allowed(&cluster, "n1", "get", "hypermesh.online/instances default/twin", "").is_err());
}

#[test]
fn a_node_reports_on_its_instances_and_changes_nothing_else_of_them() {
    let mut cluster = cluster();
    let running = json!({"status": {"phase": "Running"}});
    let status = |name: &str| merge(format!("{INSTANCES}/{name}/status"), running.clone()).by_node("n1");
    cluster.run(status("mine")).object();
    for name in ["theirs", "nobodys"] {
        assert_eq!(cluster.run(status(name)).code, 403, "{name}");
    }
    for (ask, why) in [
        (post(INSTANCES, instance("new", Some("n1"))), "makes none"),
        (delete(format!("{INSTANCES}/mine")), "deletes none that nobody deleted"),
        (delete(INSTANCES), "deletes no collection"),
        (
            merge(format!("{INSTANCES}/nobodys"), json!({"spec": {"nodeName": "n1"}})),
            "takes none on by itself",
        ),
        (merge(format!("{INSTANCES}/mine"), json!({"metadata": {"labels": {"a": "b"}}})), "labels none"),
        (
            merge(format!("{INSTANCES}/mine"), json!({"metadata": {"finalizers": ["a.example/b"]}})),
            "holds none back",
        ),
    ] {
        assert_eq!(cluster.run(ask.by_node("n1")).code, 403, "{why}");
    }
    // One that is being deleted is let go by its node.
    let held = json!({"metadata": {"finalizers": ["hypermesh.online/node", "example.com/other"]}});
    for name in ["mine", "theirs"] {
        cluster.run(merge(format!("{INSTANCES}/{name}"), held.clone())).object();
    }
    let release = json!({"metadata": {"finalizers": ["example.com/other"]}});
    let refused = cluster.run(merge(format!("{INSTANCES}/mine"), release.clone()).by_node("n1"));
    assert_eq!(refused.code, 403, "not yet");
    for name in ["mine", "theirs"] {
        cluster.run(delete(format!("{INSTANCES}/{name}"))).object();
    }
    let more = json!({"metadata": {"finalizers": ["example.com/other"], "labels": {"a": "b"}}});
    assert_eq!(cluster.run(merge(format!("{INSTANCES}/mine"), more).by_node("n1")).code, 403);
    cluster.run(merge(format!("{INSTANCES}/mine"), release.clone()).by_node("n1")).object();
    assert_eq!(cluster.run(merge(format!("{INSTANCES}/theirs"), release).by_node("n1")).code, 403);
    cluster.run(delete(format!("{INSTANCES}/mine")).by_node("n1")).object();
    assert_eq!(cluster.run(delete(format!("{INSTANCES}/theirs")).by_node("n1")).code, 403);
    cluster
        .run(merge(format!("{INSTANCES}/mine"), json!({"metadata": {"finalizers": null}})).by_node("n1"))
        .object();
    assert_eq!(cluster.get("hypermesh.online/instances", "default", "mine"), None);
}

fn node(name: &str, seed: u8) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"publicKey": key(seed).public().to_string()},
    })
}

fn identity(name: &str, seed: u8) -> Ask {
    let object = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Identity", "metadata": {"name": key(seed).public().to_string()},
        "spec": {"user": format!("system:node:{name}"), "groups": ["system:nodes"]},
    });
    post(format!("{OURS}/identities"), object)
}

#[test]
fn a_node_is_the_key_that_it_is_registered_by() {
    let mut cluster = Cluster::new();
    let nodes = format!("{OURS}/nodes");
    cluster.run(identity("n1", 31)).object();
    cluster.run(identity("n2", 32)).object();
    for (object, why) in [
        (node("n2", 32), "another node"),
        (node("n1", 32), "another's key"),
        (node("n1", 33), "nobody's key"),
    ] {
        assert_eq!(cluster.run(post(&nodes, object).by_node("n1")).code, 403, "{why}");
    }
    let mut labelled = node("n1", 31);
    labelled["metadata"]["labels"] = json!({"node-restriction.hypermesh.online/tier": "gold"});
    assert_eq!(cluster.run(post(&nodes, labelled).by_node("n1")).code, 403);
    for (metadata, why) in [
        (json!({"labels": {"node-role.kubernetes.io/control-plane": ""}}), "a role"),
        (json!({"labels": {"sub.node-restriction.kubernetes.io/x": "y"}}), "a reserved domain's child"),
        (json!({"labels": {"sub.node-restriction.hypermesh.online/x": "y"}}), "a reserved domain's child"),
        (json!({"labels": {"k8s.io/x": "y"}}), "a domain of others"),
        (json!({"finalizers": ["example.com/never"]}), "a finalizer"),
        (
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u"}]}),
            "an owner",
        ),
    ] {
        let mut object = node("n1", 31);
        for (field, value) in metadata.as_object().unwrap() {
            object["metadata"][field] = value.clone();
        }
        assert_eq!(cluster.run(post(&nodes, object).by_node("n1")).code, 403, "{why}");
    }
    let mut tainted = node("n1", 31);
    tainted["spec"]["taints"] = json!([{"key": "new", "effect": "NoSchedule"}]);
    tainted["metadata"]["labels"] = json!({
        "example.com/rack": "7", "kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "a", "xkubernetes.io/y": "z",
    });
    cluster.run(post(&nodes, tainted).by_node("n1")).object();
    cluster.run(post(&nodes, node("n2", 32)).by_node("n2")).object();
    let path = format!("{nodes}/n1");
    cluster
        .run(merge(&path, json!({"metadata": {"labels": {"example.com/rack": "8"}}})).by_node("n1"))
        .object();
    cluster
        .run(merge(format!("{path}/status"), json!({"status": {"capacity": {"cpu": "4"}}})).by_node("n1"))
        .object();
    for (ask, why) in [
        (merge(&path, json!({"spec": {"taints": null}})), "takes no taint off"),
        (merge(&path, json!({"spec": {"unschedulable": true}})), "cordons itself not"),
        (merge("/api/v1/nodes/n1", json!({"spec": {"unschedulable": true}})), "nor as a Node of core/v1"),
        (
            merge(&path, json!({"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y"}}})),
            "reserved label",
        ),
        (merge(&path, json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": ""}}})), "a role"),
        (merge(&path, json!({"metadata": {"finalizers": ["example.com/never"]}})), "a finalizer"),
        (
            merge(
                &path,
                json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u"}]}}),
            ),
            "owner",
        ),
        (merge(format!("{nodes}/n2"), json!({"metadata": {"labels": {"a": "b"}}})), "another node"),
        (
            merge(format!("{nodes}/n2/status"), json!({"status": {"capacity": {"cpu": "4"}}})),
            "another's status",
        ),
        (delete(&path), "not even itself"),
    ] {
        assert_eq!(cluster.run(ask.by_node("n1")).code, 403, "{why}");
    }
    // What an owner has said stays when the node writes something else.
    cluster.run(merge(&path, json!({"spec": {"unschedulable": true}}))).object();
    let uncordon = json!({"spec": {"unschedulable": false}});
    assert_eq!(cluster.run(merge(&path, uncordon.clone()).by_node("n1")).code, 403);
    let again = json!({"spec": {"unschedulable": false}, "metadata": {"labels": {"example.com/rack": "1"}}});
    assert_eq!(cluster.run(merge(&path, again).by_node("n1")).code, 403);
    cluster
        .run(merge(
            &path,
            json!({"metadata": {"labels": {"node-restriction.hypermesh.online/tier": "gold"}}}),
        ))
        .object();
    cluster
        .run(merge(&path, json!({"metadata": {"labels": {"example.com/rack": "9"}}})).by_node("n1"))
        .object();
    let drop = json!({"metadata": {"labels": {"node-restriction.hypermesh.online/tier": null}}});
    assert_eq!(cluster.run(merge(&path, drop).by_node("n1")).code, 403);
}

#[test]
fn a_node_holds_its_own_lease_and_tells_of_itself() {
    let mut cluster = cluster();
    let lease = |name: &str| json!({"metadata": {"name": name}, "spec": {"holderIdentity": name}});
    cluster.run(post(LEASES, lease("n1")).by_node("n1")).object();
    cluster.run(put(format!("{LEASES}/n1"), lease("n1")).by_node("n1"));
    cluster.run(apply(&format!("{LEASES}/n1?fieldManager=n&force=true"), json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"}, "spec": {"holderIdentity": "x"},
    })).by_node("n1")).object();
    assert_eq!(cluster.run(post(LEASES, lease("n2")).by_node("n1")).code, 403);
    assert_eq!(cluster.run(put(format!("{LEASES}/n2"), lease("n2")).by_node("n1")).code, 403);
    let elsewhere = LEASES.replace("kube-node-lease", "kube-system");
    assert_eq!(cluster.run(post(elsewhere, lease("n1")).by_node("n1")).code, 403);
    let event = |name: &str, kind: &str, about: &str| {
        let namespace = if kind == "Node" { Value::Null } else { "default".into() };
        json!({
            "metadata": {"name": name}, "reason": "R", "message": "m", "type": "Normal",
            "involvedObject": {"kind": kind, "name": about, "namespace": namespace},
        })
    };
    for (name, kind, about) in [("a", "Node", "n1"), ("b", "Instance", "mine"), ("c", "Pod", "mine")] {
        cluster.run(post(EVENTS, event(name, kind, about)).by_node("n1")).object();
    }
    for (name, kind, about) in [
        ("d", "Node", "n2"),
        ("e", "Instance", "theirs"),
        ("f", "Pod", "nobodys"),
        ("g", "Secret", "mine-env"),
        ("h", "Asset", "a"),
    ] {
        assert_eq!(
            cluster.run(post(EVENTS, event(name, kind, about)).by_node("n1")).code,
            403,
            "{kind} {about}"
        );
    }
    cluster.run(post(EVENTS, event("i", "Node", "n2")).by_node("n2")).object();
    let moved = json!({"involvedObject": {"name": "n1"}});
    assert_eq!(
        cluster.run(merge(format!("{EVENTS}/i"), moved).by_node("n1")).code,
        403,
        "nor takes another's over"
    );
    cluster.run(merge(format!("{EVENTS}/a"), json!({"count": 2})).by_node("n1")).object();
    assert_eq!(cluster.run(delete(format!("{EVENTS}/a")).by_node("n1")).code, 403);
}

#[test]
fn a_node_lists_its_own_hardware() {
    let mut cluster = Cluster::new();
    let assets = format!("{OURS}/assets");
    let asset = |name: &str, node: &str| {
        json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Asset", "metadata": {"name": name},
            "spec": {"class": "GPU", "nodeName": node},
        })
    };
    cluster.run(post(&assets, asset("n1-gpu0", "n1")).by_node("n1")).object();
    cluster.run(post(&assets, asset("n2-gpu0", "n2")).by_node("n2")).object();
    cluster.run(apply(&format!("{assets}/n1-gpu1"), asset("n1-gpu1", "n1")).by_node("n1")).object();
    for taken in ["n2-gpu1", "x", "n1", "n10-gpu0"] {
        assert_eq!(cluster.run(post(&assets, asset(taken, "n1")).by_node("n1")).code, 403, "{taken}");
    }
    assert_eq!(cluster.run(post(&assets, asset("x", "n2")).by_node("n1")).code, 403);
    assert_eq!(cluster.run(apply(&format!("{assets}/x"), asset("x", "n2")).by_node("n1")).code, 403);
    let path = format!("{assets}/n1-gpu0");
    cluster
        .run(merge(format!("{path}/status"), json!({"status": {"observedGeneration": 1}})).by_node("n1"))
        .object();
    assert_eq!(
        cluster.run(merge(format!("{assets}/n2-gpu0/status"), json!({"status": {}})).by_node("n1")).code,
        403
    );
    let shared = json!({"spec": {"privacy": "FullPublic"}});
    assert_eq!(
        cluster.run(merge(&path, shared).by_node("n1")).code,
        403,
        "whom it is shared with is its owner's to say"
    );
    assert_eq!(allowed(&cluster, "n1", "list", "hypermesh.online/assets", "spec.nodeName=n1"), Ok(()));
    assert!(allowed(&cluster, "n1", "list", "hypermesh.online/assets", "spec.nodeName=n2").is_err());
    assert_eq!(cluster.run(delete(format!("{assets}/n2-gpu0")).by_node("n1")).code, 403);
    cluster.run(delete(&path).by_node("n1")).object();
}

#[test]
fn what_rbac_gives_a_node_does_not_make_it_another() {
    let mut cluster = cluster();
    let binding = json!({
        "metadata": {"name": "all-powerful"}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": "system:nodes"}],
    });
    cluster.run(post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)).object();
    assert_eq!(allowed(&cluster, "n1", "list", "/secrets", ""), Ok(()), "rights are the sum of both");
    assert_eq!(cluster.run(post(format!("{OURS}/nodes"), node("n2", 32)).by_node("n1")).code, 403);
    assert_eq!(cluster.run(post(INSTANCES, instance("new", Some("n1"))).by_node("n1")).code, 403);
    // A name alone makes no node, and neither does the group.
    let user = |groups: &[&str], name: &str| {
        merge(format!("{INSTANCES}/mine/status"), json!({"status": {"phase": "Running"}}))
            .by_member(name, groups)
    };
    assert_eq!(cluster.run(user(&["system:authenticated"], "system:node:n1")).code, 403);
}

#[test]
fn the_signer_registers_nodes_and_one_key_for_each() {
    let mut cluster = Cluster::new();
    let signer = "system:certificate-signer";
    cluster.run(identity("n1", 31).by(signer)).object();
    let second = cluster.run(identity("n1", 34).by(signer));
    assert_eq!(second.code, 403);
    assert!(second.message().contains("with another key it is another node"), "{}", second.message());
    cluster.run(delete(format!("{OURS}/identities/{}", key(31).public()))).object();
    cluster.run(identity("n1", 34).by(signer)).object();
    for spec in [
        json!({"user": "system:node:n2"}),
        json!({"user": "system:node:n2", "groups": ["system:nodes", "system:masters"]}),
        json!({"user": "system:node:n2", "groups": ["system:masters"]}),
        json!({"user": "admin", "groups": ["system:nodes"]}),
    ] {
        let object = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Identity",
            "metadata": {"name": key(35).public().to_string()}, "spec": spec,
        });
        assert_eq!(cluster.run(post(format!("{OURS}/identities"), object).by(signer)).code, 403);
    }
}
