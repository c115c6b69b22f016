//! Memory, disk and processes of the node: who has to go when there is too little, and what nobody needs any more.

mod limits;
mod standing;

use crate::events::Announcer;
use crate::facts;
use crate::failure::chain;
use crate::host::Host;
use crate::images::blocking;
use crate::settings::PressureSettings;
use crate::worker::View;
use crate::workers::Workers;
use hypermesh_image::gc::Policy;
use hypermesh_planner::eviction::{Level, Scarce, Usage, message, worth};
use hypermesh_planner::{Gravity, Notice};
use hypermesh_schemas::instance::InstancePhase;
use hypermesh_schemas::workload::container::Amounts;
use limits::{Hits, over_limits};
use standing::{Reading, Standing, level, next};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What the node has too little of, and why.
pub type Pressures = BTreeMap<Scarce, String>;

/// How often images are looked through, whatever the disk says.
const COLLECT: Duration = Duration::from_secs(300);

/// Looks after the node for as long as the agent runs.
pub async fn watch(host: Host, workers: Workers, settings: PressureSettings, told: watch::Sender<Pressures>) {
    let mut standing = Standing::default();
    let mut hits = Hits::default();
    let mut collected = Instant::now();
    let mut most = 0;
    loop {
        tokio::time::sleep(settings.every).await;
        let mut pressures = Pressures::new();
        for scarce in [Scarce::Memory, Scarce::Disk, Scarce::Pids] {
            let Some(level) = look(scarce, &settings, host.layout.root()) else { continue };
            if standing.take(scarce, &level, Instant::now()) {
                if scarce == Scarce::Disk {
                    // What nobody needs goes before anybody has to.
                    collect(&host, &settings).await;
                    collect_logs(&host, &workers).await;
                    collected = Instant::now();
                }
                relieve(&host, &workers, scarce, &settings).await;
            }
            if standing.holds(scarce) {
                let (left, least) = (level.available, level.relieved);
                let words =
                    format!("{left} of the node's {} are left, and {least} have to be", scarce.as_str());
                pressures.insert(scarce, words);
            }
        }
        let changed = told.send_if_modified(|known| {
            let changed = known.keys().ne(pressures.keys());
            *known = pressures.clone();
            changed
        });
        if changed {
            announce(&host.announcer, host.api.node(), &pressures);
        }
        over_limits(&host, &workers).await;
        hits.tell(&host, &workers);
        let now = workers.uids().len();
        if now < most {
            facts::give_memory_back();
        }
        most = now;
        if collected.elapsed() > COLLECT {
            collected = Instant::now();
            collect(&host, &settings).await;
        }
    }
}

fn announce(announcer: &Announcer, node: &str, pressures: &Pressures) {
    for (scarce, words) in pressures {
        let reason = match scarce {
            Scarce::Memory => "NodeHasInsufficientMemory",
            Scarce::Disk => "NodeHasDiskPressure",
            Scarce::Pids => "NodeHasInsufficientPID",
        };
        announcer.node(node, Gravity::Warning, reason, words.clone());
    }
}

/// How much there is of something now; none where the kernel does not say.
fn look(scarce: Scarce, settings: &PressureSettings, root: &Path) -> Option<Level> {
    let reading = match scarce {
        Scarce::Memory => facts::memory().map(|(all, available)| Reading { all, available }),
        Scarce::Disk => disk(root).map(|(all, available)| Reading { all, available }),
        Scarce::Pids => {
            facts::processes().map(|(now, most)| Reading { all: most, available: most.saturating_sub(now) })
        }
    };
    reading.map(|reading| level(scarce, settings, reading))
}

/// All of a disk, and what of it may be taken, in bytes.
fn disk(root: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(root).ok()?;
    Some((disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Images go before instances have to: at twice what has to be left, until there is half of that more.
fn policy(settings: &PressureSettings, root: &Path) -> Policy {
    let all = disk(root).map_or(0, |(all, _)| all).max(1);
    let left = settings.disk_left(all);
    let used =
        |left: u64| u8::try_from(100 - (u128::from(left) * 100 / u128::from(all)).min(99)).unwrap_or(85);
    Policy { high_percent: used(left * 2), low_percent: used(left * 3), ..Policy::default() }
}

/// Has one instance make room, if there is still too little.
async fn relieve(host: &Host, workers: &Workers, scarce: Scarce, settings: &PressureSettings) {
    let Some(level) = look(scarce, settings, host.layout.root()) else { return };
    // Who was asked to go is given the time to.
    let goes = workers.views().iter().any(|view| view.record.eviction.is_some() && view.sandbox.is_some());
    if goes || !level.is_scarce(false) {
        return;
    }
    let usages = usages(host, workers, scarce).await;
    let Some(victim) = next(&level, goes, &usages, worth(scarce)) else {
        let words = format!(
            "{} of the node's {} are left, and no instance has enough of it for its end to help: something else takes it",
            level.available,
            scarce.as_str()
        );
        host.announcer.node(host.api.node(), Gravity::Warning, "NothingToEvict", words);
        return;
    };
    let why = message(scarce, &level, victim);
    tracing::warn!(instance = %victim.uid, why, "an instance has to go");
    workers.evict(&victim.uid, why);
}

/// Removes what instances that have ended logged: nobody who runs has to go for it. They are told of it.
async fn collect_logs(host: &Host, workers: &Workers) {
    for view in workers.views().into_iter().filter(has_ended) {
        let instance = &view.instance;
        let logs = host.layout.logs_of(&instance.namespace, &instance.name, &instance.uid);
        let freed = blocking(move || remove_logs(&logs)).await;
        if freed > 0 {
            let message = format!(
                "The node was low on resource: ephemeral-storage. What this instance had logged before it ended was removed: {} KiB",
                freed >> 10
            );
            let (gravity, container) = (Gravity::Warning, None);
            let notice = Notice { gravity, container, reason: "LogsRemoved", message };
            host.announcer.instance(instance, notice);
        }
    }
}

/// Whether nothing of an instance runs any more, nor will.
fn has_ended(view: &View) -> bool {
    let over = matches!(view.status.phase, Some(InstancePhase::Succeeded | InstancePhase::Failed));
    view.sandbox.is_none() && (over || view.record.eviction.is_some())
}

/// Gives how many bytes are free by that.
fn remove_logs(folder: &Path) -> u64 {
    let before = size(folder, 0);
    if before == 0 {
        return 0;
    }
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(path = %folder.display(), %error, "logs cannot be removed");
    }
    before.saturating_sub(size(folder, 0))
}

async fn usages(host: &Host, workers: &Workers, scarce: Scarce) -> Vec<Usage> {
    let mut usages = Vec::new();
    for view in workers.views() {
        let Some(sandbox) = &view.sandbox else { continue };
        let stats = sandbox.stats().unwrap_or_default();
        let used = match scarce {
            Scarce::Memory => stats.memory_working_set.or(stats.memory).unwrap_or_default(),
            Scarce::Pids => stats.pids.unwrap_or_default(),
            Scarce::Disk => on_disk(host, &view).await,
        };
        let resource = match scarce {
            Scarce::Memory => "memory",
            Scarce::Disk => "ephemeral-storage",
            Scarce::Pids => "pids",
        };
        let of = |amounts: &Amounts| {
            amounts.get(resource).and_then(|amount| u64::try_from(amount.units()).ok()).unwrap_or_default()
        };
        let sidecars = view.instance.pod().init_containers.iter().filter(|one| one.restart_policy.is_some());
        let stay = view.instance.pod().containers.iter().chain(sidecars);
        let requested = stay.filter_map(|one| one.resources.as_ref()).map(|some| of(&some.requests)).sum();
        usages.push(Usage { uid: view.instance.uid.clone(), requested, used });
    }
    usages
}

/// What an instance has on the disk: what its containers wrote, its volumes, its logs.
async fn on_disk(host: &Host, view: &View) -> u64 {
    let (store, instance) = (std::sync::Arc::clone(host.images.store()), view.instance.clone());
    let folder = host.layout.instance(&instance.uid);
    let logs = host.layout.logs_of(&instance.namespace, &instance.name, &instance.uid);
    blocking(move || {
        let prefix = format!("{}-", instance.uid);
        let ids = store.snapshots().unwrap_or_default();
        let own = ids.iter().filter(|id| id.starts_with(&prefix));
        let written: u64 = own.filter_map(|id| store.snapshot_usage(id).ok()).map(|usage| usage.bytes).sum();
        written + size(&folder, 0) + size(&logs, 0)
    })
    .await
}

/// Bytes below a folder; links are not followed.
fn size(path: &Path, depth: u32) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    const DEEPEST: u32 = 64;
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, meta)| {
            let below = if meta.is_dir() && depth < DEEPEST { size(&path, depth + 1) } else { 0 };
            meta.blocks().saturating_mul(512) + below
        })
        .sum()
}

async fn collect(host: &Host, settings: &PressureSettings) {
    let store = std::sync::Arc::clone(host.images.store());
    let policy = policy(settings, host.layout.root());
    let collected = blocking(move || store.collect_garbage(&policy)).await;
    match collected {
        Ok((plan, _)) => {
            if !plan.removals.is_empty() {
                tracing::info!(%plan, "images were collected");
            }
            if plan.shortfall > 0 {
                let words =
                    "every image that is left is in use, pinned or young, and the disk is still too full";
                host.announcer.node(host.api.node(), Gravity::Warning, "FreeDiskSpaceFailed", words);
            }
        }
        Err(error) => tracing::warn!(error = chain(&error), "images cannot be collected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_who_has_ended_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("default_fill_uid");
        std::fs::create_dir_all(logs.join("c")).unwrap();
        std::fs::write(logs.join("c/0.log"), vec![7; 100 << 10]).unwrap();
        assert!(remove_logs(&logs) >= 100 << 10);
        assert!(!logs.exists());
        assert_eq!(remove_logs(&logs), 0);
    }
}
