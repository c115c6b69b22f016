//! A controller process that watches the load's objects: what it holds, and what reading each of them once costs.
//!
//! The process is this program once more, so that nothing of the driver is in its memory. It runs the runtime of the
//! controllers with a reconciler that reads its object and finds nothing to do.

use anyhow::{Context as _, Result, ensure};
use hypermesh_controllers::runtime::decision::Decisions;
use hypermesh_controllers::runtime::metrics::{Ended, Metrics};
use hypermesh_controllers::runtime::{
    Applied, Context, Failure, Invalid, Reconciler, Subject, Told, Verdict, drive, stop,
};
use hypermesh_e2e::figures::{Figure, Table, Unit};
use hypermesh_e2e::load::{ServerProcess, memory_mib};
use kube::core::{ApiResource, DynamicObject, PartialObjectMeta};
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How long reading all objects once may take.
const PATIENCE: Duration = Duration::from_secs(600);

struct Reader;

impl Reconciler for Reader {
    // The whole object comes over the wire; what is decoded of it is the reconciler's own choice.
    type Object = PartialObjectMeta<DynamicObject>;
    type Observed = ();
    type Valid = ();
    type Plan = &'static str;

    const NAME: &'static str = "bench";

    fn resource(&self) -> ApiResource {
        ApiResource {
            group: "bench.example.com".into(),
            version: "v1".into(),
            api_version: "bench.example.com/v1".into(),
            kind: "Widget".into(),
            plural: "widgets".into(),
        }
    }

    async fn dereference(&self, _: &Context, _: &Subject<Self::Object>) -> Result<(), Failure> {
        Ok(())
    }

    fn validate(&self, _: &Subject<Self::Object>, (): ()) -> Result<(), Invalid> {
        Ok(())
    }

    fn build(&self, _: &Subject<Self::Object>, (): ()) -> &'static str {
        "nothing to do"
    }

    async fn apply(
        &self,
        _: &Context,
        _: &Subject<Self::Object>,
        _: &&'static str,
    ) -> Result<Applied, Failure> {
        Ok(Applied::default())
    }

    async fn update_status(
        &self,
        _: &Context,
        _: &Subject<Self::Object>,
        _: Verdict<'_>,
    ) -> Result<Told, Failure> {
        Ok(Told::AsBefore)
    }
}

/// The process: says `done` once it has read every object, then goes on watching until its input ends.
pub async fn watch(kubeconfig: &Path, objects: u64) -> Result<()> {
    let (client, _) = hypermesh_controllers::connect(kubeconfig)?;
    let metrics = Arc::new(Metrics::default());
    let context = Context::new(client, "bench".into(), Arc::new(Decisions::default()), Arc::clone(&metrics));
    let (stopper, stop) = stop();
    let driver = tokio::spawn(drive(Arc::new(Reader), context, stop));
    let begin = Instant::now();
    let counted = metrics.of(Reader::NAME);
    while counted.count(Ended::AsWanted) < objects {
        ensure!(begin.elapsed() < PATIENCE, "{} of {objects} were read", counted.count(Ended::AsWanted));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("done {}", begin.elapsed().as_secs_f64());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    stopper.stop();
    Ok(driver.await?)
}

/// Runs the process beside the server, and reads its memory.
pub async fn measure(
    server: &ServerProcess,
    dir: &Path,
    present: usize,
    settle: u64,
    table: &mut Table,
) -> Result<()> {
    let own = std::env::current_exe().context("finding this executable")?;
    let mut child = Command::new(own)
        .arg("--watch")
        .arg(dir.join("admin.kubeconfig"))
        .args(["--objects", &present.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a controller process")?;
    let pid = child.id().context("it has no process id")?;
    let mut lines = BufReader::new(child.stdout.take().context("its output is not piped")?).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.context("it takes too long")??;
    let line = line.with_context(|| "a controller process ended before it had read every object")?;
    let seconds: f64 = line.strip_prefix("done ").context("an odd line")?.parse()?;
    tokio::time::sleep(Duration::from_secs(settle)).await;
    let (rss, peak) = memory_mib(pid)?;
    ensure!(server.pid != pid, "the server is no controller");
    let what = format!("controller process, {present} objects");
    table.push(Figure::new(format!("{what}, memory"), Unit::Mib, rss).target(100.0));
    table.push(Figure::new(format!("{what}, memory at its peak"), Unit::Mib, peak).target(100.0));
    table.push(Figure::new(format!("{what}, all read once"), Unit::Millis, seconds * 1e3));
    drop(child.stdin.take());
    ensure!(child.wait().await?.success(), "a controller process failed");
    Ok(())
}
