//! Writes whose replies people compare, and what is refused with its place.

use crate::CONFIGMAPS;
use anyhow::{Result, ensure};
use hypermesh_e2e::Cluster;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_dry_run_differs_from_what_is_by_what_a_write_would_change() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}});
    let rehearsed = admin.post(&format!("{CONFIGMAPS}?dryRun=All"), &map)?.expect(201)?;
    ensure!(rehearsed["metadata"].get("resourceVersion").is_none(), "{rehearsed}");
    let stored = admin.post(CONFIGMAPS, &map)?.expect(201)?;
    let change = json!({"data": {"k": "2"}});
    let told = admin.merge(&format!("{CONFIGMAPS}/a?dryRun=All"), &change)?.expect(200)?;
    ensure!(told["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]);
    ensure!(told["data"]["k"] == "2");
    ensure!(admin.get(&format!("{CONFIGMAPS}/a"))?.expect(200)? == stored);
    Ok(())
}

#[test]
fn what_cannot_be_taken_says_where() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}});
    admin.post(CONFIGMAPS, &map)?.expect(201)?;
    let patch = |body: &str| {
        let kind = [("content-type", "application/json-patch+json")];
        admin.send("PATCH", &format!("{CONFIGMAPS}/a"), &kind, body.to_owned())
    };
    let failed = patch(
        r#"[{"op":"test","path":"/data/k","value":"1"},{"op":"replace","path":"/data/x","value":""}]"#,
    )?;
    let status = failed.expect(422)?;
    ensure!(
        status["message"] == "the server rejected our request due to an error in our request",
        "{status}"
    );
    let warning = failed.header("warning").unwrap_or_default();
    let words =
        r#"299 - "the patch does not apply: operation 1: replace \"/data/x\": \"/data\" has no field \"x\"""#;
    ensure!(warning == words, "{warning}");
    // The whole object in place of itself.
    let emptied = patch(r#"[{"op":"replace","path":"","value":{}}]"#)?.expect(400)?;
    let nameless = "the name of the object (a based on URL) was undeterminable: name must be provided";
    ensure!(emptied["message"] == nameless, "{emptied}");
    ensure!(admin.get(&format!("{CONFIGMAPS}/a"))?.expect(200)?["data"]["k"] == "1");

    let post = |kind: &str, body: &str| {
        let reply = admin.send("POST", CONFIGMAPS, &[("content-type", kind)], body.to_owned())?;
        Ok::<_, anyhow::Error>(reply.expect(400)?["message"].as_str().unwrap_or_default().to_owned())
    };
    let json = post("application/json", "{\n  \"kind\": \"ConfigMap\",\n  data: {}\n}")?;
    ensure!(
        json == "the body of the request is not valid JSON: line 3, column 3: expected the name of a field in double \
                 quotes, found 'd'",
        "{json}"
    );
    let yaml = post("application/yaml", "kind: ConfigMap\ndata:\n\tk: v\n")?;
    ensure!(yaml.starts_with("error converting YAML to JSON: yaml: line 3, column "), "{yaml}");
    Ok(())
}

#[test]
fn warnings_fit_into_a_head() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    for n in 0..5_000 {
        map[format!("unknown{n:05}")] = json!(1);
    }
    let reply = admin.post(CONFIGMAPS, &map)?;
    reply.expect(201)?;
    let warnings: Vec<&str> =
        reply.headers.iter().filter(|(name, _)| name == "warning").map(|(_, text)| text.as_str()).collect();
    let first = warnings.first().copied().unwrap_or_default();
    ensure!(first.contains("unknown00000"), "{first}");
    let bytes: usize = warnings.iter().map(|text| text.len()).sum();
    ensure!(warnings.len() == 51 && bytes < 8 * 1024, "{} warnings of {bytes} bytes", warnings.len());
    Ok(())
}

#[test]
fn a_namespace_goes_when_it_is_empty_whatever_is_said_of_its_finalizers() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let target = "/api/v1/namespaces/stuck";
    admin.post("/api/v1/namespaces", &json!({"metadata": {"name": "stuck"}}))?.expect(201)?;
    let held = json!({"metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
    admin.post(&format!("{target}/configmaps"), &held)?.expect(201)?;
    admin.delete(target)?.expect(200)?;
    let mut object = admin.get(target)?.expect(200)?;
    ensure!(object["status"]["phase"] == "Terminating", "{object}");
    let finalize = format!("{target}/finalize");
    let typed = [("content-type", "application/json")];
    for (method, body) in
        [("GET", ""), ("PATCH", "{}"), ("DELETE", r#"{"kind":"Namespace"}"#), ("POST", "no")]
    {
        let refused = admin.send(method, &finalize, &typed, body)?.expect(405)?;
        let words = refused["message"].as_str().unwrap_or_default();
        ensure!(words.ends_with("is not supported on resources of kind \"namespaces/finalize\""), "{words}");
    }
    object["spec"]["finalizers"] = json!([]);
    // What is waited for is told in the status, so that the object may have changed meanwhile.
    if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("resourceVersion");
    }
    let refused = admin.put(&finalize, &object)?.expect(422)?;
    let words = refused["message"].as_str().unwrap_or_default();
    ensure!(words.contains("\"kubernetes\" goes when the namespace is empty"), "{words}");
    let let_go = json!({"metadata": {"finalizers": null}});
    admin.merge(&format!("{target}/configmaps/a"), &let_go)?.expect(200)?;
    let until = Instant::now() + Duration::from_secs(30);
    while admin.get(target)?.code != 404 {
        ensure!(Instant::now() < until, "{}", admin.get(target)?.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
