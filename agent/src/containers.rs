//! What the runtime is told to run: an instance's container, with everything that it refers to looked up.

use crate::failure::chain;
use crate::settings::{Layout, MOST_PIDS, Policy};
use crate::volumes::Volumes;
use hypermesh_image::{Image, RootFs};
use hypermesh_planner::environment::{Environment, environment};
use hypermesh_planner::user::{ImageUser, RunAs, run_as};
use hypermesh_planner::{ConfigError, Fields, Instance, Sources, oom_score_adjustment};
use hypermesh_runtime::spec::{Limits, Mount, MountSource, ProcMount, Seccomp, User, capability, is_usual};
use hypermesh_runtime::{ContainerSpec, Log, Root};
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::security::{SeccompProfile, SeccompProfileType};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How long a period of CPU time is, in microseconds.
const PERIOD: u64 = 100_000;

/// What a container is made of.
pub(crate) struct Making<'a> {
    pub instance: &'a Instance,
    pub container: &'a Container,
    pub attempt: u32,
    pub image: &'a Image,
    pub image_user: &'a ImageUser,
    pub root: RootFs,
    pub sources: &'a Sources,
    pub fields: &'a Fields,
    /// Variables that every container has.
    pub base: &'a [(String, String)],
    pub volumes: &'a Volumes,
    pub layout: &'a Layout,
    pub policy: &'a Policy,
    pub node_memory: u64,
    pub least_oom_score: i32,
}

/// Why a container is not made: its own fault, in words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    /// Something that it refers to.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that this node does not allow.
    #[error("{0}")]
    Refused(String),
}

/// A run's log.
#[must_use]
pub fn log_path(layout: &Layout, instance: &Instance, container: &str, attempt: u32) -> PathBuf {
    let folder = layout.logs_of(&instance.namespace, &instance.name, &instance.uid);
    folder.join(container).join(format!("{attempt}.log"))
}

/// Files of the instance that the agent writes: `/etc/hosts` and others.
#[must_use]
pub fn etc(layout: &Layout, instance: &Instance) -> PathBuf {
    layout.instance(&instance.uid).join("etc")
}

impl Making<'_> {
    /// The specification.
    ///
    /// # Errors
    /// What is missing or not allowed.
    pub fn spec(self) -> Result<ContainerSpec, NotMade> {
        let (container, execution) = (self.container, &self.image.config.config);
        let security = container.security_context.as_ref();
        let pod_security = self.instance.pod().security_context.as_ref();
        let privileged = security.and_then(|security| security.privileged) == Some(true);
        let user = run_as(container.name.as_str(), pod_security, security, self.image_user)?;
        let variables = environment(self.instance, container, self.base, self.sources, self.fields)?;
        let args = self.command(&variables)?;
        let mut env = execution.env.clone();
        env.extend(variables.lines());
        let adds = |list: fn(&hypermesh_schemas::workload::security::Capabilities) -> &Vec<String>| {
            let capabilities = security.and_then(|security| security.capabilities.as_ref());
            capabilities.map(|capabilities| list(capabilities).iter().cloned().collect()).unwrap_or_default()
        };
        let profile = security
            .and_then(|security| security.seccomp_profile.as_ref())
            .or_else(|| pod_security.and_then(|security| security.seccomp_profile.as_ref()));
        allowed(self.policy, container, profile)?;
        let read_only_root =
            security.and_then(|security| security.read_only_root_filesystem).unwrap_or_default();
        let cwd = container.working_dir.as_ref().map_or(execution.working_dir.as_str(), |dir| dir.as_str());
        let stop_signal = Some(execution.stop_signal.clone()).filter(|signal| !signal.is_empty());
        Ok(ContainerSpec {
            args,
            env,
            cwd: PathBuf::from(if cwd.is_empty() { "/" } else { cwd }),
            user: numbers(&user),
            read_only_root,
            mounts: self.mounts(read_only_root)?,
            capabilities_add: adds(|capabilities| &capabilities.add),
            capabilities_drop: adds(|capabilities| &capabilities.drop),
            privileged,
            no_new_privileges: security.and_then(|security| security.allow_privilege_escalation)
                == Some(false),
            seccomp: self.seccomp(profile)?,
            limits: limits(container, self.policy.pids),
            devices: Vec::new(),
            proc_mount: ProcMount::Default,
            rlimits: std::collections::BTreeMap::new(),
            oom_score_adj: Some(
                oom_score_adjustment(self.instance.pod(), container, self.node_memory)
                    .max(self.least_oom_score),
            ),
            sysctls: std::collections::BTreeMap::new(),
            terminal: container.tty.unwrap_or_default(),
            stdin: container.stdin.unwrap_or_default(),
            stdin_once: false,
            log: Some(Log {
                path: log_path(self.layout, self.instance, container.name.as_str(), self.attempt),
                max_size: self.policy.log_size,
                max_files: self.policy.log_files,
                ..Log::default()
            }),
            stop_signal,
            annotations: std::collections::BTreeMap::from([
                ("container".to_owned(), container.name.to_string()),
                ("attempt".to_owned(), self.attempt.to_string()),
            ]),
            root: Root::Image(Box::new(self.root)),
        })
    }

    fn command(&self, variables: &Environment) -> Result<Vec<String>, ConfigError> {
        let expanded =
            |words: &[String]| -> Vec<String> { words.iter().map(|word| variables.expand(word)).collect() };
        let (command, args) = (expanded(&self.container.command), expanded(&self.container.args));
        let command = self.image.config.config.command(&command, &args);
        if command.is_empty() {
            return Err(ConfigError::NoCommand { container: self.container.name.to_string() });
        }
        Ok(command)
    }

    fn mounts(&self, read_only_root: bool) -> Result<Vec<Mount>, NotMade> {
        let volumes = self.volumes.mounts(self.instance, self.container).map_err(NotMade::Refused)?;
        let taken: BTreeSet<&Path> = volumes.iter().map(|mount| mount.target.as_path()).collect();
        let etc = etc(self.layout, self.instance);
        let ours = ["hosts", "resolv.conf", "hostname"].map(|name| Mount {
            target: Path::new("/etc").join(name),
            source: MountSource::Bind {
                path: etc.join(name),
                sub_path: None,
                mapped: true,
                propagate: false,
                exec: false,
            },
            read_only: read_only_root,
        });
        let mut mounts: Vec<Mount> =
            ours.into_iter().filter(|mount| !taken.contains(mount.target.as_path())).collect();
        mounts.extend(volumes.iter().cloned());
        // What lies below another is mounted after it.
        mounts.sort_by_key(|mount| mount.target.components().count());
        Ok(mounts)
    }

    fn seccomp(&self, profile: Option<&SeccompProfile>) -> Result<Seccomp, NotMade> {
        let Some(profile) = profile else { return Ok(Seccomp::RuntimeDefault) };
        match (profile.kind, &profile.localhost_profile) {
            (SeccompProfileType::RuntimeDefault, _) => Ok(Seccomp::RuntimeDefault),
            (SeccompProfileType::Unconfined, _) => Ok(Seccomp::Unconfined),
            (SeccompProfileType::Localhost, Some(path)) => {
                let path = self.layout.seccomp().join(path.as_str());
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    NotMade::Refused(format!(
                        "the profile of system calls {} of this node cannot be read: {}",
                        path.display(),
                        chain(&error)
                    ))
                })?;
                Ok(Seccomp::Localhost(text))
            }
            (SeccompProfileType::Localhost, None) => {
                Err(NotMade::Refused("seccompProfile: Localhost names no localhostProfile".to_owned()))
            }
        }
    }
}

/// Whether the node lets a container have what it asks for beyond the usual: it is root's on the node, wherever no user
/// namespace stands between.
fn allowed(policy: &Policy, container: &Container, profile: Option<&SeccompProfile>) -> Result<(), NotMade> {
    if policy.privileged {
        return Ok(());
    }
    let refused = |what: String, why: &str| {
        Err(NotMade::Refused(format!("container {} {what}, and its agent {why}", container.name)))
    };
    let security = container.security_context.as_ref();
    if security.and_then(|security| security.privileged) == Some(true) {
        return refused(
            "would be privileged".to_owned(),
            "lets no container be privileged (--allow-privileged)",
        );
    }
    if profile.is_some_and(|profile| profile.kind == SeccompProfileType::Unconfined) {
        return refused(
            "would have no filter of system calls (seccompProfile: Unconfined)".to_owned(),
            "lets none go without (--allow-privileged)",
        );
    }
    let added = security.and_then(|security| security.capabilities.as_ref());
    let mut added = added.into_iter().flat_map(|capabilities| &capabilities.add);
    let beyond = |name: &&String| {
        !is_usual(name) && capability(name).is_none_or(|name| !policy.capabilities.contains(name))
    };
    match added.find(beyond) {
        None => Ok(()),
        Some(name) => refused(
            format!("adds the capability {name}"),
            "lets containers add only those that all have by default (--allow-capability, --allow-privileged)",
        ),
    }
}

fn numbers(user: &RunAs) -> User {
    User { uid: user.uid, gid: user.gid, groups: user.groups.clone() }
}

/// What a container may use, as Kubernetes turns requests and limits into the kernel's numbers; so many processes where it
/// names no limit of them.
fn limits(container: &Container, usual_pids: u64) -> Limits {
    let none = hypermesh_schemas::workload::container::Resources::default();
    let resources = container.resources.as_ref().unwrap_or(&none);
    let millis = |amounts: &hypermesh_schemas::workload::container::Amounts| {
        amounts.get("cpu").and_then(|cpu| u64::try_from(cpu.millis()).ok())
    };
    let memory = |amounts: &hypermesh_schemas::workload::container::Amounts| {
        amounts.get("memory").and_then(|memory| u64::try_from(memory.units()).ok()).filter(|bytes| *bytes > 0)
    };
    let asked = millis(&resources.requests).or_else(|| millis(&resources.limits)).unwrap_or_default();
    let quota = millis(&resources.limits).filter(|millis| *millis > 0);
    let own_pids = resources.limits.get("pids").and_then(|pids| u64::try_from(pids.units()).ok());
    Limits {
        cpu_shares: Some((asked * 1024 / 1000).clamp(2, 262_144)),
        cpu_quota_us: quota.map(|millis| (millis * PERIOD / 1000).max(1000)),
        cpu_period_us: quota.map(|_| PERIOD),
        memory: memory(&resources.limits),
        memory_reserved: memory(&resources.requests),
        io_weight: resources.limits.get("io-weight").map(io_weight),
        pids: Some(own_pids.unwrap_or(usual_pids).clamp(1, MOST_PIDS)),
        ..Limits::default()
    }
}

/// How much of a disk a container has where several want it: what others have is 100.
fn io_weight(asked: &hypermesh_schemas::value::Quantity) -> u16 {
    u16::try_from(asked.units().clamp(10, 1000)).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(resources: serde_json::Value) -> Limits {
        let container = serde_json::json!({"name": "a", "image": "a", "resources": resources});
        limits(&serde_json::from_value(container).unwrap(), 4096)
    }

    #[test]
    fn what_is_beyond_the_usual_is_the_nodes_to_allow() {
        let refusal = |policy: &Policy, security: serde_json::Value| {
            let container = serde_json::json!({"name": "a", "image": "a", "securityContext": security});
            let container: Container = serde_json::from_value(container).unwrap();
            let profile = container.security_context.as_ref().unwrap().seccomp_profile.clone();
            allowed(policy, &container, profile.as_ref()).err().map(|error| error.to_string())
        };
        let strict = Policy::default();
        for (asked, told) in [
            (serde_json::json!({"privileged": true}), "would be privileged"),
            (serde_json::json!({"seccompProfile": {"type": "Unconfined"}}), "Unconfined"),
            (serde_json::json!({"capabilities": {"add": ["ALL"]}}), "capability ALL"),
            (serde_json::json!({"capabilities": {"add": ["CHOWN", "CAP_SYS_ADMIN"]}}), "CAP_SYS_ADMIN"),
        ] {
            let refused = refusal(&strict, asked.clone()).expect("it is refused");
            assert!(refused.contains(told) && refused.contains("--allow-privileged"), "{refused}");
            let open = Policy { privileged: true, ..Policy::default() };
            assert_eq!(refusal(&open, asked), None);
        }
        let some = Policy { capabilities: BTreeSet::from(["NET_ADMIN".to_owned()]), ..Policy::default() };
        assert_eq!(refusal(&some, serde_json::json!({"capabilities": {"add": ["cap_net_admin"]}})), None);
        assert!(refusal(&some, serde_json::json!({"capabilities": {"add": ["ALL"]}})).is_some());
        for asked in [
            serde_json::json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}),
            serde_json::json!({"seccompProfile": {"type": "RuntimeDefault"}}),
            serde_json::json!({}),
        ] {
            assert_eq!(refusal(&strict, asked), None);
        }
    }

    #[test]
    fn requests_and_limits_are_the_kernels_numbers() {
        let some = of(serde_json::json!({
            "requests": {"cpu": "250m", "memory": "16Mi"}, "limits": {"cpu": "1500m", "memory": "32Mi"},
        }));
        assert_eq!((some.cpu_shares, some.cpu_quota_us), (Some(256), Some(150_000)));
        assert_eq!((some.memory, some.memory_reserved), (Some(32 << 20), Some(16 << 20)));
        let none = of(serde_json::json!({}));
        assert_eq!((none.cpu_shares, none.cpu_quota_us, none.memory), (Some(2), None, None));
        assert_eq!(of(serde_json::json!({"limits": {"cpu": "1m"}})).cpu_quota_us, Some(1000));
        assert_eq!(none.pids, Some(4096));
        assert_eq!(of(serde_json::json!({"limits": {"pids": 20}})).pids, Some(20));
        assert_eq!(of(serde_json::json!({"limits": {"pids": "1e9"}})).pids, Some(MOST_PIDS));
        let weight = |weight| of(serde_json::json!({"limits": {"io-weight": weight}})).io_weight;
        assert_eq!([weight(50), weight(1), weight(1_000_000)], [50, 10, 1000].map(Some));
        assert_eq!(of(serde_json::json!({})).io_weight, None);
    }
}
