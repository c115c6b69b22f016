//! What an agent takes while nothing happens, as a process of its own, without instances and with some.

use crate::Scale;
use crate::account::{median, pss_mib, ticks};
use crate::cluster::{Agent, Cluster, workload};
use crate::shims;
use crate::watching::Watching;
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::figures::{Figure, Table, Unit};
use hypermesh_e2e::load::memory_mib;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// Until what was begun is over, and what it took was given back.
const SETTLE: Duration = Duration::from_secs(5);

/// What was seen in a stretch.
struct Stretch {
    agent: f64,
    shims: f64,
}

/// Takes them.
pub async fn measure(nexusctl: &Path, scratch: &Path, scale: &Scale, table: &mut Table) -> Result<()> {
    let cluster = Cluster::start(nexusctl, &scratch.join("idle"), Agent::Apart).await?;
    let agent = cluster.agent()?;
    let settle = if scale.idle < 10 { Duration::from_millis(200) } else { SETTLE };
    tokio::time::sleep(settle).await;
    let alone = stretch(agent, &[], scale.idle).await?;
    let (rss_alone, _) = memory_mib(agent)?;

    let count = scale.settled;
    let mut watching = Watching::begin(cluster.target()).await?;
    cluster.nexusctl(&["apply", "-f", "-"], &workload("settled", count)).await?;
    watching.running("settled", count, PATIENCE).await?;
    tokio::time::sleep(settle).await;
    let shims = shims::of(&cluster.agent_folder());
    ensure!(shims.len() == count, "there are {} shims of {count} instances", shims.len());
    let beside = stretch(agent, &shims, scale.idle).await?;
    let (rss_beside, _) = memory_mib(agent)?;
    let shares: Vec<f64> = shims.iter().map(|pid| pss_mib(*pid)).collect::<Result<_>>()?;
    cluster.nexusctl(&["delete", "workload", "settled"], "").await?;
    watching.gone("settled", count, PATIENCE).await?;
    cluster.stop().await?;

    table.push(Figure::new("agent, idle, memory", Unit::Mib, rss_alone).target(25.0));
    table.push(Figure::new("agent, idle", Unit::Percent, alone.agent).target(0.5));
    let with = format!("agent with {count} idle instances");
    table.push(Figure::new(format!("{with}, memory"), Unit::Mib, rss_beside).target(25.0));
    table.push(Figure::new(with, Unit::Percent, beside.agent).target(0.5));
    let growth = (rss_beside - rss_alone) / count.max(1) as f64;
    table.push(Figure::new("an instance: memory of the agent", Unit::Mib, growth));
    table.push(Figure::new("an instance: memory of its shim, PSS", Unit::Mib, median(shares)).target(4.0));
    let shim = beside.shims / count.max(1) as f64;
    table.push(Figure::new("an instance: its shim, idle", Unit::Percent, shim));
    Ok(())
}

/// Processor time in % of one processor.
async fn stretch(agent: u32, shims: &[u32], seconds: u64) -> Result<Stretch> {
    let own = |pid: u32| -> Result<f64> { Ok(ticks(pid)?.own.as_secs_f64()) };
    let all = || shims.iter().map(|pid| own(*pid)).sum::<Result<f64>>();
    let (begin, agent_before, shims_before) = (Instant::now(), own(agent)?, all()?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let percent = 100.0 / begin.elapsed().as_secs_f64();
    let agent = own(agent).context("the agent has ended")? - agent_before;
    Ok(Stretch { agent: agent * percent, shims: (all()? - shims_before) * percent })
}
