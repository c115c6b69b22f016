//! Fields that no two objects share.

use crate::support::*;
use serde_json::{Value, json};

const NAMES: &str = "/apis/hm.example.com/v1/namespaces/default/names";

fn named(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "hm.example.com/v1", "kind": "Name", "metadata": {"name": name}, "spec": spec})
}

fn cluster() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.run(post("/api/v1/namespaces", json!({"metadata": {"name": "tenant"}}))).object();
    let role = json!({
        "metadata": {"name": "names"},
        "rules": [{"apiGroups": ["hm.example.com"], "resources": ["names"], "verbs": ["*"]}],
    });
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant";
    cluster.run(post(format!("{roles}/roles"), role)).object();
    let binding = json!({
        "metadata": {"name": "names"}, "roleRef": {"kind": "Role", "name": "names"},
        "subjects": [{"kind": "User", "name": "tenant"}],
    });
    cluster.run(post(format!("{roles}/rolebindings"), binding)).object();
    cluster
}

#[test]
fn the_second_holder_is_refused_and_the_first_named_to_who_may_see_it() {
    let mut cluster = cluster();
    let theirs = NAMES.replace("default", "tenant");
    cluster.run(post(NAMES, named("mine", json!({"name": "example", "alias": "x"})))).object();
    let tenant = cluster.run(post(&theirs, named("yours", json!({"name": "example"}))).by("tenant"));
    insta::assert_snapshot!(tenant.refusal(), @r#"409 AlreadyExists: names "yours" cannot be stored: spec.name "example" is held by another object"#);
    insta::assert_debug_snapshot!(tenant.causes(), @r#"
[
    "spec.name: Duplicate value: \"example\"",
]
"#);
    let root = cluster.run(post(&theirs, named("yours", json!({"name": "example"}))));
    insta::assert_snapshot!(root.refusal(), @r#"409 AlreadyExists: names "yours" cannot be stored: spec.name "example" is held by names default/mine"#);
    // The scope of the other field is the namespace.
    cluster.run(post(&theirs, named("yours", json!({"name": "other", "alias": "x"})))).object();
    assert_eq!(cluster.run(post(NAMES, named("n3", json!({"alias": "x"})))).code, 409);
}

#[test]
fn a_value_that_is_let_go_may_be_taken_within_the_block() {
    let mut cluster = cluster();
    cluster.run(post(NAMES, named("n1", json!({"name": "a"})))).object();
    cluster.run(post(NAMES, named("n2", json!({"name": "b"})))).object();
    let asks = [
        merge(format!("{NAMES}/n1"), json!({"spec": {"name": "c"}})),
        merge(format!("{NAMES}/n2"), json!({"spec": {"name": "a"}})),
        merge(format!("{NAMES}/n1"), json!({"spec": {"name": "a"}})),
        delete(format!("{NAMES}/n2")),
        post(NAMES, named("n3", json!({"name": "a"}))),
        post(NAMES, named("n4", json!({"name": "c"}))),
        post(NAMES, named("n5", json!({}))),
        post(NAMES, named("n6", json!({"name": ""}))),
    ];
    let requests: Vec<_> = asks.into_iter().map(|ask| cluster.endorse(ask)).collect();
    let codes: Vec<u16> = cluster.block(&requests).iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [200, 200, 409, 200, 201, 409, 201, 201]);
}

#[test]
fn a_refused_request_holds_nothing() {
    let mut cluster = cluster();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        named("n1", json!({"name": "a"})), named("n2", json!({"name": "a"})),
    ]});
    let transaction = cluster.endorse(post("/apis/hypermesh.online/v1/transactions?fieldManager=test", list));
    let alone = cluster.endorse(post(NAMES, named("n2", json!({"name": "a"}))));
    let codes: Vec<u16> = cluster.block(&[transaction, alone]).iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [409, 201]);
}
