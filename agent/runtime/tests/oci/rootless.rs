//! The same without root: in a user namespace of one's own, without limits, and said so.

use crate::harness::*;
use hypermesh_runtime::*;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use tokio::io::AsyncReadExt as _;

/// A user that no test machine has.
const SOMEBODY: u32 = 61_001;

#[test]
fn containers_run_without_root() {
    if !rustix::process::geteuid().is_root() {
        return skip("it takes root to become somebody else");
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["rootless::as_somebody", "--exact", "--ignored", "--nocapture"]);
    command.env("TMPDIR", dir.path()).current_dir("/").uid(SOMEBODY).gid(SOMEBODY);
    let output = match command.output() {
        Ok(output) => output,
        // A build folder that nobody else may look into.
        Err(error) => return skip(&format!("somebody else cannot run this test ({error})")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    if said.contains("SKIPPED") {
        return skip("user namespaces are not for everybody here");
    }
    assert!(output.status.success() && said.contains("1 passed"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test above, as somebody"]
async fn as_somebody() {
    let Some(node) = Node::new().await else { return };
    let report = node.class.report();
    for reason in &report.missing {
        println!("{reason}");
    }
    assert!(report.rootless && !report.has(Ability::MemoryLimits) && !report.has(Ability::UserNamespace));
    assert_eq!(report.cgroups, CgroupVersion::None);
    let mut required = node.sandbox_spec("i0");
    required.user = UserNamespace::Required;
    assert!(matches!(node.class.create(required).await.err().unwrap(), RuntimeError::Unsupported(_)));
    let sandbox = node.sandbox("i1").await;
    let volume = node.dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    let mut spec =
        node.spec("id -u; hostname; grep Seccomp: /proc/self/status; touch /data/new; echo up; sleep 1000");
    spec.mounts = vec![spec::Mount {
        target: "/data".into(),
        source: spec::MountSource::Bind {
            path: volume.clone(),
            sub_path: None,
            mapped: true,
            propagate: false,
            exec: true,
        },
        read_only: false,
    }];
    let container = sandbox.create(id("c"), spec).await.unwrap_or_else(|error| panic!("{}", told(&error)));
    container.start().await.unwrap();
    until("it is up", || node.log().contains("up\n")).await;
    assert_eq!(node.log(), "stdout F 0\nstdout F i1\nstdout F Seccomp:\t2\nstdout F up\n");
    assert!(volume.join("new").exists());
    other_users(&node, &sandbox).await;
    let args = ["sh", "-c", "id -u; grep Seccomp: /proc/self/status"].map(str::to_owned).to_vec();
    let mut process = container.exec(ExecSpec { args, stdout: true, ..ExecSpec::default() }).await.unwrap();
    let mut out = String::new();
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "0\nSeccomp:\t2\n");
    assert!(container.stats().is_err());
    probed_from_inside(&node, &sandbox).await;
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// Others than the agent's own, where the node gives them: else it says why not, and so does a container that wants one.
async fn other_users(node: &Node, sandbox: &std::sync::Arc<dyn Sandbox>) {
    let report = node.class.report();
    let why =
        report.missing.iter().find(|reason| reason.ability == Ability::UserNamespace).unwrap().to_string();
    let mut spec = node.spec("id -u; id -g; exec sleep 1000");
    spec.log = Some(Log { path: node.dir.path().join("other.log"), ..Log::default() });
    spec.user = spec::User { uid: 1000, gid: 1000, groups: Vec::new() };
    let made = sandbox.create(id("other"), spec).await;
    let given = std::fs::read_to_string("/etc/subuid").is_ok_and(|text| text.contains("somebody:"));
    let expected = given && std::path::Path::new("/usr/bin/newuidmap").exists();
    assert_eq!(why.contains("share the 65536 users that /etc/subuid gives"), expected, "{why}");
    if !expected {
        assert!(why.contains("one user, who is the agent's, since"), "{why}");
        assert!(why.contains("gives user 61001 no others") || why.contains("newuidmap"), "{why}");
        assert!(made.is_err());
        return;
    }
    let container = made.unwrap_or_else(|error| panic!("{}", told(&error)));
    container.start().await.unwrap();
    until("it is up", || log_at(&node.dir.path().join("other.log")).lines().count() == 2).await;
    assert_eq!(log_at(&node.dir.path().join("other.log")), "stdout F 1000\nstdout F 1000\n");
    // To the node it is a user that belongs to the agent's.
    let status = std::fs::read_to_string(format!("/proc/{}/status", container.state().process.pid)).unwrap();
    assert!(status.contains("Uid:\t100999\t"), "{status}");
    container.delete().await.unwrap();
}

/// Its network may not be entered without root, and its ports are reached all the same.
async fn probed_from_inside(node: &Node, sandbox: &std::sync::Arc<dyn Sandbox>) {
    let mut spec = node.spec("nc -l -p 4711 >/dev/null; echo asked; exec sleep 1000");
    spec.log = Some(Log { path: node.dir.path().join("asked.log"), ..Log::default() });
    let container =
        sandbox.create(id("asked"), spec).await.unwrap_or_else(|error| panic!("{}", told(&error)));
    container.start().await.unwrap();
    let path = sandbox.network_namespace().unwrap();
    let entered = std::fs::File::open(&path)
        .and_then(|file| Ok(nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)?));
    assert!(entered.is_err(), "nobody would need this");
    let begun = std::time::Instant::now();
    loop {
        let socket = std::net::TcpStream::from(sandbox.socket(false).await.unwrap());
        let socket = tokio::net::TcpSocket::from_std_stream(socket);
        match socket.connect("127.0.0.1:4711".parse().unwrap()).await {
            Ok(_) => break,
            Err(error) => assert!(begun.elapsed().as_secs() < 20, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    until("it was asked", || log_at(&node.dir.path().join("asked.log")).contains("asked")).await;
    assert!(sandbox.socket(true).await.is_ok());
    container.delete().await.unwrap();
}
