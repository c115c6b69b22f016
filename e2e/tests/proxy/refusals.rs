//! Who gets nothing from a proxy: other names, pages of strangers, upgrades, rejected methods, other machines.

use crate::{PATIENCE, Proxy, exchange, run};
use anyhow::{Result, ensure};
use hypermesh_e2e::Cluster;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

const ANYWHERE: [&str; 2] = ["--address", "127.0.0.1:0"];

fn ask(path: &str, host: &str, further: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{further}\r\n")
}

#[test]
fn strangers_get_nothing() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let proxy = Proxy::start(&cluster, &[&ANYWHERE[..], &["--reject-methods", "DELETE"]].concat())?;
    let own = proxy.place.clone();
    let reply = proxy.exchange(&ask("/api/v1/namespaces/default", &own, ""))?;
    ensure!(reply.starts_with("HTTP/1.1 200") && reply.contains("\"name\":\"default\""), "{reply}");
    for (request, why) in [
        (ask("/version", "evil.example", ""), "--accept-hosts"),
        (ask("/version", &own, "Origin: https://evil.example\r\n"), "a page in a browser would act as you"),
        (ask("/version", &own, "Sec-Fetch-Site: cross-site\r\n"), "a page in a browser would act as you"),
        (ask("/version", &own, "Upgrade: websocket\r\n"), "passes requests on, and no connections"),
        (ask("/version", &own, "").replace("GET", "DELETE"), "told to reject DELETE"),
    ] {
        let reply = proxy.exchange(&request)?;
        ensure!(reply.starts_with("HTTP/1.1 403") && reply.contains(why), "{request}{reply}");
        ensure!(reply.contains("\"kind\":\"Status\""), "{reply}");
    }
    proxy.end()
}

#[test]
fn what_the_server_says_is_passed_on() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let proxy = Proxy::start(&cluster, &ANYWHERE)?;
    let reply = proxy.exchange(&ask("/api/v1/namespaces/none", &proxy.place, ""))?;
    ensure!(
        reply.starts_with("HTTP/1.1 404") && reply.contains("namespaces \\\"none\\\" not found"),
        "{reply}"
    );
    let token = ask("/api/v1/namespaces/default", &proxy.place, "Authorization: Bearer nonsense\r\n");
    // Who shows a token of their own is the token's user, and not the proxy's.
    ensure!(proxy.exchange(&token)?.starts_with("HTTP/1.1 401"));
    drop(cluster);
    let reply = proxy.exchange(&ask("/version", &proxy.place, ""))?;
    ensure!(reply.starts_with("HTTP/1.1 502") && reply.contains("is `nexusctl up` running"), "{reply}");
    proxy.end()
}

#[test]
fn a_watch_does_not_hold_up_the_end() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let proxy = Proxy::start(&cluster, &ANYWHERE)?;
    let mut watch = std::net::TcpStream::connect(&proxy.place)?;
    watch.set_read_timeout(Some(PATIENCE))?;
    let path = "/api/v1/namespaces?watch=true";
    watch.write_all(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", proxy.place).as_bytes())?;
    // The first event arrives while the watch goes on.
    let mut seen = String::new();
    while !seen.contains("ADDED") {
        let mut bytes = [0; 4096];
        let length = watch.read(&mut bytes)?;
        ensure!(length > 0, "the watch ended: {seen}");
        seen += &String::from_utf8_lossy(&bytes[..length]);
    }
    proxy.end()
}

#[test]
fn other_machines_are_kept_out_unless_asked_for() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (running, told) = run(&cluster, &["--address", "0.0.0.0:0"])?;
    let code = running.join().map_err(|_| anyhow::anyhow!("it panicked"))?;
    let text: String = told.iter().collect();
    ensure!(
        code == 1 && text.contains("whoever does acts as you") && text.contains("--allow-remote"),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_socket_is_its_owners_alone_and_goes_with_the_proxy() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let text = path.display().to_string();
    let proxy = Proxy::start(&cluster, &["--unix-socket", &text])?;
    ensure!(proxy.place == text);
    ensure!(std::fs::metadata(&path)?.permissions().mode() & 0o777 == 0o600);
    let reply = exchange(UnixStream::connect(&path)?, &ask("/version", "whatever", ""))?;
    ensure!(reply.starts_with("HTTP/1.1 200") && reply.contains("gitVersion"), "{reply}");
    // Another proxy does not take it away.
    let (running, told) = run(&cluster, &["--unix-socket", &text])?;
    ensure!(running.join().map_err(|_| anyhow::anyhow!("it panicked"))? == 1);
    let said: String = told.iter().collect();
    ensure!(said.contains("is in use by another program"), "{said}");
    proxy.end()?;
    ensure!(!path.exists(), "the socket is still there");
    Ok(())
}
