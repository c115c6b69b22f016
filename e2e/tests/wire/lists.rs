//! Pages of lists, and the paths by which collections were watched before `?watch=1`.

use crate::CONFIGMAPS;
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};

fn fill(admin: &Client) -> Result<()> {
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let metadata = json!({"name": name, "labels": {"l": label}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        admin.post(CONFIGMAPS, &map)?.expect(201)?;
    }
    Ok(())
}

#[test]
fn a_page_continues_the_list_that_it_came_from() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    fill(&admin)?;
    let token = |query: &str| -> Result<String> {
        let list = admin.get(&format!("{CONFIGMAPS}?limit=1{query}"))?.expect(200)?;
        Ok(list["metadata"]["continue"].as_str().context("no token")?.to_owned())
    };
    let (plain, selected) = (token("")?, token("&labelSelector=l%3Dx")?);
    let message = |target: &str| -> Result<String> {
        let refused = admin.get(target)?.expect(400)?;
        ensure!(refused["reason"] == "BadRequest");
        Ok(refused["message"].as_str().unwrap_or_default().to_owned())
    };
    let versioned = message(&format!("{CONFIGMAPS}?limit=1&resourceVersion=7&continue={plain}"))?;
    ensure!(versioned == "specifying resource version is not allowed when using continue", "{versioned}");
    let other = "invalid continue token: continue key is not valid: it continues another list: path, labelSelector and \
                 fieldSelector must be those of the request that it came from";
    for target in [
        format!("{CONFIGMAPS}?limit=1&labelSelector=l%3Dy&continue={plain}"),
        format!("{CONFIGMAPS}?limit=1&continue={selected}"),
        format!("{CONFIGMAPS}?limit=1&fieldSelector=metadata.name%3Db&continue={plain}"),
        format!("/api/v1/namespaces/default/secrets?limit=1&continue={plain}"),
        format!("/api/v1/namespaces/kube-system/configmaps?limit=1&continue={plain}"),
    ] {
        let message = message(&target)?;
        ensure!(message == other, "{target}: {message}");
    }
    // Any version is what the list is of, and pages may be of any size.
    for target in [
        format!("{CONFIGMAPS}?limit=1&resourceVersion=0&continue={plain}"),
        format!("{CONFIGMAPS}?limit=2&continue={plain}"),
        format!("{CONFIGMAPS}?labelSelector=l%3Dx&continue={selected}"),
    ] {
        let list = admin.get(&target)?.expect(200)?;
        ensure!(list["items"][0]["metadata"]["name"] == "b", "{target}: {list}");
    }
    Ok(())
}

#[test]
fn a_legacy_watch_is_a_watch() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    fill(&admin)?;
    let events = |target: &str| -> Result<Vec<String>> {
        let reply = admin.get(&format!("{target}timeoutSeconds=1"))?;
        ensure!(
            reply.code == 200 && reply.header("content-type") == Some("application/json"),
            "{}",
            reply.text()
        );
        let lines = reply.text();
        let event = |line: &str| -> Result<String> {
            let event: Value = serde_json::from_str(line)?;
            Ok(format!("{} {}", event["type"], event["object"]["metadata"]["name"]).replace('"', ""))
        };
        lines.lines().map(event).collect()
    };
    let watched = "/api/v1/watch/namespaces/default/configmaps";
    ensure!(events(&format!("{watched}?"))? == ["ADDED a", "ADDED b", "ADDED c"]);
    ensure!(events(&format!("{watched}/b?"))? == ["ADDED b"]);
    ensure!(events(&format!("{watched}?labelSelector=l%3Dy&"))? == ["ADDED c"]);
    ensure!(events("/api/v1/watch/namespaces/default?")? == ["ADDED default"]);
    ensure!(events("/apis/rbac.authorization.k8s.io/v1/watch/clusterroles/view?")? == ["ADDED view"]);
    let other = admin.get(&format!("{watched}/b?fieldSelector=metadata.name%3Da"))?.expect(400)?;
    ensure!(other["message"] == "fieldSelector metadata.name doesn't match requested name", "{other}");
    admin.delete(watched)?.expect(405)?;
    admin.get(&format!("{watched}/b/status"))?.expect(404)?;
    // What is wrong with a request is for who is known, however the path is written.
    let nobody = cluster.anonymous()?;
    nobody.delete(watched)?.expect(401)?;
    nobody.get(&format!("{watched}/b?fieldSelector=metadata.name%3Da"))?.expect(401)?;
    // The rights are those of a watch: what is watched by name may be granted by name.
    let jane = admin.clone().impersonating("jane", &[]);
    let refused = jane.get(watched)?.expect(403)?;
    let words = refused["message"].as_str().unwrap_or_default();
    ensure!(words.contains("cannot watch resource \"configmaps\""), "{words}");
    Ok(())
}

#[test]
fn a_first_page_that_names_a_version_is_of_it() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    fill(&admin)?;
    let list = admin.get(CONFIGMAPS)?.expect(200)?;
    let then = list["metadata"]["resourceVersion"].as_str().context("no version")?;
    admin.delete(&format!("{CONFIGMAPS}/a"))?.expect(200)?;
    let first = |query: &str| -> Result<(Value, Value)> {
        let list = admin.get(&format!("{CONFIGMAPS}?{query}"))?.expect(200)?;
        Ok((list["items"][0]["metadata"]["name"].clone(), list["metadata"]["resourceVersion"].clone()))
    };
    ensure!(first(&format!("limit=1&resourceVersion={then}"))? == (json!("a"), json!(then)));
    // Without a limit, or where it is said, a version is the oldest that will do; 0 is any.
    ensure!(first(&format!("resourceVersion={then}"))?.0 == "b");
    ensure!(first(&format!("limit=1&resourceVersion={then}&resourceVersionMatch=NotOlderThan"))?.0 == "b");
    ensure!(first("limit=1&resourceVersion=0")?.0 == "b");
    Ok(())
}
