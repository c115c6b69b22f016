//! Usage of the node and of what runs there. Rates come from two looks, so the last one is kept.

use super::{Answer, Desk, json};
use hypermesh_runtime::Stats;
use hypermesh_stream::stats::{
    ContainerStats, CpuStats, FsStats, MemoryStats, NetworkStats, NodeStats, PodRef, PodStats, Summary,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Looks that are younger than this are too close to tell a rate.
const LEAST: Duration = Duration::from_millis(500);
/// What is remembered at most.
const REMEMBERED: usize = 10_000;

/// CPU time by who used it, when it was last looked at, and what the rate was.
static LOOKS: Mutex<BTreeMap<String, Look>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    used: u64,
    rate: Option<(u64, u64)>,
}

pub(super) async fn answer(desk: &Desk) -> Answer {
    json(&summary(desk).await)
}

/// What is used by whom.
pub(super) async fn summary(desk: &Desk) -> Summary {
    let now = Timestamp::now();
    let traffic = desk.host.connectivity.traffic().await;
    let views = desk.workers.views();
    let pods = views.iter().filter_map(|view| {
        let sandbox = view.sandbox.as_ref()?;
        let containers = view.record.containers.iter().filter_map(|(name, record)| {
            // What has ended uses nothing.
            let running = view.run(name).filter(|running| running.state().exit.is_none())?;
            let stats = running.stats().ok()?;
            let since = match &record.run {
                hypermesh_planner::Run::Running { since, .. } => Some(since.to_string()),
                _ => None,
            };
            let key = format!("{}/{}", sandbox.id(), running.id());
            Some(ContainerStats {
                name: name.clone(),
                start_time: since,
                cpu: cpu(&key, stats.cpu_ns, now),
                memory: memory(&stats, now),
            })
        });
        let pod_ref = PodRef {
            name: view.instance.name.clone(),
            namespace: view.instance.namespace.clone(),
            uid: view.instance.uid.to_string(),
        };
        let network = traffic.get(&view.instance.uid);
        let network =
            network.map(|traffic| NetworkStats { rx_bytes: traffic.received, tx_bytes: traffic.sent });
        Some(PodStats { pod_ref, containers: containers.collect(), network })
    });
    Summary { pods: pods.collect(), node: node(desk, now) }
}

fn node(desk: &Desk, now: Timestamp) -> NodeStats {
    let (total, available) = crate::facts::memory().unwrap_or_default();
    let disk = rustix::fs::statvfs(desk.host.layout.root()).ok();
    NodeStats {
        node_name: desk.host.api.node().to_owned(),
        cpu: cpu("", crate::facts::cpu_nanoseconds(), now),
        memory: Some(MemoryStats {
            time: now.to_string(),
            working_set_bytes: Some(total.saturating_sub(available)),
            available_bytes: Some(available),
            rss_bytes: None,
        }),
        fs: disk.map(|disk| FsStats {
            capacity_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            available_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        }),
    }
}

fn memory(stats: &Stats, now: Timestamp) -> Option<MemoryStats> {
    Some(MemoryStats {
        time: now.to_string(),
        working_set_bytes: Some(stats.memory_working_set.or(stats.memory)?),
        available_bytes: stats.memory_limit.zip(stats.memory).map(|(limit, used)| limit.saturating_sub(used)),
        rss_bytes: stats.memory_rss,
    })
}

fn cpu(key: &str, used: Option<u64>, now: Timestamp) -> Option<CpuStats> {
    let used = used?;
    let mut looks = LOOKS.lock();
    if looks.len() >= REMEMBERED {
        looks.clear();
    }
    let at = Instant::now();
    let rate = match looks.get(key) {
        Some(look) if at.duration_since(look.at) >= LEAST => {
            let window = at.duration_since(look.at);
            let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).max(1);
            let cores = u128::from(used.saturating_sub(look.used)) * 1_000_000_000 / u128::from(nanos);
            let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
            Some((u64::try_from(cores).unwrap_or(u64::MAX), millis))
        }
        Some(look) => look.rate,
        None => None,
    };
    let young = looks.get(key).is_some_and(|look| at.duration_since(look.at) < LEAST);
    if !young {
        looks.insert(key.to_owned(), Look { at, used, rate });
    }
    Some(CpuStats {
        time: now.to_string(),
        window_millis: rate.map(|(_, millis)| millis).unwrap_or_default(),
        usage_nano_cores: rate.map(|(cores, _)| cores),
        usage_core_nano_seconds: Some(used),
    })
}
