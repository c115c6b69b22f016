//! What kubectl does to Pods and Nodes, and what it is told where it cannot.

use super::{Bench, first_row};
use anyhow::{Result, ensure};
use serde_json::json;

#[test]
fn a_node_is_cordoned_tainted_and_drained() -> Result<()> {
    let Some(bench) = Bench::start("drain")? else { return Ok(()) };
    bench.ok("cordon node-1")?.says("cordoned")?;
    first_row(&bench.ok("get nodes")?, &["node-1", "Ready,SchedulingDisabled"])?;
    let ours = bench.ok("get nodes.hypermesh.online node-1 -o json")?.json()?;
    ensure!(ours["spec"]["unschedulable"] == true, "{ours}");
    bench.ok("uncordon node-1")?;
    bench.ok("taint node node-1 dedicated=db:NoSchedule")?;
    bench.ok("label node node-1 zone=a")?;
    let ours = bench.ok("get nodes.hypermesh.online node-1 -o json")?.json()?;
    ensure!(ours["spec"]["taints"][0]["key"] == "dedicated", "{ours}");
    ensure!(ours["metadata"]["labels"]["zone"] == "a" && ours["spec"]["unschedulable"] == false, "{ours}");
    bench.ok("taint node node-1 dedicated-")?;
    for line in [
        r#"patch node node-1 -p {"spec":{"podCIDR":"10.0.0.0/8"}}"#,
        r#"patch node node-1 --type=json -p [{"op":"add","path":"/spec/publicKey","value":"x"}]"#,
        "delete node node-1",
    ] {
        bench.run(line)?.fails(1)?.says("everything else is written there")?;
    }
    bench.run("drain node-1")?.fails(1)?.says("declare no controller")?;
    bench.ok("drain node-1 --force")?.says("node/node-1 drained")?;
    bench.ok("get pods")?.says("No resources found")?;
    Ok(())
}

#[test]
fn an_eviction_waits_for_the_workload_to_do_without() -> Result<()> {
    let Some(bench) = Bench::start("eviction")? else { return Ok(()) };
    let admin = bench.cluster.admin()?;
    let workload = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": "shop"},
        "spec": {
            "replicas": 2,
            "rollout": {"rolling": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {"spec": {"containers": [{"name": "web", "image": "registry.test/web:1"}]}},
        },
    });
    admin.post("/apis/hypermesh.online/v1/namespaces/default/workloads", &workload)?.expect(201)?;
    bench.instance("shop-1", "shop")?;
    bench.instance("shop-2", "shop")?;
    let evict = |name: &str| {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        admin.post(&format!("/api/v1/namespaces/default/pods/{name}/eviction"), &body)
    };
    evict("shop-1")?.expect(201)?;
    let refused = evict("shop-2")?.expect(429)?;
    ensure!(refused["details"]["causes"][0]["reason"] == "DisruptionBudget", "{refused}");
    // What does not serve anyway may go.
    bench.report(
        "shop-2",
        &json!({"containerStatuses": [{"name": "web", "ready": false, "restartCount": 3}]}),
    )?;
    evict("shop-2")?.expect(201)?;
    evict("shop-2")?.expect(404)?;
    Ok(())
}

#[test]
fn a_pod_is_deleted_and_never_written() -> Result<()> {
    let Some(bench) = Bench::start("delete")? else { return Ok(()) };
    for line in ["label pod web-1 a=b", "run other --image=x", "annotate pod web-1 a=b"] {
        bench.run(line)?.fails(1)?.says("write a Workload")?;
    }
    // A right on pods is no right on instances, and the other way round.
    bench.ok("create role pods --verb=delete,get --resource=pods")?;
    bench.ok("create rolebinding pods --role=pods --user=ann")?;
    bench
        .run("delete instances.hypermesh.online web-1 --as=ann")?
        .fails(1)?
        .says("cannot delete resource \"instances\"")?;
    bench.run("logs web-1 --as=ann")?.fails(1)?.says("cannot get resource \"pods/log\"")?;
    bench.ok("delete pod web-1 --as=ann --wait=false")?.says("pod \"web-1\" deleted")?;
    bench.run("get instances.hypermesh.online web-1")?.fails(1)?.says("not found")?;
    Ok(())
}

#[test]
fn liveness_is_told_by_the_node_alone() -> Result<()> {
    let Some(bench) = Bench::start("liveness")? else { return Ok(()) };
    let path = "/apis/hypermesh.online/v1/nodes/node-1/liveness";
    bench.run(&format!("get --raw {path}"))?.fails(1)?.says("not found")?;
    let beats = "{\"bootID\":\"b-1\",\"instances\":3}\n{\"bootID\":\"b-1\",\"instances\":4}\n";
    let tell = |who: &str| {
        let line = format!("create --raw {path} -f - --as=system:node:{who} --as-group=system:nodes");
        bench.kubectl.feed(&line.split(' ').collect::<Vec<_>>(), beats)
    };
    ensure!(tell("node-2")?.code != 0, "another node told of it");
    tell("node-1")?.ok()?;
    let known = bench.ok(&format!("get --raw {path}"))?.json()?;
    ensure!(known["instances"] == 4 && known["bootID"] == "b-1" && known["connected"] == false, "{known}");
    Ok(())
}
