//! Every route there is, with every verb, by who has no rights.

use crate::{account, nothing_was_stored};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What everyone who is known may ask about themselves (`system:basic-user`).
const OWN: [&str; 3] = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];

/// One request of the walk.
struct Route {
    method: &'static str,
    target: String,
    /// The resource, to find those that are open.
    resource: String,
}

#[test]
fn every_route_refuses_who_has_no_rights() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let nobody = account(&cluster, "nobody")?;
    let anonymous = cluster.anonymous()?;
    let routes = routes(&cluster.admin()?)?;
    ensure!(routes.len() > 150, "only {} routes were found", routes.len());
    let before = cluster.revision()?;
    let mut open = String::new();
    for route in &routes {
        let refused = |client: &Client, codes: &[u16]| -> Result<Option<String>> {
            let headers: &[(&str, &str)] = match route.method {
                "GET" => &[],
                "PATCH" => &[("content-type", "application/merge-patch+json")],
                _ => &[("content-type", "application/json")],
            };
            let body = if route.method == "GET" { "" } else { "{}" };
            let reply = client.send(route.method, &route.target, headers, body)?;
            let refused = codes.contains(&reply.code) && reply.json()?["kind"] == "Status";
            let said = || format!("{} {}: {} {}", route.method, route.target, reply.code, reply.text());
            Ok((!refused).then(said))
        };
        if !OWN.contains(&route.resource.as_str())
            && let Some(said) = refused(&nobody, &[403])?
        {
            open += &format!("a service account without rights: {said}\n");
        }
        if let Some(said) = refused(&anonymous, &[401, 403])? {
            open += &format!("anonymous: {said}\n");
        }
    }
    ensure!(open.is_empty(), "routes that refuse nobody:\n{open}");
    nothing_was_stored(&cluster, before)
}

#[test]
fn paths_that_are_no_resource_are_refused_too() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let nobody = account(&cluster, "nobody")?;
    let anonymous = cluster.anonymous()?;
    for path in ["/metrics", "/", "/logs", "/debug/pprof/", "/anything"] {
        ensure!(nobody.get(path)?.code == 403, "{path} is open to every account");
        ensure!(matches!(anonymous.get(path)?.code, 401 | 403), "{path} is open to everyone");
    }
    // Documents are for who is known (`system:discovery`), health and version for everyone (`system:public-info-viewer`).
    for path in ["/api", "/apis", "/api/v1", "/apis/hypermesh.online/v1", "/openapi/v3"] {
        ensure!(nobody.get(path)?.code == 200, "{path} is closed");
        ensure!(matches!(anonymous.get(path)?.code, 401 | 403), "{path} is open to everyone");
    }
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        ensure!(anonymous.get(path)?.code == 200, "{path} is closed");
    }
    Ok(())
}

/// Every resource and subresource of discovery, with every method and the scopes it has.
fn routes(admin: &Client) -> Result<Vec<Route>> {
    let mut versions = vec!["/api/v1".to_owned()];
    for group in items(&admin.get("/apis")?.expect(200)?, "groups") {
        for version in items(group, "versions") {
            let version = version["groupVersion"].as_str().context("a version without a name")?;
            versions.push(format!("/apis/{version}"));
        }
    }
    let mut routes = Vec::new();
    let mut kinds = BTreeSet::new();
    for version in versions {
        for resource in items(&admin.get(&version)?.expect(200)?, "resources") {
            let name = resource["name"].as_str().context("a resource without a name")?;
            kinds.insert(format!("{version}/{name}"));
            let scopes: &[&str] = match resource["namespaced"].as_bool() {
                Some(true) => &["", "/namespaces/default", "/namespaces/elsewhere"],
                _ => &[""],
            };
            for scope in scopes {
                walk(&format!("{version}{scope}"), name, resource, &mut routes);
            }
        }
    }
    ensure!(
        kinds.contains("/apis/hypermesh.online/v1/workloads/scale"),
        "subresources are missing: {kinds:?}"
    );
    Ok(routes)
}

fn walk(prefix: &str, name: &str, resource: &Value, routes: &mut Vec<Route>) {
    let verbs: BTreeSet<&str> = items(resource, "verbs").filter_map(Value::as_str).collect();
    let (plural, sub) = name.split_once('/').unwrap_or((name, ""));
    let collection = format!("{prefix}/{plural}");
    let object = format!("{collection}/x{}", if sub.is_empty() { String::new() } else { format!("/{sub}") });
    let mut add = |method, target: String| {
        routes.push(Route { method, target, resource: plural.to_owned() });
    };
    for verb in verbs {
        match verb {
            "get" => add("GET", object.clone()),
            "list" => add("GET", collection.clone()),
            "watch" => add("GET", format!("{collection}?watch=1&timeoutSeconds=1")),
            "create" => add("POST", if sub.is_empty() { collection.clone() } else { object.clone() }),
            "update" => add("PUT", object.clone()),
            "patch" => add("PATCH", object.clone()),
            "delete" => add("DELETE", object.clone()),
            "deletecollection" => add("DELETE", collection.clone()),
            _ => {}
        }
    }
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

/// The walk above would pass if the server refused everyone.
#[test]
fn who_has_rights_is_not_refused() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let before = cluster.revision()?;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    cluster.admin()?.post("/api/v1/namespaces/default/configmaps", &config)?.expect(201)?;
    ensure!(cluster.revision()? > before);
    Ok(())
}
