//! The Pod Security Standard of a namespace, and who may choose a node.

use crate::support::*;
use hypermesh_chain::request::Media;
use serde_json::{Value, json};

const OURS: &str = "/apis/hypermesh.online/v1";

fn namespace(name: &str, labels: Value) -> Ask {
    let object =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    post("/api/v1/namespaces", object)
}

fn at(name: &str, plural: &str) -> String {
    format!("{OURS}/namespaces/{name}/{plural}")
}

fn pod(context: Value) -> Value {
    json!({"containers": [{"name": "c", "image": "example.com/web:1", "securityContext": context}]})
}

fn instance(name: &str, context: Value) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance", "metadata": {"name": name},
        "spec": {"workload": "web", "revision": "1", "pod": pod(context)},
    })
}

fn workload(name: &str, context: Value) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": name},
        "spec": {"template": {"spec": pod(context)}},
    })
}

#[test]
fn a_namespace_refuses_what_its_standard_forbids() {
    let mut cluster = Cluster::new();
    cluster.run(namespace("shop", json!({"pod-security.kubernetes.io/enforce": "baseline"}))).object();
    let answer = cluster.run(post(at("shop", "instances"), instance("a", json!({"privileged": true}))));
    insta::assert_snapshot!(answer.refusal(), @r#"403 Forbidden: instances.hypermesh.online "a" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#);
    let answer = cluster.run(post(at("shop", "workloads"), workload("a", json!({"privileged": true}))));
    insta::assert_snapshot!(answer.refusal(), @r#"403 Forbidden: workloads.hypermesh.online "a" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#);
    // By whatever way it is written, and whoever writes it.
    let body = workload("a", json!({"privileged": true}));
    assert_eq!(cluster.run(apply(&format!("{}/a", at("shop", "workloads")), body.clone())).code, 403);
    let mut item = body.clone();
    item["metadata"]["namespace"] = "shop".into();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [item]});
    let answer = cluster.run(post(format!("{OURS}/transactions?fieldManager=test"), list));
    assert_eq!(answer.code, 403, "{}", answer.message());
    cluster.run(post(at("shop", "workloads"), workload("a", json!({})))).object();
    let worse = json!({"spec": {"template": {"spec": pod(json!({"privileged": true}))}}});
    assert_eq!(cluster.run(merge(format!("{}/a", at("shop", "workloads")), worse)).code, 403);
    let public = json!({"spec": {"publish": [{"port": 443, "privacy": "FullPublic"}]}});
    let answer = cluster.run(merge(format!("{}/a", at("shop", "workloads")), public));
    insta::assert_snapshot!(answer.refusal(), @r#"403 Forbidden: workloads.hypermesh.online "a" is forbidden: violates PodSecurity "baseline:latest": public ports (publish must not open port 443 of the node with privacy=FullPublic)"#);
    // Other namespaces let everything through, as upstream's do.
    let answer = cluster.run(post(at("default", "instances"), instance("a", json!({"privileged": true}))));
    assert_eq!((answer.code, answer.warnings.len()), (201, 0));
}

#[test]
fn warnings_tell_what_would_be_refused() {
    let mut cluster = Cluster::new();
    let labels = json!({
        "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": "v1.24",
        "pod-security.kubernetes.io/audit": "baseline",
    });
    cluster.run(namespace("shop", labels)).object();
    let request = cluster.endorse(post(at("shop", "workloads"), workload("a", json!({"privileged": true}))));
    let outcome = cluster.block(&[request]).remove(0);
    assert_eq!(outcome.code, 201);
    insta::assert_snapshot!(outcome.warnings.join("\n"), @r#"would violate PodSecurity "restricted:v1.24": privileged (container "c" must not set securityContext.privileged=true), allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);
    insta::assert_snapshot!(outcome.audit.join("\n"), @r#"would violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)"#);
    // What is the same as before is not judged again: it can be scaled, labelled and let go.
    let path = format!("{}/a", at("shop", "workloads"));
    let answer =
        cluster.run(merge(&path, json!({"spec": {"replicas": 3}, "metadata": {"labels": {"a": "b"}}})));
    assert_eq!((answer.code, answer.warnings), (200, vec![]));
    let enforce = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    cluster.run(merge("/api/v1/namespaces/shop", enforce)).object();
    assert_eq!(cluster.run(merge(&path, json!({"spec": {"replicas": 4}}))).code, 200);
    let status = json!({"status": {"replicas": 4}});
    assert_eq!(cluster.run(merge(format!("{path}/status"), status)).code, 200);
    assert_eq!(cluster.run(delete(&path)).code, 200);
}

#[test]
fn raising_a_standard_tells_who_would_not_pass() {
    let mut cluster = Cluster::new();
    cluster.run(namespace("shop", json!({}))).object();
    for name in ["b", "a", "c"] {
        cluster.run(post(at("shop", "instances"), instance(name, json!({"privileged": true})))).object();
    }
    cluster
        .run(post(at("shop", "instances"), instance("d", json!({"capabilities": {"add": ["NET_RAW"]}}))))
        .object();
    let label = |level: Value| {
        merge(
            "/api/v1/namespaces/shop",
            json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}),
        )
    };
    let answer = cluster.run(label("baseline".into()));
    assert_eq!(answer.code, 200);
    insta::assert_snapshot!(answer.warnings.join("\n"), @r#"
    existing pods in namespace "shop" violate the new PodSecurity enforce level "baseline:latest"
    a (and 2 other pods): privileged
    d: non-default capabilities
    "#);
    for level in [json!("privileged"), Value::Null] {
        assert_eq!(cluster.run(label(level)).warnings, Vec::<String>::new());
    }
    let path = format!("{}/a", at("shop", "instances"));
    let status = merge(format!("{path}/status"), json!({"status": {"phase": "Running"}}));
    assert_eq!(cluster.run(status).code, 200, "what is there goes on");
}

#[test]
fn unknown_levels_are_refused() {
    let mut cluster = Cluster::new();
    let answer = cluster.run(namespace("shop", json!({"pod-security.kubernetes.io/enforce": "strict"})));
    insta::assert_snapshot!(answer.refusal(), @r#"422 Invalid: Namespace "shop" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted"#);
    cluster.run(namespace("shop", json!({}))).object();
    let body = json!({"metadata": {"labels": {"pod-security.kubernetes.io/warn-version": "1.30"}}});
    let answer = cluster.run(patch("/api/v1/namespaces/shop", Media::MergePatch, body));
    insta::assert_snapshot!(answer.refusal(), @r#"422 Invalid: Namespace "shop" is invalid: metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.30": must be "latest" or "v1.x""#);
}

#[test]
fn who_may_not_bind_chooses_no_node() {
    let mut cluster = Cluster::new();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "edit"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    });
    cluster.run(post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding)).object();
    let path = at("default", "instances");
    let mut chosen = instance("a", json!({}));
    chosen["spec"]["nodeName"] = "n1".into();
    let answer = cluster.run(post(&path, chosen.clone()).by("ann"));
    insta::assert_snapshot!(answer.refusal(), @r#"403 Forbidden: instances.hypermesh.online "a" is forbidden: User "ann" cannot create resource "instances/binding" in API group "hypermesh.online" in the namespace "default": spec.nodeName is the scheduler's to set; leave it out, and say with nodeSelector where it may run"#);
    cluster.run(post(&path, instance("a", json!({}))).by("ann")).object();
    let bind = json!({"spec": {"nodeName": "n1"}});
    assert_eq!(cluster.run(merge(format!("{path}/a"), bind.clone()).by("ann")).code, 403);
    assert_eq!(
        cluster
            .run(
                apply(&format!("{path}/b"), {
                    let mut object = chosen.clone();
                    object["metadata"]["name"] = "b".into();
                    object
                })
                .by("ann")
            )
            .code,
        403
    );
    cluster.run(merge(format!("{path}/a"), bind)).object();
    // Once it is bound, who may write it goes on to.
    cluster.run(merge(format!("{path}/a"), json!({"metadata": {"labels": {"a": "b"}}})).by("ann")).object();
    let mut whole = cluster.get("hypermesh.online/instances", "default", "a").unwrap();
    whole["spec"]["weight"] = 1.into();
    cluster.run(put(format!("{path}/a"), whole).by("ann")).object();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "binds"},
        "rules": [{"apiGroups": ["hypermesh.online"], "resources": ["instances/binding"], "verbs": ["create"]}],
    });
    cluster.run(post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)).object();
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "binds"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "binds"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"}],
    });
    cluster.run(post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)).object();
    chosen["metadata"]["name"] = "c".into();
    cluster.run(post(&path, chosen).by("ann")).object();
}
