//! Bodies that are not what they say.

use crate::{CONFIGMAPS, NETWORKS, Server};
use anyhow::{Result, ensure};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

pub fn check(server: &Server) -> Result<()> {
    malformed(server)?;
    bombs(server)?;
    protobuf(server)?;
    patches(server)?;
    large(server)
}

fn malformed(server: &Server) -> Result<()> {
    let bodies: [(&str, &str, &[u8]); 12] = [
        ("nothing", JSON, b""),
        ("half an object", JSON, b"{\"apiVersion\":"),
        ("two objects", JSON, b"{}{}"),
        ("no JSON", JSON, b"hello"),
        ("a NUL", JSON, b"{\"a\":\"\0\"}"),
        ("bad UTF-8", JSON, b"{\"apiVersion\":\"v1\",\"kind\":\"\xff\xfe\"}"),
        ("a lone surrogate", JSON, br#"{"apiVersion":"v1","kind":"\ud800"}"#),
        (
            "a number out of range",
            JSON,
            br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generation":1e999}}"#,
        ),
        ("YAML with a tab", YAML, b"a:\n\t- b"),
        ("YAML that ends early", YAML, b"a: {b: [1, 2"),
        ("YAML with bad UTF-8", YAML, b"a: \xff"),
        ("YAML with an unknown alias", YAML, b"a: *b"),
    ];
    for (what, content_type, body) in bodies {
        for target in [NETWORKS, CONFIGMAPS] {
            server.refused(what, server.post(target, content_type, body), 400);
        }
    }
    for content_type in ["application/cbor", "text/plain", "garbage", "application/x-www-form-urlencoded"] {
        server.refused(content_type, server.post(NETWORKS, content_type, "{}"), 415);
    }
    Ok(())
}

/// Little that would become much.
fn bombs(server: &Server) -> Result<()> {
    for depth in [1_000, 100_000, 1_000_000] {
        let deep = [b"[".repeat(depth), b"]".repeat(depth)].concat();
        server.refused("deep JSON", server.post(NETWORKS, JSON, deep.clone()), 400);
        server.refused("deep YAML", server.post(NETWORKS, YAML, deep), 400);
        server.refused("deep objects", server.post(CONFIGMAPS, JSON, b"{\"a\":".repeat(depth / 2)), 400);
    }
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        laughs += &format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", "));
    }
    server.refused("a billion laughs", server.post(NETWORKS, YAML, laughs), 400);
    let merge = format!("a: &a {{x: 1}}\nb: {{{}}}\n", "<<: *a, ".repeat(10_000).trim_end_matches(", "));
    server.refused("many merges", server.post(NETWORKS, YAML, merge), 400);
    Ok(())
}

fn protobuf(server: &Server) -> Result<()> {
    let bodies: [(&str, Vec<u8>); 5] = [
        ("no envelope", b"x".to_vec()),
        ("a length beyond the end", b"k8s\0\x0a\xff\xff\xff\xff\x0f".to_vec()),
        ("a varint without end", [b"k8s\0".to_vec(), vec![0xff; 64]].concat()),
        ("groups in groups", [b"k8s\0".to_vec(), vec![0x0b; 100_000]].concat()),
        ("a kind without its object", b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x02\x0a\x7f".to_vec()),
    ];
    for (what, body) in bodies {
        server.refused(what, server.post(CONFIGMAPS, PROTOBUF, body), 400);
    }
    server.refused("an envelope alone", server.post(CONFIGMAPS, PROTOBUF, b"k8s\0".to_vec()), 415);
    server.refused("protobuf for a kind of ours", server.post(NETWORKS, PROTOBUF, b"k8s\0".to_vec()), 415);
    Ok(())
}

fn patches(server: &Server) -> Result<()> {
    // There from the start, so that the patch itself is reached.
    let target = "/api/v1/namespaces/default";
    let deep = [b"{\"a\":".repeat(100_000), b"1".to_vec(), b"}".repeat(100_000)].concat();
    // Each doubles what is there.
    let double = |n| format!(r#"{{"op":"copy","from":"/metadata","path":"/metadata/x{n}"}}"#);
    let copies = format!("[{}]", (0..60).map(double).collect::<Vec<_>>().join(","));
    // Each is one deeper.
    let rung = r#",{"op":"copy","from":"/x","path":"/x/x"}"#.repeat(9_000);
    let ladder = format!(r#"[{{"op":"add","path":"/x","value":{{}}}}{rung}]"#);
    let many = format!(
        "[{}]",
        r#"{"op":"test","path":"/kind","value":"Namespace"},"#.repeat(20_001).trim_end_matches(',')
    );
    let bodies: [(&str, &str, Vec<u8>, &[u16]); 8] = [
        ("a patch that is no JSON", "application/merge-patch+json", b"{".to_vec(), &[400]),
        ("a deep patch", "application/merge-patch+json", deep, &[400]),
        (
            "an unknown operation",
            "application/json-patch+json",
            br#"[{"op":"boom","path":"/a"}]"#.to_vec(),
            &[400, 422],
        ),
        ("an object as JSON patch", "application/json-patch+json", b"{}".to_vec(), &[400]),
        ("copies of copies", "application/json-patch+json", copies.into_bytes(), &[400, 413, 422]),
        ("a ladder of copies", "application/json-patch+json", ladder.into_bytes(), &[400, 413, 422]),
        ("too many operations", "application/json-patch+json", many.into_bytes(), &[400, 413, 422]),
        ("apply without a manager", "application/apply-patch+yaml", b"a: b".to_vec(), &[400, 422]),
    ];
    for (what, content_type, body, codes) in bodies {
        let reply = server.admin.send("PATCH", target, &[("content-type", content_type)], body)?;
        ensure!(codes.contains(&reply.code), "{what}: {} {}", reply.code, reply.text());
        let code = reply.code;
        server.refused(what, Ok(reply), code);
    }
    Ok(())
}

/// Over 3 MiB, announced or not; and the same again and again.
fn large(server: &Server) -> Result<()> {
    let large = vec![b' '; (3 << 20) + 1];
    for _ in 0..8 {
        server.refused("a large body", server.post(NETWORKS, JSON, large.clone()), 413);
    }
    let replayed =
        br#"{"apiVersion":"hypermesh.online/v1","kind":"Network","metadata":{"name":"n"},"spec":{"x":1}}"#;
    let strict = format!("{NETWORKS}?fieldValidation=Strict");
    for _ in 0..50 {
        server.refused("the same refused request", server.post(&strict, JSON, replayed.to_vec()), 400);
    }
    Ok(())
}
