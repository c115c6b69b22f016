//! Agents and shims that come and go.

use crate::harness::*;
use hypermesh_runtime::*;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

fn start_time(pid: i32) -> u64 {
    hypermesh_shim::process::identify(pid).unwrap().unwrap().start_time
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_finds_all_as_it_is() {
    let Some(node) = Node::new().await else { return };
    let mut spec = node.sandbox_spec("i1");
    spec.annotations.insert("a".to_owned(), "b".to_owned());
    let sandbox = node.class.create(spec).await.unwrap();
    let stays = sandbox
        .create(id("stays"), node.spec("echo up; cat /srv/../etc/passwd > /dev/null; read x; sleep 1000"))
        .await
        .unwrap();
    stays.start().await.unwrap();
    let mut spec = node.spec("sleep 0.2; echo late; exit 8");
    spec.annotations.insert("c".to_owned(), "d".to_owned());
    let ends = sandbox.create(id("ends"), spec).await.unwrap();
    ends.start().await.unwrap();
    let waits = sandbox.create(id("waits"), node.spec("exit 2")).await.unwrap();
    let (shim, begun) = (sandbox.shim(), start_time(sandbox.shim()));
    drop((sandbox, stays, ends, waits));
    // Nobody is there when it ends.
    until("it ended", || node.log().contains("late")).await;
    let class = Node::open(node.dir.path(), &node.cgroup).await;
    let adopted = class.adopt().await.unwrap();
    assert!(adopted.lost.is_empty());
    let sandbox = adopted.sandboxes.into_iter().next().unwrap();
    assert_eq!((sandbox.shim(), start_time(sandbox.shim())), (shim, begun));
    assert_eq!(sandbox.spec().annotations["a"], "b");
    let ends = sandbox.container(&id("ends")).unwrap();
    assert_eq!(ends.wait().await.unwrap().code, 8);
    assert_eq!(ends.spec().annotations["c"], "d");
    let stays = sandbox.container(&id("stays")).unwrap();
    assert_eq!(stays.state().phase, Phase::Running);
    let args = ["sh", "-c", "echo in"].map(str::to_owned).to_vec();
    let mut process = stays.exec(ExecSpec { args, stdout: true, ..ExecSpec::default() }).await.unwrap();
    let mut out = String::new();
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "in\n");
    let waits = sandbox.container(&id("waits")).unwrap();
    waits.start().await.unwrap();
    assert_eq!(waits.wait().await.unwrap().code, 2);
    // A name that is taken stays taken.
    assert!(matches!(class.create(node.sandbox_spec("i1")).await.err().unwrap(), RuntimeError::Exists(_)));
    let another = class.create(node.sandbox_spec("i2")).await.unwrap();
    if let (Some(one), Some(two)) = (sandbox.id_maps(), another.id_maps()) {
        assert_ne!(one.users[0].outside, two.users[0].outside);
    }
    sandbox.remove().await.unwrap();
    another.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_is_killed_takes_its_containers_with_it() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let container = sandbox.create(id("c"), node.spec("echo up; sleep 1000 & sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    until("it is up", || node.log().contains("up")).await;
    let first = container.state().process;
    let mut lost = sandbox.lost();
    let waiting = tokio::spawn({
        let container = container.clone();
        async move { container.wait().await }
    });
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(sandbox.shim()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    tokio::time::timeout(Duration::from_secs(20), lost.wait_for(|lost| *lost)).await.unwrap().unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(RuntimeError::ShimLost(_))));
    until("its process is gone", || !hypermesh_shim::process::is_there(&first).unwrap()).await;
    assert!(container.start().await.is_err());
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A shim that was lost while no agent was there is told with what it last knew.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_meanwhile_is_told() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let ended = sandbox.create(id("ended"), node.spec("exit 4")).await.unwrap();
    ended.start().await.unwrap();
    ended.wait().await.unwrap();
    let ran = sandbox.create(id("ran"), node.spec("sleep 1000")).await.unwrap();
    ran.start().await.unwrap();
    let (shim, first) = (sandbox.shim(), ran.state().process);
    let before = node.class.clone();
    drop((sandbox, ended, ran));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(shim).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let class = Node::open(node.dir.path(), &node.cgroup).await;
    until("the shim is gone", || {
        !fs::read_to_string(format!("/proc/{shim}/comm")).is_ok_and(|name| {
            name.contains("shim")
                && !fs::read_to_string(format!("/proc/{shim}/stat")).unwrap_or_default().contains(") Z")
        })
    })
    .await;
    let adopted = class.adopt().await.unwrap();
    assert!(adopted.sandboxes.is_empty());
    let lost = &adopted.lost[0];
    assert!(!lost.rebooted);
    let exits: Vec<_> = lost
        .containers
        .iter()
        .map(|(state, _)| (state.id.as_str(), state.exit.map(|exit| exit.code)))
        .collect();
    assert_eq!(exits, [("ended", Some(4)), ("ran", None)]);
    until("what it left is gone", || !hypermesh_shim::process::is_there(&first).unwrap()).await;
    let swept = class.sweep(&BTreeSet::new()).await.unwrap();
    assert_eq!(swept.instances.len(), 1);
    drop(before);
    node.finish().await;
}

/// A state file that names a pid which is somebody else's now names nobody: they are neither asked nor killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_pid_alone_names_nobody() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let path = node.dir.path().join("instances/i1/shim.json");
    let kept = fs::read_to_string(&path).unwrap();
    sandbox.remove().await.unwrap();
    let mut stranger = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    for folder in ["instances/i1", "instances/i1/containers"] {
        fs::create_dir(node.dir.path().join(folder)).unwrap();
    }
    let mut state: hypermesh_shim::state::ShimState = serde_json::from_str(&kept).unwrap();
    state.process.pid = stranger.id().cast_signed();
    // Two that began in the same tick of the kernel's clock could not be told apart; no pid comes round that soon.
    state.process.start_time -= 1;
    hypermesh_shim::state::write(&path, &state).unwrap();
    let spec = node.sandbox_spec("i1");
    hypermesh_shim::state::write(&path.with_file_name("spec.json"), &spec).unwrap();
    fs::write(path.with_file_name("sandbox.json"), r#"{"instance":"i1","hostname":"i1","network":"Own"}"#)
        .unwrap();
    let class = Node::open(node.dir.path(), &node.cgroup).await;
    let adopted = class.adopt().await.unwrap();
    assert_eq!((adopted.sandboxes.len(), adopted.lost.len()), (0, 1));
    class.sweep(&BTreeSet::new()).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "somebody else was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    node.finish().await;
}

/// An agent that is killed while it makes something leaves what the sweep finds.
#[tokio::test(flavor = "multi_thread")]
async fn leftovers_are_swept_and_what_is_wanted_stays() {
    let Some(node) = Node::new().await else { return };
    let keep = node.sandbox("keep").await;
    let container = keep.create(id("c"), node.spec("sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    let gone = node.sandbox("gone").await;
    let other = gone.create(id("c"), node.spec("sleep 1000")).await.unwrap();
    other.start().await.unwrap();
    fs::create_dir_all(node.dir.path().join("instances/half/containers/c")).unwrap();
    fs::write(node.dir.path().join("instances/half/sandbox.json"), "{").unwrap();
    let class = Node::open(node.dir.path(), &node.cgroup).await;
    let adopted = class.adopt().await.unwrap();
    assert_eq!(adopted.sandboxes.len(), 2);
    let wanted = BTreeSet::from([InstanceId::new("keep").unwrap()]);
    let swept = class.sweep(&wanted).await.unwrap();
    let names: Vec<&str> = swept.instances.iter().map(InstanceId::as_str).collect();
    assert_eq!(names, ["gone", "half"]);
    assert!(swept.left.is_empty() && swept.processes > 0, "{swept:?}");
    assert_eq!(container.state().phase, Phase::Running);
    let again = class.sweep(&wanted).await.unwrap();
    assert!(again.instances.is_empty());
    keep.remove().await.unwrap();
    node.finish().await;
}
