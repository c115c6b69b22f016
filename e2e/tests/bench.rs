//! The benchmark still runs, from start to table; its figures are taken by `make bench`.

use std::process::Command;

#[test]
fn the_benchmark_takes_every_figure() {
    let output = Command::new(env!("CARGO_BIN_EXE_hypermesh-bench")).arg("--quick").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hypermesh-bench --quick: {}\n{said}{errors}", output.status);
    for figure in [
        "memory, idle",
        "start to ready, empty",
        "LIST of 300 objects",
        "controller process, 300 objects, memory",
        "create, 128 connections",
        "GET, 128 connections",
        "PUT, 128 connections",
        "merge PATCH, 128 connections",
        "server-side apply, 128 connections",
        "20 watchers, an event delivered",
        "targets met",
        "These are no figures",
    ] {
        assert!(said.contains(figure), "{figure:?} is missing:\n{said}");
    }
}

#[test]
fn the_benchmark_of_a_node_takes_every_figure() {
    let test = "the_benchmark_of_a_node_takes_every_figure";
    let lacks = if !nix::unistd::geteuid().is_root() {
        Some("only root runs containers beside runc's")
    } else if !std::path::Path::new("/bin/busybox").exists() {
        Some("there is no /bin/busybox (Debian's busybox-static)")
    } else {
        ["/usr/sbin/nft", "/usr/bin/nft"]
            .iter()
            .all(|path| !std::path::Path::new(path).exists())
            .then_some("there is no nft (Debian's nftables)")
    };
    if let Some(why) = lacks {
        return hypermesh_e2e::skip::skip(test, why);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_hypermesh-node-bench")).arg("--quick").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hypermesh-node-bench --quick: {}\n{said}{errors}", output.status);
    for figure in [
        "a container in an instance that is there: median",
        "an instance with its container: CPU",
        "shim (hypermesh-shim), alone, PSS",
        "shim (nexusctl shim), one of 11, PSS",
        "nexusctl apply until it runs, p50",
        "nexusctl apply of 3 instances until all run",
        "agent, idle, memory",
        "agent with 2 idle instances",
        "an instance: memory of its shim, PSS",
        "targets met",
        "These are no figures",
    ] {
        assert!(said.contains(figure), "{figure:?} is missing:\n{said}");
    }
}
