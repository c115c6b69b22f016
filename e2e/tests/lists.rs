//! Lists that are too large to be sent at once: whatever part, page or encoding they come in, they are the same list.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};
use std::io::Read as _;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Enough for a list that goes out in parts, of which none ends where another object's size would have it.
const OBJECTS: usize = 240;
/// More than are looked at before a list moves to a thread of its own.
const MANY: usize = 2_400;
const TRANSACTIONS: &str = "/apis/hypermesh.online/v1/transactions?fieldManager=test";

fn map(name: &str, label: &str, size: usize) -> Value {
    let metadata = json!({"name": name, "namespace": "default", "labels": {"group": label}});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"x": "x".repeat(size)}})
}

fn fill(admin: &Client, objects: &[Value]) -> Result<()> {
    for some in objects.chunks(400) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": some});
        let reply = admin.post(TRANSACTIONS, &list)?;
        ensure!(matches!(reply.code, 200 | 201), "{} {}", reply.code, reply.text());
    }
    Ok(())
}

fn names(list: &Value) -> Result<Vec<String>> {
    let items = list["items"].as_array().context("no items")?;
    Ok(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect())
}

/// All pages of a list, whose every token and count has to be right.
fn paged(admin: &Client, query: &str, limit: usize, counted: bool) -> Result<Vec<String>> {
    let (mut all, mut token) = (Vec::new(), String::new());
    let mut remaining = None;
    loop {
        let list = admin.get(&format!("{MAPS}?limit={limit}{query}&continue={token}"))?.expect(200)?;
        let page = names(&list)?;
        ensure!(page.len() <= limit, "a page of {} for a limit of {limit}", page.len());
        ensure!(remaining.is_none_or(|left| left >= page.len() as u64), "more than what remained");
        all.extend(page.iter().cloned());
        token = list["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            ensure!(list["metadata"]["remainingItemCount"].is_null(), "something remains after the end");
            return Ok(all);
        }
        ensure!(page.len() == limit, "a page of {} for a limit of {limit}, and a token", page.len());
        remaining = list["metadata"]["remainingItemCount"].as_u64();
        ensure!(remaining.is_some() == counted, "{:?}", list["metadata"]);
    }
}

#[test]
fn a_list_is_the_same_in_parts_in_pages_and_compressed() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let objects: Vec<Value> = (0..OBJECTS)
        .map(|n| map(&format!("m{n:04}"), &format!("g{}", n % 7), 600 + n * 397 % 1_900))
        .collect();
    fill(&admin, &objects)?;
    let expected: Vec<String> = (0..OBJECTS).map(|n| format!("m{n:04}")).collect();
    let whole = admin.get(MAPS)?;
    ensure!(whole.header("content-length").is_none(), "the list is too small to come in parts");
    ensure!(names(&whole.json()?)? == expected);
    let compressed = admin.clone().header("accept-encoding", "gzip").get(MAPS)?;
    ensure!(compressed.header("content-encoding") == Some("gzip"));
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(compressed.body.as_ref()).read_to_end(&mut text)?;
    ensure!(text == whole.body, "compressed, it is another list");
    let pretty = admin.get(&format!("{MAPS}?pretty=1"))?.json()?;
    ensure!(pretty == whole.json()?, "indented, it is another list");
    // Limits below, at and above where the first part ends, where others do, and where the list does.
    for limit in (1..4).map(|n| 60 * n).chain(70..100).chain([OBJECTS - 1, OBJECTS, OBJECTS + 1]) {
        ensure!(paged(&admin, "", limit, true)? == expected, "in pages of {limit}");
    }
    let group: Vec<String> = (0..OBJECTS).filter(|n| n % 7 == 3).map(|n| format!("m{n:04}")).collect();
    for limit in [1, 17, 34, 35] {
        ensure!(paged(&admin, "&labelSelector=group%3Dg3", limit, false)? == group, "selected, {limit}");
    }
    Ok(())
}

#[test]
fn what_is_rarely_selected_is_found_however_far_apart() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let objects: Vec<Value> =
        (0..MANY).map(|n| map(&format!("m{n:05}"), &format!("g{}", n % 1_199), 1)).collect();
    fill(&admin, &objects)?;
    let selector = "&labelSelector=group%3Dg1";
    let expected = ["m00001", "m01200", "m02399"];
    for limit in 1..=4 {
        ensure!(paged(&admin, selector, limit, false)? == expected, "in pages of {limit}");
    }
    let list = admin.get(&format!("{MAPS}?{selector}"))?.expect(200)?;
    ensure!(names(&list)? == expected);
    let none = admin.get(&format!("{MAPS}?labelSelector=group%3Dnone"))?.expect(200)?;
    ensure!(names(&none)?.is_empty() && none["metadata"]["continue"] == "");
    // The same from history, where objects come in pages.
    let then = none["metadata"]["resourceVersion"].as_str().context("no version")?.to_owned();
    admin.delete(&format!("{MAPS}/m01200"))?.expect(200)?;
    let exact = format!("{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact{selector}");
    ensure!(names(&admin.get(&exact)?.expect(200)?)? == expected);
    Ok(())
}
