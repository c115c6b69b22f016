//! Default roles and bindings, as `k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy` has them, for
//! the kinds that are served here.

use super::MASTERS;
use crate::authz::{NODES, PolicyRule};
use crate::hook::{CLIENT_SIGNER, NODE_SIGNER};
use serde_json::{Value, json};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
const OURS: &str = "hypermesh.online";
const CERTIFICATES: &str = "certificates.k8s.io";
/// Namespaced kinds of ours that a namespace's people work with.
const OURS_NAMESPACED: [&str; 6] =
    ["certificates", "domains", "instances", "networks", "workloads", "workloads/scale"];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let list = |items: &[&str]| items.iter().map(|i| (*i).to_owned()).collect();
    PolicyRule {
        verbs: list(verbs),
        api_groups: list(groups),
        resources: list(resources),
        ..PolicyRule::default()
    }
}

fn paths(paths: &[&str], verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
        non_resource_urls: paths.iter().map(|p| (*p).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

/// A right on signers of certificates.
fn signers(names: &[&str], verb: &str) -> PolicyRule {
    PolicyRule {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..rule(&[CERTIFICATES], &["signers"], &[verb])
    }
}

/// What a node may do beside what is bound to it (`crate::authz::node`).
fn node() -> Vec<PolicyRule> {
    vec![
        rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
        rule(&["authorization.k8s.io"], &["localsubjectaccessreviews", "subjectaccessreviews"], &["create"]),
        // Whose the key is that signed a request for a stream.
        rule(&[OURS], &["identities"], &["get"]),
    ]
}

/// What whoever joins by a bootstrap token may do: ask for a certificate, and see what becomes of it.
fn bootstrapper() -> Vec<PolicyRule> {
    vec![rule(&[CERTIFICATES], &["certificatesigningrequests"], &["create", "get", "list", "watch"])]
}

/// What the server's own signer may do.
fn signer() -> Vec<PolicyRule> {
    vec![
        rule(&[CERTIFICATES], &["certificatesigningrequests"], &READ),
        rule(&[CERTIFICATES], &["certificatesigningrequests/status"], &["patch", "update"]),
        signers(&[CLIENT_SIGNER, NODE_SIGNER], "sign"),
        rule(&[OURS], &["identities"], &["create", "get", "patch"]),
    ]
}

/// All rights.
pub(crate) fn everything() -> Vec<PolicyRule> {
    vec![rule(&["*"], &["*"], &["*"]), paths(&["*"], &["*"])]
}

/// What one replica among several may endorse: never Secrets, RBAC, kinds, membership, exec or impersonation.
pub(super) fn endorsable() -> Vec<PolicyRule> {
    let core = ["configmaps", "events", "namespaces"];
    vec![
        rule(&[""], &core, &WRITE),
        rule(&[""], &["pods"], &["delete", "deletecollection"]),
        rule(&[""], &["pods/eviction"], &["create"]),
        rule(&[""], &["nodes"], &["patch"]),
        rule(&[OURS], &["assets", "issuers", "nodes", "nodes/status", "transactions"], &WRITE),
        rule(&[OURS], &OURS_NAMESPACED, &WRITE),
        rule(&["coordination.k8s.io"], &["leases"], &WRITE),
    ]
}

fn view() -> Vec<PolicyRule> {
    vec![
        rule(
            &[""],
            &[
                "configmaps",
                "events",
                "namespaces",
                "pods",
                "pods/log",
                "pods/status",
                "resourcequotas",
                "serviceaccounts",
            ],
            &READ,
        ),
        rule(&["metrics.k8s.io"], &["nodes", "pods"], &READ),
        rule(&[OURS], &["instances/log"], &READ),
        rule(&["events.k8s.io"], &["events"], &READ),
        rule(&["coordination.k8s.io"], &["leases"], &READ),
        rule(&["apps"], &["controllerrevisions"], &READ),
        rule(&[OURS], &OURS_NAMESPACED, &READ),
    ]
}

/// What `edit` has beside `view`.
fn edit() -> Vec<PolicyRule> {
    vec![
        rule(&[""], &["secrets"], &READ),
        rule(&[""], &["configmaps", "events", "secrets", "serviceaccounts"], &WRITE),
        rule(&[""], &["serviceaccounts"], &["impersonate"]),
        rule(&[""], &["serviceaccounts/token", "pods/eviction"], &["create"]),
        rule(&[""], &["pods", "pods/attach", "pods/exec", "pods/portforward"], &WRITE),
        rule(&[""], &["pods/attach", "pods/exec", "pods/portforward"], &READ),
        rule(&[OURS], &["instances/attach", "instances/exec", "instances/portforward"], &["create"]),
        rule(&["coordination.k8s.io"], &["leases"], &WRITE),
        rule(&[OURS], &OURS_NAMESPACED, &WRITE),
        rule(&[OURS], &["transactions"], &["create"]),
    ]
}

/// What `admin` has beside `edit`.
fn admin() -> Vec<PolicyRule> {
    vec![
        rule(&["rbac.authorization.k8s.io"], &["rolebindings", "roles"], &[&READ[..], &WRITE[..]].concat()),
        rule(&["authorization.k8s.io"], &["localsubjectaccessreviews"], &["create"]),
    ]
}

fn role(name: &str, rules: &[PolicyRule]) -> (&'static str, Value) {
    let object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "rules": rules,
    });
    ("rbac.authorization.k8s.io/clusterroles", object)
}

/// The label by which a role gives its rules to one of the roles for people.
fn aggregate_to(role: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{role}")
}

/// A role whose rules others, and those of every new kind, are given to one of the roles for people by.
fn part(of: &str, rules: &[PolicyRule]) -> (&'static str, Value) {
    let (collection, mut object) = role(&format!("system:aggregate-to-{of}"), rules);
    object["metadata"]["labels"][aggregate_to(of)] = "true".into();
    (collection, object)
}

/// One of the roles for people: made of the parts that name it, and itself a part of the next.
fn aggregated(name: &str, next: Option<&str>, rules: &[PolicyRule]) -> (&'static str, Value) {
    let (collection, mut object) = role(name, rules);
    if let Some(next) = next {
        object["metadata"]["labels"][aggregate_to(next)] = "true".into();
    }
    object["aggregationRule"] =
        json!({"clusterRoleSelectors": [{"matchLabels": {aggregate_to(name): "true"}}]});
    (collection, object)
}

/// The default cluster roles.
pub(super) fn cluster_roles() -> Vec<(&'static str, Value)> {
    let documents = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    vec![
        role("cluster-admin", &everything()),
        // The rules are written out in the order in which the state machine aggregates them.
        aggregated("admin", None, &[edit(), view(), admin()].concat()),
        aggregated("edit", Some("admin"), &[edit(), view()].concat()),
        aggregated("view", Some("edit"), &view()),
        part("admin", &admin()),
        part("edit", &edit()),
        part("view", &view()),
        role("system:discovery", &[paths(&documents, &["get"]), paths(&health, &["get"])]),
        role("system:public-info-viewer", &[paths(&health, &["get"])]),
        role(
            "system:basic-user",
            &[
                rule(&["authorization.k8s.io"], &reviews, &["create"]),
                rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
            ],
        ),
        role("system:monitoring", &[paths(&["/metrics"], &["get"])]),
        role(
            "system:auth-delegator",
            &[
                rule(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
                rule(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
            ],
        ),
        role("system:node", &node()),
        role("system:node-bootstrapper", &bootstrapper()),
        role(
            "system:certificates.k8s.io:kube-apiserver-client-approver",
            &[signers(&[CLIENT_SIGNER], "approve")],
        ),
        role(
            "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
            &[signers(&[NODE_SIGNER], "approve")],
        ),
        role(super::SIGNER, &signer()),
    ]
}

/// The default bindings.
pub(super) fn cluster_role_bindings() -> Vec<(&'static str, Value)> {
    let bindings: [(&str, &[&str]); 7] = [
        ("cluster-admin", &[MASTERS]),
        ("system:node", &[NODES]),
        ("system:node-bootstrapper", &["system:bootstrappers"]),
        ("system:discovery", &["system:authenticated"]),
        ("system:basic-user", &["system:authenticated"]),
        ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
        ("system:monitoring", &["system:monitoring"]),
    ];
    let subject =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    bindings
        .into_iter()
        .map(|(name, groups)| {
            (name, groups.iter().map(|group| subject("Group", group)).collect::<Vec<Value>>())
        })
        .chain(std::iter::once((super::SIGNER, vec![subject("User", super::SIGNER)])))
        .map(|(name, subjects)| {
            let object = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": subjects,
            });
            ("rbac.authorization.k8s.io/clusterrolebindings", object)
        })
        .collect()
}
