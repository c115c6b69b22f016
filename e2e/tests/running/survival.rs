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

/// Shims, and the first process of each of their containers.
fn firsts(rig: &Rig) -> BTreeSet<i32> {
    let direct = |pid: i32| {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()
    };
    shims(&rig.agent()).into_iter().flat_map(|(pid, _)| std::iter::once(pid).chain(direct(pid))).collect()
}

/// The agent is replaced, its program by another of another place, and what runs does not notice: processes, requests,
/// lines of a log.
#[test]
fn the_agent_is_replaced_under_running_containers() -> Result<()> {
    let test = "the_agent_is_replaced_under_running_containers";
    let built = hypermesh_e2e::load::binary()?.with_file_name("nexus-agent");
    let places = tempfile::tempdir()?;
    let place = |name: &str| -> Result<std::path::PathBuf> {
        let path = places.path().join(name);
        std::fs::copy(&built, &path).with_context(|| format!("copying {}", built.display()))?;
        Ok(path)
    };
    let Some(mut rig) = Rig::start_apart(test, &[])? else { return Ok(()) };
    rig.end_agent()?;
    let old = place("nexus-agent-old")?;
    rig.apart()?.program = Some(old.clone());
    rig.begin_agent()?;
    let port = crate::rig::free_port()?;
    rig.apply(&web("hello", port))?;
    rig.until("workload/web", ready)?;
    let talks = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done";
    rig.apply(&workload("talks", talks))?;
    rig.until_instance("talks", ready)?;
    let before = firsts(&rig);
    ensure!(before.len() == 6, "three shims and the first process of each are expected: {before:?}");
    // At its own address, to which the kernel leads: the loopback's ports are the agent's own, and go with it.
    let one = rig.until_instance("web", ready)?;
    let address = rig.kubectl(&["get", "pod", name(&one)?, "-o", "jsonpath={.status.podIP}"])?;
    let to = std::net::SocketAddr::new(address.trim().parse().with_context(|| address.clone())?, 8080);
    rig.wait("an answer at its address", || Ok(Some(crate::web::ask_at(to)?)))?;
    let load = crate::web::Load::at(to);
    let follows = Follows::begin(&rig, "talks")?;
    rig.wait("lines that are followed", || Ok((follows.lines()? > 5).then_some(())))?;

    rig.end_agent()?;
    std::fs::remove_file(&old)?;
    ensure!(firsts(&rig) == before, "containers ended with the agent");
    let (seen, log) = (follows.lines()?, rig.agent().join("logs"));
    let last = |rig: &Rig| -> Result<u64> { last_line(&rig.agent().join("logs")) };
    let (at, begun) = (last(&rig)?, std::time::Instant::now());
    rig.wait("lines that nobody asks for", || Ok((last(&rig)? > at + 20).then_some(())))?;
    rig.apart()?.program = Some(place("nexus-agent-new")?);
    rig.begin_agent()?;
    rig.wait("lines that are followed again", || Ok((follows.lines()? > seen + 50).then_some(())))
        .with_context(|| format!("{} after {:?}", log.display(), begun.elapsed()))?;
    ensure!(firsts(&rig) == before, "{:?} run instead of {before:?}", firsts(&rig));
    let answered = load.end()?;
    ensure!(answered > 50, "only {answered} requests were answered");
    follows.end()?;
    for workload in ["web", "talks"] {
        for instance in rig.instances(workload)? {
            ensure!(container(&instance)["restartCount"] == 0, "{instance:#}");
        }
    }
    // Shims of the old program do what the new agent asks.
    let one = rig.until_instance("talks", ready)?;
    ensure!(rig.nexusctl(&["exec", name(&one)?, "--", "echo", "here"])? == "here\n", "no shell");
    rig.ends_clean(&["web", "talks"])
}

/// The number of the last line that `talks` has in its log on the node.
fn last_line(logs: &std::path::Path) -> Result<u64> {
    let folder = std::fs::read_dir(logs)?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().contains("_talks-"));
    let path = folder.context("it has no log")?.path().join("main/0.log");
    let text = std::fs::read_to_string(path)?;
    let number = |line: &str| line.rsplit_once("line ")?.1.parse().ok();
    text.lines().rev().find_map(number).context("it has no line")
}

/// Somebody who follows a log, for as long as it goes on.
struct Follows {
    running: std::process::Child,
    said: std::path::PathBuf,
}

impl Follows {
    fn begin(rig: &Rig, workload: &str) -> Result<Self> {
        let said = rig.folder().join("followed");
        let running = rig
            .command(&hypermesh_e2e::load::binary()?, &["logs", "-f", &format!("workload/{workload}")])
            .stdout(std::fs::File::create(&said)?)
            .stderr(std::fs::File::create(rig.folder().join("followed.err"))?)
            .spawn()?;
        Ok(Self { running, said })
    }

    /// How many lines it has seen; an error when one is missing, or came twice.
    fn lines(&self) -> Result<u64> {
        let text = std::fs::read_to_string(&self.said)?;
        let whole = text.rsplit_once('\n').map(|(whole, _)| whole).unwrap_or_default();
        let mut next = 0;
        for line in whole.lines() {
            ensure!(line == format!("line {next}"), "{line:?} where line {next} belongs");
            next += 1;
        }
        Ok(next)
    }

    fn end(mut self) -> Result<()> {
        ensure!(self.running.try_wait()?.is_none(), "it has ended");
        self.lines()?;
        self.running.kill()?;
        self.running.wait()?;
        Ok(())
    }
}

impl Drop for Follows {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}
