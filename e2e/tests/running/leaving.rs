//! Instances that are taken away while others ask them: deleted as Pods, drained with their node, rolled back with what
//! they referred to.

use crate::rig::{Rig, condition, free_port, name, ready};
use crate::web::{Load, main_of, web, workload};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

#[test]
fn an_instance_that_is_deleted_under_load_is_missed_by_nobody() -> Result<()> {
    let Some(rig) = Rig::start("an_instance_that_is_deleted_under_load_is_missed_by_nobody")? else {
        return Ok(());
    };
    let port = free_port()?;
    rig.apply(&web("hello", port))?;
    rig.until("workload/web", ready)?;
    let load = Load::begin(port);
    for _ in 0..2 {
        let first = rig.instances("web")?;
        let first = name(first.first().context("there is no instance")?)?.to_owned();
        rig.kubectl(&["delete", "pod", &first])?;
        rig.wait("another instance", || {
            let there = rig.instances("web")?;
            let others = there.iter().filter(|one| ready(one) && name(one).is_ok_and(|name| name != first));
            Ok((others.count() == 2).then_some(()))
        })?;
    }
    load.end()?;
    rig.ends_clean(&["web"])
}

#[test]
fn a_node_is_cordoned_and_drained_and_taken_back() -> Result<()> {
    let Some(rig) = Rig::start("a_node_is_cordoned_and_drained_and_taken_back")? else { return Ok(()) };
    rig.apply(&workload("moves", "exec sleep 1000"))?;
    rig.until_instance("moves", ready)?;
    let nodes = rig.get("nodes")?;
    let node = name(nodes.pointer("/items/0").context("there is no node")?)?.to_owned();
    rig.kubectl(&[
        "drain",
        &node,
        "--ignore-daemonsets",
        "--force",
        "--delete-emptydir-data",
        "--timeout=40s",
    ])?;
    let waits = rig.until_instance("moves", |one| {
        condition(one, "PodScheduled").is_some_and(|bound| bound["status"] == "False")
    })?;
    let words =
        condition(&waits, "PodScheduled").map(|bound| bound["message"].to_string()).unwrap_or_default();
    ensure!(words.contains("cordon") || words.contains("unschedulable"), "it is not told why: {words}");
    rig.nexusctl(&["node", "uncordon", &node])?;
    rig.until_instance("moves", ready)?;
    rig.ends_clean(&["moves"])
}

#[test]
fn a_way_back_brings_back_what_was_referred_to() -> Result<()> {
    let Some(rig) = Rig::start("a_way_back_brings_back_what_was_referred_to")? else { return Ok(()) };
    rig.nexusctl(&["create", "configmap", "settings", "--from-literal=color=blue"])?;
    let mut reads = workload("reads", "cat /settings/color; echo; exec sleep 1000");
    reads["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "settings", "configMap": {"name": "settings"}}]);
    main_of(&mut reads)["volumeMounts"] = json!([{"name": "settings", "mountPath": "/settings"}]);
    rig.apply(&reads)?;
    rig.nexusctl(&["rollout", "status", "workload/reads", "--timeout", "60s"])?;
    let says = |color: &str| {
        rig.wait(&format!("an instance that reads {color}"), || {
            let there = rig.instances("reads")?;
            let [one] = there.as_slice() else { return Ok(None) };
            let log = rig.nexusctl(&["logs", name(one)?])?;
            Ok((ready(one) && log == format!("{color}\n")).then_some(()))
        })
    };
    says("blue")?;
    let patch = json!({"data": {"color": "green"}}).to_string();
    rig.nexusctl(&["patch", "configmap", "settings", "--type", "merge", "-p", &patch])?;
    main_of(&mut reads)["env"] = json!([{"name": "SECOND", "value": "yes"}]);
    rig.apply(&reads)?;
    rig.nexusctl(&["rollout", "status", "workload/reads", "--timeout", "60s"])?;
    says("green")?;
    rig.nexusctl(&["rollout", "undo", "workload/reads"])?;
    rig.nexusctl(&["rollout", "status", "workload/reads", "--timeout", "60s"])?;
    says("blue")?;
    rig.ends_clean(&["reads"])
}
