//! What an image or a volume cannot do to who makes a container of it, and to who waits.

use crate::harness::*;
use hypermesh_runtime::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Less than the time that a node gives by itself.
const SOON: Duration = Duration::from_secs(60);

/// What a container takes on a machine that is slow and has other things to do.
const PATIENCE: Duration = Duration::from_secs(4);

fn pipe(path: &Path) {
    drop(fs::remove_file(path));
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, work).await.unwrap_or_else(|_| panic!("it hangs: {what}"))
}

/// No C library looks for users in an image: it would load modules that the image names, into a process that is still half
/// the node's, and wait for pipes.
#[tokio::test(flavor = "multi_thread")]
async fn who_makes_a_container_asks_no_user_database_of_its_image() {
    let Some(node) = Node::new().await else { return };
    let etc = node.dir.path().join("root/etc");
    pipe(&etc.join("nsswitch.conf"));
    for list in ["passwd", "group"] {
        pipe(&etc.join(list));
    }
    let sandbox = node.sandbox("i1").await;
    let (exit, log) = soon("a container", node.run(&sandbox, node.spec("echo home:$HOME"))).await;
    assert!(exit.success() && log.contains("home:/\n"), "{exit:?} {log}");
    let container = soon("a container", sandbox.create(id("c"), node.spec("exec sleep 1000"))).await.unwrap();
    container.start().await.unwrap();
    let args = ["sh", "-c", "test $HOME = /"].map(str::to_owned).to_vec();
    let process = soon("exec", container.exec(ExecSpec { args, ..ExecSpec::default() })).await.unwrap();
    assert_eq!(process.wait().await.unwrap().code, 0);
    drop((process, container));
    soon("the end", sandbox.remove()).await.unwrap();
    // And where there is such a list, it is read.
    fs::remove_file(etc.join("passwd")).unwrap();
    fs::write(etc.join("passwd"), "app:x:1000:1000::/srv:/bin/sh\n").unwrap();
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("echo home:$HOME");
    spec.user = spec::User { uid: 1000, gid: 1000, groups: Vec::new() };
    assert!(soon("a container", node.run(&sandbox, spec.clone())).await.1.contains("home:/srv\n"));
    // A process of exec is at home where the container is.
    let mut lasting = node.spec("exec sleep 1000");
    lasting.user = spec.user.clone();
    let container = sandbox.create(id("e"), lasting).await.unwrap();
    container.start().await.unwrap();
    let args = ["sh", "-c", "test $HOME = /srv"].map(str::to_owned).to_vec();
    let process = container.exec(ExecSpec { args, ..ExecSpec::default() }).await.unwrap();
    assert_eq!(process.wait().await.unwrap().code, 0);
    drop((process, container));
    spec.env = vec!["HOME=/own".to_owned()];
    assert!(soon("a container", node.run(&sandbox, spec)).await.1.contains("home:/own\n"));
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A cgroup that stops whoever comes into it, as a file might that never opens.
fn frozen(node: &Node, name: &str) -> PathBuf {
    for (tree, file, word) in [("freezer", "freezer.state", "FROZEN"), ("", "cgroup.freeze", "1")] {
        let cgroup =
            Path::new("/sys/fs/cgroup").join(tree).join(node.cgroup.trim_start_matches('/')).join(name);
        if cgroup.parent().is_some_and(Path::exists) {
            drop(fs::create_dir(&cgroup));
            fs::write(cgroup.join(file), word).unwrap();
            return cgroup;
        }
    }
    panic!("the instance has no cgroup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_not_made_in_time_is_refused_and_nothing_stays() {
    let Some(node) = Node::new().await else { return };
    let class = Node::open_patient(node.dir.path(), &node.cgroup, PATIENCE).await;
    let sandbox = class.create(node.sandbox_spec("i1")).await.unwrap();
    frozen(&node, "i1/c");
    let refused = soon("the refusal", sandbox.create(id("c"), node.spec("true"))).await;
    let error = told(&refused.err().expect("it is late"));
    assert!(error.contains("not made within 4 s"), "{error}");
    // Its name is free again.
    let (exit, _) = soon("a container", node.run(&sandbox, node.spec("true"))).await;
    assert!(exit.success());
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// Who removes an Instance does not wait for a container that is being made.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_made_does_not_hold_up_the_end() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    frozen(&node, "i1/c");
    let making = sandbox.clone();
    let spec = node.spec("true");
    let making = tokio::spawn(async move { making.create(id("c"), spec).await.map(drop) });
    let bundle = node.dir.path().join("instances/i1/containers/c");
    until("it is being made", || bundle.join("config.json").exists()).await;
    // Nobody waits for it, as when its worker is told to end.
    making.abort();
    drop(making.await);
    let began = Instant::now();
    soon("the end", sandbox.remove()).await.unwrap();
    assert!(began.elapsed() < SOON);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_not_started_in_time_is_refused_and_one_that_nobody_waits_for_is_killed() {
    let Some(node) = Node::new().await else { return };
    let class = Node::open_patient(node.dir.path(), &node.cgroup, PATIENCE).await;
    let sandbox = class.create(node.sandbox_spec("i1")).await.unwrap();
    let container = sandbox.create(id("c"), node.spec("exec sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    container.pause(true).await.unwrap();
    let exec = || {
        let args = ["sleep", "1000"].map(str::to_owned).to_vec();
        container.exec(ExecSpec { args, ..ExecSpec::default() })
    };
    let error = told(&soon("the refusal", exec()).await.err().expect("it is late"));
    assert!(error.contains("not made within 4 s"), "{error}");
    drop(tokio::time::timeout(Duration::from_millis(100), exec()).await);
    container.pause(false).await.unwrap();
    let cgroups = cgroups_of(&format!("{}/i1/c", node.cgroup.trim_start_matches('/')));
    let of = |cgroup: &PathBuf| fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let alone = || cgroups.iter().all(|cgroup| of(cgroup).lines().count() <= 1);
    for _ in 0..400 {
        if alone() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left: Vec<String> =
        cgroups.iter().map(|cgroup| format!("{}: {}", cgroup.display(), of(cgroup))).collect();
    assert!(alone(), "others than its own process are left: {left:?}");
    drop(container);
    sandbox.remove().await.unwrap();
    node.finish().await;
}
