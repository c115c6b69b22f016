//! The server killed under load, and its disk's power cut, a few times; `make crash` does it for longer.
//!
//! Runs the program, which prints the seed of what it has done.

#![expect(clippy::unwrap_used, reason = "a test's own steps fail by panicking")]

use std::process::Command;

fn crash(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_hypermesh-crash")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "hypermesh-crash {arguments:?}: {}\n{said}{errors}", output.status);
    let ran = said.contains("no acknowledged write was lost, and none was torn");
    assert!(ran || said.contains("SKIPPED: "), "it neither ran nor said why not:\n{said}");
}

#[test]
fn no_acknowledged_write_is_lost_when_the_process_is_killed() {
    crash(&["--runs", "5"]);
}

#[test]
fn no_acknowledged_write_is_lost_when_power_is() {
    crash(&["--runs", "2", "--power-loss"]);
}
