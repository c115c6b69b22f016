//! OpenAPI: v2, which client-go's discovery, and with it Argo CD and Helm, asks for first; v3 by its hashes.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::{Client, Cluster, Reply};
use std::io::Read as _;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const ANSWERED: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

fn asked(admin: &Client, accept: &str) -> Result<Reply> {
    admin.send("GET", "/openapi/v2", &[("accept", accept)], Vec::new())
}

#[test]
fn openapi_v2_comes_in_the_form_that_is_asked_for() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let plain = admin.get("/openapi/v2")?;
    ensure!(plain.header("content-type") == Some("application/json"));
    ensure!(plain.header("vary") == Some("Accept, Accept-Encoding"), "{:?}", plain.headers);
    let document = plain.expect(200)?;
    ensure!(document["swagger"] == "2.0");
    let asset = &document["definitions"]["online.hypermesh.v1.Asset"];
    ensure!(asset["x-kubernetes-group-version-kind"][0]["kind"] == "Asset", "{asset}");
    let map = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps"];
    ensure!(map["post"]["x-kubernetes-group-version-kind"]["kind"] == "ConfigMap", "{map}");

    let protobuf = asked(&admin, PROTOBUF)?;
    ensure!(
        protobuf.code == 200 && protobuf.header("content-type") == Some(ANSWERED),
        "{:?}",
        protobuf.headers
    );
    // Field 1 of a Document: its version.
    ensure!(protobuf.body.starts_with(b"\x0a\x032.0"));
    ensure!(protobuf.header("etag") == plain.header("etag"));
    ensure!(asked(&admin, ANSWERED)?.body == protobuf.body);
    let none = asked(&admin, "application/yaml")?;
    ensure!(none.code == 406 && none.body.is_empty(), "{} {}", none.code, none.text());

    let compressed =
        admin.send("GET", "/openapi/v2", &[("accept", PROTOBUF), ("accept-encoding", "gzip")], Vec::new())?;
    ensure!(compressed.header("content-encoding") == Some("gzip"), "{:?}", compressed.headers);
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(compressed.body.as_ref()).read_to_end(&mut text)?;
    ensure!(text == protobuf.body && compressed.body.len() * 4 < text.len());

    let etag = plain.header("etag").context("no etag")?.to_owned();
    let fresh = admin.send("GET", "/openapi/v2", &[("if-none-match", &etag)], Vec::new())?;
    ensure!(
        fresh.code == 304 && fresh.body.is_empty() && fresh.header("etag") == Some(&etag),
        "{}",
        fresh.code
    );
    // For whoever may discover: the same as the other documents.
    let anonymous = cluster.anonymous()?;
    ensure!(anonymous.get("/openapi/v2")?.code == anonymous.get("/openapi/v3")?.code);
    Ok(())
}

#[test]
fn a_subresource_that_nothing_has_is_no_path() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    admin.post("/api/v1/namespaces/default/configmaps", &map)?.expect(201)?;
    for path in [
        "/api/v1/namespaces/default/configmaps/c/nothing",
        "/api/v1/namespaces/default/configmaps/none/nothing",
        "/api/v1/namespaces/default/pods/none/ephemeralcontainers",
        "/api/v1/nodes/none/proxy",
        "/apis/hypermesh.online/v1/namespaces/default/workloads/none/nothing",
    ] {
        let reply = admin.get(path)?;
        ensure!(reply.code == 404 && reply.text() == "404 page not found\n", "{path}: {}", reply.code);
    }
    let command =
        admin.send("POST", "/api/v1/namespaces/default/pods/none/exec?stdout=true", &[], Vec::new())?;
    ensure!(
        command.code == 400 && command.text().contains("you must specify a command"),
        "{}",
        command.text()
    );
    Ok(())
}

#[test]
fn a_document_of_v3_is_what_the_index_says() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let index = admin.get("/openapi/v3")?.expect(200)?;
    for (path, entry) in index["paths"].as_object().context("no paths")? {
        let url = entry["serverRelativeURL"].as_str().context("no URL")?;
        let reply = admin.get(url)?;
        let etag = format!("\"{}\"", url.rsplit('=').next().unwrap_or_default());
        ensure!(reply.code == 200 && reply.header("etag") == Some(&etag), "{path}");
        ensure!(reply.header("cache-control") == Some("public, immutable, max-age=31536000"), "{path}");
        let stale = admin.get(&format!("/openapi/v3/{path}?hash=STALE"))?;
        ensure!(stale.code == 301 && stale.header("location") == Some(url), "{path}: {}", stale.code);
        let fresh = admin.send("GET", url, &[("if-none-match", &etag)], Vec::new())?;
        ensure!(fresh.code == 304, "{path}: {}", fresh.code);
    }
    let document = |accept: &str| admin.send("GET", "/openapi/v3/api/v1", &[("accept", accept)], Vec::new());
    let protobuf = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    let packed = document(protobuf)?;
    ensure!(packed.code == 200 && packed.header("vary").is_some(), "{}", packed.code);
    let name = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
    ensure!(packed.header("content-type") == Some(name), "{:?}", packed.header("content-type"));
    let json = document("application/json")?;
    ensure!(packed.header("etag").is_some() && packed.header("etag") == json.header("etag"));
    // `openapi: "3.0.0"`, the first field of a `Document`.
    ensure!(packed.body.starts_with(b"\x0a\x053.0.0") && packed.body.len() < json.body.len());
    for (accept, kind) in [
        (format!("{protobuf}, */*;q=0.1"), name),
        (format!("{protobuf};q=0.1, application/json"), "application/json"),
        ("*/*".to_owned(), "application/json"),
    ] {
        let either = document(&accept)?;
        ensure!(either.code == 200 && either.header("content-type") == Some(kind), "{accept}");
    }
    let none = document("application/yaml")?;
    ensure!(none.code == 406 && none.body.is_empty(), "{}", none.code);
    Ok(())
}
