//! What the controllers may do, as RBAC objects: what they need, and nothing else.
//!
//! `nexusctl up` applies them when it starts. Who runs the daemons apart applies what `nexus-controllers --rights` prints.

use crate::namespace::BUNDLE;
use crate::runtime::Failure;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

/// Who the controllers are: the common name of their certificate.
pub const USER: &str = "system:nexus-controllers";
/// Where their Lease lies, and its name.
pub const LEASE: (&str, &str) = ("kube-system", "nexus-controllers");

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";

/// The roles and bindings, in the order in which they are applied.
pub fn objects() -> Vec<Value> {
    let (namespace, lease) = LEASE;
    let rules = json!([
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["namespaces/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["default"], "verbs": ["get", "list", "watch"]},
        // A create cannot be limited by name.
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [BUNDLE],
            "verbs": ["delete", "get", "list", "patch", "watch"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "delete", "get", "list", "patch"]},
    ]);
    let lease_rules = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease],
            "verbs": ["get", "list", "update", "watch"],
        },
    ]);
    let meta = json!({"name": USER});
    let meta_here = json!({"name": USER, "namespace": namespace});
    let subjects = json!([{"apiGroup": GROUP, "kind": "User", "name": USER}]);
    let refers = |kind: &str| json!({"apiGroup": GROUP, "kind": kind, "name": USER});
    vec![
        json!({"apiVersion": VERSION, "kind": "ClusterRole", "metadata": meta, "rules": rules}),
        json!({
            "apiVersion": VERSION,
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": refers("ClusterRole"),
            "subjects": subjects,
        }),
        json!({"apiVersion": VERSION, "kind": "Role", "metadata": meta_here, "rules": lease_rules}),
        json!({
            "apiVersion": VERSION,
            "kind": "RoleBinding",
            "metadata": meta_here,
            "roleRef": refers("Role"),
            "subjects": subjects,
        }),
    ]
}

/// The objects as one List, which `nexusctl apply -f -` takes.
pub fn list() -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": objects()})
}

/// Applies the objects as an administrator. What is so already is not written.
pub async fn grant(administrator: &Client) -> Result<(), Failure> {
    let params = PatchParams::apply("nexusctl-up").force();
    for object in objects() {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        let resource = ApiResource {
            group: GROUP.to_owned(),
            version: "v1".to_owned(),
            api_version: VERSION.to_owned(),
            kind: kind.to_owned(),
            plural: format!("{}s", kind.to_lowercase()),
        };
        let api: Api<DynamicObject> = match text("/metadata/namespace") {
            "" => Api::all_with(administrator.clone(), &resource),
            namespace => Api::namespaced_with(administrator.clone(), namespace, &resource),
        };
        let applied = api.patch(name, &params, &Patch::Apply(&object)).await;
        applied.map_err(Failure::of(format!("give the controllers the {kind} {name}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_by_a_star_and_no_secret_at_all() {
        let text = list().to_string();
        assert!(!text.contains('*') && !text.contains("secrets") && !text.contains("escalate"), "{text}");
        assert!(!text.contains("impersonate") && !text.contains("cluster-admin"), "{text}");
    }
}
