//! What the binary says to who starts it.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(kubeconfig: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-controllers"));
    if let Some(path) = kubeconfig {
        command.args(["--metrics", "127.0.0.1:0", "--kubeconfig"]).arg(path);
    }
    command.env_remove("RUST_LOG").env_remove("NO_COLOR").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn a_mistake_is_told_in_one_line_without_a_backtrace() {
    let ran = run(None);
    let told = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(told.starts_with("error: --kubeconfig FILE is missing: ") && told.lines().count() == 1, "{told}");
}

#[test]
fn a_log_that_is_no_terminal_has_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("ca"),
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let path = folder.path().join("kubeconfig");
    // Its authority is found to be none once the log has begun.
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
                contexts: [{name: c, context: {cluster: c}}]\n\
                clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', certificate-authority: ca}}]\n";
    std::fs::write(&path, text).unwrap();
    let ran = run(Some(&path));
    let told = String::from_utf8(ran.stderr).unwrap();
    assert!(told.contains("the controllers start") && !told.contains('\u{1b}'), "{told}");
}
