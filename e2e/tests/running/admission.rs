//! What a node does not take on, whoever bound it; what a namespace does not let in; and what those that are let in see.

use crate::rig::{NODE, Rig, container, name, ready};
use crate::web::{main_of, workload};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::load::binary;
use serde_json::{Value, json};

/// An Instance that somebody bound by hand.
fn bound(name: &str, pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["containers"][0]["name"] = "main".into();
    pod["containers"][0]["image"] = crate::rig::IMAGE.into();
    pod["containers"][0]["command"] = json!(["sleep", "1000"]);
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Instance",
        "metadata": {"name": name, "namespace": "default", "labels": {"hypermesh.online/workload": name}},
        "spec": {"workload": name, "revision": "1", "nodeName": NODE, "pod": pod},
    })
}

/// What became of it: phase, reason, message.
fn fate(instance: &Value) -> (&str, &str, &str) {
    let text = |field: &str| instance["status"][field].as_str().unwrap_or_default();
    (text("phase"), text("reason"), text("message"))
}

#[test]
fn a_node_takes_on_what_it_has_room_and_tolerance_for_whoever_bound_it() -> Result<()> {
    let test = "a_node_takes_on_what_it_has_room_and_tolerance_for_whoever_bound_it";
    let Some(mut rig) = Rig::start_apart(test, &["--max-instances", "4"])? else { return Ok(()) };
    let own = |more: Value| json!({"containers": [more]});
    let port = |port: u16| own(json!({"ports": [{"containerPort": 80, "hostPort": port}]}));
    let shared = crate::rig::free_port()?;
    rig.apply(&bound("first", &port(shared)))?;
    let first = rig.until_instance("first", ready)?;
    let mut slow = own(json!({}));
    slow["nodeSelector"] = json!({"disk": "none-such"});
    for (name, pod, reason, words) in [
        (
            "greedy",
            own(json!({"resources": {"requests": {"cpu": "5000", "memory": "10Ti"}}})),
            "OutOfcpu",
            "requested: 5000000",
        ),
        (
            "large",
            own(json!({"resources": {"limits": {"memory": "10Ti"}}})),
            "OutOfmemory",
            "memory, requested: 10995116277760",
        ),
        ("elsewhere", slow, "NodeAffinity", "disk=none-such"),
        ("second", port(shared), "NodePorts", &shared.to_string()),
    ] {
        rig.apply(&bound(name, &pod))?;
        let refused = rig.until_instance(name, |one| fate(one).0 == "Failed")?;
        let (_, said, message) = fate(&refused);
        ensure!(said == reason && message.contains(words), "{refused:#}");
        ensure!(container(&refused).is_null(), "something of it was begun: {refused:#}");
        rig.event(name, reason, words)?;
    }
    // What has failed takes no place, and goes as everything does.
    rig.apply(&bound("third", &own(json!({}))))?;
    rig.until_instance("third", ready)?;
    rig.kubectl(&["taint", "node", NODE, "gone=soon:NoExecute"])?;
    // The agent knows of the taint by its own watch: what comes before that is ended by the controllers.
    let tainted = rig.wait("an instance that is refused for the taint", || {
        rig.nexusctl(&["delete", "instance", "fourth", "--ignore-not-found"])?;
        rig.apply(&bound("fourth", &own(json!({}))))?;
        let one = rig.until_instance("fourth", |one| !matches!(fate(one).0, "" | "Pending"))?;
        Ok(Some(one).filter(|one| fate(one).1 == "TaintToleration"))
    })?;
    ensure!(fate(&tainted).2.contains("gone=soon:NoExecute"), "{tainted:#}");
    rig.kubectl(&["taint", "node", NODE, "gone-"])?;
    // The next agent has not forgotten what this one did not take on, and begins nothing of it.
    rig.end_agent()?;
    rig.begin_agent()?;
    rig.until("nodes", |nodes| nodes.pointer("/items/0").is_some_and(ready))?;
    rig.apply(&bound("fifth", &own(json!({}))))?;
    rig.until_instance("fifth", ready)?;
    let greedy = rig.until_instance("greedy", |_| true)?;
    ensure!(fate(&greedy).1 == "OutOfcpu" && container(&greedy).is_null(), "{greedy:#}");
    ensure!(name(&first)? == "first");
    for gone in ["first", "greedy", "large", "elsewhere", "second", "third", "fourth", "fifth"] {
        rig.nexusctl(&["delete", "instance", gone, "--ignore-not-found"])?;
    }
    rig.ends_clean(&[])
}

#[test]
fn a_namespace_lets_in_what_its_standard_allows_and_that_sees_its_own_devices() -> Result<()> {
    let test = "a_namespace_lets_in_what_its_standard_allows_and_that_sees_its_own_devices";
    let Some(rig) = Rig::start(test)? else { return Ok(()) };
    rig.kubectl(&["label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted"])?;
    let unknown = rig.run(
        "kubectl".as_ref(),
        &["label", "ns", "default", "pod-security.kubernetes.io/warn=strict"],
        "",
    )?;
    ensure!(
        unknown.code != 0 && unknown.err.contains("must be one of privileged, baseline, restricted"),
        "{unknown:?}"
    );
    let mut web = workload("web", "ls /sys/class/net; exec sleep 1000");
    let refused = rig.run(&binary()?, &["apply", "-f", "-"], &web.to_string())?;
    let words = "violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"main\" must set \
                 securityContext.allowPrivilegeEscalation=false)";
    ensure!(refused.code != 0 && refused.err.contains(words), "{refused:?}");
    let dry = rig.run("kubectl".as_ref(), &["apply", "--dry-run=server", "-f", "-"], &web.to_string())?;
    ensure!(dry.code != 0 && dry.err.contains("is forbidden: violates PodSecurity"), "{dry:?}");
    main_of(&mut web)["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true, "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    rig.apply(&web)?;
    let instance = rig.until_instance("web", ready)?;
    let seen = rig.wait("what it sees", || {
        let log = rig.nexusctl(&["logs", name(&instance)?])?;
        Ok(Some(log).filter(|log| !log.is_empty()))
    })?;
    ensure!(seen.split_whitespace().collect::<Vec<_>>() == ["eth0", "lo"], "devices of the node: {seen}");
    // What a looser standard let in goes on under a stricter one, and who raises it is told.
    rig.kubectl(&[
        "label",
        "namespace",
        "default",
        "--overwrite",
        "pod-security.kubernetes.io/enforce=privileged",
    ])?;
    rig.apply(&workload("loose", "exec sleep 1000"))?;
    let loose = rig.until_instance("loose", ready)?;
    let raise =
        ["label", "namespace", "default", "--overwrite", "pod-security.kubernetes.io/enforce=restricted"];
    let raised = rig.run("kubectl".as_ref(), &raise, "")?;
    let warning = "existing pods in namespace \"default\" violate the new PodSecurity enforce level \"restricted:latest\"";
    ensure!(raised.code == 0 && raised.err.contains(warning), "{raised:?}");
    ensure!(raised.err.contains(name(&loose)?), "{raised:?}");
    // Instances that are made anew are held to it too: their workload says so.
    rig.nexusctl(&["delete", "instance", name(&loose)?])?;
    let told = rig.until("workload/loose", |one| one.to_string().contains("violates PodSecurity"));
    told.context("the workload does not say why it has no instance")?;
    rig.ends_clean(&["web", "loose"])
}
