//! Looking: discovery, explanations, tables, descriptions, watches, rights.

use crate::{Bench, QUICKSTART, Steps};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Kubectl;
use std::io::{BufRead as _, BufReader};

#[test]
fn looks_at_everything() -> Result<()> {
    let Some(bench) = Bench::start("looks_at_everything")? else { return Ok(()) };
    let mut steps = Steps::default();
    bench.feed("apply --server-side -f -", QUICKSTART)?.ok()?;
    steps.step("api-resources", || {
        let ran = bench.ok("api-resources")?;
        for line in ["workloads wl hypermesh.online/v1 true Workload", "secrets v1 true Secret"] {
            let found = |row: &str| row.split_whitespace().collect::<Vec<_>>().join(" ") == line;
            ensure!(ran.out.lines().any(found), "no line {line:?} in\n{}", ran.out);
        }
        bench.ok("api-resources --categories=hypermesh -o name")?.says("networks.hypermesh.online")?;
        Ok(())
    });
    steps.step("api-versions", || bench.ok("api-versions")?.says("hypermesh.online/v1").map(drop));
    steps.step("explain", || {
        bench.ok("explain workload.spec.template")?.says("FIELD: template")?.says("spec")?;
        bench.ok("explain workload --recursive")?.says("containerPort")?;
        bench.ok("explain configmap.data")?.says("FIELD: data")?;
        bench.run("explain workload.spec.nothing")?.fails(1)?.says("field \"nothing\" does not exist")?;
        Ok(())
    });
    steps.step("get", || {
        bench.ok("get workloads")?.says("NAME")?.says("web")?;
        bench.ok("get wl,net,cert,dom -o wide")?.says("workload.hypermesh.online/web")?;
        bench.ok("get all -A -o name")?.says("workload.hypermesh.online/web")?;
        let object = bench.ok("get workload web -o json")?.json()?;
        ensure!(object["spec"]["replicas"] == 2, "{object}");
        bench.ok("get workload web -o yaml")?.says("containerPort: 8080")?;
        bench.ok("get workload web -o jsonpath={.spec.replicas}")?.says("2")?;
        bench.ok("get assets -o custom-columns=NAME:.metadata.name,CLASS:.spec.class")?.says("node1-cpu0")?;
        bench.ok("get workloads -A --field-selector metadata.name=web -l !x --chunk-size=1")?.says("web")?;
        bench.run("get workload nope")?.fails(1)?.says("(NotFound)")?.says("\"nope\" not found")?;
        bench.run("get nope")?.fails(1)?.says("the server doesn't have a resource type \"nope\"")?;
        Ok(())
    });
    steps.step("openapi v2", || {
        // The decoder, and what reads its models, are those of client-go.
        let explain = |what: &str| bench.ok(&format!("explain {what} --output=plaintext-openapiv2"));
        explain("workload.spec.replicas")?.says("FIELD")?;
        explain("configmap.metadata.ownerReferences")?.says("blockOwnerDeletion")?;
        explain("rolebinding.subjects")?.says("apiGroup")?;
        ensure!(bench.ok("get --raw /openapi/v2")?.json()?["swagger"] == "2.0");
        Ok(())
    });
    steps.step("get --raw", || {
        bench.ok("get --raw /readyz")?.says("ok")?;
        ensure!(bench.ok("get --raw /version")?.json()?["major"] == "1");
        bench.ok("get --raw /readyz?verbose")?.says("[+]ping ok")?;
        Ok(())
    });
    steps.step("version", || bench.ok("version")?.says("Server Version").map(drop));
    steps.step("describe", || {
        bench.ok("describe workload web")?.says("Name:")?.says("Events:")?;
        bench.ok("describe namespace default")?.says("Status:")?;
        bench.ok("describe network office")?.says("office")?;
        bench.ok("describe clusterrole cluster-admin")?.says("PolicyRule")?;
        Ok(())
    });
    steps.step("auth", || {
        ensure!(bench.ok("auth can-i create workloads")?.out.trim() == "yes");
        let refused = bench.run("auth can-i create workloads --as=someone")?.fails(1)?;
        ensure!(refused.out.trim() == "no", "{refused:?}");
        bench.ok("auth can-i --list")?.says("*.*")?;
        bench.ok("auth whoami")?.says("Username")?.says("system:authenticated")?;
        Ok(())
    });
    steps.step("events", || {
        let uid = bench.ok("get workload web -o jsonpath={.metadata.uid}")?.out;
        let event = r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"e1","namespace":"default"},
            "involvedObject":{"apiVersion":"hypermesh.online/v1","kind":"Workload","name":"web","namespace":"default",
                "uid":"UID"},
            "reason":"Tested","message":"it was looked at","type":"Normal",
            "firstTimestamp":"2026-01-01T00:00:00Z","lastTimestamp":"2026-01-01T00:00:00Z","count":1}"#;
        bench.feed("create -f -", &event.replace("UID", &uid))?.ok()?;
        bench.ok("events")?.says("it was looked at")?;
        bench.ok("events --for workload/web")?.says("it was looked at")?;
        bench.ok("get events --field-selector involvedObject.name=web")?.says("Tested")?;
        bench.run("get events --field-selector involvedObject.name=other")?.ok()?.says("No resources found")?;
        bench.ok("describe workload web")?.says("it was looked at")?;
        Ok(())
    });
    steps.end()
}

#[test]
fn a_watch_shows_what_comes() -> Result<()> {
    let Some(bench) = Bench::start("a_watch_shows_what_comes")? else { return Ok(()) };
    bench.ok("create configmap before")?;
    let arguments = ["get", "configmaps", "-w", "-o", "name"];
    let mut child = bench.kubectl.command(&arguments).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    let mut next = || lines.next().context("the watch ended")?.context("reading the watch");
    let first = next();
    let made = bench.ok("create configmap after");
    let second = next();
    let gone = bench.ok("delete configmap after");
    let third = next();
    child.kill()?;
    Kubectl::finish(child, &arguments)?;
    made.and(gone)?;
    ensure!(first? == "configmap/before");
    ensure!(second? == "configmap/after");
    // The deletion is an event too.
    ensure!(third? == "configmap/after");
    Ok(())
}
