//! What Kubernetes' own kinds do beyond their schema.

use crate::support::*;
use serde_json::{Value, json};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn salt(cluster: &Cluster, name: &str) -> Vec<u8> {
    let found =
        cluster.state.objects.iter().find(|(key, _)| key.collection() == "/secrets" && key.name() == name);
    found.unwrap().1.salt.clone()
}

#[test]
fn a_secret_folds_its_text_and_salts_its_leaf() {
    let mut cluster = Cluster::new();
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"a": "b2xk"}, "stringData": {"a": "new", "b": "text"},
    });
    let stored = cluster.run(post(SECRETS, body)).object();
    assert_eq!(stored["data"], json!({"a": "bmV3", "b": "dGV4dA=="}));
    assert_eq!((&stored["type"], stored.get("stringData")), (&json!("Opaque"), None));
    let fields = &stored["metadata"]["managedFields"][0]["fieldsV1"];
    assert_eq!(fields.get("f:stringData"), None, "who wrote the text manages the data");
    let first = salt(&cluster, "s");
    assert_eq!(first.len(), 16);
    let path = format!("{SECRETS}/s");
    cluster.run(merge(&path, json!({"stringData": {"b": "other"}}))).object();
    assert_ne!(salt(&cluster, "s"), first);
    assert_eq!(cluster.run(merge(&path, json!({"stringData": {"b": "other"}}))).writes, 0);
    let retyped = cluster.run(merge(&path, json!({"type": "example.com/other"})));
    insta::assert_snapshot!(retyped.refusal(), @r#"422 Invalid: Secret "s" is invalid: type: Invalid value: "example.com/other": field is immutable"#);
    for wrong in [json!({"stringData": {"n": 3}}), json!({"stringData": "x"}), json!({"data": {"n": "%%"}})] {
        let answer = cluster.run(merge(&path, wrong));
        assert_eq!((answer.code, answer.writes), (422, 0), "{}", answer.message());
    }
}

#[test]
fn a_value_of_a_secret_is_never_shown_and_told_once() {
    let mut cluster = Cluster::new();
    let body = json!({"metadata": {"name": "s"}, "data": {"a.b": "%%hush", "n": 3}});
    let answer = cluster.run(post(SECRETS, body));
    insta::assert_debug_snapshot!(answer.causes(), @r#"
[
    "data[a.b]: Invalid value: \"<redacted>\": must be base64: illegal base64 data at input byte 0",
    "data.n: Invalid value: \"int64\": data.n in body must be of type byte: \"int64\"",
]
"#);
    assert!(!answer.body.to_string().contains("hush"));
}

#[test]
fn an_applied_secret_is_unchanged_the_second_time() {
    let mut cluster = Cluster::new();
    let body = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "1", "b": "2"},
    });
    let path = format!("{SECRETS}/s");
    assert_eq!(cluster.run(apply(&path, body.clone())).code, 201);
    assert_eq!(cluster.run(apply(&path, body.clone())).writes, 0);
    let mut less = body;
    less["stringData"].as_object_mut().unwrap().remove("b");
    assert_eq!(cluster.run(apply(&path, less)).object()["data"], json!({"a": "MQ=="}));
}

#[test]
fn types_of_secrets_keep_their_promises() {
    let mut cluster = Cluster::new();
    let mut tell = |kind: &str, data: Value| {
        let body = json!({"metadata": {"name": "s"}, "type": kind, "data": data});
        cluster.run(post(format!("{SECRETS}?dryRun=All"), body)).causes()
    };
    assert_eq!(
        tell("kubernetes.io/tls", json!({})),
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"]
    );
    assert_eq!(tell("kubernetes.io/basic-auth", json!({"username": ""})), Vec::<String>::new());
    assert_eq!(tell("Opaque", json!({"..x": ""})).len(), 1);
}

#[test]
fn what_is_immutable_stays() {
    let mut cluster = Cluster::new();
    let map = json!({"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": true});
    cluster.run(post(CONFIG_MAPS, map)).object();
    let secret = json!({"metadata": {"name": "c"}, "stringData": {"a": "1"}, "immutable": true});
    cluster.run(post(SECRETS, secret)).object();
    for path in [format!("{CONFIG_MAPS}/c"), format!("{SECRETS}/c")] {
        assert_eq!(cluster.run(merge(&path, json!({"data": {"a": "Mg=="}}))).code, 422);
        assert_eq!(cluster.run(merge(&path, json!({"immutable": null}))).code, 422);
        cluster.run(merge(&path, json!({"metadata": {"labels": {"a": "b"}}}))).object();
    }
}

#[test]
fn a_config_map_has_each_key_once_and_fit_for_a_file() {
    let mut cluster = Cluster::new();
    let map = json!({
        "metadata": {"name": "c"}, "data": {"a": "1", "b/c": "", "..": ""}, "binaryData": {"a": "MQ=="},
    });
    let answer = cluster.run(post(CONFIG_MAPS, map));
    insta::assert_debug_snapshot!(answer.causes(), @r#"
[
    "data[..]: Invalid value: \"..\": must not be '..'",
    "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
    "data[b/c]: Invalid value: \"b/c\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
]
"#);
}

#[test]
fn subjects_get_the_group_of_their_kind() {
    let mut cluster = Cluster::new();
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [
            {"kind": "User", "name": "jane"}, {"kind": "Group", "name": "g", "apiGroup": ""},
            {"kind": "ServiceAccount", "name": "s", "namespace": "default"},
        ],
    });
    let stored = cluster.run(post(&bindings, binding.clone())).object();
    let groups: Vec<Option<&str>> = stored["subjects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.get("apiGroup").and_then(Value::as_str))
        .collect();
    assert_eq!(groups, [Some("rbac.authorization.k8s.io"), Some("rbac.authorization.k8s.io"), None]);
    assert_eq!(cluster.run(put(format!("{bindings}/b"), binding.clone())).writes, 0);
    cluster.run(apply(&format!("{bindings}/b"), binding.clone())).object();
    assert_eq!(cluster.run(apply(&format!("{bindings}/b"), binding.clone())).writes, 0);
    let mut other = binding;
    other["roleRef"]["name"] = "edit".into();
    let refused = cluster.run(put(format!("{bindings}/b"), other));
    insta::assert_debug_snapshot!(refused.causes(), @r#"
[
    "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"edit\"}: cannot change roleRef",
]
"#);
}

#[test]
fn all_that_is_wrong_with_a_binding_is_told_at_once() {
    let mut cluster = Cluster::new();
    let binding = json!({
        "metadata": {"name": "b"}, "roleRef": {"kind": "Rule", "name": ""},
        "subjects": [
            {"kind": "User"}, {"kind": "ServiceAccount", "name": "s"},
            {"kind": "Group", "name": "g", "apiGroup": "example.com", "namespace": "default"},
        ],
    });
    let answer = cluster.run(post(format!("{RBAC}/namespaces/default/rolebindings"), binding));
    insta::assert_debug_snapshot!(answer.causes(), @r#"
[
    "roleRef.kind: Unsupported value: \"Rule\": supported values: \"Role\", \"ClusterRole\"",
    "roleRef.name: Invalid value: \"\": roleRef.name in body should be at least 1 chars long",
    "subjects[0].name: Required value",
    "subjects[1].namespace: Required value: a ServiceAccount needs its namespace",
    "subjects[2].namespace: Invalid value: users and groups have no namespace",
    "subjects[2].apiGroup: Invalid value: the group of users and groups is rbac.authorization.k8s.io; that of a ServiceAccount is empty",
    "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
]
"#);
}

#[test]
fn rules_of_roles_are_judged_once() {
    let mut cluster = Cluster::new();
    let roles = format!("{RBAC}/namespaces/default/roles");
    let rules = json!([{"verbs": []}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]);
    let answer = cluster.run(post(roles, json!({"metadata": {"name": "r"}, "rules": rules})));
    insta::assert_debug_snapshot!(answer.causes(), @r#"
[
    "rules[0].verbs: Required value: verbs must contain at least one value",
    "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
    "rules[0].resources: Required value: resource rules must supply at least one resource",
    "rules[1].nonResourceURLs: Invalid value: namespaced rules cannot apply to non-resource URLs",
]
"#);
}
