//! Nobody gives rights they do not have, or takes another's name.

use crate::{account, grant, nothing_was_stored};
use anyhow::{Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn write_rbac(more: &[&str]) -> Value {
    let verbs: Vec<&str> = ["create", "update", "patch", "get"].iter().chain(more).copied().collect();
    json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": verbs},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ])
}

fn role(kind: &str, name: &str, verb: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]}]})
}

fn binding(kind: &str, name: &str, role: &str) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "climber", "namespace": "default"}]})
}

/// The four ways to write rights: kind, and where.
const ROLES: [(&str, &str); 2] = [("ClusterRole", "clusterroles"), ("Role", "namespaces/default/roles")];
const BINDINGS: [(&str, &str); 2] =
    [("ClusterRoleBinding", "clusterrolebindings"), ("RoleBinding", "namespaces/default/rolebindings")];

#[test]
fn nobody_grants_more_than_they_have() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let climber = account(&cluster, "climber")?;
    grant(&cluster.admin()?, "climber", &write_rbac(&[]))?;
    let before = cluster.revision()?;
    for (kind, place) in ROLES {
        forbidden(&climber, "POST", &format!("{RBAC}/{place}"), &role(kind, "more", "delete"))?;
    }
    for (kind, place) in BINDINGS {
        forbidden(&climber, "POST", &format!("{RBAC}/{place}"), &binding(kind, "more", "cluster-admin"))?;
    }
    nothing_was_stored(&cluster, before)?;
    // What they have they may grant, and then not widen.
    for (kind, place) in ROLES {
        climber.post(&format!("{RBAC}/{place}"), &role(kind, "same", "get"))?.expect(201)?;
        let stored = cluster.revision()?;
        let wider = json!({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
        let reply = climber.merge(&format!("{RBAC}/{place}/same"), &wider)?;
        ensure!(reply.code == 403, "a {kind} was widened: {} {}", reply.code, reply.text());
        nothing_was_stored(&cluster, stored)?;
    }
    for (kind, place) in BINDINGS {
        climber.post(&format!("{RBAC}/{place}"), &binding(kind, "same", "same"))?.expect(201)?;
    }
    Ok(())
}

#[test]
fn escalate_and_bind_allow_it() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let climber = account(&cluster, "climber")?;
    grant(&cluster.admin()?, "climber", &write_rbac(&["escalate", "bind"]))?;
    for (kind, place) in ROLES {
        climber.post(&format!("{RBAC}/{place}"), &role(kind, "more", "delete"))?.expect(201)?;
    }
    for (kind, place) in BINDINGS {
        climber.post(&format!("{RBAC}/{place}"), &binding(kind, "more", "more"))?.expect(201)?;
    }
    Ok(())
}

#[test]
fn nobody_takes_anothers_name() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let nobody = account(&cluster, "nobody")?;
    let target = "/api/v1/namespaces/default/configmaps";
    let before = cluster.revision()?;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    let guises = [
        nobody.clone().impersonating("admin", &["system:masters"]),
        nobody.clone().impersonating("system:serviceaccount:kube-system:x", &[]),
        nobody.clone().header("impersonate-user", "").header("impersonate-group", "system:masters"),
        nobody.header("impersonate-uid", "1"),
        cluster.anonymous()?.impersonating("admin", &["system:masters"]),
    ];
    for guise in guises {
        let code = guise.post(target, &config)?.code;
        ensure!(matches!(code, 400 | 401 | 403), "impersonation got {code}");
    }
    nothing_was_stored(&cluster, before)?;
    // Who may, acts with the other's rights and no more.
    let admin = cluster.admin()?;
    ensure!(admin.clone().impersonating("someone", &[]).post(target, &config)?.code == 403);
    nothing_was_stored(&cluster, before)?;
    admin.impersonating("someone", &["system:masters"]).post(target, &config)?.expect(201)?;
    Ok(())
}

fn forbidden(client: &Client, method: &str, target: &str, body: &Value) -> Result<()> {
    let reply = client.send(method, target, &[("content-type", "application/json")], body.to_string())?;
    ensure!(reply.code == 403, "{method} {target}: {} {}", reply.code, reply.text());
    ensure!(reply.json()?["reason"] == "Forbidden", "{}", reply.text());
    Ok(())
}
