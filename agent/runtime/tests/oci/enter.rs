//! Processes beside a container's own, and looking on at what it writes.

use crate::harness::*;
use hypermesh_runtime::spec::User;
use hypermesh_runtime::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn sleeper(node: &Node, sandbox: &Arc<dyn Sandbox>) -> Arc<dyn Container> {
    let container = sandbox.create(id("c"), node.spec("echo up; exec sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    container
}

fn exec(script: &str) -> ExecSpec {
    ExecSpec {
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
        stdout: true,
        stderr: true,
        ..ExecSpec::default()
    }
}

/// Its exit, output and errors.
async fn run(container: &Arc<dyn Container>, spec: ExecSpec) -> (i32, String, String) {
    let mut process = container.exec(spec).await.unwrap_or_else(|error| panic!("{}", told(&error)));
    let (mut out, mut err) = (String::new(), String::new());
    if let Some(mut stdout) = process.stdout.take() {
        stdout.read_to_string(&mut out).await.unwrap();
    }
    if let Some(mut stderr) = process.stderr.take() {
        stderr.read_to_string(&mut err).await.unwrap();
    }
    (process.wait().await.unwrap().code, out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_confined_as_the_containers_own() {
    let Some(node) = Node::new().await else { return };
    for (name, user) in [("i1", UserNamespace::Auto), ("i2", UserNamespace::Host)] {
        for no_new_privileges in [false, true] {
            let mut spec = node.sandbox_spec(name);
            spec.user = user.clone();
            let sandbox = node.class.create(spec).await.unwrap();
            let mut spec = node.spec("grep -E '^(Cap|Secc|NoNew)' /proc/self/status; cat /proc/self/uid_map; for n in user net ipc uts pid mnt cgroup; do readlink /proc/self/ns/$n; done; exec sleep 1000");
            spec.no_new_privileges = no_new_privileges;
            let container = sandbox.create(id("c"), spec).await.unwrap();
            container.start().await.unwrap();
            let script = "grep -E '^(Cap|Secc|NoNew)' /proc/self/status; cat /proc/self/uid_map; for n in user net ipc uts pid mnt cgroup; do readlink /proc/self/ns/$n; done";
            let (code, out, err) = run(&container, exec(script)).await;
            assert_eq!(code, 0, "{err}");
            assert!(out.contains("Seccomp:\t2\n"), "{out}");
            until("it told all", || node.log().lines().count() >= out.lines().count()).await;
            assert_eq!(node.log().replace("stdout F ", ""), out, "{name} {no_new_privileges}");
            sandbox.remove().await.unwrap();
            std::fs::remove_file(node.dir.path().join("0.log")).unwrap();
        }
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_has_its_own_input_output_user_and_end() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let container = sleeper(&node, &sandbox).await;
    let mut spec = exec("cat; echo $A $HOME; pwd; id -u; id -g; echo bad >&2; exit 5");
    spec.stdin = true;
    spec.env = vec!["A=1".to_owned()];
    spec.cwd = Some("/tmp".into());
    spec.user = Some(ExecUser { uid: 1000, gid: 1000, groups: vec![7] });
    let mut process = container.exec(spec).await.unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(b"given\n").await.unwrap();
    drop(stdin);
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    process.stderr.take().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("given\n1 /srv\n/tmp\n1000\n1000\n", "bad\n"));
    assert_eq!(process.wait().await.unwrap().code, 5);
    let mut missing = exec("");
    missing.args = vec!["nothing".to_owned()];
    let error = container.exec(missing).await.err().unwrap();
    assert!(told(&error).contains("in no folder of PATH"), "{}", told(&error));
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// As images of the field have their logs: links to `/dev/stdout` and `/dev/stderr`, opened by whoever writes.
#[tokio::test(flavor = "multi_thread")]
async fn output_is_opened_by_its_name() {
    let Some(node) = Node::new().await else { return };
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; echo again > /proc/self/fd/1; echo told";
    for (name, user) in [("i1", UserNamespace::Auto), ("i2", UserNamespace::Host)] {
        let mut sandbox = node.sandbox_spec(name);
        sandbox.user = user;
        let sandbox = node.class.create(sandbox).await.unwrap();
        for uid in [0, 1000] {
            let mut spec = node.spec(&format!("{script}; exec sleep 1000"));
            spec.user = User { uid, gid: uid, groups: Vec::new() };
            let container = sandbox.create(id("c"), spec).await.unwrap();
            container.start().await.unwrap();
            // Output and errors come by pipes of their own, in no order between them.
            until("it told all", || node.log().contains("told") && node.log().contains("stderr F err\n"))
                .await;
            let log = node.log();
            assert!(
                log.contains("stdout F out\n") && log.contains("stdout F again\n"),
                "{name} {uid}: {log}"
            );
            // Another user's process has pipes of its own.
            for user in [None, Some(ExecUser { uid: 1001, gid: 0, groups: Vec::new() })] {
                let spec = ExecSpec { user, ..exec(script) };
                let (code, out, err) = run(&container, spec).await;
                assert_eq!(
                    (code, out.as_str(), err.as_str()),
                    (0, "out\nagain\ntold\n", "err\n"),
                    "{name} {uid}"
                );
            }
            container.delete().await.unwrap();
            std::fs::remove_file(node.dir.path().join("0.log")).unwrap();
        }
        sandbox.remove().await.unwrap();
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_terminal() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let container = sleeper(&node, &sandbox).await;
    let mut spec = exec("tty; stty size; read line; stty size; echo got $line; exit 4");
    spec.terminal = Some(TerminalSize { rows: 24, columns: 80 });
    let mut process = container.exec(spec).await.unwrap();
    let (mut stdin, mut stdout) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    let mut seen = String::new();
    let mut buffer = [0; 1024];
    while !seen.contains("24 80") {
        let count = stdout.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{seen}");
        seen += &String::from_utf8_lossy(&buffer[..count]);
    }
    assert!(seen.starts_with("/dev/pts/"), "{seen}");
    process.resize(TerminalSize { rows: 50, columns: 132 }).unwrap();
    stdin.write_all(b"hello\n").await.unwrap();
    stdout.read_to_string(&mut seen).await.unwrap();
    assert!(seen.contains("50 132\r\n") && seen.contains("got hello\r\n"), "{seen}");
    assert_eq!(process.wait().await.unwrap().code, 4);
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_with_who_started_it_and_with_its_container() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let container = sleeper(&node, &sandbox).await;
    let dropped = container.exec(exec("exec sleep 1001")).await.unwrap();
    let pid = dropped.pid;
    drop(dropped);
    until("it is gone", || !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    let signalled = container.exec(exec("exec sleep 1002")).await.unwrap();
    signalled.signal(libc::SIGTERM).await.unwrap();
    assert_eq!(signalled.wait().await.unwrap().signal, Some(libc::SIGTERM));
    let other = container.exec(exec("exec sleep 1003")).await.unwrap();
    container.delete().await.unwrap();
    assert_eq!(other.wait().await.unwrap().signal, Some(libc::SIGKILL));
    assert!(container.exec(exec("true")).await.is_err());
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// In a container that stands still a process is started, and stands still with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_stands_still_and_goes_on() {
    let Some(node) = Node::new().await else { return };
    if !node.class.report().has(Ability::Freezer) {
        return skip("there is no freezer");
    }
    let sandbox = node.sandbox("i1").await;
    let container = sleeper(&node, &sandbox).await;
    container.pause(true).await.unwrap();
    let entering = tokio::spawn({
        let container = container.clone();
        async move { run(&container, exec("echo in")).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!entering.is_finished());
    container.pause(false).await.unwrap();
    let (code, out, _) = tokio::time::timeout(Duration::from_secs(10), entering).await.unwrap().unwrap();
    assert_eq!((code, out.as_str()), (0, "in\n"));
    // What stands still ends all the same.
    container.pause(true).await.unwrap();
    container.delete().await.unwrap();
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_attached_reads_and_writes() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("read line; echo got $line; cat; echo end >&2");
    (spec.stdin, spec.stdin_once) = (true, true);
    let container = sandbox.create(id("c"), spec).await.unwrap();
    let mut first = container.attach(AttachOptions { stdin: true, size: None }).await.unwrap();
    let mut second = container.attach(AttachOptions::default()).await.unwrap();
    assert!(second.stdin.is_none());
    container.start().await.unwrap();
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").await.unwrap();
    drop(stdin);
    for attached in [&mut first, &mut second] {
        let (mut out, mut err) = (String::new(), String::new());
        attached.stdout.read_to_string(&mut out).await.unwrap();
        attached.stderr.as_mut().unwrap().read_to_string(&mut err).await.unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("got one\ntwo\n", "end\n"));
    }
    assert!(container.wait().await.unwrap().success());
    assert_eq!(node.log(), "stdout F got one\nstdout F two\nstderr F end\n");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_with_a_terminal() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("read line; stty size; tty; echo got $line; exit 6");
    (spec.stdin, spec.terminal) = (true, true);
    let container = sandbox.create(id("c"), spec).await.unwrap();
    let size = Some(TerminalSize { rows: 30, columns: 100 });
    let mut attached = container.attach(AttachOptions { stdin: true, size }).await.unwrap();
    container.start().await.unwrap();
    attached.stdin.as_mut().unwrap().write_all(b"word\n").await.unwrap();
    let mut out = String::new();
    attached.stdout.read_to_string(&mut out).await.unwrap();
    assert!(
        out.contains("30 100\r\n") && out.contains("got word\r\n") && out.contains("/dev/pts/0"),
        "{out}"
    );
    assert_eq!(container.wait().await.unwrap().code, 6);
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// Whoever looks on and does not read is let go; the container and its log go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_waits_for_nobody_who_looks_on() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let container = sandbox.create(id("c"), node.spec("yes | head -n 500000; echo done >&2")).await.unwrap();
    let attached = container.attach(AttachOptions::default()).await.unwrap();
    container.start().await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(30), container.wait()).await.unwrap().unwrap();
    assert!(exit.success());
    assert!(node.log().ends_with("stderr F done\n"));
    drop(attached);
    sandbox.remove().await.unwrap();
    node.finish().await;
}
