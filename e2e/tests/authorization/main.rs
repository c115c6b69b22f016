//! Who may do what: every route refuses who has no rights to it, and nobody gives themselves more.

mod identity;
mod rights;
mod routes;

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};

/// A service account of `default`, and a client with its token.
pub fn account(cluster: &Cluster, name: &str) -> Result<Client> {
    let admin = cluster.admin()?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", &account)?.expect(201)?;
    Ok(cluster.anonymous()?.bearer(&token(&admin, name)?))
}

/// A fresh token of a service account of `default`.
pub fn token(admin: &Client, name: &str) -> Result<String> {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let target = format!("/api/v1/namespaces/default/serviceaccounts/{name}/token");
    let reply = admin.post(&target, &request)?.expect(201)?;
    Ok(reply.pointer("/status/token").and_then(Value::as_str).context("no token")?.to_owned())
}

/// Gives a service account of `default` the rights of `rules`, in the whole cluster.
pub fn grant(admin: &Client, account: &str, rules: &Value) -> Result<()> {
    const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
    let meta = json!({"name": format!("of-{account}")});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta,
        "rules": rules});
    admin.post(&format!("{RBAC}/clusterroles"), &role)?.expect(201)?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("of-{account}")},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}]});
    admin.post(&format!("{RBAC}/clusterrolebindings"), &binding)?.expect(201)?;
    Ok(())
}

/// Fails unless the store stands where it stood.
pub fn nothing_was_stored(cluster: &Cluster, before: u64) -> Result<()> {
    let now = cluster.revision()?;
    ensure!(now == before, "the store went from revision {before} to {now}");
    Ok(())
}
