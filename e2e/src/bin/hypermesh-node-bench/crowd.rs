//! A workload of many instances, applied once and deleted once.

use crate::Scale;
use crate::cluster::{Agent, Cluster, workload};
use crate::shims;
use crate::watching::Watching;
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::figures::{Figure, Table, Unit};
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

/// Takes them.
pub async fn measure(nexusctl: &Path, scratch: &Path, scale: &Scale, table: &mut Table) -> Result<()> {
    let cluster = Cluster::start(nexusctl, &scratch.join("crowd"), Agent::Within).await?;
    let mut watching = Watching::begin(cluster.target()).await?;
    let count = scale.crowd;
    let begin = Instant::now();
    cluster.nexusctl(&["apply", "-f", "-"], &workload("crowd", count)).await?;
    let running = watching.running("crowd", count, PATIENCE).await?;
    let last = running.iter().max().context("nothing runs")?.saturating_duration_since(begin);
    let begin = Instant::now();
    cluster.nexusctl(&["delete", "workload", "crowd"], "").await?;
    let gone = watching.gone("crowd", count, PATIENCE).await?.saturating_duration_since(begin);
    let left = shims::of(&cluster.agent_folder());
    ensure!(left.is_empty(), "the instances are gone, and the shims {left:?} are not");
    cluster.stop().await?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let name = format!("nexusctl apply of {count} instances until all run");
    table.push(Figure::new(name, Unit::Millis, ms(last)).target(10_000.0));
    table.push(Figure::new("nexusctl delete until all are gone", Unit::Millis, ms(gone)));
    Ok(())
}
