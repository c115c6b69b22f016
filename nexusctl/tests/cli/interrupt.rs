//! Interruptions: what was asked of the server is told, and so is the way on.

use super::server::{STALL, Server};
use http::Method;
use insta::assert_snapshot;
use nix::sys::signal::Signal;
use serde_json::json;
use std::{
    io::{BufRead as _, Read as _, Write as _},
    process::{Child, Command, Output, Stdio},
};

/// The binary, as a process of its own.
fn spawn(server: &Server, words: &str, input: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nexusctl"))
        .args(["--server", &server.url()])
        .args(words.split_whitespace())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

fn signal(child: &Child, signal: Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

#[test]
fn an_interrupted_apply_says_what_is_in_place_and_how_to_go_on() {
    insta::allow_duplicates! {
        for asks in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            interrupted(asks);
        }
    }
}

fn interrupted(asks: Signal) {
    let server = Server::start();
    let manifest: String = (0..40)
        .map(|index| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\n"))
        .collect();
    // All that are sent at first stay without an answer, but one.
    for index in 1..40 {
        server.script(Method::PATCH, &format!("/api/v1/namespaces/default/configmaps/m{index}"), STALL, "");
    }
    let mut child = spawn(&server, "apply --keep-going -f -", &manifest);
    while server.writes().len() < 33 {
        std::thread::yield_now();
    }
    // The first asks it to end in order, the second at once.
    signal(&child, asks);
    let mut heard = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut err = String::new();
    heard.read_line(&mut err).unwrap();
    signal(&child, asks);
    heard.read_to_string(&mut err).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(String::from_utf8(stdout).unwrap(), "configmap/m0 created\n");
    let err = err.replace(&server.url(), "URL");
    let of = |why: &str| err.lines().filter(|line| line.ends_with(why)).count();
    assert_eq!((of("(sent, its outcome unknown)"), of("(not sent)")), (32, 7), "{err}");
    let told: Vec<&str> = err.lines().filter(|line| !line.starts_with("  <stdin>")).collect();
    assert_snapshot!(told.join("\n"), @"
    interrupted: nothing more is sent; waiting for what is under way

    error: 39 of 40 objects were not applied:
    applying again is safe: what is in place stays as it is
    to go on: nexusctl --server URL apply -f - --keep-going (with the same input)
    ");
}

#[test]
fn who_waits_for_what_was_applied_can_stop() {
    let server = Server::start();
    let manifest = "apiVersion: hypermesh.online/v1\nkind: Workload\nmetadata: {name: web}\n\
                    status: {conditions: [{type: Ready, status: 'False', reason: Starting, message: soon}]}\n";
    for asks in [Signal::SIGINT, Signal::SIGTERM] {
        let mut child = spawn(&server, "apply --wait -f -", manifest);
        let watched = || server.seen().iter().filter(|seen| seen.query.contains("watch=true")).count();
        let before = watched();
        while watched() == before {
            std::thread::yield_now();
        }
        signal(&child, asks);
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{err}");
        let told = err.replace(&server.url(), "URL");
        let told = told.lines().skip_while(|line| !line.starts_with("interrupted")).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                "interrupted: everything is applied, and nobody waits for it any more",
                "to go on: nexusctl --server URL apply -f - --wait (with the same input)"
            ],
            "{err}"
        );
    }
}

/// Runs the binary with a standard output that nobody reads.
fn unread(server: &Server, words: &str, input: &str) -> (Option<i32>, String) {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let mut child = Command::new(env!("CARGO_BIN_EXE_nexusctl"))
        .args(["--server", &server.url()])
        .args(words.split_whitespace())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(write)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_reader_that_has_gone_makes_no_success_of_a_failure() {
    let server = Server::start();
    let place = |name: &str| format!("/api/v1/namespaces/default/configmaps/{name}");
    for name in ["a", "b"] {
        server.put(&place(name), json!({"metadata": {"name": name}}));
    }
    assert_eq!(unread(&server, "get cm", ""), (Some(0), String::new()));
    let (code, err) = unread(&server, "get cm a none", "");
    assert!(code == Some(1) && err.contains("\"none\" not found"), "{code:?} {err}");
    // What is to be done is done, whoever reads of it, and what was not is told.
    let (code, err) = unread(&server, "delete cm a none b", "");
    assert!(code == Some(1) && err.contains("\"none\" not found"), "{code:?} {err}");
    assert!(server.object(&place("a")).is_none() && server.object(&place("b")).is_none());
    server.put(&place("c"), json!({"metadata": {"name": "c"}}));
    assert_eq!(unread(&server, "delete cm c", ""), (Some(0), String::new()));
}

#[test]
fn what_was_applied_is_told_where_standard_output_is_full() {
    let maps: String = (0..400)
        .map(|index| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\n"))
        .collect();
    for words in ["apply -f -", "apply --keep-going -f -", "apply --atomic -f -", "apply -f - -o name"] {
        let server = Server::start();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_nexusctl"))
            .args(["--server", &server.url()])
            .args(words.split_whitespace())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(maps.as_bytes()).unwrap();
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(1), "{words}");
        let told = String::from_utf8(stderr).unwrap();
        assert_eq!(
            told,
            "400 of 400 objects were applied\nerror: cannot write to standard output: No space left on device (os error 28)\n",
            "{words}"
        );
        let last = server.object("/api/v1/namespaces/default/configmaps/m399");
        // The server of these tests answers a transaction and keeps nothing of it.
        assert!(last.is_some() || words.contains("--atomic"), "{words}");
    }
}
