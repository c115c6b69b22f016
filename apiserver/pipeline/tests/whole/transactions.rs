//! Several writes in one request.

use crate::support::*;
use serde_json::{Value, json};

const TRANSACTIONS: &str = "/apis/hypermesh.online/v1/transactions?fieldManager=test";

fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

#[test]
fn all_of_it_happens_in_order() {
    let mut cluster = Cluster::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}});
    let mut inside = asset("a1", json!({"color": "red"}));
    inside["metadata"]["namespace"] = "tenant".into();
    let answer = cluster.run(post(TRANSACTIONS, list(vec![namespace, inside, config_map("c", json!({}))])));
    assert_eq!((answer.code, answer.writes), (200, 3), "{}", answer.message());
    let list_ = answer.object();
    let names: Vec<&str> =
        list_["items"].as_array().unwrap().iter().filter_map(|i| i["metadata"]["name"].as_str()).collect();
    assert_eq!((names, &list_["kind"]), (vec!["tenant", "a1", "c"], &json!("List")));
    assert!(cluster.get("/configmaps", "default", "c").is_some());
    let again = cluster.run(post(TRANSACTIONS, list(vec![config_map("c", json!({}))])));
    assert_eq!((again.code, again.writes), (200, 0));
}

#[test]
fn or_none_of_it_and_the_item_is_named() {
    let mut cluster = Cluster::new();
    let before = cluster.state.objects.clone();
    let bad = asset("a2", json!({"replicas": 12}));
    let answer = cluster.run(post(TRANSACTIONS, list(vec![asset("a1", json!({})), bad])));
    insta::assert_snapshot!(answer.refusal(), @r#"422 Invalid: items[1]: Asset.hm.example.com "a2" is invalid: spec.replicas: Invalid value: 12: too many; nothing of the transaction was stored"#);
    insta::assert_debug_snapshot!(answer.causes(), @r#"
[
    "items[1].spec.replicas: Invalid value: 12: too many",
]
"#);
    let unknown = json!({"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "x"}});
    let nameless = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x"}});
    let mut misplaced = json!({"apiVersion": "hm.example.com/v1", "kind": "Site", "metadata": {"name": "s"}});
    misplaced["metadata"]["namespace"] = "default".into();
    for item in [unknown, nameless, misplaced, json!(3)] {
        let answer = cluster.run(post(TRANSACTIONS, list(vec![config_map("c", json!({})), item])));
        assert!(answer.message().starts_with("items[1]: "), "{}", answer.refusal());
        let cause = answer.causes().remove(0);
        let (_, why) = cause.split_once(": ").unwrap();
        assert!(!why.is_empty() && answer.message().contains(why), "{cause} in {}", answer.message());
        assert_eq!(answer.message().matches("items[1]").count(), 1, "{}", answer.message());
    }
    for body in
        [json!({"kind": "List", "items": []}), list(vec![config_map("c", json!({})); 1001]), json!("x")]
    {
        assert_eq!(cluster.run(post(TRANSACTIONS, body)).code, 400);
    }
    let dry = cluster.run(post(format!("{TRANSACTIONS}&dryRun=All"), list(vec![asset("a1", json!({}))])));
    assert_eq!((dry.code, dry.writes), (200, 0));
    assert_eq!(cluster.state.objects, before);
}

#[test]
fn conflicts_of_an_item_are_told_by_its_fields() {
    let mut cluster = Cluster::new();
    cluster.run(post(ASSETS, asset("a1", json!({"color": "red"})))).object();
    let answer = cluster.run(post(TRANSACTIONS, list(vec![asset("a1", json!({"color": "blue"}))])));
    assert_eq!(
        (answer.code, answer.causes()),
        (409, vec!["items[0].spec.color: conflict with \"agent\" using hm.example.com/v1".to_owned()])
    );
}

#[test]
fn each_item_needs_the_rights_that_it_would_need_alone() {
    let mut cluster = Cluster::new();
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"metadata": {"name": "r"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]},
        {"apiGroups": ["hm.example.com"], "resources": ["assets"], "verbs": ["patch"]},
    ]});
    cluster.run(post(format!("{rbac}/roles"), role)).object();
    let binding = json!({
        "metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane"}],
    });
    cluster.run(post(format!("{rbac}/rolebindings"), binding)).object();
    let maps = list(vec![config_map("a", json!({})), config_map("b", json!({}))]);
    assert_eq!(cluster.run(post(TRANSACTIONS, maps).by("jane")).writes, 2);
    let mixed = list(vec![config_map("c", json!({})), asset("a1", json!({}))]);
    insta::assert_snapshot!(cluster.run(post(TRANSACTIONS, mixed).by("jane")).refusal(), @r#"403 Forbidden: items[1]: assets.hm.example.com "a1" is forbidden: User "jane" cannot create resource "assets" in API group "hm.example.com" in the namespace "default"; nothing of the transaction was stored"#);
    assert_eq!(cluster.count("/configmaps"), 2);
}
