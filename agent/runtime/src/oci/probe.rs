//! Finding out what this node can do, by trying.

use super::OciOptions;
use super::node::Node;
use super::spawn::Program;
use crate::cgroup::Cgroups;
use crate::error::{RuntimeError, io_error};
use crate::report::{Ability, CgroupVersion, Reason, Report};
use crate::spec::capabilities;
use hypermesh_shim::probe::{BUILD, PROBE, Probed};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Tries everything once.
pub(super) async fn probe(options: OciOptions) -> Result<Node, RuntimeError> {
    let rootless = !rustix::process::geteuid().is_root();
    let mut missing = Vec::new();
    let mut miss = |ability, why: String| missing.push(Reason { ability, why });
    let (program, told) = match options.shim.clone() {
        Some((path, arguments)) => {
            let program = Program::named(path, arguments);
            let told = ask(&program, &options.root).await;
            (program, told)
        }
        None => match small(&options.root).await {
            Ok((program, probed)) => (program, Ok(probed)),
            Err(why) => {
                miss(
                    Ability::SmallShims,
                    format!("{why}; each is the agent's own program, and takes more memory"),
                );
                let program = Program::own();
                let told = ask(&program, &options.root).await;
                (program, told)
            }
        },
    };
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
        }
        Err(why) => miss(Ability::Containers, format!("a shim could not be started: {why}")),
    }
    let mut cgroups = Cgroups::find(&options.cgroup).map_err(io_error("reading", "/proc/self/mountinfo"))?;
    if let Err(why) = can_use(&cgroups) {
        cgroups = cgroups.without();
        for ability in LIMITS.map(|(ability, _)| ability) {
            miss(ability, why.clone());
        }
    } else {
        for (ability, controllers) in LIMITS {
            if !controllers.iter().any(|controller| cgroups.has(controller)) {
                let why = format!(
                    "the kernel's {} controller is not mounted or not enabled",
                    controllers.join(" or ")
                );
                miss(ability, why);
            }
        }
    }
    let report = Report { rootless, cgroups: cgroups.version, missing };
    let bounding = bounding().map_err(io_error("reading", "/proc/self/status"))?;
    Ok(Node { options, cgroups, report, program, bounding, known: Default::default() })
}

/// What a program says that it could do as a shim.
async fn ask(program: &Program, root: &Path) -> Result<Probed, String> {
    let said = program.say(&[PROBE.into(), root.as_os_str().to_owned()]).await;
    let said = said.map_err(|error| error.to_string())?;
    serde_json::from_str(&said).map_err(|error| format!("the shim said {said:?} ({error})"))
}

/// The shim that lies beside this program, if it is of the same build.
async fn small(root: &Path) -> Result<(Program, Probed), String> {
    let path = Program::beside().map_err(|error| format!("/proc/self/exe could not be read ({error})"))?;
    if !path.is_file() {
        return Err(format!("there is no {}", path.display()));
    }
    let program = Program::named(path.clone(), Vec::new());
    let probed = ask(&program, root).await.map_err(|why| format!("{}: {why}", path.display()))?;
    if probed.build != BUILD {
        let found = if probed.build.is_empty() { "an earlier build" } else { probed.build.as_str() };
        return Err(format!(
            "{} is {found}, and the agent is {BUILD}: install both together",
            path.display()
        ));
    }
    Ok((program, probed))
}

/// What takes which controllers, either version's.
const LIMITS: [(Ability, &[&str]); 5] = [
    (Ability::CpuLimits, &["cpu"]),
    (Ability::MemoryLimits, &["memory"]),
    (Ability::PidsLimits, &["pids"]),
    (Ability::IoWeights, &["io", "blkio"]),
    (Ability::Freezer, &["freezer"]),
];

/// Whether this user may make cgroups: one is made, and removed.
fn can_use(cgroups: &Cgroups) -> Result<(), String> {
    if cgroups.version == CgroupVersion::None {
        return Err("no cgroup file system is mounted".to_owned());
    }
    let path = cgroups.path(&["_probe"]);
    let made = cgroups.make(&path);
    for folder in cgroups.all_folders(&path) {
        // Its parent stays: it is everybody's.
        drop(fs::remove_dir(folder));
    }
    made.map_err(|error| {
        format!(
            "cgroups below {} cannot be made ({error}); root can, or whom root delegates one to",
            parent(&path).display()
        )
    })
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// The capabilities that this process could ever give.
fn bounding() -> std::io::Result<BTreeSet<String>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    Ok(capabilities::of_mask(mask))
}
