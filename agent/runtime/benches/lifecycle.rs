//! What a container costs: the whole life of `/bin/true`, beside crun's and runc's on the same bundle, and a shim's memory.
//!
//! All of them without a user namespace and without a filter, in a mount namespace from which a version 2 of cgroups
//! beside version 1 is removed: Debian's crun refuses both at once.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "what a benchmark cannot do ends it")]

use hypermesh_runtime::oci::{self, OciOptions};
use hypermesh_runtime::spec::build::{Context, build};
use hypermesh_runtime::spec::{ContainerSpec, Seccomp};
use hypermesh_runtime::{
    CgroupVersion, ContainerId, InstanceId, Network, Root, RuntimeClass, Sandbox, SandboxSpec, UserNamespace,
};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lives of each.
const RUNS: usize = 40;

/// What a life in an instance consists of.
const STEPS: [&str; 4] = [
    "ours, in an instance: create",
    "ours, in an instance: start",
    "ours, in an instance: exit is told",
    "ours, in an instance: delete",
];

fn main() {
    // `cargo test` runs benchmarks too, to see that they start.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("lifecycle: skipped, since only root can run containers beside runc's");
        return;
    }
    // Before there is another thread: the namespace is a thread's own.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let _ = unmount("/sys/fs/cgroup/unified", UnmountFlags::DETACH);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    for folder in ["proc", "dev", "sys"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for name in ["true", "sleep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let mut options = OciOptions::new(dir.path().join("instances"));
    options.shim = Some((PathBuf::from(env!("CARGO_BIN_EXE_hypermesh-shim")), Vec::new()));
    options.cgroup = PathBuf::from("/hypermesh-bench");
    let class = oci::open(options).await.unwrap();
    let peers: Vec<&str> =
        ["crun", "runc"].into_iter().filter(|name| bundle_runs(name, dir.path(), &class)).collect();
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    let sandbox = class.create(sandbox_spec("shared", UserNamespace::Host)).await.unwrap();
    for _ in 0..RUNS {
        for peer in &peers {
            times.entry(peer).or_default().push(peer_run(peer, dir.path()));
        }
        let begin = Instant::now();
        let steps = live(&sandbox, &root).await;
        times.entry("ours, in an instance").or_default().push(begin.elapsed());
        for (name, step) in STEPS.into_iter().zip(steps) {
            times.entry(name).or_default().push(step);
        }
        let begin = Instant::now();
        let own = class.create(sandbox_spec("own", UserNamespace::Host)).await.unwrap();
        live(&own, &root).await;
        own.remove().await.unwrap();
        times.entry("ours, instance and all").or_default().push(begin.elapsed());
        let begin = Instant::now();
        let own = class.create(sandbox_spec("mapped", UserNamespace::Auto)).await.unwrap();
        let spec = ContainerSpec { seccomp: Seccomp::RuntimeDefault, ..spec(&root) };
        live_with(&own, spec).await;
        own.remove().await.unwrap();
        times.entry("ours, all, with user namespace and filter").or_default().push(begin.elapsed());
    }
    println!("the whole life of /bin/true, {RUNS} times each, in turns: median (fastest, 95th of 100)");
    for (name, mut times) in times {
        times.sort();
        let ms = |at: usize| times[at.min(times.len() - 1)].as_secs_f64() * 1e3;
        println!(
            "  {name:<42} {:6.1} ms ({:.1}, {:.1})",
            ms(times.len() / 2),
            ms(0),
            ms(times.len() * 95 / 100)
        );
    }
    memory(&class, &sandbox, &root).await;
    sandbox.remove().await.unwrap();
    class.sweep(&BTreeSet::new()).await.unwrap();
    for tree in fs::read_dir("/sys/fs/cgroup").unwrap().filter_map(Result::ok) {
        let _ = fs::remove_dir(tree.path().join("hypermesh-bench"));
    }
    let _ = fs::remove_dir("/sys/fs/cgroup/hypermesh-bench");
}

/// What a shim takes with a container that runs, alone and as one of several that share its pages.
async fn memory(class: &Arc<dyn RuntimeClass>, shared: &Arc<dyn Sandbox>, root: &Path) {
    let spec = ContainerSpec { args: vec!["sleep".to_owned(), "1000".to_owned()], ..spec(root) };
    let mut others = Vec::new();
    for number in 0..10 {
        let sandbox = class.create(sandbox_spec(&format!("m{number}"), UserNamespace::Host)).await.unwrap();
        let container = sandbox.create(ContainerId::new("c").unwrap(), spec.clone()).await.unwrap();
        container.start().await.unwrap();
        // It lets go of what beginning took when it has had nothing to do for a while.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        if number == 0 {
            println!("a shim with one container, beside another: {} KiB PSS", pss(sandbox.shim()));
        }
        others.push(sandbox);
    }
    println!("a shim with one container, beside ten others: {} KiB PSS", pss(others[0].shim()));
    println!("a shim that has run {} containers: {} KiB PSS", RUNS, pss(shared.shim()));
    for sandbox in others {
        sandbox.remove().await.unwrap();
    }
}

fn pss(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

fn spec(root: &Path) -> ContainerSpec {
    ContainerSpec {
        args: vec!["/bin/true".to_owned()],
        root: Root::Folder { path: root.to_owned(), read_only: false },
        seccomp: Seccomp::Unconfined,
        ..ContainerSpec::default()
    }
}

fn sandbox_spec(name: &str, user: UserNamespace) -> SandboxSpec {
    SandboxSpec {
        instance: InstanceId::new(name).unwrap(),
        hostname: "bench".to_owned(),
        network: Network::Own,
        user,
        host_ipc: false,
        limits: Default::default(),
        sysctls: Default::default(),
        annotations: Default::default(),
    }
}

async fn live(sandbox: &Arc<dyn Sandbox>, root: &Path) -> [Duration; 4] {
    live_with(sandbox, spec(root)).await
}

/// How long each step took.
async fn live_with(sandbox: &Arc<dyn Sandbox>, spec: ContainerSpec) -> [Duration; 4] {
    let begin = Instant::now();
    let container = sandbox.create(ContainerId::new("c").unwrap(), spec).await.unwrap();
    let created = begin.elapsed();
    container.start().await.unwrap();
    let started = begin.elapsed();
    assert!(container.wait().await.unwrap().success());
    let ended = begin.elapsed();
    container.delete().await.unwrap();
    [created, started - created, ended - started, begin.elapsed() - ended]
}

/// Writes a peer's bundle, the same as ours; whether it runs.
fn bundle_runs(peer: &str, dir: &Path, class: &Arc<dyn RuntimeClass>) -> bool {
    let cgroup = PathBuf::from(format!("/hypermesh-bench/{peer}"));
    let all = BTreeSet::from(["CHOWN", "KILL"].map(str::to_owned));
    let context = Context {
        user: None,
        host_network: false,
        owns_network: true,
        host_ipc: false,
        // Their own views of cgroups are mounted otherwise, which ours need not pay for.
        cgroups: if class.report().cgroups == CgroupVersion::V1 {
            CgroupVersion::None
        } else {
            class.report().cgroups
        },
        cgroup: &cgroup,
        cgroup_views: &[],
        capabilities: &all,
        rootless: false,
    };
    let root = dir.join("root");
    let mut built = build(&spec(&root), &context).unwrap();
    built.spec.root_mut().as_mut().unwrap().set_path(root);
    let bundle = dir.join(peer);
    fs::create_dir(&bundle).unwrap();
    fs::write(bundle.join("config.json"), serde_json::to_vec(&built.spec).unwrap()).unwrap();
    let output = peer_command(peer, dir).stderr(Stdio::piped()).output();
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("{peer} does not run: {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("{peer} does not run: {error}");
            false
        }
    }
}

fn peer_command(peer: &str, dir: &Path) -> Command {
    let mut command = Command::new(peer);
    command.arg("--root").arg(dir.join(format!("{peer}-state")));
    command.args(["run", "--bundle"]).arg(dir.join(peer)).arg(format!("bench-{peer}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn peer_run(peer: &str, dir: &Path) -> Duration {
    let begin = Instant::now();
    assert!(peer_command(peer, dir).status().unwrap().success());
    begin.elapsed()
}
