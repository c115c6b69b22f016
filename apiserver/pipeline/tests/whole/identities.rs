//! Registered keys: who may register, change and revoke one, from when it counts, and that an administrator is left.

use crate::support::*;
use hypermesh_chain::{PublicKey, SigningKey};
use hypermesh_pipeline::Derived;
use serde_json::{Value, json};

const IDENTITIES: &str = "/apis/hypermesh.online/v1/identities";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn name(key: &SigningKey) -> String {
    key.public().to_string()
}

fn identity(key: &SigningKey, spec: Value) -> Value {
    json!({"apiVersion": "hypermesh.online/v1", "kind": "Identity", "metadata": {"name": name(key)}, "spec": spec})
}

fn register(key: &SigningKey, spec: Value) -> Ask {
    post(IDENTITIES, identity(key, spec))
}

fn revoke(key: &SigningKey) -> Ask {
    delete(format!("{IDENTITIES}/{}", name(key)))
}

/// A request as `key` signs it; the block is a second later.
fn by(cluster: &Cluster, key: &SigningKey, ask: Ask) -> hypermesh_chain::Request {
    ask.signed(&cluster.id, &[key], cluster.time.0 / SECOND, None)
}

/// Gives `user` rules everywhere.
fn grant(cluster: &mut Cluster, user: &str, rules: Value) {
    let role = json!({"metadata": {"name": user}, "rules": rules});
    cluster.run(post(format!("{RBAC}/clusterroles"), role)).object();
    let binding = json!({
        "metadata": {"name": user}, "roleRef": {"kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user}],
    });
    cluster.run(post(format!("{RBAC}/clusterrolebindings"), binding)).object();
}

fn writer() -> Value {
    json!({"apiGroups": ["hypermesh.online"], "resources": ["identities"], "verbs": ["*"]})
}

fn impersonator(resource: &str, names: &[&str]) -> Value {
    json!({"apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": ["impersonate"]})
}

#[test]
fn a_key_counts_from_its_registration_until_it_is_revoked() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "alice", json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]));
    let key = key(20);
    let ask = |name: &str| post(CONFIG_MAPS, config_map(name, json!({})));
    let first = by(&cluster, &key, ask("early"));
    assert_eq!(cluster.order(first).code, 401);
    let (register, write) = (
        cluster.endorse(register(&key, json!({"user": "alice", "groups": ["developers"]}))),
        by(&cluster, &key, ask("a")),
    );
    let codes: Vec<u16> = cluster.block(&[register, write]).iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [201, 201], "it counts for the rest of its own block already");
    assert_eq!(Derived::load(&cluster.state).unwrap().identities.name(&key.public().0), Some("alice"));
    // A finalizer holds the object, not the key.
    let place = format!("{IDENTITIES}/{}", name(&key));
    cluster.run(merge(&place, json!({"metadata": {"finalizers": ["example.com/hold"]}}))).object();
    let still = by(&cluster, &key, ask("b"));
    cluster.order(still).object();
    cluster.run(revoke(&key)).object();
    let late = by(&cluster, &key, ask("c"));
    insta::assert_snapshot!(cluster.order(late).refusal(), @"401 Unauthorized: the key that signed the request is not registered in this cluster");
    assert_eq!(Derived::load(&cluster.state).unwrap().identities.name(&key.public().0), None);
}

#[test]
fn nobody_registers_a_key_for_whom_they_may_not_impersonate() {
    let mut cluster = Cluster::new();
    grant(
        &mut cluster,
        "jane",
        json!([writer(), impersonator("users", &["bob"]), impersonator("groups", &["ops"])]),
    );
    let (bob, other) = (key(21), key(22));
    cluster.run(register(&bob, json!({"user": "bob", "groups": ["ops"]})).by("jane")).object();
    let refused = cluster.run(register(&other, json!({"user": "root"})).by("jane"));
    insta::assert_snapshot!(refused.refusal().replace(&name(&other), "KEY"), @r#"403 Forbidden: identities.hypermesh.online "KEY" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to register a key that stands for user "root", and may not impersonate users "root""#);
    let refused =
        cluster.run(register(&other, json!({"user": "bob", "groups": ["ops", "system:masters"]})).by("jane"));
    insta::assert_snapshot!(refused.refusal().replace(&name(&other), "KEY"), @r#"403 Forbidden: identities.hypermesh.online "KEY" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to register a key that stands for group "system:masters", and may not impersonate groups "system:masters""#);
    // A change asks for the same, and for all that is left; what is no change of the spec asks for nothing.
    let place = format!("{IDENTITIES}/{}", name(&bob));
    cluster.run(merge(&place, json!({"spec": {"groups": ["ops", "dev"]}}))).object();
    assert_eq!(cluster.run(merge(&place, json!({"spec": {"groups": ["dev"]}})).by("jane")).code, 403);
    cluster.run(merge(&place, json!({"metadata": {"labels": {"a": "b"}}})).by("jane")).object();
    cluster.run(merge(&place, json!({"spec": {"groups": []}})).by("jane")).object();
    // By whatever way it is written.
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": [identity(&other, json!({"user": "root"}))]});
    assert_eq!(
        cluster.run(post("/apis/hypermesh.online/v1/transactions?fieldManager=m", list).by("jane")).code,
        403
    );
    let applied = identity(&other, json!({"user": "root"}));
    assert_eq!(cluster.run(apply(&format!("{IDENTITIES}/{}", name(&other)), applied).by("jane")).code, 403);
}

#[test]
fn who_may_impersonate_everybody_makes_no_administrator() {
    let mut cluster = Cluster::new();
    let anybody = json!({"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]});
    grant(&mut cluster, "jane", json!([writer(), anybody]));
    let key = key(23);
    let refused = cluster.run(register(&key, json!({"user": "x", "groups": ["system:masters"]})).by("jane"));
    insta::assert_snapshot!(refused.refusal().replace(&name(&key), "KEY"), @r#"
403 Forbidden: identities.hypermesh.online "KEY" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to register a key that holds RBAC permissions not currently held:
{APIGroups:["*"], Resources:["*"], Verbs:["*"]}
{NonResourceURLs:["*"], Verbs:["*"]}
"#);
    cluster.run(register(&key, json!({"user": "x"})).by("jane")).object();
    let place = format!("{IDENTITIES}/{}", name(&key));
    assert_eq!(
        cluster.run(merge(&place, json!({"spec": {"groups": ["system:masters"]}})).by("jane")).code,
        403
    );
}

#[test]
fn who_signs_may_change_to_another_key_of_their_own() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "alice", json!([writer()]));
    let (old, new, third) = (key(24), key(25), key(26));
    let spec = json!({"user": "alice", "groups": ["developers"]});
    cluster.run(register(&old, spec.clone())).object();
    let unsigned = cluster.run(register(&new, spec.clone()).by("alice"));
    assert_eq!(unsigned.code, 403, "a replica's word is not enough: {}", unsigned.message());
    let more = by(&cluster, &old, register(&new, json!({"user": "alice", "groups": ["developers", "ops"]})));
    assert_eq!(cluster.order(more).code, 403);
    let fewer = by(&cluster, &old, register(&new, json!({"user": "alice"})));
    cluster.order(fewer).object();
    let same = by(&cluster, &old, register(&third, spec));
    cluster.order(same).object();
    let revoked = by(&cluster, &third, revoke(&old));
    assert_eq!(cluster.order(revoked).code, 200);
}

#[test]
fn the_last_administrator_stays() {
    let mut cluster = Cluster::new();
    let masters = json!({"user": "admin", "groups": ["system:masters"]});
    let (first, second) = (administrator(), key(27));
    insta::assert_snapshot!(cluster.run(revoke(&first)).refusal().replace(&name(&first), "KEY"), @r#"403 Forbidden: identities.hypermesh.online "KEY" is forbidden: this revokes the last key of an administrator (system:masters), and nobody could register another: register one first"#);
    let place = |key: &SigningKey| format!("{IDENTITIES}/{}", name(key));
    assert_eq!(cluster.run(merge(place(&first), json!({"spec": {"groups": []}}))).code, 403);
    let owned = json!({"metadata": {"ownerReferences": [reference(&cluster.get("/namespaces", "", "default").unwrap(), false)]}});
    assert_eq!(cluster.run(merge(place(&first), owned)).code, 422);
    assert_eq!(cluster.run(delete(IDENTITIES)).code, 403, "nor do all go at once");
    cluster.run(register(&second, masters)).object();
    assert_eq!(cluster.run(delete(IDENTITIES)).code, 403);
    assert_eq!(cluster.count("hypermesh.online/identities"), 2, "a refusal leaves all of them");
    // Two that a transaction would demote together.
    let item = |key: &SigningKey| identity(key, json!({"user": "admin", "groups": []}));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [item(&first), item(&second)]});
    let transaction = "/apis/hypermesh.online/v1/transactions?fieldManager=m&force=true";
    assert_eq!(cluster.run(post(transaction, list)).code, 403);
    let request = by(&cluster, &second, revoke(&first));
    assert_eq!(cluster.order(request).code, 200);
    assert_eq!(cluster.run(revoke(&second)).code, 403);
}

#[test]
fn a_service_account_signs_as_long_as_it_is_there() {
    let mut cluster = Cluster::new();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    let uid = cluster.run(post(accounts, account.clone())).object()["metadata"]["uid"].clone();
    let user = "system:serviceaccount:default:robot";
    let key = key(28);
    let wrong = cluster.run(register(&key, json!({"user": user, "uid": "another"})));
    insta::assert_snapshot!(wrong.causes().join("\n"), @r#"spec.uid: Invalid value: "another": there is no service account "system:serviceaccount:default:robot" with the uid "another""#);
    cluster.run(register(&key, json!({"user": user, "uid": uid}))).object();
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]);
    cluster
        .run(post(format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "r"}, "rules": rules})))
        .object();
    let binding = json!({
        "metadata": {"name": "r"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "Group", "name": "system:serviceaccounts:default"}],
    });
    cluster.run(post(format!("{RBAC}/clusterrolebindings"), binding)).object();
    let write =
        |cluster: &Cluster, name: &str| by(cluster, &key, post(CONFIG_MAPS, config_map(name, json!({}))));
    let request = write(&cluster, "a");
    cluster.order(request).object();
    cluster.run(delete(format!("{accounts}/robot"))).object();
    let request = write(&cluster, "b");
    assert_eq!(cluster.order(request).code, 401);
    // Another account of the same name is another account.
    cluster.run(post(accounts, account)).object();
    let request = write(&cluster, "c");
    assert_eq!(cluster.order(request).code, 401);
}

#[test]
fn what_is_no_key_is_registered_for_nobody() {
    let mut cluster = Cluster::new();
    let spec = json!({"user": "x"});
    let named = |name: &str| {
        let mut object = identity(&key(1), spec.clone());
        object["metadata"]["name"] = name.into();
        post(IDENTITIES, object)
    };
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let weak = PublicKey(neutral).to_string();
    let upper = "D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A";
    let causes: Vec<String> = ["alice", upper, &weak, &"0".repeat(63)]
        .into_iter()
        .flat_map(|name| cluster.run(named(name)).causes())
        .collect();
    insta::assert_snapshot!(causes.join("\n"), @r#"
metadata.name: Invalid value: "alice": the name of an Identity is its Ed25519 public key: 64 lower-case hexadecimal digits
metadata.name: Invalid value: "D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
metadata.name: Invalid value: "D75A980182B10AB7D54BFED3C964073A0EE172F3DAA62325AF021A68F707511A": the name of an Identity is its Ed25519 public key: 64 lower-case hexadecimal digits
metadata.name: Invalid value: "0100000000000000000000000000000000000000000000000000000000000000": this is no Ed25519 public key that one holder alone could sign with
metadata.name: Invalid value: "000000000000000000000000000000000000000000000000000000000000000": the name of an Identity is its Ed25519 public key: 64 lower-case hexadecimal digits
"#);
    let place = format!("{IDENTITIES}/{}", name(&administrator()));
    let other = cluster.run(merge(place, json!({"spec": {"user": "another"}})));
    insta::assert_snapshot!(other.causes().join("\n"), @r#"spec.user: Invalid value: "another": the key already stands for "admin": register another key"#);
}

#[test]
fn no_replica_among_several_vouches_for_a_registration() {
    let mut cluster = Cluster::with_replicas(4);
    let key = key(29);
    assert_eq!(cluster.run(register(&key, json!({"user": "x"}))).code, 403);
    assert_eq!(cluster.run(revoke(&administrator())).code, 403);
    let signed = by(&cluster, &administrator(), register(&key, json!({"user": "controllers"})));
    cluster.order(signed).object();
    // What no replica may vouch for, whoever signs writes by their own rights.
    let secrets = "/api/v1/namespaces/default/secrets";
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]);
    let role = json!({"metadata": {"name": "controllers"}, "rules": rules});
    let request = by(&cluster, &administrator(), post(format!("{RBAC}/clusterroles"), role));
    cluster.order(request).object();
    let binding = json!({
        "metadata": {"name": "controllers"}, "roleRef": {"kind": "ClusterRole", "name": "controllers"},
        "subjects": [{"kind": "User", "name": "controllers"}],
    });
    let request = by(&cluster, &administrator(), post(format!("{RBAC}/clusterrolebindings"), binding));
    cluster.order(request).object();
    let secret = || post(secrets, json!({"metadata": {"name": "s"}}));
    assert_eq!(cluster.run(secret().by("controllers")).code, 403);
    let request = by(&cluster, &key, secret());
    cluster.order(request).object();
}
