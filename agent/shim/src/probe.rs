//! What this node lets a shim do, found out by doing it: in a process of its own, which ends with it.

use crate::namespaces::{Namespaces, Stage, become_root_of_ones_own};
use crate::protocol::{IdMap, IdMaps, InstanceId, Network, SandboxConfig};
use crate::stage;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::Path;

/// What a shim is asked with, before the folder of Instances and cgroups to enter, to tell what it could do.
pub const PROBE: &str = "--probe";

/// Which build of the shim this is: its version, and a hash of its sources. Who starts a shim from another file than its
/// own compares them.
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("HYPERMESH_SHIM_SOURCES"));

/// What was tried, and why it did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// [`BUILD`] of who tried it.
    #[serde(default)]
    pub build: String,
    /// Namespaces and mounts.
    pub containers: Result<(), String>,
    /// A user namespace with 65536 users.
    pub user_namespace: Result<(), String>,
    /// Files of the folder, and files in memory, as another user's.
    pub mapped_mounts: Result<(), String>,
    /// Filters of system calls.
    pub seccomp: Result<(), String>,
    /// An OOM score below this process' own.
    pub lower_oom_score: Result<(), String>,
    /// Entering cgroups.
    #[serde(default = "untried")]
    pub cgroups: Result<(), String>,
}

fn untried() -> Result<(), String> {
    Ok(())
}

/// Why volumes that hold secrets could not be shown to a user namespace: they lie in memory.
const IN_MEMORY: &str = "this kernel cannot show files in memory (tmpfs) as another user's; Linux 6.3 can";

/// Tries all of it. Changes this process, which must end then.
pub(crate) fn probe(folder: &Path, cgroups: &[OsString]) -> Probed {
    let cgroups = cgroups.iter().try_for_each(|cgroup| crate::join::join(Path::new(cgroup)));
    let map = vec![IdMap { inside: 0, outside: 0x7000_0000, count: 65_536 }];
    let config = |user| {
        Ok::<_, String>(SandboxConfig {
            instance: InstanceId::new("probe").map_err(|error| error.to_string())?,
            hostname: "probe".to_owned(),
            network: Network::Own,
            user,
            host_ipc: false,
            shim_cgroups: Vec::new(),
        })
    };
    let rootless = !nix::unistd::geteuid().is_root();
    let own = become_root_of_ones_own();
    let make = |user| config(user).and_then(|config| Namespaces::make(&config));
    let user = if rootless {
        Err(match &own {
            Ok((count, Ok(()))) => {
                format!(
                    "without root all instances share the {count} users that /etc/subuid gives the agent's own"
                )
            }
            Ok((_, Err(why))) => {
                format!("without root all instances have one user, who is the agent's, since {why}")
            }
            Err(why) => why.clone(),
        })
    } else {
        make(Some(IdMaps { users: map.clone(), groups: map }))
    };
    let alone = own.and_then(|_| make(None).map(drop));
    let stage = alone.and_then(|()| Stage::make(folder));
    let mapped_mounts = match &user {
        Ok(namespaces) => {
            let user = namespaces.user.as_ref();
            let in_memory = stage.as_ref().map_or(Ok(()), |stage| stage::try_mapped(&stage.shm(), user));
            stage::try_mapped(folder, user).and(in_memory.map_err(|_| IN_MEMORY.to_owned()))
        }
        Err(_) => Err("there are no user namespaces to map to".to_owned()),
    };
    let containers = stage.map(drop);
    let seccomp = match rustix::thread::secure_computing_mode() {
        Ok(_) => Ok(()),
        Err(errno) => Err(format!("the kernel was built without it ({errno})")),
    };
    let lower_oom_score = std::fs::write("/proc/self/oom_score_adj", "-999")
        .map_err(|error| format!("the OOM score could not be lowered ({error}); CAP_SYS_RESOURCE allows it"));
    let build = BUILD.to_owned();
    Probed {
        build,
        containers,
        user_namespace: user.map(drop),
        mapped_mounts,
        seccomp,
        lower_oom_score,
        cgroups,
    }
}
