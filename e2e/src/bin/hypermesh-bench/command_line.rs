//! The command line as a person runs it: a process from its start to its first byte, or to its end.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::figures::{Figure, Table, Unit};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How often a `get` is started.
const TRIES: usize = 21;

/// Applies manifests, all of them new and then all unchanged, and gets one of the objects.
pub async fn measure(nexusctl: &Path, dir: &Path, manifests: usize, table: &mut Table) -> Result<()> {
    let mut text = String::new();
    for number in 0..manifests {
        writeln!(
            text,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: applied-{number:04}}}\ndata: {{key: value}}"
        )?;
    }
    let file = dir.with_extension("yaml");
    std::fs::write(&file, text).context("writing manifests")?;
    let run = || {
        let mut command = Command::new(nexusctl);
        command.env("KUBECONFIG", dir.join("admin.kubeconfig")).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    for (what, done) in [("", " created"), (", unchanged", " unchanged")] {
        let begun = Instant::now();
        let output = run().args(["apply", "-f"]).arg(&file).output().await.context("applying")?;
        let took = begun.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        let right = said.lines().filter(|line| line.ends_with(done)).count();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && right == manifests, "{right} of {manifests}{done}: {error}");
        let figure = Figure::new(
            format!("nexusctl apply, {manifests} manifests{what}"),
            Unit::Millis,
            took.as_secs_f64() * 1e3,
        );
        table.push(figure.target(1_000.0));
    }
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let begun = Instant::now();
        let mut child = run()
            .args(["get", "configmap", "applied-0000"])
            .stdout(Stdio::piped())
            .spawn()
            .context("getting")?;
        let mut output = child.stdout.take().context("its output is not piped")?;
        output.read_u8().await.context("it said nothing")?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        output.read_to_end(&mut Vec::new()).await?;
        ensure!(child.wait().await?.success(), "a get failed");
    }
    times.sort_by(f64::total_cmp);
    table.push(Figure::new("nexusctl get, start to first byte", Unit::Millis, times[TRIES / 2]).target(15.0));
    Ok(())
}
