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
