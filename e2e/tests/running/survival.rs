//! Who ends without the others: the agent without its containers, a shim without the agent.

use crate::rig::{Rig, container, name, ready};
use crate::traces::{children, runs, shims};
use crate::web::{ask, web, workload};
use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;

fn processes(rig: &Rig) -> BTreeSet<i32> {
    shims(&rig.agent()).into_iter().flat_map(|(pid, _)| std::iter::once(pid).chain(children(pid))).collect()
}

#[test]
fn containers_outlive_the_agent_and_the_server() -> Result<()> {
    let Some(mut rig) = Rig::start("containers_outlive_the_agent_and_the_server")? else { return Ok(()) };
    let port = crate::rig::free_port()?;
    rig.apply(&web("hello", port))?;
    rig.until("workload/web", ready)?;
    let before = processes(&rig);
    ensure!(before.len() >= 6, "two shims, two shells and two servers are expected: {before:?}");
    let ids = |rig: &Rig| -> Result<Vec<String>> {
        let instances = rig.instances("web")?;
        Ok(instances.iter().map(|one| container(one)["containerID"].to_string()).collect())
    };
    let known = ids(&rig)?;
    rig.kill();
    ensure!(processes(&rig) == before, "containers ended with the agent");
    rig.up()?;
    rig.until("workload/web", ready)?;
    rig.wait("an answer after the start", || Ok(Some(ask(port)?)))?;
    ensure!(processes(&rig) == before, "{:?} run instead of {before:?}", processes(&rig));
    ensure!(ids(&rig)? == known, "the containers are others");
    let none: Vec<_> =
        rig.instances("web")?.iter().filter(|one| container(one)["restartCount"] != 0).cloned().collect();
    ensure!(none.is_empty(), "started again: {none:#?}");
    let one = rig.instances("web")?;
    let one = name(one.first().context("there is no instance")?)?.to_owned();
    ensure!(rig.nexusctl(&["exec", &one, "--", "echo", "here"])? == "here\n", "no shell after the start");
    rig.ends_clean(&["web"])
}

#[test]
fn a_shim_that_is_killed_is_told_and_its_instance_runs_again() -> Result<()> {
    let Some(rig) = Rig::start("a_shim_that_is_killed_is_told_and_its_instance_runs_again")? else {
        return Ok(());
    };
    rig.apply(&workload("steady", "exec sleep 1000"))?;
    let instance = rig.until_instance("steady", ready)?;
    let before = processes(&rig);
    for (pid, _) in shims(&rig.agent()) {
        kill(Pid::from_raw(pid), SIGKILL)?;
    }
    let id = container(&instance)["containerID"].clone();
    let again = rig.until_instance("steady", |one| ready(one) && container(one)["containerID"] != id)?;
    ensure!(
        container(&again)["restartCount"].as_u64() > Some(0) || name(&again)? != name(&instance)?,
        "{again:#}"
    );
    let left: Vec<_> = before.into_iter().filter(|pid| runs(*pid)).collect();
    ensure!(left.is_empty(), "what ran in it goes on: {left:?}");
    let events = rig.get("events")?;
    let events: Vec<_> = events["items"].as_array().into_iter().flatten().collect();
    let told = events.iter().any(|event| event["type"] == "Warning" && event.to_string().contains("shim"));
    ensure!(told, "no event tells of the shim: {events:#?}");
    rig.ends_clean(&["steady"])
}

#[test]
fn what_ended_while_nobody_looked_runs_again() -> Result<()> {
    let Some(mut rig) = Rig::start("what_ended_while_nobody_looked_runs_again")? else { return Ok(()) };
    let port = crate::rig::free_port()?;
    rig.apply(&web("hello", port))?;
    rig.until("workload/web", ready)?;
    rig.kill();
    let before = processes(&rig);
    for pid in &before {
        let _ = kill(Pid::from_raw(*pid), SIGKILL);
    }
    rig.up()?;
    rig.wait("two other shims", || Ok((shims(&rig.agent()).len() == 2).then_some(())))?;
    rig.until("workload/web", |web| ready(web) && web["status"].to_string().contains("\"readyReplicas\":2"))?;
    rig.wait("an answer", || Ok(Some(ask(port)?)))?;
    ensure!(!before.into_iter().any(runs), "what was killed runs");
    rig.ends_clean(&["web"])
}
