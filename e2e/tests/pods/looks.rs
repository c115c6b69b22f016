//! What kubectl shows.

use super::{Bench, first_row, rows};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Kubectl;
use serde_json::json;
use std::io::{BufRead as _, BufReader};

#[test]
fn pods_look_as_people_know_them() -> Result<()> {
    let Some(bench) = Bench::start("looks")? else { return Ok(()) };
    first_row(&bench.ok("get pods")?, &["web-1", "1/1", "Running", "0"])?;
    let wide = bench.ok("get po -o wide")?;
    ensure!(rows(&wide.out)[0][5..8] == ["IP", "NODE", "NOMINATED"], "{}", wide.out);
    let row = &rows(&wide.out)[1];
    ensure!(row[5..7] == ["10.1.0.7", "node-1"], "{row:?}");
    first_row(&bench.ok("get pods -A")?, &["default", "web-1", "1/1"])?;
    bench.ok("get pod web-1 -o name")?.says("pod/web-1")?;
    bench
        .ok("get pods -l app=web --field-selector spec.nodeName=node-1,status.phase=Running -o name")?
        .says("web-1")?;
    bench.ok("get pods --field-selector status.phase!=Running")?.says("No resources found")?;
    bench.run("get pods --field-selector spec.color=red")?.fails(1)?.says("field label not supported")?;
    let whole = bench.ok("get pod web-1 -o json")?.json()?;
    ensure!(whole["kind"] == "Pod" && whole["metadata"]["uid"] == bench.uid.as_str(), "{whole}");
    ensure!(whole["metadata"].get("managedFields").is_none(), "{whole}");
    // The version is the instance's: one collection, one history.
    let ours = bench.ok("get instances.hypermesh.online web-1 -o json")?.json()?;
    ensure!(ours["metadata"]["resourceVersion"] == whole["metadata"]["resourceVersion"], "{ours}");
    let described = bench.ok("describe pod web-1")?.says("Node:             node-1")?;
    described.says("QoS Class:                   BestEffort")?;
    bench.ok("explain pod.spec.containers.image")?.says("FIELD: image")?;
    bench.run("get pod other")?.fails(1)?.says("pods \"other\" not found")?;
    Ok(())
}

#[test]
fn a_watch_tells_what_becomes_of_a_pod() -> Result<()> {
    let Some(bench) = Bench::start("watch")? else { return Ok(()) };
    let mut child = bench.kubectl.command(&["get", "pods", "-w", "--output-watch-events"]).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let mut seen = Vec::new();
    let mut told = false;
    for line in lines {
        let line = line?;
        seen.push(line.clone());
        if line.contains("web-1") && !told {
            told = true;
            bench.report(
                "web-1",
                &json!({"containerStatuses": [{
                    "name": "web", "ready": false, "restartCount": 4,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-11-21T09:18:03Z"}},
                }]}),
            )?;
        }
        if line.contains("CrashLoopBackOff") {
            break;
        }
    }
    child.kill()?;
    drop(Kubectl::finish(child, &["get", "pods", "-w"])?);
    let last = seen.last().context("nothing was told")?;
    ensure!(last.contains("MODIFIED") && last.contains("0/1") && last.contains("4 ("), "{seen:?}");
    Ok(())
}

#[test]
fn nodes_look_as_people_know_them() -> Result<()> {
    let Some(bench) = Bench::start("nodes")? else { return Ok(()) };
    let wide = bench.ok("get nodes -o wide")?;
    first_row(&wide, &["node-1", "Ready", "<none>"])?;
    wide.says("192.0.2.4")?.says("libcontainer://0.7.0")?;
    bench.ok("describe node node-1")?.says("Non-terminated Pods:          (1 in total)")?.says("default")?;
    bench.ok("api-resources --api-group=metrics.k8s.io")?.says("NodeMetrics")?;
    super::agent::UID.lock().unwrap().clone_from(&bench.uid);
    first_row(&bench.ok("top nodes")?, &["node-1", "500m", "12%", "1024Mi", "12%"])?;
    first_row(&bench.ok("top pods")?, &["web-1", "25m", "48Mi"])?;
    first_row(&bench.ok("top pod web-1 --containers")?, &["web-1", "web", "25m", "48Mi"])?;
    Ok(())
}
