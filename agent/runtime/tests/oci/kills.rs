//! Agents, shims and what they fork, killed at random points of an instance's life: when somebody has cleared away, nothing
//! is left, and what is wanted runs.
//!
//! The seed is printed; `HYPERMESH_SEED` repeats it, as far as the kernel's own timing lets it. `HYPERMESH_KILLS` is how
//! often is killed.

use crate::harness::*;
use hypermesh_runtime::*;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// The folder that an agent of these tests works in, and its cgroup.
const FOLDER: &str = "HYPERMESH_TEST_FOLDER";
const CGROUP: &str = "HYPERMESH_TEST_CGROUP";

/// What is in the environment of every container here, with the test's folder.
const MARK: &str = "HYPERMESH_TEST_MARK";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Marsaglia's xorshift: as much chance as is needed, and repeatable.
struct Chance(u64);

impl Chance {
    fn begin() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = number("HYPERMESH_SEED").unwrap_or_else(|| u64::from(now.subsec_nanos()) | 1).max(1);
        println!("HYPERMESH_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn wait(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap()))
    }
}

/// Processes of containers that bear the mark of a folder, and of shims that name it.
fn processes(folder: &Path) -> Vec<String> {
    let mark = format!("{MARK}={}", folder.display());
    let mut found = processes_of(folder);
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()) {
            found.push(format!("{} (in a container)", entry.file_name().display()));
        }
    }
    found
}

/// What they wait for.
fn waiting(folder: &Path) -> String {
    let mut told = String::new();
    for line in processes(folder) {
        let pid = line.split(' ').next().unwrap_or_default();
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent =
            read("status").lines().find(|line| line.starts_with("PPid:")).unwrap_or_default().to_owned();
        told += &format!("\n{line}, {parent}, in {}, {}", read("wchan"), read("syscall").trim());
    }
    told
}

/// What this process itself holds: descriptors, and mounts of namespaces.
fn held() -> (usize, usize) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    (fs::read_dir("/proc/self/fd").unwrap().count(), mounts.matches(" - nsfs ").count())
}

fn marked(folder: &Path, script: &str) -> ContainerSpec {
    ContainerSpec {
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![format!("{MARK}={}", folder.display())],
        root: Root::Folder { path: folder.join("root"), read_only: false },
        ..ContainerSpec::default()
    }
}

/// A life: made, started, entered, one container of it deleted again.
async fn live(class: &dyn RuntimeClass, folder: &Path, name: &str) -> Result<Arc<dyn Sandbox>, RuntimeError> {
    let sandbox = class.create(sandbox_spec(name)).await?;
    let stays = sandbox.create(id("stays"), marked(folder, "sleep 1000 & exec sleep 1000")).await?;
    stays.start().await?;
    let ends = sandbox.create(id("ends"), marked(folder, "exit 3")).await?;
    ends.start().await?;
    ends.wait().await?;
    let args = ["sh", "-c", "echo in"].map(str::to_owned).to_vec();
    let process = stays.exec(ExecSpec { args, ..ExecSpec::default() }).await?;
    process.wait().await?;
    ends.delete().await?;
    Ok(sandbox)
}

/// What is left of an instance on the node.
fn left(node: &Node, name: &str) -> Vec<PathBuf> {
    let folders = cgroups_of(&format!("{}/{name}", node.cgroup.trim_start_matches('/')));
    folders
        .into_iter()
        .chain(Some(node.dir.path().join("instances").join(name)).filter(|path| path.exists()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn shims_and_their_children_that_are_killed_leave_nothing() {
    let Some(node) = Node::new().await else { return };
    let mut chance = Chance::begin();
    let (mut lost, mut whole) = (0, 0);
    // A compiled filter is kept from the first container on.
    let first = live(node.class.as_ref(), node.dir.path(), "first").await;
    first.unwrap_or_else(|error| panic!("{}", told(&error))).remove().await.unwrap();
    let before = held();
    for round in 0..number("HYPERMESH_KILLS").unwrap_or(100) {
        let name = format!("i{round}");
        let wait = chance.wait(Duration::from_millis(200));
        let pick = chance.below(1 << 20);
        let killing = async {
            tokio::time::sleep(wait).await;
            let there = processes_of(&node.dir.path().join("instances"));
            let pids: Vec<i32> =
                there.iter().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
            let Some(pid) = pids.get(usize::try_from(pick).unwrap() % pids.len().max(1)) else { return };
            // It may have ended since.
            let _ = rustix::process::kill_process(
                rustix::process::Pid::from_raw(*pid).unwrap(),
                rustix::process::Signal::KILL,
            );
        };
        let living =
            tokio::time::timeout(Duration::from_secs(30), live(node.class.as_ref(), node.dir.path(), &name));
        let (lived, ()) = tokio::join!(living, killing);
        let hangs = |_| {
            panic!("{name}, killed after {wait:?}, neither lives nor fails: {}", waiting(node.dir.path()))
        };
        match lived.unwrap_or_else(hangs) {
            Ok(sandbox) => {
                whole += 1;
                sandbox.remove().await.unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
            }
            Err(_) => {
                lost += 1;
                let swept = node.class.sweep(&BTreeSet::new()).await.unwrap();
                assert!(swept.left.is_empty(), "{name}: {swept:?}");
            }
        }
        assert_eq!(left(&node, &name), Vec::<PathBuf>::new(), "killed after {wait:?}");
    }
    println!("{whole} lived, {lost} did not");
    assert!(lost > 0, "nobody was killed in time");
    until("all of their processes are gone", || processes(node.dir.path()).is_empty()).await;
    until("nothing of them is held", || held() <= before).await;
    node.finish().await;
}

/// An agent in a process of its own, which makes instances until it is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is run by the test below, to be killed"]
async fn as_agent() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("it is started by the test below"));
    let cgroup = std::env::var(CGROUP).unwrap();
    let class = Node::open(&folder, &cgroup).await;
    let adopted = class.adopt().await.unwrap();
    let first = number("HYPERMESH_TEST_FIRST").unwrap();
    println!("adopted {}", adopted.sandboxes.len());
    for round in first.. {
        live(class.as_ref(), &folder, &format!("a{round}"))
            .await
            .unwrap_or_else(|error| panic!("{}", told(&error)));
        // What is removed is killed halfway too.
        if round % 2 == 0 {
            let sandbox = class.create(sandbox_spec(&format!("b{round}"))).await.unwrap();
            sandbox.remove().await.unwrap();
        }
    }
}

/// Starts an agent; done when it has begun.
fn start_agent(node: &Node, first: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["kills::as_agent", "--exact", "--ignored", "--nocapture"]);
    command.env(FOLDER, node.dir.path()).env(CGROUP, &node.cgroup);
    command.env("HYPERMESH_TEST_FIRST", first.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut agent = command.spawn().unwrap();
    let said = BufReader::new(agent.stdout.take().unwrap()).lines().find_map(|line| {
        let line = line.unwrap();
        line.contains("adopted").then_some(line)
    });
    assert!(said.is_some(), "the agent ended before it began: {:?}", agent.wait());
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_killed_leave_what_is_wanted_and_nothing_else() {
    let Some(node) = Node::new().await else { return };
    let mut chance = Chance::begin();
    let kills = number("HYPERMESH_KILLS").unwrap_or(100);
    let (mut kept, mut swept_away, mut made) = (BTreeSet::<InstanceId>::new(), 0, 0);
    for kill in 0..kills {
        let mut agent = start_agent(&node, kill * 1000);
        tokio::time::sleep(chance.wait(Duration::from_millis(250))).await;
        agent.kill().unwrap();
        agent.wait().unwrap();
        // The next one finds what is whole, and is told what of it is wanted.
        let class = Node::open(node.dir.path(), &node.cgroup).await;
        let adopted = class.adopt().await.unwrap();
        assert!(
            adopted.lost.is_empty() || adopted.lost.iter().all(|lost| !kept.contains(&lost.spec.instance))
        );
        let mut wanted = BTreeSet::new();
        for sandbox in &adopted.sandboxes {
            let stays = sandbox.container(&id("stays"));
            let runs = stays.is_some_and(|container| container.state().phase == Phase::Running);
            assert!(runs || !kept.contains(sandbox.id()), "{} was wanted, and does not run", sandbox.id());
            made += usize::from(runs);
            if runs && wanted.len() < 3 && chance.below(2) == 0 {
                wanted.insert(sandbox.id().clone());
            }
        }
        let before: BTreeSet<InstanceId> =
            adopted.sandboxes.iter().map(|sandbox| sandbox.id().clone()).collect();
        let swept = class.sweep(&wanted).await.unwrap();
        assert!(swept.left.is_empty(), "{swept:?}");
        swept_away += swept.instances.len();
        for gone in swept.instances.iter().chain(before.difference(&wanted)) {
            assert_eq!(left(&node, gone.as_str()), Vec::<PathBuf>::new());
        }
        let folders: BTreeSet<String> = names(&node.dir.path().join("instances"));
        assert_eq!(folders, wanted.iter().map(|id| id.as_str().to_owned()).collect::<BTreeSet<_>>());
        kept = wanted;
    }
    println!("{made} were found running, {swept_away} were swept away, {} are left", kept.len());
    assert!(made > 0 && swept_away > 0);
    let class = Node::open(node.dir.path(), &node.cgroup).await;
    for sandbox in class.adopt().await.unwrap().sandboxes {
        let stays = sandbox.container(&id("stays")).unwrap();
        let args = ["true".to_owned()].to_vec();
        let process = stays.exec(ExecSpec { args, ..ExecSpec::default() }).await.unwrap();
        assert_eq!(
            process.wait().await.unwrap().code,
            0,
            "{} was wanted, and cannot be entered",
            sandbox.id()
        );
    }
    class.sweep(&BTreeSet::new()).await.unwrap();
    until("all of their processes are gone", || processes(node.dir.path()).is_empty()).await;
    node.finish().await;
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
