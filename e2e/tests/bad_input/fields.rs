//! Objects that are well formed and wrong.

use crate::{CONFIGMAPS, NETWORKS, Server};
use anyhow::{Result, ensure};
use serde_json::json;

pub fn check(server: &Server) -> Result<()> {
    decoding(server)?;
    violations(server)?;
    places(server)
}

/// Unknown and duplicate fields, under each of the three words of `fieldValidation`.
fn decoding(server: &Server) -> Result<()> {
    const JSON: &str = "application/json";
    let unknown = r#"{"apiVersion":"hypermesh.online/v1","kind":"Network","metadata":{"name":"n"},
        "spec":{"interface":"Private","bogus":1}}"#;
    let twice = r#"{"apiVersion":"hypermesh.online/v1","kind":"Network","metadata":{"name":"n"},
        "spec":{"interface":"Private","interface":"Public"}}"#;
    let strict = |target: &str| format!("{target}?fieldValidation=Strict");
    let message = server.refused("an unknown field", server.post(&strict(NETWORKS), JSON, unknown), 400);
    ensure!(message.contains("strict decoding error: unknown field \"spec.bogus\""), "{message}");
    let message = server.refused("a duplicate field", server.post(&strict(NETWORKS), JSON, twice), 400);
    ensure!(message.contains("duplicate field \"spec.interface\""), "{message}");
    for (word, body, warning) in [
        ("Warn", unknown, Some("unknown field \"spec.bogus\"")),
        ("Warn", twice, Some("duplicate field \"spec.interface\"")),
        ("Ignore", unknown, None),
        ("Ignore", twice, None),
    ] {
        let target = format!("{NETWORKS}?fieldValidation={word}&dryRun=All");
        let reply = server.post(&target, JSON, body)?;
        ensure!(reply.code == 201, "{word}: {}", reply.text());
        let warned = reply.header("warning").unwrap_or_default().replace('\\', "");
        let expected = warning.map_or(warned.is_empty(), |warning| warned.contains(warning));
        ensure!(expected, "{word}: {warned:?} for {body}");
        ensure!(!reply.text().contains("bogus"), "{word}: an unknown field is kept");
        server.unharmed(word)?;
    }
    server.refused(
        "a wrong word",
        server.post(&format!("{NETWORKS}?fieldValidation=Maybe"), JSON, unknown),
        422,
    );
    server.refused("a wrong dryRun", server.post(&format!("{NETWORKS}?dryRun=Some"), JSON, unknown), 422);
    Ok(())
}

/// Wrong types and values; several are told at once.
fn violations(server: &Server) -> Result<()> {
    let post = |body: serde_json::Value| {
        server.post(
            "/apis/hypermesh.online/v1/namespaces/default/workloads",
            "application/json",
            body.to_string(),
        )
    };
    let body = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "A_b"},
        "spec": {"replicas": "two", "template": {"spec": {"containers": [{"name": 7}]}}}});
    let reply = post(body)?;
    server.refused("wrong types", Ok(reply.clone()), 422);
    let causes = reply.json()?["details"]["causes"].as_array().cloned().unwrap_or_default();
    let fields: Vec<&str> = causes.iter().filter_map(|cause| cause["field"].as_str()).collect();
    for field in ["metadata.name", "spec.replicas", "spec.template.spec.containers[0].name"] {
        ensure!(fields.contains(&field), "{field} is not among {fields:?}");
    }
    for (what, object) in [
        ("null", json!(null)),
        ("an array", json!([])),
        ("a number", json!(7)),
        ("no kind", json!({})),
        (
            "metadata as a list",
            json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": []}),
        ),
        ("another kind", json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}})),
    ] {
        server.refused(what, post(object), 400);
    }
    // A refusal names many errors, and not any number of them.
    let labels: serde_json::Map<_, _> = (0..2000).map(|n| (format!("k {n}"), json!("v v"))).collect();
    let labelled =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": labels}});
    let reply = server.post(CONFIGMAPS, "application/json", labelled.to_string());
    server.refused("2000 bad labels", reply, 422);
    Ok(())
}

/// Paths and queries.
fn places(server: &Server) -> Result<()> {
    for (target, code) in [
        (format!("{NETWORKS}?labelSelector=a%20in%20("), 400),
        (format!("{NETWORKS}?fieldSelector=spec.nothing=1"), 400),
        (format!("{NETWORKS}?limit=99999999999999999999999"), 400),
        (format!("{NETWORKS}?continue=garbage"), 400),
        (format!("{NETWORKS}?labelSelector={}", "a%3Db,".repeat(4000)), 400),
        (format!("{NETWORKS}/%2e%2e"), 400),
        (format!("{NETWORKS}/a%2fb"), 400),
        (format!("{NETWORKS}/%ff"), 400),
        (format!("{NETWORKS}/{}", "x".repeat(5000)), 414),
        (format!("{NETWORKS}/x/y/z/w"), 404),
    ] {
        let what: String = target.chars().take(120).collect();
        server.refused(&what, server.admin.get(&target), code);
    }
    Ok(())
}
