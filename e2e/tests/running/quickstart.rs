//! What a person does in the first minutes with a workload that serves.

use crate::rig::{Rig, condition, free_port, name, ready};
use crate::web::{Load, ask, web};
use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::load::binary;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};

/// A command that goes on until it is dropped.
struct Going(Child);

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn available(rig: &Rig) -> Result<()> {
    rig.until("workload/web", |web| {
        condition(web, "Available").is_some_and(|available| available["status"] == "True") && ready(web)
    })?;
    Ok(())
}

/// Whom one is answered by, until it is both.
fn answered_by_both(rig: &Rig, port: u16, greeting: &str) -> Result<BTreeSet<String>> {
    let mut by = BTreeSet::new();
    rig.wait("an answer of both instances", || {
        let answer = ask(port)?;
        let who = answer.strip_prefix(&format!("{greeting} from ")).with_context(|| answer.clone())?;
        by.insert(who.to_owned());
        Ok((by.len() == 2).then(|| by.clone()))
    })
}

#[test]
fn a_workload_serves_and_is_looked_into_and_rolled_out_under_load() -> Result<()> {
    let Some(rig) = Rig::start("a_workload_serves_and_is_looked_into_and_rolled_out_under_load")? else {
        return Ok(());
    };
    let port = free_port()?;
    rig.apply(&web("hello", port))?;
    available(&rig)?;
    let names: BTreeSet<String> =
        rig.instances("web")?.iter().map(|one| name(one).map(str::to_owned)).collect::<Result<_>>()?;
    let by = answered_by_both(&rig, port, "hello")?;
    ensure!(by == names, "{by:?} answered for {names:?}");
    let one = names.first().context("there is no instance")?;
    looked_into(&rig, one)?;
    entered(&rig, one)?;
    forwarded(&rig, one)?;
    copied(&rig, one)?;
    for top in
        [rig.wait("usage", || used(&rig, one))?, rig.wait("kubectl's usage", || used_by_kubectl(&rig, one))?]
    {
        ensure!(top.contains("Mi"), "{top}");
    }
    moved(&rig)?;
    rolled_out(&rig, port)?;
    rig.ends_clean(&["web"])
}

fn used(rig: &Rig, one: &str) -> Result<Option<String>> {
    Ok(Some(rig.nexusctl(&["top", "instance"])?).filter(|said| said.contains(one)))
}

fn used_by_kubectl(rig: &Rig, one: &str) -> Result<Option<String>> {
    Ok(Some(rig.kubectl(&["top", "pods"])?).filter(|said| said.contains(one)))
}

fn looked_into(rig: &Rig, one: &str) -> Result<()> {
    let log = rig.nexusctl(&["logs", one])?;
    ensure!(log == "hello, I begin\n", "{log:?}");
    ensure!(rig.kubectl(&["logs", one])? == log, "kubectl reads another log");
    let all = rig.nexusctl(&["logs", "workload/web"])?;
    ensure!(all.matches("hello, I begin").count() == 2, "{all:?}");
    let pods = rig.kubectl(&["get", "pods", "-o", "name"])?;
    ensure!(pods.contains(&format!("pod/{one}")), "{pods}");
    Ok(())
}

fn entered(rig: &Rig, one: &str) -> Result<()> {
    let script = "echo out; echo err >&2; exit 3";
    for (program, quiet) in [(binary()?, "-q"), ("kubectl".into(), "-q")] {
        let said = rig.run(&program, &["exec", quiet, one, "--", "sh", "-c", script], "")?;
        ensure!(said.code == 3 && said.out == "out\n" && said.err.starts_with("err\n"), "{said:?}");
        let said = rig.run(&program, &["exec", "-i", one, "--", "cat"], "fed\nwords\n")?;
        ensure!(said.code == 0 && said.out == "fed\nwords\n", "{said:?}");
    }
    let own = binary()?.display().to_string();
    for program in [own.as_str(), "kubectl"] {
        // The size comes after the start, as everywhere.
        let script = "tty; until stty size | grep \"33 77\"; do sleep 0.1; done; exit 4";
        let line = format!(
            "stty rows 33 cols 77; timeout --foreground 20 {program} exec -it {one} -- sh -c '{script}'"
        );
        let said = rig.run(Path::new("script"), &["-qec", &line, "/dev/null"], "")?;
        ensure!(said.code == 4 && said.out.contains("/dev/pts/0") && said.out.contains("33 77"), "{said:?}");
    }
    Ok(())
}

fn forwarded(rig: &Rig, one: &str) -> Result<()> {
    for program in [binary()?, "kubectl".into()] {
        let port = free_port()?;
        let mut command = rig.command(&program, &["port-forward", one, &format!("{port}:8080")]);
        let going = Going(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let answer = rig.wait("an answer by a forwarded port", || Ok(Some(ask(port)?)))?;
        ensure!(answer == format!("hello from {one}"), "{answer}");
        drop(going);
    }
    Ok(())
}

/// Ports of a workload are forwarded to another of its instances once the first is gone, for the very connection that
/// finds out.
fn moved(rig: &Rig) -> Result<()> {
    let (port, said) = (free_port()?, rig.folder().join("forwarded"));
    let mut command = rig.command(&binary()?, &["port-forward", "workload/web", &format!("{port}:http")]);
    let going = Going(command.stdout(Stdio::null()).stderr(std::fs::File::create(&said)?).spawn()?);
    let from = |answer: String| answer.strip_prefix("hello from ").map(str::to_owned).context(answer.clone());
    let first = from(rig.wait("an answer by a forwarded port", || Ok(Some(ask(port)?)))?)?;
    rig.nexusctl(&["delete", "instance", &first])?;
    let second = from(ask(port).context("the connection that finds the instance gone")?)?;
    let words = std::fs::read_to_string(&said)?;
    ensure!(second != first && words.contains(&format!("{first} is gone")), "{first} {second}: {words}");
    ensure!(words.contains(&format!("forwarding to {second} from now on")), "{words}");
    drop(going);
    available(rig)
}

fn copied(rig: &Rig, one: &str) -> Result<()> {
    let there = rig.folder().join("sent");
    std::fs::create_dir_all(there.join("inner"))?;
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| u8::try_from(at * 7 % 251).unwrap_or_default()).collect();
    std::fs::write(there.join("inner/bytes"), &bytes)?;
    rig.nexusctl(&["cp", &there.display().to_string(), &format!("{one}:/")])?;
    let size = rig.nexusctl(&["exec", one, "--", "wc", "-c", "/sent/inner/bytes"])?;
    ensure!(size.starts_with("300000 "), "{size}");
    let back = rig.folder().join("back");
    rig.nexusctl(&["cp", &format!("{one}:/sent/inner/bytes"), &back.display().to_string()])?;
    ensure!(std::fs::read(&back)? == bytes, "what came back differs");
    Ok(())
}

fn rolled_out(rig: &Rig, port: u16) -> Result<()> {
    let load = Load::begin(port);
    rig.apply(&web("bonjour", port))?;
    rig.nexusctl(&["rollout", "status", "workload/web", "--timeout", "60s"])?;
    let answered = load.end().context("a request failed during the rollout")?;
    println!("{answered} requests during the rollout");
    answered_by_both(rig, port, "bonjour")?;
    let load = Load::begin(port);
    rig.nexusctl(&["rollout", "undo", "workload/web"])?;
    rig.nexusctl(&["rollout", "status", "workload/web", "--timeout", "60s"])?;
    load.end().context("a request failed on the way back")?;
    answered_by_both(rig, port, "hello")?;
    Ok(())
}
