//! What the controllers may do, as RBAC objects: what they need, and nothing else.
//!
//! `nexusctl up` applies them when it starts. Who runs the daemons apart applies what `nexus-controllers --rights` prints.

use crate::namespace::BUNDLE;
use crate::runtime::Failure;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::wait;
use serde_json::{Value, json};

/// Who the controllers are: the common name of their certificate.
pub const USER: &str = "system:nexus-controllers";
/// Where their Lease lies, and its name.
pub const LEASE: (&str, &str) = ("kube-system", "nexus-controllers");

/// Who gives rights: a client that may.
pub type Administrator = Client;

/// The label of keys that [`register`] registered.
const REGISTERED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "nexusctl-up");

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";
const OURS: &str = hypermesh_schemas::GROUP;
const CERTIFICATES: &str = "certificates.k8s.io";

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
        // The scheduler binds instances; the node lifecycle says how nodes are, taints them, and ends instances.
        {"apiGroups": [OURS], "resources": ["nodes"], "verbs": ["get", "list", "patch", "watch"]},
        {"apiGroups": [OURS], "resources": ["nodes/status"], "verbs": ["patch"]},
        {"apiGroups": [OURS], "resources": ["nodes/liveness"], "verbs": ["get"]},
        {"apiGroups": [OURS], "resources": ["instances"], "verbs": ["create", "delete", "get", "list", "patch", "watch"]},
        {"apiGroups": [OURS], "resources": ["instances/binding"], "verbs": ["create"]},
        {"apiGroups": [OURS], "resources": ["instances/status"], "verbs": ["patch"]},
        // Workloads make instances, and runs of schedules. They keep their templates, and copy what these refer to, so that
        // one can go back to it; which ConfigMaps and Secrets those are is for the templates to say.
        {"apiGroups": [OURS], "resources": ["workloads"], "verbs": ["create", "delete", "get", "list", "watch"]},
        {"apiGroups": [OURS], "resources": ["workloads/status"], "verbs": ["patch"]},
        {"apiGroups": ["apps"], "resources": ["controllerrevisions"], "verbs": ["create", "delete", "get", "list", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["create", "delete", "get"]},
    ]);
    // Nodes that join are approved, and so is nobody else; and what is over goes.
    let certificate_rules = json!([
        {
            "apiGroups": [CERTIFICATES],
            "resources": ["certificatesigningrequests"],
            "verbs": ["delete", "get", "list", "watch"],
        },
        {"apiGroups": [CERTIFICATES], "resources": ["certificatesigningrequests/approval"], "verbs": ["patch"]},
        {
            "apiGroups": [CERTIFICATES],
            "resources": ["signers"],
            "resourceNames": ["kubernetes.io/kube-apiserver-client-kubelet"],
            "verbs": ["approve"],
        },
        {"apiGroups": [OURS], "resources": ["identities"], "verbs": ["get", "list"]},
        {"apiGroups": [OURS], "resources": ["nodes"], "verbs": ["get"]},
    ]);
    let rules: Vec<&Value> =
        [&rules, &certificate_rules].into_iter().filter_map(Value::as_array).flatten().collect();
    let lease_rules = json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [lease],
            "verbs": ["get", "list", "update", "watch"],
        },
        // Bootstrap tokens lie there. What RBAC cannot say, that only Secrets of their type are meant, the controllers
        // say in what they ask for.
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete", "list"]},
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

/// Waits until a key, in hexadecimal, is not registered any more.
///
/// # Errors
/// When it can not be watched.
pub async fn forgotten(administrator: &Administrator, key: &str) -> Result<(), wait::Error> {
    let resource = crate::runtime::identities();
    let api: Api<DynamicObject> = Api::all_with(administrator.clone(), &resource);
    let gone = |identity: Option<&DynamicObject>| identity.is_none();
    wait::await_condition(api, key, gone).await.map(drop)
}

/// Registers the controllers' key, in hexadecimal, as an administrator, and revokes keys that were registered like this
/// before. What is so already is not written. False in a cluster that registers no keys.
pub async fn register(administrator: &Administrator, key: &str) -> Result<bool, Failure> {
    let resource = crate::runtime::identities();
    let api: Api<DynamicObject> = Api::all_with(administrator.clone(), &resource);
    let (label, by) = REGISTERED_BY;
    let identity = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": key, "labels": {label: by}},
        "spec": {"user": USER},
    });
    let params = PatchParams::apply("nexusctl-up").force();
    match api.patch(key, &params, &Patch::Apply(&identity)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            // The kinds of a cluster are those that it was made with.
            tracing::warn!(
                "this cluster is of a version that registers no keys: the controllers do not sign"
            );
            return Ok(false);
        }
        applied => applied.map_err(Failure::of("register the controllers' key"))?,
    };
    let mine = ListParams::default().labels(&format!("{label}={by}")).fields(&format!("spec.user={USER}"));
    let known = api.list_metadata(&mine).await.map_err(Failure::of("list the controllers' keys"))?;
    for name in known.items.into_iter().filter_map(|known| known.metadata.name).filter(|name| name != key) {
        let revoked = api.delete(&name, &DeleteParams::default()).await;
        revoked.map_err(Failure::of(format!("revoke the controllers' former key {name}")))?;
    }
    Ok(true)
}

/// Applies the objects as an administrator. What is so already is not written.
pub async fn grant(administrator: &Administrator) -> Result<(), Failure> {
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
    fn nothing_is_granted_by_a_star_and_secrets_are_listed_and_changed_nowhere_but_in_kube_system() {
        let text = list().to_string();
        assert!(!text.contains('*') && !text.contains("escalate"), "{text}");
        assert!(!text.contains("impersonate") && !text.contains("cluster-admin"), "{text}");
        for object in objects().iter().filter(|object| object["metadata"]["namespace"] != "kube-system") {
            let rules = object["rules"].as_array().cloned().unwrap_or_default();
            for rule in rules.iter().filter(|rule| rule["resources"].to_string().contains("secrets")) {
                for verb in ["list", "watch", "patch", "update"] {
                    assert!(!rule["verbs"].to_string().contains(verb), "{rule}");
                }
            }
        }
    }
}
