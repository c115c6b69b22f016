//! Finding out what this node can do, by trying.

use super::OciOptions;
use super::node::Node;
use super::spawn::Program;
use crate::cgroup::Cgroups;
use crate::error::{RuntimeError, io_error};
use crate::report::{Ability, Reason, Report};
use crate::spec::capabilities;
use hypermesh_shim::probe::{BUILD, PROBE, Probed};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Tries everything once.
pub(super) async fn probe(options: OciOptions) -> Result<Node, RuntimeError> {
    let rootless = !rustix::process::geteuid().is_root();
    let mut missing = Vec::new();
    let mut found = Cgroups::find(&options.cgroup).map_err(io_error("reading", "/proc/self/mountinfo"))?;
    // Another agent of this node may try at the same time.
    let name = format!("_probe-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let settled = found.settle(&name);
    let path = found.path(&[&name]);
    let folders = if settled.is_ok() { found.all_folders(&path) } else { Vec::new() };
    let mut miss = |ability, why: String| missing.push(Reason { ability, why });
    let (program, told) = match options.shim.clone() {
        Some((path, arguments)) => {
            let program = Program::named(path, arguments);
            let told = ask(&program, &options.root, &folders).await;
            (program, told)
        }
        None => match small(&options.root, &folders).await {
            Ok((program, probed)) => (program, Ok(probed)),
            Err(why) => {
                miss(
                    Ability::SmallShims,
                    format!("{why}; each is the agent's own program, and takes more memory"),
                );
                let program = Program::own();
                let told = ask(&program, &options.root, &folders).await;
                (program, told)
            }
        },
    };
    let mut joined = Ok(());
    match told {
        Ok(probed) => {
            for (ability, tried) in [
                (Ability::Containers, probed.containers),
                (Ability::UserNamespace, probed.user_namespace),
                (Ability::IdMappedMounts, probed.mapped_mounts),
                (Ability::Seccomp, probed.seccomp),
                (Ability::LowerOomScore, probed.lower_oom_score),
            ] {
                if let Err(why) = tried {
                    miss(ability, why);
                }
            }
            joined = probed.cgroups;
        }
        Err(why) => miss(Ability::Containers, format!("a shim could not be started: {why}")),
    }
    let weighs = found.weighs_io(&path);
    remove(&folders).await;
    let cgroups = match settled.and_then(|refused| joined.map(|()| refused)) {
        Ok(refused) => {
            missing.extend(limits(&found, &refused, weighs));
            found
        }
        Err(why) => {
            missing.extend(LIMITS.map(|(ability, _)| Reason { ability, why: why.clone() }));
            found.without()
        }
    };
    let report = Report { rootless, cgroups: cgroups.version, missing };
    let bounding = bounding().map_err(io_error("reading", "/proc/self/status"))?;
    let (filters, known) = Default::default();
    Ok(Node { options, cgroups, report, program, filters, bounding, known })
}

/// What a program says that it could do as a shim, in these cgroups.
async fn ask(program: &Program, root: &Path, cgroups: &[PathBuf]) -> Result<Probed, String> {
    let mut arguments: Vec<OsString> = vec![PROBE.into(), root.into()];
    arguments.extend(cgroups.iter().map(OsString::from));
    let said = program.say(&arguments).await;
    let said = said.map_err(|error| error.to_string())?;
    serde_json::from_str(&said).map_err(|error| format!("the shim said {said:?} ({error})"))
}

/// The shim that lies beside this program, if it is of the same build.
async fn small(root: &Path, cgroups: &[PathBuf]) -> Result<(Program, Probed), String> {
    let path = Program::beside().map_err(|error| format!("/proc/self/exe could not be read ({error})"))?;
    if !path.is_file() {
        return Err(format!("there is no {}", path.display()));
    }
    let program = Program::named(path.clone(), Vec::new());
    let probed = ask(&program, root, cgroups).await.map_err(|why| format!("{}: {why}", path.display()))?;
    if probed.build != BUILD {
        let found = if probed.build.is_empty() { "an earlier build" } else { probed.build.as_str() };
        return Err(format!(
            "{} is {found}, and the agent is {BUILD}: install both together",
            path.display()
        ));
    }
    Ok((program, probed))
}

/// Which limits there are none of, and why.
fn limits(cgroups: &Cgroups, refused: &BTreeMap<String, String>, weighs: bool) -> Vec<Reason> {
    let mut missing = Vec::new();
    for (ability, controllers) in LIMITS {
        let names = controllers.join(" or ");
        if !controllers.iter().any(|controller| cgroups.has(controller)) {
            let why = controllers.iter().find_map(|controller| refused.get(*controller)).cloned();
            let why = why
                .unwrap_or_else(|| format!("the kernel's {names} controller is not mounted or not enabled"));
            missing.push(Reason { ability, why });
        } else if ability == Ability::IoWeights && !weighs {
            let why = "no weight can be set: the kernel has neither the io.cost model nor the BFQ scheduler";
            missing.push(Reason { ability, why: why.to_owned() });
        }
    }
    missing
}

/// Removes the cgroups that were tried. Whoever tried to enter them has ended, which the kernel may notice a little later.
async fn remove(folders: &[PathBuf]) {
    let mut wait = Duration::from_micros(100);
    for _ in 0..15 {
        let failed = folders.iter().filter_map(|folder| fs::remove_dir(folder).err());
        if failed.filter(|error| error.kind() != ErrorKind::NotFound).count() == 0 {
            return;
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}

/// What tells the cgroups apart that one process tries.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What takes which controllers, either version's.
const LIMITS: [(Ability, &[&str]); 5] = [
    (Ability::CpuLimits, &["cpu"]),
    (Ability::MemoryLimits, &["memory"]),
    (Ability::PidsLimits, &["pids"]),
    (Ability::IoWeights, &["io", "blkio"]),
    (Ability::Freezer, &["freezer"]),
];

/// The capabilities that this process could ever give.
fn bounding() -> std::io::Result<BTreeSet<String>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    Ok(capabilities::of_mask(mask))
}
