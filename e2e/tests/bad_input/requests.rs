//! Requests that two readers could read differently, that ask for too much, or that say they are somebody else's.

use crate::limits::head_alone;
use crate::{CONFIGMAPS, NETWORKS, Server};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub fn check(server: &Server) -> Result<()> {
    heads(server)?;
    paths(server)?;
    identities(server)?;
    queries(server)?;
    tokens(server)?;
    frames(server)
}

/// Heads that end differently for different readers, or name two of what there is one of.
fn heads(server: &Server) -> Result<()> {
    let get = |more: &str| format!("GET {NETWORKS} HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let post = |more: &str| {
        format!("POST {NETWORKS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{more}\r\n{{}}")
    };
    for (what, head) in [
        ("two lengths that differ", post("content-length: 2\r\ncontent-length: 3\r\n")),
        ("two lengths in one", post("content-length: 2, 3\r\n")),
        ("a signed length", post("content-length: +2\r\n")),
        ("a length and chunks", post("content-length: 2\r\ntransfer-encoding: chunked\r\n")),
        ("an unknown transfer coding", post("transfer-encoding: gzip\r\n")),
        ("chunks that are not last", post("transfer-encoding: chunked, gzip\r\n")),
        ("a space before a colon", get("x : y\r\n")),
        ("a folded header", get("x: a\r\n b\r\n")),
        ("a bare line feed in a value", get("x: a\rb\r\n")),
        ("two hosts", get("host: y\r\n")),
        ("no path", "GET http: HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        ("a tunnel", "CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        ("an asterisk", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        ("an overlong query", format!("GET {NETWORKS}?x={} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000))),
        ("a long target", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(60_000))),
    ] {
        let reply = head_alone(&server.admin, &head).context(what)?;
        ensure!(reply.is_empty() || reply.starts_with("HTTP/1.1 4"), "{what}: {reply}");
        server.unharmed(what)?;
    }
    // What was sent beside a refused request is not the next one.
    let smuggled = post("content-length: 2\r\ntransfer-encoding: chunked\r\n")
        + "GET /version HTTP/1.1\r\nhost: x\r\n\r\n";
    let reply = head_alone(&server.admin, &smuggled)?;
    ensure!(!reply.contains("gitVersion"), "a smuggled request was answered: {reply}");
    server.unharmed("a smuggled request")
}

/// One place has one path.
fn paths(server: &Server) -> Result<()> {
    let anonymous = server.cluster.anonymous()?;
    for path in [
        "/api/v1/namespaces/default/configmaps/%2e%2e/secrets",
        "/api/v1/namespaces/default/../kube-system/secrets",
        "/api/v1/namespaces/default/./configmaps",
        "/api/v1/namespaces//configmaps",
        "//api/v1/namespaces",
        "/api/v1/namespaces/default/configmaps/a%2Fb",
        "/api/v1/namespaces/default/configmaps/a%00b",
        "/api/v1/namespaces/default/configmaps/a%0d%0aset-cookie:%20x",
        "/api/v1/namespaces/default/configmaps/%ff",
        "/api/v1/namespaces/default/configmaps/%",
    ] {
        let reply = server.admin.get(path)?;
        ensure!(matches!(reply.code, 400 | 404), "{path}: {} {}", reply.code, reply.text());
        ensure!(reply.header("set-cookie").is_none(), "{path}: {:?}", reply.headers);
        server.unharmed(path)?;
    }
    // However it is written, what is not for everyone is not for everyone.
    for path in
        ["/%6detrics", "/metrics/", "/api/v1/namespaces/%64efault/configmaps", "/openapi%2Fv3", "//metrics"]
    {
        let reply = anonymous.get(path)?;
        ensure!(matches!(reply.code, 400 | 401 | 403), "{path}: {} {}", reply.code, reply.text());
    }
    Ok(())
}

/// Headers with which others are impersonated, and those of proxies that this server does not have.
fn identities(server: &Server) -> Result<()> {
    let anonymous = server.cluster.anonymous()?;
    for (name, value) in [
        ("x-remote-user", "admin"),
        ("x-remote-group", "system:masters"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-client-cert", "Subject=\"CN=admin,O=system:masters\""),
        ("forwarded", "for=127.0.0.1"),
        ("authorization", "Basic YWRtaW46YWRtaW4="),
        ("authorization", "Bearer"),
        ("authorization", "bearer  \t"),
    ] {
        let reply = anonymous.clone().header(name, value).get(NETWORKS);
        server.refused(name, reply, 401);
    }
    server.refused(
        "nobody is impersonated",
        anonymous.impersonating("admin", &["system:masters"]).get(NETWORKS),
        403,
    );
    let admin = &server.admin;
    let twice = admin.clone().header("impersonate-user", "a").header("impersonate-user", "b");
    server.refused("two users at once", twice.get(NETWORKS), 400);
    for (name, value) in [("impersonate-user", ""), ("impersonate-group", "g"), ("impersonate-extra-x", "y")]
    {
        server.refused(name, admin.clone().header(name, value).get(NETWORKS), 400);
    }
    let groups = vec!["g"; 80];
    server.refused("many groups", admin.clone().impersonating("a", &groups).get(NETWORKS), 403);
    Ok(())
}

fn queries(server: &Server) -> Result<()> {
    let many = |text: &str, times: usize| text.repeat(times);
    for (what, query, code) in [
        // The reference's code for these, and its words, which clients match.
        ("a huge revision", "resourceVersion=99999999999999999999999999".to_owned(), 500),
        ("a negative revision", "resourceVersion=-1".to_owned(), 500),
        ("a revision of other digits", "resourceVersion=%EF%BC%91".to_owned(), 500),
        ("a future revision", "resourceVersion=18446744073709551615".to_owned(), 504),
        ("a huge limit", "limit=99999999999999999999999999".to_owned(), 400),
        ("a huge timeout", "watch=1&timeoutSeconds=99999999999999999999999999".to_owned(), 400),
        ("many labels", format!("labelSelector={}", many("!a,", 5_000)), 400),
        ("many label values", format!("labelSelector=a+in+({}z)", many("b,", 5_000)), 400),
        ("many fields", format!("fieldSelector={}", many("metadata.name!=a,", 2_000)), 400),
        ("a field of nobody", "fieldSelector=spec.bogus=1".to_owned(), 400),
        ("parentheses", format!("labelSelector={}", many("(", 10_000)), 400),
        ("a broken escape", "labelSelector=%zz".to_owned(), 400),
        ("a semicolon", "dryRun=All;x=y".to_owned(), 400),
    ] {
        server.refused(what, server.admin.get(&format!("{NETWORKS}?{query}")), code);
    }
    let accept = many("application/x;q=0.1,", 2_000) + "application/json";
    let reply = server.admin.clone().header("accept", &accept).get(NETWORKS)?;
    ensure!(matches!(reply.code, 200 | 406), "many media types: {}", reply.code);
    let begun = Instant::now();
    let watch = server.admin.get(&format!("{NETWORKS}?watch=1&timeoutSeconds=1"))?;
    ensure!(watch.code == 200 && begun.elapsed() < Duration::from_secs(10), "a watch of a second");
    server.unharmed("queries")
}

/// Continue tokens that nobody was given, and tokens that would be too long to be read.
fn tokens(server: &Server) -> Result<()> {
    let token = |start: &str, rv: &str| {
        URL_SAFE_NO_PAD.encode(format!(r#"{{"v":"meta.k8s.io/v1","rv":{rv},"start":"{start}"}}"#))
    };
    for (what, token, codes) in [
        ("no token", "garbage".to_owned(), &[400][..]),
        ("another collection", token("/../secrets/x", "1"), &[400]),
        ("another namespace", token("/kube-system/x", "1"), &[400, 410]),
        ("an absolute key", token("//x", "1"), &[400]),
        ("a key with a zero in it", token("/a\\u0000b", "1"), &[400, 410]),
        ("the future", token("/a", "9223372036854775807"), &[504]),
        ("a revision of nothing", token("/a", "0"), &[400]),
        ("a fraction", token("/a", "1.5"), &[400]),
        ("nesting", URL_SAFE_NO_PAD.encode("[".repeat(20_000)), &[400]),
    ] {
        let reply = server.admin.get(&format!("{CONFIGMAPS}?limit=1&continue={token}"))?;
        ensure!(codes.contains(&reply.code), "{what}: {} {}", reply.code, reply.text());
        let code = reply.code;
        server.refused(what, Ok(reply), code);
    }
    // Longer than any name, it stands after all of them.
    let long = token(&format!("/{}", "z".repeat(5_000)), "1");
    let reply = server.admin.get(&format!("{CONFIGMAPS}?limit=1&continue={long}"))?;
    ensure!(matches!(reply.code, 200 | 400 | 410), "a long key: {} {}", reply.code, reply.text());
    // The default account may not be there; what is asked of it is wrong before that matters, or it is not found.
    let audiences: Vec<String> = (0..2_000).map(|n| format!("https://audience-{n}.example")).collect();
    let asked = json!({"spec": {"audiences": audiences}});
    let reply = server.admin.post("/api/v1/namespaces/default/serviceaccounts/default/token", &asked)?;
    ensure!(matches!(reply.code, 404 | 422), "a long token: {}", reply.code);
    server.unharmed("tokens")
}

/// Frames of HTTP/2: a head that never ends (CVE-2024-27316 and its kin), and what else floods.
fn frames(server: &Server) -> Result<()> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    // A literal header without indexing: a name and 8 KiB of value.
    let literal = [&[0x00, 0x01, b'x', 0x7f, 0x81, 0x3f][..], &[b'a'; 8192]].concat();
    let floods: [(&str, Vec<u8>, Vec<u8>); 4] = [
        ("a head that never ends", frame(1, 0, 1, &[]), frame(9, 0, 1, &literal)),
        ("empty continuations", frame(1, 0, 1, &[]), frame(9, 0, 1, &[])),
        ("frames of nobody's stream", Vec::new(), frame(0, 0, 1, &[0; 1024])),
        ("a window beyond all bounds", Vec::new(), frame(8, 0, 0, &0x7fff_ffff_u32.to_be_bytes())),
    ];
    for (what, first, again) in floods {
        let ended = server.admin.runtime().block_on(async {
            let mut stream = server.admin.connect_for(b"h2").await?;
            stream.write_all(&[PREFACE, &frame(4, 0, 0, &[]), &first].concat()).await?;
            let begun = Instant::now();
            let mut buffer = vec![0; 65_536];
            loop {
                if begun.elapsed() > Duration::from_secs(15) {
                    return anyhow::Ok(false);
                }
                if stream.write_all(&again).await.is_err() {
                    return Ok(true);
                }
                let read = tokio::time::timeout(Duration::ZERO, stream.read(&mut buffer)).await;
                if matches!(read, Ok(Ok(0) | Err(_))) {
                    return Ok(true);
                }
            }
        })?;
        ensure!(ended, "{what}: the connection is still open");
        server.unharmed(what)?;
    }
    Ok(())
}
