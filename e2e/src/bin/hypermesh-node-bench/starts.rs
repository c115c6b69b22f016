//! From `nexusctl apply` of a workload, its start as a process included, until its instance is seen to run, of an image
//! that the node has; one after another.

use crate::Scale;
use crate::cluster::{Agent, Cluster, workload};
use crate::watching::Watching;
use anyhow::Result;
use hypermesh_e2e::figures::{Figure, Table, Unit};
use hypermesh_e2e::load::Samples;
use std::path::Path;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Takes them.
pub async fn measure(nexusctl: &Path, scratch: &Path, scale: &Scale, table: &mut Table) -> Result<()> {
    let cluster = Cluster::start(nexusctl, &scratch.join("starts"), Agent::Within).await?;
    let mut watching = Watching::begin(cluster.target()).await?;
    let (mut runs, mut applied, mut ends) = (Samples::default(), Samples::default(), Samples::default());
    for number in 0..scale.applies {
        let name = format!("start-{number}");
        let begin = Instant::now();
        cluster.nexusctl(&["apply", "-f", "-"], &workload(&name, 1)).await?;
        applied.push(begin.elapsed());
        for at in watching.running(&name, 1, PATIENCE).await? {
            runs.push(at.saturating_duration_since(begin));
        }
        let begin = Instant::now();
        cluster.nexusctl(&["delete", "workload", &name], "").await?;
        ends.push(watching.gone(&name, 1, PATIENCE).await?.saturating_duration_since(begin));
    }
    cluster.stop().await?;
    let mut figure = |name: &str, samples: &mut Samples, share: f64, target: Option<f64>| {
        let name = format!("{name}, p{:.0}", share * 100.0);
        let figure = Figure::new(name, Unit::Millis, samples.quantile_ms(share));
        table.push(match target {
            Some(target) => figure.target(target),
            None => figure,
        });
    };
    figure("nexusctl apply until it runs", &mut runs, 0.5, Some(150.0));
    figure("nexusctl apply until it runs", &mut runs, 0.99, Some(400.0));
    figure("of which nexusctl apply itself", &mut applied, 0.5, None);
    figure("nexusctl delete until it is gone", &mut ends, 0.5, None);
    figure("nexusctl delete until it is gone", &mut ends, 0.99, None);
    Ok(())
}
