//! The whole life of `/bin/true` in a container, beside crun's and runc's of the same bundle.
//!
//! All of them without a user namespace and without a filter, in a mount namespace from which a version 2 of cgroups
//! beside version 1 is removed, since Debian's crun refuses both at once. The peers' bundles have no cgroup namespace and
//! no view of cgroups: ours mount one, and pay for it.
//!
//! Ours is measured twice: a container in an instance whose shim is there, as a restart or a job's next container is, and
//! an instance with all of it, shim included, which is what the peers do.

use crate::Scale;
use crate::account::{median, own_time, pss_mib, ticks};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use hypermesh_e2e::figures::{Figure, Table, Unit};
use hypermesh_runtime::oci::{self, OciOptions};
use hypermesh_runtime::spec::build::{Context as Found, build};
use hypermesh_runtime::spec::{ContainerSpec, Limits, Seccomp};
use hypermesh_runtime::{
    CgroupVersion, ContainerId, InstanceId, Network, Root, RuntimeClass, Sandbox, SandboxSpec, UserNamespace,
};
use nix::mount::{MntFlags, MsFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where everybody's cgroups are.
const CGROUP: &str = "/hypermesh-bench";
/// Shims beside which a shim's memory is read.
const OTHERS: usize = 10;
/// A shim lets go of what beginning took when it has had nothing to do for a second.
const SETTLE: Duration = Duration::from_millis(1_500);

/// The shim that an agent executes where it lies beside it.
const SMALL: &str = "hypermesh-shim";
const PEERS: [&str; 2] = ["crun", "runc"];
const WITHIN: &str = "a container in an instance that is there";
const WHOLE: &str = "an instance with its container";
const USUAL: &str = "the same with user namespace and filter";

/// What some lives took.
#[derive(Clone, Debug, Default)]
struct Lives {
    wall: Vec<f64>,
    cpu: Duration,
}

impl Lives {
    fn add(&mut self, wall: Duration, cpu: Duration) {
        self.wall.push(wall.as_secs_f64() * 1e3);
        self.cpu += cpu;
    }

    fn median(&self) -> f64 {
        median(self.wall.clone())
    }

    fn least(&self) -> f64 {
        self.wall.iter().copied().reduce(f64::min).unwrap_or_default()
    }

    /// A life's, in milliseconds.
    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e3 / self.wall.len().max(1) as f64
    }
}

/// Takes them.
pub fn measure(nexusctl: &Path, scratch: &Path, scale: &Scale, table: &mut Table) -> Result<()> {
    let missing = ["/bin/busybox", "/bin/true"].into_iter().find(|path| !Path::new(path).exists());
    if let Some(path) = missing {
        println!("lives        left out: there is no {path}");
        return Ok(());
    }
    let (nexusctl, dir, rounds) = (nexusctl.to_owned(), scratch.join("lives"), scale.lives);
    // A mount namespace is a thread's own, and of those that it begins.
    let apart = std::thread::spawn(move || -> Result<Taken> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        nix::mount::mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_PRIVATE | MsFlags::MS_REC,
            None::<&str>,
        )?;
        // Not there on most machines.
        let _ = nix::mount::umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(live(&nexusctl, &dir, rounds))
    });
    let found = apart.join().map_err(|_| anyhow!("the lives ended by a panic"))??;
    found.show(table);
    Ok(())
}

/// What was found.
struct Taken {
    lives: BTreeMap<&'static str, Lives>,
    /// A shim's memory, alone and as one of several, by which program it is.
    shims: Vec<(String, f64, f64)>,
}

impl Taken {
    fn show(&self, table: &mut Table) {
        let of = |name: &str| self.lives.get(name);
        let peers = PEERS.map(|peer| (peer, of(peer)));
        let runc = of("runc").map(Lives::median);
        for name in [WITHIN, WHOLE, USUAL] {
            let Some(lives) = of(name) else { continue };
            let mut wall = Figure::new(format!("{name}: median"), Unit::Millis, lives.median());
            let mut least = Figure::new(format!("{name}: fastest"), Unit::Millis, lives.least());
            let mut cpu = Figure::new(format!("{name}: CPU"), Unit::CpuMillis, lives.cpu());
            // The peers were given neither.
            for (peer, there) in peers.iter().filter(|_| name != USUAL) {
                wall = wall.beside(peer, there.map(Lives::median));
                least = least.beside(peer, there.map(Lives::least));
                cpu = cpu.beside(peer, there.map(Lives::cpu));
            }
            if let Some(runc) = runc.filter(|_| name != USUAL) {
                wall = wall.target(runc);
            }
            table.push(wall);
            table.push(least);
            table.push(cpu);
        }
        for (program, alone, among) in &self.shims {
            let what = format!("shim ({program})");
            let alone = Figure::new(format!("{what}, alone, PSS"), Unit::Mib, *alone);
            let among = Figure::new(format!("{what}, one of {}, PSS", OTHERS + 1), Unit::Mib, *among);
            // What an agent falls back to is held to nothing.
            for figure in [alone, among] {
                table.push(if program == SMALL { figure.target(4.0) } else { figure });
            }
        }
    }
}

async fn live(nexusctl: &Path, dir: &Path, rounds: usize) -> Result<Taken> {
    let root = root(dir)?;
    let small = nexusctl.with_file_name(SMALL);
    ensure!(small.is_file(), "there is no {}: build it first", small.display());
    let class = open(dir, "instances", Some((small.clone(), Vec::new()))).await?;
    let mut peers = Vec::new();
    for peer in PEERS {
        match bundle(peer, dir, &class).and_then(|()| peer_life(peer, dir)) {
            Ok(_) => peers.push(peer),
            Err(why) => println!("{peer:<12} left out: {why:#}"),
        }
    }
    let mut lives: BTreeMap<&'static str, Lives> = BTreeMap::new();
    let shared = class.create(sandbox("shared", UserNamespace::Host)?).await?;
    for _ in 0..rounds {
        for peer in &peers {
            let (wall, cpu) = peer_life(peer, dir)?;
            lives.entry(peer).or_default().add(wall, cpu);
        }
        within(&shared, &root, lives.entry(WITHIN).or_default()).await?;
        let plain = spec(&root);
        whole(&class, "own", UserNamespace::Host, plain, lives.entry(WHOLE).or_default()).await?;
        let usual = ContainerSpec { seccomp: Seccomp::RuntimeDefault, ..spec(&root) };
        whole(&class, "mapped", UserNamespace::Auto, usual, lives.entry(USUAL).or_default()).await?;
    }
    // What the shim itself took is counted in hundredths of a second: it is read once, at the end.
    let shim = ticks(shared.shim().cast_unsigned())?;
    lives.entry(WITHIN).or_default().cpu += shim.own + shim.waited;
    shared.remove().await?;
    let mut shims = vec![memory(SMALL, &class, &root).await?];
    class.sweep(&BTreeSet::new()).await?;
    let own = open(dir, "instances-of-own", Some((nexusctl.to_owned(), vec!["shim".into()]))).await?;
    shims.push(memory("nexusctl shim", &own, &root).await?);
    own.sweep(&BTreeSet::new()).await?;
    clear_cgroups();
    Ok(Taken { lives, shims })
}

async fn open(
    dir: &Path,
    folder: &str,
    shim: Option<(PathBuf, Vec<std::ffi::OsString>)>,
) -> Result<Arc<dyn RuntimeClass>> {
    let mut options = OciOptions::new(dir.join(folder));
    options.shim = shim;
    options.cgroup = PathBuf::from(CGROUP);
    Ok(oci::open(options).await?)
}

/// A root file system of Debian's static busybox.
fn root(dir: &Path) -> Result<PathBuf> {
    let root = dir.join("root");
    for folder in ["bin", "proc", "dev", "sys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("copying busybox")?;
    for name in ["true", "sleep"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
    }
    Ok(root)
}

/// A container in an instance that is there. The shim's own time is added by who knows it.
async fn within(shared: &Arc<dyn Sandbox>, root: &Path, lives: &mut Lives) -> Result<()> {
    let (before, _) = own_time()?;
    let begin = Instant::now();
    one_life(shared, spec(root)).await?;
    let wall = begin.elapsed();
    lives.add(wall, own_time()?.0.saturating_sub(before));
    Ok(())
}

/// An instance and all of it.
async fn whole(
    class: &Arc<dyn RuntimeClass>,
    name: &str,
    user: UserNamespace,
    spec: ContainerSpec,
    lives: &mut Lives,
) -> Result<()> {
    let before = own_time()?;
    let begin = Instant::now();
    let own = class.create(sandbox(name, user)?).await?;
    let shim = own.shim();
    one_life(&own, spec).await?;
    own.remove().await?;
    let wall = begin.elapsed();
    // Its shim is this process' child, and is counted when it was waited for.
    let gone = Instant::now();
    while Path::new(&format!("/proc/{shim}")).exists() {
        ensure!(gone.elapsed() < Duration::from_secs(5), "the shim {shim} is not waited for");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let after = own_time()?;
    lives.add(wall, after.0.saturating_sub(before.0) + after.1.saturating_sub(before.1));
    Ok(())
}

async fn one_life(sandbox: &Arc<dyn Sandbox>, spec: ContainerSpec) -> Result<()> {
    let container = sandbox.create(ContainerId::new("c")?, spec).await?;
    container.start().await?;
    let exit = container.wait().await?;
    ensure!(exit.success(), "/bin/true ended with {exit:?}");
    Ok(container.delete().await?)
}

/// What a shim with a container takes, alone and beside others that share its pages.
async fn memory(name: &str, class: &Arc<dyn RuntimeClass>, root: &Path) -> Result<(String, f64, f64)> {
    let spec = ContainerSpec { args: vec!["/bin/sleep".to_owned(), "1000".to_owned()], ..spec(root) };
    let mut sandboxes = Vec::new();
    let mut alone = None;
    for number in 0..=OTHERS {
        let sandbox = class.create(sandbox(&format!("m{number}"), UserNamespace::Host)?).await?;
        let container = sandbox.create(ContainerId::new("c")?, spec.clone()).await?;
        container.start().await?;
        if alone.is_none() {
            tokio::time::sleep(SETTLE).await;
            alone = Some(pss_mib(sandbox.shim().cast_unsigned())?);
        }
        sandboxes.push(sandbox);
    }
    tokio::time::sleep(SETTLE).await;
    let shares = sandboxes.iter().map(|sandbox| pss_mib(sandbox.shim().cast_unsigned()));
    let among = median(shares.collect::<Result<_>>()?);
    for sandbox in sandboxes {
        sandbox.remove().await?;
    }
    Ok((name.to_owned(), alone.unwrap_or_default(), among))
}

fn spec(root: &Path) -> ContainerSpec {
    ContainerSpec {
        args: vec!["/bin/true".to_owned()],
        root: Root::Folder { path: root.to_owned(), read_only: false },
        seccomp: Seccomp::Unconfined,
        ..ContainerSpec::default()
    }
}

fn sandbox(name: &str, user: UserNamespace) -> Result<SandboxSpec> {
    Ok(SandboxSpec {
        instance: InstanceId::new(name)?,
        hostname: "bench".to_owned(),
        network: Network::Own,
        user,
        host_ipc: false,
        limits: Limits::default(),
        sysctls: BTreeMap::new(),
        annotations: BTreeMap::new(),
    })
}

/// Writes a peer's bundle.
fn bundle(peer: &str, dir: &Path, class: &Arc<dyn RuntimeClass>) -> Result<()> {
    let cgroup = Path::new(CGROUP).join(peer);
    let capabilities = BTreeSet::from(["CHOWN", "KILL"].map(str::to_owned));
    let version = class.report().cgroups;
    let found = Found {
        user: None,
        host_network: false,
        owns_network: true,
        host_ipc: false,
        cgroups: if version == CgroupVersion::V1 { CgroupVersion::None } else { version },
        cgroup: &cgroup,
        cgroup_views: &[],
        capabilities: &capabilities,
        rootless: false,
    };
    let root = dir.join("root");
    let mut built = build(&spec(&root), &found)?;
    built.spec.root_mut().as_mut().context("the bundle has no root")?.set_path(root);
    let bundle = dir.join(peer);
    fs::create_dir_all(&bundle)?;
    Ok(fs::write(bundle.join("config.json"), serde_json::to_vec(&built.spec)?)?)
}

/// A peer does all of it by one command, which waits for the container's end.
fn peer_life(peer: &str, dir: &Path) -> Result<(Duration, Duration)> {
    let mut command = Command::new(peer);
    command.arg("--root").arg(dir.join(format!("{peer}-state")));
    command.args(["run", "--bundle"]).arg(dir.join(peer)).arg(format!("bench-{peer}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (_, before) = own_time()?;
    let begin = Instant::now();
    let output = command.output()?;
    let wall = begin.elapsed();
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok((wall, own_time()?.1.saturating_sub(before)))
}

/// Everybody's cgroups, which are empty by now.
fn clear_cgroups() {
    let own = CGROUP.trim_start_matches('/');
    let trees = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|tree| tree.path());
    for tree in trees.chain([PathBuf::from("/sys/fs/cgroup")]) {
        for below in PEERS {
            let _ = fs::remove_dir(tree.join(own).join(below));
        }
        let _ = fs::remove_dir(tree.join(own));
    }
}
