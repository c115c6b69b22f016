//! RBAC: decisions, escalation, aggregated roles, and that rights end where their scope does.

use crate::support::*;
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn rules(verbs: &[&str], resources: &[&str]) -> Value {
    json!([{"apiGroups": ["*"], "resources": resources, "verbs": verbs}])
}

/// Gives `user` rules in the namespace `default`, or everywhere.
fn grant(cluster: &mut Cluster, user: &str, everywhere: bool, rules: Value) {
    let (place, prefix) =
        if everywhere { (RBAC.to_owned(), "cluster") } else { (format!("{RBAC}/namespaces/default"), "") };
    let kind = if everywhere { "ClusterRole" } else { "Role" };
    cluster
        .run(post(format!("{place}/{prefix}roles"), json!({"metadata": {"name": user}, "rules": rules})))
        .object();
    cluster.run(post(format!("{place}/{prefix}rolebindings"), binding(user, kind, user))).object();
}

fn binding(name: &str, kind: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name}, "roleRef": {"kind": kind, "name": name},
        "subjects": [{"kind": "User", "name": user}],
    })
}

#[test]
fn nothing_is_allowed_that_no_rule_allows() {
    let mut cluster = Cluster::new();
    let refused = cluster.run(post(ASSETS, asset("a1", json!({}))).by("jane"));
    insta::assert_snapshot!(refused.refusal(), @r#"403 Forbidden: assets.hm.example.com is forbidden: User "jane" cannot create resource "assets" in API group "hm.example.com" in the namespace "default""#);
    grant(&mut cluster, "jane", false, rules(&["create", "patch"], &["assets"]));
    cluster.run(post(ASSETS, asset("a1", json!({}))).by("jane")).object();
    cluster.run(merge(format!("{ASSETS}/a1"), json!({"spec": {"color": "red"}})).by("jane")).object();
    let beyond = [
        delete(format!("{ASSETS}/a1")),
        delete(ASSETS),
        put(format!("{ASSETS}/a1"), asset("a1", json!({}))),
        merge(format!("{ASSETS}/a1/status"), json!({"status": {"replicas": 1}})),
        merge(format!("{ASSETS}/a1/scale"), json!({"spec": {"replicas": 1}})),
        post(ASSETS.replace("default", "kube-system"), asset("a1", json!({}))),
        post("/apis/hm.example.com/v1/sites", json!({})),
    ];
    for ask in beyond {
        assert_eq!(cluster.run(ask.by("jane")).code, 403);
    }
}

#[test]
fn masters_cannot_lock_themselves_out() {
    let mut cluster = Cluster::new();
    let bindings = format!("{RBAC}/clusterrolebindings");
    cluster.run(delete(format!("{bindings}/cluster-admin"))).object();
    cluster.run(post(ASSETS, asset("a1", json!({})))).object();
    grant(&mut cluster, "jane", false, rules(&["get"], &["assets"]));
    let again = json!({
        "metadata": {"name": "cluster-admin"}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": "system:masters"}],
    });
    assert_eq!(cluster.run(post(&bindings, again.clone()).by("jane")).code, 403);
    cluster.run(post(&bindings, again)).object();
}

#[test]
fn an_apply_or_a_put_that_creates_needs_the_right_to() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "jane", false, rules(&["patch", "update"], &["assets", "leases"]));
    assert_eq!(cluster.run(apply(&format!("{ASSETS}/a1"), asset("a1", json!({}))).by("jane")).code, 403);
    let lease = json!({"metadata": {"name": "l"}});
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
    assert_eq!(cluster.run(put(leases, lease).by("jane")).code, 403);
}

#[test]
fn rights_in_a_namespace_reach_nothing_outside_of_one() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "jane", false, rules(&["*"], &["*"]));
    let anything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let mut master = binding("jane-is-master", "ClusterRole", "jane");
    master["roleRef"]["name"] = "cluster-admin".into();
    let site = json!({"apiVersion": "hm.example.com/v1", "kind": "Site", "metadata": {"name": "s"}});
    let asks = [
        post(format!("{RBAC}/namespaces/default/clusterrolebindings"), master),
        post(
            format!("{RBAC}/namespaces/default/clusterroles"),
            json!({"metadata": {"name": "x"}, "rules": anything}),
        ),
        apply("/apis/hm.example.com/v1/namespaces/default/sites/s", site.clone()),
        delete(format!("{RBAC}/namespaces/default/clusterroles/view")),
    ];
    for ask in asks {
        let answer = cluster.run(ask.by("jane"));
        assert_eq!((answer.code, answer.writes), (404, 0), "{}", answer.message());
    }
    let mut item = site;
    item["metadata"]["namespace"] = "default".into();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [item]});
    let answer = cluster.run(post("/apis/hypermesh.online/v1/transactions?fieldManager=m", list).by("jane"));
    assert_eq!(answer.code, 403, "{}", answer.message());
    // A namespace is in itself: a Role within it may give rights to it.
    cluster
        .run(merge("/api/v1/namespaces/default", json!({"metadata": {"labels": {"a": "b"}}})).by("jane"))
        .object();
    assert_eq!(cluster.run(post("/apis/hm.example.com/v1/assets", asset("a", json!({})))).code, 404);
}

#[test]
fn nobody_hands_out_what_they_do_not_hold() {
    let mut cluster = Cluster::new();
    grant(
        &mut cluster,
        "jane",
        false,
        rules(&["create", "update", "patch"], &["roles", "rolebindings", "assets"]),
    );
    let roles = format!("{RBAC}/namespaces/default/roles");
    let more = json!({"metadata": {"name": "more"}, "rules": [
        {"apiGroups": ["hm.example.com"], "resources": ["assets"], "verbs": ["create", "delete"]},
    ]});
    insta::assert_snapshot!(cluster.run(post(&roles, more.clone()).by("jane")).refusal(), @r#"
403 Forbidden: roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:
{APIGroups:["hm.example.com"], Resources:["assets"], Verbs:["delete"]}
"#);
    let held = json!({"metadata": {"name": "held"}, "rules": [
        {"apiGroups": ["hm.example.com"], "resources": ["assets"], "verbs": ["create"]},
    ]});
    cluster.run(post(&roles, held).by("jane")).object();
    cluster.run(post(&roles, more)).object();
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    assert_eq!(cluster.run(post(&bindings, binding("more", "Role", "jane")).by("jane")).code, 403);
    assert_eq!(cluster.run(post(&bindings, binding("none", "Role", "jane")).by("jane")).code, 404);
    cluster.run(post(&bindings, binding("held", "Role", "joe")).by("jane")).object();
    // Who may `bind` or `escalate` may.
    grant(&mut cluster, "jill", false, rules(&["create", "bind", "escalate"], &["roles", "rolebindings"]));
    cluster.run(post(&bindings, binding("more", "Role", "jill")).by("jill")).object();
    let all = json!({"metadata": {"name": "all"}, "rules": rules(&["*"], &["*"])});
    cluster.run(post(&roles, all).by("jill")).object();
}

#[test]
fn an_aggregated_role_holds_what_its_parts_hold() {
    let mut cluster = Cluster::new();
    let aggregated = |name: &str, label: &str, wanted: &str| {
        json!({
            "metadata": {"name": name, "labels": {label: "true"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {wanted: "true"}}]},
        })
    };
    let roles = format!("{RBAC}/clusterroles");
    // Two that hold each other, and one of them a role with rules.
    cluster.run(post(&roles, aggregated("outer", "outer", "inner"))).object();
    cluster.run(post(&roles, aggregated("inner", "inner", "part"))).object();
    cluster
        .run(post(format!("{RBAC}/clusterrolebindings"), binding("outer", "ClusterRole", "jane")))
        .object();
    assert_eq!(cluster.run(post(ASSETS, asset("a1", json!({}))).by("jane")).code, 403);
    let part = json!({
        "metadata": {"name": "part", "labels": {"part": "true", "inner": "true"}},
        "rules": rules(&["create"], &["assets"]),
    });
    cluster.run(post(&roles, part)).object();
    cluster.run(post(ASSETS, asset("a1", json!({}))).by("jane")).object();
    grant(&mut cluster, "joe", true, rules(&["create"], &["clusterroles", "assets"]));
    let refused = cluster.run(post(&roles, aggregated("mine", "x", "part")).by("joe"));
    assert_eq!(refused.code, 403, "to aggregate is to hold everything");
}

#[test]
fn what_selects_no_role_is_no_aggregation() {
    let mut cluster = Cluster::new();
    let roles = format!("{RBAC}/clusterroles");
    let with = |rule: Value| json!({"metadata": {"name": "r"}, "aggregationRule": rule});
    let expression = |expression: Value| {
        with(
            json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}, {"matchExpressions": [expression]}]}),
        )
    };
    let bad = [
        with(json!({})),
        with(json!({"clusterRoleSelectors": []})),
        with(json!({"clusterRoleSelectors": [{"matchLabels": {"a b": "c", "d": "-"}}]})),
        expression(json!({"key": "a", "operator": "Foo"})),
        expression(json!({"key": "a", "operator": "In", "values": []})),
        expression(json!({"key": "a", "operator": "NotIn", "values": ["b c"]})),
        expression(json!({"key": "", "operator": "Exists", "values": ["b"]})),
    ];
    let causes: Vec<String> =
        bad.into_iter().flat_map(|role| cluster.run(post(&roles, role)).causes()).collect();
    insta::assert_snapshot!(causes.join("\n"), @r#"
aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil
aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil
aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
aggregationRule.clusterRoleSelectors[0].matchLabels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
aggregationRule.clusterRoleSelectors[1].matchExpressions[0].operator: Invalid value: "Foo": not a valid selector operator
aggregationRule.clusterRoleSelectors[1].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
aggregationRule.clusterRoleSelectors[1].matchExpressions[0].values[0]: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
aggregationRule.clusterRoleSelectors[1].matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'
aggregationRule.clusterRoleSelectors[1].matchExpressions[0].key: Invalid value: "": name part must be non-empty
aggregationRule.clusterRoleSelectors[1].matchExpressions[0].key: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
"#);
    let good = expression(json!({"key": "a", "operator": "DoesNotExist"}));
    cluster.run(post(&roles, good)).object();
    cluster.run(put(format!("{roles}/r"), with(Value::Null))).object();
}

#[test]
fn the_default_roles_are_made_of_their_parts() {
    let mut cluster = Cluster::new();
    let role = |cluster: &Cluster, name: &str| {
        cluster.get("rbac.authorization.k8s.io/clusterroles", "", name).unwrap()
    };
    cluster.tick();
    assert_eq!(cluster.count("~/work"), 0, "what the genesis wrote out is what is held");
    let (view, edit, admin) = (role(&cluster, "view"), role(&cluster, "edit"), role(&cluster, "admin"));
    assert_eq!(view["rules"], role(&cluster, "system:aggregate-to-view")["rules"]);
    assert!(admin["rules"].as_array().unwrap().len() > edit["rules"].as_array().unwrap().len());
    assert_eq!(
        admin["aggregationRule"],
        json!({"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]})
    );
    // A kind that is added brings its rules along, and they show where they are held.
    let binding = json!({
        "metadata": {"name": "jane"}, "roleRef": {"kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "jane"}],
    });
    cluster.run(post(format!("{RBAC}/namespaces/default/rolebindings"), binding)).object();
    assert_eq!(cluster.run(post(ASSETS, asset("a1", json!({}))).by("jane")).code, 403);
    let part = json!({
        "metadata": {"name": "assets", "labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}},
        "rules": rules(&["create"], &["assets"]),
    });
    cluster.run(post(format!("{RBAC}/clusterroles"), part)).object();
    cluster.run(post(ASSETS, asset("a1", json!({}))).by("jane")).object();
    cluster.settle();
    let held = |cluster: &Cluster, name: &str| {
        role(cluster, name)["rules"].as_array().unwrap().contains(&rules(&["create"], &["assets"])[0])
    };
    assert!(held(&cluster, "edit") && held(&cluster, "admin") && !held(&cluster, "view"));
    // They are nobody's to write.
    let before = role(&cluster, "admin");
    let answer = cluster.run(merge(format!("{RBAC}/clusterroles/admin"), json!({"rules": []})));
    assert_eq!((answer.code, answer.writes), (200, 0));
    assert_eq!(role(&cluster, "admin"), before);
    cluster.run(delete(format!("{RBAC}/clusterroles/assets"))).object();
    cluster.settle();
    assert!(!held(&cluster, "edit") && !held(&cluster, "admin"));
    assert_eq!(role(&cluster, "admin")["rules"], admin["rules"]);
}

#[test]
fn what_is_not_held_is_told_whole_and_compacted() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "jane", true, rules(&["create"], &["clusterroles"]));
    let names: Vec<String> = (0..60).map(|n| format!("kind{n:02}")).collect();
    let wanted = json!([{"apiGroups": [""], "resources": names, "verbs": ["get", "list"]}]);
    let refused = cluster.run(
        post(format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "x"}, "rules": wanted})).by("jane"),
    );
    let lines: Vec<&str> = refused.message().lines().collect();
    assert_eq!(lines.len(), 61);
    assert_eq!(lines[1], r#"{APIGroups:[""], Resources:["kind00"], Verbs:["get" "list"]}"#);
    let many: Vec<String> = (0..5000).map(|n| format!("kind{n:04}")).collect();
    let wanted = json!([{"apiGroups": [""], "resources": many, "verbs": ["get"]}]);
    let refused = cluster.run(
        post(format!("{RBAC}/clusterroles"), json!({"metadata": {"name": "x"}, "rules": wanted})).by("jane"),
    );
    assert!(refused.message().len() < 40_000);
    assert!(refused.message().lines().last().unwrap().starts_with("and "), "{}", refused.message().len());
}

#[test]
fn a_decision_follows_the_writes_of_its_block() {
    let mut cluster = Cluster::new();
    let role = json!({"metadata": {"name": "jane"}, "rules": rules(&["create"], &["assets"])});
    let place = format!("{RBAC}/namespaces/default");
    let asks = [
        post(format!("{place}/roles"), role),
        post(ASSETS, asset("a1", json!({}))).by("jane"),
        post(format!("{place}/rolebindings"), binding("jane", "Role", "jane")),
        post(ASSETS, asset("a1", json!({}))).by("jane"),
        delete(format!("{place}/roles/jane?dryRun=All")),
        post(ASSETS, asset("a2", json!({}))).by("jane"),
        delete(format!("{place}/roles/jane")),
        post(ASSETS, asset("a3", json!({}))).by("jane"),
    ];
    let requests: Vec<_> = asks.into_iter().map(|ask| cluster.endorse(ask)).collect();
    let codes: Vec<u16> = cluster.block(&requests).iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [201, 403, 201, 201, 200, 201, 200, 403]);
}
