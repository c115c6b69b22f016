//! Where we answer differently on purpose, and why. Everything that is not here is the same.

use anyhow::{Result, ensure};
use hypermesh_e2e::Reply;

/// One deliberate difference.
pub struct Difference {
    /// A part of the request's line that no other request has.
    pub request: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Our code.
    pub code: u16,
    /// Our content type.
    pub content_type: &'static str,
    /// What our body has to say instead of the reference's.
    pub body: fn(&Reply) -> Result<()>,
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// All of them.
pub const DIFFERENCES: [Difference; 7] = [
    Difference {
        request: "/customresourcedefinitions",
        reason: "the kind of the transcript is there from genesis on, since users' kinds cannot be added yet",
        code: 404,
        content_type: TEXT,
        body: |_| Ok(()),
    },
    Difference {
        request: "-H Accept: application/vnd.kubernetes.protobuf https",
        reason: "a transcript in text has lost bytes of protobuf; hypermesh-wire compares them one by one",
        code: 406,
        content_type: "application/vnd.kubernetes.protobuf",
        body: |reply| {
            let text = reply.text();
            let message = "only the following media types are accepted: application/json, application/yaml";
            ensure!(text.starts_with("k8s\0") && text.contains(message), "{text}");
            ensure!(text.contains("NotAcceptable"), "{text}");
            Ok(())
        },
    },
    Difference {
        request: "-H Content-Type: application/vnd.kubernetes.protobuf -d x",
        reason: "the transcript lost this reply and shows the body of the one before; 415 is what clients rely on",
        code: 415,
        content_type: JSON,
        body: |reply| {
            ensure!(reply.json()?["reason"] == "UnsupportedMediaType", "{}", reply.text());
            Ok(())
        },
    },
    Difference {
        request: "watch=1&resourceVersion=1&",
        reason: "history is retained: a watch from an old revision is served",
        code: 200,
        content_type: JSON,
        body: |reply| events(reply, &["ADDED a1", "ADDED g-"]),
    },
    Difference {
        request: "watch=1&resourceVersion=2&",
        reason: "history is retained: a watch from an old revision is served",
        code: 200,
        content_type: JSON,
        body: |reply| events(reply, &["ADDED a1", "ADDED g-", "MODIFIED a1", "MODIFIED a1", "MODIFIED a1"]),
    },
    Difference {
        request: "/readyz",
        reason: "our checks are others, and ours is ready; a server that is not names its checks in this form",
        code: 200,
        content_type: TEXT,
        body: |reply| {
            ensure!(reply.text() == "ok", "{}", reply.text());
            Ok(())
        },
    },
    Difference {
        request: "/openapi/v3",
        reason: "the groups are ours, and so are the hashes; the form is compared",
        code: 200,
        content_type: JSON,
        body: |reply| {
            let etag = reply.header("etag").unwrap_or_default();
            ensure!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'), "etag: {etag}");
            let index = reply.json()?;
            for path in ["api/v1", "apis/hm.example.com/v1", "apis/hypermesh.online/v1"] {
                let url = index["paths"][path]["serverRelativeURL"].as_str().unwrap_or_default();
                ensure!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{path}: {url}");
            }
            Ok(())
        },
    },
];

/// The events of a watch, as `TYPE name`; a generated name is told by its beginning.
fn events(reply: &Reply, expected: &[&str]) -> Result<()> {
    let mut seen = Vec::new();
    for line in reply.text().lines() {
        let event: serde_json::Value = serde_json::from_str(line)?;
        let name = event.pointer("/object/metadata/name").and_then(|name| name.as_str()).unwrap_or_default();
        let name = if name.starts_with("g-") { "g-" } else { name };
        seen.push(format!("{} {name}", event["type"].as_str().unwrap_or_default()));
    }
    ensure!(seen == expected, "expected {expected:?}, got {seen:?}");
    Ok(())
}
