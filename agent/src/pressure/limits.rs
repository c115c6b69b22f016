//! What single containers and instances run into: limits that the agent keeps for them, and those that the kernel does.

use super::size;
use crate::containers::{etc, log_path};
use crate::host::Host;
use crate::images::blocking;
use crate::worker::View;
use crate::workers::Workers;
use hypermesh_planner::{Gravity, InstanceUid, Notice};
use hypermesh_runtime::Stats;
use hypermesh_schemas::workload::container::Container;
use std::collections::BTreeMap;

/// Containers that have something on the disk which may still grow: those that stay, and those that run before them.
fn stays(view: &View) -> impl Iterator<Item = &Container> {
    let pod = view.instance.pod();
    let runs =
        |one: &&Container| view.record.container(one.name.as_str()).is_some_and(|it| it.run.is_alive());
    let init = pod.init_containers.iter().filter(move |one| one.restart_policy.is_some() || runs(one));
    pod.containers.iter().chain(init)
}

/// Instances that have more on the disk than they may.
pub(super) async fn over_limits(host: &Host, workers: &Workers) {
    for view in workers.views() {
        if view.sandbox.is_none() || view.record.eviction.is_some() {
            continue;
        }
        let volumes = view.instance.pod().volumes.iter().filter_map(|volume| {
            let empty = volume.empty_dir.as_ref().filter(|empty| empty.medium.is_none())?;
            Some((volume.name.to_string(), u64::try_from(empty.size_limit.as_ref()?.units()).ok()?))
        });
        for (name, limit) in volumes.collect::<Vec<_>>() {
            let path = host.layout.instance(&view.instance.uid).join("volumes").join(&name);
            let used = blocking(move || size(&path, 0)).await;
            if used > limit {
                let why = format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\".");
                workers.evict(&view.instance.uid, why);
            }
        }
        let storage = |container: &Container| {
            let limit = container.resources.as_ref()?.limits.get("ephemeral-storage")?.units();
            u64::try_from(limit).ok()
        };
        for container in stays(&view) {
            let Some(limit) = storage(container) else { continue };
            let name = container.name.to_string();
            let attempt = view.record.container(&name).map_or(0, |record| record.attempt);
            let id = format!("{}-{name}-{attempt}", view.instance.uid);
            let logs = log_path(&host.layout, &view.instance, &name, attempt);
            // What it wrote to /etc/hosts and the like; each that shares them counts as having written all of it.
            let etc = etc(&host.layout, &view.instance);
            let store = std::sync::Arc::clone(host.images.store());
            let used = blocking(move || {
                let written = store.snapshot_usage(&id).map(|usage| usage.bytes).unwrap_or_default();
                written + logs.parent().map_or(0, |folder| size(folder, 0)) + size(&etc, 0)
            })
            .await;
            if used > limit {
                let why = format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\".");
                workers.evict(&view.instance.uid, why);
            }
        }
    }
}

/// What the kernel refused of a container, or took from it, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hit {
    /// Processes and threads that it was refused.
    forks: u64,
    /// Processes that were killed for memory.
    kills: u64,
}

/// What people were told of that.
#[derive(Default)]
pub(super) struct Hits(BTreeMap<(InstanceUid, String, u32), Hit>);

impl Hits {
    /// Tells of what is new, while it runs. What has ended says it in its last state.
    pub fn tell(&mut self, host: &Host, workers: &Workers) {
        let mut seen = BTreeMap::new();
        for view in workers.views() {
            for (name, container) in &view.record.containers {
                let Some(run) = view.run(name) else { continue };
                let stats = run.stats().unwrap_or_default();
                let key = (view.instance.uid.clone(), name.clone(), container.attempt);
                let before = self.0.get(&key).copied().unwrap_or_default();
                let limits = &run.spec().limits;
                for (reason, message) in news(name, before, &stats, limits.pids, limits.memory) {
                    let (gravity, container) = (Gravity::Warning, Some(name.clone()));
                    host.announcer.instance(&view.instance, Notice { gravity, container, reason, message });
                }
                seen.insert(key, Hit::of(&stats, before));
            }
        }
        self.0 = seen;
    }
}

impl Hit {
    /// What could not be read is as it was.
    fn of(stats: &Stats, before: Self) -> Self {
        Self {
            forks: stats.forks_refused.unwrap_or(before.forks),
            kills: stats.oom_kills.unwrap_or(before.kills),
        }
    }
}

/// What is to be told of a container, if anything is.
fn news(
    name: &str,
    before: Hit,
    stats: &Stats,
    pids: Option<u64>,
    memory: Option<u64>,
) -> Vec<(&'static str, String)> {
    let (now, mut told) = (Hit::of(stats, before), Vec::new());
    if now.forks > before.forks {
        let most = pids.unwrap_or_default();
        told.push((
            "PidsLimitReached",
            format!(
                "Container {name} has as many processes and threads as its limit of pids ({most}) allows; more are refused"
            ),
        ));
    }
    if now.kills > before.kills {
        let of = memory.map_or_else(
            || "the node's memory was full".to_owned(),
            |most| format!("it may have {} KiB of memory", most >> 10),
        );
        told.push((
            "OOMKilling",
            format!(
                "The kernel killed processes of container {name} for want of memory ({} since it began): {of}",
                now.kills
            ),
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_or_killed_is_told_once() {
        let stats =
            |forks, kills| Stats { forks_refused: Some(forks), oom_kills: Some(kills), ..Stats::default() };
        let none = Hit::default();
        let told = |before, stats: &Stats| news("c", before, stats, Some(7), Some(64 << 20));
        assert!(told(none, &stats(0, 0)).is_empty());
        let both: Vec<_> = told(none, &stats(3, 2)).into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(both, ["PidsLimitReached", "OOMKilling"]);
        let before = Hit::of(&stats(3, 2), none);
        assert!(told(before, &stats(3, 2)).is_empty());
        // What cannot be read is nothing new, and not forgotten.
        assert!(told(before, &Stats::default()).is_empty());
        assert_eq!(Hit::of(&Stats::default(), before), before);
        let (reason, message) = told(before, &stats(3, 3)).remove(0);
        assert_eq!(reason, "OOMKilling");
        assert!(message.contains("(3 since it began)") && message.contains("65536 KiB"), "{message}");
    }
}
