//! UDP that a firewall drops without a word, in a network namespace that the test makes: what it costs before TCP takes
//! over, and that it costs that once.

use crate::server::Server;
use crate::{HTTP3_PATIENCE, get, replies};
use hypermesh_client::{Client, Transport};
use nix::sched::{CloneFlags, unshare};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program with something on its standard input.
fn run(program: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    let told = |what: &dyn std::fmt::Display| format!("{program} {}: {what}", arguments.join(" "));
    let spawned = Command::new(program).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| told(&error))?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| told(&error))?;
    let output = child.wait_with_output().map_err(|error| told(&error))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(told(&words.trim())) }
}

/// Puts this thread into a network of its own, with nothing but a loopback device and a firewall.
fn apart() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|why| format!("a network namespace takes root: {why}"))?;
    run("ip", &["link", "set", "lo", "up"], "")?;
    // A kernel without nftables says so here.
    run("nft", &["add", "table", "inet", "fw"], "")?;
    // It drops nothing yet.
    run("nft", &["-f", "-"], "add chain inet fw in { type filter hook input priority 0; }\n").unwrap();
    Ok(())
}

fn firewall(rule: &str) {
    run("nft", &["-f", "-"], &format!("flush chain inet fw in\n{rule}\n")).unwrap();
}

/// A line in the file in which tests say that they were skipped, and why.
fn skip(reason: &str) {
    let test = "udp_that_is_dropped_costs_a_moment_once";
    println!("SKIPPED: {test}: {reason}");
    let Some(path) = std::env::var_os("HYPERMESH_SKIPS") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(format!("{test}: {reason}\n").as_bytes())) {
        println!("the skipped test could not be counted: {error}");
    }
}

#[test]
fn udp_that_is_dropped_costs_a_moment_once() {
    // The thread's namespace goes with the thread, and with it the firewall.
    let apart = std::thread::spawn(|| {
        if let Err(reason) = apart() {
            return skip(&reason);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(dropped());
    });
    apart.join().unwrap();
}

async fn dropped() {
    let server = Server::start(true, true).await;
    let port = server.address.port();
    let drop = format!("add rule inet fw in udp dport {port} drop");
    firewall(&drop);
    let client = Client::new(&server.config(Transport::Auto)).unwrap();
    let begun = Instant::now();
    assert_eq!(get(&client).await.unwrap(), "HTTP/2.0 GET /version");
    let first = begun.elapsed();
    // A quarter of a second for HTTP/3 to answer, and not the end of its patience.
    assert!(first >= Duration::from_millis(250) && first < HTTP3_PATIENCE, "{first:?}");
    let begun = Instant::now();
    for _ in 0..10 {
        get(&client).await.unwrap();
    }
    // Not a quarter of a second each.
    assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
    assert_eq!(replies(client.metrics()), (0, 11));
    assert_eq!(server.quic().accepted.get(), 0, "the firewall let something through");

    // It is dropped under a connection that stands: the request that meets it is answered all the same, and soon.
    firewall("");
    let mut config = server.config(Transport::Auto);
    config.silence = Duration::from_secs(1);
    let client = Client::new(&config).unwrap();
    assert_eq!(get(&client).await.unwrap(), "HTTP/3.0 GET /version");
    firewall(&drop);
    let begun = Instant::now();
    assert_eq!(get(&client).await.unwrap(), "HTTP/2.0 GET /version");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    // Who asks for HTTP/3 alone is told what to look at.
    let alone = Client::new(&server.config(Transport::Http3)).unwrap();
    let error = get(&alone).await.unwrap_err().to_string();
    assert!(
        error.ends_with("no answer over UDP within 3 s: where UDP is shut, --transport tcp does"),
        "{error}"
    );
}
