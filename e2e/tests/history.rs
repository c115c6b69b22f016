//! The past as the API serves it: an object and a list as they were at a revision or a time, and all the versions of
//! an object with their authors.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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

/// Writes to one object that share a block: each version is its own writer's, whatever the block holds besides.
#[test]
fn writers_of_one_block_are_told_apart() -> Result<()> {
    const WRITERS: usize = 24;
    let cluster = Cluster::start(Vec::new())?;
    let client = cluster.admin()?;
    let map = json!({"metadata": {"name": "settings"}, "data": {"by": "first"}});
    client.post(&format!("{MAPS}?fieldManager=first"), &map)?.expect(201)?;
    std::thread::scope(|scope| {
        let write = |n: usize| {
            let (client, name) = (client.clone(), format!("writer-{n}"));
            move || -> Result<()> {
                let other = json!({"metadata": {"name": format!("other-{n}")}});
                client.post(MAPS, &other)?.expect(201)?;
                client
                    .merge(&format!("{MAP}?fieldManager={name}"), &json!({"data": {"by": name}}))?
                    .expect(200)?;
                Ok(())
            }
        };
        let writers: Vec<_> = (0..WRITERS).map(|n| scope.spawn(write(n))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|_| anyhow::bail!("a panic")))
    })?;
    let history = client.get(&format!("{MAP}?history=true"))?.expect(200)?;
    let items = history["items"].as_array().context("no items")?;
    ensure!(items.len() == WRITERS + 1, "{} versions", items.len());
    for item in items {
        ensure!(item["by"]["manager"] == item["object"]["data"]["by"], "{item}");
    }
    // A transaction is one request with many writes.
    let items: Vec<Value> = (0..4)
        .map(|n| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("part-{n}"),
            "namespace": "default"}, "data": {"n": "x"}})
        })
        .collect();
    let transaction = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let target = "/apis/hypermesh.online/v1/transactions?fieldManager=whole";
    let reply = client.post(target, &transaction)?;
    ensure!(reply.code < 300, "{} {}", reply.code, reply.text());
    let history = client.get(&format!("{MAPS}/part-2?history=true"))?.expect(200)?;
    ensure!(history["items"][0]["by"]["manager"] == "whole", "{history}");
    Ok(())
}

const TENANT: &str = "/api/v1/namespaces/tenant";

/// The namespace, and in it a Secret with this word; the revision at which both are there.
fn move_in(client: &Client, word: &str) -> Result<u64> {
    let namespace = json!({"metadata": {"name": "tenant", "annotations": {"tenant": word}}});
    client.post("/api/v1/namespaces", &namespace)?.expect(201)?;
    client.post(&format!("{TENANT}/secrets"), &json!({"metadata": {"name": "first"}}))?.expect(201)?;
    let secret = json!({"metadata": {"name": "token"}, "stringData": {"word": word}});
    let secret = client.post(&format!("{TENANT}/secrets"), &secret)?.expect(201)?;
    let text = secret.pointer("/metadata/resourceVersion").and_then(Value::as_str).context("no revision")?;
    Ok(text.parse()?)
}

fn move_out(client: &Client) -> Result<()> {
    client.delete(TENANT)?;
    let begun = Instant::now();
    while client.get(TENANT)?.code != 404 {
        ensure!(begun.elapsed() < Duration::from_secs(30), "the namespace does not go");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Binds a user to reading Secrets and the namespace, in the namespace only.
fn bind(client: &Client, user: &str) -> Result<()> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/tenant";
    let resources = ["secrets", "namespaces"];
    let rule = json!({"apiGroups": [""], "resources": resources, "verbs": ["get", "list", "watch"]});
    client
        .post(&format!("{rbac}/roles"), &json!({"metadata": {"name": "reader"}, "rules": [rule]}))?
        .expect(201)?;
    let binding = json!({"metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    client.post(&format!("{rbac}/rolebindings"), &binding)?.expect(201)?;
    Ok(())
}

#[test]
fn a_namespace_that_is_created_again_does_not_show_who_was_there_before() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let old = move_in(&admin, "former")?;
    let time = admin.get(&format!("{TENANT}/secrets/token?history=true"))?.expect(200)?;
    let time = time["items"][0]["time"].as_str().context("no time")?.to_owned();
    move_out(&admin)?;
    let new = move_in(&admin, "present")?;
    bind(&admin, "reader")?;
    let last = cluster.revision()?;
    let reader = cluster.admin()?.impersonating("reader", &[]);

    let (secrets, secret) = (format!("{TENANT}/secrets"), format!("{TENANT}/secrets/token"));
    let exact = |revision: u64| format!("resourceVersion={revision}&resourceVersionMatch=Exact");
    let (former, started) = (exact(old), reader.get(&secret)?.expect(200)?);
    ensure!(
        started.pointer("/metadata/resourceVersion").and_then(Value::as_str)
            == Some(new.to_string().as_str())
    );
    let watch = format!("watch=true&timeoutSeconds=1&resourceVersion={}", old - 1);
    let past = [
        format!("{secret}?{former}"),
        format!("{secret}?asOf={time}"),
        format!("{secret}?history=true&before={}", old + 1),
        format!("{secrets}?{former}"),
        format!("{secrets}?asOf={time}"),
        format!("{secrets}?{watch}"),
        format!("{TENANT}?{former}"),
        format!("{TENANT}?history=true&before={}", old + 1),
    ];
    for target in &past {
        let reply = reader.get(target)?;
        ensure!(
            reply.code == 410 && reply.text().contains("in all namespaces"),
            "{target}: {}",
            reply.text()
        );
        ensure!(admin.get(target)?.code == 200, "{target}");
    }
    // The former tenant's word, in base64.
    let word = "Zm9ybWVy";
    ensure!(admin.get(&past[0])?.text().contains(word) && admin.get(&past[5])?.text().contains(word));

    // A page that goes on in the past is the past, too.
    let page = admin.get(&format!("{secrets}?{former}&limit=1"))?.expect(200)?;
    let token = page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()).context("no more")?;
    let goes_on = format!("{secrets}?continue={token}");
    ensure!(admin.get(&goes_on)?.text().contains(word));
    let reply = reader.get(&goes_on)?;
    ensure!(reply.code == 410, "{}", reply.text());

    // What is theirs they read, as far back as it goes.
    for (client, versions) in [(&reader, 1), (&admin, 3)] {
        let history = client.get(&format!("{secret}?history=true"))?.expect(200)?;
        ensure!(history["items"].as_array().is_some_and(|items| items.len() == versions), "{history}");
        ensure!(history["metadata"]["before"] == "", "{history}");
    }
    for target in [&secret, &secrets] {
        reader.get(&format!("{target}?{}", exact(new)))?.expect(200)?;
    }
    let reply = reader.get(&format!("{secrets}?watch=true&timeoutSeconds=1&resourceVersion={last}"))?;
    ensure!(reply.code == 200, "{}", reply.text());
    let own = reader.get(&format!("{TENANT}?history=true"))?.expect(200)?;
    ensure!(!own.to_string().contains("former"), "{own}");
    Ok(())
}
