//! What version 2 of cgroups has of its own, and the parts of its tree that others give us.
//!
//! [`crate::machine`] runs these in a virtual machine, whose cgroups are nobody's else: on a node they would stand in the
//! way of who keeps that tree.

use crate::harness::*;
use hypermesh_runtime::*;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// Where the one tree is.
const TREE: &str = "/sys/fs/cgroup";

/// A user that no test machine has.
const SOMEBODY: u32 = 61_001;

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn folder(node: &Node, names: &str) -> PathBuf {
    Path::new(TREE).join(node.cgroup.trim_start_matches('/')).join(names)
}

fn has_all_limits(node: &Node) {
    let report = node.class.report();
    assert_eq!(report.cgroups, CgroupVersion::V2, "{:?}", report.missing);
    let limits = [
        Ability::CpuLimits,
        Ability::MemoryLimits,
        Ability::PidsLimits,
        Ability::IoWeights,
        Ability::Freezer,
    ];
    assert!(limits.iter().all(|limit| report.has(*limit)), "{:?}", report.missing);
}

/// A kernel before 6.3 maps owners of files on a disk, and of none in memory: there users are the node's unless somebody
/// asks for others.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run in the virtual machine, by machine::version_2"]
async fn users_are_mapped_where_that_is_asked_for() {
    let node = Node::new().await.expect("containers run here");
    let report = node.class.report();
    let why = report.missing.iter().find(|reason| reason.ability == Ability::IdMappedMounts);
    assert_eq!(why.is_some_and(|why| why.to_string().contains("Linux 6.3")), why.is_some(), "{why:?}");
    assert_eq!(node.sandbox("i1").await.id_maps().is_some(), why.is_none());
    let map = vec![IdMap { inside: 0, outside: 0x7000_0000, count: 65_536 }];
    let mut spec = node.sandbox_spec("i2");
    spec.user = UserNamespace::Mapped(IdMaps { users: map.clone(), groups: map });
    let mapped = node.class.create(spec).await.unwrap();
    let script =
        "cat /proc/self/uid_map; touch /made; ls -ln /made | grep -o ' 0 *0 '; cat /sys/fs/cgroup/memory.max";
    let mut spec = node.spec(script);
    spec.limits.memory = Some(32 << 20);
    let (exit, log) = node.run(&mapped, spec).await;
    assert!(exit.success() && log.contains("1879048192") && log.contains("33554432"), "{log}");
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(fs::metadata(node.dir.path().join("root/made")).unwrap().uid(), 0);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run in the virtual machine, by machine::version_2"]
async fn limits_are_in_the_kernels_files() {
    let node = Node::new().await.expect("containers run here");
    has_all_limits(&node);
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec(
        "cat /proc/self/cgroup /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; \
         for f in memory.max cgroup.procs cgroup.subtree_control; do ( echo 1 > /sys/fs/cgroup/$f ) 2>/dev/null && echo won $f; done; \
         mkdir /sys/fs/cgroup/x 2>/dev/null && echo won; echo done; exec sleep 1000",
    );
    spec.limits = spec::Limits {
        cpu_shares: Some(1024),
        cpu_quota_us: Some(50_000),
        cpuset: Some("0".to_owned()),
        memory: Some(64 << 20),
        memory_reserved: Some(16 << 20),
        pids: Some(20),
        io_weight: Some(200),
        ..Default::default()
    };
    let container = sandbox.create(id("c"), spec).await.unwrap_or_else(|error| panic!("{}", told(&error)));
    container.start().await.unwrap();
    until("it has looked", || node.log().contains("done")).await;
    assert_eq!(node.log().replace("stdout F ", ""), "0::/\n67108864\n20\ndone\n");
    let of = folder(&node, "i1/c");
    let files = [
        ("memory.max", "67108864"),
        // Memory that is limited is not to be had on the disk instead.
        ("memory.swap.max", "0"),
        ("memory.low", "16777216"),
        ("memory.oom.group", "1"),
        ("pids.max", "20"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "100"),
        ("cpuset.cpus", "0"),
    ];
    for (file, wanted) in files {
        // A kernel without swap has no such file.
        if file != "memory.swap.max" || of.join(file).exists() {
            assert_eq!(read(of.join(file)), wanted, "{file}");
        }
    }
    let weights = [("io.weight", "default 1920"), ("io.bfq.weight", "default 200")];
    assert!(weights.iter().any(|(file, wanted)| {
        fs::read_to_string(of.join(file)).is_ok_and(|text| text.lines().any(|line| line == *wanted))
    }));
    // The shim is beside its containers, and no limit of theirs is its own.
    assert_eq!(read(folder(&node, "i1/_shim/cgroup.procs")), sandbox.shim().to_string());
    container
        .update(&spec::Limits { memory: Some(48 << 20), cpu_shares: Some(2), ..Default::default() })
        .unwrap();
    assert_eq!(
        (read(of.join("memory.max")).as_str(), read(of.join("cpu.weight")).as_str()),
        ("50331648", "1")
    );
    sandbox.remove().await.unwrap();
    assert!(!folder(&node, "i1").exists());
    node.finish().await;
}

/// When its memory is used up all of a container ends, not the process alone that asked last; and it is told as that.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run in the virtual machine, by machine::version_2"]
async fn a_container_without_memory_ends_as_a_whole() {
    let node = Node::new().await.expect("containers run here");
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("dd if=/dev/zero of=/dev/null bs=200M count=1; echo went on; sleep 1000");
    spec.limits.memory = Some(32 << 20);
    let (exit, log) = node.run(&sandbox, spec).await;
    assert!(exit.oom_killed() && exit.signal == Some(9) && !log.contains("went on"), "{exit:?} {log}");
    // What an instance as a whole may have is no limit of its shim's life.
    let mut spec = node.sandbox_spec("i2");
    spec.limits.memory = Some(64 << 20);
    let limited = node.class.create(spec).await.unwrap();
    let (exit, log) = node
        .run(&limited, node.spec("dd if=/dev/zero of=/dev/null bs=300M count=1; echo code $?; exit 9"))
        .await;
    assert!(exit.oom_kills > 0, "{exit:?} {log}");
    let (exit, _) = node.run(&limited, node.spec("exit 3")).await;
    assert_eq!((exit.code, exit.oom_kills), (3, 0));
    sandbox.remove().await.unwrap();
    limited.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run in the virtual machine, by machine::version_2"]
async fn what_is_read_and_written_is_counted() {
    let node = Node::new().await.expect("containers run here");
    let sandbox = node.sandbox("i1").await;
    let script =
        "dd if=/dev/zero of=/file bs=64k count=32 conv=fsync 2>/dev/null; echo written; read x; exit 0";
    let mut spec = node.spec(script);
    spec.stdin = true;
    let container = sandbox.create(id("c"), spec).await.unwrap();
    container.start().await.unwrap();
    until("it has written", || node.log().contains("written")).await;
    let stats = container.stats().unwrap();
    assert!(stats.written_bytes.unwrap() >= 2 << 20, "{stats:?}");
    assert!(
        stats.pids.unwrap() >= 1 && stats.memory_rss.is_some() && stats.oom_kills == Some(0),
        "{stats:?}"
    );
    assert!(sandbox.stats().unwrap().written_bytes.unwrap() >= 2 << 20);
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A container that is let make cgroups may give controllers on, and holds no processes itself then.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run in the virtual machine, by machine::version_2"]
async fn a_container_with_cgroups_of_its_own_is_entered_and_ended() {
    let node = Node::new().await.expect("containers run here");
    let mut spec = node.sandbox_spec("i1");
    spec.user = UserNamespace::Host;
    let sandbox = node.class.create(spec).await.unwrap();
    let mut spec = node.spec(
        "mount -o remount,rw /sys/fs/cgroup && cd /sys/fs/cgroup && mkdir -p init work/deep && echo $$ > init/cgroup.procs && \
         echo +pids > cgroup.subtree_control && ( sleep 1000 & echo $! > work/deep/cgroup.procs ); echo moved; sleep 1000",
    );
    spec.privileged = true;
    let container = sandbox.create(id("c"), spec).await.unwrap();
    container.start().await.unwrap();
    until("it has moved", || node.log().contains("moved")).await;
    assert_eq!(read(folder(&node, "i1/c/cgroup.subtree_control")), "pids", "{}", node.log());
    let args = ["cat", "/proc/self/cgroup"].map(str::to_owned).to_vec();
    let exec = ExecSpec { args, stdout: true, ..ExecSpec::default() };
    let mut process = container.exec(exec).await.unwrap_or_else(|error| panic!("{}", told(&error)));
    let mut out = String::new();
    process.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
    assert_eq!(out, "0::/init\n");
    let exit = container.stop(StopOptions { grace: Duration::ZERO, signal: None });
    let exit = tokio::time::timeout(Duration::from_secs(20), exit).await.expect("it ends").unwrap();
    assert_eq!(exit.signal, Some(9));
    container.delete().await.unwrap();
    assert!(!folder(&node, "i1/c").exists());
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A part of the tree, and who is in it.
struct Part {
    top: PathBuf,
}

impl Part {
    /// A cgroup below the top, to which some controllers are given.
    fn new(name: &str, controllers: &str) -> Self {
        let all = "+cpu +cpuset +io +memory +pids";
        fs::write(Path::new(TREE).join("cgroup.subtree_control"), all).unwrap();
        let top = Path::new(TREE).join(name);
        fs::create_dir(&top).unwrap();
        fs::write(top.join("cgroup.subtree_control"), controllers).unwrap();
        Self { top }
    }

    fn below(&self, name: &str, owner: u32) -> PathBuf {
        let folder = self.top.join(name);
        fs::create_dir(&folder).unwrap();
        // What delegating is: these files, and no others.
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(folder.join(file), Some(owner), Some(owner)).unwrap();
        }
        folder
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut folders = vec![self.top.clone()];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
            folders.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        for folder in folders.iter().rev() {
            drop(fs::write(folder.join("cgroup.kill"), "1"));
            for _ in 0..100 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Runs one of the tests below as a process in a cgroup: as the root of its own view of the tree, or as a user of the
/// node's.
fn as_another(test: &str, cgroup: &Path, user: Option<u32>) {
    let cgroup = cgroup.to_owned();
    let dir = tempfile::tempdir().unwrap();
    chown(dir.path(), user, user).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]).env("TMPDIR", dir.path()).current_dir("/");
    let prepare = move || -> io::Result<()> {
        use nix::sched::{CloneFlags, unshare};
        use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
        fs::write(cgroup.join("cgroup.procs"), "0")?;
        if let Some(user) = user {
            nix::unistd::setgroups(&[])?;
            nix::unistd::setgid(user.into())?;
            nix::unistd::setuid(user.into())?;
            return Ok(());
        }
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        unmount(TREE, UnmountFlags::DETACH)?;
        mount("cgroup2", TREE, "cgroup2", MountFlags::empty(), None)?;
        Ok(())
    };
    #[expect(unsafe_code, reason = "what a child does before it executes its program is unsafe")]
    // SAFETY: it allocates, which the C library allows after a fork, and takes no lock that another thread may hold.
    unsafe {
        command.pre_exec(prepare);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{test}");
}

/// Limits of memory and processes, an end for want of memory, a freezer and usage.
async fn is_limited(node: &Node, sandbox: &Arc<dyn Sandbox>) {
    let mut spec = node.spec("exec dd if=/dev/zero of=/dev/null bs=200M count=1");
    spec.limits.memory = Some(32 << 20);
    let (exit, log) = node.run(sandbox, spec).await;
    assert!(exit.oom_killed(), "{exit:?} {log}");
    let mut spec = node.spec("for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo all; sleep 100");
    spec.limits.pids = Some(5);
    let (_, log) = node.run(sandbox, spec).await;
    assert!(log.contains("can't fork") && !log.contains("all"), "{log}");
    let container = sandbox.create(id("c"), node.spec("echo up; exec sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    assert!(container.stats().unwrap().memory.is_some());
    container.pause(true).await.unwrap();
    container.pause(false).await.unwrap();
    let args = ["cat", "/proc/self/cgroup"].map(str::to_owned).to_vec();
    let process = container.exec(ExecSpec { args, stdout: true, ..ExecSpec::default() }).await.unwrap();
    assert_eq!(process.wait().await.unwrap().code, 0);
    container.delete().await.unwrap();
}

/// As in a container of Docker's with a cgroup namespace: its processes are in the top of what it sees.
#[test]
#[ignore = "is run in the virtual machine, by machine::version_2"]
fn as_root_of_a_part() {
    let part = Part::new("box-all", "+cpu +cpuset +io +memory +pids");
    as_another("unified::inner_as_root_of_a_part", &part.below("box", 0), None);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test above, in a cgroup"]
async fn inner_as_root_of_a_part() {
    assert_eq!(read("/proc/self/cgroup"), "0::/");
    let node = Node::new().await.expect("containers run here");
    has_all_limits(&node);
    // It made way for what it gives on.
    assert_eq!(read("/proc/self/cgroup"), "0::/agent");
    let sandbox = node.sandbox("i1").await;
    is_limited(&node, &sandbox).await;
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// Somebody gives two controllers and no others.
#[test]
#[ignore = "is run in the virtual machine, by machine::version_2"]
fn with_some_controllers() {
    let part = Part::new("box-some", "+cpu +pids");
    as_another("unified::inner_with_some_controllers", &part.below("box", 0), None);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test above, in a cgroup"]
async fn inner_with_some_controllers() {
    let node = Node::new().await.expect("containers run here");
    let report = node.class.report();
    assert_eq!(report.cgroups, CgroupVersion::V2);
    for ability in [Ability::CpuLimits, Ability::PidsLimits, Ability::Freezer] {
        assert!(report.has(ability), "{report:?}");
    }
    for (ability, controller) in [(Ability::MemoryLimits, "memory"), (Ability::IoWeights, "io")] {
        let why = report.missing.iter().find(|reason| reason.ability == ability).expect("it is missing");
        let why = why.to_string();
        assert!(why.contains(&format!("has no {controller} controller to give")), "{why}");
    }
    // A limit that there is none of stops no container; the others hold.
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo all; sleep 100");
    (spec.limits.pids, spec.limits.memory) = (Some(5), Some(32 << 20));
    let (_, log) = node.run(&sandbox, spec).await;
    assert!(log.contains("can't fork") && !log.contains("all"), "{log}");
    let container = sandbox.create(id("c"), node.spec("exec sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    let stats = container.stats().unwrap();
    assert!(stats.cpu_ns.is_some() && stats.memory.is_none() && stats.pids == Some(1), "{stats:?}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A cgroup for threads holds no processes below it.
#[test]
#[ignore = "is run in the virtual machine, by machine::version_2"]
fn among_threads() {
    let part = Part::new("box-threads", "");
    let folder = part.below("box", 0);
    fs::write(folder.join("cgroup.type"), "threaded").unwrap();
    as_another("unified::inner_among_threads", &folder, None);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test above, in a cgroup"]
async fn inner_among_threads() {
    let node = Node::new().await.expect("containers run here");
    let report = node.class.report();
    assert_eq!(report.cgroups, CgroupVersion::None);
    let why = report.missing.iter().find(|reason| reason.ability == Ability::MemoryLimits).unwrap();
    assert!(why.to_string().contains("hold threads, not processes"), "{why}");
    let sandbox = node.sandbox("i1").await;
    let (exit, log) = node.run(&sandbox, node.spec("echo ran; exit 4")).await;
    assert_eq!((exit.code, log.as_str()), (4, "stdout F ran\n"));
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// As systemd gives a user the cgroup of a service.
#[test]
#[ignore = "is run in the virtual machine, by machine::version_2"]
fn as_somebody_with_a_cgroup() {
    let part = Part::new("user", "+cpu +memory +pids");
    as_another(
        "unified::inner_as_somebody_with_a_cgroup",
        &part.below("agent.service", SOMEBODY),
        Some(SOMEBODY),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test above, in a cgroup"]
async fn inner_as_somebody_with_a_cgroup() {
    let node = Node::new().await.expect("containers run here");
    let report = node.class.report();
    assert!(report.rootless);
    assert_eq!(report.cgroups, CgroupVersion::V2, "{:?}", report.missing);
    for ability in [Ability::CpuLimits, Ability::MemoryLimits, Ability::PidsLimits, Ability::Freezer] {
        assert!(report.has(ability), "{:?}", report.missing);
    }
    let why = report.missing.iter().find(|reason| reason.ability == Ability::IoWeights).unwrap().to_string();
    assert!(why.contains("io controller"), "{why}");
    assert_eq!(read("/proc/self/cgroup"), "0::/user/agent.service/agent");
    let sandbox = node.sandbox("i1").await;
    is_limited(&node, &sandbox).await;
    let stays = sandbox.create(id("stays"), node.spec("exec sleep 1000")).await.unwrap();
    stays.start().await.unwrap();
    drop(stays);
    drop(sandbox);
    // The next agent begins where this one went, and finds them.
    let class = Node::open(node.dir.path(), &node.cgroup).await;
    let adopted = class.adopt().await.unwrap();
    let sandbox = adopted.sandboxes.into_iter().next().unwrap();
    let stays = sandbox.container(&id("stays")).unwrap();
    assert_eq!((stays.state().phase, stays.stats().unwrap().pids), (Phase::Running, Some(1)));
    sandbox.remove().await.unwrap();
    let left: Vec<_> = fs::read_dir(Path::new(TREE).join("user/agent.service"))
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()))
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
    node.finish().await;
}
