//! The past as the API serves it: an object and a list as they were at a revision or a time, and all the versions of
//! an object with their authors.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/settings";

/// Created, changed, changed again, deleted: the revision of each.
fn past(client: &Client) -> Result<Vec<String>> {
    let revision = |object: &Value| -> Result<String> {
        let text = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        Ok(text.context("no resourceVersion")?.to_owned())
    };
    let map = json!({"metadata": {"name": "settings"}, "data": {"color": "red"}});
    let created = client.post(&format!("{MAPS}?fieldManager=painter"), &map)?.expect(201)?;
    let blue = client.merge(MAP, &json!({"data": {"color": "blue"}}))?.expect(200)?;
    let green = client.merge(MAP, &json!({"data": {"color": "green"}}))?.expect(200)?;
    client.delete(MAP)?.expect(200)?;
    [created, blue, green].iter().map(revision).collect()
}

fn color(object: &Value) -> &str {
    object.pointer("/data/color").and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn what_was_can_be_read_and_told_apart_by_author() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let client = cluster.admin()?;
    let revisions = past(&client)?;
    ensure!(client.get(MAP)?.code == 404);

    let mut colors = Vec::new();
    for revision in &revisions {
        let at = format!("resourceVersion={revision}&resourceVersionMatch=Exact");
        let object = client.get(&format!("{MAP}?{at}"))?.expect(200)?;
        let list = client.get(&format!("{MAPS}?{at}&fieldSelector=metadata.name%3Dsettings"))?.expect(200)?;
        ensure!(list.pointer("/items/0/data") == object.get("data"), "{list}");
        colors.push(color(&object).to_owned());
    }
    ensure!(colors == ["red", "blue", "green"], "{colors:?}");

    let history = client.get(&format!("{MAP}?history=true"))?.expect(200)?;
    let items = history["items"].as_array().context("no items")?.clone();
    let changes: Vec<&str> = items.iter().filter_map(|item| item["change"].as_str()).collect();
    ensure!(changes == ["Deleted", "Updated", "Updated", "Created"], "{history}");
    let first = items.last().context("empty")?;
    ensure!(first["by"]["user"].as_str().is_some_and(|user| !user.is_empty()), "{history}");
    ensure!(first["by"]["manager"] == "painter" && first["by"]["method"] == "POST", "{first}");
    ensure!(items[0]["by"]["method"] == "DELETE", "{history}");
    ensure!(color(&first["object"]) == "red");

    // The time of a version leads back to it, from its own microsecond on.
    for (item, expected) in items[1..].iter().rev().zip(["red", "blue", "green"]) {
        let time = item["time"].as_str().context("no time")?;
        let object = client.get(&format!("{MAP}?asOf={time}"))?.expect(200)?;
        ensure!(color(&object) == expected, "{time}: {object}");
        let list = client.get(&format!("{MAPS}?asOf={time}&limit=1"))?.expect(200)?;
        ensure!(list["metadata"]["resourceVersion"] == item["revision"], "{list}");
    }

    let page = client.get(&format!("{MAP}?history=true&limit=1"))?.expect(200)?;
    ensure!(page["items"].as_array().is_some_and(|items| items.len() == 1), "{page}");
    let before = page["metadata"]["before"].as_str().context("no before")?.to_owned();
    let rest = client.get(&format!("{MAP}?history=true&before={before}"))?.expect(200)?;
    ensure!(rest["items"].as_array().is_some_and(|items| items.len() == 3), "{rest}");
    ensure!(rest["metadata"]["before"] == "", "{rest}");
    Ok(())
}

#[test]
fn a_past_that_is_not_kept_is_told() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let client = cluster.admin()?;
    let revisions = past(&client)?;
    let refused = |target: &str, code: u16, words: &str| -> Result<()> {
        let reply = client.get(target)?;
        ensure!(reply.code == code && reply.text().contains(words), "{target}: {}", reply.text());
        Ok(())
    };
    refused(&format!("{MAP}?asOf=2001-01-01T00:00:00Z"), 410, "the oldest state that is kept is revision")?;
    refused(&format!("{MAPS}?asOf=2001-01-01T00:00:00Z"), 410, "the oldest state that is kept is revision")?;
    refused(&format!("{MAP}?asOf=yesterday"), 400, "RFC 3339")?;
    refused(&format!("{MAP}?asOf=2001-01-01T00:00:00Z&resourceVersion=1"), 400, "give one")?;
    refused(&format!("{MAP}?resourceVersionMatch=Exact"), 400, "needs a resourceVersion")?;
    let far = "resourceVersion=999999&resourceVersionMatch=Exact";
    refused(&format!("{MAP}?{far}"), 504, "Too large resource version")?;
    refused(&format!("{MAPS}/none?history=true"), 404, "not found")?;
    // The future is not known, but the newest state is what it is so far.
    let newest = client.get(&format!("{MAPS}?asOf=2999-01-01T00:00:00Z"))?.expect(200)?;
    let last = newest["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse::<u64>().ok());
    ensure!(last >= revisions.last().and_then(|r| r.parse().ok()), "{newest}");
    Ok(())
}

#[test]
fn rights_cover_the_past_as_they_cover_the_present() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    past(&cluster.admin()?)?;
    let nobody = cluster.anonymous()?;
    for query in ["history=true", "asOf=2999-01-01T00:00:00Z", "resourceVersion=1&resourceVersionMatch=Exact"]
    {
        ensure!(nobody.get(&format!("{MAP}?{query}"))?.code == 401, "{query}");
    }
    Ok(())
}
